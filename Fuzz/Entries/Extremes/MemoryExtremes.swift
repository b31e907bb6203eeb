// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACPUEngine
import DMACore
import DMADriverKit
import DMAEngineKit

extension Probe {
    /// Words and parts of buffers, of lists and of a peer's mappings.
    mutating func places() {
        for place in Self.integers {
            self("load and store at \(place)") {
                var buffer = try Buffer(count: 64)
                _ = try? buffer.load(at: place, as: UInt64.self)
                try? buffer.store(1 as UInt64, at: place)
                _ = try? buffer.bytes.load(at: place, as: UInt16.self)
                var bytes = buffer.mutableBytes
                try bytes.store(1 as UInt32, at: place)
            }
            self("MappedBuffer.split(at: \(place))") {
                var whole = try Buffer(count: 4096).mapped(for: Domain(name: "extremes"), direction: .bidirectional)
                _ = whole.region(at: place).count
                var part: MappedBuffer? = try whole.split(at: place)
                try whole.join(&part)
            }
            self("MappedScatterList.withCPUAccess(entry: \(place))") {
                var list = ScatterList()
                list.append(try Buffer(count: 64))
                list.withBytes(buffer: place) { _ = $0.byteCount }
                list.withMutableBytes(buffer: place) { _ = $0.byteCount }
                var mapped = try list.mapped(for: Domain(name: "extremes"), direction: .bidirectional)
                _ = mapped.region(at: place).count
                try? mapped.withCPUAccess(entry: place) { span throws(DMAError) in _ = span.byteCount }
                try mapped.withMutableCPUAccess(entry: place) { span throws(DMAError) in _ = span.byteCount }
            }
            self("CoherentBuffer(count: \(place))") {
                _ = try CoherentBuffer(count: place, alignment: 4096, domain: Domain(name: "extremes")).count
            }
            self("CoherentBuffer(alignment: \(place))") {
                _ = try CoherentBuffer(count: 64, alignment: place, domain: Domain(name: "extremes")).count
            }
            self("CoherentBuffer.load(at: \(place))") {
                let memory = try CoherentBuffer(count: 64, domain: Domain(name: "extremes"))
                _ = try? memory.load(at: place, as: UInt32.self)
                _ = try? memory.loadAcquire(at: place, as: UInt64.self)
                try? memory.store(1 as UInt32, at: place)
                try memory.storeRelease(1 as UInt64, at: place)
            }
            self("RingMemory(count: \(place))") {
                let memory = try CoherentBuffer(count: 4096, domain: Domain(name: "extremes"))
                _ = try RingMemory<UInt32>(memory, count: place).count
            }
            self("RingMemory at \(place)") {
                let memory = try CoherentBuffer(count: 4096, domain: Domain(name: "extremes"))
                var ring = try RingMemory<UInt32>(memory, count: 16)
                ring.write(1, at: place)
                _ = (ring.read(at: place), ring.address(of: place))
                for word in Self.integers {
                    _ = ring.word(word, at: place, as: UInt32.self)
                    ring.publish(1 as UInt32, at: place, word: word)
                    _ = ring.word(word, at: 0, as: UInt16.self)
                }
            }
            self("Pool(segments: \(place))") {
                let mapped = try Buffer(count: 8192).mapped(for: Domain(name: "extremes"), direction: .bidirectional)
                var pool = try Pool(mapped, blockSize: 4096, segments: place)
                if let block = pool.lease() { _ = block.region(at: place).count }
            }
            self("Block.region(at: \(place))") {
                let mapped = try Buffer(count: 8192).mapped(for: Domain(name: "extremes"), direction: .bidirectional)
                var pool = try Pool(mapped, blockSize: 4096)
                if let block = pool.lease() { _ = block.region(at: place).count }
            }
            self("FixedArray.withElement(at: \(place))") {
                var array = FixedArray<Int>(capacity: 4)
                _ = array.append(1)
                _ = array.withElement(at: place) { $0 }
                _ = array.withMutableElement(at: place) { $0 }
            }
        }
        for start in Self.words {
            for count in Self.words {
                self("DeviceMemory(unsafeAddress: \(start), count: \(count))") {
                    let backend = CheckedBackend()
                    let domain = try Domain(
                        name: "extremes",
                        translation: .translated(backend, apertures: [0...UInt64.max], pageSizes: [4096]))
                    // SAFETY: the backend reaches nothing.
                    let memory = try unsafe DeviceMemory(unsafeAddress: start, count: count, owner: backend)
                    _ = try memory.mapped(for: domain, direction: .bidirectional).regionCount
                }
                self("Region.part(from: \(start), count: \(count))") {
                    let mapped = try Buffer(count: 4096).mapped(for: Domain(name: "extremes"), direction: .bidirectional)
                    _ = mapped.region(at: 0).part(from: start, count: count).count
                }
                self("PeripheralFacts(blockSize: \(start), capacity: \(count))") {
                    _ = String(
                        describing: PeripheralFacts(number: .max, blockSize: start, capacity: count, maximumTransfer: start))
                }
            }
        }
    }

    /// Memory of a peer, which controls the ranges and files.
    mutating func foreign() {
        for start in Self.words {
            for count in Self.words {
                self("ForeignMemory of \(count) bytes at \(start)") {
                    let memory = ForeignMemory()
                    let file = try Buffer(count: 8192, backing: .sharedMemory(name: "extremes"))
                    try? file.withFileDescriptor { (descriptor) throws(DMAError) in
                        for offset in Self.words {
                            try? memory.insert(
                                IOVA(start), count: count, access: .read, file: descriptor, offset: offset, unstable: .copied)
                        }
                        try? memory.insert(
                            IOVA(start), count: count, access: [.read, .write], file: descriptor, unstable: .copied)
                    }
                    Self.touch(memory, IOVA(start))
                    Self.touch(memory, IOVA(start &+ count))
                    try memory.remove(IOVA(start), count: count, until: .after(milliseconds: 100))
                }
            }
            self("ForeignMemory(maximumRegions: \(Int(truncatingIfNeeded: start)), maximumCount: \(start))") {
                let memory = ForeignMemory(maximumRegions: Int(truncatingIfNeeded: start), maximumCount: start)
                try? memory.insert(IOVA(0), count: 4096, access: .read, file: -1, unstable: .copied)
                Self.touch(memory, IOVA(start))
                try memory.removeAll(until: .now)
            }
        }
        for number in [Int32.min, -1, 1 << 20, .max] {
            self("EventDescriptor(taking: \(number))") { _ = try EventDescriptor(taking: number).descriptor }
            self("a file of descriptor \(number)") {
                try ForeignMemory().insert(IOVA(0), count: 4096, access: .read, file: number, unstable: .copied)
            }
        }
    }

    private static func touch(_ memory: ForeignMemory, _ place: IOVA) {
        var bytes = [UInt8](repeating: 0, count: 100)
        _ = try? memory.load(at: place, as: UInt64.self)
        try? memory.store(1 as UInt16, at: place)
        _ = try? memory.fetchAdd(1 as UInt32, at: place)
        _ = try? memory.compareExchange(at: place, expected: 1 as UInt64, desired: 2)
        // SAFETY: every bit pattern of a byte is valid.
        try? unsafe memory.write(bytes.span.bytes, at: place)
        var words = bytes.mutableSpan
        var span = unsafe words.mutableBytes
        try? memory.read(place, into: &span)
    }

    /// Calls that end at a deadline, or when they are done.
    mutating func calls() {
        for time in Self.times where time <= Deadline.now.nanoseconds {
            let deadline = Deadline(nanoseconds: time)
            self("one-line calls by \(time)") {
                Self.wait {
                    let domain = Domain(name: "extremes")
                    let engine = AnyEngine(try CPUEngine(CPUConfiguration(depth: 4)))
                    let shared = SharedChannel(try Channel(engine, domain: domain, of: Loan.self))
                    var target = try Buffer(count: 4096).mapped(for: domain, direction: .bidirectional)
                    let source = try Buffer(count: 4096).mapped(for: domain, direction: .bidirectional)
                    try? await shared.fill(&target, pattern: .max, by: deadline)
                    try? await shared.copy(source, to: &target, by: deadline)
                    _ = try? await shared.crc32c(of: source, by: deadline)
                    try await shared.terminate(by: deadline)
                }
            }
        }
        for size in Self.integers {
            for depth in Self.integers {
                self("chunks(size: \(size), depth: \(depth))") {
                    Self.wait {
                        let system = DMASystem()
                        let files = try system.share(ChannelRequest(.peripheral))
                        let memory = try Buffer(count: 100_000, backing: .sharedMemory(name: "extremes"))
                        // Duplicated by the engine: the buffer may end.
                        let file = memory.withFileDescriptor { PeripheralFile($0) }
                        guard let file else { return }
                        var number = 0
                        for try await chunk in try await files.chunks(of: file, size: size, depth: depth, patience: 1000) {
                            number += chunk.count > 0 ? 1 : 0
                            if number > 3 { break }
                        }
                        withExtendedLifetime(memory) {}
                    }
                }
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import DMAEngineKit

extension Probe {
    mutating func values() {
        for time in Self.times {
            self("Deadline.after(nanoseconds: \(time))") { _ = Deadline.after(nanoseconds: time) }
            self("Deadline.after(milliseconds: \(time))") { _ = Deadline.after(milliseconds: time) }
        }
        for word in Self.words {
            self("DemandLine.request(\(word))") {
                let line = DemandLine()
                line.request(word)
                line.request(word)
            }
            self("LockBudget(limit: \(word))") { _ = LockBudget(limit: word, locked: .max).remaining }
        }
        for frames in [UInt32(0), 1, .max] {
            for gap in [UInt32(0), 1, .max] {
                self("InterleavedTemplate(frames: \(frames), chunk: \(frames), gap: \(gap))") {
                    let template = InterleavedTemplate(frames: frames, chunk: frames, sourceGap: gap, destinationGap: gap)
                    _ = (template.count, template.sourceStride, template.destinationStride)
                }
            }
        }
        for bits in Self.integers { self("DMAMask(bits: \(bits))") { _ = DMAMask(bits: bits) } }
        for code in DMAError.Code.allCases {
            for word in [UInt64(0), .max] {
                self("DMAError(\(code), \(word)).description") {
                    _ = DMAError(code, asked: word, limit: word, errno: .min).description
                    _ = DMAError(code, asked: word, limit: ~word, errno: .max).description
                }
            }
        }
    }

    mutating func memory() {
        for count in Self.integers {
            for alignment in Self.integers {
                self("Buffer(count: \(count), alignment: \(alignment))") { _ = try Buffer(count: count, alignment: alignment) }
            }
            self("Buffer(count: \(count), backing: .huge1GiB)") { _ = try Buffer(count: count, backing: .huge1GiB) }
            self("Buffer(count: \(count), backing: .sharedMemory)") {
                _ = try Buffer(count: count, backing: .sharedMemory(name: "extremes"))
            }
            self("FixedArray(capacity: \(count))") {
                var array = FixedArray<Int>(capacity: count)
                _ = array.append(1)
                _ = array.remove(at: count)
            }
            self("CargoList(capacity: \(count))") { _ = CargoList<NoCargo>(capacity: count).region(at: count).count }
            self("ScatterList.appendEntry(buffer: \(count))") {
                var list = ScatterList()
                list.append(try Buffer(count: 64))
                try list.appendEntry(buffer: count, range: 0..<1)
            }
            for other in Self.integers {
                self("Pool(blockSize: \(count), alignment: \(other))") {
                    let mapped = try Buffer(count: 4096).mapped(for: Domain(name: "extremes"), direction: .bidirectional)
                    var pool = try Pool(mapped, blockSize: count, alignment: other, boundary: other)
                    _ = pool.lease()
                }
                let range = min(count, other)..<max(count, other)
                self("ScatterList.appendEntry(range: \(range))") {
                    var list = ScatterList()
                    list.append(try Buffer(count: 64))
                    try list.appendEntry(buffer: 0, range: range)
                }
            }
        }
    }

    mutating func mappings() {
        for word in Self.words {
            for other in Self.words {
                self("DeviceConstraints(alignment: \(word), boundary: \(other))") {
                    var constraints = DeviceConstraints()
                    (constraints.alignment, constraints.segmentBoundary) = (word, other)
                    (constraints.cacheLineSize, constraints.maximumSegmentSize) = (other, word)
                    let domain = Domain(name: "extremes", constraints: constraints)
                    _ = try Buffer(count: 4096).mapped(for: domain, direction: .bidirectional).regionCount
                    constraints.isCoherent = false
                    constraints.maximumMappingSize = word
                    _ = try Buffer(count: 4096).mapped(
                        for: Domain(name: "extremes", constraints: constraints), direction: .toDevice
                    ).regionCount
                }
                self("Translation.translated(apertures: \(min(word, other))...\(max(word, other)))") {
                    let domain = try Domain(
                        name: "extremes",
                        translation: .translated(
                            CheckedBackend(), apertures: [min(word, other)...max(word, other), 0...word],
                            pageSizes: [word, other]))
                    _ = try Buffer(count: 4096).mapped(for: domain, direction: .bidirectional).regionCount
                }
                self("IOVAAllocator(\(word), \(other))") {
                    var allocator = IOVAAllocator(apertures: [min(word, other)...max(word, other)], granule: word)
                    let start = try? allocator.allocate(other)
                    try? allocator.reserve(IOVA(word), count: other)
                    try? allocator.free(start ?? IOVA(other), count: other)
                    try? allocator.free(IOVA(word), count: other)
                }
            }
        }
        for count in Self.integers {
            self("DeviceConstraints(maximumSegments: \(count))") {
                var constraints = DeviceConstraints()
                constraints.maximumSegments = count
                var list = ScatterList()
                list.append(try Buffer(count: 64))
                _ = try list.mapped(for: Domain(name: "extremes", constraints: constraints), direction: .toDevice).regionCount
            }
            for other in Self.integers {
                let range = min(count, other)..<max(count, other)
                self("MappedBuffer.sync(\(range))") {
                    var mapped = try Buffer(count: 64).mapped(for: Domain(name: "extremes"), direction: .bidirectional)
                    try? mapped.syncForCPU(range)
                    try? mapped.syncForDevice(range)
                    try? mapped.withCPUAccess(range) { span throws(DMAError) in _ = span.byteCount }
                    try mapped.withMutableCPUAccess(range) { span throws(DMAError) in _ = span.byteCount }
                }
            }
        }
    }
}

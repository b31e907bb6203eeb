// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAIOUringEngine
import DMATestSupport
import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite("Files as peripherals", .serialized)
struct StorageTests {
    /// Reads and writes at random positions against a model, many in flight on disjoint ranges.
    func model(_ configuration: IOUringConfiguration, _ directory: String, _ cache: PeripheralFile.Cache, _ name: String) throws
    {
        var random = Seeded("model \(name)")
        let size = 1 << 20
        let scratch = try Scratch(directory)
        var model = random.bytes(size)
        scratch.fill(model)
        var channel = try Channel<IOUringEngine, Freight>.make(configuration)
        let number = try channel.attach(PeripheralFile(scratch.descriptor, cache: cache))
        for _ in 0..<12 {
            // Disjoint stripes, so that the order does not matter.
            var expected: [UInt64: (range: Range<Int>, reads: Bool)] = [:]
            let stripes = 24
            for stripe in 0..<stripes {
                let width = size / stripes
                let start = stripe * width + Int.random(in: 0..<width / 2, using: &random)
                var parts = (0..<Int.random(in: 1...4, using: &random)).map { _ in Int.random(in: 1...width / 8, using: &random)
                }
                // Some aligned for the device.
                let isAligned = Int.random(in: 0..<3, using: &random) == 0
                if isAligned { parts = [4096, 8192] }
                let place = isAligned ? (start + 4095) & ~4095 : start
                let count = parts.reduce(0, +)
                let range = place..<place + count
                guard range.upperBound <= (stripe + 1) * width else { continue }
                let place2 = PeripheralPlace(number: number, position: UInt64(place))
                let reads = Bool.random(using: &random)
                let alignment = Bool.random(using: &random) ? 4096 : 64
                if reads {
                    let cargo = try freight(
                        parts.map { [UInt8](repeating: 0xee, count: $0) }, .fromDevice, alignment: alignment)
                    let cookie = try channel.submit(.fromPeripheral(0..<UInt16(parts.count), at: place2), cargo).get()
                    expected[cookie.rawValue] = (range, true)
                } else {
                    var images: [[UInt8]] = []
                    var at = place
                    for part in parts {
                        let image = random.bytes(part)
                        model.replaceSubrange(at..<at + part, with: image)
                        at += part
                        images.append(image)
                    }
                    let cargo = try freight(images, .toDevice, alignment: alignment)
                    let cookie = try channel.submit(.toPeripheral(0..<UInt16(parts.count), at: place2), cargo).get()
                    expected[cookie.rawValue] = (range, false)
                }
            }
            channel.issuePending()
            while !expected.isEmpty {
                let finished = try channel.await()
                let entry = expected.removeValue(forKey: finished.cookie.rawValue)
                let (range, reads) = try #require(entry)
                let (status, residue) = (finished.status, finished.residue)
                #expect(status == .complete && residue == 0)
                guard reads else { continue }
                var got: [UInt8] = []
                for region in 0..<finished.cargo.regionCount { got += try bytes(finished.cargo, region) }
                #expect(got == Array(model[range]))
            }
        }
        #expect(scratch.contents == model)
        let unknownCompletions = channel.withEngine { $0.statistics.unknownCompletions }
        #expect(unknownCompletions == 0)
    }

    @Test("random positions, lists, in memory and on the disk", arguments: Carrying.allCases)
    func buffered(_ carrying: Carrying) throws {
        try model(carrying.configuration(), Scratch.memory, .asOpened, "memory")
        try model(carrying.configuration(), Scratch.disk, .asOpened, "disk")
    }

    @Test("the end of a file is no failure: complete, with the rest as residue", arguments: Carrying.allCases)
    func endOfFile(_ carrying: Carrying) throws {
        let scratch = try Scratch(Scratch.memory)
        scratch.fill([1, 2, 3, 4, 5])
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let number = try channel.attach(PeripheralFile(scratch.descriptor))
        for (position, left) in [(UInt64(0), UInt64(5)), (3, 8), (5, 10), (1000, 10)] {
            let cargo = try freight([[UInt8](repeating: 9, count: 10)], .fromDevice)
            let finished = try channel.perform(
                .fromPeripheral(0..<1, at: PeripheralPlace(number: number, position: position)), cargo)
            let (status, residue) = (finished.status, finished.residue)
            #expect(status == .complete && residue == left)
        }
    }

    @Test("refusals have the kernel's error number", arguments: Carrying.allCases)
    func refusals(_ carrying: Carrying) throws {
        let scratch = try Scratch(Scratch.memory)
        scratch.fill([1, 2, 3, 4, 5])
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let reading = unsafe open(scratch.path, O_RDONLY | O_CLOEXEC)
        let writing = unsafe open(scratch.path, O_WRONLY | O_CLOEXEC)
        defer { close(reading) }
        defer { close(writing) }
        let first = try channel.attach(PeripheralFile(reading))
        let second = try channel.attach(PeripheralFile(writing))
        let write = try channel.perform(
            .toPeripheral(0..<1, at: PeripheralPlace(number: first, position: 0)), try freight([[7]], .toDevice))
        let (writeStatus, writeValue, writeResidue) = (write.status, write.value, write.residue)
        #expect(writeStatus == .writeFailed && writeValue == UInt64(EBADF) && writeResidue == 1)
        let read = try channel.perform(
            .fromPeripheral(0..<1, at: PeripheralPlace(number: second, position: 0)), try freight([[7]], .fromDevice))
        let (readStatus, readValue) = (read.status, read.value)
        #expect(readStatus == .readFailed && readValue == UInt64(EBADF))
        let none = try channel.perform(
            .fromPeripheral(0..<1, at: PeripheralPlace(number: 9, position: 0)), try freight([[7]], .fromDevice))
        let noneStatus = none.status
        #expect(noneStatus == .readFailed)
        #expect(scratch.contents == [1, 2, 3, 4, 5])
    }

    @Test("flush, allocate, zero, discard", arguments: Carrying.allCases)
    func commands(_ carrying: Carrying) throws {
        for directory in [Scratch.memory, Scratch.disk] {
            let scratch = try Scratch(directory)
            var model = [UInt8](repeating: 0xab, count: 64 << 10)
            scratch.fill(model)
            var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
            let number = try channel.attach(PeripheralFile(scratch.descriptor))
            func place(_ position: UInt64) -> PeripheralPlace { PeripheralPlace(number: number, position: position) }
            let list: [(DMACore.Operation, Range<Int>?)] = [
                (.command(.flush, at: place(0)), nil), (.command(.flushData, at: place(0)), nil),
                (.command(.discard, at: place(4096), count: 8192), 4096..<12288),
                (.command(.zero, at: place(20480), count: 4096), 20480..<24576),
            ]
            for (operation, zeroes) in list {
                if let zeroes { for index in zeroes { model[index] = 0 } }
                let finished = try channel.perform(operation)
                let (status, residue) = (finished.status, finished.residue)
                #expect(status == .complete && residue == 0, "\(operation.kind) in \(directory)")
                #expect(scratch.contents == model)
            }
            let allocated = try channel.perform(.command(.allocate, at: place(0), count: 128 << 10))
            let status = allocated.status
            #expect(status == .complete)
            #expect(scratch.contents.count == 128 << 10)
        }
    }

    @Test("files are attached and detached; one that a transaction names stays")
    func attaching() throws {
        var configuration = Carrying.ring.configuration()
        configuration.files = 2
        var channel = try Channel<IOUringEngine, Freight>.make(configuration)
        var ends: [Int32] = [0, 0]
        #expect(unsafe pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let number = try channel.attach(PeripheralFile(ends[0]))
        _ = try channel.attach(PeripheralFile(ends[1]))
        func code(_ body: (inout Channel<IOUringEngine, Freight>) throws(DMAError) -> Void) -> DMAError.Code? {
            do throws(DMAError) {
                try body(&channel)
                return nil
            } catch { return error.code }
        }
        let many = code { channel throws(DMAError) in _ = try channel.attach(PeripheralFile(ends[0])) }
        #expect(many == .tooManyPeripherals)
        _ = try channel.submit(.fromPeripheral(0..<1, at: PeripheralPlace(number: number)), try freight([[0]], .fromDevice))
            .get()
        channel.issuePending()
        let busy = code { channel throws(DMAError) in try channel.detach(number) }
        #expect(busy == .peripheralBusy)
        try channel.terminateSync(by: .after(milliseconds: 10_000))
        let finished = try channel.await()
        let status = finished.status
        #expect(status == .aborted)
        try channel.detach(number)
        let none = code { channel throws(DMAError) in try channel.detach(number) }
        #expect(none == .noSuchPeripheral)
        let bad = code { channel throws(DMAError) in _ = try channel.attach(PeripheralFile(-1)) }
        #expect(bad == .kernelRefused)
    }
}

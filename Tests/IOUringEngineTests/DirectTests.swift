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

@Suite("Direct transfers", .serialized)
struct DirectTests {
    /// Splits a file at random positions, writes all the pieces at once in random order, reads them back at once, repeatedly:
    /// pieces share pages, and some are whole pages.
    func pieces(_ carrying: Carrying, _ directory: String, rounds: Int) throws -> IOUringStatistics {
        var random = Seeded("pieces \(carrying)")
        let size = 512 << 10
        let scratch = try Scratch(directory)
        var model = random.bytes(size)
        scratch.fill(model)
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration(depth: 64))
        let number = try channel.attach(PeripheralFile(scratch.descriptor, cache: .direct))
        for _ in 0..<rounds {
            var cuts: Set<Int> = [0, size]
            for _ in 0..<40 {
                let place = Int.random(in: 0..<size, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: cuts.insert(place)
                case 1: cuts.insert(place & ~511)
                default: cuts.insert(place & ~4095)
                }
            }
            let sorted = cuts.sorted()
            let ranges = zip(sorted, sorted.dropFirst()).map { $0..<$1 }
            model = random.bytes(size)
            var left = 0
            for range in ranges.shuffled(using: &random) {
                let place = PeripheralPlace(number: number, position: UInt64(range.lowerBound))
                let (parts, operation) = cut(range, model, &random)
                let alignment = Int.random(in: 0..<4, using: &random) == 0 ? 64 : 4096
                let cargo = try freight(parts, .toDevice, alignment: alignment)
                _ = try channel.submit(operation(place, true), cargo).get()
                left += 1
                if Bool.random(using: &random) { channel.issuePending() }
            }
            channel.issuePending()
            while left > 0 {
                let finished = try channel.await()
                let (status, residue, value) = (finished.status, finished.residue, finished.value)
                #expect(status == .complete && residue == 0, "errno \(value)")
                left -= 1
            }
            let isRight = scratch.contents == model
            try #require(isRight, "the contents differ from what was written")
            var expected: [UInt64: Range<Int>] = [:]
            for range in ranges.shuffled(using: &random) {
                let place = PeripheralPlace(number: number, position: UInt64(range.lowerBound))
                let (parts, operation) = cut(range, [UInt8](repeating: 0, count: size), &random)
                let cargo = try freight(parts, .fromDevice, alignment: 4096)
                expected[try channel.submit(operation(place, false), cargo).get().rawValue] = range
            }
            channel.issuePending()
            while !expected.isEmpty {
                let finished = try channel.await()
                let range = expected.removeValue(forKey: finished.cookie.rawValue) ?? 0..<0
                var got: [UInt8] = []
                for region in 0..<finished.cargo.regionCount { got += try bytes(finished.cargo, region) }
                let isSame = got == Array(model[range])
                #expect(isSame, "bytes \(range)")
            }
        }
        let flushed = try channel.perform(.command(.flush, at: PeripheralPlace(number: number)))
        let status = flushed.status
        // The kernel reports here if a direct write met dirty pages.
        #expect(status == .complete)
        return channel.withEngine { $0.statistics }
    }

    /// A range in one part, or in several.
    func cut(
        _ range: Range<Int>, _ model: [UInt8], _ random: inout Seeded
    ) -> ([[UInt8]], (PeripheralPlace, Bool) -> DMACore.Operation) {
        var parts = [Array(model[range])]
        if Int.random(in: 0..<3, using: &random) == 0, range.count > 9000 {
            let middle = Int.random(in: 0..<2, using: &random) == 0 ? 4096 : Int.random(in: 1..<range.count, using: &random)
            parts = [Array(parts[0][..<middle]), Array(parts[0][middle...])]
        }
        let count = UInt16(parts.count)
        return (
            parts, { place, writes in writes ? .toPeripheral(0..<count, at: place) : .fromPeripheral(0..<count, at: place) }
        )
    }

    @Test("heads, tails and middles at random positions agree with a model of bytes", arguments: Carrying.allCases)
    func onDisk(_ carrying: Carrying) throws {
        let statistics = try pieces(carrying, Scratch.disk, rounds: 12)
        #expect(statistics.directBytes > 0 && statistics.bufferedBytes > 0)
        #expect(statistics.unknownCompletions == 0)
        print("\(carrying): \(statistics)")
    }

    @Test("where direct transfers are impossible, everything is buffered, and counted", arguments: Carrying.allCases)
    func inMemory(_ carrying: Carrying) throws {
        let statistics = try pieces(carrying, Scratch.memory, rounds: 4)
        #expect(statistics.unknownCompletions == 0)
        print("\(carrying): \(statistics)")
    }

    @Test("polled completions: on a device that supports them, or refused with the kernel's error")
    func polled() throws {
        var configuration = Carrying.ring.configuration()
        configuration.polledCompletions = true
        var random = Seeded("polled")
        let image = random.bytes(64 << 10)
        for directory in [Scratch.disk, Scratch.memory] {
            let scratch = try Scratch(directory)
            scratch.fill(image)
            var channel = try Channel<IOUringEngine, Freight>.make(configuration)
            do throws(DMAError) {
                let number = try channel.attach(PeripheralFile(scratch.descriptor, cache: .direct))
                let place = PeripheralPlace(number: number, position: 0)
                var isRight = false
                do {
                    let target = try freight([[UInt8](repeating: 0, count: 64 << 10)], .fromDevice, alignment: 4096)
                    let finished = try channel.perform(.fromPeripheral(0..<1, at: place), target)
                    isRight = try bytes(finished.cargo) == image
                } catch {}
                #expect(isRight)
                print("polled completions in \(directory)")
            } catch {
                #expect(error.code == .kernelRefused && error.errno == EOPNOTSUPP, "\(error)")
                print("no polled completions in \(directory)")
            }
            // Buffered, there is no device to poll.
            var refusal: DMAError?
            do throws(DMAError) { _ = try channel.attach(PeripheralFile(scratch.descriptor)) } catch { refusal = error }
            #expect(refusal?.errno == EOPNOTSUPP)
        }
    }

    @Test("aligned transfers leave nothing in the page cache")
    func cache() throws {
        let scratch = try Scratch(Scratch.disk)
        var random = Seeded("cache")
        let image = random.bytes(1 << 20)
        var channel = try Channel<IOUringEngine, Freight>.make(Carrying.ring.configuration())
        let number = try channel.attach(PeripheralFile(scratch.descriptor, cache: .direct))
        let place = PeripheralPlace(number: number, position: 0)
        let written = try channel.perform(.toPeripheral(0..<1, at: place), try freight([image], .toDevice, alignment: 4096))
        let writeStatus = written.status
        #expect(writeStatus == .complete)
        let target = try freight([[UInt8](repeating: 0, count: 1 << 20)], .fromDevice, alignment: 4096)
        let finished = try channel.perform(.fromPeripheral(0..<1, at: place), target)
        let got = try bytes(finished.cargo)
        #expect(got == image)
        // The kernel reports which pages of a file are cached: mincore(2).
        let map = unsafe mmap(nil, 1 << 20, PROT_READ, MAP_SHARED, scratch.descriptor, 0)
        defer { unsafe munmap(map, 1 << 20) }
        var pages = [UInt8](repeating: 0, count: 256)
        #expect(unsafe mincore(map, 1 << 20, &pages) == 0)
        #expect(pages.allSatisfy { $0 & 1 == 0 })
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMADriverKit
import DMATestSupport
import Glibc
import Synchronization
import Testing

extension DriverKitTests {
    @Suite("Foreign memory: removal under access")
    struct ForeignRemovalTests {
        private let page = UInt64(PeerFile.page)

        private final class Flag: Sendable {
            let entered = Atomic(false)
            let leaves = Atomic(false)
        }

        private final class Seen: Sendable {
            let hits = Atomic(0)
            let misses = Atomic(0)
        }

        /// A thread inside an access until it is told to leave.
        private func holder(_ memory: ForeignMemory, _ flag: Flag) throws -> Worker {
            let worker = try Worker {
                try memory.withAccess {
                    flag.entered.store(true, ordering: .releasing)
                    while !flag.leaves.load(ordering: .acquiring) { usleep(200) }
                }
            }
            while !flag.entered.load(ordering: .acquiring) { usleep(200) }
            return worker
        }

        @Test(
            "a removal that accesses delay past its deadline is an error; the region stays mapped, closed and reserved, until it is removed again"
        )
        func deadline() throws {
            let memory = ForeignMemory()
            let file = PeerFile(sealed: 4, first: 5)
            try memory.insert(IOVA(0), count: page, access: [.read], file: file.descriptor)
            try memory.insert(IOVA(page), count: page, access: [.read], file: file.descriptor, offset: page)
            let flag = Flag()
            let worker = try holder(memory, flag)
            defer { flag.leaves.store(true, ordering: .releasing) }
            let before = Deadline.now
            #expect(
                refusal { () throws(DMAError) in
                    try memory.remove(IOVA(0), count: page, until: .after(milliseconds: 30))
                } == .regionInUse)
            #expect(Deadline.now.nanoseconds - before.nanoseconds >= 30_000_000)
            // Still mapped, closed, and its addresses reserved; its neighbour is unchanged.
            #expect(memory.mappedCount == 2 * page)
            #expect(memory.regionCount == 1)
            #expect(refusal { () throws(DMAError) in _ = try memory.bytes(0, 1) } == .unmappedAddress)
            #expect(
                refusal { () throws(DMAError) in
                    try memory.insert(IOVA(page / 2), count: 1, access: [.read], file: file.descriptor)
                } == .alreadyMapped)
            #expect(try memory.bytes(page, 1) == [6])
            // Other regions can be inserted and read meanwhile.
            try memory.insert(IOVA(8 * page), count: page, access: [.read], file: file.descriptor, offset: 2 * page)
            #expect(try memory.bytes(8 * page, 1) == [7])
            #expect(refusal { () throws(DMAError) in try memory.remove(IOVA(0), count: 1, until: .now) } == .unmapMismatch)
            #expect(refusal { () throws(DMAError) in try memory.remove(IOVA(0), count: page, until: .now) } == .regionInUse)
            #expect(refusal { () throws(DMAError) in try memory.removeAll(until: .now) } == .regionInUse)
            #expect(memory.mappedCount == 3 * page)
            flag.leaves.store(true, ordering: .releasing)
            #expect(worker.end() == nil)
            try memory.end(0, page)
            try memory.removeAll(until: .now)
            #expect(memory.mappedCount == 0)
            #expect(refusal { () throws(DMAError) in try memory.end(0, page) } == .notMapped)
            try memory.insert(IOVA(0), count: page, access: [.read], file: file.descriptor)
        }

        @Test("a removal waits exactly until the accesses in progress have ended")
        func waits() throws {
            for _ in 0..<20 {
                let memory = ForeignMemory()
                let file = PeerFile(sealed: 1)
                try memory.insert(IOVA(0), count: page, access: [.read], file: file.descriptor)
                let flag = Flag()
                let worker = try holder(memory, flag)
                let isOver = Flag()
                let page = page
                let remover = try Worker {
                    try memory.remove(IOVA(0), count: page, until: .after(milliseconds: 20_000))
                    isOver.entered.store(true, ordering: .releasing)
                }
                // Refused from the moment at which the removal has begun, however late that is on a busy machine.
                let patience = Deadline.after(milliseconds: 20_000)
                while refusal({ () throws(DMAError) in _ = try memory.bytes(0, 1) }) == nil, Deadline.now < patience {
                    usleep(100)
                }
                let wasEarly = isOver.entered.load(ordering: .acquiring)
                #expect(!wasEarly)
                #expect(memory.mappedCount == page)
                // New accesses do not delay it.
                for _ in 0..<100 { #expect(refusal { () throws(DMAError) in _ = try memory.bytes(0, 1) } == .unmappedAddress) }
                flag.leaves.store(true, ordering: .releasing)
                #expect(worker.end() == nil)
                #expect(remover.end() == nil)
                #expect(memory.mappedCount == 0)
            }
        }

        /// Regions are inserted and removed at the same addresses with another file each time, while threads read and write:
        /// each access finds one file's bytes or none, and no page that is no longer mapped.
        @Test("readers and writers against a thread that inserts and removes")
        func race() throws {
            let memory = ForeignMemory()
            let regions = 24 as UInt64
            let count = 3 * page + 8
            let isOver = Flag()
            let page = page
            let seen = Seen()
            let accessors = try (0..<3).map { number in
                try Worker {
                    var random = Seeded("race \(number)")
                    while !isOver.leaves.load(ordering: .acquiring) {
                        let start = UInt64.random(in: 0..<regions, using: &random) * 4 * page
                        do throws(DMAError) {
                            if number == 2 {
                                // All bytes there are equal.
                                let value = try memory.load(at: IOVA(start), as: UInt8.self)
                                try memory.storeRelease(value, at: IOVA(start))
                            } else {
                                let bytes = try memory.bytes(start + 8, Int(3 * page))
                                guard bytes.allSatisfy({ $0 == bytes[0] }) else { throw DMAError(.engineFailed) }
                            }
                            seen.hits.add(1, ordering: .relaxed)
                        } catch {
                            guard error.code == .unmappedAddress else { throw error }
                            seen.misses.add(1, ordering: .relaxed)
                        }
                    }
                }
            }
            var random = Seeded("race")
            var present = Set<UInt64>()
            for round in 0..<3000 {
                let place = UInt64.random(in: 0..<regions, using: &random)
                if present.remove(place) != nil {
                    try memory.end(place * 4 * page, count)
                } else {
                    let file = PeerFile(sealed: 4, uniform: UInt8(truncatingIfNeeded: round))
                    try memory.insert(
                        IOVA(place * 4 * page), count: count, access: [.read, .write], file: file.descriptor)
                    present.insert(place)
                }
            }
            isOver.leaves.store(true, ordering: .releasing)
            for accessor in accessors { #expect(accessor.end() == nil) }
            let (hits, misses) = (seen.hits.load(ordering: .relaxed), seen.misses.load(ordering: .relaxed))
            #expect(hits > 1000 && misses > 100, "\(hits) hits, \(misses) misses")
            try memory.removeAll(until: .after(milliseconds: 10_000))
            #expect(memory.mappedCount == 0)
        }

        @Test("thousands of regions: found, refused and removed in any order")
        func thousands() throws {
            let count = 20_000 as UInt64
            let memory = ForeignMemory()
            let own = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(count) * 8, alignment: 8)
            defer { unsafe own.deallocate() }
            var random = Seeded("thousands")
            var order = (0..<count).map { $0 }
            // First in ascending order, as QEMU sends them, then in any.
            for turn in 0..<2 {
                if turn == 1 { order.shuffle(using: &random) }
                for place in order {
                    unsafe own.storeBytes(of: place &* 3, toByteOffset: Int(place) * 8, as: UInt64.self)
                    unsafe try memory.insert(
                        IOVA(place * 16), access: [.read, .write],
                        memory: UnsafeMutableRawBufferPointer(rebasing: own[Int(place) * 8..<Int(place) * 8 + 8]))
                }
                #expect(memory.regionCount == Int(count))
                for place in 0..<count {
                    guard try memory.load(at: IOVA(place * 16), as: UInt64.self) == place &* 3,
                        refusal({ () throws(DMAError) in _ = try memory.load(at: IOVA(place * 16 + 8), as: UInt8.self) })
                            == .unmappedAddress
                    else {
                        Issue.record("region \(place)")
                        break
                    }
                }
                order.shuffle(using: &random)
                for place in order.prefix(Int(count) - 3) { try memory.end(place * 16, 8) }
                for place in order.suffix(3) { #expect(try memory.load(at: IOVA(place * 16), as: UInt64.self) == place &* 3) }
                #expect(memory.regionCount == 3)
                try memory.removeAll(until: .after(milliseconds: 10_000))
            }
        }
    }
}

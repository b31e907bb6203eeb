// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMACore
import DMADriverKit
import DMATestSupport
import Glibc
import Testing

extension DriverKitTests {
    @Suite("Foreign memory: regions")
    struct ForeignRegionTests {
        private let page = UInt64(PeerFile.page)

        @Test("a region has its bytes from the first to the last, and none outside")
        func bounds() throws {
            let memory = ForeignMemory()
            let file = PeerFile(sealed: 3, first: 0x10)
            try memory.insert(IOVA(0x10000), count: page + 1, access: [.read], file: file.descriptor, offset: page)
            #expect(try memory.bytes(0x10000, 1) == [0x11])
            #expect(try memory.bytes(0x10000 + page, 1) == [0x12])
            #expect(try memory.bytes(0x10000, Int(page) + 1) == file.bytes(Int(page), Int(page) + 1))
            for (start, count) in [
                (0xffff as UInt64, 1), (0xffff, 2), (0x10000 + page + 1, 1), (0x10000 + page, 2), (0, 1), (.max, 1),
            ] {
                #expect(refusal { () throws(DMAError) in _ = try memory.bytes(start, count) } == .unmappedAddress, "\(start)")
            }
            #expect(refusal { () throws(DMAError) in _ = try memory.bytes(.max, 2) } == .sizeOverflow)
            #expect(try memory.bytes(0xdead, 0) == [])
        }

        @Test("the last address of the 64-bit space can belong to a region")
        func highest() throws {
            let memory = ForeignMemory()
            let file = PeerFile(sealed: 1, first: 7)
            try memory.insert(IOVA(0 &- page), count: page, access: [.read, .write], file: file.descriptor)
            #expect(try memory.bytes(.max, 1) == [7])
            #expect(try memory.load(at: IOVA(.max - 7), as: UInt64.self) == 0x0707_0707_0707_0707)
            #expect(
                refusal { () throws(DMAError) in _ = try memory.load(at: IOVA(.max - 6), as: UInt64.self) } == .unmappedAddress)
            try memory.end(0 &- page, page)
        }

        @Test("invalid ranges, ranges beyond the file, and unaligned offsets are refused, and the table is unchanged")
        func refusals() throws {
            let memory = ForeignMemory(maximumRegions: 4, maximumCount: 1 << 40)
            let file = PeerFile(sealed: 2)
            let fd = file.descriptor
            func code(_ start: UInt64, _ count: UInt64, _ offset: UInt64 = 0, file: Int32? = nil) -> DMAError.Code? {
                refusal { () throws(DMAError) in
                    try memory.insert(IOVA(start), count: count, access: [.read], file: file ?? fd, offset: offset)
                }
            }
            #expect(code(0, 0) == .zeroLength)
            #expect(code(.max, 2) == .sizeOverflow)
            #expect(code(1, (1 << 40) + 1) == .mappingTooLarge)
            #expect(code(0, .max) == .mappingTooLarge)
            #expect(code(0, page, 1) == .misaligned)
            #expect(code(0, page, page - 1) == .misaligned)
            #expect(code(0, page, .max) == .misaligned)
            #expect(code(0, page, 0 &- page) == .outOfRange)
            #expect(code(0, page, 2 * page) == .outOfRange)
            #expect(code(0, 2 * page, page) == .outOfRange)
            #expect(code(0, 1 << 40) == .outOfRange)
            #expect(code(0, page, file: -1) == .kernelRefused)
            #expect(code(0, page, file: 1 << 20) == .kernelRefused)
            #expect(memory.regionCount == 0)
            for place in 0..<4 as Range<UInt64> { #expect(code(place * page, page) == nil) }
            #expect(code(4 * page, page) == .tooManyRegions)
            #expect(memory.regionCount == 4)
            try memory.end(0, page)
            #expect(code(4 * page, page) == nil)
        }

        @Test("every overlap is refused, also with the identical region, and changes nothing")
        func overlaps() throws {
            let memory = ForeignMemory()
            let file = PeerFile(sealed: 16, first: 1)
            try memory.insert(IOVA(4 * page), count: 2 * page, access: [.read], file: file.descriptor, offset: 0)
            try memory.insert(IOVA(8 * page), count: 2 * page, access: [.read], file: file.descriptor, offset: 2 * page)
            let before = Holdings.now
            for start in 0..<12 as Range<UInt64> {
                for count in 1...(12 - start) {
                    let (first, end) = (start * page, (start + count) * page)
                    let meets = (first < 6 * page && 4 * page < end) || (first < 10 * page && 8 * page < end)
                    let code = refusal { () throws(DMAError) in
                        try memory.insert(IOVA(first), count: end - first, access: [.read], file: file.descriptor)
                    }
                    #expect(code == (meets ? .alreadyMapped : nil), "\(start) \(count)")
                    if code == nil { try memory.end(first, end - first) }
                }
            }
            #expect(Holdings.now == before)
            #expect(memory.regionCount == 2)
            #expect(try memory.bytes(4 * page, 1) == [1])
            #expect(try memory.bytes(8 * page, 1) == [3])
        }

        @Test("a region is removed only with its exact start and count")
        func exactRemoval() throws {
            let memory = ForeignMemory()
            let file = PeerFile(sealed: 8)
            try memory.insert(IOVA(4 * page), count: 4 * page, access: [.read], file: file.descriptor)
            for (start, count, code) in [
                (4 * page, 2 * page, DMAError.Code.unmapMismatch), (4 * page, 5 * page, .unmapMismatch),
                (4 * page, 0, .unmapMismatch),
                (5 * page, 3 * page, .notMapped), (5 * page, page, .notMapped), (0, 8 * page, .notMapped),
                (9 * page, page, .notMapped),
                (0, .max, .notMapped), (.max, .max, .notMapped),
            ] {
                #expect(refusal { () throws(DMAError) in try memory.end(start, count) } == code, "\(start) \(count)")
            }
            try memory.end(4 * page, 4 * page)
            #expect(refusal { () throws(DMAError) in try memory.end(4 * page, 4 * page) } == .notMapped)
            #expect(Holdings.now.peerMappings == 0)
        }

        @Test("permissions apply to the mapping and every access")
        func permissions() throws {
            let memory = ForeignMemory()
            let file = PeerFile(sealed: 4, first: 9)
            let base = Holdings.permissions
            #expect(base.isEmpty)
            for (access, bits) in [
                (DeviceAccess.read, "r--s"), (.write, "-w-s"), ([.read, .write], "rw-s"), ([], "---s"),
            ] as [(DeviceAccess, String)] {
                try memory.insert(IOVA(0x1000), count: page, access: access, file: file.descriptor)
                #expect(Holdings.permissions == [bits])
                let (reads, writes) = (access.contains(.read), access.contains(.write))
                #expect((refusal { () throws(DMAError) in _ = try memory.bytes(0x1000, 8) }) == (reads ? nil : .noPermission))
                #expect((refusal { () throws(DMAError) in try memory.put([9], 0x1000) }) == (writes ? nil : .noPermission))
                #expect(
                    (refusal { () throws(DMAError) in _ = try memory.load(at: IOVA(0x1000), as: UInt32.self) })
                        == (reads ? nil : .noPermission))
                #expect(
                    (refusal { () throws(DMAError) in try memory.store(0x0909_0909 as UInt32, at: IOVA(0x1000)) })
                        == (writes ? nil : .noPermission))
                #expect(
                    (refusal { () throws(DMAError) in _ = try memory.fetchAdd(0 as UInt32, at: IOVA(0x1000)) })
                        == (reads && writes ? nil : .noPermission))
                try memory.end(0x1000, page)
            }
            // A descriptor without that permission.
            let readOnly = PeerFile(shrinkable: 1, flags: O_RDONLY)
            do throws(DMAError) {
                try memory.insert(IOVA(0), count: page, access: [.write], file: readOnly.descriptor, unstable: .copied)
                Issue.record("a read-only descriptor was mapped for writing")
            } catch {
                #expect(error.code == .kernelRefused && error.errno == EACCES)
            }
        }

        @Test(
            "a thousand inserts and removals leave no descriptor and no mapping; nor do a dead peer, or a table that ends"
        )
        func nothingLeft() throws {
            let file = PeerFile(sealed: 4)
            let shrinkable = PeerFile(shrinkable: 4)
            let before = Holdings.now
            do {
                let memory = ForeignMemory()
                for round in 0..<1000 as Range<UInt64> {
                    try memory.insert(IOVA(round * page), count: page, access: [.read], file: file.descriptor, offset: page)
                    try memory.insert(
                        IOVA((round + 5000) * page), count: page, access: [.read, .write], file: shrinkable.descriptor,
                        unstable: .copied)
                    try memory.end(round * page, page)
                    try memory.end((round + 5000) * page, page)
                }
                #expect(Holdings.now == before)
                for round in 0..<1000 as Range<UInt64> {
                    // Not adjacent in the file either, so that the kernel merges none.
                    try memory.insert(
                        IOVA(round * 2 * page), count: page, access: [.read], file: file.descriptor, offset: (round % 4) * page)
                }
                #expect(memory.mappedCount == 1000 * page)
                // The kernel may have merged adjacent parts of the file that were mapped side by side.
                #expect(Holdings.now.peerMappings >= 250)
                try memory.removeAll(until: .after(milliseconds: 10_000))
                #expect(Holdings.now == before)
                #expect(memory.regionCount == 0)
                // The next client.
                try memory.insert(IOVA(0), count: page, access: [.read], file: file.descriptor)
                try memory.removeAll(until: .now)
                try memory.removeAll(until: .now)
                try memory.insert(IOVA(0), count: page, access: [.read], file: file.descriptor)
            }
            #expect(Holdings.now == before)
        }
    }
}

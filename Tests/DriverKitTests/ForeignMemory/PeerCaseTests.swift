// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMADriverKit
import DMATestSupport
import Testing

extension DriverKitTests {
    /// The cases of libvfio-user's own tests of its DMA regions (test/unit-tests.c, test/py/test_dma_map.py, test_dma_unmap.py,
    /// test_sgl_get_put.py, test_sgl_read_write.py, as of June 2026), as far as they concern regions and not messages: each by
    /// the property that it checks.
    @Suite("Foreign memory: the cases of libvfio-user's tests")
    struct PeerCaseTests {
        private let page = UInt64(PeerFile.page)

        @Test("a region one page larger than the maximum is refused; one of the maximum is not")
        func tooBig() throws {
            let memory = ForeignMemory(maximumCount: 8 * page)
            let file = PeerFile(sealed: 16)
            #expect(
                refusal { () throws(DMAError) in
                    try memory.insert(IOVA(0x10000), count: 9 * page, access: [.read, .write], file: file.descriptor)
                } == .mappingTooLarge)
            try memory.insert(IOVA(0x10000), count: 8 * page, access: [.read, .write], file: file.descriptor)
        }

        @Test("sixteen regions and one more; then all are removed at once, and sixteen are inserted again")
        func tooMany() throws {
            let memory = ForeignMemory(maximumRegions: 16)
            let file = PeerFile(sealed: 1)
            for _ in 0..<2 {
                for place in 1...17 as ClosedRange<UInt64> {
                    let code = refusal { () throws(DMAError) in
                        try memory.insert(IOVA(place * page), count: page, access: [.read, .write], file: file.descriptor)
                    }
                    #expect(code == (place == 17 ? .tooManyRegions : nil))
                }
                try memory.removeAll(until: .now)
                #expect(memory.regionCount == 0)
            }
        }

        @Test("a region is complete once it is inserted, and removed completely when its client was lost")
        func lost() throws {
            let memory = ForeignMemory()
            let file = PeerFile(sealed: 1)
            try memory.insert(IOVA(0x10000), count: page, access: [.read, .write], file: file.descriptor)
            #expect(try memory.bytes(0x10000, Int(page)).count == Int(page))
            try memory.removeAll(until: .after(milliseconds: 1000))
            #expect(refusal { () throws(DMAError) in _ = try memory.bytes(0x10000, 1) } == .unmappedAddress)
            #expect(Holdings.now.peerMappings == 0)
        }

        @Test("removing a region that does not exist is refused; removing one of three leaves the others unchanged")
        func removal() throws {
            let memory = ForeignMemory()
            let file = PeerFile(sealed: 3, first: 1)
            #expect(refusal { () throws(DMAError) in try memory.end(0x10000, page) } == .notMapped)
            for place in 0..<3 as Range<UInt64> {
                try memory.insert(
                    IOVA(0x1000 + place * 0x4000), count: page, access: [.read], file: file.descriptor, offset: place * page)
            }
            try memory.end(0x1000, page)
            #expect(memory.regionCount == 2)
            #expect(try memory.bytes(0x5000, 1) == [2])
            #expect(try memory.bytes(0x9000, 1) == [3])
            try memory.removeAll(until: .now)
            // Nothing is left to remove, which is no error.
            try memory.removeAll(until: .now)
        }

        @Test(
            "two descriptors of one file, side by side; the identical region again, which libvfio-user accepts and this table refuses"
        )
        func sameFile() throws {
            let memory = ForeignMemory()
            let file = PeerFile(sealed: 2, first: 4)
            let second = PeerFile(copyOf: file)
            try memory.insert(IOVA(0x1000), count: page, access: [], file: file.descriptor)
            try memory.insert(IOVA(0x1000 + page), count: page, access: [.read], file: second.descriptor, offset: page)
            #expect(try memory.bytes(0x1000 + page, 1) == [5])
            let before = Holdings.now
            #expect(
                refusal { () throws(DMAError) in
                    try memory.insert(IOVA(0x1000), count: page, access: [], file: second.descriptor)
                } == .alreadyMapped)
            #expect(Holdings.now == before)
            #expect(memory.regionCount == 2)
        }

        @Test("an address range: within one region, over two, beyond them, and without permission")
        func ranges() throws {
            let memory = ForeignMemory()
            let file = PeerFile(sealed: 6)
            try memory.insert(IOVA(0x1000), count: 0x4000, access: [.read, .write], file: file.descriptor)
            #expect(try memory.bytes(0x2000, 0x400).count == 0x400)
            #expect(refusal { () throws(DMAError) in _ = try memory.bytes(0x6000, 0x400) } == .unmappedAddress)
            #expect(refusal { () throws(DMAError) in _ = try memory.bytes(0x1000, 0x5000) } == .unmappedAddress)
            try memory.insert(IOVA(0x5000), count: 0x2000, access: [.read], file: file.descriptor, offset: 0x4000)
            #expect(try memory.bytes(0x1000, 0x5000) == file.bytes(0, 0x5000))
            #expect(refusal { () throws(DMAError) in try memory.put([1], 0x6000) } == .noPermission)
            #expect(
                refusal { () throws(DMAError) in try memory.put([UInt8](repeating: 0, count: 0x5000), 0x1000) } == .noPermission
            )
        }

        @Test(
            "64 bytes, and two pages and 42 bytes, written, read and seen by the peer: of mapped and of copied memory",
            arguments: [false, true])
        func readAndWrite(isCopied: Bool) throws {
            let memory = ForeignMemory()
            let start = 0x1000_0000 as UInt64
            let file = isCopied ? PeerFile(shrinkable: 16) : PeerFile(sealed: 16)
            try memory.insert(IOVA(start), count: 16 * page, access: [.read, .write], file: file.descriptor, unstable: .copied)
            for count in [64, 2 * Int(page) + 42] {
                let own = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
                try memory.put(own, start + 0x1000)
                #expect(try memory.bytes(start + 0x1000, count) == own)
                #expect(file.bytes(0x1000, count) == own)
            }
        }
    }

    @Suite("Foreign memory: random programs against a simple table")
    struct ForeignPropertyTests {
        /// The contents and existence of every byte of a small bus.
        @Test("every result and every byte equals that of a table of single bytes")
        func property() throws {
            var random = Seeded("ForeignPropertyTests")
            let page = UInt64(PeerFile.page)
            var (inserted, refused, moved) = (0, 0, 0)
            for _ in 0..<6 {
                let file = PeerFile(sealed: 4)
                let memory = ForeignMemory()
                var bytes = (0..<4).flatMap { [UInt8](repeating: UInt8($0), count: Int(page)) }
                var bus: [UInt64: (place: Int, writes: Bool)] = [:]
                var regions: [UInt64: UInt64] = [:]
                for _ in 0..<400 {
                    let start = UInt64.random(in: 0..<64, using: &random) * 61
                    let count = UInt64.random(in: 1..<300, using: &random)
                    switch Int.random(in: 0..<8, using: &random) {
                    case 0...2:
                        let (offset, writes) = (UInt64.random(in: 0..<4, using: &random) * page, Bool.random(using: &random))
                        let isFree = (start..<start + count).allSatisfy { bus[$0] == nil }
                        let code = refusal { () throws(DMAError) in
                            try memory.insert(
                                IOVA(start), count: count, access: writes ? [.read, .write] : [.read], file: file.descriptor,
                                offset: offset)
                        }
                        #expect(code == (isFree ? nil : .alreadyMapped))
                        if isFree {
                            for step in 0..<count { bus[start + step] = (Int(offset + step), writes) }
                            regions[start] = count
                            inserted += 1
                        } else {
                            refused += 1
                        }
                    case 3:
                        guard let (first, length) = regions.randomElement(using: &random) else { continue }
                        try memory.end(first, length)
                        regions[first] = nil
                        for step in 0..<length { bus[first + step] = nil }
                    case 4, 5:
                        let places = (start..<start + count).map { bus[$0]?.place }
                        if places.contains(nil) {
                            #expect(
                                refusal { () throws(DMAError) in _ = try memory.bytes(start, Int(count)) } == .unmappedAddress)
                        } else {
                            #expect(try memory.bytes(start, Int(count)) == places.compactMap { $0.map { bytes[$0] } })
                            moved += Int(count)
                        }
                    default:
                        let own = random.bytes(Int(count))
                        let found = (start..<start + count).map { bus[$0] }
                        let first = found.firstIndex { $0 == nil || $0?.writes == false }
                        let code = refusal { () throws(DMAError) in try memory.put(own, start) }
                        #expect(code == first.map { found[$0] == nil ? .unmappedAddress : .noPermission })
                        if first == nil {
                            for (step, place) in found.enumerated() { if let place { bytes[place.place] = own[step] } }
                            moved += Int(count)
                        }
                    }
                }
                #expect(memory.regionCount == regions.count)
                #expect(file.bytes(0, bytes.count) == bytes)
                try memory.removeAll(until: .now)
            }
            // A run in which nothing happened would prove nothing.
            #expect(inserted > 100 && refused > 100 && moved > 1000, "\(inserted) inserted, \(refused) refused, \(moved) bytes")
        }
    }
}

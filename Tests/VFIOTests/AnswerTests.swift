// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMATypes
import Testing

@testable import DMAVFIOAccess

@Suite("VFIO: answers of odd kernels")
struct AnswerTests {
    private func facts(_ answer: [UInt8]) throws -> VFIODevice {
        try VFIODevice(ScriptedKernel.address, by: nil, scripted { $0.answers["iommu"] = answer })
    }

    @Test("ranges with holes, 39 bits, and page sizes; the first page and what is no whole page are left out")
    func ranges() throws {
        let holes = try facts(ScriptedKernel.iommu([(0xfef0_0000, 0xffff_ffff_ffff), (0, 0xfedf_ffff)]))
        #expect(holes.busAddresses == [0x1000...0xfedf_ffff, 0xfef0_0000...0xffff_ffff_ffff])
        #expect(holes.pageSizes == [4096, 1 << 21, 1 << 30])
        #expect(holes.mappingLimit == 65_535)
        let narrow = try facts(ScriptedKernel.iommu([(0x1800, 0x7f_ffff_f7ff)], pages: 0xffff_ffff_ffff_f000, limit: nil))
        #expect(narrow.busAddresses == [0x2000...0x7f_ffff_efff])
        #expect(narrow.pageSizes.first == 4096 && narrow.pageSizes.last == 1 << 30 && narrow.mappingLimit == nil)
        let whole = try facts(ScriptedKernel.iommu([(0, .max)]))
        #expect(whole.busAddresses == [0x1000...UInt64.max])
    }

    @Test(
        "ranges that contradict each other, and none at all",
        arguments: [
            [(0, 0x1_0000), (0x8000, 0x2_0000)], [(0x8000, 0x7fff)], [], [(0, 0xfff)], [(0x1001, 0x1ffe)],
            [(0x1_0000, 0x2_0000), (0x1_0000, 0x2_0000)],
        ] as [[(UInt64, UInt64)]])
    func contradictions(_ ranges: [(UInt64, UInt64)]) throws {
        let error = opening(scripted { $0.answers["iommu"] = ScriptedKernel.iommu(ranges) })
        #expect(error?.code == .badConfiguration)
    }

    @Test("no page size that this machine can use, and a kernel that names no ranges")
    func pages() {
        for pages in [0, 0x800, 1 << 40] as [UInt64] {
            let answer = ScriptedKernel.iommu([(0, 0xffff_ffff)], pages: pages)
            #expect(opening(scripted { $0.answers["iommu"] = answer })?.code == .badConfiguration, "\(pages)")
        }
        let old = opening(scripted { $0.answers["iommu"] = ScriptedKernel.iommu(chain: []) })
        #expect(old?.detail.contains("5.4") == true)
    }

    @Test("capabilities in every order, unknown ones among them")
    func orders() throws {
        let entries: [ScriptedKernel.Entry] = [
            ScriptedKernel.rangesEntry([(0, 0xfff_ffff)]), (3, [16]), (0x7777, [1, 2, 3]), (2, [0, 0, 0, 0]),
        ]
        for order in permutations(entries) {
            let device = try facts(ScriptedKernel.iommu(chain: order))
            #expect(device.busAddresses == [0x1000...0xfff_ffff] && device.mappingLimit == 16)
        }
    }

    private func permutations<T>(_ items: [T]) -> [[T]] {
        guard items.count > 1 else { return [items] }
        return items.indices.flatMap { place in
            var rest = items
            let first = rest.remove(at: place)
            return permutations(rest).map { [first] + $0 }
        }
    }

    @Test("a chain that loops, points to itself, or leaves the answer; a list longer than its answer")
    func chains() {
        let good = ScriptedKernel.iommu([(0, 0xffff_ffff)])
        // The link of the first capability, at 24: to itself, back, beyond, and just short of the end.
        for link in [24, UInt32(good.count), .max, UInt32(good.count - 7), 0x8000_0000] as [UInt32] {
            var bad = good
            bad.replaceSubrange(28..<32, with: ScriptedKernel.words([link]))
            #expect(opening(scripted { $0.answers["iommu"] = bad })?.code == .badConfiguration, "\(link)")
        }
        for count in [2, 1 << 20, .max] as [UInt32] {
            var bad = good
            bad.replaceSubrange(32..<36, with: ScriptedKernel.words([count]))
            #expect(opening(scripted { $0.answers["iommu"] = bad })?.code == .badConfiguration, "\(count)")
        }
    }

    @Test("an answer longer than expected is read whole; one that grows each time, or is too long, is refused")
    func lengths() throws {
        var long = ScriptedKernel.iommu([(0, 0xffff_ffff)])
        long += [UInt8](repeating: 0xaa, count: 5000)
        #expect(try facts(long).busAddresses == [0x1000...0xffff_ffff])
        #expect(opening(scripted { $0.growth = 8 })?.code == .badConfiguration)
        #expect(opening(scripted { $0.growth = 1 << 20 })?.code == .badConfiguration)
        #expect(opening(scripted { $0.growth = .max - 100 })?.code == .badConfiguration)
    }

    @Test("every length of a region's answer from 0 to 4,096: an error or a region, and no trap")
    func everyLength() throws {
        let whole = ScriptedKernel.region(
            7, 16_384, 0, chain: [(9, [5]), ScriptedKernel.areasEntry((0..<100).map { ($0 * 128, 64) })])
        let padded = whole + [UInt8](repeating: 0xff, count: 4096)
        for length in 0...4096 {
            let kernel = scripted { $0.answers["region 0"] = Array(padded.prefix(max(length, 4))) }
            let result = Result { () throws(VFIORefusal) in try VFIORegion(kernel, 1, 0, device: "x") }
            if length >= whole.count {
                #expect(try result.get().areas.count == 100, "\(length)")
            } else if length < 32 {
                #expect(throws: VFIORefusal.self, "\(length)") { _ = try result.get() }
            } else {
                // Its chain is not all there.
                #expect(throws: VFIORefusal.self, "\(length)") { _ = try result.get() }
            }
        }
    }

    @Test("random bytes as every answer: errors, and no trap", arguments: 0..<40)
    func garbage(_ seed: UInt64) {
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        func next() -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state
        }
        for _ in 0..<50 {
            let kernel = ScriptedKernel()
            let keys = kernel.with { Array($0.answers.keys).sorted() }
            let key = keys[Int(next() % UInt64(keys.count))]
            kernel.with { state in
                var answer = state.answers[key] ?? []
                for _ in 0..<(1 + next() % 4) where answer.count > 4 {
                    answer[4 + Int(next() % UInt64(answer.count - 4))] = UInt8(truncatingIfNeeded: next())
                }
                state.answers[key] = answer
            }
            _ = opening(kernel)
            #expect(kernel.opened == 0)
        }
    }

    @Test("ranges of iommufd: more than the first room, and too many")
    func iommufd() throws {
        let node = "/sys/bus/pci/devices/\(ScriptedKernel.address)/vfio-dev"
        let many = scripted { state in
            state.folders[node] = ["vfio3"]
            state.ranges = (0..<200).flatMap { [UInt64($0) << 20, UInt64($0) << 20 | 0xffff] }
        }
        #expect(try VFIODevice(ScriptedKernel.address, by: .iommufd, many).busAddresses.count == 200)
        many.with { state in state.ranges = (0..<5000).flatMap { [UInt64($0) << 20, UInt64($0) << 20 | 0xffff] } }
        #expect(opening(many, by: .iommufd) != nil)
        #expect(many.opened == 0)
    }
}

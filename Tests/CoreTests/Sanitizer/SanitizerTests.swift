// SPDX-License-Identifier: Apache-2.0
import CDMA
import Testing

@testable import DMACore

/// One test for each identifier. The sanitizer is turned on for the process and stays on; every test reads only the reports
/// about its own domain, so that they do not disturb each other.
@Suite("Sanitizer")
struct SanitizerTests {
    let domain: Domain
    let memory = Pages()

    /// Imported memory of the client: four pages.
    @safe
    final class Pages: @unchecked Sendable {
        let start = UnsafeMutableRawPointer.allocate(byteCount: 16384, alignment: 4096)
        deinit { unsafe start.deallocate() }
    }

    init() {
        Sanitizer.enable()
        domain = Domain(name: "sanitized")
    }

    /// An address for tests; never 0.
    @unsafe
    static func pointer(_ address: UInt) -> UnsafeMutableRawPointer {
        unsafe UnsafeMutableRawPointer(bitPattern: address).unsafelyUnwrapped
    }

    func expect(
        _ identifier: SanitizerReport.Identifier, of domain: Domain? = nil, mappingKnown: Bool = true,
        location: SourceLocation = #_sourceLocation
    ) {
        let reports = Sanitizer.reports(for: (domain ?? self.domain).id)
        let found = reports.first { $0.identifier == identifier }
        #expect(found != nil, "\(reports)", sourceLocation: location)
        guard let found else { return }
        #expect(found.description.hasPrefix(identifier.rawValue), sourceLocation: location)
        if mappingKnown {
            #expect(found.mappingFile.hasSuffix("SanitizerTests.swift"), sourceLocation: location)
            #expect(found.mappingLine > 0, sourceLocation: location)
        }
    }

    func expectNothing(location: SourceLocation = #_sourceLocation) {
        #expect(Sanitizer.reports(for: domain.id).isEmpty, sourceLocation: location)
    }

    /// A separate function, because a lent region borrows its owner to the end of the function.
    private func isReadable(_ mapped: borrowing MappedBuffer) -> Bool {
        Sanitizer.check(region: mapped.region(at: 0), domain: domain.id, access: .read)
    }

    @Test("correct use is not reported")
    func silence() throws {
        let iova = try unsafe UnsafeMappings(domain).map(address: memory.start, count: 4096, direction: .bidirectional)
        try UnsafeMappings(domain).check(iova)
        try unsafe UnsafeMappings(domain).syncForCPU(iova, range: 0..<4096, direction: .fromDevice)
        try unsafe UnsafeMappings(domain).syncForDevice(iova, range: 10..<20, direction: .bidirectional)
        try unsafe UnsafeMappings(domain).unmap(iova, count: 4096, direction: .bidirectional)
        let mapped = try Buffer(count: 64).mapped(for: domain, direction: .toDevice)
        let isInOrder = isReadable(mapped)
        #expect(isInOrder)
        _ = try mapped.unmap()
        try domain.close()
        expectNothing()
    }

    @Test("DMA-S01: unmap of the error value")
    func s01() {
        for word in [IOVA.mappingError, IOVA(0)] {
            let code = refusal { () throws(DMAError) in
                try unsafe UnsafeMappings(domain).unmap(word, count: 1, direction: .toDevice)
            }
            #expect(code == .notMapped)
        }
        expect(.unmapInvalidAddress, mappingKnown: false)
    }

    @Test("DMA-S02: rule 33: unmap of a mapping that does not exist")
    func s02_rule33() throws {
        let iova = try unsafe UnsafeMappings(domain).map(address: memory.start, count: 4096, direction: .toDevice)
        try unsafe UnsafeMappings(domain).unmap(iova, count: 4096, direction: .toDevice)
        let code = refusal { () throws(DMAError) in
            try unsafe UnsafeMappings(domain).unmap(iova, count: 4096, direction: .toDevice)
        }
        #expect(code == .notMapped)
        expect(.unmapNotMapped, mappingKnown: false)
        let report = Sanitizer.reports(for: domain.id).first
        #expect(report?.file.hasSuffix("SanitizerTests.swift") == true)
        #expect(report?.rule == 33)
    }

    @Test("DMA-S03: unmap with another size")
    func s03() throws {
        let iova = try unsafe UnsafeMappings(domain).map(address: memory.start, count: 4096, direction: .toDevice)
        for count in [4095, 0, -1] {
            let code = refusal { () throws(DMAError) in
                try unsafe UnsafeMappings(domain).unmap(iova, count: count, direction: .toDevice)
            }
            #expect(code == .unmapMismatch)
        }
        expect(.unmapOtherSize)
        try unsafe UnsafeMappings(domain).unmap(iova, count: 4096, direction: .toDevice)
    }

    @Test("DMA-S04: unmap as another kind")
    func s04() throws {
        let iova = try unsafe UnsafeMappings(domain).map(address: memory.start, count: 4096, direction: .toDevice)
        let code = refusal { () throws(DMAError) in
            try unsafe UnsafeMappings(domain).unmapList(iova, originalCount: 1, direction: .toDevice)
        }
        #expect(code == .unmapMismatch)
        expect(.unmapOtherKind)
        try unsafe UnsafeMappings(domain).unmap(iova, count: 4096, direction: .toDevice)
    }

    @Test("DMA-S05: rule 34: unmap with another direction")
    func s05_rule34() throws {
        let iova = try unsafe UnsafeMappings(domain).map(address: memory.start, count: 4096, direction: .toDevice)
        let code = refusal { () throws(DMAError) in
            try unsafe UnsafeMappings(domain).unmap(iova, count: 4096, direction: .fromDevice)
        }
        #expect(code == .wrongDirection)
        expect(.unmapOtherDirection)
        try unsafe UnsafeMappings(domain).unmap(iova, count: 4096, direction: .toDevice)
    }

    @Test("DMA-S06: rule 32: unmap of a list with the mapped number instead of the original one")
    func s06_rule32() throws {
        let parts = unsafe [0, 4096].map { unsafe UnsafeMutableRawBufferPointer(start: memory.start + $0, count: 4096) }
        let regions = try unsafe UnsafeMappings(domain).mapList(parts, direction: .toDevice)
        #expect(regions.count == 1, "they are adjacent, so they merge")
        let first = regions[0].start
        let code = refusal { () throws(DMAError) in
            try unsafe UnsafeMappings(domain).unmapList(first, originalCount: 1, direction: .toDevice)
        }
        #expect(code == .unmapMismatch)
        expect(.unmapOtherCount)
        try unsafe UnsafeMappings(domain).syncForDevice(first, range: 4000..<5000, direction: .toDevice)
        try unsafe UnsafeMappings(domain).unmapList(first, originalCount: 2, direction: .toDevice)
    }

    @Test("DMA-S07: a thread's stack is mapped")
    func s07() throws {
        // By the stack's bounds: the address sanitizer keeps local variables elsewhere.
        var low: UInt = 0
        var high: UInt = 0
        #expect(unsafe cdma_stack_bounds(&low, &high) == 0)
        let start = unsafe Self.pointer(high - 256)
        let iova = try unsafe UnsafeMappings(domain).map(address: start, count: 16, direction: .fromDevice)
        try unsafe UnsafeMappings(domain).unmap(iova, count: 16, direction: .fromDevice)
        expect(.mapStack)
    }

    @Test("DMA-S08: program text is mapped")
    func s08() throws {
        let maps = try #require(ProcessMaps.current())
        let text = try #require(maps.ranges.first { $0.isExecutable })
        let start = unsafe Self.pointer(UInt(text.start))
        let iova = try unsafe UnsafeMappings(domain).map(address: start, count: 16, direction: .toDevice)
        try unsafe UnsafeMappings(domain).unmap(iova, count: 16, direction: .toDevice)
        expect(.mapText)
    }

    @Test("DMA-S09: a range that is not memory is mapped, or read-only memory for writing")
    func s09() throws {
        let low = unsafe Self.pointer(64)
        let first = try unsafe UnsafeMappings(domain).map(address: low, count: 16, direction: .toDevice)
        try unsafe UnsafeMappings(domain).unmap(first, count: 16, direction: .toDevice)
        expect(.mapInvalidRange)
        let other = Domain(name: "read-only")
        let maps = try #require(ProcessMaps.current())
        let constants = try #require(maps.ranges.first { !$0.isWritable && !$0.isExecutable })
        let start = unsafe Self.pointer(UInt(constants.start))
        let second = try unsafe UnsafeMappings(other).map(address: start, count: 16, direction: .fromDevice)
        try unsafe UnsafeMappings(other).unmap(second, count: 16, direction: .fromDevice)
        expect(.mapInvalidRange, of: other)
    }

    @Test("DMA-S10: rule 36: two mappings share a cache line, and a device writes one")
    func s10_rule36() throws {
        let first = try unsafe UnsafeMappings(domain).map(address: memory.start, count: 100, direction: .toDevice)
        let second = try unsafe UnsafeMappings(domain).map(address: memory.start + 100, count: 4, direction: .toDevice)
        expectNothing()
        let third = try unsafe UnsafeMappings(domain).map(address: memory.start + 104, count: 4, direction: .fromDevice)
        expect(.overlappingCacheLines)
        try unsafe UnsafeMappings(domain).unmap(third, count: 4, direction: .fromDevice)
        try unsafe UnsafeMappings(domain).unmap(second, count: 4, direction: .toDevice)
        try unsafe UnsafeMappings(domain).unmap(first, count: 100, direction: .toDevice)
    }

    @Test("DMA-S11: rule 31: a mapping's result was never checked")
    func s11_rule31() throws {
        let checked = unsafe UnsafeMappings(domain).mapUnchecked(address: memory.start, count: 64, direction: .toDevice)
        try UnsafeMappings(domain).check(checked)
        try unsafe UnsafeMappings(domain).unmap(checked, count: 64, direction: .toDevice)
        expectNothing()
        let word = unsafe UnsafeMappings(domain).mapUnchecked(address: memory.start, count: 64, direction: .toDevice)
        try unsafe UnsafeMappings(domain).unmap(word, count: 64, direction: .toDevice)
        expect(.mapErrorUnchecked)
        let refused = unsafe UnsafeMappings(domain).mapUnchecked(address: memory.start, count: 0, direction: .toDevice)
        #expect(refused == .mappingError)
        #expect(refusal { () throws(DMAError) in try UnsafeMappings(domain).check(refused) } == .backendFailed)
        #expect(refusal { () throws(DMAError) in try UnsafeMappings(domain).check(IOVA(4096)) } == .notMapped)
    }

    /// A device of 2 segments of 4096 bytes that cross no multiple of 8192.
    static func limited() -> Domain {
        var constraints = DeviceConstraints()
        constraints.maximumSegments = 2
        constraints.maximumSegmentSize = 4096
        constraints.segmentBoundary = 4096
        return Domain(name: "limited", constraints: constraints)
    }

    /// - Returns: the code with which a list of these ranges is refused.
    func refusedList(_ ranges: [Range<Int>], _ domain: Domain) -> DMAError.Code? {
        refusal { () throws(DMAError) in
            var parts: [UnsafeMutableRawBufferPointer] = unsafe []
            for range in ranges {
                unsafe parts.append(
                    UnsafeMutableRawBufferPointer(start: memory.start + range.lowerBound, count: range.count))
            }
            let regions = try unsafe UnsafeMappings(domain).mapList(parts, direction: .toDevice)
            try unsafe UnsafeMappings(domain).unmapList(regions[0].start, originalCount: ranges.count, direction: .toDevice)
        }
    }

    @Test("DMA-S12: rule 39: a list of more entries than the device's segments")
    func s12_rule39() {
        let limited = Self.limited()
        #expect(refusedList([0..<10, 20..<30], limited) == nil)
        #expect(refusedList([0..<10, 20..<30, 40..<50], limited) == .tooManySegments)
        expect(.listTooLong, of: limited, mappingKnown: false)
        #expect(refusedList([], limited) == .zeroLength)
        #expect(refusedList([5..<5], limited) == .zeroLength)
    }

    @Test("DMA-S13: rule 39: an entry that is longer than a segment")
    func s13_rule39() {
        let limited = Self.limited()
        #expect(refusedList([0..<4097], limited) == .mappingTooLarge)
        expect(.segmentTooLong, of: limited, mappingKnown: false)
    }

    @Test("DMA-S14: rule 39: an entry across the segment boundary")
    func s14_rule39() {
        let limited = Self.limited()
        #expect(refusedList([4000..<4200], limited) == .notContiguous)
        expect(.segmentAcrossBoundary, of: limited, mappingKnown: false)
    }

    @Test("DMA-S15: rule 35: sync of an address that is not mapped")
    func s15_rule35() {
        let code = refusal { () throws(DMAError) in
            try unsafe UnsafeMappings(domain).syncForCPU(IOVA(4096), range: 0..<1, direction: .toDevice)
        }
        #expect(code == .notMapped)
        expect(.syncNotMapped, mappingKnown: false)
    }

    @Test("DMA-S16: rule 35: sync beyond the mapping", arguments: [0..<101, -1..<1, 100..<200])
    func s16_rule35(range: Range<Int>) throws {
        let iova = try unsafe UnsafeMappings(domain).map(address: memory.start, count: 100, direction: .toDevice)
        let code = refusal { () throws(DMAError) in
            try unsafe UnsafeMappings(domain).syncForDevice(iova, range: range, direction: .toDevice)
        }
        #expect(code == .outOfRange)
        expect(.syncOutOfRange)
        try unsafe UnsafeMappings(domain).unmap(iova, count: 100, direction: .toDevice)
    }

    @Test("DMA-S17: rule 34: sync in another direction")
    func s17_rule34() throws {
        let iova = try unsafe UnsafeMappings(domain).map(address: memory.start, count: 100, direction: .toDevice)
        let code = refusal { () throws(DMAError) in
            try unsafe UnsafeMappings(domain).syncForCPU(iova, range: 0..<1, direction: .fromDevice)
        }
        #expect(code == .wrongDirection)
        expect(.syncWrongDirection)
        try unsafe UnsafeMappings(domain).unmap(iova, count: 100, direction: .toDevice)
    }

    @Test("DMA-S18: rule 33: leaks at close and at the domain's end, each with its line")
    func s18_rule33() throws {
        let first = try Buffer(count: 4096).mapped(for: domain, direction: .toDevice)
        _ = try unsafe UnsafeMappings(domain).map(address: memory.start, count: 64, direction: .fromDevice)
        #expect(refusal { () throws(DMAError) in try domain.close() } == .mappingsLeft)
        let leaks = Sanitizer.reports(for: domain.id).filter { $0.identifier == .leak }
        #expect(leaks.count == 2)
        #expect(Set(leaks.map(\.mappingLine)).count == 2)
        expect(.leak)
        #expect(first.count == 4096)
        let (other, backend) = try Self.leakyDomain(memory)
        #expect(Sanitizer.reports(for: other).map(\.identifier) == [.leak])
        #expect(backend.live.isEmpty, "a domain that ends removes the device's access to the memory")
    }

    static func leakyDomain(_ memory: Pages) throws -> (DomainID, RecordingBackend) {
        let (domain, backend) = try translatedDomain()
        _ = unsafe UnsafeMappings(domain).mapUnchecked(address: memory.start, count: 4096, direction: .toDevice)
        return (domain.id, backend)
    }

    @Test("DMA-S19: rule 18: memory is quarantined")
    func s19_rule18() throws {
        do {
            var mapped = try Buffer(count: 4096).mapped(for: domain, direction: .fromDevice)
            mapped.quarantine()
            expectNothing()
            let code = refusal { () throws(DMAError) in try mapped.withCPUAccess { _ throws(DMAError) in } }
            #expect(code == .quarantined)
            #expect(refusal { () throws(DMAError) in try mapped.syncForCPU() } == .quarantined)
            do throws(DMAError) {
                _ = try mapped.unmap()
                Issue.record("unmapped")
            } catch { #expect(error.code == .quarantined) }
        }
        expect(.quarantined)
        let entry = try #require(Quarantine.entries.first { $0.domain == domain.id })
        #expect(entry.file.hasSuffix("SanitizerTests.swift"))
        #expect(entry.ranges.count == 1)
        #expect(Quarantine.count >= 1)
        #expect(Quarantine.bytes >= 4096)
        #expect(refusal { () throws(DMAError) in try domain.close() } == .mappingsLeft)
        try unsafe Quarantine.unsafeRelease(entry.identifier)
        try domain.close()
    }

    @Test("DMA-S20: rule 29: an address outside every mapping")
    func s20_rule29() throws {
        let other = Domain(name: "other")
        var start = IOVA(0)
        do {
            let mapped = try Buffer(count: 4096).mapped(for: domain, direction: .bidirectional)
            start = mapped.iova
            let beyond = unsafe Region(
                unsafeStart: start, count: 4097, domain: domain.id, access: .read, owner: mapped)
            let isInOrder5 = Sanitizer.check(region: beyond, domain: domain.id, access: .read)
            #expect(!isInOrder5)
            expect(.outsideMappings, mappingKnown: false)
        }
        let ended = unsafe Region(unsafeStart: start, count: 4096, domain: domain.id, access: .read, owner: other)
        let isInOrder6 = Sanitizer.check(region: ended, domain: domain.id, access: .read)
        #expect(!isInOrder6, "its mapping has ended")
        let isInOrder7 = Sanitizer.check(region: ended, domain: other.id, access: .read)
        #expect(!isInOrder7)
        expect(.outsideMappings, of: other, mappingKnown: false)
        let isInOrder8 = Sanitizer.check(region: .none, domain: DomainID(rawValue: .max), access: .read)
        #expect(!isInOrder8)
    }

    @Test("DMA-S21: rule 34: an access that the mapping does not permit")
    func s21_rule34() throws {
        let mapped = try Buffer(count: 4096).mapped(for: domain, direction: .toDevice)
        let isInOrder9 = Sanitizer.check(region: mapped.region(at: 0), domain: domain.id, access: .write)
        #expect(!isInOrder9)
        expect(.accessNotPermitted)
    }

    @Test("DMA-S22: rule 38: a pool ends with leased blocks")
    func s22_rule38() throws {
        var pool = try Pool(try Buffer(count: 4096).mapped(for: domain, direction: .toDevice), blockSize: 64)
        let block = pool.lease()
        _ = consume pool
        expect(.poolInUse)
        _ = consume block
        #expect(domain.statistics.mappings == 0)
    }

    @Test("identifiers are unique, and each has a rule")
    func identifiers() {
        let all = SanitizerReport.Identifier.allCases
        #expect(Set(all.map(\.rawValue)).count == all.count)
        #expect(all.count == 22)
        for identifier in all { #expect(SanitizerReport(identifier, domain.id, "", at: nil, mapping: nil).rule > 0) }
    }

    @Test(
        "the list of mappings is untrusted input",
        arguments: [
            "zzzz", "-", "1000-", "1000-2000", "2000-1000 rw-p", "11112222333344445-5 rw-p", "1000-2000 rw-p\n1800-3000 rw-p",
            "1000-2000 ",
        ])
    func hostileMaps(text: String) {
        #expect(ProcessMaps(parsing: Array(text.utf8)) == nil)
    }

    @Test("a list torn by another thread is read again; one that never parses ends the reading")
    func tornMaps() {
        let (torn, whole) = ("1000-4000 rw-p\n3000-5000 rw-p\n", "1000-4000 rw-p\n5000-6000 rw-p\n")
        var reads = 0
        let maps = ProcessMaps.current {
            reads += 1
            return Array((reads < 3 ? torn : whole).utf8)
        }
        #expect(maps?.ranges.count == 2 && reads == 3)
        reads = 0
        let never = ProcessMaps.current {
            reads += 1
            return Array(torn.utf8)
        }
        #expect(never == nil && (2...1000).contains(reads))
        #expect(ProcessMaps.current { nil } == nil)
    }

    @Test("gaps are searched from the top, under the limit")
    func gaps() throws {
        let text = "10000-20000 rw-p 0\n30000-40000 r-xp 0\n50000-60000 rw-p 0\n"
        let maps = try #require(ProcessMaps(parsing: Array(text.utf8)))
        #expect(maps.gaps(of: 0x1000, alignment: 0x1000, highest: 0x5_ffff) == [0x4f000, 0x2f000])
        #expect(maps.gaps(of: 0x1000, alignment: 0x1000, highest: 0x2_8000 - 1) == [0x27000])
        #expect(maps.gaps(of: 0x11000, alignment: 0x1000, highest: 0x5_ffff).isEmpty)
        #expect(maps.covering(0x3_0000, 0x4_0000)?.count == 1)
        #expect(maps.covering(0x3_0000, 0x4_0001) == nil)
        #expect(maps.covering(0x2_0000, 0x2_0001) == nil)
    }
}

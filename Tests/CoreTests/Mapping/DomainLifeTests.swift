// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DMACore

@Suite("Lifetime of a domain")
struct DomainLifeTests {
    private final class Watch {
        weak var core: DomainCore?
        let id: DomainID
        let space: AddressSpace
        init(_ domain: Domain) { (core, id, space) = (domain.core, domain.id, domain.space) }
        var hasEnded: Bool { core == nil && space.registry(of: id) == nil }
    }

    @Test("it ends with its last object or its last mapping, whichever is later")
    func order() throws {
        var domain: Domain? = Domain(name: "short")
        let watch = Watch(try #require(domain))
        #expect(!watch.hasEnded)
        domain = nil
        #expect(watch.hasEnded, "no mapping was made")

        var second: Domain? = Domain(name: "kept by mappings")
        let other = Watch(try #require(second))
        let one = try Buffer(count: 4096).mapped(for: try #require(second), direction: .toDevice)
        let two = try Buffer(count: 4096).mapped(for: try #require(second), direction: .toDevice)
        second = nil
        #expect(!other.hasEnded)
        _ = try one.unmap()
        #expect(!other.hasEnded, "one mapping is left")
        _ = consume two
        #expect(other.hasEnded)
    }

    @Test("a mapping returns its domain, also after the last object has gone")
    func answers() throws {
        var domain: Domain? = Domain(name: "asked for")
        let watch = Watch(try #require(domain))
        let mapped = try Buffer(count: 4096).mapped(for: try #require(domain), direction: .toDevice)
        let isSame = mapped.domain.id == domain?.id
        #expect(isSame)
        domain = nil
        for _ in 0..<3 {
            var again: Domain? = mapped.domain
            #expect(again?.name == "asked for" && again?.id == watch.id)
            let next = try Buffer(count: 4096).mapped(for: try #require(again), direction: .toDevice)
            #expect(again?.statistics.mappings == 2)
            again = nil
            _ = try next.unmap()
            #expect(!watch.hasEnded)
        }
        var last: Domain? = mapped.domain
        _ = try mapped.unmap()
        #expect(!watch.hasEnded && last?.statistics.mappings == 0)
        last = nil
        #expect(watch.hasEnded)
    }

    @Test("lists, coherent memory, parts and pools keep it alive")
    func kinds() throws {
        func check(_ make: (Domain) throws -> any AnyObject) throws {
            var domain: Domain? = Domain(name: "kinds")
            let watch = Watch(try #require(domain))
            var kept: (any AnyObject)? = try make(try #require(domain))
            domain = nil
            #expect(!watch.hasEnded && kept != nil)
            kept = nil
            #expect(watch.hasEnded)
        }
        try check { Holder(try CoherentBuffer(count: 4096, domain: $0)) }
        try check { domain in
            var list = ScatterList()
            for _ in 0..<3 { list.append(try Buffer(count: 4096)) }
            return Holder(try list.mapped(for: domain, direction: .toDevice))
        }
        try check { Holder(try Pool(Buffer(count: 8192).mapped(for: $0, direction: .bidirectional), blockSize: 4096)) }
        try check { domain in
            var first = try Buffer(count: 8192).mapped(for: domain, direction: .toDevice)
            let second = try first.split(at: 4096)
            _ = consume first
            return Holder(second)
        }
    }

    private final class Holder<T: ~Copyable> {
        let value: T
        init(_ value: consuming T) { self.value = value }
    }

    @Test("mappings from raw addresses keep nothing alive, and end with the domain")
    func raw() throws {
        let backend = RecordingBackend()
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 4096)
        defer { unsafe memory.deallocate() }
        var domain: Domain? = try translatedDomain(backend: backend).0
        let watch = Watch(try #require(domain))
        _ = try unsafe UnsafeMappings(try #require(domain)).map(address: memory, count: 4096, direction: .toDevice)
        let typed = try Buffer(count: 4096).mapped(for: try #require(domain), direction: .toDevice)
        domain = nil
        #expect(!watch.hasEnded && backend.live.count == 2)
        var again: Domain? = typed.domain
        let second = try unsafe UnsafeMappings(try #require(again)).map(address: memory, count: 8192, direction: .toDevice)
        again = nil
        #expect(backend.live.count == 3 && second != .mappingError)
        _ = try typed.unmap()
        #expect(watch.hasEnded && backend.live.isEmpty && backend.mistakes.isEmpty)
    }

    @Test(
        "a mapping that its backend refused to end keeps it alive until the quarantine releases it", arguments: [false, true])
    func quarantined(isRaw: Bool) throws {
        let backend = RecordingBackend()
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { unsafe memory.deallocate() }
        var domain: Domain? = try translatedDomain(backend: backend).0
        let watch = Watch(try #require(domain))
        if isRaw {
            let raw = UnsafeMappings(try #require(domain))
            let place = try unsafe raw.map(address: memory, count: 4096, direction: .toDevice)
            backend.failUnmap(true)
            #expect(
                refusal { () throws(DMAError) in try unsafe raw.unmap(place, count: 4096, direction: .toDevice) }
                    == .backendFailed)
        } else {
            let typed = try Buffer(count: 4096).mapped(for: try #require(domain), direction: .toDevice)
            backend.failUnmap(true)
            _ = consume typed
        }
        domain = nil
        #expect(!watch.hasEnded && Quarantine.entries.count { $0.domain == watch.id } == 1)
        backend.failUnmap(false)
        #expect(try unsafe Quarantine.unsafeReleaseAll(of: watch.id) == 1)
        #expect(watch.hasEnded && backend.live.isEmpty)
    }

    /// A mapping that one of several tasks takes.
    private final class Slot: Sendable {
        private let mapped: Locked<MappedBuffer?>
        init(_ mapped: consuming sending MappedBuffer) { self.mapped = Locked(consume mapped) }
        /// Ends the mapping; before that, gets its domain and maps once more.
        func end(asking: Bool) throws {
            guard let mapped = mapped.withLock({ $0.take() }) else { return }
            if asking { _ = try Buffer(count: 4096).mapped(for: mapped.domain, direction: .fromDevice).unmap() }
            _ = try mapped.unmap()
        }
    }

    private final class Front: Sendable {
        private let domain: Locked<Domain?>
        init(_ domain: consuming sending Domain) { self.domain = Locked(consume domain) }
        func drop() { _ = domain.withLock { $0.take() } }
        func watch() throws -> Watch { try domain.withLock { Watch(try #require($0)) } }
        func slot() throws -> Slot {
            try domain.withLock { Slot(try Buffer(count: 4096).mapped(for: try #require($0), direction: .toDevice)) }
        }
    }

    @Test("objects and mappings that end on several threads at once end it once")
    func threads() async throws {
        for round in 0..<400 {
            let backend = RecordingBackend()
            let front = Front(round % 2 == 0 ? Domain(name: "threads") : try translatedDomain(backend: backend).0)
            let watch = try front.watch()
            let slots = try (0..<3).map { _ in try front.slot() }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { front.drop() }
                for (index, slot) in slots.enumerated() { group.addTask { try slot.end(asking: index == round % 3) } }
                try await group.waitForAll()
            }
            #expect(watch.hasEnded && backend.live.isEmpty && backend.mistakes.isEmpty)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import BenchmarkPeers
import DMACore
import DMAEngineKit
import Foundation
import Synchronization

/// Mappings made and ended per second by one thread and by two on one address space, and with many live mappings.
enum Maps {
    /// An IOMMU that does nothing.
    private final class NothingBackend: MappingBackend {
        func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {}
        func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 { count }
    }

    static func run() throws -> [Threads.Line] {
        let translation = Translation.translated(
            NothingBackend(), apertures: [0x10_0000...(1 << 48) - 1], pageSizes: [4096, 2 << 20])
        let identity = Domain(name: "identity")
        let translated = try Domain(name: "translated", translation: translation)
        let second = Domain(name: "second", space: translated.space)
        return [
            line("one device, CPU addresses", [identity, identity]),
            line("one device, translated", [translated, translated]),
            line("two devices of one address space, translated", [translated, second]),
        ]
    }

    /// One thread, with 10 live mappings and with a million, of one buffer of raw memory.
    static func flat() throws -> [Threads.Line] {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        // SAFETY: the mappings end with their domains, before the memory.
        defer { unsafe memory.deallocate() }
        return try [false, true].map { isTranslated in
            let domains = try [10, 1_000_000].map { alive in
                let translation = Translation.translated(
                    NothingBackend(), apertures: [0x10_0000...(1 << 48) - 1], pageSizes: [4096, 2 << 20])
                let domain = try isTranslated ? Domain(name: "flat", translation: translation) : Domain(name: "flat")
                let raw = UnsafeMappings(domain)
                for _ in 0..<alive { _ = try unsafe raw.map(address: memory, count: 4096, direction: .toDevice) }
                return domain
            }
            return Threads.line(isTranslated ? "translated" : "CPU addresses", "4 KiB", rounds: 9) {
                together([domains[$0 - 1]])
            }
        }
    }

    private static func line(_ what: String, _ domains: [Domain]) -> Threads.Line {
        Threads.line(what, "4 KiB", rounds: 9) { together(Array(domains.prefix($0))) }
    }

    /// A thread for each domain, on its own CPU; they start together. Returns the sum of their mappings, in millions per
    /// second.
    private static func together(_ domains: [Domain]) -> Double {
        let ready = Ready()
        let sum = Locked(0.0)
        let group = DispatchGroup()
        for (index, domain) in domains.enumerated() {
            group.enter()
            Thread.detachNewThread {
                peer_pin(Int32(index))
                ready.arrive(of: domains.count)
                let rate = maps(domain)
                sum.withLock { $0 += rate }
                group.leave()
            }
        }
        group.wait()
        return sum.withLock { $0 }
    }

    private final class Ready: Sendable {
        private let number = Atomic(0)

        func arrive(of all: Int) {
            number.wrappingAdd(1, ordering: .acquiringAndReleasing)
            while number.load(ordering: .acquiring) < all {}
        }
    }

    /// By elapsed time: a thread that waits for a lock uses no processor time. The sum of the addresses is returned in `used`.
    @inline(never)
    private static func maps(_ domain: Domain) -> Double {
        guard var buffer = try? Buffer(count: 4096) else { return 0 }
        var (number, sum): (Int, UInt64) = (0, 0)
        let begin = Deadline.now.nanoseconds
        var now = begin
        while now < begin + 100_000_000 {
            for _ in 0..<256 {
                guard let mapped = try? buffer.mapped(for: domain, direction: .bidirectional) else { return 0 }
                sum &+= mapped.iova.rawValue
                guard let back = try? mapped.unmap() else { return 0 }
                buffer = back
                number += 1
            }
            now = Deadline.now.nanoseconds
        }
        used.withLock { $0 &+= sum }
        return Double(number) * 1e3 / Double(now - begin)
    }

    private static let used = Locked<UInt64>(0)
}

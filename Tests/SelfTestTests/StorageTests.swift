// SPDX-License-Identifier: Apache-2.0

import DMAConformance
import DMACore
import DMAIOUringEngine
import DMASelfTest
import DMATestSupport
import Foundation
import Testing

/// A correct storage whose own reads fail from the third on.
private final class FailingStorage: ConformanceStorage {
    let base: FileStorage
    private let reads = Locked(0)

    init(_ base: FileStorage) { self.base = base }

    var count: Int { base.count }
    func put(_ bytes: [UInt8], at position: Int) { base.put(bytes, at: position) }
    func get(_ count: Int, at position: Int) -> [UInt8] {
        let isFine = reads.withLock { reads in
            reads += 1
            return reads < 3
        }
        return isFine ? base.get(count, at: position) : [UInt8](repeating: 0, count: count)
    }
    var failure: String? { reads.withLock { $0 < 3 ? nil : "the disk is gone" } }
}

/// A failure of the test's own resources is no finding about an engine.
@Suite("The test's own file", .serialized)
struct StorageTests {
    @Test(
        "a file that does not fit is refused before anything is tested",
        .enabled(if: Machine.canMount, Comment(rawValue: Machine.withoutMounts)))
    func full() throws {
        let scratch = try Scratch()
        for (name, size, errno) in [("small", "1m", ENOSPC), ("nearly", "63m", ENOSPC)] {
            let folder = try scratch.tmpfs(name, "size=\(size)")
            #expect(throws: DMAError(.kernelRefused, errno: errno)) { try FileStorage(in: folder) }
        }
        let folder = try scratch.tmpfs("large", "size=65m")
        let storage = try FileStorage(in: folder)
        // The blocks are allocated, so that no other process can take them.
        #expect(throws: DMAError(.kernelRefused, errno: ENOSPC)) { try FileStorage(in: folder, count: 2 << 20) }
        storage.put([1, 2, 3], at: 64 << 20 - 3)
        #expect(storage.get(3, at: 64 << 20 - 3) == [1, 2, 3] && storage.failure == nil)
    }

    @Test("the test's own failed reads and writes are recorded, the first of them")
    func own() throws {
        let storage = try FileStorage(in: "/dev/shm", count: 1 << 20)
        #expect(storage.get(8, at: 1 << 20).allSatisfy { $0 == 0 })
        #expect(storage.failure == "the test's own read of its file failed: fewer bytes than asked")
        storage.put([1], at: -5)
        #expect(storage.failure?.contains("read") == true)
    }

    @Test("a check whose own reads fail is not run, with the reason, and reports nothing about the engine")
    func failing() async throws {
        let file = try FileStorage(in: "/dev/shm", count: 8 << 20)
        let storage = FailingStorage(file)
        var provisions = IOUringProvisions.provisions(file)
        provisions.storage = storage
        let suite = ConformanceSuite(
            seed: 7, iterations: 8, maximumBytes: 4096, domain: Domain(name: "failing"), duration: 60_000_000_000,
            patience: 10_000_000_000, only: [.peripheral])
        let report = await suite.run(
            "io_uring",
            makeEngine: { () throws(DMAError) in try IOUringProvisions.engine(IOUringConfiguration(path: .threads), file) },
            provisions: provisions)
        let outcome = try #require(report.rows.first?.outcome)
        #expect(outcome == .notRun("could not be tried: the disk is gone"))
        #expect(report.failures.isEmpty && report.passed)
    }
}

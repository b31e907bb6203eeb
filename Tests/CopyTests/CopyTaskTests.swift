// SPDX-License-Identifier: Apache-2.0

import DMACopy
import DMACore
import DMATestSupport
import Testing

@Suite("Copies as tasks")
struct CopyTaskTests {
    /// What a copy's watcher was told.
    private final class Log: Sendable {
        private let entries = Locked<[CopyProgress]>([])
        var all: [CopyProgress] { entries.withLock { $0 } }
        func add(_ progress: CopyProgress) { entries.withLock { $0.append(progress) } }
    }

    @Test("progress is told in order, ten times a second at most, and ends with all bytes")
    func progress() async throws {
        let scratch = try Scratch()
        var options = CopyOptions()
        options.rate = 4 << 20
        options.chunk = 16 << 10
        options.verifies = true
        let log = Log()
        let began = Deadline.now
        let report = try await Copier().copy(
            from: .pattern(seed: 1, size: 2 << 20), to: .path(scratch.at("b")), options, progress: { log.add($0) })
        let tenths = (Deadline.now.nanoseconds - began.nanoseconds) / 100_000_000 + 1
        let told = log.all
        #expect(report.verified && told.last?.phase == .done && told.last?.bytes == 2 << 20 && told.last?.fraction == 1)
        let copying = told.filter { $0.phase == .copying }
        #expect(copying.count >= 2 && zip(copying, copying.dropFirst()).allSatisfy { $0.bytes <= $1.bytes })
        #expect(copying.allSatisfy { $0.total == 2 << 20 && ($0.fraction ?? 2) <= 1 })
        // Each phase counts for itself: what is compared begins at nothing.
        #expect(told.first { $0.phase == .verifying }?.bytes == 0)
        let phases = told.map(\.phase).reduce(into: [CopyProgress.Phase]()) { if $0.last != $1 { $0.append($1) } }
        #expect(phases == [.copying, .verifying, .flushing, .done])
        // One more for each phase that began.
        #expect(Int64(told.count) <= tenths + Int64(phases.count), "\(told.count) in \(tenths) tenths of a second")
    }

    @Test("a cancelled task ends its copy, and the old file stands", .timeLimit(.minutes(1)))
    func cancelled() async throws {
        let scratch = try Scratch()
        try scratch.write("b", [1, 2, 3])
        let path = scratch.at("b")
        // Before it begins, and on the way.
        for waits in [false, true] {
            let (begun, beginning) = AsyncStream.makeStream(of: Void.self)
            let task = Task {
                var options = CopyOptions()
                options.rate = 1 << 20
                return try await Copier().copy(from: .zero(1 << 30), to: .path(path), options) { progress in
                    if progress.bytes > 0 { beginning.yield() }
                }
            }
            if waits { for await _ in begun { break } }
            task.cancel()
            await #expect { _ = try await task.value } throws: { ($0 as? CopyFailure)?.code == .cancelled }
        }
        #expect(try scratch.read("b") == [1, 2, 3])
        #expect(try scratch.names() == ["b"])
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit

/// An engine whose results the test sets word by word; it moves nothing.
struct ScriptedEngine: ~Copyable, Engine {
    /// A record of its calls, readable after its end.
    final class Log: @unchecked Sendable {
        private(set) var events: [String] = []
        func note(_ event: String) { events.append(event) }
    }
    struct Settings: Equatable, Sendable { var rate: UInt32 }

    var capabilities: Capabilities
    var addressing = EngineAddressing.cpu
    var isGone = false
    /// The result of `enqueue`.
    var result = EnqueueResult.accepted
    var stops = true
    /// The completion of each transaction, without its tag.
    var ending = Completion(tag: 0)
    /// Reported before everything else; cyclic transactions then do not end on their own.
    var periods: [Completion] = []
    let log: Log
    private(set) var queued: [UInt32] = []
    private(set) var descriptors: [Descriptor] = []
    private var issued = 0

    init(_ operations: OperationSet = [.copy, .fill, .cyclic, .null], depth: Int = 4, log: Log = Log()) {
        capabilities = Capabilities(name: "scripted", operations: operations, depth: depth)
        self.log = log
    }

    deinit { log.note("end") }

    @unsafe mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        guard result == .accepted else { return result }
        queued.append(tag)
        descriptors.append(descriptor)
        return .accepted
    }
    mutating func issuePending() { issued = queued.count }
    mutating func next() -> Completion? {
        if !periods.isEmpty { return periods.removeFirst() }
        let isEndless = descriptors.first?.kind == .cyclic && ending == Completion(tag: 0)
        guard !isEndless, issued > 0, !isGone, stops else { return nil }
        issued -= 1
        var completion = ending
        completion.tag = queued.removeFirst()
        return completion
    }
    mutating func terminate() { log.note("terminate") }
    mutating func quiesce(by deadline: Deadline) -> Bool {
        log.note("quiesce")
        if stops { (queued, issued) = ([], 0) }
        return stops
    }
    mutating func willBeParked() { log.note("parked") }
    mutating func apply(_ settings: Settings) throws(DMAError) {
        guard settings.rate <= 192_000 else { throw DMAError(.badConfiguration, asked: UInt64(settings.rate), limit: 192_000) }
        log.note("rate \(settings.rate)")
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMADriverKit
internal import DMAEngineKit

/// Wakes suspended tasks when completions arrive: started by the first transaction with the interrupt flag.
///
/// The carrier signals an event for each completion while a task waits. The watcher's thread does not evaluate completions,
/// which only the engine can do: it resumes the task, whose engine then polls and counts an interrupt if there is one.
struct Watcher {
    private let event: EventDescriptor
    private let watcher: EventWatcher

    /// The event that is signalled for each completion.
    var descriptor: Int32 { event.descriptor }

    /// Nil where the system has no event or no thread available; waiting then polls.
    ///
    /// - Parameter view: of a ring that stays until ``stop()`` has returned.
    init?(_ view: RingView, _ line: InterruptLine) {
        // SAFETY: a ring's words are accessed only by atomics, from any thread.
        nonisolated(unsafe) let view = view
        do throws(DMAError) {
            event = try EventDescriptor()
            watcher = try EventWatcher()
            try watcher.add(event, line, hasMore: { unsafe Self.hasCompletions(view) })
        } catch { return nil }
    }

    /// Ends the thread, before the ring is closed.
    func stop() { watcher.stop() }

    /// Whether there are completions that the engine has not taken.
    private static func hasCompletions(_ view: RingView) -> Bool {
        // SAFETY: the engine stops the watcher before the ring is closed; the words are accessed only by atomics.
        if unsafe cdma_load_acquire32(view.completionHead) != cdma_load_acquire32(view.completionTail) { return true }
        return unsafe cdma_load_acquire32(view.submissionFlags) & (SubmissionFlags.taskRun | SubmissionFlags.overflow) != 0
    }
}

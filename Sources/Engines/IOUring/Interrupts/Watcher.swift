// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit
internal import DMAThreads
internal import SystemPackage

/// A thread that wakes suspended tasks when completions come: started by the first transaction that asks for an interrupt.
///
/// The carrier signals an event for each completion while somebody asks. The watcher does not judge completions, which only the engine
/// can do: it resumes the task, whose engine then looks, and counts an interrupt where there is one. A task that looks a moment before
/// the event and suspends a moment after it is found by looking again, until the engine has taken what there is.
// SAFETY: the word that the thread and the engine share is reached by atomics; the rest never changes, or is the engine's alone.
@safe
final class Watcher: @unchecked Sendable {
    /// Signalled for each completion.
    let event: FileDescriptor
    private let line: InterruptLine
    private let view: RingView
    private var thread: NativeThread?
    /// Atomic: whether the thread is to end.
    private let stopWord: UnsafeMutableRawPointer

    /// Nil where the system has no event or no thread to give; then waiting polls.
    init?(_ view: RingView, _ line: InterruptLine) {
        // SAFETY: just allocated, for 64 bytes; `deinit` alone frees them.
        guard let event = try? FileDescriptor(KernelResult(cdma_event_make(true))) else { return nil }
        self.event = event
        self.line = line
        self.view = view
        unsafe stopWord = .allocate(byteCount: 64, alignment: 64)
        unsafe stopWord.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
        guard let thread = try? NativeThread({ [self] in watch() }) else { return nil }
        self.thread = thread
    }

    deinit {
        // SAFETY: the thread holds this object while it runs, so that it has ended.
        unsafe stopWord.deallocate()
        ReleaseFailures.note(event.release())
    }

    /// Ends the thread, before the ring goes.
    func stop() {
        // SAFETY: the word lives as long as `self`, and is accessed by atomics alone.
        guard let thread else { return }
        unsafe cdma_store_release32(stopWord, 1)
        ReleaseFailures.note(KernelResult(cdma_event_signal(event.rawValue)))
        thread.join()
        self.thread = nil
    }

    // SAFETY: as above.
    private var isStopping: Bool { unsafe cdma_load_acquire32(stopWord) != 0 }

    private func watch() {
        while true {
            // Sleeps until there is something. Where that fails for good, the thread must not turn without sleeping.
            let cleared = KernelResult(cdma_event_clear(event.rawValue))
            if let errno = cleared.errno, errno != .interrupted { cdma_sleep_until(cdma_monotonic_nanoseconds() + 2_000_000) }
            var pause: Int64 = 20_000
            while !isStopping, !line.nudge(), hasCompletions {
                cdma_sleep_until(cdma_monotonic_nanoseconds() + pause)
                pause = min(pause * 2, 2_000_000)
            }
            if isStopping { return }
        }
    }

    /// Whether there is something that the engine has not taken.
    private var hasCompletions: Bool {
        // SAFETY: the engine stops the watcher before the ring goes; the words are accessed by atomics alone.
        if unsafe cdma_load_acquire32(view.completionHead) != cdma_load_acquire32(view.completionTail) { return true }
        return unsafe cdma_load_acquire32(view.submissionFlags) & (SubmissionFlags.taskRun | SubmissionFlags.overflow) != 0
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAThreads
internal import SystemPackage

/// A ring served by threads, for machines where io_uring is absent or forbidden. It has the kernel's layout, so that the engine
/// above handles both alike.
///
/// The engine writes submissions and takes completions without a lock; the workers share a lock of their own.
// SAFETY: the engine's side is used by the one thread that has the engine; the words shared with the workers are accessed by
// atomics, and the workers are serialized by the lock.
@safe
final class ThreadRing: Carrier, @unchecked Sendable {
    // Shared state lies in raw memory and is accessed by atomic instructions, or under the workers' lock.
    let view: RingView
    let operations: [Bool]
    private let words: UnsafeMutableRawPointer
    private let submissions: UnsafeMutableRawPointer
    private let completions: UnsafeMutableRawPointer
    /// Readable while running calls are to be cancelled.
    let cancelEvent: FileDescriptor
    private var threads: [NativeThread] = []
    /// The workers' locks: one takes submissions at a time, and one writes completions.
    private let taking = Locked(())
    private let giving = Locked(())

    // SAFETY: just allocated and cleared, for as many entries as the masks say; only `deinit` frees it, and the words lie 64
    // bytes apart in 1024.
    init(_ configuration: IOUringConfiguration, submissions count: Int) throws(DMAError) {
        cancelEvent = try FileDescriptor(KernelResult(cdma_event_make(false)))
        unsafe words = .allocate(byteCount: 1024, alignment: 64)
        unsafe words.initializeMemory(as: UInt8.self, repeating: 0, count: 1024)
        unsafe submissions = .allocate(byteCount: count * 64, alignment: 64)
        unsafe submissions.initializeMemory(as: UInt8.self, repeating: 0, count: count * 64)
        unsafe completions = .allocate(byteCount: count * 2 * 16, alignment: 64)
        unsafe completions.initializeMemory(as: UInt8.self, repeating: 0, count: count * 2 * 16)
        unsafe view = RingView(
            submissionHead: words, submissionTail: words + 64, submissionFlags: words + 128, completionHead: words + 192,
            completionTail: words + 256, submissions: submissions, completions: completions,
            submissionMask: UInt32(count - 1), completionMask: UInt32(count * 2 - 1), submissionShift: 6, completionShift: 4)
        operations = ThreadOperation.supported
        for _ in 0..<configuration.workers {
            do throws(DMAError) {
                threads.append(try NativeThread { [self] in work() })
            } catch {
                // Fewer threads than requested are enough; 0 are not.
                if threads.isEmpty { throw error }
            }
        }
    }

    deinit {
        // SAFETY: each thread keeps this object alive while it runs, so that all have ended.
        unsafe words.deallocate()
        unsafe submissions.deallocate()
        unsafe completions.deallocate()
        ReleaseFailures.note(cancelEvent.release())
    }

    /// Ends the threads. Bounded: waiting calls are cancelled, a running system call completes.
    func stop() {
        // SAFETY: the word lives as long as `self`, and is accessed only by atomics.
        unsafe cdma_store_release32(stopWord, 1)
        cancel(true)
        for thread in threads { thread.join() }
        threads = []
    }

    // MARK: Words

    // SAFETY: for each of these: the place lies in the 1024 bytes of this object, aligned for its word.
    /// The number of sleeping workers, and their futex.
    private var sleepers: UnsafeMutableRawPointer { unsafe words + 320 }
    private var doorbell: UnsafeMutableRawPointer { unsafe words + 384 }
    /// Whether the engine sleeps on the completion tail.
    private var waiting: UnsafeMutableRawPointer { unsafe words + 448 }
    private var stopWord: UnsafeMutableRawPointer { unsafe words + 512 }
    private var cancelWord: UnsafeMutableRawPointer { unsafe words + 576 }
    /// The name of a submission that is to be cancelled.
    private var cancelName: UnsafeMutableRawPointer { unsafe words + 832 }
    /// An event to signal for each completion, as a descriptor plus 1; 0 for none.
    private var eventWord: UnsafeMutableRawPointer { unsafe words + 768 }

    // SAFETY: for both: the words live as long as `self`, and are accessed only by atomics.
    var isStopping: Bool { unsafe cdma_load_acquire32(stopWord) != 0 }
    var isCancelling: Bool { unsafe cdma_load_acquire32(cancelWord) != 0 }

    /// Cancels one submission: at once, if it waits for its file.
    func cancel(name: UInt64) {
        // SAFETY: as above. One at a time: the previous one is noticed within a few microseconds, or had ended.
        let limit = cdma_monotonic_nanoseconds() + 10_000_000
        while unsafe cdma_load_acquire64(cancelName) != 0, cdma_monotonic_nanoseconds() < limit { cdma_relax() }
        unsafe cdma_store_release64(cancelName, name)
        ReleaseFailures.note(KernelResult(cdma_event_signal(cancelEvent.rawValue)))
    }
    /// Whether a submission is to be cancelled. The check clears the event, so that other workers are not woken for long.
    func isCancelled(_ name: UInt64) -> Bool { forgetCancellation(name) }

    @discardableResult
    private func forgetCancellation(_ name: UInt64) -> Bool {
        // SAFETY: as above.
        guard unsafe cdma_load_acquire64(cancelName) == name else { return false }
        unsafe cdma_store_release64(cancelName, 0)
        if !isCancelling { clearCancelEvent() }
        return true
    }

    private func clearCancelEvent() {
        let result = KernelResult(cdma_event_clear(cancelEvent.rawValue))
        // Another worker was faster.
        if result.errno != .resourceTemporarilyUnavailable { ReleaseFailures.note(result) }
    }

    /// Whether everything that waits ends with ECANCELED, and nothing new begins.
    func cancel(_ on: Bool) {
        // SAFETY: as above.
        unsafe cdma_store_release32(cancelWord, on ? 1 : 0)
        if on {
            ReleaseFailures.note(KernelResult(cdma_event_signal(cancelEvent.rawValue)))
            ring(.max)
        } else {
            clearCancelEvent()
        }
    }

    private func ring(_ number: Int32) {
        // SAFETY: as above.
        unsafe cdma_fetch_add32(doorbell, 1)
        if unsafe cdma_load_ordered32(sleepers) != 0 { unsafe cdma_futex_wake(doorbell, number) }
    }

    // MARK: Carrier

    var isKernel: Bool { false }
    var submissionMethod: SubmissionMethod { SubmissionMethod(kind: .carrier, ring: -1, flags: 0) }

    func submit(_ count: UInt32) -> KernelResult {
        ring(Int32(clamping: count))
        return KernelResult(Int32(clamping: count))
    }

    func reap() -> KernelResult { .success }

    func wait(_ count: UInt32, nanoseconds: Int64) -> KernelResult {
        // SAFETY: as above; the kernel compares the futex before it sleeps.
        if count > 0 { ring(Int32(clamping: count)) }
        let seen = unsafe cdma_load_acquire32(view.completionTail)
        guard unsafe seen == cdma_load_acquire32(view.completionHead) else { return .success }
        unsafe cdma_fetch_add32(waiting, 1)
        unsafe cdma_futex_wait(view.completionTail, seen, nanoseconds)
        unsafe cdma_fetch_add32(waiting, .max)
        return unsafe cdma_load_acquire32(view.completionTail) == seen ? KernelResult(.timeout) : .success
    }

    func signal(_ event: Int32) -> Bool {
        // SAFETY: as above.
        unsafe cdma_store_release32(eventWord, UInt32(bitPattern: event) &+ 1)
        return true
    }

    func register(_ operation: UInt32, _ argument: UnsafeMutableRawPointer?, _ count: UInt32) -> KernelResult {
        KernelResult(.noFunction)
    }

    // MARK: Workers

    private func work() {
        // SAFETY: as above.
        while true {
            // The ticket first: a stop between the two rings a doorbell whose new number the ticket has not. The other way round, a worker that had
            // seen no stop took the new number, and slept for an hour beside an engine that waited for its end.
            let ticket = unsafe cdma_load_acquire32(doorbell)
            if isStopping { return }
            var chain = take()
            if chain.isEmpty {
                unsafe cdma_fetch_add32(sleepers, 1)
                // One hour: only work wakes an idle worker.
                if unsafe cdma_load_ordered32(doorbell) == ticket {
                    unsafe cdma_futex_wait(doorbell, ticket, 3_600_000_000_000)
                }
                unsafe cdma_fetch_add32(sleepers, .max)
                continue
            }
            run(&chain)
        }
    }

    /// A chain of linked submissions stops at the first short one (io_uring_enter(2), IOSQE_IO_LINK).
    private func run(_ chain: inout [cdma_uring_sqe]) {
        var isBroken = false
        for entry in chain {
            if isBroken {
                give(entry.user_data, KernelResult(.canceled))
                continue
            }
            let result = ThreadOperation.run(entry, self)
            isBroken = ThreadOperation.breaksChain(entry, result)
            give(entry.user_data, result)
        }
    }

    private func take() -> [cdma_uring_sqe] {
        taking.withLock { _ in
            var chain: [cdma_uring_sqe] = []
            var head = unsafe cdma_load_acquire32(view.submissionHead)
            let tail = unsafe cdma_load_acquire32(view.submissionTail)
            while head != tail {
                // SAFETY: the engine wrote the entry before it moved the tail, and writes to it again only after the head has moved.
                let entry = unsafe view.submission(head).pointee
                chain.append(entry)
                head &+= 1
                if entry.flags & EntryFlags.link == 0 { break }
            }
            unsafe cdma_store_release32(view.submissionHead, head)
            return chain
        }
    }

    private func give(_ userData: UInt64, _ result: KernelResult) {
        // It may have ended before a worker noticed its cancellation: a later submission must not inherit it.
        forgetCancellation(userData)
        giving.withLock { _ in
            let tail = unsafe cdma_load_acquire32(view.completionTail)
            // SAFETY: there is room, because the ring is twice as long as the submission ring; and one worker writes at a time.
            unsafe view.completion(tail).pointee = cdma_uring_cqe(user_data: userData, result: result.rawValue, flags: 0)
            unsafe cdma_store_release32(view.completionTail, tail &+ 1)
            cdma_full_barrier()
        }
        let event = unsafe cdma_load_acquire32(eventWord)
        if event != 0 { ReleaseFailures.note(KernelResult(cdma_event_signal(Int32(bitPattern: event &- 1)))) }
        if unsafe cdma_load_ordered32(waiting) != 0 { unsafe cdma_futex_wake(view.completionTail, .max) }
    }
}

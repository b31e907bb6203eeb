// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import SystemPackage

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// An io_uring of the kernel: created, mapped, and closed at its end.
///
/// Source: io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
@safe
final class KernelRing: Carrier {
    let descriptor: FileDescriptor
    let view: RingView
    let setup: UInt32
    let features: UInt32
    let operations: [Bool]
    private let rings: UnsafeMutableRawPointer
    private let ringBytes: Int
    private let entries: UnsafeMutableRawPointer
    private let entryBytes: Int
    private var isDisabled: Bool
    /// The thread that enabled a ring of one thread.
    private var owner: pthread_t?
    /// The argument of io_uring_enter(2): the descriptor, or its index among the thread's registered ones.
    private var number: Int32
    private var numberFlags: UInt32 = 0

    /// Tries the setups that suit the configuration, the best first.
    ///
    /// - Parameter submissions: the number of submission entries.
    /// - Throws: `kernelRefused` with the kernel's error for the simplest one.
    // SAFETY: the kernel reads and writes a local structure, in which it returns the lengths of its rings and the offsets of
    // their words; the mappings below are made for those numbers and kept by this object.
    init(_ configuration: IOUringConfiguration, submissions: Int, wide: Bool = false) throws(DMAError) {
        var params = cdma_uring_params()
        var result = KernelResult(.invalidArgument)
        for flags in Self.setups(configuration, wide: wide) {
            params = cdma_uring_params()
            params.flags = flags
            params.cq_entries = UInt32(submissions * 2)
            params.sq_thread_idle = UInt32(configuration.submissionIdle)
            result = KernelResult(unsafe cdma_uring_setup(UInt32(submissions), &params))
            // EINVAL: a flag that this kernel does not support. EPERM and ENOMEM may concern the submission thread.
            if result.errno == nil || flags == Self.plain { break }
        }
        let ring = try FileDescriptor(result)
        let needed = RingFeature.singleMap | RingFeature.noDrop | RingFeature.waitArgument | RingFeature.currentPosition
        guard params.features & needed == needed else {
            ReleaseFailures.note(ring.release())
            // Older than 5.11: features that the engine requires are missing.
            throw DMAError(.kernelRefused, errno: Errno.noFunction.rawValue)
        }
        descriptor = ring
        number = ring.rawValue
        setup = params.flags
        features = params.features
        isDisabled = setup & SetupFlags.disabled != 0
        let submissionShift: UInt32 = setup & SetupFlags.entries128 != 0 ? 7 : 6
        let completionShift: UInt32 = setup & SetupFlags.completions32 != 0 ? 5 : 4
        let array = setup & SetupFlags.noArray != 0 ? 0 : Int(params.sq.array) + Int(params.sq_entries) * 4
        ringBytes = max(array, Int(params.cq.cqes) + Int(params.cq_entries) << Int(completionShift))
        entryBytes = Int(params.sq_entries) << Int(submissionShift)
        var memory: UnsafeMutableRawPointer?
        var mapped = KernelResult(unsafe cdma_uring_map(ring.rawValue, 0, ringBytes, &memory))
        guard mapped.errno == nil, let rings = unsafe memory else {
            ReleaseFailures.note(ring.release())
            throw DMAError(.kernelRefused, errno: -mapped.rawValue)
        }
        unsafe self.rings = unsafe rings
        mapped = KernelResult(unsafe cdma_uring_map(ring.rawValue, 0x1000_0000, entryBytes, &memory))
        guard mapped.errno == nil, let entries = unsafe memory else {
            ReleaseFailures.note(KernelResult(unsafe cdma_unmap(rings, ringBytes)))
            ReleaseFailures.note(ring.release())
            throw DMAError(.kernelRefused, errno: -mapped.rawValue)
        }
        unsafe self.entries = unsafe entries
        if setup & SetupFlags.noArray == 0 {
            // Submission i is always entry i.
            for index in 0..<params.sq_entries {
                unsafe (rings + Int(params.sq.array) + Int(index) * 4).storeBytes(of: index, as: UInt32.self)
            }
        }
        unsafe view = RingView(
            submissionHead: rings + Int(params.sq.head), submissionTail: rings + Int(params.sq.tail),
            submissionFlags: rings + Int(params.sq.flags), completionHead: rings + Int(params.cq.head),
            completionTail: rings + Int(params.cq.tail), submissions: entries, completions: rings + Int(params.cq.cqes),
            submissionMask: params.sq_entries - 1, completionMask: params.cq_entries - 1, submissionShift: submissionShift,
            completionShift: completionShift)
        operations = Self.probe(ring)
    }

    deinit {
        // SAFETY: mapped in `init`; the users of the view have ended, or have quarantined their memory and keep this object.
        ReleaseFailures.note(KernelResult(unsafe cdma_unmap(entries, entryBytes)))
        ReleaseFailures.note(KernelResult(unsafe cdma_unmap(rings, ringBytes)))
        ReleaseFailures.note(descriptor.release())
    }

    private static let plain = SetupFlags.clamp | SetupFlags.completionSize

    private static func setups(_ configuration: IOUringConfiguration, wide: Bool) -> [UInt32] {
        var base = plain
        if wide { base |= SetupFlags.entries128 | SetupFlags.completions32 }
        if configuration.polledCompletions { base |= SetupFlags.completionPolling }
        var list: [UInt32] = []
        let newest = base | SetupFlags.submitAll | SetupFlags.noArray
        if configuration.submissionThread {
            list += [newest | SetupFlags.submissionThread, base | SetupFlags.submissionThread]
        }
        let cooperative = SetupFlags.cooperative | SetupFlags.taskRunFlag
        if configuration.threading == .pinnedToThread {
            // Disabled at first: the thread that enables it becomes the only one.
            let single = SetupFlags.singleIssuer | SetupFlags.deferTaskRun | SetupFlags.taskRunFlag | SetupFlags.disabled
            list += [newest | single, base | SetupFlags.submitAll | single]
        }
        list += [newest | cooperative, base | SetupFlags.submitAll | cooperative, base | SetupFlags.submitAll, base]
        if base != plain, !wide { list.append(plain) }
        return list
    }

    static func probe(_ ring: FileDescriptor) -> [Bool] {
        // SAFETY: the structure has room for 256 operations, the number passed to the kernel; the index stays below.
        var probe = cdma_uring_probe()
        let result = unsafe withUnsafeMutablePointer(to: &probe) {
            KernelResult(unsafe cdma_uring_register(ring.rawValue, RegisterOperation.probe, $0, 256))
        }
        var list = [Bool](repeating: false, count: 256)
        guard result.errno == nil else { return list }
        unsafe withUnsafeBytes(of: &probe.operations) { bytes in
            let entries = unsafe bytes.bindMemory(to: cdma_uring_probe_operation.self)
            for index in 0..<min(Int(probe.count), 256) where unsafe entries[index].flags & 1 != 0 {
                list[Int(unsafe entries[index].operation)] = true
            }
        }
        return list
    }

    // MARK: Carrier

    var isKernel: Bool { true }

    var belongsToCaller: Bool { owner.map { pthread_equal($0, pthread_self()) != 0 } ?? true }
    var completesByCall: Bool { setup & (SetupFlags.deferTaskRun | SetupFlags.completionPolling) != 0 }

    var submissionMethod: SubmissionMethod {
        if isDisabled { return SubmissionMethod(kind: .carrier, ring: -1, flags: 0) }
        let kind: SubmissionMethod.Kind = setup & SetupFlags.submissionThread != 0 ? .kernelThread : .systemCall
        return SubmissionMethod(kind: kind, ring: number, flags: numberFlags)
    }

    /// Why io_uring_enter(2), which does nothing here, is refused; nil where it is not.
    var refusesEntry: Errno? {
        let result = KernelResult(cdma_uring_enter(number, 0, 0, numberFlags, nil, 0))
        // A disabled ring returns EBADFD where the call is permitted.
        if isDisabled, result.rawValue == -EBADFD { return nil }
        return result.errno == .interrupted ? nil : result.errno
    }

    func submit(_ count: UInt32) -> KernelResult {
        if isDisabled, let refusal = enable() { return refusal }
        let wakes = setup & SetupFlags.submissionThread != 0 ? EnterFlags.wakeUp : 0
        return KernelResult(cdma_uring_enter(number, count, 0, numberFlags | wakes, nil, 0))
    }

    func reap() -> KernelResult {
        if isDisabled, let refusal = enable() { return refusal }
        return KernelResult(cdma_uring_enter(number, 0, 0, numberFlags | EnterFlags.getEvents, nil, 0))
    }

    func wait(_ count: UInt32, nanoseconds: Int64) -> KernelResult {
        // SAFETY: the structures are local and lent for the call; the word is the ring's.
        if isDisabled, let refusal = enable() { return refusal }
        var time = cdma_uring_timespec(seconds: nanoseconds / 1_000_000_000, nanoseconds: nanoseconds % 1_000_000_000)
        var submitting: UInt32 = count
        var flags = numberFlags | EnterFlags.getEvents | EnterFlags.argument
        if setup & SetupFlags.submissionThread != 0 {
            submitting = 0
            cdma_full_barrier()
            if unsafe cdma_load_acquire32(view.submissionFlags) & SubmissionFlags.needWakeUp != 0 { flags |= EnterFlags.wakeUp }
        }
        return unsafe withUnsafeMutablePointer(to: &time) { time in
            var argument = cdma_uring_wait()
            argument.timeout = UInt64(UInt(bitPattern: time))
            return KernelResult(
                unsafe cdma_uring_enter(number, submitting, 1, flags, &argument, MemoryLayout<cdma_uring_wait>.size))
        }
    }

    func signal(_ event: Int32) -> Bool {
        // SAFETY: the kernel reads four bytes, an `int`, before the call returns.
        unsafe withUnsafePointer(to: event) {
            unsafe register(RegisterOperation.eventFile, UnsafeMutableRawPointer(mutating: $0), 1).errno == nil
        }
    }

    func register(_ operation: UInt32, _ argument: UnsafeMutableRawPointer?, _ count: UInt32) -> KernelResult {
        // SAFETY: the callers vouch for the argument.
        KernelResult(unsafe cdma_uring_register(descriptor.rawValue, operation, argument, count))
    }

    /// Makes the calling thread the owner of the ring. Returns the kernel's error; nil for a success.
    private func enable() -> KernelResult? {
        // SAFETY: the structure is local and lent for the call.
        let enabled = unsafe register(RegisterOperation.enable, nil, 0)
        guard enabled.errno == nil else { return enabled }
        isDisabled = false
        owner = pthread_self()
        // The ring belongs to one thread: its descriptor can then be registered with that thread, which saves the look-up.
        var update = cdma_uring_resource_update()
        update.offset = .max
        update.data = UInt64(descriptor.rawValue)
        let result = unsafe withUnsafeMutablePointer(to: &update) {
            unsafe register(RegisterOperation.ringFile, $0, 1)
        }
        // A kernel older than 5.18 does not support this: every call then looks the descriptor up.
        guard result == KernelResult(1) else { return nil }
        number = Int32(bitPattern: update.offset)
        numberFlags = EnterFlags.registeredRing
        return nil
    }
}

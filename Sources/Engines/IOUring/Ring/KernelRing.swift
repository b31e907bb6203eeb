// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// A ring of the kernel's: made, mapped, and given back at its end.
///
/// Source: io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
@safe
final class KernelRing: Carrier {
    let descriptor: Int32
    let view: RingView
    let setup: UInt32
    let features: UInt32
    let operations: [Bool]
    private let rings: UnsafeMutableRawPointer
    private let ringBytes: Int
    private let entries: UnsafeMutableRawPointer
    private let entryBytes: Int
    private var isDisabled: Bool
    /// What io_uring_enter(2) is given: the descriptor, or its number among the thread's registered ones.
    private var number: Int32
    private var numberFlags: UInt32 = 0

    /// Tries the setups that suit the configuration, the best first.
    ///
    /// - Parameter submissions: how many submissions there are room for.
    /// - Throws: `kernelRefused` with what the kernel says of the plainest one.
    init(_ configuration: IOUringConfiguration, submissions: Int, wide: Bool = false) throws(DMAError) {
        var params = cdma_uring_params()
        var result: Int32 = -22
        for flags in Self.setups(configuration, wide: wide) {
            params = cdma_uring_params()
            params.flags = flags
            params.cq_entries = UInt32(submissions * 2)
            params.sq_thread_idle = UInt32(configuration.submissionIdle)
            result = unsafe cdma_uring_setup(UInt32(submissions), &params)
            // EINVAL: a flag that this kernel does not know. EPERM and ENOMEM may be the submission thread's.
            if result >= 0 || flags == Self.plain { break }
        }
        guard result >= 0 else { throw DMAError(.kernelRefused, errno: -result) }
        let needed = RingFeature.singleMap | RingFeature.noDrop | RingFeature.waitArgument | RingFeature.currentPosition
        guard params.features & needed == needed else {
            cdma_close(result)
            // Older than 5.11: what the engine stands on is not there.
            throw DMAError(.kernelRefused, errno: 38)
        }
        descriptor = result
        number = result
        setup = params.flags
        features = params.features
        isDisabled = setup & SetupFlags.disabled != 0
        let submissionShift: UInt32 = setup & SetupFlags.entries128 != 0 ? 7 : 6
        let completionShift: UInt32 = setup & SetupFlags.completions32 != 0 ? 5 : 4
        let array = setup & SetupFlags.noArray != 0 ? 0 : Int(params.sq.array) + Int(params.sq_entries) * 4
        ringBytes = max(array, Int(params.cq.cqes) + Int(params.cq_entries) << Int(completionShift))
        entryBytes = Int(params.sq_entries) << Int(submissionShift)
        var memory: UnsafeMutableRawPointer?
        var refusal = unsafe cdma_uring_map(result, 0, ringBytes, &memory)
        guard refusal == 0, let rings = unsafe memory else {
            cdma_close(result)
            throw DMAError(.kernelRefused, errno: -refusal)
        }
        unsafe self.rings = unsafe rings
        refusal = unsafe cdma_uring_map(result, 0x1000_0000, entryBytes, &memory)
        guard refusal == 0, let entries = unsafe memory else {
            unsafe _ = cdma_unmap(rings, ringBytes)
            cdma_close(result)
            throw DMAError(.kernelRefused, errno: -refusal)
        }
        unsafe self.entries = unsafe entries
        if setup & SetupFlags.noArray == 0 {
            // Submission i is entry i, for good.
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
        operations = Self.probe(result)
    }

    deinit {
        unsafe _ = cdma_unmap(entries, entryBytes)
        unsafe _ = cdma_unmap(rings, ringBytes)
        cdma_close(descriptor)
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
            // Disabled at first: the thread that enables it is the one.
            let single = SetupFlags.singleIssuer | SetupFlags.deferTaskRun | SetupFlags.taskRunFlag | SetupFlags.disabled
            list += [newest | single, base | SetupFlags.submitAll | single]
        }
        list += [newest | cooperative, base | SetupFlags.submitAll | cooperative, base | SetupFlags.submitAll, base]
        if base != plain, !wide { list.append(plain) }
        return list
    }

    static func probe(_ descriptor: Int32) -> [Bool] {
        var probe = cdma_uring_probe()
        let result = unsafe withUnsafeMutablePointer(to: &probe) {
            unsafe cdma_uring_register(descriptor, RegisterOperation.probe, $0, 256)
        }
        var list = [Bool](repeating: false, count: 256)
        guard result >= 0 else { return list }
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

    var door: Door {
        if isDisabled { return Door(kind: .carrier, descriptor: -1, flags: 0) }
        let kind: Door.Kind = setup & SetupFlags.submissionThread != 0 ? .thread : .kernel
        return Door(kind: kind, descriptor: number, flags: numberFlags)
    }

    func submit(_ count: UInt32) -> Int32 {
        if isDisabled { enable() }
        let wakes = setup & SetupFlags.submissionThread != 0 ? EnterFlags.wakeUp : 0
        return cdma_uring_enter(number, count, 0, numberFlags | wakes, nil, 0)
    }

    func reap() -> Int32 {
        if isDisabled { enable() }
        return cdma_uring_enter(number, 0, 0, numberFlags | EnterFlags.getEvents, nil, 0)
    }

    func wait(_ count: UInt32, nanoseconds: Int64) -> Int32 {
        if isDisabled { enable() }
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
            return unsafe cdma_uring_enter(
                number, submitting, 1, flags, &argument, MemoryLayout<cdma_uring_wait>.size)
        }
    }

    func signal(_ event: Int32) -> Bool {
        unsafe withUnsafePointer(to: event) {
            unsafe register(RegisterOperation.eventFile, UnsafeMutableRawPointer(mutating: $0), 1) >= 0
        }
    }

    func register(_ operation: UInt32, _ argument: UnsafeMutableRawPointer?, _ count: UInt32) -> Int32 {
        unsafe cdma_uring_register(descriptor, operation, argument, count)
    }

    /// The calling thread becomes the one that the ring belongs to.
    private func enable() {
        isDisabled = false
        _ = cdma_uring_register(descriptor, RegisterOperation.enable, nil, 0)
        // The ring belongs to one thread: then its descriptor can be registered with that thread, and costs no look-up.
        var update = cdma_uring_resource_update()
        update.offset = .max
        update.data = UInt64(descriptor)
        let result = unsafe withUnsafeMutablePointer(to: &update) {
            unsafe cdma_uring_register(descriptor, RegisterOperation.ringFile, $0, 1)
        }
        guard result == 1 else { return }
        number = Int32(bitPattern: update.offset)
        numberFlags = EnterFlags.registeredRing
    }
}

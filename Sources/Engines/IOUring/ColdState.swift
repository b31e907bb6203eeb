// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
internal import DMAEngineKit
internal import SystemPackage

/// The engine's state outside the fast path.
@usableFromInline @safe
struct ColdState: ~Copyable {
    let configuration: IOUringConfiguration
    let carrier: any Carrier
    /// The same object as `carrier`, where that is threads.
    let threads: ThreadRing?
    var depth: Int
    var table: FileTable
    let transactions: UnsafeMutablePointer<SlowPathTransaction>
    private let slots: Int
    /// Slots of slow-path transactions that were not issued, in order.
    var unissued: [Int] = []
    /// The number of queued plain requests that were issued during the pause.
    var granted: UInt32 = 0
    /// Transactions that were issued during a pause and wait for its end.
    var held: [Int] = []
    var reports: [Completion] = []
    var reported = 0
    var statistics = IOUringStatistics()
    let line = InterruptLine()
    /// Wakes tasks; created with the first transaction that has the interrupt flag.
    var watcher: Watcher?
    let buffers: BufferTable?
    /// Whether the ring's entries have room for NVMe commands.
    let takesCommands: Bool
    /// Plain transactions that are being cancelled: the use of their slot.
    var cancelled: [Int: UInt64] = [:]
    /// Running cyclic transactions, by slot.
    var rings: [Int: CyclicRun] = [:]
    var capabilities: Capabilities
    /// The kernel's refusal of a ring; nil where there is one, or where none was requested.
    let refusal: RingRefusal?
    /// The time of the kernel's first refusal to consume the ring's entries, and the values of both heads then.
    var refusedSince: (nanoseconds: Int64, submissions: UInt32, completions: UInt32)?
    /// When the kernel first refused a wait while it had requests, and how far submissions and completions were then.
    var stuckSince: (nanoseconds: Int64, submissions: UInt32, completions: UInt32)?
    /// Whether writes may use RWF_NOSIGNAL, which suppresses SIGPIPE (Linux 6.18).
    var hasNoSignal: Bool

    init(_ configuration: IOUringConfiguration, slots: Int) throws(DMAError) {
        self.configuration = configuration
        // Room for several requests of each transaction, and for cancellations.
        let submissions = min(max(slots * 4, 16), 32_768)
        var refusal: RingRefusal?
        var ring: KernelRing?
        if configuration.path != .threads {
            do throws(DMAError) {
                let made = try KernelRing(configuration, submissions: submissions, wide: configuration.passthrough)
                // A sandbox may permit creating a ring and forbid its use.
                if let errno = made.refusesEntry {
                    refusal = RingRefusal(call: "io_uring_enter", errno: errno)
                    guard configuration.path == .automatic else { throw DMAError(.kernelRefused, errno: errno.rawValue) }
                } else {
                    ring = made
                }
            } catch {
                guard configuration.path == .automatic else { throw error }
                refusal = RingRefusal(call: "io_uring", errno: Errno(rawValue: error.errno))
            }
        }
        if let ring {
            carrier = ring
            threads = nil
        } else {
            let threads = try ThreadRing(configuration, submissions: submissions)
            carrier = threads
            self.threads = threads
        }
        takesCommands = ring.map { $0.setup & SetupFlags.entries128 != 0 && $0.operations[Int(Opcode.command)] } ?? false
        depth = configuration.depth
        if let ring, let registrar = configuration.registrar, configuration.buffers != .never {
            let table = BufferTable(ring, configuration.buffers)
            registrar.register(table)
            buffers = table
        } else {
            buffers = nil
        }
        table = FileTable(configuration.files)
        table.register(carrier)
        self.slots = slots
        // SAFETY: just allocated, with that capacity; only `deinit` frees them.
        unsafe transactions = .allocate(capacity: slots)
        unsafe transactions.initialize(repeating: SlowPathTransaction(), count: slots)
        hasNoSignal = carrier.isKernel
        capabilities = configuration.capabilities
        capabilities.implementation = Self.implementation(configuration, ring, refusal)
        self.refusal = refusal
        unissued.reserveCapacity(slots)
        held.reserveCapacity(slots)
        reports.reserveCapacity(slots * 2)
    }

    deinit {
        // SAFETY: the ring or the threads have stopped, so that no list or message is in use any more; there is a transaction
        // for each slot, initialized with the state.
        watcher?.stop()
        if let buffers {
            configuration.registrar?.unregister(buffers)
            buffers.close()
        }
        threads?.stop()
        for case let record? in table.records { ReleaseFailures.note(record.close()) }
        for slot in 0..<slots {
            unsafe transactions[slot].scratch?.deallocate()
            unsafe transactions[slot].message?.deallocate()
        }
        unsafe transactions.deinitialize(count: slots)
        unsafe transactions.deallocate()
    }

    private static func implementation(
        _ configuration: IOUringConfiguration, _ ring: KernelRing?, _ refusal: RingRefusal?
    ) -> String {
        guard let ring else { return refusal.map { "threads (\($0.sentence))" } ?? "threads" }
        var words: [String] = []
        if ring.setup & SetupFlags.submissionThread != 0 { words.append("submission thread") }
        if ring.setup & SetupFlags.deferTaskRun != 0 {
            words.append("deferred, one thread")
        } else if ring.setup & SetupFlags.cooperative != 0 {
            words.append("cooperative")
        }
        if ring.setup & SetupFlags.completionPolling != 0 { words.append("polled completions") }
        return words.isEmpty ? "ring" : "ring: " + words.joined(separator: ", ")
    }
}

/// The kernel's refusal of a ring.
struct RingRefusal: Equatable, Sendable {
    let call: String
    let errno: Errno

    var sentence: String { "\(call): \(DMAError.sentence(errno.rawValue))" }

    /// How to make the kernel accept it.
    var cure: String {
        switch errno {
        case .noFunction: "use a kernel with io_uring (Linux 5.11 or later)"
        case .noMemory: "raise the limit of locked memory (ulimit -l, LimitMEMLOCK= in the unit file)"
        default:
            "write 0 to /proc/sys/kernel/io_uring_disabled, or permit io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile"
        }
    }
}

extension IOUringEngine {
    /// Why requests are carried by threads instead of a ring, and the cure; nil where a ring carries them, or threads were
    /// requested.
    package var fallback: EngineAbsence? { state.refusal.map { EngineAbsence(reason: $0.sentence, cure: $0.cure) } }
}

extension IOUringConfiguration {
    /// The capabilities of an engine with this configuration, with either carrier.
    public var capabilities: Capabilities {
        var capabilities = Capabilities(
            name: "io_uring", implementation: "\(path)", operations: [.peripheral, .command, .cyclic, .null], depth: depth)
        capabilities.commands = PeripheralCommandSet(PeripheralCommand.allCases)
        capabilities.flags = [.interrupt, .reuse]
        capabilities.maximumSegments = 256
        capabilities.maximumCount = UInt64(Int64.max)
        capabilities.completesInOrder = false
        // After each request of a transaction, which may end at any byte.
        capabilities.residueGranularity = .burst
        capabilities.canPause = true
        capabilities.hasInterrupts = true
        return capabilities
    }
}

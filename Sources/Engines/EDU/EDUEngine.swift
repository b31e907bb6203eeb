// SPDX-License-Identifier: Apache-2.0

public import DMAAccess
public import DMACore
internal import DMAEDUSpecification
public import DMAEngineKit

/// QEMU's teaching device as a copy engine: piece by piece goes into the device's buffer of 4 KiB, and out of it again.
///
/// The device has 28 address lines, unless it was made with more: memory beyond them is bounced by the domain, and counted there.
///
/// **Faults.** A device that shows nonsense, does not end, or reaches for what is not mapped, is restarted: bus master off, reset, bus master on. The
/// transaction that it failed at ends as failed, with an ``EDUFailure`` as its device status; those behind it run. A device that cannot be brought back is
/// gone. A poll that finds such a fault takes as long as the restart: `EDUConfiguration.restartLimit` at most.
///
/// Source: QEMU, docs/specs/edu.rst.
public struct EDUEngine: ~Copyable, Engine {
    public static var order: CompletionOrder { .inOrder }

    private let controller: EDUController
    private let configuration: EDUConfiguration
    public let addressing: EngineAddressing
    /// The address space that memory is mapped for.
    public let domain: Domain
    public let interruptLine: InterruptLine?

    /// Opens a device.
    ///
    /// - Throws: every code of `AccessError`; `badConfiguration` also for a depth that is no power of two from 1 to 256.
    public init(opening transport: any DeviceTransport, _ configuration: EDUConfiguration = EDUConfiguration())
        throws(AccessError)
    {
        let depth = configuration.depth
        guard (1...256).contains(depth), depth & (depth - 1) == 0 else {
            throw AccessError(
                .badConfiguration, device: transport.name, "a depth of \(depth)", cure: "choose a power of two from 1 to 256")
        }
        let device = try QuietDevice(opening: transport, constraints: configuration.constraints)
        let domain = device.domain
        let controller = try EDUController(device, transport, configuration)
        self.domain = domain
        addressing = .bus(domain.id)
        self.configuration = configuration
        self.controller = controller
        interruptLine = controller.with(false) { state, _ in state.hasInterrupts } ? controller.line : nil
    }

    deinit { controller.close() }

    public var capabilities: Capabilities {
        var capabilities = Capabilities(name: "edu", implementation: "QEMU edu", depth: configuration.depth)
        capabilities.flags = interruptLine == nil ? [.fence] : [.fence, .interrupt]
        capabilities.hasInterrupts = interruptLine != nil
        capabilities.residueGranularity = .burst
        capabilities.quantum = EDU.largestTransfer
        return capabilities
    }

    @unsafe
    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        guard descriptor.kind == .copy else { return .refused(DMAError(.unsupportedOperation)) }
        return controller.with(.deviceGone) { state, _ in
            if state.isGone { return .deviceGone }
            guard !state.queue.isFull else { return .full }
            state.queue.append(
                EDUJob(
                    tag: tag, source: descriptor.source, destination: descriptor.destination, count: descriptor.count,
                    asksInterrupt: descriptor.flags.contains(.interrupt)))
            return .accepted
        }
    }

    public mutating func issuePending() {
        controller.with(()) { state, line in
            state.queue.issue()
            // One that was switched off to stop it is started again when there is something to do.
            if state.isOff, !state.isGone, state.queue.hasIssued { state.restart() }
            if state.isOff, !state.isGone { state.failIssued(line) } else { state.progress(line) }
        }
    }

    public mutating func next() -> Completion? {
        controller.look()
        return controller.with(nil) { state, line in
            if state.completions.isEmpty {
                state.progress(line)
                state.recover(line)
            }
            return state.completions.isEmpty ? nil : state.completions.removeFirst()
        }
    }

    public mutating func terminate() {
        controller.with(()) { state, _ in state.drop() }
    }

    public mutating func quiesce(by deadline: Deadline) -> Bool {
        // The lock is free between two looks, for the interrupt's handler.
        while !controller.with(true, { state, _ in state.isQuiet() }) {
            guard Deadline.now < deadline else { return controller.with(true) { state, _ in state.switchOff() } }
            controller.transport.pause(until: min(deadline, .after(milliseconds: 1)))
        }
        return true
    }

    public var isGone: Bool { controller.with(true) { state, _ in state.isGone || state.device.goneReason != nil } }

    public mutating func residue(of tag: UInt32) -> UInt64? {
        controller.with(nil) { state, _ in state.queue.residue(of: tag) }
    }

    public mutating func wait(until deadline: Deadline) -> Bool {
        while true {
            let seen = controller.line.count
            let isReady = controller.with(true) { state, line in
                if state.completions.isEmpty { state.progress(line) }
                return !state.completions.isEmpty || state.failure != nil || state.isGone || state.device.goneReason != nil
            }
            if isReady { return true }
            guard Deadline.now < deadline else { return false }
            if let interruptLine {
                // A slice, so that an interrupt that got lost costs no more than that.
                _ = interruptLine.wait(after: seen, until: min(deadline, .after(milliseconds: 50)))
            } else {
                controller.look()
                controller.transport.pause(until: min(deadline, .after(milliseconds: 1)))
            }
        }
    }

    public var figures: [EngineFigure] {
        controller.with([]) { state, _ in
            [
                EngineFigure("transfers", state.figures.transfers), EngineFigure("interrupts", state.figures.interrupts),
                EngineFigure("lateInterrupts", state.figures.lateInterrupts),
                EngineFigure("lostInterrupts", state.figures.lostInterrupts),
                EngineFigure("restarts", state.figures.restarts), EngineFigure("failures", state.figures.failures),
            ]
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMAAccess
public import DMATypes

/// Interrupts by events, and the masks that the kernel does not have.
extension VFIODevice {
    /// The kernel's number of a kind.
    private static func index(_ kind: InterruptKind) -> UInt32 {
        switch kind {
        case .intx: 0
        case .msi: 1
        case .msix: 2
        }
    }

    /// The vectors of an index that can signal events.
    static func count(
        _ kernel: any VFIOKernel, _ descriptor: Int32, _ index: UInt32, device: String
    ) throws(VFIORefusal) -> Int {
        // struct vfio_irq_info: argsz, flags, index, count.
        let answer: VFIOAnswer
        do throws(VFIORefusal) {
            answer = try VFIOAnswer(
                kernel, descriptor, .interrupt, "interrupts \(index)", device: device, words: [8: index], least: 16)
        } catch {
            // So it is said that a conventional PCI function reports no errors of its link.
            guard error == .kernel(ErrorNumber.invalid) else { throw error }
            return 0
        }
        guard answer.word(at: 4) & VFIOABI.interruptEvents != 0 else { return 0 }
        // MSI-X has 2048 at most.
        return Int(min(answer.word(at: 12), 2048))
    }

    public func interruptCount(_ kind: InterruptKind) -> Int {
        let (kernel, name) = (kernel, name)
        return file?.with { descriptor in
            (try? Self.count(kernel, descriptor, Self.index(kind), device: name)) ?? 0
        } ?? 0
    }

    public func enableInterrupts(
        _ kind: InterruptKind, count: Int, _ handler: @escaping InterruptHandler
    ) throws(AccessError) {
        guard count > 0, count <= interruptCount(kind) else {
            throw AccessError(
                .noInterrupts, device: name, "\(count) vectors of \(kind); there are \(interruptCount(kind))",
                cure: "ask for fewer, or poll")
        }
        try disableInterrupts()
        guard let (file, watcher) = state.locked.withLock({ state in state.open.map { ($0.file, $0.watcher) } }) else {
            throw closed
        }
        let errors = VFIOErrors(device: name)
        var events: [Int32] = []
        do throws(AccessError) {
            for _ in 0..<count {
                let event = cdma_event_make(false)
                guard event >= 0 else {
                    throw errors.kernel(-event, "make \(count) events", cure: "raise the limit of open files (ulimit -n)")
                }
                events.append(event)
            }
            let kernel = kernel
            let unmask = { @Sendable () -> Void in
                _ = file.with { descriptor in kernel.interrupts(descriptor, 0, .unmask) }
            }
            do throws(DMAError) { try watcher.start(events, handler, afterCall: kind == .intx ? unmask : nil) } catch {
                throw AccessError(error, device: name, "watching \(count) events")
            }
            let signals = events
            let result =
                file.with { descriptor in kernel.interrupts(descriptor, Self.index(kind), .signal(signals)) }
                ?? -ErrorNumber.noDevice
            guard result >= 0 else {
                throw errors.kernel(
                    -result, "switch \(count) vectors of \(kind) on", code: .noInterrupts, cure: "ask for fewer, or poll")
            }
        } catch {
            watcher.forget()
            for event in events { _ = cdma_close(event) }
            throw error
        }
        state.locked.withLock { $0.open?.armed = (kind, events) }
    }

    /// The kernel saves and restores the messages' addresses around its resets. INTx may have been left masked.
    public func rearmInterrupts() throws(AccessError) {
        guard case .intx? = state.locked.withLock({ $0.open?.armed?.kind }), let file else { return }
        let kernel = kernel
        let result = file.with { descriptor in kernel.interrupts(descriptor, 0, .unmask) } ?? 0
        guard result >= 0 else { throw VFIOErrors(device: name).kernel(-result, "unmask INTx") }
    }

    public func disableInterrupts() throws(AccessError) {
        let open = state.locked.withLock { state in
            let found = state.open.map { ($0.file, $0.watcher, $0.armed) }
            state.open?.armed = nil
            return found
        }
        guard let (file, watcher, armed) = open, let armed else { return }
        watcher.forget()
        let kernel = kernel
        let result = file.with { descriptor in kernel.interrupts(descriptor, Self.index(armed.kind), .switchOff) } ?? 0
        for event in armed.events { _ = cdma_close(event) }
        guard result >= 0 || goneReason != nil else {
            throw VFIOErrors(device: name).kernel(-result, "switch interrupts off")
        }
    }

    /// Masks a vector, or takes its mask away. What arrives under a mask is kept as one, and is handed over when the mask goes.
    ///
    /// - Parameter vector: nil for all of them, as by the function's own mask.
    public func setMasked(_ isMasked: Bool, vector: Int?) {
        state.locked.withLock { $0.open?.watcher }?.setMasked(isMasked, vector)
    }

    /// Whether a vector has arrived under its mask.
    public func isPending(_ vector: Int) -> Bool { state.locked.withLock { $0.open?.watcher }?.isPending(vector) ?? false }

    public var deliversInterrupts: Bool { true }
    public func look() {}
    public func pause(until deadline: Deadline) {
        cdma_sleep_until(min(deadline, Deadline.after(nanoseconds: 200_000)).nanoseconds)
    }
}

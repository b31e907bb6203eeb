// SPDX-License-Identifier: Apache-2.0

public import DMAAccess
public import DMACore
public import DMADeviceSide
internal import DMADriverKit
internal import DMAPCISpecification
internal import DMARegisters
internal import DMAThreads

/// A model in this process, as a device.
///
/// Writes to registers are posted, as on a bus: the model sees those that are no doorbells when something is read, flushed, or a doorbell is rung. A driver
/// that leans on anything else fails here.
///
/// Thread rules: everything may be called from any thread.
public final class InProcessDevice: DeviceTransport {
    /// When the model goes on with what it has under way.
    public enum Pace: Sendable {
        /// At each access of the driver, and whenever the driver waits: the same each time.
        case stepped
        /// In a thread of its own, which calls the driver for interrupts.
        case threaded
    }

    /// How the model's bus addresses relate to this process's.
    public enum Addressing: Sendable {
        /// Behind an IOMMU: addresses of `bits` bits, a page at least for each mapping.
        case translated(bits: Int)
        /// None: the addresses of this process, as on a machine without an IOMMU.
        case identity
    }

    public let name: String
    public let space: AddressSpace
    /// The device's side: what the model sees, and what was reported.
    public let function: DeviceFunction
    private let model: any DeviceModel
    private let pace: Pace
    private let recorder: Recorder?
    private let paths: [ModelPath]

    private struct State {
        var isClaimed = false
        var handler: InterruptHandler?
        var armed: (kind: InterruptKind, count: Int)?
        /// Interrupts that were not handed over yet.
        var arrived: [Int] = []
        var thread: ModelThread?
    }
    private let state = Locked(State())

    /// Puts a model on a bus of its own.
    ///
    /// - Throws: as `AddressSpace.init(name:translation:)`.
    public init(
        _ model: any DeviceModel, name: String, addressing: Addressing = .translated(bits: 32), pace: Pace = .stepped,
        recorder: Recorder? = nil
    ) throws(DMAError) {
        self.model = model
        self.name = name
        self.pace = pace
        self.recorder = recorder
        let function = DeviceFunction(model.description)
        self.function = function
        let backend = ModelBackend(function.memory, recorder)
        space =
            switch addressing {
            case .identity: try AddressSpace(name: name, translation: .announced(backend))
            case .translated(let bits):
                try AddressSpace(
                    name: name,
                    translation: .translated(
                        backend, apertures: [0x1_0000...max(DMAMask(bits: bits).rawValue, 0x2_0000)], pageSizes: [4096]))
            }
        paths = model.description.regions.map { ModelPath(model, function, $0, pace, recorder) }
        model.attach(function)
        function.setSink { [weak self] vector in self?.arrived(vector) }
    }

    deinit { state.withLock { $0.thread }?.stop() }

    public var goneReason: String? { function.isRemoved ? "the model was pulled out" : nil }
    // A model that was pulled out is refused every transfer.
    public var isDead: Bool { function.isRemoved }

    // MARK: Opening

    public func claim() throws(AccessError) {
        let isMine = state.withLock { state in
            defer { state.isClaimed = true }
            return !state.isClaimed
        }
        guard isMine else {
            throw AccessError(.busy, device: name, "it is open", cure: "close it where it is open, or use another device")
        }
        recorder?.add(.claim)
    }

    public func release() {
        try? disableInterrupts()
        recorder?.add(.release)
        state.withLock { $0.isClaimed = false }
    }

    public func reset(by deadline: Deadline) throws(AccessError) -> ResetMethod {
        recorder?.add(.reset)
        for path in paths { path.drop() }
        model.reset()
        function.resetConfiguration()
        // What firmware and the kernel do behind a reset: registers are decoded again.
        _ = function.writeConfiguration(2, PCIOffset.command, 2)
        return function.description.hasFunctionReset ? .function : .transport
    }

    // MARK: Configuration space

    public var configurationCount: Int { function.configurationCount }

    public func readConfiguration(_ offset: Int, _ width: AccessWidth) -> UInt32 {
        flushAll()
        let value = function.readConfiguration(offset, width.rawValue)
        recorder?.add(.configurationRead(offset, width.rawValue, value))
        step()
        return value
    }

    public func writeConfiguration(_ value: UInt32, _ offset: Int, _ width: AccessWidth) {
        flushAll()
        recorder?.add(.configurationWrite(offset, width.rawValue, value))
        if function.writeConfiguration(value, offset, width.rawValue) {
            model.reset()
            function.resetConfiguration()
        }
        step()
    }

    private func flushAll() { for path in paths { path.flushPosted() } }

    // MARK: Registers

    public func regions() throws(AccessError) -> [DeviceRegion] {
        paths.map { DeviceRegion(index: $0.region.index, count: $0.region.count, path: $0) }
    }

    // MARK: Interrupts

    public func interruptCount(_ kind: InterruptKind) -> Int {
        switch kind {
        case .intx: function.description.hasINTx ? 1 : 0
        case .msi: min(max(function.description.msiVectors, 0), 32)
        case .msix: 0
        }
    }

    public func enableInterrupts(
        _ kind: InterruptKind, count: Int, _ handler: @escaping InterruptHandler
    ) throws(AccessError) {
        guard count > 0, count <= interruptCount(kind) else {
            throw AccessError(
                .noInterrupts, device: name, "\(count) vectors of \(kind); there are \(interruptCount(kind))",
                cure: "ask for fewer, or poll")
        }
        try arm(kind, count)
        recorder?.add(.interruptsOn(kind, count))
        state.withLock { state in
            state.handler = handler
            state.armed = (kind, count)
            state.arrived = []
        }
        guard pace == .threaded else { return }
        do throws(DMAError) {
            let thread = try ModelThread(model) { [weak self] isTick in self?.deliver(isTick: isTick) }
            state.withLock { $0.thread = thread }
        } catch { throw AccessError(error, device: name, "starting a thread for the model") }
    }

    public func rearmInterrupts() throws(AccessError) {
        if let armed = state.withLock({ $0.armed }) { try arm(armed.kind, armed.count) }
    }

    /// Tells the device.
    private func arm(_ kind: InterruptKind, _ count: Int) throws(AccessError) {
        let configuration = DeviceConfiguration(self)
        guard kind == .msi else {
            configuration.modify(DeviceConfiguration.command) { $0[.disablesINTx] = false }
            return
        }
        do throws(ConfigurationError) {
            guard let capability = try PCICapability.list(configuration).first(PCICapability.msi) else { throw .absent }
            let msi = try MSI(configuration, capability)
            // Address and data have no meaning here: the message is the vector's number.
            configuration.modify(Register<MSIControl, ReadWrite>(msi.control)) { control in
                control[.given] = UInt8(truncatingIfNeeded: (0...5).first { 1 << $0 >= count } ?? 5)
                control[.isEnabled] = true
            }
        } catch { throw AccessError(error, device: name) }
    }

    public func disableInterrupts() throws(AccessError) {
        let (had, thread) = state.withLock { state in
            defer { (state.handler, state.armed, state.thread, state.arrived) = (nil, nil, nil, []) }
            return (state.handler != nil, state.thread)
        }
        // Ended outside of the lock, which its thread takes.
        thread?.stop()
        if had { recorder?.add(.interruptsOff) }
    }

    public var deliversInterrupts: Bool { pace == .threaded }

    private func arrived(_ vector: Int) {
        // Handed over later, and not from here: the driver may hold its own lock around the access that has caused it.
        let thread = state.withLock { state -> ModelThread? in
            guard state.handler != nil else { return nil }
            // A driver that does not look gets no more than it can have missed.
            if state.arrived.count < 4096 { state.arrived.append(vector) }
            return state.thread
        }
        thread?.wake()
    }

    private func deliver(isTick: Bool) {
        let (vectors, handler) = state.withLock { state in
            defer { state.arrived = [] }
            return (state.arrived, state.handler)
        }
        guard let handler else { return }
        for vector in vectors {
            recorder?.add(.interrupt(vector))
            handler(.vector(vector))
        }
        if isTick { handler(.tick) }
    }

    public func look() {
        step()
        deliver(isTick: false)
    }

    public func pause(until deadline: Deadline) {
        flushAll()
        // A stepped model's time passes by steps alone.
        if pace == .stepped { _ = model.step() } else { NativeSleep.until(min(deadline, .after(nanoseconds: 200_000))) }
    }

    private func step() { if pace == .stepped { _ = model.step() } }
}

// SPDX-License-Identifier: Apache-2.0

public import DMADriverKit
internal import DMAPCISpecification
internal import DMARegisters
internal import DMATypes

/// The device's side of a bus: configuration space, memory of the client, interrupts, and what went wrong.
///
/// The server of a model makes one, and passes on the client's requests: writes to the configuration space, ranges of memory.
///
/// **Memory.** A model reads and writes at bus addresses. An access must lie in a range that the client has mapped, with its permission, while the
/// bus master is on; any other is refused, counted, and sets the status register's bit "received master abort", as an unclaimed access on a bus
/// does.
///
/// **Interrupts.** With MSI, a vector is a message; while it is masked its pending bit is set, and unmasking sends one. Without, the level of INTx
/// counts, which the command register can hold back.
///
/// Thread rules: everything may be called from any thread.
public final class DeviceFunction: Sendable {
    /// Where an interrupt goes: a vector's number.
    public typealias Sink = @Sendable (Int) -> Void

    fileprivate struct State {
        var image: ConfigurationImage
        var sink: Sink?
        var remote: (any RemoteMemory)?
        /// A bit for each vector of MSI that fired while it was masked.
        var pending: UInt32 = 0
        var isAsserted = false
        var isRemoved = false
        /// Accesses that still answer all ones; the largest number means all.
        var allOnes: UInt64 = 0
        var violations: [String] = []
        var violationCount: UInt64 = 0
        var refusedTransfers: UInt64 = 0
        var interrupts: UInt64 = 0
        var lost: UInt64 = 0
    }

    /// What the client has mapped for the device.
    public let memory: ForeignMemory
    /// What it is on its bus.
    public let description: FunctionDescription
    private let state: Locked<State>

    /// A function that was just powered up.
    public init(_ description: FunctionDescription, memory: ForeignMemory = ForeignMemory()) {
        self.description = description
        self.memory = memory
        state = Locked(State(image: ConfigurationImage(description)))
    }

    /// Where interrupts go from now on; nil for nowhere.
    public func setSink(_ sink: Sink?) { state.withLock { $0.sink = sink } }

    /// What reaches memory of the client that ``memory`` does not have; nil for nothing.
    public func setRemote(_ remote: (any RemoteMemory)?) { state.withLock { $0.remote = remote } }

    // MARK: The model's calls

    /// Reads the client's memory. It may wait for the client, where that answers by messages: a model calls this without the lock that its accesses to
    /// registers take.
    ///
    /// - Throws: `unmappedAddress`, `noPermission`, and what else `ForeignMemory.read(_:into:)` says; `noPermission` while the bus master is off.
    public func read(_ address: IOVA, into bytes: inout MutableRawSpan) throws(DMAError) {
        do throws(DMAError) {
            try checkBusMaster()
            do throws(DMAError) { try memory.read(address, into: &bytes) } catch {
                guard error.code == .unmappedAddress, let remote = state.withLock({ $0.remote }) else { throw error }
                try remote.read(address, into: &bytes)
            }
        } catch { throw refused(error) }
    }

    /// Writes the client's memory. As ``read(_:into:)`` in everything.
    public func write(_ bytes: RawSpan, at address: IOVA) throws(DMAError) {
        do throws(DMAError) {
            try checkBusMaster()
            do throws(DMAError) { try memory.write(bytes, at: address) } catch {
                guard error.code == .unmappedAddress, let remote = state.withLock({ $0.remote }) else { throw error }
                try remote.write(bytes, at: address)
            }
        } catch { throw refused(error) }
    }

    /// Writes one word of the client's memory with one access, behind everything that was written before. As ``read(_:into:)`` in everything;
    /// `misaligned` where the address is no multiple of the word's width.
    public func store<T: SharedWord>(_ value: T, at address: IOVA) throws(DMAError) {
        do throws(DMAError) {
            try checkBusMaster()
            do throws(DMAError) { try memory.storeRelease(value, at: address) } catch {
                let bytes = (0..<MemoryLayout<T>.size).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) }
                // SAFETY: every byte of an array of bytes is initialized; the span ends with the call.
                if error.code == .copiesOnly { return try unsafe memory.write(bytes.span.bytes, at: address) }
                guard error.code == .unmappedAddress, let remote = state.withLock({ $0.remote }) else { throw error }
                // A client's memory that is reached by messages: each is whole.
                try unsafe remote.write(bytes.span.bytes, at: address)
            }
        } catch { throw refused(error) }
    }

    private func checkBusMaster() throws(DMAError) {
        guard isBusMaster else { throw DMAError(.noPermission) }
    }

    private func refused(_ error: DMAError) -> DMAError {
        state.withLock { state in
            state.refusedTransfers &+= 1
            // Received master abort.
            state.image.set(0x2000, at: PCIOffset.status)
        }
        return error
    }

    /// Fires a vector: a message, or, without messages, the reason to assert INTx, which the model then also says by ``setINTx(_:)``.
    public func fire(_ vector: Int) {
        let sink = state.withLock { state -> Sink? in
            guard let control = state.msiControl, control[.isEnabled], let offset = state.image.msiOffset else { return nil }
            guard vector >= 0, vector < 1 << Int(min(control[.given], 5)) else { return nil }
            // A message is a write of the device's own.
            guard state.image.command[.isBusMaster], !state.isRemoved else {
                state.lost &+= 1
                return nil
            }
            if state.image.load(offset + 16, 4) & 1 << UInt32(vector) != 0 {
                state.pending |= 1 << UInt32(vector)
                state.image.replace(state.pending, at: offset + 20)
                return nil
            }
            state.interrupts &+= 1
            return state.sink
        }
        sink?(vector)
    }

    /// The level of INTx. A rising one is delivered, unless messages are on or the command register holds it back.
    public func setINTx(_ isAsserted: Bool) {
        let sink = state.withLock { state -> Sink? in
            let rises = isAsserted && !state.isAsserted
            state.isAsserted = isAsserted
            guard rises, !state.isRemoved, state.deliversINTx else { return nil }
            state.interrupts &+= 1
            return state.sink
        }
        sink?(0)
    }

    /// Whether INTx is asserted and reaches the client: what a client that has masked it finds when it unmasks it.
    public var assertsINTx: Bool { state.withLock { $0.isAsserted && !$0.isRemoved && $0.deliversINTx } }

    /// Whether messages are on, so that INTx has no meaning.
    public var usesMessages: Bool { state.withLock { $0.msiControl?[.isEnabled] ?? false } }

    /// Whether the device may read and write memory.
    public var isBusMaster: Bool { state.withLock { $0.image.command[.isBusMaster] && !$0.isRemoved } }

    /// A driver has done what the specification forbids. Up to 256 are kept, and all are counted.
    public func report(_ violation: String) {
        state.withLock { state in
            state.violationCount &+= 1
            if state.violations.count < 256 { state.violations.append(violation) }
        }
    }

    // MARK: What happened

    /// What drivers did that the specification forbids.
    public var violations: [String] { state.withLock { $0.violations } }
    /// How often, those that are not kept included.
    public var violationCount: UInt64 { state.withLock { $0.violationCount } }
    /// Transfers of the device that were refused.
    public var refusedTransfers: UInt64 { state.withLock { $0.refusedTransfers } }
    /// Interrupts that were delivered.
    public var interrupts: UInt64 { state.withLock { $0.interrupts } }
    /// Messages that were dropped, because the bus master was off or the device removed.
    public var lostInterrupts: UInt64 { state.withLock { $0.lost } }

    // MARK: Faults

    /// The device is pulled out: everything answers all ones, no transfer reaches memory, no interrupt comes.
    public func remove() { state.withLock { $0.isRemoved = true } }
    /// Whether it was.
    public var isRemoved: Bool { state.withLock { $0.isRemoved } }
    /// The next `accesses` answer all ones, as after a reset; `UInt64.max` for all.
    public func answerAllOnes(_ accesses: UInt64) { state.withLock { $0.allOnes = accesses } }

    // MARK: The server's calls

    /// Whether an access of now answers all ones. It counts as one of those that do.
    public func answersAllOnes() -> Bool {
        state.withLock { state in
            if state.isRemoved { return true }
            if state.allOnes == 0 { return false }
            if state.allOnes != .max { state.allOnes -= 1 }
            return true
        }
    }

    /// Whether registers in memory are decoded.
    public var decodesMemory: Bool { state.withLock { $0.image.command[.decodesMemory] } }
    /// Bytes of the configuration space.
    public var configurationCount: Int { ConfigurationImage.count }

    /// A read of the configuration space; outside of it, all ones.
    public func readConfiguration(_ offset: Int, _ width: Int) -> UInt32 {
        let mask = UInt32(truncatingIfNeeded: UInt64.max >> UInt64(64 - 8 * min(max(width, 1), 4)))
        if answersAllOnes() { return mask }
        return state.withLock { $0.image.load(offset, min(max(width, 1), 4)) } & mask
    }

    /// A write of the configuration space: whether it asks for a function level reset.
    public func writeConfiguration(_ value: UInt32, _ offset: Int, _ width: Int) -> Bool {
        guard !isRemoved else { return false }
        var fires: [Int] = []
        let effect = state.withLock { state -> ConfigurationImage.Effect in
            let wasHeld = !state.deliversINTx
            let effect = state.image.store(value, offset, min(max(width, 1), 4))
            fires = state.unmasked()
            if wasHeld, state.deliversINTx, state.isAsserted { fires.append(0) }
            state.interrupts &+= UInt64(fires.count)
            return effect
        }
        if !fires.isEmpty, let sink = state.withLock({ $0.sink }) { for vector in fires { sink(vector) } }
        return effect == .functionReset
    }

    /// The configuration space after a reset. Faults stay.
    public func resetConfiguration() {
        state.withLock { state in
            state.image.reset()
            state.pending = 0
            state.isAsserted = false
        }
    }
}

extension DeviceFunction.State {
    var msiControl: MSIControl? {
        image.msiOffset.map { MSIControl(word: UInt16(truncatingIfNeeded: image.load($0 + 2, 2))) }
    }

    var deliversINTx: Bool {
        image.load(0x3d, 1) != 0 && !image.command[.disablesINTx] && !(msiControl?[.isEnabled] ?? false)
    }

    /// Pending vectors that are not masked any more: each is sent once.
    mutating func unmasked() -> [Int] {
        guard pending != 0, let offset = image.msiOffset, msiControl?[.isEnabled] == true else { return [] }
        let open = pending & ~image.load(offset + 16, 4)
        guard open != 0 else { return [] }
        pending &= ~open
        image.replace(pending, at: offset + 20)
        return (0..<32).filter { open & 1 << UInt32($0) != 0 }
    }
}

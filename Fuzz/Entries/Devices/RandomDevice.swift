// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMAEngineKit
import DMAPCISpecification

/// A device, and the way to it, that answer from a program's bytes: registers, configuration space, interrupts, removal.
///
/// What it asks of the driver: that each transfer it starts stays inside what is mapped.
final class RandomDevice: DeviceTransport, RegisterPath {
    private struct State {
        var bytes: [UInt8]
        var position = 0
        /// Answers that are still as those of an honest device, so that a driver gets as far as to be driven.
        var calm = 400
        var command: UInt32 = 0
        var registers: [UInt64: UInt64] = [:]
        var isClaimed = false
        var handler: InterruptHandler?
        var gone: String?
        var failure: String?
        var accesses = 0

        mutating func byte() -> Int {
            guard position < bytes.count else { return 0 }
            defer { position += 1 }
            return Int(bytes[position])
        }
        mutating func word() -> UInt64 { (0..<8).reduce(0) { value, _ in value << 8 | UInt64(byte()) } }
    }

    private let state: Locked<State>
    private let backend = RandomBackend()
    let space: AddressSpace
    let name = "random"

    init?(_ bytes: [UInt8]) {
        state = Locked(State(bytes: bytes))
        guard
            let space = try? AddressSpace(
                name: "random",
                translation: .translated(backend, apertures: [0x1_0000...0xfff_ffff], pageSizes: [4096]))
        else { return nil }
        self.space = space
    }

    /// What the driver did that it must not; nil for nothing.
    var failure: String? { state.withLock { $0.failure } ?? backend.failure }
    var accesses: Int { state.withLock { $0.accesses } }
    var position: Int { state.withLock { $0.position } }
    var isOver: Bool { state.withLock { $0.position >= $0.bytes.count } }
    func byte() -> Int { state.withLock { $0.byte() } }

    var goneReason: String? { state.withLock { $0.gone } }
    var isDead: Bool { goneReason != nil }

    func claim() throws(AccessError) { state.withLock { $0.isClaimed = true } }
    func release() {
        state.withLock { state in
            if !state.isClaimed { state.failure = "released without a claim" }
            state.isClaimed = false
            state.handler = nil
        }
    }

    func reset(by deadline: Deadline) throws(AccessError) -> ResetMethod {
        let choice = state.withLock { state in state.calm > 0 ? 0 : state.byte() }
        guard choice < 250 else { throw AccessError(.refused, device: name, "no reset today", cure: "none") }
        state.withLock { $0.registers = [:] }
        return choice % 2 == 0 ? .none : .transport
    }

    // MARK: Configuration space

    let configurationCount = 256

    func readConfiguration(_ offset: Int, _ width: AccessWidth) -> UInt32 {
        let mask = UInt32(truncatingIfNeeded: width.allOnes)
        return state.withLock { state in
            state.accesses += 1
            if state.gone != nil { return mask }
            if state.calm > 0 {
                state.calm -= 1
            } else {
                let choice = state.byte()
                if choice > 252 { return mask }
                if choice > 248 { return UInt32(truncatingIfNeeded: state.word()) & mask }
            }
            let word: UInt32 =
                switch offset & ~3 {
                case 0: 0x11e8_1234
                case 4: 0x0010_0000 | state.command
                case 0x34: 0
                case 0x3c: 0x100
                default: 0
                }
            return word >> UInt32(8 * (offset & 3)) & mask
        }
    }

    func writeConfiguration(_ value: UInt32, _ offset: Int, _ width: AccessWidth) {
        state.withLock { if offset == PCIOffset.command { $0.command = value & 0x547 } }
    }

    // MARK: Registers

    func regions() throws(AccessError) -> [DeviceRegion] { [DeviceRegion(index: 0, count: 1 << 20, path: self)] }

    func read(_ offset: UInt64, _ width: AccessWidth) -> UInt64 {
        state.withLock { state in
            state.accesses += 1
            if state.gone != nil { return width.allOnes }
            let honest: UInt64 =
                switch offset {
                case 0: 0x0100_00ed
                case 4: ~(state.registers[4] ?? 0)
                // A transfer is over when it is looked at.
                case 0x98: (state.registers[0x98] ?? 0) & ~1
                case 0x24: 0
                default: state.registers[offset] ?? 0
                }
            if state.calm > 0 {
                state.calm -= 1
                return honest & width.allOnes
            }
            switch state.byte() {
            case 0..<160: return honest & width.allOnes
            case 160..<200: return (honest | 1) & width.allOnes
            case 200..<215: return width.allOnes
            case 215..<254: return state.word() & width.allOnes
            default:
                if state.byte() < 16 { state.gone = "the program says so" }
                return width.allOnes
            }
        }
    }

    func write(_ value: UInt64, _ offset: UInt64, _ width: AccessWidth, isDoorbell: Bool) {
        state.withLock { state in
            state.accesses += 1
            if offset == 0x98, value & 1 != 0, let failure = judge(value, state) { state.failure = failure }
            state.registers[offset] = value & width.allOnes
        }
    }

    func flush() {}
    func didRefuse(_ offset: UInt64, _ width: AccessWidth) { state.withLock { $0.failure = "an access at \(offset)" } }

    /// What is wrong with a transfer that is started.
    private func judge(_ command: UInt64, _ state: State) -> String? {
        let (source, target) = (state.registers[0x80] ?? 0, state.registers[0x88] ?? 0)
        let count = state.registers[0x90] ?? 0
        let toMemory = command & 2 != 0
        let (inside, outside) = toMemory ? (source, target) : (target, source)
        guard count > 0, count <= 4096, inside == 0x40000 else { return "\(count) bytes at \(inside) of the buffer" }
        guard state.command & 4 != 0 else { return "a transfer with the bus master off" }
        return backend.permits(outside, count, writes: toMemory) ? nil : "\(count) bytes at \(outside), which are not mapped so"
    }

    // MARK: Interrupts

    func interruptCount(_ kind: InterruptKind) -> Int { kind == .intx ? 1 : 0 }
    func enableInterrupts(
        _ kind: InterruptKind, count: Int, _ handler: @escaping InterruptHandler
    ) throws(AccessError) { state.withLock { $0.handler = handler } }
    func rearmInterrupts() throws(AccessError) {}
    func disableInterrupts() throws(AccessError) { state.withLock { $0.handler = nil } }
    let deliversInterrupts = false
    func look() {
        let (handler, choice) = state.withLock { state in (state.handler, state.calm > 0 ? 255 : state.byte()) }
        if choice < 40 { handler?(.vector(0)) } else if choice < 60 { handler?(.tick) }
    }
    func pause(until deadline: Deadline) {}
}

/// What is mapped, and with which permission.
final class RandomBackend: MappingBackend {
    private struct Range {
        let start, count: UInt64
        let access: DeviceAccess
    }
    private struct State {
        var ranges: [Range] = []
        var failure: String?
    }
    private let state = Locked(State())

    var failure: String? { state.withLock { $0.failure } }

    func permits(_ start: UInt64, _ count: UInt64, writes: Bool) -> Bool {
        state.withLock { state in
            state.ranges.contains { range in
                range.start <= start && count <= range.count && start - range.start <= range.count - count
                    && range.access.contains(writes ? .write : .read)
            }
        }
    }

    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {
        state.withLock { $0.ranges.append(Range(start: iova.rawValue, count: count, access: access)) }
    }

    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 {
        state.withLock { state in
            guard let place = state.ranges.firstIndex(where: { $0.start == iova.rawValue && $0.count == count }) else {
                state.failure = "an end of a mapping that there is not"
                return 0
            }
            state.ranges.remove(at: place)
            return count
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMARegisters
import Synchronization
import Testing

/// A path that keeps what it was asked, and answers from memory of its own.
final class ListPath: RegisterPath {
    enum Event: Equatable {
        case read(UInt64, Int)
        case write(UInt64, Int, UInt64)
        case doorbell(UInt64, Int, UInt64)
        case barrier
        case flush
        case refused(UInt64, Int)
    }
    private struct State {
        var events: [Event] = []
        var bytes = [UInt8](repeating: 0, count: 64)
    }
    private let state = Mutex(State())

    var events: [Event] { state.withLock { $0.events } }
    func clear() { state.withLock { $0.events = [] } }

    func read(_ offset: UInt64, _ width: AccessWidth) -> UInt64 {
        state.withLock { state in
            state.events.append(.read(offset, width.rawValue))
            return (0..<width.rawValue).reduce(0) { $0 | UInt64(state.bytes[Int(offset) + $1]) << UInt64(8 * $1) }
        }
    }
    func write(_ value: UInt64, _ offset: UInt64, _ width: AccessWidth, isDoorbell: Bool) {
        state.withLock { state in
            state.events.append(
                isDoorbell ? .doorbell(offset, width.rawValue, value) : .write(offset, width.rawValue, value))
            for byte in 0..<width.rawValue {
                state.bytes[Int(offset) + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))
            }
        }
    }
    func flush() { state.withLock { $0.events.append(.flush) } }
    func didOrder() { state.withLock { $0.events.append(.barrier) } }
    func didRefuse(_ offset: UInt64, _ width: AccessWidth) {
        state.withLock { $0.events.append(.refused(offset, width.rawValue)) }
    }
}

struct Control: RegisterLayout {
    var word: UInt32
    static var zeroed: UInt32 { 0x8000_0000 }
    static var preserved: UInt32 { 0x7000_0000 }
}
extension Field where Layout == Control, Value == UInt8 {
    static var speed: Self { Self(4...7) }
}
enum Mode: UInt8, FieldChoice {
    case slow = 1
    case fast = 2
}
extension Field where Layout == Control, Value == Mode {
    static var mode: Self { Self(0...1) }
}

@Suite("Registers by every way")
struct WindowTests {
    private static let control = Register<Control, ReadWrite>(8)
    private static let wide = Register<UInt64, ReadWrite>(16)
    private static let highFirst = Register<UInt64, ReadWrite>(24, first: .high, isSplit: true)
    private static let start = Register<UInt64, WriteOnly>(32, isSplit: true, isDoorbell: true)
    private static let status = Register<UInt32, WriteOneToClear>(40)

    @Test("modify is one read and one write, and keeps what it does not name")
    func modify() {
        let path = ListPath()
        let window = RegisterWindow(path, count: 64)
        window.store(UInt32(0xf000_0a01), at: 8)
        path.clear()
        let before = window.modify(Self.control) { control in
            control[.speed] = 0x1f
            control[.mode] = .fast
        }
        #expect(before.word == 0xf000_0a01)
        // Bit 31 has to be written as 0, bits 30:28 as they were read; of the number only what fits.
        #expect(path.events == [.read(8, 4), .write(8, 4, 0x7000_0af2)])
    }

    @Test("a pattern that no choice has is nil, and nil is not written")
    func choices() {
        var control = Control(word: 3)
        #expect(control[.mode] == nil)
        control[.mode] = nil
        #expect(control.word == 3)
        control[.mode] = Mode.slow
        #expect(control[.mode] == .slow)
    }

    @Test("64 bits: one access, or two in the order of the specification")
    func wide() {
        let path = ListPath()
        let window = RegisterWindow(path, count: 64)
        window.write(0x1111_2222_3333_4444, to: Self.wide)
        #expect(window.read(Self.wide) == 0x1111_2222_3333_4444)
        #expect(path.events == [.write(16, 8, 0x1111_2222_3333_4444), .read(16, 8)])
        path.clear()
        window.write(0x1111_2222_3333_4444, to: Self.highFirst)
        #expect(window.read(Self.highFirst) == 0x1111_2222_3333_4444)
        #expect(path.events == [.write(28, 4, 0x1111_2222), .write(24, 4, 0x3333_4444), .read(28, 4), .read(24, 4)])
        path.clear()
        let narrow = RegisterWindow(path, count: 64, splitsWide: true)
        narrow.write(0x1111_2222_3333_4444, to: Self.wide)
        #expect(narrow.read(Self.wide) == 0x1111_2222_3333_4444)
        #expect(path.events == [.write(16, 4, 0x3333_4444), .write(20, 4, 0x1111_2222), .read(16, 4), .read(20, 4)])
    }

    @Test("a doorbell stands behind a barrier, and of two accesses the last rings")
    func doorbell() {
        let path = ListPath()
        let window = RegisterWindow(path, count: 64)
        window.write(0x5_0000_0006, to: Self.start)
        #expect(path.events == [.barrier, .write(32, 4, 6), .doorbell(36, 4, 5)])
    }

    @Test("bits are cleared by one write of ones")
    func clear() {
        let path = ListPath()
        let window = RegisterWindow(path, count: 64)
        window.clear(4, in: Self.status)
        #expect(path.events == [.write(40, 4, 4)])
    }

    @Test(
        "accesses outside of the window and between words are not done", arguments: [-8, -1, 1, 2, 61, 62, 64, 72, .max, .min])
    func outside(_ offset: Int) {
        let path = ListPath()
        let window = RegisterWindow(path, count: 64)
        #expect(window.load(offset, as: UInt32.self) == .max)
        window.store(UInt32(1), at: offset)
        #expect(window.read(Register<UInt64, ReadWrite>(offset, isSplit: true)) == .max)
        window.write(1, to: Register<UInt64, ReadWrite>(offset, first: .high, isSplit: true))
        #expect(path.events.count == 4)
        #expect(path.events.allSatisfy { if case .refused = $0 { true } else { false } })
    }

    @Test("parts lie inside of their window")
    func parts() throws {
        let path = ListPath()
        let window = RegisterWindow(path, count: 64)
        for (offset, count) in [(-8, 8), (4, 8), (64, 8), (60, 8), (0, 65), (8, -1), (.max, 8), (8, .max)] {
            if let part = window.part(at: offset, count: count) { Issue.record("a part of \(part.count) bytes") }
        }
        guard let part = window.part(at: 32, count: 16), let inner = part.part(at: 8, count: 8) else {
            Issue.record("no part")
            return
        }
        inner.store(UInt32(7), at: 4)
        inner.store(UInt32(7), at: 8)
        #expect(path.events == [.write(44, 4, 7), .refused(48, 4)])
    }

    @Test("registers that are mapped are read and written there, and no path is asked")
    func mapped() {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 8)
        defer { unsafe memory.deallocate() }
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
        guard let base = memory.baseAddress else { return }
        let path = ListPath()
        let window = unsafe RegisterWindow(mapped: base, count: 64, keeping: path)
        window.store(UInt8(0x11), at: 0)
        window.store(UInt16(0x2222), at: 2)
        window.store(UInt32(0x3333_3333), at: 4)
        window.write(0x4444_4444_4444_4444, to: Self.wide)
        window.write(5, to: Self.start)
        #expect(window.load(0, as: UInt8.self) == 0x11)
        #expect(window.load(2, as: UInt16.self) == 0x2222)
        #expect(window.load(4, as: UInt32.self) == 0x3333_3333)
        #expect(window.load(0, as: UInt64.self) == 0x3333_3333_2222_0011)
        #expect(window.read(Self.wide) == 0x4444_4444_4444_4444)
        window.flush()
        if let part = window.part(at: 16, count: 8) { #expect(part.load(0, as: UInt64.self) == 0x4444_4444_4444_4444) }
        #expect(path.events == [])
        #expect(window.load(64, as: UInt8.self) == .max)
        #expect(path.events == [.refused(64, 1)])
    }
}

// SPDX-License-Identifier: Apache-2.0

public import CDMA
public import DMARegisters

/// Registers of a device, or a part of them, independent of the transport.
///
/// Where the device's memory is mapped, each access is one volatile access of the register's width. Where it is not, an access is a message, on the
/// cold path; the driver is the same.
///
/// **Errors.** As on a bus, a read that no device answers returns all ones, and such a write is lost. The same holds for a device that has gone, for
/// a peer that has ended, and for an access outside of the window or not aligned, which is not performed and reported to the path
/// (`RegisterPath.didRefuse`). Nothing traps, and the hot path returns no errors. Where a register cannot have the value all ones, a driver that
/// reads it checks whether the device is gone.
///
/// **Order.** Accesses to registers keep their order among each other. Between memory and a register, a doorbell (``DMARegisters/Register/isDoorbell``)
/// stands behind a barrier: what was written to memory before is seen by the device first. Writes are posted: what has to be over is read back, or
/// flushed.
///
/// **64 bits.** A wide register takes one access, unless its specification or the transport requires two, in the order that its declaration names.
///
/// Thread rules: a value, owned by one thread at a time; it may be sent to another.
@safe @frozen
public struct RegisterWindow: ~Copyable {
    // The pointer leads into memory that `path` keeps mapped; nil where there is none.
    @usableFromInline let base: UnsafeMutableRawPointer?
    /// Bytes.
    public let count: Int
    /// Where the window begins in its path's region. Bytes.
    @usableFromInline let start: UInt64
    @usableFromInline let path: any RegisterPath
    /// Whether the way does 64 bits in two accesses.
    @usableFromInline let splitsWide: Bool

    /// Registers that are reached by messages, or where the path has them mapped, directly.
    ///
    /// - Parameters:
    ///   - path: to the region.
    ///   - start: where the window begins in it.
    ///   - count: bytes of the window.
    ///   - splitsWide: whether the way has no accesses of 64 bits.
    public init(_ path: any RegisterPath, start: UInt64 = 0, count: Int, splitsWide: Bool = false) {
        let count = max(count, 0)
        // SAFETY: by the word of `mappedAddress`; the path is kept beside the pointer. What would not be aligned is reached by messages.
        let address = start & 7 == 0 && count > 0 ? unsafe path.mappedAddress(start, count) : 0
        unsafe base = UnsafeMutableRawPointer(bitPattern: address & 7 == 0 ? address : 0)
        self.count = count
        self.start = start
        self.path = path
        self.splitsWide = splitsWide && (address == 0 || address & 7 != 0)
    }

    /// Registers that are mapped in this process.
    ///
    /// Unsafe: the caller vouches that `base` is aligned to 8 bytes and that `count` bytes from there on are mapped for reading and writing as long
    /// as `path` lives.
    @unsafe
    public init(mapped base: UnsafeMutableRawPointer, count: Int, keeping path: any RegisterPath, splitsWide: Bool = false) {
        // SAFETY: the pointer is kept beside the object that keeps its memory.
        unsafe self.base = unsafe base
        self.count = max(count, 0)
        start = 0
        self.path = path
        self.splitsWide = splitsWide
    }

    @usableFromInline
    init(_ base: UnsafeMutableRawPointer?, _ start: UInt64, _ count: Int, _ path: any RegisterPath, _ splitsWide: Bool) {
        // SAFETY: `part` hands over a pointer into the same memory, and its path.
        unsafe self.base = unsafe base
        self.start = start
        self.count = count
        self.path = path
        self.splitsWide = splitsWide
    }

    /// A part of the window: one of several equal blocks of registers, say. Nil where it is not all inside, or begins at no multiple of 8 bytes.
    public borrowing func part(at offset: Int, count: Int) -> RegisterWindow? {
        guard offset >= 0, count >= 0, offset & 7 == 0, count <= self.count, offset <= self.count - count else { return nil }
        // Of a region that is mapped in parts, this may be one.
        guard isMapped else {
            return RegisterWindow(path, start: start &+ UInt64(offset), count: count, splitsWide: splitsWide)
        }
        // SAFETY: the part lies inside the window, whose memory `path` keeps.
        return unsafe RegisterWindow(base.map { unsafe $0 + offset }, start &+ UInt64(offset), count, path, splitsWide)
    }

    /// Whether each access is one access to mapped memory.
    // SAFETY: the pointer is compared alone.
    @inlinable public var isMapped: Bool { unsafe base != nil }

    // MARK: Declared registers

    /// Reads a register.
    @inlinable
    public borrowing func read<L, A: ReadableRegister>(_ register: Register<L, A>) -> L {
        if MemoryLayout<L.Word>.size == 8, splitsWide || register.isSplit { return L(word: readHalves(register)) }
        return L(word: load(register.offset, as: L.Word.self))
    }

    /// Writes a register: its reserved bits that have to be 0 as 0.
    @inlinable
    public borrowing func write<L, A: WritableRegister>(_ value: L, to register: Register<L, A>) {
        if register.isDoorbell { order() }
        if MemoryLayout<L.Word>.size == 8, splitsWide || register.isSplit { return writeHalves(value.written, register) }
        store(value.written, at: register.offset, isDoorbell: register.isDoorbell)
    }

    /// Changes fields of a register: exactly one read and one write. Fields and reserved bits that `body` does not name are written as they were read.
    ///
    /// - Returns: what was read: all ones where the device does not answer.
    @inlinable @discardableResult
    public borrowing func modify<L, A: ReadableRegister & WritableRegister>(
        _ register: Register<L, A>, _ body: (inout L) -> Void
    ) -> L {
        let before = read(register)
        var value = before
        body(&value)
        write(value, to: register)
        return before
    }

    /// Clears the bits of a register that are 1 in `bits`, and no others: one write.
    @inlinable
    public borrowing func clear<L>(_ bits: L, in register: Register<L, WriteOneToClear>) {
        store(bits.written, at: register.offset, isDoorbell: register.isDoorbell)
    }

    /// Sends what is posted, and waits until it has reached the device. On mapped registers nothing is posted that a read would not push out.
    public borrowing func flush() { if !isMapped { path.flush() } }

    // MARK: Words

    /// Reads one word at `offset`; all ones where it is not all inside, or `offset` is no multiple of its width.
    @inlinable
    public borrowing func load<W: RegisterWord>(_ offset: Int, as type: W.Type = W.self) -> W {
        let width = MemoryLayout<W>.size
        guard contains(offset, width) else {
            refuse(offset, width)
            return .max
        }
        // SAFETY: the word lies inside the window and is aligned; its memory is mapped as long as `path` lives.
        guard let base = unsafe base else { return W(truncatingIfNeeded: message(offset, width)) }
        return switch width {
        case 1: unsafe W(truncatingIfNeeded: cdma_volatile_load8(base + offset))
        case 2: unsafe W(truncatingIfNeeded: cdma_volatile_load16(base + offset))
        case 4: unsafe W(truncatingIfNeeded: cdma_volatile_load32(base + offset))
        default: unsafe W(truncatingIfNeeded: cdma_volatile_load64(base + offset))
        }
    }

    /// Writes one word at `offset`; nothing is done where it is not all inside, or `offset` is no multiple of its width.
    @inlinable
    public borrowing func store<W: RegisterWord>(_ value: W, at offset: Int, isDoorbell: Bool = false) {
        let width = MemoryLayout<W>.size
        guard contains(offset, width) else { return refuse(offset, width) }
        // SAFETY: as for `load`.
        guard let base = unsafe base else { return message(UInt64(truncatingIfNeeded: value), offset, width, isDoorbell) }
        switch width {
        case 1: unsafe cdma_volatile_store8(base + offset, UInt8(truncatingIfNeeded: value))
        case 2: unsafe cdma_volatile_store16(base + offset, UInt16(truncatingIfNeeded: value))
        case 4: unsafe cdma_volatile_store32(base + offset, UInt32(truncatingIfNeeded: value))
        default: unsafe cdma_volatile_store64(base + offset, UInt64(truncatingIfNeeded: value))
        }
    }

    /// What stands between memory that was written and a doorbell.
    @inlinable
    borrowing func order() {
        cdma_write_barrier()
        if !isMapped { path.didOrder() }
    }

    @inlinable @inline(__always)
    borrowing func contains(_ offset: Int, _ width: Int) -> Bool {
        offset >= 0 && offset <= count &- width && offset & (width &- 1) == 0
    }

    // MARK: Cold

    @usableFromInline @inline(never)
    borrowing func readHalves<L, A>(_ register: Register<L, A>) -> L.Word {
        let offset = register.offset
        guard contains(offset, 8) else {
            refuse(offset, 8)
            return .max
        }
        let low: UInt32
        let high: UInt32
        if register.first == .low {
            low = load(offset)
            high = load(offset + 4)
        } else {
            high = load(offset + 4)
            low = load(offset)
        }
        return L.Word(truncatingIfNeeded: UInt64(low) | UInt64(high) << 32)
    }

    @usableFromInline @inline(never)
    borrowing func writeHalves<L, A>(_ word: L.Word, _ register: Register<L, A>) {
        let offset = register.offset
        guard contains(offset, 8) else { return refuse(offset, 8) }
        let word = UInt64(truncatingIfNeeded: word)
        let (low, high) = (UInt32(truncatingIfNeeded: word), UInt32(truncatingIfNeeded: word >> 32))
        // The second access is the one that starts something.
        if register.first == .low {
            store(low, at: offset)
            store(high, at: offset + 4, isDoorbell: register.isDoorbell)
        } else {
            store(high, at: offset + 4)
            store(low, at: offset, isDoorbell: register.isDoorbell)
        }
    }

    @usableFromInline @inline(never)
    borrowing func message(_ offset: Int, _ width: Int) -> UInt64 {
        path.read(start &+ UInt64(offset), AccessWidth(rawValue: width) ?? .wide)
    }

    @usableFromInline @inline(never)
    borrowing func message(_ value: UInt64, _ offset: Int, _ width: Int, _ isDoorbell: Bool) {
        path.write(value, start &+ UInt64(offset), AccessWidth(rawValue: width) ?? .wide, isDoorbell: isDoorbell)
    }

    @usableFromInline @inline(never)
    borrowing func refuse(_ offset: Int, _ width: Int) {
        path.didRefuse(start &+ UInt64(truncatingIfNeeded: offset), AccessWidth(rawValue: width) ?? .wide)
    }
}

// SAFETY: the pointer leads into memory that `path` keeps, which any thread may use.
extension RegisterWindow: @unchecked Sendable {}

// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMA
internal import DMACore

/// A buffer as an endpoint of copies, which owns it from ``init(_:)`` until ``take()``.
///
/// ```swift
/// let memory = CopyBuffer(try Buffer(count: 1 << 20))
/// let report = try Copier().copy(from: .path("firmware.bin"), to: .buffer(memory))
/// let firmware = memory.take()
/// ```
///
/// As a source all of its bytes are copied. As a target it receives as many bytes as the source has, from its start; the bytes after those
/// are unchanged. A copy that fails may have written some.
///
/// Thread rules: everything may be called from any thread. One copy at a time uses the buffer: another one fails with `held`.
public final class CopyBuffer: Sendable {
    private let buffer: Locked<Buffer?>
    /// Bytes.
    public let count: Int

    /// Takes ownership of a buffer.
    public init(_ buffer: consuming sending Buffer) {
        count = buffer.count
        self.buffer = Locked(buffer)
    }

    /// Returns the buffer; nil while a copy uses it, and after it was taken.
    public func take() -> Buffer? { buffer.withLock { $0.take() } }

    /// - Throws: `held`.
    fileprivate func lend(as name: String) throws(CopyFailure) -> Buffer {
        guard let buffer = take() else {
            throw CopyFailure(
                .held, name, asked: "use", possible: "another copy uses it, or it was taken",
                cure: "Wait for the other copy, or make another CopyBuffer of a buffer that was taken.")
        }
        return buffer
    }

    fileprivate func giveBack(_ lent: consuming sending Buffer) {
        // `lend` took the buffer out, and no other function stores one.
        var back: Buffer? = consume lent
        buffer.withLock { swap(&$0, &back) }
    }
}

/// Equal only to itself.
extension CopyBuffer: Hashable {
    public static func == (one: CopyBuffer, other: CopyBuffer) -> Bool { one === other }
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// Memory of this process as one end of a copy.
final class MemoryEnd {
    private var buffer: Buffer?
    private let count: Int
    private let name: String
    /// The object that lent the buffer and gets it back; nil for memory of the copy's own.
    private let owner: CopyBuffer?

    /// Memory that is zero at first, and is freed with this object.
    init(_ count: UInt64, name: String) throws(CopyFailure) {
        self.name = name
        owner = nil
        self.count = Int(clamping: max(count, 1))
        do throws(DMAError) {
            buffer = try Buffer(
                count: self.count, backing: .pages(transparentHuge: true), policy: AllocationPolicy(prefault: true))
        } catch { throw .engine(name, error, to: "allocate memory for") }
    }

    /// A client's buffer, until this object ends.
    ///
    /// - Throws: `held`.
    init(_ owner: CopyBuffer, name: String) throws(CopyFailure) {
        buffer = try owner.lend(as: name)
        (self.name, self.owner, count) = (name, owner, owner.count)
    }

    deinit {
        if let owner, let buffer = buffer.take() { owner.giveBack(buffer) }
    }

    private func holds(_ count: Int, at position: UInt64) -> Bool {
        position <= UInt64(self.count) && UInt64(count) <= UInt64(self.count) - position
    }

    func read(into bytes: inout MutableRawSpan, at position: UInt64) {
        guard holds(bytes.byteCount, at: position) else { return }
        // SAFETY: the range was checked to lie inside the buffer, which is accessed exclusively and is other memory than the span's.
        unsafe buffer?.withUnsafeMutableBytes { from in
            unsafe bytes.withUnsafeMutableBytes { to in
                if let start = from.baseAddress, let target = to.baseAddress {
                    unsafe cdma_copy(target, start + Int(position), to.count)
                }
            }
        }
    }

    /// - Throws: `targetTooSmall`.
    func write(_ bytes: RawSpan, at position: UInt64) throws(CopyFailure) {
        guard holds(bytes.byteCount, at: position) else {
            throw CopyFailure(
                .targetTooSmall, name, asked: "write \(bytes.byteCount) bytes at offset \(position) of",
                possible: "it has \(count) bytes", cure: "Use a larger one.")
        }
        // SAFETY: as above.
        unsafe buffer?.withUnsafeMutableBytes { to in
            unsafe bytes.withUnsafeBytes { from in
                if let start = from.baseAddress, let target = to.baseAddress {
                    unsafe cdma_copy(target + Int(position), start, from.count)
                }
            }
        }
    }
}

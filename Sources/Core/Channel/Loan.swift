// SPDX-License-Identifier: Apache-2.0

/// Mapped buffers lent to a channel for one call: the cargo of channels used through calls such as ``Channel/copy(_:to:by:)``.
///
/// The buffers stay with the caller, which cannot use them during the call. Where the call gives up on a device that does not
/// stop, the loan stays with the channel: until the device is known to have stopped, the buffers refuse every access
/// (`quarantined`), and their memory stays mapped even when they end (rule 18).
public struct Loan: ~Copyable, Cargo {
    let source: MappingHandle?
    let target: MappingHandle?

    init(reads source: MappingHandle?, writes target: MappingHandle?) {
        self.source = source
        self.target = target
        source?.lend(writes: false)
        target?.lend(writes: true)
    }

    deinit {
        source?.endLoan(writes: false)
        target?.endLoan(writes: true)
    }

    public var regionCount: Int { (source?.regionCount ?? 0) + (target?.regionCount ?? 0) }

    @_lifetime(borrow self)
    public func region(at index: Int) -> Region { Region(words: words(at: index)) }

    private func words(at index: Int) -> RegionWords {
        guard index >= 0 else { return .none }
        let first = source?.regionCount ?? 0
        // The difference of two nonnegative numbers cannot overflow.
        return index < first ? source?.words(at: index) ?? .none : target?.words(at: index - first) ?? .none
    }
}

/// The operations of one call: one, unless the device's limits split a buffer into several regions.
struct LoanSteps {
    /// The operation that a call performs on its buffers.
    enum Call {
        case copy
        case crc32c
        case fill(UInt64)
        case read(PeripheralPlace)
    }

    let call: Call
    private let source: MappingHandle?
    private let target: MappingHandle?
    /// The position in the buffers that the steps have reached, and the end.
    private var offset: UInt64
    private let end: UInt64
    private let most: UInt64

    /// - Parameters:
    ///   - range: bytes of the buffers; of both, in a copy.
    ///   - most: the maximum number of bytes in a step.
    init(_ call: Call, _ source: MappingHandle?, _ target: MappingHandle?, range: Range<UInt64>, most: UInt64 = .max) {
        self.call = call
        self.source = source
        self.target = target
        offset = range.lowerBound
        end = range.upperBound
        self.most = most
    }

    /// The same buffers, lent again.
    func loan() -> Loan { Loan(reads: source, writes: target) }

    /// The next operation, and its length in bytes.
    ///
    /// - Parameter value: the result of the previous step.
    mutating func next(after value: UInt64) -> Operation? {
        guard offset < end else { return nil }
        let read = Self.place(offset, in: source)
        let written = Self.place(offset, in: target)
        let count = min(end - offset, read?.rest ?? .max, written?.rest ?? .max, most)
        let base = UInt16(clamping: source?.regionCount ?? 0)
        // An index beyond 16 bits names no region, and the channel refuses it.
        let from = UInt16(clamping: read?.index ?? 0)
        let to = UInt16(clamping: Int(base) + (written?.index ?? 0))
        defer { offset += count }
        // A length inside a region of memory fits in an Int.
        let (size, readAt, writtenAt) = (
            Int(clamping: count), Int(clamping: read?.offset ?? 0), Int(clamping: written?.offset ?? 0)
        )
        switch call {
        case .copy:
            return .copy(
                from: from, to: to, sourceOffset: readAt, destinationOffset: writtenAt, count: size, flags: .interrupt)
        case .crc32c:
            return .crc32c(
                of: from, offset: readAt, count: size, seed: UInt32(truncatingIfNeeded: value), flags: .interrupt)
        case .fill(let pattern):
            // Each step begins the pattern anew.
            let turn = (offset & 7) * 8
            let turned = turn == 0 ? pattern : pattern >> turn | pattern << (64 - turn)
            return .fill(to, offset: writtenAt, count: size, pattern: turned, flags: .interrupt)
        case .read(let place):
            return .fromPeripheral(
                to..<to &+ 1, offset: writtenAt, count: size, at: place.moved(by: offset), flags: .interrupt)
        }
    }

    /// The region that contains a byte, the offset in it, and the bytes left in the region from there.
    private static func place(_ offset: UInt64, in mapping: MappingHandle?) -> (index: Int, offset: UInt64, rest: UInt64)? {
        guard let mapping else { return nil }
        var before: UInt64 = 0
        for index in 0..<mapping.regionCount {
            let region = mapping.words(at: index)
            if offset - before < region.count { return (index, offset - before, region.count - (offset - before)) }
            before += region.count
        }
        return nil
    }
}

extension PeripheralPlace {
    /// The place that many bytes further on; a current position is wherever the preceding transfers ended.
    fileprivate func moved(by offset: UInt64) -> PeripheralPlace {
        PeripheralPlace(number: number, position: position.map { $0 &+ offset })
    }
}

extension MappedBuffer {
    /// The length of a call over the whole buffer.
    var wholeRange: Range<UInt64> { 0..<UInt64(count) }

    /// The length of a copy of the whole buffer into `target`.
    ///
    /// - Throws: `outOfRange` where the target is shorter.
    func rangeOfCopy(to target: borrowing MappedBuffer) throws(DMAError) -> Range<UInt64> {
        guard target.count >= count else { throw DMAError(.outOfRange, asked: UInt64(count), limit: UInt64(target.count)) }
        return wholeRange
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMATypes
import Testing

/// Integers in bytes, durations, and values as text.
@Suite("Words")
struct WordTests {
    @Test("integers are loaded and stored at any offset inside, and nowhere else")
    func integers() throws {
        var buffer = try Buffer(count: 16)
        try buffer.store(0x0102_0304_0506_0708 as UInt64, at: 3)
        #expect(try buffer.load(at: 3) == 0x0102_0304_0506_0708 as UInt64)
        try buffer.store(-2 as Int16, at: 14)
        #expect(try buffer.load(at: 14, as: Int16.self) == -2)
        let first = try buffer.withBytes { bytes throws(DMAError) in try bytes.load(at: 15, as: UInt8.self) }
        #expect(first == 0xff)
        for offset in [-1, 9, 16, 17, .max, .min] {
            #expect(throws: DMAError.self) { try buffer.load(at: offset, as: UInt64.self) }
            #expect(throws: DMAError.self) { try buffer.store(1 as UInt64, at: offset) }
        }
        #expect(try buffer.load(at: 8, as: UInt64.self) == buffer.load(at: 8, as: UInt64.self))
        #expect(throws: DMAError(.outOfRange, asked: 17, limit: 16)) { try buffer.load(at: 9, as: UInt64.self) }
    }

    @Test("a buffer is made from bytes, contiguous or not; an empty collection is refused")
    func copying() throws {
        let buffer = try Buffer(copying: "123456789".utf8)
        #expect(buffer.count == 9)
        #expect(try buffer.load(at: 8, as: UInt8.self) == UInt8(ascii: "9"))
        let sparse = try Buffer(copying: [[1, 2], [3]].joined().map { UInt8($0) }.reversed())
        #expect(sparse.count == 3)
        #expect(try sparse.load(as: UInt8.self) == 3)
        #expect(try sparse.load(at: 2, as: UInt8.self) == 1)
        #expect(throws: DMAError.self) { _ = try Buffer(copying: []) }
    }

    /// A collection that reports more, or fewer, elements than it has.
    private struct Liar: Collection {
        let count: Int
        var startIndex: Int { 0 }
        var endIndex: Int { 4 }
        func index(after index: Int) -> Int { index + 1 }
        subscript(position: Int) -> UInt8 { UInt8(position + 1) }
    }

    @Test("a collection with a wrong count writes nothing outside", arguments: [2, 4, 9])
    func liar(count: Int) throws {
        let buffer = try Buffer(copying: Liar(count: count))
        #expect(buffer.count == count)
        for offset in 0..<count { #expect(try buffer.load(at: offset, as: UInt8.self) == (offset < 4 ? UInt8(offset + 1) : 0)) }
    }

    @Test("a deadline after a duration equals that after as many nanoseconds, and never exceeds the clock's range")
    func durations() {
        let now = Deadline.now
        let later = Deadline.after(.milliseconds(1500))
        #expect(later.nanoseconds - now.nanoseconds >= 1_500_000_000)
        #expect(later.nanoseconds - Deadline.now.nanoseconds <= 1_500_000_000)
        #expect(Deadline.after(.seconds(Int64.max)) == .never)
        #expect(Deadline.after(.seconds(Int64.min)) < .now)
        #expect(Deadline.after(.nanoseconds(-1)) < .now)
    }

    @Test("values print as text")
    func words() {
        #expect("\(OperationSet([.copy, .crc32c]))" == "copy, crc32c" && "\(OperationSet())" == "none")
        #expect("\(DescriptorFlags([.fence, .interrupt]))" == "fence, interrupt")
        #expect("\(DescriptorFlags(rawValue: 0x4001))" == "fence, 0x4000")
        #expect("\(ValidationResult([.pFailed, .qFailed]))" == "P and Q are wrong")
        #expect(
            "\(Operation.copy(from: 0, to: 1, sourceOffset: 64, count: 4096))"
                == "copy 4096 bytes of region 0 from byte 64 to region 1")
        #expect(
            "\(Operation.pq(sources: 0..<4, p: 4, flags: .interrupt))" == "pq of regions 0 to 3 to regions 4 to 5 (interrupt)")
        #expect("\(TransactionStatus.writeFailed)" == "writeFailed" && "\(IOVA(0x1000))" == "0x1000")
    }

    @Test("a negative count appears with its sign, not as its bit pattern")
    func negative() throws {
        do throws(DMAError) {
            _ = try Buffer(count: -1)
            Issue.record("a buffer of -1 bytes")
        } catch { #expect(error.message == "cannot use a size of -1 bytes: a size is positive") }
        let mapped = try Buffer(count: 64).mapped(for: Domain(name: "words"), direction: .bidirectional)
        do throws(DMAError) {
            _ = try mapped.withCPUAccess(-5..<3) { _ in 0 }
            Issue.record("bytes before a buffer")
        } catch { #expect(error.request == "access bytes up to -5") }
    }

    private struct Own: Error {}

    @Test("closures of several statements throw their own errors; bytes written before are synced for the device")
    func ownErrors() throws {
        var mapped = try Buffer(count: 64).mapped(for: Domain(name: "words"), direction: .bidirectional)
        #expect(throws: Own.self) {
            try mapped.withMutableCPUAccess(0..<8) { bytes in
                try bytes.store(7 as UInt64)
                if bytes.byteCount == 8 { throw Own() }
            }
        }
        #expect(throws: Own.self) {
            try mapped.withCPUAccess { bytes in
                let value = try bytes.load(as: UInt64.self)
                if value == 7 { throw Own() }
            }
        }
        #expect(throws: DMAError(.outOfRange, asked: 65, limit: 64)) {
            try mapped.withCPUAccess(0..<65) { bytes in
                let value = try bytes.load(as: UInt8.self)
                if value == 0 { throw Own() }
            }
        }
    }
}

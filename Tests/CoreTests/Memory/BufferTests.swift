// SPDX-License-Identifier: Apache-2.0
import Synchronization
import Testing

@testable import DMACore

@Suite("Buffers")
struct BufferTests {
    /// The code of the error that `body` throws, or nil.
    static func code(_ body: () throws(DMAError) -> Void) -> DMAError.Code? {
        do throws(DMAError) {
            try body()
            return nil
        } catch { return error.code }
    }

    @Test("a buffer is zeroed, aligned, writable, and has the requested length")
    func plain() throws {
        var buffer = try Buffer(count: 5000, alignment: 64)
        #expect(buffer.count == 5000)
        #expect(buffer.backing == .pages(transparentHuge: false))
        #expect(buffer.isLocked == false)
        #expect(buffer.bytes.byteCount == 5000)
        let sum = buffer.withBytes { span in
            var sum = 0
            for index in 0..<span.byteCount { sum += unsafe Int(span.unsafeLoad(fromByteOffset: index, as: UInt8.self)) }
            return sum
        }
        #expect(sum == 0)
        buffer.withMutableBytes { span in
            span.storeBytes(of: 0x1122_3344, toByteOffset: 4996, as: UInt32.self)
        }
        #expect(unsafe buffer.bytes.unsafeLoadUnaligned(fromByteOffset: 4996, as: UInt32.self) == 0x1122_3344)
    }

    @Test(
        "bad requests are refused with their own code",
        arguments: [
            (0, 64, DMAError.Code.zeroLength), (-1, 64, .sizeOverflow), (Int.max, 64, .sizeOverflow),
            (Int.min, 64, .sizeOverflow),
            ((1 << 47) + 1, 64, .sizeOverflow), (4096, 0, .badAlignment), (4096, 3, .badAlignment), (4096, -64, .badAlignment),
            (4096, 1 << 41, .badAlignment), (1 << 46, 64, .outOfMemory),
        ])
    func refused(count: Int, alignment: Int, code: DMAError.Code) {
        #expect(Self.code { () throws(DMAError) in _ = try Buffer(count: count, alignment: alignment) } == code)
    }

    @Test("rule 38: large alignments hold", arguments: [4096, 1 << 16, 1 << 21, 1 << 24])
    func rule38_alignment(alignment: Int) throws {
        var buffer = try Buffer(count: 12345, alignment: alignment)
        let address = unsafe buffer.withUnsafeMutableBytes { bytes in UInt(bitPattern: bytes.baseAddress) }
        #expect(address % UInt(alignment) == 0)
        #expect(buffer.alignment == alignment)
    }

    @Test("unavailable huge pages are refused with the cure, or fall back visibly")
    func hugePages() throws {
        for backing in [Backing.huge1GiB, .huge2MiB] {
            do throws(DMAError) {
                let buffer = try Buffer(count: 1 << 20, backing: backing)
                #expect(buffer.backing == backing)
                #expect(buffer.pageSize >= 2 << 20)
            } catch {
                #expect(error.code == .hugePagesUnavailable)
                #expect(error.description.contains("nr_hugepages"))
                #expect(error.limit == (backing == .huge1GiB ? 1 << 30 : 2 << 20))
            }
        }
    }

    @Test("a fallback from huge pages is reported")
    func hugeFallback() throws {
        let buffer = try Buffer(count: 1 << 20, backing: .huge1GiB, policy: AllocationPolicy(acceptsFallback: true))
        if buffer.backing == .huge1GiB {
            #expect(buffer.pageSize == 1 << 30)
        } else {
            #expect(buffer.backing == .pages(transparentHuge: false), "1 MiB is less than a huge page")
            #expect(buffer.pageSize <= 65536)
        }
    }

    @Test("transparent huge pages: aligned, and the buffer reports whether the kernel may use them")
    func transparentHuge() throws {
        var buffer = try Buffer(count: 4 << 20, backing: .pages(transparentHuge: true))
        let address = unsafe buffer.withUnsafeMutableBytes { bytes in UInt(bitPattern: bytes.baseAddress) }
        #expect(address % (2 << 20) == 0)
        let small = try Buffer(count: 4096, backing: .pages(transparentHuge: true))
        #expect(small.backing == .pages(transparentHuge: false))
    }

    @Test("shared memory has a descriptor, and the same bytes behind it")
    func sharedMemory() throws {
        var buffer = try Buffer(count: 8192, backing: .sharedMemory(name: "test"))
        buffer.withMutableBytes { $0.storeBytes(of: 77, toByteOffset: 4096, as: UInt8.self) }
        let seen = buffer.withFileDescriptor { descriptor in ProcessFile.read("/proc/self/fd/\(descriptor)", capacity: 16384) }
        #expect(seen??.count == 8192)
        #expect(seen??[4096] == 77)
        let anonymous = try Buffer(count: 1)
        #expect(anonymous.withFileDescriptor { $0 } == nil)
    }

    @Test(
        "a heap that does not exist, or a name that is a path, is refused",
        arguments: [
            "no-such-heap", "../../dev/zero", "", ".hidden", "a/b", String(repeating: "x", count: 100),
        ])
    func heaps(name: String) {
        #expect(Self.code { () throws(DMAError) in _ = try Buffer(count: 4096, backing: .heap(name)) } == .noSuchHeap)
    }

    @Test("rule 30: memory below a narrow mask", arguments: [24, 28, 32, 36, 40])
    func rule30_lowMemory(bits: Int) throws {
        var buffer = try Buffer(count: 100_000, alignment: 4096, policy: AllocationPolicy(below: DMAMask(bits: bits)))
        let start = unsafe buffer.withUnsafeMutableBytes { bytes in UInt64(UInt(bitPattern: bytes.baseAddress)) }
        #expect(DMAMask(bits: bits).reaches(IOVA(start), count: 100_000))
    }

    @Test("rule 30: an empty mask is refused", arguments: [0, 1, 12, 16])
    func rule30_noMemory(bits: Int) {
        let policy = AllocationPolicy(below: DMAMask(bits: bits))
        #expect(Self.code { () throws(DMAError) in _ = try Buffer(count: 4096, policy: policy) } == .noAddressSpace)
    }

    @Test("imported memory is released exactly once, when the buffer ends")
    func imported() throws {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 100, alignment: 64)
        defer { unsafe memory.deallocate() }
        let counter = Counter()
        do {
            let buffer = try unsafe Buffer(importing: memory) { counter.value.add(1, ordering: .relaxed) }
            #expect(buffer.count == 100)
            #expect(buffer.backing == .imported)
            #expect(counter.value.load(ordering: .relaxed) == 0)
        }
        #expect(counter.value.load(ordering: .relaxed) == 1)
        let refusal = Self.code { () throws(DMAError) in
            _ = try unsafe Buffer(importing: UnsafeMutableRawBufferPointer(start: nil, count: 0))
        }
        #expect(refusal == .zeroLength)
    }

    final class Counter: Sendable {
        let value = Atomic<Int>(0)
    }

    @Test("prefaulted memory is present")
    func prefault() throws {
        let buffer = try Buffer(count: 1 << 20, policy: AllocationPolicy(prefault: true))
        #expect(buffer.count == 1 << 20)
    }
}

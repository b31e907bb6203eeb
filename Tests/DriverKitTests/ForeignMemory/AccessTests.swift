// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMACore
import DMADriverKit
import DMATestSupport
import ForkedChild
import Glibc
import Testing

extension DriverKitTests {
    @Suite("Foreign memory: accesses")
    struct ForeignAccessTests {
        private let page = UInt64(PeerFile.page)

        @Test(
            "a copy spans adjacent regions of different files, and is refused before a byte moves where one is missing or forbids it"
        )
        func acrossRegions() throws {
            let memory = ForeignMemory()
            let a = PeerFile(sealed: 2, first: 0x11)
            let b = PeerFile(shrinkable: 2, first: 0x22)
            let c = PeerFile(sealed: 2, first: 0x33)
            let start = 0x7_0000 as UInt64
            try memory.insert(IOVA(start), count: page + 3, access: [.read, .write], file: a.descriptor)
            try memory.insert(
                IOVA(start + page + 3), count: 5, access: [.read, .write], file: b.descriptor, offset: page, unstable: .copied)
            try memory.insert(IOVA(start + page + 8), count: page, access: [.read, .write], file: c.descriptor)
            let expected = a.bytes(0, Int(page) + 3) + b.bytes(Int(page), 5) + c.bytes(0, Int(page))
            let count = Int(2 * page) + 8
            #expect(try memory.bytes(start, count) == expected)
            #expect(try memory.bytes(start + 1, count - 2) == Array(expected[1..<count - 1]))
            let own = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            try memory.put(own, start)
            #expect(a.bytes(0, Int(page) + 3) + b.bytes(Int(page), 5) + c.bytes(0, Int(page)) == own)
            // Refused as a whole.
            #expect(
                refusal { () throws(DMAError) in try memory.put([UInt8](repeating: 0, count: count + 1), start) }
                    == .unmappedAddress)
            try memory.end(start + page + 3, 5)
            #expect(
                refusal { () throws(DMAError) in try memory.put([UInt8](repeating: 0, count: count), start) }
                    == .unmappedAddress)
            try memory.insert(
                IOVA(start + page + 3), count: 5, access: [.read], file: b.descriptor, offset: page, unstable: .copied)
            #expect(
                refusal { () throws(DMAError) in try memory.put([UInt8](repeating: 0, count: count), start) } == .noPermission)
            #expect(try memory.bytes(start, count) == own)
        }

        @Test("every offset and length up to three words moves exactly its bytes, both ways")
        func everyAlignment() throws {
            let memory = ForeignMemory()
            let file = PeerFile(sealed: 1)
            try memory.insert(IOVA(0), count: page, access: [.read, .write], file: file.descriptor)
            var random = Seeded("everyAlignment")
            for offset in 0..<16 {
                for count in 0...24 {
                    let before = random.bytes(64)
                    try memory.put(before, 0)
                    let own = random.bytes(count)
                    try memory.put(own, UInt64(offset))
                    let expected = Array(before[..<offset]) + own + Array(before[(offset + count)...])
                    #expect(file.bytes(0, 64) == expected, "\(offset) \(count)")
                    #expect(try memory.bytes(UInt64(offset), count) == own)
                    // An unaligned place of our own.
                    var shifted = [UInt8](repeating: 0, count: count + 1)
                    try fillTail(&shifted, memory, UInt64(offset))
                    #expect(Array(shifted.dropFirst()) == own && shifted[0] == 0)
                }
            }
        }

        private func fillTail(_ bytes: inout [UInt8], _ memory: ForeignMemory, _ start: UInt64) throws(DMAError) {
            var span = bytes.mutableSpan
            var raw = unsafe span.mutableBytes
            var tail = raw._mutatingExtracting(droppingFirst: 1)
            try memory.read(IOVA(start), into: &tail)
        }

        @Test("a copy longer than one piece moves every byte, of mapped and of copied memory")
        func longCopies() throws {
            let pages = 300
            let memory = ForeignMemory()
            let sealed = PeerFile(sealed: pages)
            let copied = PeerFile(shrinkable: pages)
            let count = UInt64(pages) * page
            try memory.insert(IOVA(0), count: count, access: [.read, .write], file: sealed.descriptor)
            try memory.insert(IOVA(count), count: count, access: [.read, .write], file: copied.descriptor, unstable: .copied)
            var random = Seeded("longCopies")
            let own = random.bytes(Int(2 * count) - 5)
            try memory.put(own, 3)
            #expect(try memory.bytes(3, own.count) == own)
            #expect(sealed.bytes(3, Int(count) - 3) == Array(own.prefix(Int(count) - 3)))
            #expect(copied.bytes(0, Int(count) - 2) == Array(own.suffix(Int(count) - 2)))
        }

        @Test("words of each width, at each address that is aligned in this process, and at no other")
        func words() throws {
            let memory = ForeignMemory()
            let file = PeerFile(sealed: 2)
            // The bus address is odd; the address in this process is the page's start.
            let start = 0x1003 as UInt64
            try memory.insert(IOVA(start), count: page + 4, access: [.read, .write], file: file.descriptor)
            func check<T: SharedWord>(_ type: T.Type) throws {
                let width = MemoryLayout<T>.size
                let value = T(truncatingIfNeeded: 0x8182_8384_8586_8788 as UInt64)
                for offset in 0..<16 {
                    let place = IOVA(start + UInt64(offset))
                    guard offset % width == 0 else {
                        #expect(refusal { () throws(DMAError) in _ = try memory.load(at: place, as: type) } == .misaligned)
                        #expect(refusal { () throws(DMAError) in try memory.storeRelease(value, at: place) } == .misaligned)
                        continue
                    }
                    try memory.store(value, at: place)
                    #expect(try memory.load(at: place, as: type) == value)
                    try memory.storeRelease(~value, at: place)
                    #expect(try memory.loadAcquire(at: place, as: type) == ~value)
                    #expect(file.bytes(offset, width) == (0..<width).map { UInt8(truncatingIfNeeded: ~value >> T($0 * 8)) })
                    if width >= 4 {
                        #expect(try memory.fetchAdd(2, at: place) == ~value)
                        #expect(try memory.compareExchange(at: place, expected: ~value, desired: 1) == ~value &+ 2)
                        #expect(try memory.load(at: place, as: type) == ~value &+ 2)
                        #expect(try memory.compareExchange(at: place, expected: ~value &+ 2, desired: 1) == ~value &+ 2)
                        #expect(try memory.load(at: place, as: type) == 1)
                    } else {
                        #expect(
                            refusal { () throws(DMAError) in _ = try memory.fetchAdd(1 as T, at: place) }
                                == .unsupportedOperation)
                    }
                }
                // Beyond the end by one byte, and across it.
                #expect(
                    refusal { () throws(DMAError) in _ = try memory.load(at: IOVA(start + page + 4), as: type) }
                        == .unmappedAddress)
            }
            try check(UInt8.self)
            try check(UInt16.self)
            try check(UInt32.self)
            try check(UInt64.self)
            #expect(
                refusal { () throws(DMAError) in _ = try memory.load(at: IOVA(start + page), as: UInt64.self) }
                    == .unmappedAddress)
        }

        @Test("atomic additions of several threads, and of another mapping, are all counted")
        func atomics() throws {
            let memory = ForeignMemory()
            let file = PeerFile(sealed: 1)
            try memory.insert(IOVA(0), count: page, access: [.read, .write], file: file.descriptor)
            let threads = try (0..<4).map { _ in
                try Worker {
                    for _ in 0..<5000 {
                        _ = try memory.fetchAdd(1 as UInt64, at: IOVA(64))
                        _ = try memory.fetchAdd(3 as UInt32, at: IOVA(128))
                    }
                }
            }
            for thread in threads { #expect(thread.end() == nil) }
            #expect(try memory.load(at: IOVA(64), as: UInt64.self) == 20_000)
            #expect(try memory.load(at: IOVA(128), as: UInt32.self) == 60_000)
        }

        @Test(
            "a file that its owner may truncate is refused; where the kernel copies, a missing page is an error and no signal"
        )
        func shrinking() throws {
            let memory = ForeignMemory()
            let sealed = PeerFile(sealed: 2)
            #expect(ftruncate(sealed.descriptor, 0) == -1 && errno == EPERM)
            for folder in ["/dev/shm", "/tmp"] {
                let file = PeerFile(shrinkable: 4, first: 0x40, in: folder)
                #expect(
                    refusal { () throws(DMAError) in
                        try memory.insert(IOVA(0), count: 4 * page, access: [.read, .write], file: file.descriptor)
                    } == .unstableFile)
                try memory.insert(
                    IOVA(0), count: 4 * page, access: [.read, .write], file: file.descriptor, unstable: .copied)
                #expect(try memory.bytes(0, Int(4 * page)) == file.bytes(0, Int(4 * page)))
                #expect(refusal { () throws(DMAError) in _ = try memory.load(at: IOVA(0), as: UInt32.self) } == .copiesOnly)
                #expect(refusal { () throws(DMAError) in try memory.storeRelease(1 as UInt8, at: IOVA(0)) } == .copiesOnly)
                #expect(refusal { () throws(DMAError) in _ = try memory.fetchAdd(1 as UInt32, at: IOVA(0)) } == .copiesOnly)
                try memory.put([1, 2, 3], 2 * page - 1)
                #expect(file.bytes(Int(2 * page) - 1, 3) == [1, 2, 3])
                #expect(ftruncate(file.descriptor, Int(page)) == 0)
                do throws(DMAError) {
                    _ = try memory.bytes(0, Int(4 * page))
                    Issue.record("bytes of a page that is gone")
                } catch { #expect(error.code == .kernelRefused && error.errno == EFAULT) }
                #expect(refusal { () throws(DMAError) in try memory.put([1], 3 * page) } == .kernelRefused)
                // The rest can be read, and the region is removed.
                #expect(try memory.bytes(0, Int(page)) == [UInt8](repeating: 0x40, count: Int(page)))
                try memory.end(0, 4 * page)
            }
        }

        @Test("huge pages, which a hole may lack, are refused in spite of their seal")
        func hugePages() throws {
            let file = unsafe cdma_shared_memory("peer", 2 << 20, 21)
            try #require(file >= 0, "no memfd of huge pages on this kernel: \(file)")
            defer { close(file) }
            let memory = ForeignMemory()
            #expect(
                refusal { () throws(DMAError) in try memory.insert(IOVA(0), count: 1 << 20, access: [.read], file: file) }
                    == .unstableFile)
            #expect(
                refusal { () throws(DMAError) in
                    try memory.insert(IOVA(0), count: 4096, access: [.read], file: file, offset: 4096, unstable: .copied)
                } == .misaligned)
            // Copied, if the machine has a reserved huge page; otherwise the kernel refuses the mapping, which is an error as
            // well.
            let code = refusal { () throws(DMAError) in
                try memory.insert(IOVA(0), count: 1 << 20, access: [.read], file: file, unstable: .copied)
            }
            #expect(code == nil || code == .kernelRefused)
            if code == nil {
                #expect(try memory.bytes(0, 4096) == [UInt8](repeating: 0, count: 4096))
                try memory.end(0, 1 << 20)
            }
        }

        @Test("a trusted file is mapped, with single words")
        func trusted() throws {
            let memory = ForeignMemory()
            let file = PeerFile(shrinkable: 1, first: 3)
            unsafe try memory.insert(IOVA(0), count: page, access: [.read], trustedFile: file.descriptor)
            #expect(try memory.load(at: IOVA(8), as: UInt16.self) == 0x0303)
        }

        @Test("a child process has no mapping of the peer's, and every call there is refused")
        func fork() throws {
            let file = PeerFile(sealed: 1)
            inherited.memory = ForeignMemory()
            defer { inherited.memory = nil }
            inherited.descriptor = file.descriptor
            try inherited.memory!.insert(IOVA(0), count: page, access: [.read, .write], file: file.descriptor)
            let wrong = forked_child_run {
                let memory = inherited.memory!
                var wrong: Int32 = 0
                func check(_ bit: Int32, _ body: () throws(DMAError) -> Void) {
                    if refusal(body) != .usedAfterFork { wrong |= bit }
                }
                check(1) { () throws(DMAError) in _ = try memory.bytes(0, 1) }
                check(2) { () throws(DMAError) in try memory.put([1], 0) }
                check(4) { () throws(DMAError) in _ = try memory.load(at: IOVA(0), as: UInt64.self) }
                check(8) { () throws(DMAError) in
                    try memory.insert(IOVA(1 << 20), count: 1, access: [.read], file: inherited.descriptor)
                }
                check(16) { () throws(DMAError) in try memory.end(0, 4096) }
                check(32) { () throws(DMAError) in try memory.removeAll(until: .now) }
                if Holdings.now.peerMappings != 0 { wrong |= 64 }
                inherited.memory = nil
                return wrong
            }
            #expect(wrong == 0)
            #expect(try inherited.memory!.bytes(0, 1) == [0])
        }
    }
}

/// The state in a child process. In a global, because the code there is a C function.
private final class Inherited: @unchecked Sendable {
    var memory: ForeignMemory?
    var descriptor: Int32 = -1
}
private let inherited = Inherited()

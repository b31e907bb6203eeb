// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess

/// An answer of the kernel's that begins with its length: fixed words, and where its flags say so a chain of capabilities behind them.
///
/// The kernel may be newer than this package, or older: a longer answer is asked for again with more room, an unknown capability is skipped, and a
/// request that knows no capabilities is no error. What contradicts itself is `badConfiguration`.
///
/// Source: include/uapi/linux/vfio.h, "argsz" and struct vfio_info_cap_header.
struct VFIOAnswer {
    let bytes: [UInt8]
    private let asked: String
    private let device: String

    /// The most that an answer may need.
    static let most = 1 << 16

    /// Asks, and asks again with the room that the kernel names.
    ///
    /// - Parameters:
    ///   - words: those behind argsz which the kernel reads, by their offsets in bytes.
    ///   - least: bytes that every kernel's answer has.
    /// - Throws: the kernel's refusal, by its error number; `badConfiguration`.
    init(
        _ kernel: any VFIOKernel, _ descriptor: Int32, _ question: VFIOQuestion, _ asked: String, device: String,
        words: [Int: UInt32] = [:], least: Int
    ) throws(VFIORefusal) {
        self.asked = asked
        self.device = device
        var count = least
        // Ends: the room only grows, at most to `most`, and a kernel that asks for more each time gets four attempts.
        for _ in 0..<4 {
            var room = [UInt8](repeating: 0, count: count)
            Self.put(UInt32(count), at: 0, &room)
            for (offset, word) in words { Self.put(word, at: offset, &room) }
            let result = kernel.ask(descriptor, question, &room)
            // Before Linux 6.5 the list of a hot reset does not fit with ENOSPC, and its number of entries says what it needs.
            let needed: UInt64
            if result == -ErrorNumber.noSpace, question == .hotReset {
                needed = 12 + 8 * UInt64(Self.word(at: 8, room))
            } else if result < 0 {
                throw .kernel(-result)
            } else {
                needed = UInt64(Self.word(at: 0, room))
            }
            guard needed >= UInt64(least) else {
                throw .answer("\(asked): \(needed) bytes; \(least) are the least")
            }
            if needed <= UInt64(count), result >= 0 {
                bytes = room
                return
            }
            guard needed <= UInt64(Self.most), needed > UInt64(count) else {
                throw .answer("\(asked): \(needed) bytes; at most \(Self.most) are read")
            }
            count = Int(needed)
        }
        throw .answer("\(asked): its length changes with each answer")
    }

    /// The 32 bits at an offset; 0 outside, which is what an older kernel's shorter answer means.
    func word(at offset: Int) -> UInt32 { Self.word(at: offset, bytes) }

    /// The 64 bits at an offset.
    func wide(at offset: Int) -> UInt64 { UInt64(word(at: offset)) | UInt64(word(at: offset + 4)) << 32 }

    private static func word(at offset: Int, _ bytes: [UInt8]) -> UInt32 {
        guard offset >= 0, offset <= bytes.count - 4 else { return 0 }
        return (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
    }

    private static func put(_ word: UInt32, at offset: Int, _ bytes: inout [UInt8]) {
        guard offset >= 0, offset <= bytes.count - 4 else { return }
        for place in 0..<4 { bytes[offset + place] = UInt8(truncatingIfNeeded: word >> UInt32(8 * place)) }
    }

    /// Where the bodies of the capabilities of an ID begin, in the order of the chain.
    ///
    /// - Parameter first: what the answer says of the first one; 0 for none.
    /// - Throws: `answer` for a chain that loops or leaves the answer.
    func capabilities(_ wanted: UInt16, from first: UInt32) throws(VFIORefusal) -> [Int] {
        var found: [Int] = []
        var seen: Set<UInt32> = []
        var next = first
        while next != 0 {
            // Each is 8 bytes at least, so that there are 8192 at most before one comes again.
            guard seen.insert(next).inserted else { throw .answer("\(asked): its capabilities loop at \(next)") }
            guard Int(next) <= bytes.count - 8 else {
                throw .answer("\(asked): a capability at \(next) of \(bytes.count) bytes")
            }
            let offset = Int(next)
            if UInt16(truncatingIfNeeded: word(at: offset)) == wanted { found.append(offset + 8) }
            next = word(at: offset + 4)
        }
        return found
    }

    /// How many entries of `size` bytes a list has: `count` of them from `offset` on.
    ///
    /// - Throws: `answer` where they do not fit.
    func entries(_ count: UInt32, of size: Int, at offset: Int) throws(VFIORefusal) -> Int {
        guard offset >= 0, offset <= bytes.count, Int(count) <= (bytes.count - offset) / size else {
            throw .answer("\(asked): \(count) entries at \(offset) of \(bytes.count) bytes")
        }
        return Int(count)
    }
}

/// Why a question has no answer.
enum VFIORefusal: Error, Equatable {
    /// The kernel's error number.
    case kernel(Int32)
    /// An answer that contradicts itself.
    case answer(String)
}

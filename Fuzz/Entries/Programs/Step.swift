// SPDX-License-Identifier: Apache-2.0

/// One step of a random program.
enum Step {
    /// Maps a fresh buffer of `count` bytes.
    case map(space: Int, direction: Int, count: Int)
    case unmap(Int)
    case read(Int)
    case write(Int, value: UInt8)
    case sync(Int, from: Int, to: Int, forCPU: Bool)
    /// - `fits`: one of the buffers that the channel accepts, where there are any.
    case submit(
        Int, kind: Int, source: Int, target: Int, offsets: (UInt64, UInt64), count: UInt64, fits: Bool, isLate: Bool)
    case issue(Int)
    case take(Int, times: Int)
    case takeOne(Int, cookie: Int)
    case ask(Int, cookie: Int)
    case terminate(Int)
    case synchronize(Int)
    case pause(Int)
    case resume(Int)
    case wait(Int)
    case demand(Int, bytes: UInt64)
    /// Ends the channel with everything in it, and opens another.
    case reopen(Int, wrapping: Int, engine: Int)
    /// The backend of the translated space refuses that many calls.
    case refuse(Int)
}

/// Decodes bytes as steps: any bytes are a valid program. Missing bytes at the end are 0.
struct StepReader {
    private let bytes: [UInt8]
    private(set) var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position >= bytes.count }

    mutating func byte() -> Int {
        guard position < bytes.count else { return 0 }
        position += 1
        return Int(bytes[position - 1])
    }

    /// A number that is near some bound more often than not.
    private mutating func number() -> UInt64 {
        let (shape, low, high) = (byte(), UInt64(byte()), UInt64(byte()))
        switch shape % 8 {
        case 0: return 0
        case 1: return .max - low
        case 2: return UInt64(1) << (low % 64)
        case 3: return UInt64(Int64.max) &+ low
        default: return low | (high & 15) << 8
        }
    }

    /// The next step; nil at the end.
    mutating func next() -> Step? {
        if isAtEnd { return nil }
        let code = byte()
        let channel = code >> 7 & 1
        switch code & 63 {
        case 0...5: return .map(space: byte(), direction: byte(), count: byte() << 2 | byte() & 3)
        case 6, 7: return .unmap(byte())
        case 8, 9: return .read(byte())
        case 10, 11: return .write(byte(), value: UInt8(byte()))
        case 12:
            let (index, from, to) = (byte(), Int(truncatingIfNeeded: number()), Int(truncatingIfNeeded: number()))
            return .sync(index, from: min(from, to), to: max(from, to), forCPU: channel == 0)
        case 13...27: return submission(channel)
        case 28...33: return .issue(channel)
        case 34...45: return .take(channel, times: byte())
        case 46: return .takeOne(channel, cookie: byte())
        case 47, 48: return .ask(channel, cookie: byte())
        case 49: return .terminate(channel)
        case 50...53: return .synchronize(channel)
        case 54: return .pause(channel)
        case 55...57: return .resume(channel)
        case 58: return .wait(channel)
        case 59, 60: return .demand(channel, bytes: number())
        case 61: return .refuse(byte())
        case 62: return .take(channel, times: 255)
        default: return .reopen(channel, wrapping: byte(), engine: byte())
        }
    }

    private mutating func submission(_ channel: Int) -> Step {
        let (shape, source, target) = (byte(), byte(), byte())
        // Most steps use existing buffers that fit.
        let isWhole = shape & 24 != 0
        return .submit(
            channel, kind: shape & 7, source: source, target: target, offsets: isWhole ? (0, 0) : (number(), number()),
            count: isWhole ? .max : number(), fits: shape & 96 != 0, isLate: shape & 128 != 0)
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit
import ScriptedEngines
import Testing

/// The cargo of most tests: a source and a destination.
typealias Two = Pair<MappedBuffer, MappedBuffer>

/// A domain, and mappings for tests.
struct Place {
    var domain = Domain(name: "channel tests")

    func buffer(_ count: Int, _ direction: Direction, filledWith value: UInt8 = 0) throws(DMAError) -> MappedBuffer {
        var buffer = try Buffer(count: count)
        buffer.withMutableBytes { bytes in
            for offset in 0..<count { bytes.storeBytes(of: value, toByteOffset: offset, as: UInt8.self) }
        }
        return try buffer.mapped(for: domain, direction: direction)
    }

    func two(_ count: Int = 4096, from value: UInt8 = 7, to other: UInt8 = 0) throws(DMAError) -> Two {
        Pair(try buffer(count, .toDevice, filledWith: value), try buffer(count, .fromDevice, filledWith: other))
    }

    func channel<E: Engine & ~Copyable>(_ engine: consuming E) throws(DMAError) -> Channel<E, Two> {
        try Channel(engine, domain: domain, of: Two.self)
    }
}

extension MappedBuffer {
    /// Whether every byte is `value`.
    borrowing func holds(_ value: UInt8) throws(DMAError) -> Bool {
        try withCPUAccess { span throws(DMAError) in
            (0..<span.byteCount).allSatisfy { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) == value }
        }
    }
}

/// A completion that a test needs did not arrive.
struct NotFinished: Error {}

/// The code of the error that `body` throws, or nil.
func refusal(_ body: () throws(DMAError) -> Void) -> DMAError.Code? {
    do throws(DMAError) {
        try body()
        return nil
    } catch { return error.code }
}

extension Submission where C: ~Copyable {
    /// The reason of a refusal; nil where it was queued.
    consuming func refusal() -> DMAError.Code? {
        switch consume self {
        case .queued: nil
        case .refused(let error, _): error.code
        }
    }
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// The next completion within a bounded number of polls, or nil.
    mutating func soon(_ polls: Int = 100_000) -> Finished<C>? {
        for _ in 0..<polls {
            if let finished = next() { return finished }
        }
        return nil
    }

    // The next completion's parts, for the testing macros, which cannot hold noncopyable values.
    mutating func soonStatus() -> TransactionStatus? {
        guard let finished = soon() else { return nil }
        return finished.status
    }
    mutating func soonCookie() -> Cookie? {
        guard let finished = soon() else { return nil }
        return finished.cookie
    }
    mutating func soonValue() -> UInt64? {
        guard let finished = soon() else { return nil }
        return finished.value
    }

    /// The statuses of the transactions that finish within that many polls, in order of completion.
    mutating func all(_ polls: Int = 2000) -> [(cookie: Cookie, status: TransactionStatus)] {
        var endings: [(cookie: Cookie, status: TransactionStatus)] = []
        for _ in 0..<polls {
            if let finished = next() { endings.append((finished.cookie, finished.status)) }
        }
        return endings
    }
}

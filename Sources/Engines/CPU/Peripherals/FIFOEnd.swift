// SPDX-License-Identifier: Apache-2.0

internal import DMACore

/// One end of a FIFO: where bytes go in, or where they come out. One user at a time.
///
/// A ``ByteRing`` has room for one writer and one reader. A transfer owns its end from its first byte to its last; those that begin
/// meanwhile, of the same engine or of another, wait in the order in which they began. The wire uses an end for the length of a call;
/// where a transfer owns it, as on a loopback, the wire moves nothing.
final class FIFOEnd: Sendable {
    private struct Owners {
        var lastTicket: UInt64 = 0
        /// The ticket of the transfer that owns the end; 0 for none.
        var owner: UInt64 = 0
        var waiting: [UInt64] = []
    }

    private let owners = Locked(Owners())

    /// Enters a transfer; it owns the end at once, or after those that were here before. Returns its ticket.
    func enter() -> UInt64 {
        owners.withLock { owners in
            owners.lastTicket += 1
            if owners.owner == 0 { owners.owner = owners.lastTicket } else { owners.waiting.append(owners.lastTicket) }
            return owners.lastTicket
        }
    }

    /// Whether the transfer with `ticket` owns the end. Once it does, it does so until it leaves.
    func isOwned(by ticket: UInt64) -> Bool { owners.withLock { $0.owner == ticket } }

    /// The transfer with `ticket` is over, or will never begin. Returns whether another owns the end now.
    func leave(_ ticket: UInt64) -> Bool {
        owners.withLock { owners in
            guard owners.owner == ticket else {
                owners.waiting.removeAll { $0 == ticket }
                return false
            }
            owners.owner = owners.waiting.isEmpty ? 0 : owners.waiting.removeFirst()
            return owners.owner != 0
        }
    }

    /// Runs `move`, which takes no longer than a copy, unless a transfer owns the end; then 0 is returned. The wire moves bytes so, and a
    /// transfer for all of which the FIFO is ready.
    @inline(__always)
    func withWire(_ move: () -> Int) -> Int { owners.withLock { $0.owner == 0 ? move() : 0 } }
}

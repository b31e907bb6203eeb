// SPDX-License-Identifier: Apache-2.0

internal import DMACore

/// One end of a FIFO, where bytes are written or read. One user at a time.
///
/// A ``ByteRing`` supports one writer and one reader. A transfer owns its end from its first byte to its last; transfers that
/// begin meanwhile, of the same engine or of another, wait in the order in which they began. The wire uses an end for the
/// duration of a call; where a transfer owns it, as on a loopback, the wire moves nothing.
final class FIFOEnd: Sendable {
    private struct Owners {
        var lastTicket: UInt64 = 0
        /// The ticket of the owning transfer; 0 for none.
        var owner: UInt64 = 0
        var waiting: [UInt64] = []
    }

    private let owners = Locked(Owners())

    /// Enters a transfer, which owns the end at once or after the earlier ones. Returns its ticket.
    func enter() -> UInt64 {
        owners.withLock { owners in
            owners.lastTicket += 1
            if owners.owner == 0 { owners.owner = owners.lastTicket } else { owners.waiting.append(owners.lastTicket) }
            return owners.lastTicket
        }
    }

    /// Whether the transfer with `ticket` owns the end. Once true, it stays true until the transfer leaves.
    func isOwned(by ticket: UInt64) -> Bool { owners.withLock { $0.owner == ticket } }

    /// The transfer with `ticket` has ended, or will never begin. Returns whether another owns the end now.
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

    /// Runs `move`, which takes no longer than a copy, unless a transfer owns the end; then it returns 0. Used by the wire, and
    /// by a transfer for all of which the FIFO is ready.
    @inline(__always)
    func withWire(_ move: () -> Int) -> Int { owners.withLock { $0.owner == 0 ? move() : 0 } }
}

// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMAVFIOUserProtocol
import Foundation

/// An event of a test, which counts its signals.
final class Event {
    let descriptor: Int32
    init() throws {
        descriptor = cdma_event_make(false)
        guard descriptor >= 0 else { throw PeerError(.ended, "no event") }
    }
    deinit { _ = cdma_close(descriptor) }

    /// Signals since the last call.
    func take() -> UInt64 {
        var count: UInt64 = 0
        // An event that was not signalled has nothing to read.
        guard unsafe read(descriptor, &count, 8) == 8 else { return 0 }
        return count
    }
}

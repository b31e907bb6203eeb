// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A descriptor that came with a message, or belongs to a connection. It is closed with the last reference: no path leaks one.
package final class OwnedDescriptor: Sendable {
    package let number: Int32
    package init(taking number: Int32) { self.number = number }
    // Linux releases the descriptor whatever close(2) returns.
    deinit { _ = cdma_close(number) }
}

// SPDX-License-Identifier: Apache-2.0

/// Why a request was not answered as the protocol says.
package struct PeerError: Error, Equatable, Sendable {
    package enum Code: Sendable, CaseIterable {
        /// The connection has ended, by whichever side.
        case ended
        /// No reply came in time.
        case noAnswer
        /// The reply has the error flag.
        case refused
        /// The reply is not one of the protocol.
        case badAnswer
        /// The caller's side has given the request up.
        case cancelled
    }

    package let code: Code
    /// What happened, for messages.
    package let detail: String
    /// The error number of a reply that refuses; 0 for none.
    package let number: UInt32

    package init(_ code: Code, _ detail: String, number: UInt32 = 0) {
        self.code = code
        self.detail = detail
        self.number = number
    }
}

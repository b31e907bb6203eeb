// SPDX-License-Identifier: Apache-2.0

internal import CDMA

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// What of io_uring this machine has, found out at start.
public struct IOUringFeatures: Equatable, Sendable {
    /// What an error number means, as the C library says it.
    static func message(_ number: Int32) -> String {
        guard let text = unsafe strerror(number) else { return "error \(number)" }
        return unsafe String(cString: text)
    }
}

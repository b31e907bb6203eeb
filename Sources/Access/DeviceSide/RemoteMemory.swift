// SPDX-License-Identifier: Apache-2.0

public import DMATypes

/// Memory of a client that is not mapped in this process: reached by messages, piece by piece.
///
/// Thread rules: called from any thread, and from several at once.
public protocol RemoteMemory: AnyObject, Sendable {
    /// Reads bytes of the client. It may wait for the client, with a limit.
    ///
    /// - Throws: `unmappedAddress`, `noPermission`, `kernelRefused` where the client does not answer.
    func read(_ address: IOVA, into bytes: inout MutableRawSpan) throws(DMAError)

    /// Writes bytes of the client. As ``read(_:into:)`` in everything.
    func write(_ bytes: RawSpan, at address: IOVA) throws(DMAError)
}

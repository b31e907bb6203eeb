// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Sockets by their paths.
package enum UnixSocket {
    /// Connects. The result is a descriptor, or a negative errno.
    package static func connect(_ path: String) -> Int32 {
        // SAFETY: the C function reads a text that ends with a zero.
        unsafe cdma_unix_connect(path)
    }

    /// Listens. A socket file that no process serves is a leftover of one that was killed, and is replaced; a file of another kind is not touched.
    package static func listen(_ path: String) -> Int32 {
        // SAFETY: as for `connect`, in each of these calls.
        let made = unsafe cdma_unix_listen(path)
        guard made == -addressInUse, unsafe cdma_unix_is_served(path) == 0, unsafe cdma_unix_remove(path) == 0 else {
            return made
        }
        return unsafe cdma_unix_listen(path)
    }

    // EADDRINUSE.
    private static let addressInUse: Int32 = 98

    package static func accept(_ socket: OwnedDescriptor) -> Int32 { cdma_unix_accept(socket.number) }
    package static func end(_ socket: OwnedDescriptor) { _ = cdma_socket_shutdown(socket.number) }
    /// Removes a socket's file.
    package static func remove(_ path: String) {
        // SAFETY: as for `connect`. A file that has gone already is no failure.
        _ = unsafe cdma_unix_remove(path)
    }

    /// Two ends; nil where the system has none to give.
    package static func pair() -> (OwnedDescriptor, OwnedDescriptor)? {
        var ends: [Int32] = [-1, -1]
        // SAFETY: the C function writes two words.
        guard unsafe cdma_socket_pair(&ends) == 0 else { return nil }
        return (OwnedDescriptor(taking: ends[0]), OwnedDescriptor(taking: ends[1]))
    }
}

// SPDX-License-Identifier: Apache-2.0

/// How a device of another process is reached.
public struct VFIOUserConfiguration: Sendable {
    /// How the server reaches memory that is mapped for its device.
    public enum Memory: Sendable {
        /// It maps the memory's file. Buffers of the device's domain have one; other memory is bounced. Who has a file reaches all of it, until its
        /// process ends: for servers that are trusted with the buffers' neighbours. Memory that the device only reads is passed read-only.
        case shared
        /// It asks for each piece by a message, which this process answers after looking at what is mapped: slower, and no memory is given away.
        case messages
    }

    /// Shared, or by messages.
    public var memory = Memory.shared
    /// How long the server may take to answer. One that takes longer is gone.
    public var patience: Duration = .seconds(10)
    /// Writes to registers that are under way at once, from 1 to 256.
    public var posted = 64
    /// Whether the server may send its requests over a socket of their own.
    public var usesTwinSocket = true

    /// Shared memory, ten seconds of patience, 64 posted writes, and a second socket.
    public init() {}
}

// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit
internal import SystemPackage

/// Runs one submission in a worker: the corresponding system call.
enum ThreadOperation {
    static let supported: [Bool] = {
        var list = [Bool](repeating: false, count: 256)
        for opcode in [
            Opcode.nop, Opcode.readv, Opcode.writev, Opcode.fsync, Opcode.pollAdd, Opcode.sendMessage, Opcode.receiveMessage,
            Opcode.cancel, Opcode.fallocate, Opcode.read, Opcode.write, Opcode.send, Opcode.receive, Opcode.splice, Opcode.tee,
            Opcode.command,
        ] { list[Int(opcode)] = true }
        return list
    }()

    /// In a submission's `personality`: calls on the file may block.
    static let mayWait: UInt16 = 1

    static func run(_ entry: cdma_uring_sqe, _ ring: ThreadRing) -> KernelResult {
        // SAFETY: the engine made the entry: its addresses are memory of a transaction that has not ended, or lists and
        // messages that its slot keeps until then.
        if ring.isCancelling { return KernelResult(.canceled) }
        let fd = entry.fd
        let position = Int64(bitPattern: entry.offset)
        var single = Segment(address: entry.address, count: UInt64(entry.length))
        let list = unsafe UnsafeMutableRawPointer(bitPattern: UInt(entry.address))
        let waits = entry.personality & mayWait != 0
        switch entry.opcode {
        case Opcode.nop:
            return .success
        case Opcode.read:
            return attempt(waits, fd, 1, ring, entry.user_data) { flags in
                unsafe cdma_file_read(fd, &single, 1, position, flags)
            }
        case Opcode.write:
            return attempt(waits, fd, 4, ring, entry.user_data) { flags in
                unsafe cdma_file_write(fd, &single, 1, position, flags)
            }
        case Opcode.readv:
            return attempt(waits, fd, 1, ring, entry.user_data) { flags in
                unsafe cdma_file_read(fd, list, Int32(entry.length), position, flags)
            }
        case Opcode.writev:
            return attempt(waits, fd, 4, ring, entry.user_data) { flags in
                unsafe cdma_file_write(fd, list, Int32(entry.length), position, flags)
            }
        case Opcode.receive:
            return attempt(true, fd, 1, ring, entry.user_data) { _ in
                unsafe cdma_socket_receive(fd, list, Int(entry.length), Int32(bitPattern: entry.operation_flags) | 0x40)
            }
        case Opcode.send:
            return attempt(true, fd, 4, ring, entry.user_data) { _ in
                unsafe cdma_socket_send(fd, list, Int(entry.length), Int32(bitPattern: entry.operation_flags) | 0x40)
            }
        case Opcode.sendMessage, Opcode.receiveMessage:
            guard let message = unsafe list?.assumingMemoryBound(to: cdma_message.self).pointee else {
                return KernelResult(.badAddress)
            }
            let sends = entry.opcode == Opcode.sendMessage
            return attempt(true, fd, sends ? 4 : 1, ring, entry.user_data) { _ in
                cdma_socket_message(fd, message, Int32(bitPattern: entry.operation_flags) | 0x40, sends)
            }
        case Opcode.pollAdd:
            return attempt(true, fd, Int16(truncatingIfNeeded: entry.operation_flags), ring, entry.user_data) { _ in
                Int64(entry.operation_flags)
            }
        case Opcode.fsync:
            return KernelResult(cdma_file_sync(fd, entry.operation_flags & 1 != 0))
        case Opcode.fallocate:
            return KernelResult(cdma_file_allocate(fd, Int32(bitPattern: entry.length), entry.offset, entry.address))
        case Opcode.command where entry.offset == UInt64(cdma_uring_discard_operation()):
            return KernelResult(cdma_block_discard(fd, entry.address, entry.address3))
        case Opcode.splice:
            // POLLIN on the first: poll here, so that the system call does not block. SPLICE_F_NONBLOCK.
            return attempt(true, entry.file_index, 1, ring, entry.user_data) { _ in
                cdma_file_splice(entry.file_index, Int64(bitPattern: entry.address), fd, position, Int(entry.length), 2)
            }
        case Opcode.tee:
            return attempt(true, entry.file_index, 1, ring, entry.user_data) { _ in
                cdma_file_tee(entry.file_index, fd, Int(entry.length), 2)
            }
        default:
            return KernelResult(.invalidArgument)
        }
    }

    /// Makes a call; on a file that may block, polls for the file and for a cancellation at the same time, then makes a
    /// non-blocking call.
    private static func attempt(
        _ waits: Bool, _ fd: Int32, _ events: Int16, _ ring: ThreadRing, _ name: UInt64, _ call: (Int32) -> Int64
    ) -> KernelResult {
        guard waits else { return KernelResult(Int32(clamping: call(0))) }
        while true {
            let ready = KernelResult(cdma_file_await(fd, events, ring.cancelEvent.rawValue, 1000))
            if ring.isCancelling || ring.isCancelled(name) { return KernelResult(.canceled) }
            if ready.errno == .interrupted || ready == .success { continue }
            if ready.errno != nil { return ready }
            guard ready.rawValue & 1 != 0 else { continue }
            let result = KernelResult(Int32(clamping: call(RWF_NOWAIT)))
            switch result.errno {
            case .resourceTemporarilyUnavailable?:
                // Another reader was faster, or the other side of a splice is not ready.
                cdma_sleep_until(cdma_monotonic_nanoseconds() + 100_000)
            case .notSupportedOnSocket?:
                // A file without non-blocking calls; it is ready.
                return KernelResult(Int32(clamping: call(0)))
            default:
                return result
            }
        }
    }

    /// Whether submissions linked behind this one are dropped.
    static func breaksChain(_ entry: cdma_uring_sqe, _ result: KernelResult) -> Bool {
        switch entry.opcode {
        case Opcode.read, Opcode.write, Opcode.send, Opcode.receive:
            result.errno != nil || UInt32(result.rawValue) != entry.length
        default: result.errno != nil
        }
    }
}

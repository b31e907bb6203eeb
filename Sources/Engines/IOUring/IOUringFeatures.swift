// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// What of io_uring this machine has, each found out by asking the kernel for it.
public struct IOUringFeatures: Equatable, Sendable {
    /// One thing that the engine uses where it is there.
    public struct Feature: Equatable, Sendable, Codable {
        /// What it is, in the words of io_uring's documents.
        public let name: String
        /// Whether this kernel, with this process's rights, has it.
        public let isAvailable: Bool
        /// Why not, or what it is used for.
        public let note: String
    }

    /// All of them, the ring itself first.
    public let list: [Feature]

    /// Asks the kernel, by making small rings and letting them go. A few milliseconds.
    public static func probe() -> IOUringFeatures {
        var list: [Feature] = []
        func add(_ name: String, _ result: Int32, _ use: String) {
            list.append(Feature(name: name, isAvailable: result >= 0, note: result >= 0 ? use : DMAError.sentence(-result)))
        }
        let plain = ring(0)
        add("ring", plain.result, "submission and completion without a system call for each")
        guard plain.result >= 0 else { return IOUringFeatures(list: list) }
        let setups: [(String, UInt32, String)] = [
            ("COOP_TASKRUN", SetupFlags.cooperative | SetupFlags.taskRunFlag, "no interruption of the thread that computes"),
            (
                "SINGLE_ISSUER, DEFER_TASKRUN", SetupFlags.singleIssuer | SetupFlags.deferTaskRun | SetupFlags.taskRunFlag,
                "completions when the one thread asks"
            ),
            ("SQPOLL", SetupFlags.submissionThread, "a thread of the kernel's that submits"),
            ("IOPOLL", SetupFlags.completionPolling, "completions by polling the device"),
            ("NO_SQARRAY", SetupFlags.noArray, "one table less"),
            ("SQE128, CQE32", SetupFlags.entries128 | SetupFlags.completions32, "commands to an NVMe namespace"),
        ]
        for (name, flags, use) in setups {
            let attempt = ring(flags)
            add(name, attempt.result, use)
            if attempt.result >= 0 { cdma_close(attempt.result) }
        }
        let operations = KernelRing.probe(plain.result)
        let wanted: [(String, UInt8, String)] = [
            ("READ_FIXED, WRITE_FIXED", Opcode.readFixed, "transfers with registered memory"),
            ("FALLOCATE", Opcode.fallocate, "allocate, zero, discard"), ("SPLICE", Opcode.splice, "move"),
            ("TEE", Opcode.tee, "duplicate"), ("ASYNC_CANCEL", Opcode.cancel, "termination"),
            ("SEND_ZC", Opcode.sendZeroCopy, "sends without a copy"),
            ("URING_CMD", Opcode.command, "commands to an NVMe namespace"),
        ]
        for (name, opcode, use) in wanted { add(name, operations[Int(opcode)] ? 0 : -95, use) }
        add("registered files", files(plain.result), "no counting of references to the file for each request")
        add("registered buffers", buffers(plain.result), "memory is pinned once, when it is mapped")
        add("buffer rings filled bit by bit", bufferRing(plain.result), "one request receives round a whole ring")
        cdma_close(plain.result)
        return IOUringFeatures(list: list)
    }

    private static func ring(_ flags: UInt32) -> (result: Int32, params: cdma_uring_params) {
        var params = cdma_uring_params()
        params.flags = flags
        let result = unsafe cdma_uring_setup(4, &params)
        return (result, params)
    }

    private static func files(_ ring: Int32) -> Int32 {
        var table = cdma_uring_resources()
        table.count = 2
        table.flags = 1
        return unsafe cdma_uring_register(
            ring, RegisterOperation.files, &table, UInt32(MemoryLayout<cdma_uring_resources>.size))
    }

    /// With one page really registered: the memory that a process may lock counts.
    private static func buffers(_ ring: Int32) -> Int32 {
        var start: UnsafeMutableRawPointer?
        guard unsafe cdma_map_anonymous(0, 65_536, 0, &start) == 0, let page = unsafe start else { return -12 }
        defer { unsafe _ = cdma_unmap(page, 65_536) }
        var segment = cdma_segment(address: UInt64(UInt(bitPattern: page)), count: 65_536)
        return unsafe withUnsafeMutablePointer(to: &segment) { segment in
            var table = cdma_uring_resources()
            table.count = 1
            table.data = UInt64(UInt(bitPattern: segment))
            return unsafe cdma_uring_register(
                ring, RegisterOperation.buffers, &table, UInt32(MemoryLayout<cdma_uring_resources>.size))
        }
    }

    private static func bufferRing(_ ring: Int32) -> Int32 {
        let bytes = cdma_page_size()
        var start: UnsafeMutableRawPointer?
        guard unsafe cdma_map_anonymous(0, bytes, 0, &start) == 0, let page = unsafe start else { return -12 }
        var request = cdma_uring_buffer_ring()
        request.address = UInt64(UInt(bitPattern: page))
        request.entries = 2
        request.flags = BufferRing.incremental
        let result = unsafe cdma_uring_register(ring, RegisterOperation.bufferRing, &request, 1)
        if result >= 0 { unsafe _ = cdma_uring_register(ring, RegisterOperation.endBufferRing, &request, 1) }
        unsafe _ = cdma_unmap(page, bytes)
        return result
    }
}

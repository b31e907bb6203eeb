// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import SystemPackage

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// The features of io_uring on this machine, each determined by trying it.
public struct IOUringFeatures: Equatable, Sendable {
    /// A feature that the engine uses if available.
    public struct Feature: Equatable, Sendable, Codable {
        /// Its name in io_uring's documentation.
        public let name: String
        /// Whether this kernel supports it with this process's rights.
        public let isAvailable: Bool
        /// Why it is unavailable, or its purpose.
        public let note: String
    }

    /// All features, the ring itself first.
    public let list: [Feature]

    /// Probes the kernel by creating small rings and closing them. A few milliseconds.
    public static func probe() -> IOUringFeatures {
        var list: [Feature] = []
        func add(_ name: String, _ result: KernelResult, _ use: String) {
            let note = result.errno.map { DMAError.sentence($0.rawValue) } ?? use
            list.append(Feature(name: name, isAvailable: result.errno == nil, note: note))
        }
        let plain = ring(0)
        add("ring", plain, "submission and completion without one system call each")
        guard let ring = try? FileDescriptor(plain) else { return IOUringFeatures(list: list) }
        // A sandbox may permit creating a ring and forbid its use.
        let entered = KernelResult(cdma_uring_enter(ring.rawValue, 0, 0, 0, nil, 0))
        if entered.errno != nil {
            ReleaseFailures.note(ring.release())
            list = []
            add("ring", entered, "")
            return IOUringFeatures(list: list)
        }
        let setups: [(String, UInt32, String)] = [
            ("COOP_TASKRUN", SetupFlags.cooperative | SetupFlags.taskRunFlag, "no interruption of a running thread"),
            (
                "SINGLE_ISSUER, DEFER_TASKRUN", SetupFlags.singleIssuer | SetupFlags.deferTaskRun | SetupFlags.taskRunFlag,
                "completions only on request of the one thread"
            ),
            ("SQPOLL", SetupFlags.submissionThread, "submission by a kernel thread"),
            ("IOPOLL", SetupFlags.completionPolling, "completions by polling the device"),
            ("NO_SQARRAY", SetupFlags.noArray, "one table less"),
            ("SQE128, CQE32", SetupFlags.entries128 | SetupFlags.completions32, "commands to an NVMe namespace"),
        ]
        for (name, flags, use) in setups {
            let attempt = Self.ring(flags)
            add(name, attempt, use)
            if let ring = try? FileDescriptor(attempt) { ReleaseFailures.note(ring.release()) }
        }
        let operations = KernelRing.probe(ring)
        let wanted: [(String, UInt8, String)] = [
            ("READ_FIXED, WRITE_FIXED", Opcode.readFixed, "transfers with registered memory"),
            ("FALLOCATE", Opcode.fallocate, "allocate, zero, discard"), ("SPLICE", Opcode.splice, "move"),
            ("TEE", Opcode.tee, "duplicate"), ("ASYNC_CANCEL", Opcode.cancel, "termination"),
            ("SEND_ZC", Opcode.sendZeroCopy, "sends without a copy"),
            ("URING_CMD", Opcode.command, "commands to an NVMe namespace"),
        ]
        for (name, opcode, use) in wanted {
            add(name, operations[Int(opcode)] ? .success : KernelResult(.notSupportedOnSocket), use)
        }
        add("registered files", files(ring), "no reference counting on the file for each request")
        add("registered buffers", buffers(ring), "memory is pinned once, when it is mapped")
        add("incremental buffer rings", bufferRing(ring), "one request receives into the whole ring")
        ReleaseFailures.note(ring.release())
        return IOUringFeatures(list: list)
    }

    private static func ring(_ flags: UInt32) -> KernelResult {
        // SAFETY: the kernel reads and writes a local structure.
        var params = cdma_uring_params()
        params.flags = flags
        return KernelResult(unsafe cdma_uring_setup(4, &params))
    }

    private static func register<Argument>(
        _ ring: FileDescriptor, _ operation: UInt32, _ argument: inout Argument, _ count: Int
    ) -> KernelResult {
        // SAFETY: the kernel reads the argument, and nothing of it after the call.
        unsafe withUnsafeMutablePointer(to: &argument) {
            KernelResult(unsafe cdma_uring_register(ring.rawValue, operation, $0, UInt32(count)))
        }
    }

    private static func files(_ ring: FileDescriptor) -> KernelResult {
        var table = cdma_uring_resources()
        table.count = 2
        table.flags = 1
        return register(ring, RegisterOperation.files, &table, MemoryLayout<cdma_uring_resources>.size)
    }

    /// With one page really registered: the limit of locked memory applies.
    private static func buffers(_ ring: FileDescriptor) -> KernelResult {
        // SAFETY: the page outlives the registration, which ends with the ring; the structures are local, and read before the call
        // returns.
        guard let page = try? MappedPages(count: 65_536) else { return KernelResult(.noMemory) }
        var segment = cdma_segment(address: unsafe UInt64(UInt(bitPattern: page.base)), count: 65_536)
        return unsafe withUnsafeMutablePointer(to: &segment) { segment in
            var table = cdma_uring_resources()
            table.count = 1
            table.data = UInt64(UInt(bitPattern: segment))
            return register(ring, RegisterOperation.buffers, &table, MemoryLayout<cdma_uring_resources>.size)
        }
    }

    private static func bufferRing(_ ring: FileDescriptor) -> KernelResult {
        // SAFETY: the page outlives the registration, which ends with the call below or with the ring.
        guard let page = try? MappedPages(count: cdma_page_size()) else { return KernelResult(.noMemory) }
        var request = cdma_uring_buffer_ring()
        request.address = unsafe UInt64(UInt(bitPattern: page.base))
        request.entries = 2
        request.flags = BufferRing.incremental
        let result = register(ring, RegisterOperation.bufferRing, &request, 1)
        if result.errno == nil {
            // All fields except the group must be zero.
            var end = cdma_uring_buffer_ring()
            ReleaseFailures.note(register(ring, RegisterOperation.endBufferRing, &end, 1))
        }
        return result
    }
}

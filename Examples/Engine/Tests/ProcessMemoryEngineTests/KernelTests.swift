// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMADriverKit
import Glibc
import ProcessMemoryEngine
import Testing

/// The kernel's errors reach the client: which side failed, the progress of the transfer, and errno.
@Suite("Errors of the kernel")
struct KernelTests {
    typealias Cargo = Pair<MappedBuffer, MappedBuffer>

    /// Copies `count` bytes on a new channel, after `prepare` on the engine, and returns how that ended.
    private func copy(
        _ count: Int, settings: ProcessMemorySettings = ProcessMemorySettings(), misdirect status: TransactionStatus? = nil
    ) throws -> (status: TransactionStatus, residue: UInt64, deviceStatus: UInt32, isEqual: Bool) {
        let domain = Domain(name: "kernel")
        var engine = try ProcessMemoryEngine(settings: settings)
        if let status { engine.misdirectNext(status) }
        var channel = try Channel(engine, domain: domain, of: Cargo.self)
        var buffer = try Buffer(count: count)
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        buffer.withMutableBytes { target in
            for index in 0..<count { target.storeBytes(of: bytes[index], toByteOffset: index, as: UInt8.self) }
        }
        let source = try buffer.mapped(for: domain, direction: .toDevice)
        let target = try Buffer(count: count).mapped(for: domain, direction: .fromDevice)
        let cookie = try channel.submit(.copy(), Pair(source, target)).get()
        channel.issuePending()
        var taken = try channel.take(cookie)
        while taken == nil { taken = try channel.take(cookie) }
        guard let finished = taken.take() else { throw DMAError(.engineFailed) }
        let answer = (finished.status, finished.residue, finished.deviceStatus)
        let copied = try finished.takeCargo().second.unmap()
        let isEqual = copied.withBytes { span in
            // SAFETY: an index of the array is below the count of both.
            bytes.indices.allSatisfy { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) == bytes[$0] }
        }
        return (answer.0, answer.1, answer.2, isEqual)
    }

    @Test("a copy of many calls is whole", arguments: ProcessMemorySettings.Call.allCases)
    func whole(call: ProcessMemorySettings.Call) throws {
        let ended = try copy(1_000_003, settings: ProcessMemorySettings(call: call, quantum: 4096))
        #expect(ended.status == .complete && ended.residue == 0 && ended.deviceStatus == 0 && ended.isEqual)
    }

    @Test(
        "EFAULT names the side", arguments: ProcessMemorySettings.Call.allCases, [TransactionStatus.readFailed, .writeFailed])
    func fault(call: ProcessMemorySettings.Call, status: TransactionStatus) throws {
        let ended = try copy(10_000, settings: ProcessMemorySettings(call: call), misdirect: status)
        #expect(ended.status == status)
        #expect(ended.residue == 10_000)
        #expect(ended.deviceStatus == UInt32(EFAULT))
        #expect(Refusal(deviceStatus: ended.deviceStatus)?.description.contains("Cure:") == true)
    }

    @Test("every refusal has a cure", arguments: [EPERM, ENOSYS, EFAULT, ENOMEM, ESRCH])
    func refusals(errno: Int32) throws {
        let refusal = try #require(Refusal(DMAError(.kernelRefused, errno: errno)))
        #expect(refusal.errno == errno)
        #expect(refusal.description.contains("Cure:"))
        #expect(Refusal(DMAError(.queueFull)) == nil)
        #expect(Refusal(deviceStatus: 0) == nil)
    }

    @Test("a quantum out of bounds is refused", arguments: [0, 4095, (1 << 30) + 1, UInt64.max] as [UInt64])
    func quantum(_ quantum: UInt64) {
        #expect(throws: DMAError.self) { () throws in
            _ = try ProcessMemoryEngine(settings: ProcessMemorySettings(quantum: quantum))
        }
    }
}

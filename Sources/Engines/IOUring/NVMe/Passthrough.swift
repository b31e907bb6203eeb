// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit
internal import SystemPackage

// Commands to an NVMe namespace through its generic character device, bypassing the block layer.
//
// Source: NVM Command Set Specification, "I/O commands"; drivers/nvme/host/ioctl.c.

/// A namespace attached by its node /dev/ngXnY.
struct NVMeNamespace: Equatable {
    var identifier: UInt32
    /// The binary logarithm of the block size in bytes.
    var blockShift: UInt64
    var blocks: UInt64

    /// The transfer size that every controller supports. Bytes.
    static let largest: UInt64 = 128 << 10

    var mask: UInt64 { 1 << blockShift - 1 }

    /// Nil for a device that is no namespace.
    ///
    /// - Throws: `kernelRefused` for a namespace that cannot be used.
    static func examine(_ descriptor: FileDescriptor, _ facts: cdma_file_facts) throws(DMAError) -> NVMeNamespace? {
        // SAFETY: the C function writes a local structure.
        guard FileKind(format: facts.format) == .character, isGeneric(facts) else { return nil }
        var answer = cdma_nvme_namespace()
        try KernelResult(unsafe cdma_nvme_identify(descriptor.rawValue, &answer)).get()
        return NVMeNamespace(identifier: answer.identifier, blockShift: UInt64(answer.block_shift), blocks: answer.blocks)
    }

    /// Whether sysfs reports that the device belongs to the class of generic namespaces: no other device receives an ioctl.
    private static func isGeneric(_ facts: cdma_file_facts) -> Bool {
        // SAFETY: the C function writes at most as many bytes as the array has, and returns how many.
        let path = "/sys/dev/char/\(facts.device_major):\(facts.device_minor)/uevent"
        var text = [UInt8](repeating: 0, count: 512)
        let count = unsafe text.withUnsafeMutableBytes { unsafe cdma_read_file(path, $0.baseAddress, $0.count) }
        guard count > 0 else { return false }
        // DEVNAME=ng0n1
        return String(decoding: text.prefix(Int(count)), as: UTF8.self).split(separator: "\n").contains { line in
            line.hasPrefix("DEVNAME=ng") && line.dropFirst(10).first?.isNumber ?? false
        }
    }

    /// The command for a transfer; nil where its range does not consist of whole blocks inside the namespace, or its memory of
    /// whole words.
    func transfer(writes: Bool, at position: UInt64, address: UInt64, count: UInt64) -> cdma_nvme_command? {
        guard count > 0, count <= Self.largest, (position | count) & mask == 0, address & 3 == 0 else { return nil }
        let (first, number) = (position >> blockShift, count >> blockShift)
        guard first < blocks, number <= blocks - first else { return nil }
        var command = cdma_nvme_command()
        command.opcode = writes ? 0x01 : 0x02
        command.namespace_id = identifier
        command.address = address
        command.data_length = UInt32(count)
        command.cdw10 = UInt32(truncatingIfNeeded: first)
        command.cdw11 = UInt32(truncatingIfNeeded: first >> 32)
        // The number of blocks, 0-based.
        command.cdw12 = UInt32(number - 1)
        return command
    }

    /// The flush command.
    var flush: cdma_nvme_command {
        var command = cdma_nvme_command()
        command.opcode = 0x00
        command.namespace_id = identifier
        return command
    }
}

extension IOUringEngine {
    /// Makes the next command of a transfer with a namespace.
    mutating func requestNextCommand(_ slot: Int, _ namespace: NVMeNamespace, _ record: FileRecord) {
        // SAFETY: callers pass numbers of slots in use; the command's addresses are memory of the transaction, which lasts
        // until its completion is reported.
        let done = unsafe transaction(slot).pointee.done
        let descriptor = unsafe transaction(slot).pointee.descriptor
        let (index, skip) = descriptor.place(of: done)
        let segment = descriptor.segment(index)
        let count = min(segment.count - skip, descriptor.count - done, NVMeNamespace.largest)
        guard let start = descriptor.place.position,
            let command = namespace.transfer(
                writes: descriptor.writes, at: start + done, address: segment.address + skip, count: count)
        else { return fail(slot, .invalidArgument) }
        push(command, of: slot, record, moving: count)
    }

    /// Pushes a command: an entry of 128 bytes, which contains the command in its second half and the end of its first.
    mutating func push(_ command: cdma_nvme_command, of slot: Int, _ record: FileRecord, moving bytes: UInt64) {
        var request = entry(Opcode.command, record.handle, slot: slot)
        request.offset = UInt64(cdma_nvme_uring_operation())
        guard push(request, of: slot, .passthrough(bytes: bytes)) else { return }
        // SAFETY: an entry of this ring has 128 bytes, or no namespace would have been attached. `push` put it last among the
        // issued ones; nothing reads it before the submission that follows.
        let place = unsafe UnsafeMutableRawPointer(view.submission(issued &- 1)) + 48
        unsafe place.storeBytes(of: command, as: cdma_nvme_command.self)
    }

    /// The result of a command: 0, an error, or the controller's status.
    mutating func passthroughRequestEnded(_ slot: Int, _ result: KernelResult) {
        // SAFETY: callers pass numbers of slots in use.
        guard result == .success else {
            if let errno = result.errno, retries(slot, after: errno) { return }
            // The controller's status, unchanged.
            return fail(slot, result.errno ?? .ioError)
        }
        if case .running(.passthrough(let bytes)) = unsafe transaction(slot).pointee.state {
            unsafe transaction(slot).pointee.done += bytes
        }
        unsafe transaction(slot).pointee.retries = 0
        let isWhole = unsafe transaction(slot).pointee.done == transaction(slot).pointee.descriptor.count
        if isWhole { finish(slot, .complete) } else { proceed(slot) }
    }
}

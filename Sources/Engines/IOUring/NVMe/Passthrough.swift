// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore
internal import DMAEngineKit

// Commands to an NVMe namespace by its generic character device, past the block layer.
//
// Source: NVM Command Set Specification, "I/O commands"; drivers/nvme/host/ioctl.c.

/// A namespace that was attached by its node /dev/ngXnY.
struct NVMeNamespace: Equatable {
    var identifier: UInt32
    /// The logarithm of a block's bytes.
    var blockShift: UInt64
    var blocks: UInt64

    /// What every controller takes at once. Bytes.
    static let largest: UInt64 = 128 << 10

    var mask: UInt64 { 1 << blockShift - 1 }

    /// Nil for a device that is no namespace; an errno where it is one that cannot be used.
    static func examine(_ descriptor: Int32, _ facts: cdma_file_facts) -> Result<NVMeNamespace, Refusal>? {
        guard FileKind(format: facts.format) == .character, isGeneric(facts) else { return nil }
        var answer = cdma_nvme_namespace()
        let refusal = unsafe cdma_nvme_identify(descriptor, &answer)
        guard refusal == 0 else { return .failure(Refusal(errno: -refusal)) }
        return .success(
            NVMeNamespace(identifier: answer.identifier, blockShift: UInt64(answer.block_shift), blocks: answer.blocks))
    }

    struct Refusal: Error { var errno: Int32 }

    /// Whether sysfs says that the device is of the class of generic namespaces: no other is asked anything.
    private static func isGeneric(_ facts: cdma_file_facts) -> Bool {
        let path = "/sys/dev/char/\(facts.device_major):\(facts.device_minor)/uevent"
        var text = [UInt8](repeating: 0, count: 512)
        let count = unsafe text.withUnsafeMutableBytes { unsafe cdma_read_file(path, $0.baseAddress, $0.count) }
        guard count > 0 else { return false }
        // DEVNAME=ng0n1
        return String(decoding: text.prefix(Int(count)), as: UTF8.self).split(separator: "\n").contains { line in
            line.hasPrefix("DEVNAME=ng") && line.dropFirst(10).first?.isNumber ?? false
        }
    }

    /// The command for a transfer, or nil where its place is not of whole blocks inside the namespace, or its memory is not of
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
        // The number of blocks, counted from 0.
        command.cdw12 = UInt32(number - 1)
        return command
    }

    /// The command that brings everything written to the medium.
    var flush: cdma_nvme_command {
        var command = cdma_nvme_command()
        command.opcode = 0x00
        command.namespace_id = identifier
        return command
    }
}

extension IOUringEngine {
    /// Makes the next command of a transfer with a namespace.
    mutating func moveOnNamespace(_ slot: Int, _ namespace: NVMeNamespace, _ record: FileRecord) {
        let detail = unsafe detail(slot).pointee
        let descriptor = detail.descriptor
        let failure: TransactionStatus = descriptor.writes ? .writeFailed : .readFailed
        let (index, skip) = descriptor.place(of: detail.done)
        let segment = descriptor.segment(index)
        let count = min(segment.count - skip, descriptor.count - detail.done, NVMeNamespace.largest)
        guard let start = descriptor.place.position,
            let command = namespace.transfer(
                writes: descriptor.writes, at: start + detail.done, address: segment.address + skip, count: count)
        else { return finish(slot, failure, value: 22) }
        unsafe self.detail(slot).pointee.chain[0] = Int64(count)
        push(command, of: slot, record)
    }

    /// Pushes a command: an entry of 128 bytes, the second half and a bit of the first being the command.
    mutating func push(_ command: cdma_nvme_command, of slot: Int, _ record: FileRecord) {
        var request = entry(Opcode.command, record.handle, slot: slot)
        request.offset = UInt64(cdma_nvme_uring_operation())
        push(request, of: slot)
        // `push` put it last among the issued ones; nobody looks at it before the submission that follows.
        let place = unsafe UnsafeMutableRawPointer(view.submission(issued &- 1)) + 48
        unsafe place.storeBytes(of: command, as: cdma_nvme_command.self)
    }

    /// What a command came to: 0, an errno, or the controller's status.
    mutating func settleNamespace(_ slot: Int, _ result: Int32) {
        let detail = unsafe detail(slot).pointee
        if result == 0 {
            unsafe self.detail(slot).pointee.done += UInt64(detail.chain[0])
            unsafe self.detail(slot).pointee.retries = 0
            return unsafe self.detail(slot).pointee.done == detail.descriptor.count ? finish(slot, .complete) : goOn(slot)
        }
        if result < 0, retries(slot, after: result) { return }
        // EIO for whatever the controller says.
        finish(slot, detail.writes ? .writeFailed : .readFailed, value: result < 0 ? UInt64(-Int64(result)) : 5)
    }
}

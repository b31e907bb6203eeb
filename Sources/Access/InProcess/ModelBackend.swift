// SPDX-License-Identifier: Apache-2.0

internal import DMADriverKit
internal import DMAEngineKit
internal import DMATypes

/// Maps this process's memory for a model: a region of its ``DMADriverKit/ForeignMemory`` for each mapping.
final class ModelBackend: MappingBackend {
    private let memory: ForeignMemory
    private let recorder: Recorder?

    init(_ memory: ForeignMemory, _ recorder: Recorder?) {
        self.memory = memory
        self.recorder = recorder
    }

    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {
        guard source.kind != .device, let length = Int(exactly: count),
            let start = unsafe UnsafeMutableRawPointer(bitPattern: UInt(source.address))
        else { throw DMAError(.unsupportedSource) }
        // SAFETY: the address space keeps the bytes valid until `unmap` has returned, which waits until no access of the model's uses them; a
        // mapping's owner accesses its memory as shared with the device.
        try unsafe memory.insert(
            iova, access: access, memory: UnsafeMutableRawBufferPointer(start: start, count: length))
        recorder?.add(.map(iova.rawValue, count))
    }

    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 {
        try memory.remove(iova, count: count, until: .after(milliseconds: 1000))
        recorder?.add(.unmap(iova.rawValue, count))
        return count
    }
}

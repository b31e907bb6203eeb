// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACopy
import DMACore
import DMADriverKit
import Synchronization

/// An IOMMU that keeps its mappings only while a device is attached.
final class Container: MappingBackend {
    private let state = Mutex(State())
    private struct State {
        var live: [UInt64: UInt64] = [:]
        var isAttached = false
    }

    var keepsMappings: Bool { false }
    var live: Int { state.withLock { $0.live.count } }
    func attach() { state.withLock { $0.isAttached = true } }
    func detach() { state.withLock { $0 = State() } }

    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {
        let isTaken = state.withLock { state in
            guard state.isAttached, state.live[iova.rawValue] == nil else { return false }
            state.live[iova.rawValue] = count
            return true
        }
        if !isTaken { throw DMAError(.backendFailed, asked: iova.rawValue, errno: 22) }
    }

    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 {
        state.withLock { $0.live.removeValue(forKey: iova.rawValue) ?? 0 }
    }
}

/// An address space of two devices, of which the mappings are programmed when one is attached.
func addressSpace() throws {
    let container = Container()
    let space = try AddressSpace(
        name: "group 7", translation: .translated(container, apertures: [0x10_0000...0xffff_ffff], pageSizes: [4096]))
    let (first, second) = (Domain(name: "first", space: space), Domain(name: "second", space: space))
    try require(first.id != second.id && first.space === second.space, "two domains over one space")
    let early = try Buffer(count: 4096).mapped(for: first, direction: .toDevice)
    try require(container.live == 0, "nothing is programmed without a device")
    try space.attach { () throws(DMAError) in container.attach() }
    try require(container.live == 1 && space.attachedDevices == 1, "a replay")
    let isFirst = early.domain.id == first.id
    try require(isFirst, "a mapping's domain")
    var whole = try Buffer(count: 16384).mapped(for: second, direction: .bidirectional)
    var upper: MappedBuffer? = try whole.split(at: 8192)
    try whole.join(&upper)
    let count = whole.count
    try require(count == 16384, "split and join")
    _ = try early.unmap()
    _ = try whole.unmap()
    try space.detach { () throws(DMAError) in container.detach() }
    try require(container.live == 0 && first.statistics.mappings == 0, "an end")
    try first.close()
}

/// A model's side: memory of a peer, by a file that cannot be made shorter.
func foreignMemory() throws {
    let buffer = try Buffer(count: 8192, backing: .sharedMemory(name: "peer"))
    let memory = ForeignMemory()
    let inserted: Void? = try buffer.withFileDescriptor { (file) throws(DMAError) in
        try memory.insert(IOVA(0x1000), count: 8192, access: [.read, .write], file: file, unstable: .copied)
    }
    try require(inserted != nil, "a file behind the memory")
    let sent: [UInt8] = [1, 2, 3, 4]
    try memory.write(sent.span.bytes, at: IOVA(0x1ffe))
    var bytes = [UInt8](repeating: 0, count: 4)
    var words = bytes.mutableSpan
    var span = words.mutableBytes
    try memory.read(IOVA(0x1ffe), into: &span)
    try require(bytes == sent, "a copy")
    do throws(DMAError) {
        try memory.write(sent.span.bytes, at: IOVA(0x3000))
        throw DMAError(.engineFailed)
    } catch { try require(error.code == .unmappedAddress, "an address that is not mapped") }
    try memory.remove(IOVA(0x1000), count: 8192, until: .after(.seconds(1)))
}

/// A file in a buffer, and back.
func copies() throws {
    let memory = CopyBuffer(try Buffer(copying: Array("a file of this program".utf8)))
    let target = CopyBuffer(try Buffer(count: 4096))
    let report = try Copier().copy(from: .buffer(memory), to: .buffer(target))
    try require(report.bytes == 22, "bytes of a copy")
    let letter = try target.take()?.load(at: 0, as: UInt8.self)
    try require(letter == 0x61, "the first letter")
    var code: CopyFailure.Code?
    do throws(CopyFailure) { _ = try Copier().copy(from: .buffer(target), to: .null) } catch { code = error.code }
    try require(code == .held, "a buffer that was taken")
}

// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMADriverKit
internal import DMAEngineKit
internal import DMATypes
internal import DMAVFIOUserProtocol

/// Maps memory for a device of another process: each mapping is a DMA_MAP, with the memory's file or without.
///
/// What is mapped is also a region of the peer's own table, from which the server's messages are answered, with the rights of the mapping: a server that
/// writes to what it may only read is refused.
///
/// **When memory is out of reach.** Memory whose file was not passed is out of reach once it has left that table, whatever the server says, and even if it
/// says nothing. Memory whose file was passed is out of reach when the server has confirmed the DMA_UNMAP, which is its word alone, or when its process
/// has ended. The end of the connection is no proof.
///
/// **What remains.** A process that the server has passed the file on to, or that shares its memory (fork(2), CLONE_VM), is not known here. The protocol
/// cannot take a file back: it is a server's to keep what it has mapped.
final class VFIOUserBackend: MappingBackend {
    private let peer: VFIOUserPeer
    /// Ranges whose file was passed.
    private let passed = Locked<Set<UInt64>>([])

    init(_ peer: VFIOUserPeer) { self.peer = peer }

    var needs: SourceNeeds { sharesFiles ? .descriptor : [] }
    var isDead: Bool { peer.isDead }

    private var sharesFiles: Bool {
        if case .shared = peer.configuration.memory { true } else { false }
    }

    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {
        guard source.kind != .device, let length = Int(exactly: count),
            let start = unsafe UnsafeMutableRawPointer(bitPattern: UInt(source.address))
        else { throw DMAError(.unsupportedSource) }
        var file: OwnedDescriptor?
        if sharesFiles, source.descriptor >= 0 {
            let copy = access.contains(.write) ? cdma_duplicate(source.descriptor) : cdma_reopen_read_only(source.descriptor)
            guard copy >= 0 else { throw DMAError(.backendFailed, asked: iova.rawValue, errno: -copy) }
            file = OwnedDescriptor(taking: copy)
        }
        // SAFETY: the address space keeps the bytes valid until `unmap` has returned, which waits until no answer to the server uses them; a mapping's
        // owner accesses its memory as shared with the device.
        try unsafe peer.memory.insert(
            iova, access: access, memory: UnsafeMutableRawBufferPointer(start: start, count: length))
        if file != nil { passed.withLock { _ = $0.insert(iova.rawValue) } }
        let message = DMAMapMessage(
            isReadable: access.contains(.read), isWritable: access.contains(.write), offset: file == nil ? 0 : source.offset,
            address: iova.rawValue, count: count)
        do throws(PeerError) {
            _ = try peer.ask(.dmaMap(message), descriptors: file.map { [$0.number] } ?? [])
        } catch {
            // A refusal: the server has nothing of it. Any other end leaves open what it has, so that this must not count as not mapped.
            guard error.code == .refused || file == nil else {
                throw DMAError(.backendFailed, asked: iova.rawValue, errno: 17)
            }
            try peer.memory.remove(iova, count: count, until: peer.limit)
            passed.withLock { _ = $0.remove(iova.rawValue) }
            throw DMAError(.backendFailed, asked: iova.rawValue, errno: error.number == 0 ? 5 : Int32(clamping: error.number))
        }
    }

    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 {
        let wasPassed = passed.withLock { $0.contains(iova.rawValue) }
        let unmap = DMAUnmapMessage(address: iova.rawValue, count: count)
        var failure: DMAError?
        var done = count
        do throws(PeerError) {
            let reply = try peer.ask(.dmaUnmap(unmap))
            do throws(WireError) {
                let answer = try DMAUnmapMessage(reply: reply.payload)
                done = answer.address == iova.rawValue ? answer.count : 0
            } catch { failure = DMAError(.backendFailed, asked: iova.rawValue, errno: 71) }
        } catch {
            failure = DMAError(
                .backendFailed, asked: iova.rawValue, errno: error.number == 0 ? 5 : Int32(clamping: error.number))
        }
        // Whatever the server says, it is answered no more from here on. A repeated attempt finds that done.
        do throws(DMAError) { try peer.memory.remove(iova, count: count, until: peer.limit) } catch {
            guard error.code == .notMapped else { throw error }
        }
        // Without a file, that was the only way.
        guard wasPassed else { return count }
        if let failure {
            peer.awaitDeath()
            throw failure
        }
        passed.withLock { _ = $0.remove(iova.rawValue) }
        return done
    }
}

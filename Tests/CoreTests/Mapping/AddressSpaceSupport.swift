// SPDX-License-Identifier: Apache-2.0

import DMAEngineKit

@testable import DMACore

/// A backend that behaves like the kernel's type 1, or as configured.
final class TypeOneBackend: MappingBackend, @unchecked Sendable {
    struct State {
        var live: [UInt64: UInt64] = [:]
        var sources: [UInt64: MappingSource] = [:]
        var isAttached = false
        var calls = 0
    }
    let state = Locked(State())
    let keepsMappings: Bool
    let needs: SourceNeeds
    let takesDeviceMemory: Bool
    /// The error of `map`, and the result of `unmap` instead of the count.
    var mapErrno: Int32 = 0
    var unmapAnswer: UInt64?

    init(keepsMappings: Bool = true, needs: SourceNeeds = [], takesDeviceMemory: Bool = false) {
        (self.keepsMappings, self.needs, self.takesDeviceMemory) = (keepsMappings, needs, takesDeviceMemory)
    }

    func map(at iova: IOVA, _ source: MappingSource, count: UInt64, access: DeviceAccess) throws(DMAError) {
        if mapErrno != 0 { throw DMAError(.backendFailed, asked: iova.rawValue, errno: mapErrno) }
        try state.withLock { state throws(DMAError) in
            state.calls += 1
            if !keepsMappings, !state.isAttached { throw DMAError(.backendFailed, asked: iova.rawValue, errno: 22) }
            if state.live[iova.rawValue] != nil { throw DMAError(.backendFailed, asked: iova.rawValue, errno: 17) }
            state.live[iova.rawValue] = count
            state.sources[iova.rawValue] = source
        }
    }

    func unmap(at iova: IOVA, count: UInt64) throws(DMAError) -> UInt64 {
        if let unmapAnswer { return unmapAnswer }
        return state.withLock { state in
            state.calls += 1
            return state.live.removeValue(forKey: iova.rawValue) ?? 0
        }
    }

    /// As in the kernel: detaching the last device removes every mapping.
    func detach() {
        state.withLock { state in
            state.isAttached = false
            state.live = [:]
        }
    }
    func attach() { state.withLock { $0.isAttached = true } }
    var live: [UInt64: UInt64] { state.withLock { $0.live } }
    var sources: [MappingSource] { state.withLock { $0.sources.sorted { $0.key < $1.key }.map(\.value) } }
}

func translation(
    _ backend: any MappingBackend, _ aperture: ClosedRange<UInt64> = 0x10_0000...0xffff_ffff
) -> Translation { .translated(backend, apertures: [aperture], pageSizes: [4096]) }

/// An engine on bus addresses that completes its descriptors, and moves nothing.
struct BusEngine: ~Copyable, Engine {
    var domain: DomainID?
    var alignment: UInt64 = 1
    var unit: UInt64 = 0
    private var tags: [UInt32] = []

    init(domain: DomainID?, alignment: UInt64 = 1, unit: UInt64 = 0) {
        (self.domain, self.alignment, self.unit) = (domain, alignment, unit)
    }

    var capabilities: Capabilities {
        var capabilities = Capabilities(name: "bus", operations: [.fill, .copy], depth: 8)
        capabilities.alignment = alignment
        capabilities.lengthUnit = unit
        return capabilities
    }
    var addressing: EngineAddressing { domain.map { .bus($0) } ?? .cpu }
    @unsafe
    mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        tags.append(tag)
        return .accepted
    }
    mutating func issuePending() {}
    mutating func terminate() {}
    mutating func wait(until deadline: Deadline) -> Bool { true }
    mutating func next() -> Completion? { tags.isEmpty ? nil : Completion(tag: tags.removeFirst()) }
    mutating func quiesce(by deadline: Deadline) -> Bool {
        tags = []
        return true
    }
}

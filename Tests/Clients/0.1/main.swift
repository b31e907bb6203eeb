// SPDX-License-Identifier: Apache-2.0
// A program as a client of release 0.1 has it. It is not changed after that release: that it still builds and runs shows that the interface holds.

import DMA
import DMACopy
import DMACore

typealias Two = Pair<MappedBuffer, MappedBuffer>

/// A value that is not what it must be.
struct Wrong: Error {
    let what: String
    init(_ what: String) { self.what = what }
}

func require(_ condition: Bool, _ what: String) throws {
    if !condition { throw Wrong(what) }
}

/// Polls a copy of one buffer to another, with every step by itself.
func polled(_ system: DMASystem) throws {
    var request = ChannelRequest([.copy, .crc32c])
    request.needsOrder = true
    var granted = try system.requestChannel(request, of: Two.self)
    let domain = granted.domain
    var source = try Buffer(count: 4096)
    source.withMutableBytes { bytes in
        for index in 0..<4096 { bytes.storeBytes(of: UInt8(truncatingIfNeeded: index), toByteOffset: index, as: UInt8.self) }
    }
    let mapped: MappedBuffer
    switch source.map(for: domain, direction: .toDevice) {
    case .mapped(let buffer): mapped = buffer
    case .failed(let error, _): throw error
    }
    let target = try Buffer(count: 4096).mapped(for: domain, direction: .fromDevice)
    switch granted.channel.submit(.copy(), Pair(mapped, target)) {
    case .queued(let cookie): try require(cookie.rawValue > 0, "a cookie")
    case .refused(let error, _): throw error
    }
    granted.channel.issuePending()
    let limit = Deadline.after(milliseconds: 60_000)
    while Deadline.now < limit {
        guard let finished = granted.channel.next() else { continue }
        try require(finished.status == .complete && finished.residue == 0, "a copy")
        let copied = try finished.takeCargo().second.unmap()
        let last = copied.withBytes { unsafe $0.unsafeLoad(fromByteOffset: 4095, as: UInt8.self) }
        return try require(last == 0xff, "the last byte")
    }
    throw Wrong("no completion")
}

/// Waits for a checksum, by an interrupt.
func awaited(_ system: DMASystem) async throws {
    var granted = try system.requestChannel(ChannelRequest(.crc32c), of: MappedBuffer.self)
    let memory = try Buffer(count: 4096).mapped(for: granted.domain, direction: .toDevice)
    let cookie = try granted.channel.submit(.crc32c(flags: .interrupt), memory).get()
    granted.channel.issuePending()
    let finished = try await granted.channel.finished(cookie)
    try require(finished.value == 0x98f9_4189, "the CRC32C of 4096 zeroes, not \(String(finished.value, radix: 16))")
}

/// Copies a stream of this process, by a plan.
func copied() async throws {
    var options = CopyOptions()
    options.verifies = false
    let report = try await Copier().copy(from: .pattern(seed: 1, size: 1 << 20), to: .null, options)
    try require(report.bytes == 1 << 20, "a copy of a pattern")
}

/// Errors are matched on by code, and say what to change.
func refused(_ system: DMASystem) throws {
    do throws(DMAError) {
        _ = try system.requestChannel(ChannelRequest(name: "nobody"), of: MappedBuffer.self)
        throw DMAError(.engineFailed)
    } catch {
        try require(error.code == .noSuchChannel && error.rule == 1 && !error.cure.isEmpty, "an error")
    }
}

let system = DMASystem()
try polled(system)
try await awaited(system)
try await copied()
try refused(system)
print("client 0.1: \(system.engines.count) engines")

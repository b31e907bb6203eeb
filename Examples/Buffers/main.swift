// SPDX-License-Identifier: Apache-2.0
// The guide's chapter on buffers and ownership, as a program: the chapter contains each marked region verbatim.

import DMACore

/// The variables that the chapter's regions share.
let domain = Domain(name: "example")

func allocate() throws(DMAError) {
    // snippet: allocate
    var buffer = try Buffer(count: 3 << 20, backing: .huge2MiB, policy: AllocationPolicy(acceptsFallback: true))
    print("asked for huge pages, got \(buffer.backing), pages of \(buffer.pageSize) bytes")
    buffer.withMutableBytes { bytes in
        for index in 0..<256 { bytes.storeBytes(of: UInt8(index), toByteOffset: index, as: UInt8.self) }
    }
    let sum = buffer.withBytes { bytes in
        (0..<256).reduce(0) { $0 + Int(unsafe bytes.unsafeLoad(fromByteOffset: $1, as: UInt8.self)) }
    }
    // end
    print("sum of 256 bytes: \(sum)")
}

func mapAndUnmap() throws(DMAError) {
    // snippet: map
    let buffer = try Buffer(count: 4096)
    switch buffer.map(for: domain, direction: .toDevice) {
    case .mapped(let mapped):
        print("the device reads \(mapped.count) bytes at \(mapped.iova)")
        let again = try mapped.unmap()
        print("the CPU has \(again.count) bytes back")
    case .failed(let error, let buffer):
        print("\(buffer.count) bytes stay the CPU's: \(error)")
    }
    // end
}

func lookWhileMapped() throws(DMAError) {
    // snippet: sync
    var mapped = try Buffer(count: 4096).mapped(for: domain, direction: .bidirectional)
    try mapped.withMutableCPUAccess(0..<64) { bytes in bytes.storeBytes(of: 42, as: UInt32.self) }
    let first = try mapped.withCPUAccess(0..<64) { bytes in unsafe bytes.unsafeLoad(as: UInt32.self) }
    // end
    print("while mapped: \(first)")
}

func bounce() throws(DMAError) {
    // snippet: bounce
    var constraints = DeviceConstraints()
    constraints.streamingMask = DMAMask(bits: 32)
    let narrow = Domain(name: "a device with 32 address lines", constraints: constraints)
    let mapped = try Buffer(count: 4096).mapped(for: narrow, direction: .toDevice)
    print("bounced: \(mapped.wasBounced), so far \(narrow.statistics.bouncedBytes) bytes copied")
    // end
}

func scatter() throws(DMAError) {
    // snippet: scatter
    var list = ScatterList()
    list.append(try Buffer(count: 4096))
    list.append(try Buffer(count: 8192))
    let mapped = try list.mapped(for: domain, direction: .fromDevice)
    print("\(mapped.originalCount) entries, \(mapped.regionCount) segments for the device")
    // end
}

func lease() throws(DMAError) {
    // snippet: pool
    let memory = try Buffer(count: 64 << 10).mapped(for: domain, direction: .bidirectional)
    var pool = try Pool(memory, blockSize: 4096)
    do {
        let block = pool.lease()
        print("\(pool.leased) of \(pool.capacity) blocks leased: \(block?.count ?? 0) bytes")
    }
    try pool.end()
    // end
}

func coherent() throws(DMAError) {
    // snippet: coherent
    let ring = try CoherentBuffer(count: 4096, domain: domain)
    try ring.store(0xfeed as UInt64, at: 8)
    // The entry first, then the word that makes it valid (rule 37).
    try ring.storeRelease(1 as UInt32, at: 0)
    let isValid = try ring.loadAcquire(at: 0, as: UInt32.self) == 1
    // end
    print("coherent: \(isValid), \(try ring.load(at: 8, as: UInt64.self))")
}

try allocate()
try mapAndUnmap()
try lookWhileMapped()
try bounce()
try scatter()
try lease()
try coherent()
try domain.close()
print("buffers: every mapping ended")

// SPDX-License-Identifier: Apache-2.0
// The guide's chapter on channels and transactions, as a program: the chapter contains each marked region verbatim.

import DMA
import DMACPUEngine
import DMACore

typealias Two = Pair<MappedBuffer, MappedBuffer>

func buffers(_ count: Int, _ domain: Domain) throws(DMAError) -> Two {
    Pair(
        try Buffer(count: count).mapped(for: domain, direction: .toDevice),
        try Buffer(count: count).mapped(for: domain, direction: .fromDevice))
}

func request(_ system: DMASystem) throws(DMAError) {
    // snippet: request
    for engine in system.engines {
        print("\(engine.offer.name): \(engine.offer.channels) channels, depth \(engine.offer.capabilities.depth)")
    }
    var request = ChannelRequest([.copy, .crc32c])
    request.needsInterrupts = true
    let granted = try system.requestChannel(request, of: Two.self)
    print("granted \(granted.info.name)")
    // end
}

func poll(_ system: DMASystem) throws(DMAError) {
    var granted = try system.requestChannel(ChannelRequest(.copy), of: Two.self)
    let cargo = try buffers(4096, granted.domain)
    // snippet: poll
    switch granted.channel.submit(.copy(), cargo) {
    case .queued(let cookie): print("queued as \(cookie.rawValue); nothing runs yet")
    case .refused(let error, let cargo): print("refused, and the \(cargo.first.count) bytes are back: \(error)")
    }
    granted.channel.issuePending()
    var isOver = false
    while !isOver {
        guard let finished = granted.channel.next() else { continue }
        print("\(finished.status), \(finished.residue) bytes not moved")
        let destination = try finished.takeCargo().second.unmap()
        print("\(destination.count) bytes are the CPU's again")
        isOver = true
    }
    // end
}

func wait(_ system: DMASystem) async throws(DMAError) {
    var granted = try system.requestChannel(ChannelRequest(.crc32c), of: MappedBuffer.self)
    let memory = try Buffer(count: 4096).mapped(for: granted.domain, direction: .toDevice)
    // snippet: await
    let cookie = try granted.channel.submit(.crc32c(flags: .interrupt), memory).get()
    let finished = try await granted.channel.finished(cookie)
    print("CRC32C of 4096 zeroes: \(String(finished.value, radix: 16))")
    // end
}

func own(_ system: DMASystem) async throws(DMAError) {
    // snippet: own
    var granted = try system.requestChannel(ChannelRequest([.copy, .crc32c]), of: Loan.self)
    let source = try Buffer(copying: "123456789".utf8).mapped(for: granted.domain, direction: .toDevice)
    var target = try Buffer(count: 9).mapped(for: granted.domain, direction: .bidirectional)
    try await granted.channel.copy(source, to: &target, by: .after(.seconds(10)))
    let crc = try await granted.channel.crc32c(of: target)
    print("CRC32C of the copy: \(String(crc, radix: 16))")
    // end
}

func shared(_ system: DMASystem) async throws(DMAError) {
    // snippet: shared
    let channel = try system.share(ChannelRequest(.fill))
    let filled = await withTaskGroup(of: Bool.self) { group in
        for number in 0..<40 {
            group.addTask {
                do throws(DMAError) {
                    var page = try Buffer(count: 4096).mapped(for: channel.domain, direction: .fromDevice)
                    try await channel.fill(&page, pattern: UInt64(number))
                    return try page.unmap().load(at: 4088, as: UInt64.self) == UInt64(number)
                } catch { return false }
            }
        }
        return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    print("\(filled) of 40 tasks had their page filled")
    // end
}

// snippet: actor
actor Checksums {
    private var channel: SystemChannel<MappedBuffer>

    init(_ channel: consuming sending SystemChannel<MappedBuffer>) { self.channel = channel }

    func start(_ memory: consuming MappedBuffer) throws(DMAError) -> Cookie {
        let cookie = try channel.submit(.crc32c(), memory).get()
        channel.issuePending()
        return cookie
    }

    /// Nil where it is not over yet.
    func result(of cookie: Cookie) throws(DMAError) -> UInt32? {
        guard let finished = try channel.take(cookie) else { return nil }
        return finished.crc32c
    }
}
// end

func inActor(_ system: DMASystem) async throws(DMAError) {
    let granted = try system.requestChannel(ChannelRequest(.crc32c), of: MappedBuffer.self)
    let memory = try Buffer(count: 4096).mapped(for: granted.domain, direction: .toDevice)
    let checksums = Checksums(granted.takeChannel())
    let cookie = try await checksums.start(memory)
    var crc: UInt32?
    while crc == nil { crc = try await checksums.result(of: cookie) }
    print("an actor's channel: \(String(crc ?? 0, radix: 16))")
}

func callbacks(_ system: DMASystem) throws(DMAError) {
    // snippet: callback
    let granted = try system.requestChannel(ChannelRequest(.fill), of: MappedBuffer.self)
    let memory = try Buffer(count: 4096).mapped(for: granted.domain, direction: .fromDevice)
    var channel = CallbackChannel(granted.takeChannel())
    let submission = channel.submit(.fill(pattern: 0x55), memory) { finished, _ in
        print("called back: \(finished.status)")
    }
    _ = try submission.get()
    channel.issuePending()
    while channel.runCallbacks() == 0 {}
    // end
}

func hotLoop() throws(DMAError) {
    // snippet: static
    let domain = Domain(name: "cpu")
    let memory = try Buffer(count: 64 * 4096).mapped(for: domain, direction: .bidirectional)
    var pool = try Pool(memory, blockSize: 4096)
    var channel = try Channel(CPUEngine(), domain: domain, of: Pair<Block, Block>.self)
    var copied = 0
    while copied < 1000 {
        while let source = pool.lease() {
            guard let destination = pool.lease() else { break }
            guard case .queued = channel.submit(.copy(), Pair(source, destination)) else { break }
        }
        channel.issuePending()
        while let finished = channel.next() { copied += finished.status == .complete ? 1 : 0 }
    }
    // end
    print("static channel: 1000 copies of leased blocks and no allocation")
}

func terminate(_ system: DMASystem) throws(DMAError) {
    var granted = try system.requestChannel(ChannelRequest(.copy), of: Two.self)
    let cargo = try buffers(4096, granted.domain)
    // snippet: terminate
    let cookie = try granted.channel.submit(.copy(), cargo).get()
    granted.channel.terminateAsync()
    try granted.channel.synchronize()
    if let finished = try granted.channel.take(cookie) {
        print("\(finished.status): its memory is safe to touch, and back")
    }
    // end
}

let system = DMASystem()
try request(system)
try poll(system)
try await wait(system)
try await own(system)
try await shared(system)
try await inActor(system)
try callbacks(system)
try hotLoop()
try terminate(system)
print("channels: each released at the end of its scope")

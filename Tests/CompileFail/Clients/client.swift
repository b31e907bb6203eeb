// SPDX-License-Identifier: Apache-2.0
// Client code of channels that only needs `import DMA`.
import DMA

typealias Two = Pair<MappedBuffer, MappedBuffer>

func buffers(_ count: Int, _ domain: Domain) throws(DMAError) -> Two {
    let memory = try Buffer(
        count: count, backing: Backing.pages(transparentHuge: false), policy: AllocationPolicy(acceptsFallback: true))
    switch memory.map(for: domain, direction: Direction.toDevice) {
    case .mapped(let source):
        return Pair(source, try Buffer(count: count).mapped(for: domain, direction: .fromDevice))
    case .failed(let error, _): throw error
    }
}

// A copy, by submit, issue and poll.

func copy(on system: DMASystem) throws(DMAError) -> TransactionStatus {
    var granted: GrantedChannel<Two> = try system.requestChannel(ChannelRequest(.copy))
    let submission: Submission<Two> = granted.channel.submit(.copy(), try buffers(4096, granted.domain))
    let cookie: Cookie = try submission.get()
    granted.channel.issuePending()
    while true {
        guard let finished: Finished<Two> = try granted.channel.take(cookie) else { continue }
        if let error: DMAError = finished.error { throw error }
        return finished.status
    }
}

// A fill and a checksum, in a task, on a stored channel.

struct Checksums: ~Copyable {
    var channel: SystemChannel<MappedBuffer>
    var last: Cookie?

    mutating func checksum(of memory: consuming MappedBuffer) async throws(DMAError) -> UInt32 {
        let filled = try channel.submit(Operation.fill(pattern: 0, flags: .fence), memory).get()
        let back = try await channel.finished(filled).takeCargo()
        let cookie = try channel.submit(.crc32c(flags: [.interrupt]), back).get()
        last = cookie
        return try await channel.finished(cookie).crc32c
    }
}

// Gathering: scatter lists, and lists of blocks that a pool leases.

func gather(_ domain: Domain, _ channel: inout SystemChannel<Pair<MappedScatterList, MappedBuffer>>) throws(DMAError) {
    var list = ScatterList()
    list.append(try Buffer(count: 4096))
    let target = try Buffer(count: 4096).mapped(for: domain, direction: .fromDevice)
    guard case ScatterMapOutcome.mapped(let mapped) = list.map(for: domain, direction: .toDevice) else { return }
    let regions = UInt16(mapped.regionCount)
    _ = try channel.submit(.scatterGather(from: 0..<regions, to: regions..<regions + 1), Pair(mapped, target)).get()
}

// Streams: rings of periods.

func level(_ period: borrowing PeriodView) -> UInt8? { period[0] }

func record(_ ring: inout SystemRing) throws(DMAError) -> UInt64 {
    let outcome: PeriodOutcome<UInt8?> = try ring.withNextPeriod { period in level(period) }
    if case .overrun(let periods) = outcome { return periods }
    return 0
}

func start(_ channel: consuming SystemChannel<MappedBuffer>, _ memory: consuming MappedBuffer) throws(DMAError) -> SystemRing {
    try CyclicRing(channel, ring: memory, period: 4096, settings: AnySettings(true))
}

// Peripherals.

func write(_ file: Int32, _ channel: inout SystemChannel<MappedBuffer>, _ memory: consuming MappedBuffer) throws(DMAError) {
    try channel.configure(EngineConfiguration(peripheral: 1))
    let number = try channel.attach(PeripheralFile(file, cache: .asOpened))
    let place = PeripheralPlace(number: number, position: 4096)
    _ = try channel.submit(.toPeripheral(0..<1, at: place), memory).get()
    try channel.detach(number)
}

// Parity.

func parity() -> (OperationKind, OperationSet) {
    let operation = Operation.pq(sources: 0..<4, p: 4)
    return (operation.kind, OperationSet([.pq, .pqValidate]))
}

func isIntact(_ finished: borrowing Finished<MappedBuffer>) -> Bool { finished.validation == ValidationResult([]) }

// The properties of a channel.

func describe<C: Cargo & ~Copyable>(_ channel: borrowing SystemChannel<C>, _ flags: DescriptorFlags) -> String {
    let capabilities: Capabilities = channel.capabilities
    let granularity = capabilities.residueGranularity
    let state: ChannelState = channel.channelState
    return "\(capabilities.name): \(state), \(granularity), \(capabilities.flags.isSuperset(of: flags))"
}

func list(_ system: DMASystem) {
    for listing: EngineListing in system.engines { print(listing.offer.name, listing.offer.absence?.cure ?? "ready") }
}

// Calls: on a channel of one's own, shared by tasks, on parts of a buffer, and on a file.

func stamp(_ system: DMASystem) async throws(DMAError) -> UInt32 {
    var granted: GrantedChannel<Loan> = try system.requestChannel(ChannelRequest([.copy, .crc32c]))
    var text = try Buffer(copying: "text".utf8)
    try text.store(7 as UInt8, at: 3)
    let source = try text.mapped(for: granted.domain, direction: .toDevice)
    var target = try Buffer(count: 4).mapped(for: granted.domain, direction: .bidirectional)
    try await granted.channel.copy(source, to: &target, by: .after(.seconds(1)))
    return try await granted.channel.crc32c(of: target)
}

func fillHalf(_ channel: SharedChannel<Loan>, _ memory: consuming MappedBuffer) async throws(DMAError) -> Buffer {
    var lower = memory
    var upper: MappedBuffer? = try lower.split(at: 4096)
    try await channel.fill(&lower, pattern: 0)
    try lower.join(&upper)
    return try lower.unmap()
}

func run(_ channel: SharedChannel<Two>, _ cargo: consuming Two) async -> Two? {
    let outcome: RunOutcome<Two> = await channel.run(.copy(), cargo)
    switch consume outcome {
    case .finished(let finished): return finished.takeCargo()
    case .refused(_, let cargo): return cargo
    case .kept: return nil
    }
}

func largest(_ channel: SharedChannel<Loan>, _ file: PeripheralFile) async throws -> Int {
    var largest = 0
    for try await chunk: FileChunk in try await channel.chunks(of: file, size: 4096, depth: 2) {
        largest = max(largest, chunk.count)
    }
    return largest
}

struct Odd: Error {}

func isOdd(_ memory: inout MappedBuffer) throws -> Bool {
    // Closures of several statements throw their own errors, without annotation.
    try memory.withMutableCPUAccess { bytes in
        let first = try bytes.bytes.load(as: UInt16.self)
        if first == 1 { throw Odd() }
        try bytes.store(first &+ 1)
    }
    return try memory.withCPUAccess(0..<2) { bytes in
        let word = try bytes.load(as: UInt16.self)
        return word % 2 == 1
    }
}

// SPDX-License-Identifier: Apache-2.0
// Runs one variant of submit + device step + poll for a number of operations. Under a tool that counts instructions, the
// difference between two numbers is the cost of one operation; Benchmarks/count does that.

import CountedRing
import DMACPUEngine
import DMACore
import DMAEngineKit
import DMAIOUringEngine
import ScriptedEngines

/// Transactions in flight at once, as in the ring of the C version.
let depth: UInt64 = 32

// Each variant's loop is a separate function that is not inlined, so that its disassembly can be checked.

@inline(never)
func bareRing(_ operations: UInt64) -> UInt64 {
    var ring = RingEngine(entries: Int(depth))
    var sum: UInt64 = 0
    var index: UInt64 = 0
    repeat {
        guard ring.hasRoom else { return 0 }
        let descriptor = unsafe Descriptor(kind: .copy, source: 0x1000 &+ index, destination: 0x8000 &+ index, count: 64)
        _ = unsafe ring.enqueue(descriptor, tag: UInt32(truncatingIfNeeded: index))
        ring.issuePending()
        if let completion = ring.next() { sum &+= UInt64(completion.tag) }
        index &+= 1
    } while index != operations
    return sum
}

/// One operation on one leased block, which is returned to the pool.
@inline(never)
func hotChannel(_ channel: inout Channel<RingEngine, Block>, _ pool: consuming Pool, _ operations: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    while sum < operations {
        guard let block = pool.lease() else { return 0 }
        switch channel.submit(.fill(pattern: 0x5a5a), block) {
        case .queued(_): break
        case .refused(_, _): return 0
        }
        channel.issuePending()
        if let finished = channel.next() {
            sum = finished.cookie.rawValue
            pool.giveBack(finished.takeCargo())
        }
    }
    return sum
}

/// The same where the block ends on its own, and returns with an atomic operation.
@inline(never)
func hotChannelDrop(_ channel: inout Channel<RingEngine, Block>, _ pool: consuming Pool, _ operations: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    while sum < operations {
        guard let block = pool.lease() else { return 0 }
        switch channel.submit(.fill(pattern: 0x5a5a), block) {
        case .queued(_): break
        case .refused(_, _): return 0
        }
        channel.issuePending()
        if let finished = channel.next() { sum = finished.cookie.rawValue }
    }
    return sum
}

/// The same as `hotChannel` on an engine that completes in any order, with the channel full but for one slot.
@inline(never)
func hotUnordered(
    _ channel: inout Channel<UnorderedEngine, Block>, _ pool: consuming Pool, _ operations: UInt64
) -> UInt64 {
    var done: UInt64 = 0
    while done < operations {
        guard let block = pool.lease() else { return 0 }
        switch channel.submit(.fill(pattern: 0x5a5a), block) {
        case .queued(_): break
        case .refused(_, _): return 0
        }
        channel.issuePending()
        if let finished = channel.next() {
            done &+= 1
            pool.giveBack(finished.takeCargo())
        }
    }
    return done
}

/// A submission to a full channel, which returns the block.
@inline(never)
func hotRefused(_ channel: inout Channel<RingEngine, Block>, _ pool: consuming Pool, _ operations: UInt64) -> UInt64 {
    var refused: UInt64 = 0
    while refused < operations {
        guard let block = pool.lease() else { return 0 }
        switch channel.submit(.fill(pattern: 0x5a5a), block) {
        case .queued(_): continue
        case .refused(_, let block):
            refused &+= 1
            pool.giveBack(block)
        }
    }
    return refused
}

/// A copy between two leased blocks.
@inline(never)
func hotChannelCopy(_ channel: inout Channel<RingEngine, Pair<Block, Block>>, _ pool: consuming Pool, _ operations: UInt64)
    -> UInt64
{
    var sum: UInt64 = 0
    while sum < operations {
        guard let source = pool.lease(), let destination = pool.lease() else { return 0 }
        guard (try? channel.submit(.copy(), Pair(source, destination)).get()) != nil else { return 0 }
        channel.issuePending()
        if let finished = channel.next() {
            sum = finished.cookie.rawValue
            giveBack(finished.takeCargo(), to: &pool)
        }
    }
    return sum
}

/// A real copy of 64 bytes: the inline CPU engine.
@inline(never)
func hotCPUCopy(
    _ channel: inout Channel<CPUEngine, Pair<Block, Block>>, _ pool: consuming Pool, _ operations: UInt64
) -> UInt64 {
    var sum: UInt64 = 0
    while sum < operations {
        guard let source = pool.lease(), let destination = pool.lease() else { return 0 }
        guard (try? channel.submit(.copy(count: 64), Pair(source, destination)).get()) != nil else { return 0 }
        channel.issuePending()
        if let finished = channel.next() {
            sum = finished.cookie.rawValue
            giveBack(finished.takeCargo(), to: &pool)
        }
    }
    return sum
}

@inline(__always)
private func giveBack(_ pair: consuming Pair<Block, Block>, to pool: inout Pool) {
    pool.giveBack(pair.first)
    pool.giveBack(pair.second)
}

/// The same operation through an engine whose type is erased.
@inline(never)
func hotAnyEngine(_ channel: inout Channel<AnyEngine, Block>, _ pool: consuming Pool, _ operations: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    while sum < operations {
        guard let block = pool.lease() else { return 0 }
        switch channel.submit(.fill(pattern: 0x5a5a), block) {
        case .queued(_): break
        case .refused(_, _): return 0
        }
        channel.issuePending()
        if let finished = channel.next() {
            sum = finished.cookie.rawValue
            pool.giveBack(finished.takeCargo())
        }
    }
    return sum
}

/// An `await` on an operation that has already finished.
@inline(never)
func hotAwait(
    _ channel: inout Channel<RingEngine, Block>, _ pool: consuming Pool, _ operations: UInt64
) async throws(DMAError) -> UInt64 {
    var sum: UInt64 = 0
    while sum < operations {
        guard let block = pool.lease() else { return 0 }
        switch channel.submit(.fill(pattern: 0x5a5a), block) {
        case .queued(let cookie):
            channel.issuePending()
            let finished = try await channel.finished(cookie)
            sum = finished.cookie.rawValue
            pool.giveBack(finished.takeCargo())
        case .refused: return 0
        }
    }
    return sum
}

func run(_ variant: String, _ operations: UInt64) async throws(DMAError) -> UInt64? {
    let domain = Domain(name: "counted")
    let memory = try Buffer(count: Int(depth) * 2 * 4096).mapped(for: domain, direction: .bidirectional)
    let pool = try Pool(memory, blockSize: 4096)
    switch variant {
    case "c": return counted_ring(operations)
    case "swift": return bareRing(operations)
    case "channel":
        var channel = try Channel(RingEngine(entries: Int(depth)), domain: domain, of: Block.self)
        return hotChannel(&channel, pool, operations)
    case "channel-drop":
        var channel = try Channel(RingEngine(entries: Int(depth)), domain: domain, of: Block.self)
        return hotChannelDrop(&channel, pool, operations)
    case "unordered", "unordered-deep":
        let entries = variant == "unordered" ? Int(depth) : 32_768
        let memory = try Buffer(count: entries * 64).mapped(for: domain, direction: .bidirectional)
        let blocks = try Pool(memory, blockSize: 64)
        var channel = try Channel(UnorderedEngine(entries: entries), domain: domain, of: Block.self)
        return hotUnordered(&channel, blocks, operations)
    case "refused":
        var channel = try Channel(RingEngine(entries: Int(depth)), domain: domain, of: Block.self)
        return hotRefused(&channel, pool, operations)
    case "channel-copy":
        var channel = try Channel(RingEngine(entries: Int(depth)), domain: domain, of: Pair<Block, Block>.self)
        return hotChannelCopy(&channel, pool, operations)
    case "cpu-copy":
        // Selecting the best ones measures time, which takes another number of instructions in each run.
        let configuration = CPUConfiguration(kernels: .portable)
        var channel = try Channel(CPUEngine(configuration), domain: domain, of: Pair<Block, Block>.self)
        return hotCPUCopy(&channel, pool, operations)
    case "any":
        var channel = try Channel(AnyEngine(RingEngine(entries: Int(depth))), domain: domain, of: Block.self)
        return hotAnyEngine(&channel, pool, operations)
    case "await":
        var channel = try Channel(RingEngine(entries: Int(depth)), domain: domain, of: Block.self)
        return try await hotAwait(&channel, pool, operations)
    case "uring", "uring-fixed":
        // Pinned, as fio's ring is; with registered memory, or without.
        let registrar = IOUringRegistrar()
        let home = try Domain(name: "counted", translation: .announced(registrar))
        let memory = try Buffer(count: Int(depth) * 4096, alignment: 4096).mapped(for: home, direction: .fromDevice)
        var configuration = IOUringConfiguration(depth: Int(depth), path: .ring)
        configuration.threading = .pinnedToThread
        if variant == "uring-fixed" {
            configuration.registrar = registrar
            configuration.buffers = .always
        }
        var engine = try IOUringEngine(configuration)
        _ = try engine.attach(PeripheralFile(memoryFile()))
        return hotIOUring(&engine, memory.ranges[0].start.rawValue, operations)
    case "uring-channel":
        var configuration = IOUringConfiguration(depth: Int(depth), path: .ring)
        configuration.threading = .pinnedToThread
        var channel = try Channel(try IOUringEngine(configuration), domain: domain, of: Block.self)
        _ = try channel.attach(PeripheralFile(memoryFile()))
        return hotIOUringChannel(&channel, pool, operations)
    case "suspend": return runSuspending(operations, serving: true)
    case "suspend-each": return runSuspending(operations, serving: false)
    default:
        if let sum = try runMappings(variant, operations) { return sum }
        return try runLists(variant, operations) ?? runCounterexample(variant, operations)
    }
}

let variants =
    "c|swift|channel|channel-drop|unordered|unordered-deep|refused|channel-copy|cpu-copy|any|await|suspend|suspend-each|uring|uring-fixed|uring-channel|counter-retain"
    + "|counter-allocate|counter-lock|map|map-translated|map-many|map-many-translated|map-list256|map-list256-translated|map-sanitized|xor2|pq4|sg4x4|peripheral4|xor2-kernel|pq4-kernel|sg4x4-kernel|peripheral4-kernel"
let arguments = CommandLine.arguments
guard arguments.count == 3, let operations = UInt64(arguments[2]), let sum = try await run(arguments[1], operations) else {
    print("usage: dma-counted \(variants) OPERATIONS")
    throw DMAError(.badConfiguration)
}
print(sum)

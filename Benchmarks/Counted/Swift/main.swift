// SPDX-License-Identifier: Apache-2.0
// Runs one variant of submit + device step + poll for a number of operations. Under a tool that counts instructions, the difference
// between two numbers is the cost of one operation; `Benchmarks/counted` does that.

import CountedRing
import DMACore
import ScriptedEngines

struct TestBlock: ~Copyable, Cargo {
    let start: UInt64
    var regionCount: Int { 1 }
    func region(at index: Int) -> Region {
        index == 0 ? unsafe Region(unsafeStart: IOVA(start), count: 4096, domain: DomainID(rawValue: 1), access: [.read, .write]) : .none
    }
    mutating func quarantine() {}
}

@inline(never)
func swiftRing(_ n: UInt64) -> UInt64 {
    var e = RingEngine(entries: 32)
    var sum: UInt64 = 0
    for i in 0..<n {
        let d = Descriptor(kind: .copy, source: 0x1000 &+ i, destination: 0x8000 &+ i, count: 64)
        _ = e.enqueue(d, tag: UInt32(truncatingIfNeeded: i))
        e.issuePending()
        if let c = e.next() { sum &+= UInt64(c.tag) }
    }
    return sum
}

@inline(never)
func channelOp(_ c: inout Channel<RingEngine, TestBlock>, _ n: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for i in 0..<n {
        switch c.submit(.copy(from: 0, to: 0, destinationOffset: 2048, count: 2048), TestBlock(start: 0x10000 &+ i &* 4096)) {
        case .queued: break
        case .refused: return 0
        }
        c.issuePending()
        if let f = c.next() { sum &+= f.cookie.rawValue }
    }
    return sum
}

@inline(never)
func pairOp(_ c: inout Channel<RingEngine, Pair<TestBlock, TestBlock>>, _ n: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for i in 0..<n {
        switch c.submit(.copy(), Pair(TestBlock(start: 0x10000 &+ i &* 4096),TestBlock(start: 0x100000000 &+ i &* 4096))) {
        case .queued: break
        case .refused: return 0
        }
        c.issuePending()
        if let f = c.next() { sum &+= f.cookie.rawValue }
    }
    return sum
}

@inline(never)
func anyOp(_ c: inout Channel<AnyEngine, TestBlock>, _ n: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for i in 0..<n {
        switch c.submit(.copy(from: 0, to: 0, destinationOffset: 2048, count: 2048), TestBlock(start: 0x10000 &+ i &* 4096)) {
        case .queued: break
        case .refused: return 0
        }
        c.issuePending()
        if let f = c.next() { sum &+= f.cookie.rawValue }
    }
    return sum
}
@inline(never)
func awaitOp(_ c: inout Channel<RingEngine, TestBlock>, _ n: UInt64) async throws -> UInt64 {
    var sum: UInt64 = 0
    for i in 0..<n {
        switch c.submit(.copy(from: 0, to: 0, destinationOffset: 2048, count: 2048), TestBlock(start: 0x10000 &+ i &* 4096)) {
        case .queued(let k):
          c.issuePending()
          sum &+= try await c.finished(k).cookie.rawValue
        case .refused: return 0
        }
    }
    return sum
}

let arguments = CommandLine.arguments
let n = arguments.count > 2 ? UInt64(arguments[2]) ?? 1000 : 1000
switch arguments.count > 1 ? arguments[1] : "" {
case "swift": print(swiftRing(n))
case "c": print(counted_ring(n))
case "channel":
    var c = try Channel<RingEngine, TestBlock>(RingEngine(entries: 32), domain: DomainID(rawValue: 1))
    print(channelOp(&c, n))
case "pair":
    var c = try Channel<RingEngine, Pair<TestBlock, TestBlock>>(RingEngine(entries: 32), domain: DomainID(rawValue: 1))
    print(pairOp(&c, n))
case "any":
    var c = try Channel<AnyEngine, TestBlock>(AnyEngine(RingEngine(entries: 32)), domain: DomainID(rawValue: 1))
    print(anyOp(&c, n))
case "await":
    var c = try Channel<RingEngine, TestBlock>(RingEngine(entries: 32), domain: DomainID(rawValue: 1))
    print(try await awaitOp(&c, n))
default: print("?")
}

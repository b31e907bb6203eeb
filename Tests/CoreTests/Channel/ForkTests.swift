// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit
import ForkedChild
import ScriptedEngines
import Testing

/// The state of a parent's channel in a child process. In a global, because the code there is a C function.
private final class Inheritance: @unchecked Sendable {
    var channel: Channel<RingEngine, MappedBuffer>?
    var domain: Domain?
    var address: UInt = 0
    var buffer: Buffer?
    var mapped: MappedBuffer?
}
private let left = Inheritance()

@Suite("Channels after fork", .serialized)
struct ForkTests {
    @Test("a child process can neither submit to, issue, take from, wait for nor stop its parent's channel")
    func useInChild() throws {
        let domain = Domain(name: "fork")
        left.channel = try Channel(RingEngine(entries: 8), domain: domain, of: MappedBuffer.self)
        defer { left.channel = nil }
        _ = try left.channel!.submit(.fill(pattern: 1), try Buffer(count: 64).mapped(for: domain, direction: .fromDevice)).get()
        left.mapped = try Buffer(count: 64).mapped(for: domain, direction: .fromDevice)
        let found = forked_child_run {
            // A bit for each failure; 0 for none.
            var wrong: Int32 = 0
            switch left.channel!.submit(.fill(pattern: 1), left.mapped.take()!) {
            case .refused(let error, _): if error.code != .usedAfterFork { wrong |= 1 }
            case .queued: wrong |= 2
            }
            left.channel!.issuePending()
            if !left.channel!.all(3).isEmpty { wrong |= 4 }
            func refuses(_ body: () throws(DMAError) -> Void) -> Bool {
                do throws(DMAError) { try body() } catch { return error.code == .usedAfterFork }
                return false
            }
            if !refuses({ () throws(DMAError) in _ = try left.channel!.wait(until: .never) }) { wrong |= 8 }
            if !refuses({ () throws(DMAError) in try left.channel!.synchronize() }) { wrong |= 16 }
            if !refuses({ () throws(DMAError) in try left.channel!.configure(EngineConfiguration()) }) { wrong |= 32 }
            // The channel's end in the child must not reach the parent's device either.
            left.channel = nil
            return wrong
        }
        #expect(found == 0, "wrong in the child: \(found)")
        // The parent's transaction is unchanged: not issued, then completed.
        #expect(left.channel!.all(3).isEmpty)
        left.channel!.issuePending()
        #expect(left.channel!.soonStatus() == .complete)
    }

    @Test("a child process has none of the memory that a device may write, and cannot map for its parent's domain")
    func memoryInChild() throws {
        left.domain = Domain(name: "fork")
        defer { left.domain = nil }
        var buffer = try Buffer(count: 8192)
        left.address = unsafe buffer.withUnsafeMutableBytes { UInt(bitPattern: $0.baseAddress) }
        #expect(forked_child_is_mapped(left.address))
        let found = forked_child_run {
            var wrong: Int32 = 0
            if forked_child_is_mapped(left.address) { wrong |= 1 }
            do throws(DMAError) {
                _ = try Buffer(count: 4096).mapped(for: left.domain!, direction: .toDevice)
                wrong |= 2
            } catch { if error.code != .usedAfterFork { wrong |= 4 } }
            // Objects made in the child are usable there.
            do throws(DMAError) {
                let own = try Buffer(count: 4096).mapped(for: Domain(name: "child"), direction: .toDevice)
                _ = try own.unmap()
            } catch { wrong |= 8 }
            return wrong
        }
        #expect(found == 0, "wrong in the child: \(found)")
        #expect(buffer.count == 8192)
    }

    @Test("a buffer that ends in a child process does not unmap other memory at its address")
    func endInChild() throws {
        left.buffer = try Buffer(count: 4096)
        defer { left.buffer = nil }
        let found = forked_child_run {
            left.buffer = nil
            return 0
        }
        #expect(found == 0)
    }
}

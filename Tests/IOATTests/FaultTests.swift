// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMADeviceSide
import DMAEngineKit
import DMAIOATEngine
import DMAIOATModel
import DMAInProcessAccess
import DMATestSupport
import Foundation
import Testing

/// Each thing that a device may do wrong: an error or a right copy, a wait with an end, no foreign byte touched, and a channel that works afterwards.
@Suite("I/OAT: a device that does wrong", .serialized)
struct FaultTests {
    private enum Outcome {
        case right
        case failed(IOATFailure.Reason, TransactionStatus)
        case gone, wrongBytes, anyBytes
    }

    private func expected(_ fault: IOATFault) -> Outcome {
        switch fault {
        case .wrongStatus: .failed(.badStatus, .failed)
        case .spuriousHalt: .failed(.halted, .failed)
        case .lateInterrupt, .lostInterrupt, .duplicateInterrupt, .delayedStop: .right
        // Registers that nothing reads meanwhile: the completion comes by memory.
        case .allOnesForAWhile: .right
        case .stuck: .failed(.timeout, .failed)
        case .wildDestination: .failed(.halted, .writeFailed)
        case .wildSource: .failed(.halted, .readFailed)
        case .garbageCompletion: .failed(.badCompletion, .failed)
        case .noCompletion, .oldCompletion: .failed(.noCompletion, .failed)
        case .allOnes: .failed(.noAnswer, .failed)
        case .unplugged: .gone
        // Nothing of the device's says so: only the bytes do.
        case .oneByteShort: .wrongBytes
        // The bytes come when they come.
        case .earlyCompletion: .anyBytes
        }
    }

    private static func configuration(_ patience: Duration) -> IOATConfiguration {
        var configuration = Rig.configuration
        configuration.patience = patience
        return configuration
    }

    /// What only the clock finds is waited for; everything else is found before, also on a machine that is busy.
    private static func configuration(_ fault: IOATFault) -> IOATConfiguration {
        switch fault {
        case .stuck: configuration(.milliseconds(200))
        case .noCompletion, .oldCompletion, .allOnes, .unplugged: configuration(.seconds(1))
        default: configuration(.seconds(60))
        }
    }

    /// The descriptor in which the device does wrong: each of three in the long form.
    private static let places = ProcessInfo.processInfo.environment["DMA_TEST_LONG"] == nil ? [1] : [0, 1, 2]

    @Test("every fault, in each descriptor of a copy, by steps and by interrupts", arguments: IOATFault.allCases, places)
    func faults(_ fault: IOATFault, _ descriptors: Int) async throws {
        for pace in [InProcessDevice.Pace.stepped, .threaded] {
            let rig = try Rig(IOATModel(transferBits: 12), pace: pace)
            let engine = try rig.engine(Self.configuration(fault))
            let domain = engine.domain
            var channel = try IOATChannelUnderTest(engine, domain: domain)
            var random = Seeded("ioat faults")
            // A page that belongs to no transfer.
            let guardPage = random.bytes(4096)
            var guarded = try Buffer(count: 4096, for: domain)
            guarded.fill(guardPage)
            let kept = try guarded.mapped(for: domain, direction: .toDevice)
            // Three descriptors; the interrupt is that of the last.
            rig.model.set(fault, after: descriptors)
            let copied: Ended
            do {
                copied = try await Self.copy(&channel, 10_000, &random, domain, awaits: pace == .threaded)
            } catch let error as DMAError {
                guard case .gone = expected(fault) else { throw error }
                #expect(error.code == .deviceGone)
                _ = consume channel
                continue
            }
            let failure = channel.withEngine { $0.lastFailure }
            switch expected(fault) {
            case .right: #expect(copied.isRight, "\(copied), \(String(describing: failure))")
            case .failed(let reason, let status):
                // A completion that is missing in the middle is made up for by the next.
                let mayBeMadeUpFor = [.noCompletion, .oldCompletion, .garbageCompletion].contains(fault) && descriptors < 2
                if mayBeMadeUpFor, copied.isRight {
                    #expect(failure == nil)
                } else {
                    #expect(copied.status == status && copied.residue == 10_000, "\(copied)")
                    #expect(failure?.reason == reason, "\(String(describing: failure))")
                    #expect(
                        copied.deviceStatus
                            == (failure.map { $0.errors == 0 || $0.errors == .max ? $0.reason.rawValue : $0.errors }))
                }
            case .gone: Issue.record("not gone: \(copied)")
            case .wrongBytes: #expect(copied.status == .complete && copied.difference?.hasPrefix("1 bytes differ") == true)
            case .anyBytes: #expect(copied.status == .complete)
            }
            rig.model.set(nil)
            for size in [1, 4096, 9000] {
                let next = try await Self.copy(&channel, size, &random, domain, awaits: pace == .threaded)
                #expect(next.isRight, "\(size) bytes after \(fault): \(next)")
            }
            #expect(rig.device.function.violations == [])
            #expect(channel.faults.total == 0)
            let page = try kept.unmap()
            #expect(page.contents == guardPage)
        }
    }

    private static func copy(
        _ channel: inout IOATChannelUnderTest, _ count: Int, _ random: inout Seeded, _ domain: Domain, awaits: Bool
    ) async throws -> Ended {
        guard awaits else { return try channel.copy(count, &random, for: domain) }
        var arena = try Arena([count, count], &random, for: domain)
        arena.model.replaceSubrange(arena.cuts[1], with: arena.model[arena.cuts[0]])
        let cookie = try channel.submit(.copy(flags: .interrupt), arena).get()
        channel.issuePending()
        let finished = try await channel.finished(cookie)
        let (status, value, residue, word) = (finished.status, finished.value, finished.residue, finished.deviceStatus)
        if status == .deviceGone { throw DMAError(.deviceGone) }
        let difference = try finished.takeCargo().difference()
        return Ended(status: status, value: value, residue: residue, deviceStatus: word, difference: difference)
    }

    @Test("the message of a completion that does not come has both registers")
    func message() throws {
        let rig = try Rig()
        let engine = try rig.engine(Self.configuration(.milliseconds(200)))
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat message")
        rig.model.set(.noCompletion)
        let ended = try channel.copy(500, &random, for: domain)
        #expect(ended.status == .failed && ended.deviceStatus == IOATFailure.Reason.noCompletion.rawValue)
        // The bytes are there.
        #expect(ended.difference == nil)
        let failure = try #require(channel.withEngine { $0.lastFailure })
        #expect(failure.status & 7 == 1 && failure.errors == 0)
        #expect(
            failure.description
                == "data arrived, no completion written; CHANSTS is 0x\(String(failure.status, radix: 16)), CHANERR is 0x0")
        rig.model.set(.wildDestination)
        let wild = try channel.copy(500, &random, for: domain)
        #expect(wild.status == .writeFailed && wild.deviceStatus == 0x200)
        let text = channel.withEngine { $0.lastFailure?.description }
        #expect(text?.hasSuffix("CHANERR is 0x200 (data write)") == true, "\(String(describing: text))")
    }

    @Test("transactions behind one that fails run, and none runs twice")
    func behind() throws {
        for fault in [IOATFault.stuck, .wildDestination, .spuriousHalt] {
            let rig = try Rig(IOATModel(burst: 8))
            let engine = try rig.engine(Self.configuration(.milliseconds(200)))
            let domain = engine.domain
            var channel = try IOATChannelUnderTest(engine, domain: domain)
            var random = Seeded("ioat behind")
            let before = rig.model.descriptors
            rig.model.set(fault, after: 2)
            for _ in 0..<5 { try channel.submitCopy(300, &random, for: domain) }
            channel.issuePending()
            for number in 0..<5 {
                let ended = try channel.end()
                if number == 2 {
                    #expect(ended.status != .complete, "\(fault)")
                } else {
                    #expect(ended.isRight, "\(fault), \(number)")
                }
            }
            #expect(rig.model.descriptors - before == 5)
            #expect(channel.figure("failures") == 1 && channel.figure("channelResets") == 1)
        }
    }

    @Test("what was completed and not reported as such fails, and is not repeated")
    func notRepeated() throws {
        let rig = try Rig(IOATModel(burst: 8))
        let engine = try rig.engine(Self.configuration(.milliseconds(200)))
        let domain = engine.domain
        var channel = try IOATChannelUnderTest(engine, domain: domain)
        var random = Seeded("ioat not repeated")
        let before = rig.model.descriptors
        rig.model.set(.noCompletion, times: 3)
        for _ in 0..<3 { try channel.submitCopy(300, &random, for: domain) }
        channel.issuePending()
        for _ in 0..<3 {
            let ended = try channel.end()
            #expect(ended.status == .failed && ended.difference == nil, "\(ended)")
        }
        #expect(rig.model.descriptors - before == 3)
        check(try channel.copy(300, &random, for: domain).isRight)
    }

    @Test(
        "a descriptor that does not end is terminated: the memory comes back when the channel is proved to stand",
        arguments: [1, 40, 400])
    func delayedStop(_ steps: Int) async throws {
        for pace in [InProcessDevice.Pace.stepped, .threaded] {
            let rig = try Rig(pace: pace)
            let engine = try rig.engine()
            let domain = engine.domain
            var channel = try IOATChannelUnderTest(engine, domain: domain)
            var random = Seeded("ioat delayed")
            rig.model.set(.delayedStop, steps: steps)
            try channel.submitCopy(4096, &random, for: domain)
            channel.issuePending()
            channel.terminateAsync()
            try channel.synchronize(by: .after(milliseconds: 20_000))
            let reset = rig.model.descriptors
            var ended = 0
            while channel.next() != nil { ended += 1 }
            #expect(ended == 1)
            // Nothing comes late: the channel stands.
            for _ in 0..<500 { _ = rig.model.step() }
            #expect(rig.model.descriptors == reset)
            for _ in 0..<3 {
                let next = try channel.copy(4096, &random, for: domain)
                #expect(next.isRight, "\(next)")
            }
            #expect(channel.faults.total == 0)
        }
    }

    @Test("a stuck channel is terminated by its reset; one whose device does not answer by that of the device")
    func terminated() throws {
        for fault in [IOATFault.stuck, .allOnes] {
            let rig = try Rig()
            var configuration = Rig.configuration
            configuration.patience = .seconds(60)
            let engine = try rig.engine(configuration)
            let domain = engine.domain
            var channel = try IOATChannelUnderTest(engine, domain: domain)
            var random = Seeded("ioat terminated")
            rig.model.set(fault)
            try channel.submitCopy(4096, &random, for: domain)
            channel.issuePending()
            for _ in 0..<20 { _ = channel.next() == nil }
            channel.terminateAsync()
            try channel.synchronize(by: .after(milliseconds: 1000))
            while channel.next() != nil {}
            let next = try channel.copy(4096, &random, for: domain)
            #expect(next.isRight, "\(next)")
            #expect(channel.figure("deviceResets") == (fault == .allOnes ? 1 : 0))
        }
    }

    @Test("a channel that does not start is told when it is opened", arguments: [false, true])
    func neverStarts(_ removed: Bool) throws {
        let rig = try Rig()
        var configuration = Rig.configuration
        configuration.restartLimit = .milliseconds(200)
        let device = try IOATDevice(opening: rig.device, configuration)
        if removed { rig.device.function.remove() } else { rig.device.function.answerAllOnes(.max) }
        let error = #expect(throws: AccessError.self) { _ = try IOATEngine(device).capabilities }
        #expect(error?.code == (removed ? .gone : .notReady))
        if !removed { #expect(error?.detail.contains("CHANSTS is 0xffffffffffffffff") == true) }
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMADeviceSide
import DMAEDUEngine
import DMAEDUModel
import DMAEDURig
import DMAInProcessAccess
import DMATestSupport
import Testing

/// Each thing that a device may do wrong: an error or a right copy, a wait with an end, no foreign byte touched, and a channel that works afterwards.
@Suite("EDU: a device that does wrong")
struct FaultTests {
    private enum Outcome {
        case right
        case failed(EDUFailure)
        case gone, wrongBytes, anyBytes
    }

    private func expected(_ fault: EDUFault) -> Outcome {
        switch fault {
        case .wrongStatus: .failed(.badStatus)
        case .lateInterrupt, .lostInterrupt, .duplicateInterrupt: .right
        case .stuck: .failed(.timeout)
        case .wildAddress: .failed(.aborted)
        case .allOnesForAWhile, .allOnes: .failed(.noAnswer)
        case .unplugged: .gone
        // Nothing of the device's says so: only the bytes do.
        case .oneByteShort: .wrongBytes
        // The bytes come when they come.
        case .earlyStatus: .anyBytes
        }
    }

    @Test("every fault, in each half of a copy, by steps and by interrupts", arguments: EDUFault.allCases, [0, 1, 2, 3])
    func faults(_ fault: EDUFault, _ transfers: Int) async throws {
        for pace in [InProcessDevice.Pace.stepped, .threaded] {
            let rig = try Rig(pace: pace)
            let engine = try rig.engine()
            let domain = engine.domain
            var channel = try EDUChannel(engine, domain: domain)
            var random = Seeded("faults")
            // A page that belongs to no transfer.
            let guardPage = random.bytes(4096)
            var guarded = try Buffer(count: 4096, for: domain)
            guarded.fill(guardPage)
            let kept = try guarded.mapped(for: domain, direction: .toDevice)
            rig.model.set(fault, after: transfers)
            let copied = try await channel.copy(6000, &random, for: domain, limit: 20_000)
            #expect(copied.source == copied.image)
            switch expected(fault) {
            case .right: #expect(copied.isRight, "\(String(describing: copied.error))")
            case .failed(let failure):
                #expect(copied.error?.code == .engineFailed)
                #expect(copied.failure == failure)
            case .gone:
                #expect(copied.error?.code == .deviceGone)
                let error = await #expect(throws: DMAError.self) { _ = try await Self.again(&channel, &random, domain) }
                #expect(error?.code == .deviceGone)
            case .wrongBytes: #expect(copied.error == nil && !copied.isRight)
            case .anyBytes: #expect(copied.error == nil)
            }
            if case .gone = expected(fault) {
            } else {
                rig.model.set(nil)
                for size in [1, 4096, 9000] {
                    let next = try await channel.copy(size, &random, for: domain)
                    #expect(next.isRight, "\(size) bytes after \(fault): \(String(describing: next.error))")
                }
            }
            #expect(rig.device.function.violations == [])
            let page = try kept.unmap()
            #expect(page.contents == guardPage)
        }
    }

    private static func again(_ channel: inout EDUChannel, _ random: inout Seeded, _ domain: Domain) async throws {
        let copied = try await channel.copy(10, &random, for: domain)
        if let error = copied.error { throw error }
    }

    @Test("an interrupt that gets lost is made up for, and counted")
    func lost() async throws {
        let rig = try Rig(pace: .threaded)
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try EDUChannel(engine, domain: domain)
        var random = Seeded("lost")
        rig.model.set(.lostInterrupt, times: 100)
        let copied = try await channel.copy(8192, &random, for: domain)
        #expect(copied.isRight)
        let figures = channel.withEngine { $0.figures }
        #expect(figures.first { $0.name == "lostInterrupts" }?.value ?? 0 > 0)
        #expect(rig.device.function.interrupts == 0)
    }

    @Test("a transaction behind one that fails runs")
    func behind() async throws {
        let rig = try Rig()
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try Channel(engine, domain: domain, of: Pair<MappedBuffer, MappedBuffer>.self)
        rig.model.set(.stuck, after: 1)
        for number in 0..<3 {
            var source = try Buffer(count: 64, for: domain)
            source.fill([UInt8](repeating: UInt8(number + 1), count: 64))
            let from = try source.mapped(for: domain, direction: .toDevice)
            let to = try Buffer(count: 64, for: domain).mapped(for: domain, direction: .fromDevice)
            _ = try channel.submit(.copy(), Pair(from, to)).get()
        }
        channel.issuePending()
        var ends: [TransactionStatus] = []
        let limit = Deadline.after(milliseconds: 20_000)
        while ends.count < 3, Deadline.now < limit {
            guard let finished = channel.next() else { continue }
            let (status, residue) = (finished.status, finished.residue)
            ends.append(status)
            #expect(residue == (status == .complete ? 0 : 64))
            let byte = try finished.cargo.second.withCPUAccess { bytes throws(DMAError) in try bytes.load(as: UInt8.self) }
            #expect(status == .complete ? byte == UInt8(ends.count) : byte == 0)
        }
        #expect(ends == [.failed, .complete, .complete])
    }

    @Test("a stuck transfer is terminated: its memory comes back when the device is proved off, and the channel works again")
    func terminated() async throws {
        let rig = try Rig()
        var configuration = Rig.configuration
        configuration.patience = .seconds(60)
        let engine = try rig.engine(configuration)
        let domain = engine.domain
        var channel = try EDUChannel(engine, domain: domain)
        var random = Seeded("terminated")
        rig.model.set(.stuck)
        let began = Deadline.now
        let copied = try await channel.copy(4096, &random, for: domain, limit: 200)
        #expect(copied.error?.code == .deadlinePassed)
        #expect(copied.isUntouched)
        #expect(began.nanoseconds + 30_000_000_000 > Deadline.now.nanoseconds)
        #expect(!rig.device.function.isBusMaster)
        let next = try await channel.copy(4096, &random, for: domain)
        #expect(next.isRight, "\(String(describing: next.error))")
    }

    @Test("a device that cannot be brought back is gone")
    func neverBack() async throws {
        let rig = try Rig()
        let engine = try rig.engine()
        let domain = engine.domain
        var channel = try EDUChannel(engine, domain: domain)
        var random = Seeded("never back")
        rig.model.set(.stuck)
        // Its configuration space goes with it.
        Task.detached { [function = rig.device.function] in
            try? await Task.sleep(nanoseconds: 50_000_000)
            function.answerAllOnes(.max)
        }
        // Nothing proves that it has stopped: the buffers stay mapped, and refuse every access.
        let error = await #expect(throws: DMAError.self) { _ = try await Self.again(&channel, &random, domain) }
        #expect(error?.code == .quarantined)
        let state = channel.channelState
        #expect(state == .gone || state == .terminating)
        _ = consume channel
        #expect(Quarantine.entries.contains { $0.domain == domain.id })
        // The test knows what no driver can: the model is stuck.
        _ = try unsafe Quarantine.unsafeReleaseAll(of: domain.id)
    }
}

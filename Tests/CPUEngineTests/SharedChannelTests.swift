// SPDX-License-Identifier: Apache-2.0

import DMACPUEngine
import DMACore
import DMAEngineKit
import Foundation
import Testing

/// Channels that tasks share.
@Suite("Shared channels", .timeLimit(.minutes(15)))
struct SharedChannelTests {
    let domain = Domain(name: "shared")
    typealias Two = Pair<MappedBuffer, MappedBuffer>

    private func channel(_ setup: Setup, depth: Int = 4) throws(DMAError) -> SharedChannel<Loan> {
        var configuration = setup.configuration
        configuration.depth = depth
        return SharedChannel(try Channel(AnyEngine(try CPUEngine(configuration)), domain: domain, of: Loan.self))
    }

    private func held(_ device: HeldEngine.Device, depth: Int = 4) throws(DMAError) -> SharedChannel<Loan> {
        SharedChannel(try Channel(AnyEngine(HeldEngine(device, depth: depth)), domain: domain, of: Loan.self))
    }

    @Test("40 of 40 concurrent copies on a channel of depth 4, each with its own bytes", arguments: Setup.allCases)
    func concurrent(setup: Setup) async throws {
        let shared = try channel(setup)
        let right = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<40 {
                group.addTask { [domain] in
                    do throws(DMAError) {
                        let source = try domain.buffer(100_000, .toDevice, filledWith: UInt8(number + 1))
                        var target = try domain.buffer(100_000, .fromDevice)
                        try await shared.copy(source, to: &target, by: .never)
                        return try target.holds(UInt8(number + 1))
                    } catch {
                        Issue.record("\(error)")
                        return false
                    }
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(right == 40)
        #expect(domain.statistics.mappings == 0)
    }

    @Test("40 of 40 transactions that own their cargo: it is returned with the result", arguments: Setup.allCases)
    func owned(setup: Setup) async throws {
        var configuration = setup.configuration
        configuration.depth = 4
        let shared = SharedChannel(try Channel(AnyEngine(try CPUEngine(configuration)), domain: domain, of: Two.self))
        let right = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<40 {
                group.addTask { [domain] in
                    do throws(DMAError) {
                        let cargo = Pair(
                            try domain.buffer(70_000, .toDevice, filledWith: UInt8(number + 1)),
                            try domain.buffer(70_000, .fromDevice))
                        let finished = try await shared.run(.copy(), cargo, by: .never).get()
                        return try finished.cargo.second.holds(UInt8(number + 1))
                    } catch {
                        Issue.record("\(error)")
                        return false
                    }
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(right == 40)
    }

    @Test("order and backpressure: calls are submitted in their order, never more than the channel's depth")
    func order() async throws {
        let device = HeldEngine.Device()
        let shared = try held(device, depth: 4)
        var tasks: [Task<Bool, Never>] = []
        for number in 0..<30 {
            tasks.append(
                Task { [domain] in
                    do throws(DMAError) {
                        // The length distinguishes the calls.
                        var target = try domain.buffer(1000 + number, .fromDevice)
                        try await shared.fill(&target, pattern: 0, by: .never)
                        return true
                    } catch { return false }
                })
            // The next call comes after this one has its place.
            let position = number + 1
            for _ in 0..<100_000 where await shared.waitingCalls < position { try? await Task.sleep(nanoseconds: 200_000) }
            #expect(await shared.waitingCalls == position)
        }
        #expect(device.with { $0.log.count } == 4)
        for _ in 0..<100_000 {
            if device.with({ $0.log.count == 30 && $0.issued.isEmpty && $0.queued.isEmpty }) { break }
            device.complete(1)
            try? await Task.sleep(nanoseconds: 1_000_000)
        }
        for task in tasks { #expect(await task.value) }
        let (log, most) = device.with { ($0.log, $0.most) }
        #expect(log == (0..<30).map { UInt64(1000 + $0) })
        #expect(most <= 4)
        #expect(await shared.waitingCalls == 0)
    }

    @Test("cancelling drops a call that waits for a place, and waits for one that runs; the channel is not terminated")
    func cancel() async throws {
        let device = HeldEngine.Device()
        let shared = try held(device, depth: 1)
        func call(_ ended: Flag) -> Task<DMAError.Code?, Never> {
            Task { [domain] in
                defer { ended.raise() }
                do throws(DMAError) {
                    var target = try domain.buffer(4096, .fromDevice)
                    do throws(DMAError) { try await shared.fill(&target, pattern: 0, by: .never) } catch {
                        // The buffer is returned in any case.
                        _ = try target.unmap()
                        return error.code
                    }
                    _ = try target.unmap()
                    return nil
                } catch { return error.code }
            }
        }
        let ended = (Flag(), Flag(), Flag())
        let running = call(ended.0)
        #expect(await device.waitUntilIssued(1))
        let waiting = call(ended.1)
        for _ in 0..<100_000 where await shared.waitingCalls < 2 { try? await Task.sleep(nanoseconds: 200_000) }
        let last = call(ended.2)
        for _ in 0..<100_000 where await shared.waitingCalls < 3 { try? await Task.sleep(nanoseconds: 200_000) }
        running.cancel()
        waiting.cancel()
        #expect(await waiting.value == .cancelled)
        try? await Task.sleep(nanoseconds: 30_000_000)
        #expect(!ended.0.isRaised, "a call ended while the device had its memory")
        device.complete(1)
        #expect(await running.value == nil)
        #expect(await device.waitUntilIssued(1))
        device.complete(1)
        #expect(await last.value == nil)
        let (terminations, submitted) = device.with { ($0.terminations, $0.log.count) }
        #expect(terminations == 0 && submitted == 2)
        #expect(domain.statistics.mappings == 0)
    }

    @Test("a completion long after its call gave up is seen, and the client gets the buffer, without another call")
    func abandoned() async throws {
        let device = HeldEngine.Device()
        let shared = try held(device, depth: 1)
        var target = try domain.buffer(4096, .fromDevice)
        do throws(DMAError) {
            try await shared.fill(&target, pattern: 0, by: .after(milliseconds: 10))
            Issue.record("filled")
        } catch { #expect(error.code == .deadlinePassed) }
        // The pump has given up by then.
        try await Task.sleep(nanoseconds: 11_000_000_000)
        #expect(target.refusal() == .quarantined)
        device.complete()
        for _ in 0..<100_000 where target.refusal() != nil { try? await Task.sleep(nanoseconds: 1_000_000) }
        #expect(target.refusal() == nil)
        _ = shared.capabilities
    }

    @Test("a call past its deadline ends; its buffer is refused until the device has finished with it")
    func late() async throws {
        let device = HeldEngine.Device()
        let shared = try held(device, depth: 1)
        var target = try domain.buffer(4096, .fromDevice)
        do throws(DMAError) {
            try await shared.fill(&target, pattern: 0, by: .after(milliseconds: 30))
            Issue.record("filled")
        } catch { #expect(error.code == .deadlinePassed) }
        #expect(target.refusal() == .quarantined)
        // One that waits for a place behind it ends at its deadline too.
        var other = try domain.buffer(4096, .fromDevice)
        do throws(DMAError) {
            try await shared.fill(&other, pattern: 0, by: .after(milliseconds: 30))
            Issue.record("filled")
        } catch { #expect(error.code == .deadlinePassed) }
        #expect(other.refusal() == nil)
        device.complete()
        for _ in 0..<100_000 where target.refusal() != nil { try? await Task.sleep(nanoseconds: 1_000_000) }
        #expect(target.refusal() == nil)
        device.with { $0.letsAll = true }
        try await shared.fill(&other, pattern: 0)
        #expect(device.with { $0.terminations } == 0)
    }

    @Test("a device that is gone ends every call, also those that wait for a place")
    func gone() async throws {
        let device = HeldEngine.Device()
        let shared = try held(device, depth: 1)
        let tasks = (0..<3).map { _ in
            Task { [domain] () -> DMAError.Code? in
                do throws(DMAError) {
                    var target = try domain.buffer(4096, .fromDevice)
                    try await shared.fill(&target, pattern: 0, by: .never)
                    return nil
                } catch { return error.code }
            }
        }
        for _ in 0..<100_000 where await shared.waitingCalls < 3 { try? await Task.sleep(nanoseconds: 200_000) }
        device.with { $0.isGone = true }
        for task in tasks { #expect(await task.value == .deviceGone) }
    }

    @Test("terminating ends every submitted call as aborted, and the channel continues")
    func terminate() async throws {
        let device = HeldEngine.Device()
        let shared = try held(device, depth: 2)
        let tasks = (0..<2).map { _ in
            Task { [domain] () -> DMAError.Code? in
                do throws(DMAError) {
                    var target = try domain.buffer(4096, .fromDevice)
                    try await shared.fill(&target, pattern: 0, by: .never)
                    return nil
                } catch { return error.code }
            }
        }
        #expect(await device.waitUntilIssued(2))
        try await shared.terminate()
        for task in tasks { #expect(await task.value == .terminating) }
        device.with { $0.letsAll = true }
        var target = try domain.buffer(4096, .fromDevice)
        try await shared.fill(&target, pattern: 0, by: .never)
    }

    @Test("the channel ends with its last user, and with it its engine, also after a call that gave up")
    func end() async throws {
        let device = HeldEngine.Device()
        weak var left: SharedChannel<Loan>?
        do {
            let shared = try held(device)
            left = shared
            device.with { $0.letsAll = true }
            var target = try domain.buffer(4096, .fromDevice)
            try await shared.fill(&target, pattern: 0, by: .never)
        }
        for _ in 0..<100_000 where left != nil { try? await Task.sleep(nanoseconds: 1_000_000) }
        #expect(left == nil)
    }

    @Test("one copy over four channels, of any length", arguments: [1, 4096, 4097, 1_000_003])
    func spread(count: Int) async throws {
        let channels = try (0..<4).map { _ in try channel(.workers) }
        let source = try domain.buffer(count, .toDevice, filledWith: 0x33)
        var target = try domain.buffer(count + 1, .fromDevice)
        try await SharedChannel.copy(source, to: &target, over: channels)
        #expect(try target.holds(0x33, 0..<count))
        #expect(try target.holds(0, count..<count + 1))
        await #expect(throws: DMAError(.noSuchChannel)) { try await SharedChannel.copy(source, to: &target, over: []) }
    }

    @Test("a cyclic operation and a reusable one are refused")
    func refused() async throws {
        let shared = SharedChannel(
            try Channel(AnyEngine(try CPUEngine(CPUConfiguration(depth: 4))), domain: domain, of: MappedBuffer.self))
        for (operation, code) in [
            (DMACore.Operation.cyclic(period: 1024, direction: .toDevice), DMAError.Code.unsupportedOperation),
            (.fill(pattern: 1, flags: .reuse), .unsupportedFlag),
        ] {
            switch await shared.run(operation, try domain.buffer(4096, .bidirectional)) {
            case .refused(let error, let cargo): #expect(error.code == code && cargo.count == 4096)
            default: Issue.record("\(code) expected")
            }
        }
    }
}

private final class Flag: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false
    func raise() { lock.withLock { value = true } }
    var isRaised: Bool { lock.withLock { value } }
}

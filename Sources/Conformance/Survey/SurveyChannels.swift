// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMACore
import DMAEngineKit
import Synchronization

/// Synchronizes the channels of a survey, so that none verifies while another's transfers are timed, and all use the same
/// clock.
private final class Meeting: Sendable {
    /// The time at which the last one arrived, read before and after the processor time of the whole process. Nanoseconds.
    struct Moment {
        var before: Int64 = 0
        var processor: Int64 = 0
        var after: Int64 = 0
    }

    private let parties: UInt64
    private let arrivals = Atomic<UInt64>(0)
    private let moment = Locked(Moment())
    private let go = InterruptLine()
    private let over = Atomic<Bool>(false)

    init(_ parties: Int) { self.parties = UInt64(parties) }

    /// Suspends until all have arrived.
    @discardableResult
    func meet() async -> Moment {
        let before = arrivals.wrappingAdd(1, ordering: .acquiringAndReleasing).oldValue
        let turn = before / parties
        if (before + 1).isMultiple(of: parties) {
            let came = Deadline.now.nanoseconds
            let processor = cdma_process_nanoseconds()
            moment.withLock { $0 = Moment(before: came, processor: processor, after: Deadline.now.nanoseconds) }
            go.raise()
        }
        while go.count <= turn { await go.wait(after: turn) }
        // The next barrier cannot complete before this task has arrived.
        return moment.withLock { $0 }
    }

    /// Whether the round that has just ended was the last. Set before a barrier and read after it: all read the same value.
    var isOver: Bool { over.load(ordering: .acquiring) }
    func end() { over.store(true, ordering: .releasing) }
}

extension Survey {
    /// Rounds of one operation on all channels at once.
    func measure<E: Engine & ~Copyable & SendableMetatype>(
        _ work: SurveyWork, _ make: @escaping @Sendable () throws(DMAError) -> E, _ provisions: ConformanceProvisions<E>
    ) async -> SurveyTally {
        // There is one storage, and one bench assigns its positions.
        if channels <= 1 || work.reads != nil { return await rounds(work, 0, make, provisions, Meeting(1)) }
        let meeting = Meeting(channels)
        return await withTaskGroup(of: SurveyTally.self) { group in
            for number in 0..<channels {
                group.addTask { await rounds(work, number, make, ConformanceProvisions<E>(), meeting) }
            }
            var sum = SurveyTally()
            for await tally in group { sum.add(tally) }
            return sum
        }
    }

    /// The work of one channel.
    private func rounds<E: Engine & ~Copyable & SendableMetatype>(
        _ work: SurveyWork, _ number: Int, _ make: @escaping @Sendable () throws(DMAError) -> E,
        _ provisions: ConformanceProvisions<E>, _ meeting: Meeting
    ) async -> SurveyTally {
        var tally = SurveyTally()
        // The first channel's data is the same for any number of channels.
        let bench = newBench(make, provisions, part: "survey \(work.name)" + (number == 0 ? "" : " \(number)"))
        do throws(DMAError) {
            var channel = try bench.open()
            let end = Deadline.after(nanoseconds: duration)
            repeat {
                let inFlight = min(depth, bench.capabilities.depth)
                tally.inFlight = inFlight
                // Latency is measured on one channel; the others wait meanwhile, and make their plans after that.
                var plans = number == 0 ? self.plans(inFlight, work, bench) : []
                var failure: DMAError?
                do throws(DMAError) {
                    try await alone(Array(plans.prefix(8)), &channel, bench, &tally)
                } catch {
                    failure = error
                }
                await meeting.meet()
                if plans.isEmpty { plans = self.plans(inFlight, work, bench) }
                await round(plans, number, &channel, bench, &tally, meeting, failure)
                if Deadline.now >= end || !tally.faults.isEmpty || stop.isStopped { meeting.end() }
                await meeting.meet()
            } while !meeting.isOver
        } catch {
            tally.faults.append("unexpected: \(error)")
            // The others meet this one four times in a round, until they read that it was the last.
            meeting.end()
            for _ in 0..<4 { await meeting.meet() }
        }
        return tally
    }

    /// The number in flight in a round; 0 where the survey is stopped, so that the round ends at once.
    private func plans<E: Engine & ~Copyable & SendableMetatype>(
        _ count: Int, _ work: SurveyWork, _ bench: SuiteRun<E>
    ) -> [Plan] {
        var plans: [Plan] = []
        while plans.count < count, !stop.isStopped { plans.append(plan(work, bench)) }
        return plans.count == count ? plans : []
    }

    private func plan<E: Engine & ~Copyable & SendableMetatype>(_ work: SurveyWork, _ bench: SuiteRun<E>) -> Plan {
        let flags: DescriptorFlags = !choice.polls && bench.capabilities.hasInterrupts ? .interrupt : []
        let count = choice.transferBytes == nil ? bytes : bench.length()
        return work.reads.map { bench.planStorage(count, flags, reads: $0) }
            ?? bench.plan(work.kind, count: count, flags: flags)
    }

    /// One round: all channels together, throughput, all together again, and the comparison of every byte.
    private func round<E: Engine & ~Copyable & SendableMetatype>(
        _ plans: [Plan], _ number: Int, _ channel: inout Channel<E, Freight>, _ bench: SuiteRun<E>, _ tally: inout SurveyTally,
        _ meeting: Meeting, _ failure: DMAError?
    ) async {
        var failure = failure
        var finished = FixedArray<Finished<Freight>>(capacity: plans.count)
        var planOf: [Cookie: Plan] = [:]
        do throws(DMAError) {
            for plan in plans where failure == nil {
                planOf[try channel.submit(plan.operation, try bench.freight(plan)).get()] = plan
            }
        } catch {
            failure = error
        }
        let began = await meeting.meet()
        do throws(DMAError) {
            if failure == nil {
                channel.issuePending()
                for _ in plans { _ = finished.append(try await next(&channel, bench)) }
            }
        } catch {
            failure = error
        }
        let ended = await meeting.meet()
        // From the first channel's start to the last one's end, which one channel counts for all.
        if number == 0 {
            tally.nanoseconds += ended.before - began.after
            tally.processorNanoseconds += ended.processor - began.processor
        }
        do throws(DMAError) {
            if let failure { throw failure }
            while let one = finished.popLast() {
                guard let plan = planOf[one.cookie] else { continue }
                tally.timedTransactions += 1
                tally.timedBytes += UInt64(plan.count)
                try tally.judge(plan, one, choice)
            }
        } catch {
            tally.faults.append("unexpected: \(error)")
        }
    }

    /// One transaction at a time: latency.
    private func alone<E: Engine & ~Copyable & SendableMetatype>(
        _ plans: [Plan], _ channel: inout Channel<E, Freight>, _ bench: SuiteRun<E>, _ tally: inout SurveyTally
    ) async throws(DMAError) {
        for plan in plans where !stop.isStopped {
            _ = try channel.submit(plan.operation, try bench.freight(plan)).get()
            let began = Deadline.now.nanoseconds
            channel.issuePending()
            let finished = try await next(&channel, bench)
            tally.latencies.append(Deadline.now.nanoseconds - began)
            try tally.judge(plan, finished, choice)
        }
    }

    /// The next completion: polled for and, after 50 µs, waited for with an interrupt, where the engine has interrupts and
    /// polling was not requested.
    private func next<E: Engine & ~Copyable & SendableMetatype>(
        _ channel: inout Channel<E, Freight>, _ bench: SuiteRun<E>
    ) async throws(DMAError) -> Finished<Freight> {
        let sleeps = !choice.polls && bench.capabilities.hasInterrupts
        guard sleeps || channels > 1 else { return try bench.nextFinished(&channel) }
        let limit = Deadline.after(nanoseconds: patience)
        var sleepsFrom = Deadline.after(nanoseconds: 50_000)
        while true {
            if let finished = channel.next() { return finished }
            guard Deadline.now < limit else { throw DMAError(.deadlinePassed) }
            // Where there are more channels than threads for their tasks, the others can run meanwhile.
            if channels > 1 { await Task.yield() }
            guard sleeps, Deadline.now >= sleepsFrom else { continue }
            // In slices: polling finds a completion whose interrupt the engine failed to raise.
            _ = try channel.wait(until: .after(milliseconds: channels > 1 ? 1 : 100))
            sleepsFrom = .after(nanoseconds: 50_000)
        }
    }
}

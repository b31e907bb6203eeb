// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// Transactions that keep the engine busy for a measured time: the basis of all checks about work in progress.
///
/// A transfer of a fixed size ends on a fast engine before it can be observed, and every query about it would trivially
/// succeed.
struct MeasuredWork: Sendable {
    /// Who does the work, as far as the suite can tell.
    enum Place: Sendable {
        /// The call that starts it: it has ended when that returns.
        case issuePending
        /// The calls that poll for completions: it is in progress until the client polls.
        case polls
        /// Others: threads, a device.
        case beside
    }

    /// The plan of each of the transactions, which are all alike. Its regions are mapped in both directions, so that the CPU
    /// may rewrite them.
    var plan: Plan
    /// The number of transactions in flight.
    let number: Int
    /// From the issue of all of them to the end of the last, undisturbed.
    let nanoseconds: Int64
    let place: Place
    /// The memory of their regions.
    let arena: Arena

    /// The target duration of the measured work: twice what a check needs, because an engine's speed varies.
    static var wanted: Int64 { 4_000_000 }
    /// The maximum memory for it: an eighth of the available memory, because its images are held several times.
    static var mostBytes: Int { min(192 << 20, Int(clamping: MemoryBudget.current.available / 8)) }

    /// The offset of region `index` of transaction `number` in the arena.
    func offset(_ number: Int, _ index: Int) -> Int {
        var offset = number * MeasuredWork.stride(plan)
        for place in plan.places.prefix(index) { offset += MeasuredWork.room(place.before.count) }
        return offset
    }

    /// Each region begins on a page, and crosses no boundary if one of that size exists.
    static func room(_ count: Int) -> Int { (max(count, 1) + 4095) / 4096 * 4096 }
    static func stride(_ plan: Plan) -> Int { plan.places.reduce(0) { $0 + room($1.before.count) } }

    /// The regions of transaction `number` with their initial contents.
    func freight(_ number: Int, for domain: Domain) throws(DMAError) -> Freight {
        if let stored = plan.stored { stored.storage.put(stored.before, at: stored.position) }
        var freight = Freight(capacity: plan.places.count)
        for index in plan.places.indices {
            let place = plan.places[index]
            guard
                let mapped = try arena.mapped(
                    place.before, at: offset(number, index), direction: place.direction, for: domain)
            else { throw DMAError(.outOfMemory, asked: UInt64(place.before.count)) }
            _ = freight.append(mapped)
        }
        return freight
    }
}

extension SuiteRun where E: ~Copyable {
    /// Work of at least ``MeasuredWork/wanted``, or as much as the engine accepts at once; nil where no operation writes
    /// memory.
    ///
    /// - Throws: where even the smallest work cannot be done; the check then ends with a failure.
    func work() throws(DMAError) -> MeasuredWork? {
        if measuredWork == nil { measuredWork = try measureWork(MeasuredWork.wanted) }
        return measuredWork
    }

    /// Makes the work four times as long, for this check and later ones.
    private func lengthenWork() throws(DMAError) {
        guard let work = measuredWork, work.nanoseconds < 16 * MeasuredWork.wanted else { return }
        measuredWork = try measureWork(4 * work.nanoseconds) ?? work
    }

    private func measureWork(_ wanted: Int64) throws(DMAError) -> MeasuredWork? {
        guard writingPlan(unit) != nil else { return nil }
        // The same work, whichever check uses it first.
        let kept = random
        random = SeededRandom(seed: suite.seed, part: "measured work")
        defer { random = kept }
        var count = min(max(largest, 65_536 / unit * unit), longest)
        var number = min(capabilities.depth, 4)
        var found: MeasuredWork?
        for _ in 0..<24 {
            try goOn()
            guard let plan = workPlan(count) else { break }
            let arena = arena(number * MeasuredWork.stride(plan))
            var work = MeasuredWork(plan: plan, number: number, nanoseconds: 0, place: .beside, arena: arena)
            do throws(DMAError) {
                work = try measured(work)
            } catch {
                // For instance, the kernel does not let a domain map that much at once. The last size that worked is used.
                if gaveUp || found == nil { throw error }
                break
            }
            found = work
            if work.nanoseconds >= wanted { break }
            let ratio = Double(wanted) / Double(max(work.nanoseconds, 1)) * 1.3
            let longer = Int(Double(count) * min(max(ratio, 1.5), 16)) / unit * unit
            if count < longest {
                count = min(longer, longest)
            } else if number < min(capabilities.depth, 256) {
                number = min(number * 2, capabilities.depth, 256)
            } else {
                break
            }
            if number * count * max(plan.places.count, 1) > MeasuredWork.mostBytes { break }
        }
        if let work = found { found = try placed(work) }
        return found
    }

    /// The longest transaction that engine, domain and memory allow. Bytes.
    private var longest: Int {
        let constraints = suite.domain.constraints
        var limit = min(capabilities.maximumCount, constraints.maximumSegmentSize, constraints.maximumMappingSize, 64 << 20)
        if constraints.segmentBoundary != 0 { limit = min(limit, constraints.segmentBoundary, 4096) }
        if let storage = provisions.storage { limit = min(limit, UInt64(max(storage.count / 3, unit))) }
        return max(Int(clamping: limit) / unit * unit, unit)
    }

    /// One long transaction. Copies and fills use a pattern, because generating and checking random bytes would take longer
    /// than the transfer.
    private func workPlan(_ count: Int) -> Plan? {
        let before = [UInt8](repeating: 0x5a, count: count)
        var plan: Plan
        if plannable.contains(.copy) {
            let image = tiled(count)
            plan = Plan(
                places: [
                    Plan.Place(before: image, after: image, direction: .bidirectional),
                    Plan.Place(before: before, after: image, written: [0..<count], direction: .bidirectional),
                ], operation: .copy(count: count), value: nil, count: count, text: "copy of \(count) bytes")
        } else if plannable.contains(.fill) {
            let pattern = random.next()
            plan = Plan(
                places: [
                    Plan.Place(
                        before: before, after: ByteModels.fill(count: count, pattern: pattern), written: [0..<count],
                        direction: .bidirectional)
                ], operation: .fill(count: count, pattern: pattern), value: nil, count: count,
                text: "fill of \(count) bytes")
        } else if let other = writingPlan(count) {
            plan = other
            for index in plan.places.indices { plan.places[index].direction = .bidirectional }
        } else {
            return nil
        }
        return plan
    }

    /// `count` bytes that repeat, with a period that no power of two divides.
    private func tiled(_ count: Int) -> [UInt8] {
        let tile = random.bytes(min(count, 4099))
        var image: [UInt8] = []
        image.reserveCapacity(count + tile.count)
        while image.count < count { image += tile }
        image.removeLast(image.count - count)
        return image
    }

    /// Runs the work once, alone, and verifies it.
    private func measured(_ work: MeasuredWork) throws(DMAError) -> MeasuredWork {
        var channel = try open()
        parameters = work.plan.text
        for number in 0..<work.number {
            _ = try channel.submit(work.plan.operation, try work.freight(number, for: suite.domain)).get()
        }
        let began = Deadline.now.nanoseconds
        let processor = cdma_thread_nanoseconds()
        channel.issuePending()
        let issued = cdma_thread_nanoseconds() - processor
        channel.poll()
        let polled = cdma_thread_nanoseconds() - processor
        var back = FixedArray<Finished<Freight>>(capacity: work.number)
        for _ in 0..<work.number { _ = back.append(try nextFinished(&channel)) }
        let whole = max(Deadline.now.nanoseconds - began, 1)
        let spent = cdma_thread_nanoseconds() - processor
        while let finished = back.popLast() { try judge(work.plan, finished) }
        close(channel)
        // The code that does the work uses processor time. Nine tenths: the rest is polling. A quarter: a thread that was
        // preempted while others worked has next to none, and its measurement means nothing.
        var place = MeasuredWork.Place.beside
        if polled > spent / 10 * 9, polled > whole / 4 { place = issued > polled / 10 * 9 ? .issuePending : .polls }
        return MeasuredWork(plan: work.plan, number: work.number, nanoseconds: whole, place: place, arena: work.arena)
    }

    /// The work with the executor that most of five runs showed: a preempted thread looks like one that works.
    private func placed(_ work: MeasuredWork) throws(DMAError) -> MeasuredWork {
        var places = [work.place]
        for _ in 0..<4 { places.append(try measured(work).place) }
        let most = [MeasuredWork.Place.beside, .polls, .issuePending].first { place in places.count { $0 == place } > 2 }
        return MeasuredWork(
            plan: work.plan, number: work.number, nanoseconds: work.nanoseconds, place: most ?? .beside, arena: work.arena)
    }

    // MARK: Use by checks

    /// Runs `body` at least `least` times with the measured work, and then until `name` was met, with increasing work: meeting
    /// a case depends on thread scheduling, and a busy machine may preempt the observing thread for longer than the work takes.
    ///
    /// - Parameter transactions: the number of transactions that the work is divided into; nil for the measured number.
    func repeatedly(
        _ least: Int, untilMet name: String, in transactions: Int? = nil,
        _ body: (Int, MeasuredWork) throws(DMAError) -> Void
    ) throws(DMAError) {
        guard let measured = try work() else { return }
        let work = try reshaped(measured, into: transactions, for: name)
        try repeatedly(least) { number throws(DMAError) in try body(number, work) }
        var number = least
        while let longer = try longerWork(untilMet: name) {
            let work = try reshaped(longer, into: transactions, for: name)
            for _ in 0..<10 where needs(name) {
                try goOn()
                try body(number, work)
                number += 1
            }
        }
    }

    /// The same on a channel, one at a time: work is measured on a channel too, and a device may have just one.
    func repeatedly(
        _ least: Int, untilMet name: String, in transactions: Int? = nil,
        _ body: (Int, MeasuredWork, inout Channel<E, Freight>) throws(DMAError) -> Void
    ) throws(DMAError) {
        guard let measured = try work() else { return }
        var work = try reshaped(measured, into: transactions, for: name)
        var channel = try open()
        try repeatedly(least) { number throws(DMAError) in try body(number, work, &channel) }
        close(channel)
        var number = least
        while let longer = try longerWork(untilMet: name) {
            work = try reshaped(longer, into: transactions, for: name)
            var channel = try open()
            for _ in 0..<10 where needs(name) {
                try goOn()
                try body(number, work, &channel)
                number += 1
            }
            close(channel)
        }
    }

    /// Whether a case was not met yet, and there is time for it.
    private func needs(_ name: String) -> Bool { isSeeking(name) && !hasMet(name) && Deadline.now.nanoseconds < end }

    /// More work, for a case that was not met yet; nil where it was met, or where no more is possible.
    func longerWork(untilMet name: String) throws(DMAError) -> MeasuredWork? {
        let times = lengthened[name, default: 0]
        guard needs(name), times < 4 else { return nil }
        lengthened[name] = times + 1
        // The first time, unchanged.
        if times > 0 { try lengthenWork() }
        // The measurement may now show that the case cannot be met.
        if measuredWork?.place == .issuePending { drop(name) }
        return isSeeking(name) ? measuredWork : nil
    }

    /// The same amount of work in another number of transactions: in one, to observe a single one; in many, so that the engine
    /// has not begun some of them. Unchanged where the engine does not accept that shape.
    ///
    /// An engine may do work at once when it is alone, and defer it among other work: where that is so, the case `name` is
    /// withdrawn.
    func reshaped(_ work: MeasuredWork, into number: Int?, for name: String) throws(DMAError) -> MeasuredWork {
        let number = min(number ?? work.number, capabilities.depth)
        let count = min(work.plan.count * work.number / number / unit * unit, longest)
        guard number != work.number, count > 0, let plan = workPlan(count) else { return work }
        let arena = arena(number * MeasuredWork.stride(plan))
        let shape = MeasuredWork(plan: plan, number: number, nanoseconds: work.nanoseconds, place: work.place, arena: arena)
        let found = try placed(try measured(shape))
        if found.place == .issuePending { drop(name) }
        return found
    }

    /// Submits all of it. The caller issues.
    func submit(_ work: MeasuredWork, on channel: inout Channel<E, Freight>) throws(DMAError) -> [Cookie] {
        parameters = "\(work.number) at once, \(work.plan.text)"
        var cookies: [Cookie] = []
        for number in 0..<work.number {
            cookies.append(try channel.submit(work.plan.operation, try work.freight(number, for: suite.domain)).get())
        }
        return cookies
    }

    /// The number of transactions in progress, as the channel reports now.
    func underWay(_ cookies: [Cookie], on channel: inout Channel<E, Freight>) throws(DMAError) -> Int {
        var number = 0
        for cookie in cookies where try channel.status(of: cookie) == .inProgress { number += 1 }
        return number
    }

    /// Waits as long as the work would have taken, had nothing stopped it.
    func lingerBeyond(_ work: MeasuredWork, on channel: inout Channel<E, Freight>) {
        linger(&channel, 200, for: work.nanoseconds * 2)
    }
}

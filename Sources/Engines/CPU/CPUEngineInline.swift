// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMACore
public import DMAEngineKit

/// The progress of the inline queue in work that takes more than one step.
@usableFromInline
struct InlineState {
    /// The settings of `configure` at the time when a transfer with a peripheral was queued (rule 2); by index.
    var configurations: [EngineConfiguration]
    var configuration = EngineConfiguration()
    /// Entries from the head on that have finished and were not reported.
    var backlog: UInt32 = 0
    /// Entries after the backlog that the last termination dropped.
    var dropped: UInt32 = 0
    /// Bytes done of the first unfinished entry, and its CRC or validation result so far.
    var progress: UInt64 = 0
    var carry: UInt64 = 0
    var run: PeripheralRun?
    /// Periods reported of a cyclic entry.
    var periods: UInt64 = 0
    /// Finished transactions with the interrupt flag that were not reported.
    var interrupts = 0

    init(places: Int) {
        configurations = Array(repeating: EngineConfiguration(), count: places)
    }

    /// The transfer with a peripheral has ended, or was dropped.
    mutating func endRun() {
        run?.end()
        run = nil
    }
}

/// The engine's state outside the fast path.
@usableFromInline
struct ColdState: ~Copyable {
    let configuration: CPUConfiguration
    var inline: InlineState
    var team: Team?

    init(_ configuration: CPUConfiguration, _ team: consuming Team?) {
        self.configuration = configuration
        var places = 1
        while places < configuration.depth { places *= 2 }
        inline = InlineState(places: places)
        self.team = team
    }

    // Work that was not quiesced ends with the engine.
    deinit { inline.run?.end() }
}

extension CPUEngine {
    // SAFETY, for each of these: the memory is this value's own, from its beginning to its end.
    var configuration: CPUConfiguration { unsafe cold.pointee.configuration }
    private var inline: InlineState {
        _read { yield unsafe cold.pointee.inline }
        nonmutating _modify { yield unsafe &cold.pointee.inline }
    }
    private var team: Team? {
        _read { yield unsafe cold.pointee.team }
        nonmutating _modify { yield unsafe &cold.pointee.team }
    }

    /// `enqueue`, with workers, or for operations that do not fit into an entry.
    @usableFromInline @inline(never)
    mutating func enqueueSlowPath(
        _ kind: OperationKind, _ flags: DescriptorFlags, _ sourceCount: UInt16, _ destinationCount: UInt16, _ source: UInt64,
        _ destination: UInt64, _ count: UInt64, _ value: UInt64, _ detail: SIMD4<UInt64>, _ operands: UnsafePointer<Segment>?,
        _ metadata: UnsafeMutableRawPointer?, tag: UInt32
    ) -> EnqueueResult {
        // SAFETY: the words are those of the descriptor that `enqueue` was given.
        var descriptor = unsafe Descriptor(
            kind: kind, flags: flags, source: source, destination: destination, count: count, value: value)
        descriptor.sourceCount = sourceCount
        descriptor.destinationCount = destinationCount
        descriptor.detail = detail
        unsafe descriptor.operands = unsafe operands
        unsafe descriptor.metadata = unsafe metadata
        if detours.contains(.team), goesToWorkers(descriptor) {
            return team?.enqueue(descriptor, tag: tag, inline.configuration) == true ? .accepted : .full
        }
        guard tail &- head < depth else { return .full }
        if kind == .peripheral || kind == .cyclic { inline.configurations[Int(tail & mask)] = inline.configuration }
        unsafe store(descriptor, tag)
        return .accepted
    }

    /// The descriptor of the transaction at an index of the inline queue.
    private func descriptor(at place: Int) -> Descriptor {
        // SAFETY: the words are those of the descriptor that `store` was given; the index is inside the queue.
        let entry = unsafe entries[place]
        if entry.kind.rawValue > OperationKind.scatterGather.rawValue { return unsafe queuedDescriptor(place).pointee }
        guard entry.kind.rawValue > OperationKind.copyCRC32C.rawValue else {
            return unsafe Descriptor(
                kind: entry.kind, flags: entry.flags, source: entry.source, destination: entry.destination, count: entry.count,
                value: entry.value)
        }
        var descriptor = unsafe Descriptor(kind: entry.kind, flags: entry.flags, count: entry.count, value: entry.value)
        descriptor.sourceCount = entry.sourceCount
        descriptor.destinationCount = entry.destinationCount
        unsafe descriptor.operands = entry.operands
        unsafe descriptor.detail = queuedDescriptor(place).pointee.detail
        return descriptor
    }

    @usableFromInline @inline(never)
    mutating func issueToTeam() { team?.issue() }

    /// Jobs of up to `inlineLimit` bytes run inside `next()`, unless they have the interrupt or the fence flag, or an earlier
    /// fence is pending. Transfers with a peripheral always go to the workers.
    private mutating func goesToWorkers(_ descriptor: Descriptor) -> Bool {
        switch descriptor.kind {
        case .peripheral, .cyclic: return true
        default:
            return descriptor.count > UInt64(configuration.inlineLimit)
                || !descriptor.flags.isDisjoint(with: [.interrupt, .fence])
                || (team?.hasOpenFence() ?? false)
        }
    }

    /// `next`, where there is more to do than one short copy.
    @usableFromInline @inline(never)
    mutating func nextSlowPath() -> Completion? {
        if inline.backlog > 0 { return report() }
        if detours.contains(.team), let completion = team?.next() { return completion }
        guard step() else { return nil }
        return inline.backlog > 0 ? report() : reportPeriod()
    }

    /// Runs the first entry, which has been issued, in one piece, if it is XOR, PQ or scatter-gather of at most a quantum and
    /// nothing else is in progress.
    @unsafe @usableFromInline @inline(never)
    mutating func runList(_ entry: UnsafeMutablePointer<QueuedTransaction>) -> Bool {
        // SAFETY: the caller passes the first entry, which has been issued; its operands are valid until this transaction is reported. The
        // coefficients of a PQ operation are in the memory behind the queue.
        guard unsafe entry.pointee.count <= plainCount else { return false }
        let count = unsafe Int(truncatingIfNeeded: entry.pointee.count)
        // Bytes in progress together. The products cannot overflow: neither factor has more than 32 bits.
        let inFlight = Int(tail &- head)
        let sources = unsafe UInt32(entry.pointee.sourceCount)
        switch unsafe entry.pointee.kind {
        case .xor:
            guard let list = unsafe entry.pointee.operands, unsafe entry.pointee.destinationCount == 1 else { return false }
            let continues = unsafe entry.pointee.flags.contains(.continue)
            return unsafe kernels.xorList(
                list, sources: sources, continues: continues, at: 0, count: count, of: count &* inFlight)
        case .pq:
            guard let list = unsafe entry.pointee.operands, unsafe entry.pointee.destinationCount == 2 else { return false }
            return unsafe withUnsafeMutablePointer(to: &queuedDescriptor(Int(head & mask)).pointee.detail) { detail in
                unsafe kernels.pqList(
                    list, sources: sources, coefficients: UnsafeRawPointer(detail).assumingMemoryBound(to: UInt8.self),
                    at: 0, count: count, of: count &* inFlight, options: ParityOptions(entry.pointee.flags))
            }
        case .scatterGather:
            guard let list = unsafe entry.pointee.operands else { return false }
            let destinations = unsafe Int(entry.pointee.destinationCount)
            let whole = count &* inFlight
            return unsafe ScatterWalk.copyMatching(list, Int(sources), destinations, kernels, whole: whole)
                || ScatterWalk.copy(
                    list, sources: Int(sources), destinations: destinations, kernels, at: 0, count: count, whole: whole)
        default:
            return false
        }
    }

    /// Runs the first entry, which has been issued, in one piece, if it is at most a quantum long; nothing else is in progress.
    /// Nil otherwise.
    @usableFromInline @inline(never)
    mutating func nextWhole() -> Completion? {
        let place = Int(head & mask)
        // SAFETY: the mask keeps the place inside the queue.
        let entry = unsafe entries + place
        guard unsafe entry.pointee.count <= plainCount else { return nil }
        // The product cannot overflow: neither factor has more than 32 bits.
        let (count, whole) = unsafe (Int(entry.pointee.count), Int(entry.pointee.count) &* Int(tail &- head))
        var value: UInt64 = 0
        switch unsafe entry.pointee.kind {
        case .cyclic, .command:
            return nil
        case .peripheral:
            guard unsafe moveAtOnce(entry, place) else { return nil }
        case .fill:
            // As in `next`: client memory, which the transaction owns.
            guard let to = unsafe UnsafeMutableRawPointer(bitPattern: UInt(entry.pointee.destination)) else { return nil }
            unsafe kernels.fillPart(to, pattern: UInt64(littleEndian: entry.pointee.value), count: count, of: whole)
        case .crc32c:
            guard let from = unsafe UnsafeRawPointer(bitPattern: UInt(entry.pointee.source)) else { return nil }
            value = UInt64(
                unsafe kernels.crc32c(from, count: count, continuing: UInt32(truncatingIfNeeded: entry.pointee.value)))
        default:
            let carry = unsafe entry.pointee.kind == .copyCRC32C ? entry.pointee.value : 0
            let result = Piecework.run(descriptor(at: place), kernels, at: 0, count: count, whole: whole, carry: carry)
            guard let result else { return nil }
            value = result
        }
        head &+= 1
        return unsafe Completion(tag: entry.pointee.tag, value: value)
    }

    /// Runs a peripheral transfer that has not begun in one piece, if its FIFO is ready for all of it and no other transfer
    /// uses it.
    @unsafe
    private func moveAtOnce(_ entry: UnsafeMutablePointer<QueuedTransaction>, _ place: Int) -> Bool {
        // SAFETY: the operands are valid until this transaction is reported, and there are as many as the counts say. The
        // engine owns its cold state, which is only read here.
        guard unsafe cold.pointee.inline.run == nil, let list = unsafe entry.pointee.operands else { return false }
        let number = unsafe queuedDescriptor(place).pointee.place.number ?? cold.pointee.inline.configurations[place].peripheral
        guard unsafe number < UInt32(clamping: cold.pointee.configuration.peripherals.count) else { return false }
        let count = unsafe Int(truncatingIfNeeded: entry.pointee.count)
        let (sources, destinations) = unsafe (Int(entry.pointee.sourceCount), Int(entry.pointee.destinationCount))
        return unsafe cold.pointee.configuration.peripherals[Int(number)].moveAtOnce(
            list, segments: sources + destinations, count: count, toDevice: sources > 0)
    }

    /// The index of the first unfinished entry.
    private var place: Int { Int((head &+ inline.backlog) & mask) }

    /// Runs one quantum of the first unfinished entry. False where there is none, or it must wait.
    private mutating func step() -> Bool {
        // SAFETY: `place` is inside the queue, by its mask.
        guard head &+ inline.backlog != issued, detours.isDisjoint(with: [.paused, .terminating]) else { return false }
        let entry = unsafe entries[place]
        if entry.kind == .peripheral || entry.kind == .cyclic { return stepWithPeripheral() }
        if inline.progress == 0 {
            let seeded = entry.kind == .crc32c || entry.kind == .copyCRC32C
            inline.carry = seeded ? entry.value : 0
        }
        let length = min(UInt64(configuration.quantum), entry.count - inline.progress)
        let result = Piecework.run(
            descriptor(at: place), kernels, at: Int(inline.progress), count: Int(length),
            whole: Piecework.sum(entry.count, Int(tail &- head)), carry: inline.carry)
        guard let result else {
            conclude(.failed, residue: entry.count - inline.progress, value: 0)
            return true
        }
        inline.carry = result
        inline.progress += length
        if inline.progress == entry.count { conclude(.complete, residue: 0, value: result) }
        return true
    }

    private mutating func stepWithPeripheral() -> Bool {
        // SAFETY: as above.
        let descriptor = unsafe queuedDescriptor(place).pointee
        let chosen = inline.configurations[place]
        let count = descriptor.count
        if inline.run == nil {
            let number = Int(descriptor.place.number ?? chosen.peripheral)
            inline.run =
                number < configuration.peripherals.count
                ? PeripheralRun(descriptor, configuration.peripherals[number], chosen) : nil
        }
        guard let moved = inline.run?.step(descriptor, limit: configuration.quantum), let run = inline.run else {
            conclude(.failed, residue: inline.run?.residue ?? count, value: 0)
            return true
        }
        inline.progress = count - run.residue
        if run.isOver { conclude(.complete, residue: 0, value: 0) }
        return moved > 0
    }

    /// Marks the first unfinished entry as finished.
    private mutating func conclude(_ status: TransactionStatus, residue: UInt64, value: UInt64) {
        // SAFETY: as above.
        let place = place
        let entry = unsafe entries[place]
        unsafe entries[place].status = status
        unsafe entries[place].count = residue
        unsafe entries[place].value = value
        if entry.flags.contains(.interrupt) { inline.interrupts += 1 }
        inline.progress = 0
        if entry.kind == .peripheral || entry.kind == .cyclic {
            inline.endRun()
            inline.periods = 0
        }
        inline.backlog += 1
        detours.insert(.backlog)
    }

    private mutating func report() -> Completion {
        // SAFETY: the mask keeps the place inside the queue.
        let entry = unsafe entries[Int(head & mask)]
        head &+= 1
        inline.backlog -= 1
        if inline.backlog == 0 { detours.remove(.backlog) }
        if entry.flags.contains(.interrupt) { inline.interrupts -= 1 }
        return Completion(tag: entry.tag, status: entry.status, residue: entry.count, value: entry.value)
    }

    /// Whether a cyclic entry has completed a period that was not reported.
    private var hasPeriod: Bool { (inline.run?.periods ?? 0) > inline.periods }

    private mutating func reportPeriod() -> Completion? {
        // SAFETY: as above.
        guard hasPeriod, let run = inline.run else { return nil }
        inline.periods = run.periods
        return Completion(tag: unsafe entries[place].tag, isPeriod: true, value: run.periods)
    }

    public mutating func terminate() {
        detours.insert(.terminating)
        if detours.contains(.team) { team?.terminate() }
    }

    public mutating func quiesce(by deadline: Deadline) -> Bool {
        // SAFETY: as above.
        if detours.contains(.team), !(team?.quiesce(by: deadline) ?? true) { return false }
        // Inline work runs only inside `next`, and so not now. Unfinished entries are dropped; their residues can still be
        // queried.
        let open = head &+ inline.backlog
        inline.dropped = tail &- open
        if inline.dropped > 0 { unsafe entries[Int(open & mask)].count = openResidue }
        tail = open
        issued = open
        inline.progress = 0
        inline.endRun()
        inline.periods = 0
        detours.remove([.terminating, .paused])
        return true
    }

    public mutating func pause() -> Bool {
        if detours.contains(.team), !(team?.pause() ?? true) { return false }
        detours.insert(.paused)
        return true
    }

    public mutating func resume() -> Bool {
        if detours.contains(.team), !(team?.resume() ?? true) { return false }
        detours.remove(.paused)
        return true
    }

    /// The residue of the first unfinished entry.
    private var openResidue: UInt64 {
        // SAFETY: as above.
        inline.run?.residue ?? (unsafe entries[place].count - inline.progress)
    }

    public mutating func residue(of tag: UInt32) -> UInt64? {
        // SAFETY: as above.
        let open = head &+ inline.backlog
        let places = max(tail &- head, inline.backlog &+ inline.dropped)
        for step in 0..<min(places, mask &+ 1) {
            let index = head &+ step
            guard unsafe entries[Int(index & mask)].tag == tag else { continue }
            if index == open, index != tail { return openResidue }
            return unsafe entries[Int(index & mask)].count
        }
        return detours.contains(.team) ? team?.residue(of: tag) : nil
    }

    /// Selects the peripheral of later transactions by its index in the configuration, and the burst in items of its width.
    ///
    /// - Throws: `notPeripheral` on an engine without peripherals; `badConfiguration` for an index that does not exist, a width
    ///   that is not the peripheral's, a burst longer than its FIFO, or a priority other than 0.
    public mutating func configure(_ configuration: EngineConfiguration) throws(DMAError) {
        let peripherals = self.configuration.peripherals
        guard !peripherals.isEmpty else { throw DMAError(.notPeripheral) }
        guard configuration.peripheral < UInt32(clamping: peripherals.count) else {
            throw DMAError(.badConfiguration, asked: UInt64(configuration.peripheral), limit: UInt64(peripherals.count - 1))
        }
        let chosen = peripherals[Int(configuration.peripheral)]
        guard configuration.width == 0 || Int(configuration.width) == chosen.width else {
            throw DMAError(.badConfiguration, asked: UInt64(configuration.width), limit: UInt64(chosen.width))
        }
        guard UInt64(configuration.burst) * UInt64(chosen.width) <= UInt64(chosen.depth) else {
            throw DMAError(.badConfiguration, asked: UInt64(configuration.burst), limit: UInt64(chosen.depth / chosen.width))
        }
        guard configuration.priority == 0 else {
            throw DMAError(.badConfiguration, asked: UInt64(configuration.priority), limit: 0)
        }
        inline.configuration = configuration
    }

    /// Runs the inline work, then sleeps for the workers' interrupts. True once a transaction with the interrupt flag has
    /// ended.
    public mutating func wait(until deadline: Deadline) -> Bool {
        while true {
            if inline.interrupts > 0 || hasPeriod { return true }
            let worked = step()
            if Deadline.now >= deadline { return inline.interrupts > 0 || hasPeriod }
            if worked { continue }
            if detours.contains(.team) { return team?.wait(until: deadline) ?? false }
            guard sleep(until: deadline) else { return false }
        }
    }

    /// No transfer can proceed: sleeps until a peripheral is ready, or the deadline. False where none ever will be.
    private func sleep(until deadline: Deadline) -> Bool {
        // SAFETY: the C function reads a local value.
        let left = deadline.nanoseconds.subtractingReportingOverflow(Deadline.now.nanoseconds).partialValue
        guard left > 0 else { return true }
        if let run = inline.run, detours.isDisjoint(with: [.paused, .terminating]) {
            run.sleep(nanoseconds: min(left, 1_000_000_000)) { false }
            return true
        }
        guard deadline != .never else { return false }
        var pause = timespec(tv_sec: Int(left / 1_000_000_000), tv_nsec: Int(left % 1_000_000_000))
        unsafe nanosleep(&pause, nil)
        return true
    }
}

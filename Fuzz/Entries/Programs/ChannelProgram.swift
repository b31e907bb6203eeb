// SPDX-License-Identifier: Apache-2.0

import DMACore
import ScriptedEngines

/// A random program over the public interface, compared with a simple model.
///
/// Two channels in two address spaces, over hostile engines; a third address space is translated. Buffers are mapped,
/// submitted, accessed, unmapped and dropped. Bytes that no engine was given do not change; every cargo is returned once; the
/// contract's refusals occur.
public struct ChannelProgram: ~Copyable {
    /// The outcome of a program.
    public struct Outcome: Sendable {
        /// The violation; nil for none.
        public var failure: ProgramFailure?
        /// Bytes that were read until then: for a program that fails, its shortest failing prefix.
        public var length = 0
        /// Steps done.
        public var steps = 0
        /// Returned transactions, and bytes that engines wrote.
        public var finished = 0
        public var moved: UInt64 = 0
    }

    private let spaces: [Domain]
    private let backend: CheckedBackend
    private var mapped = FixedArray<MappedBuffer>(capacity: capacity)
    private var models: [BufferModel] = []
    private var clients = FixedArray<Client>(capacity: 2)
    private var nextName: UInt64 = 1
    private var opened: [(Wrapping, BottomEngine)] = []
    /// The engine for reopening a channel; nil where the program decides.
    private var fixed: [(Wrapping, BottomEngine)]?
    private var outcome = Outcome()

    private static var capacity: Int { 24 }
    /// Most buffers are mapped where a channel can use them.
    private static let spaceShares = [0, 0, 0, 0, 1, 1, 1, 2]

    /// Runs a program that selects its own engines.
    public static func run(_ bytes: [UInt8]) -> Outcome {
        var reader = StepReader(bytes)
        let choices = (0..<4).map { _ in reader.byte() }
        let engines = [(wrapping(choices[0]), engine(choices[1])), (wrapping(choices[2]), engine(choices[3]))]
        return run(reader, engines, isFixed: false)
    }

    /// Runs a program whose first channel has this engine; its second has a correct one.
    public static func run(_ bytes: [UInt8], _ wrapping: Wrapping, _ engine: BottomEngine) -> Outcome {
        run(StepReader(bytes), [(wrapping, engine), (.any, .lying(.none))], isFixed: true)
    }

    private static func run(
        _ reader: StepReader, _ engines: [(Wrapping, BottomEngine)], isFixed: Bool
    ) -> Outcome {
        var reader = reader
        do throws(DMAError) {
            var program = try ChannelProgram(engines)
            if isFixed { program.fixed = engines }
            do throws(ProgramFailure) {
                while let step = reader.next() {
                    program.outcome.steps += 1
                    try program.run(step)
                    try program.check()
                }
                try program.end()
            } catch {
                program.outcome.failure = ProgramFailure("\(error.description) (\(program.names.joined(separator: "; ")))")
            }
            program.outcome.length = reader.position
            return program.outcome
        } catch { return Outcome(failure: ProgramFailure("no program: \(error)")) }
    }

    private init(_ engines: [(Wrapping, BottomEngine)]) throws(DMAError) {
        let backend = CheckedBackend()
        let spaces = [
            Domain(name: "program 0"), Domain(name: "program 1"),
            try Domain(
                name: "program 2",
                translation: .translated(backend, apertures: [CheckedBackend.aperture], pageSizes: [4096])),
        ]
        var clients = FixedArray<Client>(capacity: 2)
        for (number, engine) in engines.enumerated() {
            _ = clients.append(try Client(engine.0, engine.1, spaces[number], space: number, seed: UInt64(number) + 1))
        }
        (self.backend, self.spaces) = (backend, spaces)
        self.clients = clients
        opened = engines
    }

    private static func wrapping(_ number: Int) -> Wrapping { Wrapping.allCases[number % Wrapping.allCases.count] }
    private static func engine(_ number: Int) -> BottomEngine { BottomEngine.all[number % BottomEngine.all.count] }

    // MARK: Steps

    private mutating func run(_ step: Step) throws(ProgramFailure) {
        switch step {
        case .map(let space, let direction, let count):
            try map(Self.spaceShares[space % Self.spaceShares.count], Direction.allCases[direction % 3], count)
        case .unmap(let index): try unmap(index)
        case .read(let index): try read(index)
        case .write(let index, let value): try write(index, value)
        case .sync(let index, let from, let to, let forCPU): try sync(index, from..<to, forCPU)
        case .submit(let number, let kind, let source, let target, let offsets, let count, let fits, let isLate):
            guard let pair = choose(number, source, target, fits) else { return }
            try submit(number, kind, pair, offsets, count, isLate ? .now : .never)
        case .reopen(let number, let wrapping, let engine):
            let choice = fixed?[number] ?? (Self.wrapping(wrapping), Self.engine(engine))
            try reopen(number, choice.0, choice.1)
        case .refuse(let times): backend.refuse(times % 4)
        case .issue(let number): try on(number) { client, _ throws(ProgramFailure) in client.issue() }
        case .take(let number, let times):
            try on(number) { client, back throws(ProgramFailure) in try client.take(1 + times % 16, back) }
        case .takeOne(let number, let cookie):
            try on(number) { client, back throws(ProgramFailure) in try client.takeOne(cookie, back) }
        case .ask(let number, let cookie):
            try on(number) { client, _ throws(ProgramFailure) in try client.question(cookie) }
        case .terminate(let number): try on(number) { client, _ throws(ProgramFailure) in client.terminate() }
        case .synchronize(let number):
            try on(number) { client, back throws(ProgramFailure) in try client.synchronize(back) }
        case .pause(let number): try on(number) { client, _ throws(ProgramFailure) in try client.pause() }
        case .resume(let number): try on(number) { client, _ throws(ProgramFailure) in try client.resume() }
        case .wait(let number):
            try on(number) { client, _ throws(ProgramFailure) in _ = try? client.channel.wait(until: .now) }
        case .demand(let number, let bytes):
            try on(number) { client, _ throws(ProgramFailure) in client.line.request(bytes) }
        }
    }

    private typealias Back = (consuming Client.Two, TransactionModel) throws(ProgramFailure) -> Void

    /// A step on one channel; the program owns what it returns.
    private mutating func on(
        _ number: Int, _ body: (inout Client, Back) throws(ProgramFailure) -> Void
    ) throws(ProgramFailure) {
        var returned = FixedArray<MappedBuffer>(capacity: Self.capacity)
        var known: [BufferModel] = []
        let failure = try clients.withMutableElement(at: number) { client throws(ProgramFailure) in
            try body(&client) { cargo, model throws(ProgramFailure) in
                _ = returned.append(cargo.first)
                _ = returned.append(cargo.second)
                known += [model.source, model.target]
            }
            return client.failure
        }
        if let failure = failure ?? nil { throw failure }
        while let buffer = returned.popLast(), let model = known.popLast() { keep(buffer, model) }
    }

    private mutating func keep(_ buffer: consuming MappedBuffer, _ model: BufferModel) {
        _ = mapped.append(buffer)
        models.append(model)
    }

    /// Removes a mapping; nil where there is none.
    private mutating func take(_ index: Int) -> MappedBuffer? {
        guard !models.isEmpty else { return nil }
        return mapped.remove(at: index % models.count)
    }

    private mutating func map(_ space: Int, _ direction: Direction, _ count: Int) throws(ProgramFailure) {
        guard models.count + inFlight * 2 < Self.capacity else { return }
        do throws(DMAError) {
            var buffer = try Buffer(count: count)
            let value = UInt8(truncatingIfNeeded: nextName &* 37)
            buffer.withMutableBytes { bytes in
                for offset in 0..<bytes.byteCount { bytes.storeBytes(of: value, toByteOffset: offset, as: UInt8.self) }
            }
            let mapping = try buffer.mapped(for: spaces[space], direction: direction)
            nextName += 1
            let model = BufferModel(
                space: space, direction: direction, count: count, start: mapping.firstAddress,
                bytes: [UInt8?](repeating: value, count: count))
            keep(mapping, model)
        } catch {
            let isMeant = error.code == .zeroLength && count == 0 || error.code == .backendFailed && space == 2
            guard isMeant else { throw ProgramFailure("mapping \(count) bytes in space \(space): \(error)") }
        }
    }

    private mutating func unmap(_ index: Int) throws(ProgramFailure) {
        guard let mapping = take(index) else { return }
        let model = models.remove(at: index % models.count)
        do throws(DMAError) {
            let buffer = try mapping.unmap()
            if let place = buffer.withBytes({ model.mismatch($0) }) {
                throw DMAError(.unmapMismatch, asked: UInt64(place))
            }
        } catch {
            if error.code == .unmapMismatch {
                throw ProgramFailure("byte \(error.asked) of an unmapped buffer was overwritten")
            }
            guard error.code == .backendFailed, model.space == 2 else { throw ProgramFailure("unmap: \(error)") }
        }
    }

    private mutating func read(_ index: Int) throws(ProgramFailure) {
        guard !models.isEmpty else { return }
        let model = models[index % models.count]
        let place = mapped.withElement(at: index % models.count) { mapping -> Int? in
            try? mapping.withCPUAccess { span throws(DMAError) -> Int in model.mismatch(span) ?? -1 }
        }
        guard let place = place ?? nil else { throw ProgramFailure("a mapping cannot be read") }
        guard place < 0 else { throw ProgramFailure("byte \(place) of a mapped buffer was overwritten") }
    }

    private mutating func write(_ index: Int, _ value: UInt8) throws(ProgramFailure) {
        guard !models.isEmpty else { return }
        let index = index % models.count
        let isDone = mapped.withMutableElement(at: index) { mapping -> Bool in
            do throws(DMAError) {
                try mapping.withMutableCPUAccess { span throws(DMAError) in
                    for offset in 0..<span.byteCount { span.storeBytes(of: value, toByteOffset: offset, as: UInt8.self) }
                }
                return true
            } catch { return false }
        }
        guard isDone == (models[index].direction != .fromDevice) else {
            throw ProgramFailure("a write of the CPU's to a mapping \(models[index].direction): \(isDone == true)")
        }
        if isDone == true { models[index].bytes = [UInt8?](repeating: value, count: models[index].count) }
    }

    private mutating func sync(_ index: Int, _ range: Range<Int>, _ forCPU: Bool) throws(ProgramFailure) {
        guard !models.isEmpty else { return }
        let index = index % models.count
        let code = mapped.withMutableElement(at: index) { mapping -> DMAError.Code? in
            do throws(DMAError) {
                if forCPU { try mapping.syncForCPU(range) } else { try mapping.syncForDevice(range) }
                return nil
            } catch { return error.code }
        }
        let isInside = range.lowerBound >= 0 && range.upperBound <= models[index].count
        guard (code ?? nil) == (isInside ? nil : .outOfRange) else {
            throw ProgramFailure("sync of \(range) of \(models[index].count) bytes: \(String(describing: code))")
        }
    }

    /// Two buffers for a transaction: any, or such as fit the channel. Nil where there are not two.
    private func choose(_ number: Int, _ source: Int, _ target: Int, _ fits: Bool) -> (source: Int, target: Int)? {
        guard models.count >= 2 else { return nil }
        func pick(_ wanted: Int, _ access: DeviceAccess, but other: Int?) -> Int {
            let all = models.indices.filter { $0 != other }
            let fitting = all.filter { models[$0].space == number && models[$0].direction.access.isSuperset(of: access) }
            let choice = fits && !fitting.isEmpty ? fitting : all
            return choice[wanted % choice.count]
        }
        let first = pick(source, .read, but: nil)
        return (first, pick(target, .write, but: first))
    }

    private mutating func submit(
        _ number: Int, _ kind: Int, _ pair: (source: Int, target: Int), _ offsets: (UInt64, UInt64), _ count: UInt64,
        _ deadline: Deadline
    ) throws(ProgramFailure) {
        let (from, to) = (models[pair.source], models[pair.target])
        // The later one first, so that the other's index does not change.
        let isSourceLater = pair.source > pair.target
        guard let later = mapped.remove(at: max(pair.source, pair.target)),
            let earlier = mapped.remove(at: min(pair.source, pair.target))
        else { return }
        models.remove(at: max(pair.source, pair.target))
        models.remove(at: min(pair.source, pair.target))
        let request = Request(kind, from, to, offsets, count, name: nextName)
        nextName += 1
        let cargo = isSourceLater ? Client.Two(later, earlier) : Client.Two(earlier, later)
        let isOfSpace =
            clients.withElement(at: number) {
                ($0.space == from.space || !request.readsFirst) && $0.space == to.space || request.movesNothing
            } ?? false
        var refused = FixedArray<Client.Two>(capacity: 1)
        var offered = FixedArray<Client.Two>(capacity: 1)
        _ = offered.append(cargo)
        try clients.withMutableElement(at: number) { client throws(ProgramFailure) in
            guard let cargo = offered.popLast() else { return }
            let isLegal = isOfSpace && request.isLegal && client.takes(request.operation.kind)
            let back = try client.submit(
                request.operation, cargo, request.model, isLegal: isLegal, deadline: deadline)
            if let back { _ = refused.append(back) }
        }
        guard let back = refused.popLast() else { return }
        keep(back.first, from)
        keep(back.second, to)
    }

    private mutating func reopen(_ number: Int, _ wrapping: Wrapping, _ engine: BottomEngine) throws(ProgramFailure) {
        let domain = spaces[number]
        let seed = nextName
        opened.append((wrapping, engine))
        nextName += 1
        do throws(DMAError) {
            try clients.withMutableElement(at: number) { client throws(DMAError) in
                client = try Client(wrapping, engine, domain, space: number, seed: seed)
            }
        } catch { throw ProgramFailure("\(engine.name) in \(wrapping.rawValue): \(error)") }
    }

    // MARK: What always holds

    /// The engines of the channels, the last opened first.
    private var names: [String] { opened.map { "\($0.1.name) in \($0.0.rawValue)" } }

    private var inFlight: Int {
        (0..<2).reduce(0) { $0 + (clients.withElement(at: $1) { $0.inFlight.count } ?? 0) }
    }

    private func check() throws(ProgramFailure) {
        for number in 0..<2 {
            let found = clients.withElement(at: number) { client -> String? in
                client.oracle.violations.first.map { "\(client.name) \($0)" }
            }
            if let found = found ?? nil { throw ProgramFailure(found + ", which is not in flight") }
        }
        if let fault = backend.faults.first { throw ProgramFailure("the translation: \(fault)") }
    }

    private mutating func end() throws(ProgramFailure) {
        for number in 0..<2 {
            clients.withElement(at: number) { client in
                outcome.finished += client.finished
                outcome.moved += client.oracle.moved
            }
        }
        try check()
        clients.removeAll()
        backend.refuse(0)
        while !models.isEmpty { try unmap(models.count - 1) }
        // A channel quarantines its cargo under its own address space, even if it is mapped for another: an operation without
        // memory accepts any cargo.
        let left = spaces.reduce(0) { $0 + $1.statistics.mappings }
        let parked = Quarantine.entries.count { entry in spaces.contains { $0.id == entry.domain } }
        guard left == 0 || parked > 0 else { throw ProgramFailure("\(left) mappings are left, and none is parked") }
        for domain in spaces {
            // SAFETY: every engine of the program has ended, and none acts unless it is called.
            do throws(DMAError) { _ = try unsafe Quarantine.unsafeReleaseAll(of: domain.id) } catch {
                throw ProgramFailure("what was parked is not released: \(error)")
            }
        }
        for domain in spaces where domain.statistics.mappings > 0 {
            throw ProgramFailure("\(domain.statistics.mappings) mappings are left of \(domain.name), which no value owns")
        }
        guard backend.count == 0 else { throw ProgramFailure("\(backend.count) translations are left") }
        try check()
    }
}

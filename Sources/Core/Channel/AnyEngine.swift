// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// Any engine, for clients that learn only at run time which one they got.
///
/// One allocation when it is made; after that each of the engine's functions costs one indirect call. The three of the fast path
/// are stored as functions of their own, made where the engine's type is known, so that they are compiled for that type; the others
/// go through a class.
@frozen @safe
public struct AnyEngine: ~Copyable, Engine {
    @usableFromInline let engine: UnsafeMutableRawPointer
    @usableFromInline let enqueueFunction: (UnsafeMutableRawPointer, UnsafePointer<Descriptor>, UInt32, UnsafeMutablePointer<AnyAnswer>) -> UInt8
    @usableFromInline let issueFunction: (UnsafeMutableRawPointer) -> Void
    @usableFromInline let nextFunction: (UnsafeMutableRawPointer, UnsafeMutablePointer<AnyAnswer>) -> Bool
    /// Where the functions put what does not fit in a register: kept, so that no call has to make an empty one first.
    @usableFromInline let answer: UnsafeMutablePointer<AnyAnswer>
    @usableFromInline let table: EngineTable

    /// Takes an engine in.
    @inlinable
    public init<E: Engine & ~Copyable>(_ engine: consuming E) {
        // SAFETY: the engine is stored in memory of its own, which only this value and its table know; both end together. The functions
        // are called with that memory alone, and with `answer`, which lives as long.
        let place = UnsafeMutablePointer<E>.allocate(capacity: 1)
        unsafe place.initialize(to: engine)
        unsafe self.engine = UnsafeMutableRawPointer(place)
        unsafe enqueueFunction = { engine, descriptor, tag, answer in
            switch unsafe engine.assumingMemoryBound(to: E.self).pointee.enqueue(descriptor.pointee, tag: tag) {
            case .accepted: return 0
            case .full: return 1
            case .deviceGone: return 2
            case .refused(let error):
                unsafe answer.pointee.refusal = error
                return 3
            }
        }
        unsafe issueFunction = { engine in unsafe engine.assumingMemoryBound(to: E.self).pointee.issuePending() }
        unsafe nextFunction = { engine, answer in
            guard let completion = unsafe engine.assumingMemoryBound(to: E.self).pointee.next() else { return false }
            unsafe answer.pointee.completion = completion
            return true
        }
        unsafe answer = .allocate(capacity: 1)
        unsafe answer.initialize(to: AnyAnswer())
        table = unsafe TypedEngineTable(place)
    }

    /// The same engine, which holds `owner` until it has ended. No second box is put around it.
    public consuming func owned(by owner: any AnyObject & Sendable) -> AnyEngine {
        table.owners.append(owner)
        return self
    }

    deinit {
        // SAFETY: allocated by the initializer, and this value ends once.
        unsafe answer.deallocate()
    }

    public var capabilities: Capabilities { table.capabilities }
    public var addressing: EngineAddressing { table.addressing }
    public var isGone: Bool { table.isGone }
    public var interruptLine: InterruptLine? { table.interruptLine }
    public var figures: [EngineFigure] { table.figures }

    @unsafe @inlinable @inline(__always)
    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        // SAFETY: the function was made for the type of the engine at this place; the caller vouches for the descriptor.
        let result = unsafe withUnsafePointer(to: descriptor) { unsafe enqueueFunction(engine, $0, tag, answer) }
        if result == 0 { return .accepted }
        return refusal(result)
    }

    @usableFromInline @inline(never)
    func refusal(_ result: UInt8) -> EnqueueResult {
        switch result {
        case 1: .full
        case 2: .deviceGone
        // SAFETY: `answer` lives as long as `self`.
        default: .refused(unsafe answer.pointee.refusal)
        }
    }

    @inlinable @inline(__always)
    public mutating func issuePending() {
        // SAFETY: as for `enqueue`.
        unsafe issueFunction(engine)
    }
    @inlinable @inline(__always)
    public mutating func next() -> Completion? {
        // SAFETY: as for `enqueue`.
        unsafe nextFunction(engine, answer) ? answer.pointee.completion : nil
    }

    public mutating func terminate() { table.terminate() }
    public mutating func quiesce(by deadline: Deadline) -> Bool { table.quiesce(by: deadline) }
    public mutating func willBeParked() { table.willBeParked() }
    public mutating func pause() -> Bool { table.pause() }
    public mutating func resume() -> Bool { table.resume() }
    public mutating func residue(of tag: UInt32) -> UInt64? { table.residue(of: tag) }
    public mutating func configure(_ configuration: EngineConfiguration) throws(DMAError) { try table.configure(configuration) }
    /// Applies settings of the engine inside.
    ///
    /// - Throws: `foreignSettings` where they are of another type; what the engine throws.
    public mutating func apply(_ settings: AnySettings) throws(DMAError) { try table.apply(settings.value) }
    public mutating func checkCommand(_ descriptor: Descriptor) throws(DMAError) { try table.checkCommand(descriptor) }
    public mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { try table.attach(file) }
    public mutating func detach(_ number: UInt32) throws(DMAError) { try table.detach(number) }
    public mutating func wait(until deadline: Deadline) -> Bool { table.wait(until: deadline) }
}

/// Settings of an engine whose type is known only at run time.
public struct AnySettings: Sendable {
    let value: any Sendable
    /// Wraps settings: those of the engine that they are for.
    public init(_ settings: some Sendable) { value = settings }
}

/// What the functions of an ``AnyEngine`` answer beside their result.
@usableFromInline @frozen
struct AnyAnswer {
    @usableFromInline var completion = Completion(tag: 0)
    @usableFromInline var refusal = DMAError(.engineFailed)
    @inlinable init() {}
}

/// The functions off the fast path; the class for its table of functions, and its end for the engine's.
@usableFromInline
class EngineTable {
    /// Held until the engine has ended, which a subclass sees to in its deinit.
    final var owners: [any AnyObject & Sendable] = []
    @usableFromInline init() {}
    var capabilities: Capabilities { Capabilities(name: "none", operations: []) }
    var addressing: EngineAddressing { .cpu }
    var isGone: Bool { false }
    var interruptLine: InterruptLine? { nil }
    var figures: [EngineFigure] { [] }
    func terminate() {}
    func quiesce(by deadline: Deadline) -> Bool { true }
    func willBeParked() {}
    func pause() -> Bool { false }
    func resume() -> Bool { false }
    func residue(of tag: UInt32) -> UInt64? { nil }
    func configure(_ configuration: EngineConfiguration) throws(DMAError) { throw DMAError(.notPeripheral) }
    func apply(_ settings: any Sendable) throws(DMAError) { throw DMAError(.foreignSettings) }
    func checkCommand(_ descriptor: Descriptor) throws(DMAError) {}
    func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { throw DMAError(.notPeripheral) }
    func detach(_ number: UInt32) throws(DMAError) { throw DMAError(.notPeripheral) }
    func wait(until deadline: Deadline) -> Bool { true }
}

@usableFromInline @safe
final class TypedEngineTable<E: Engine & ~Copyable>: EngineTable {
    // SAFETY: owned by this object: initialized when it is made, and not reached by anybody else while one of its functions runs.
    private let engine: UnsafeMutablePointer<E>

    /// Owns `engine`, which is initialized and allocated alone.
    @usableFromInline @unsafe
    init(_ engine: UnsafeMutablePointer<E>) {
        unsafe self.engine = engine
        super.init()
    }

    deinit {
        // SAFETY: see `engine`.
        unsafe engine.deinitialize(count: 1)
        unsafe engine.deallocate()
    }

    // SAFETY, for each of these: see `engine`.
    override var capabilities: Capabilities { unsafe engine.pointee.capabilities }
    override var addressing: EngineAddressing { unsafe engine.pointee.addressing }
    override var isGone: Bool { unsafe engine.pointee.isGone }
    override var interruptLine: InterruptLine? { unsafe engine.pointee.interruptLine }
    override var figures: [EngineFigure] { unsafe engine.pointee.figures }
    override func terminate() { unsafe engine.pointee.terminate() }
    override func quiesce(by deadline: Deadline) -> Bool { unsafe engine.pointee.quiesce(by: deadline) }
    override func willBeParked() { unsafe engine.pointee.willBeParked() }
    override func pause() -> Bool { unsafe engine.pointee.pause() }
    override func resume() -> Bool { unsafe engine.pointee.resume() }
    override func residue(of tag: UInt32) -> UInt64? { unsafe engine.pointee.residue(of: tag) }
    override func configure(_ configuration: EngineConfiguration) throws(DMAError) {
        try unsafe engine.pointee.configure(configuration)
    }
    override func apply(_ settings: any Sendable) throws(DMAError) {
        guard let settings = settings as? E.Settings else { throw DMAError(.foreignSettings) }
        try unsafe engine.pointee.apply(settings)
    }
    override func checkCommand(_ descriptor: Descriptor) throws(DMAError) {
        try unsafe engine.pointee.checkCommand(descriptor)
    }
    override func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { try unsafe engine.pointee.attach(file) }
    override func detach(_ number: UInt32) throws(DMAError) { try unsafe engine.pointee.detach(number) }
    override func wait(until deadline: Deadline) -> Bool { unsafe engine.pointee.wait(until: deadline) }
}

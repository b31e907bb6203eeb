// SPDX-License-Identifier: Apache-2.0

/// Any engine, for clients that learn only at run time which one they got.
///
/// One allocation when it is made; after that each of the engine's functions costs one indirect call. The three of the steady path
/// are stored as functions of their own, made where the engine's type is known, so that they are compiled for that type; the others
/// go through a class.
@frozen @safe
public struct AnyEngine: ~Copyable, Engine {
    @usableFromInline let engine: UnsafeMutableRawPointer
    @usableFromInline let enqueueFunction: (UnsafeMutableRawPointer, UnsafePointer<Descriptor>, UInt32) -> Bool
    @usableFromInline let issueFunction: (UnsafeMutableRawPointer) -> Void
    @usableFromInline let nextFunction: (UnsafeMutableRawPointer, UnsafeMutablePointer<Completion>) -> Bool
    /// Where `nextFunction` puts what it found: kept, so that no call has to make an empty one first.
    @usableFromInline let answer: UnsafeMutablePointer<Completion>
    @usableFromInline let table: EngineTable

    /// Takes an engine in.
    @inlinable
    public init<E: Engine & ~Copyable>(_ engine: consuming E) {
        // The engine stands in memory of its own, which only this value and its table know; both end together.
        let place = UnsafeMutablePointer<E>.allocate(capacity: 1)
        unsafe place.initialize(to: engine)
        unsafe self.engine = UnsafeMutableRawPointer(place)
        unsafe enqueueFunction = { engine, descriptor, tag in
            unsafe engine.assumingMemoryBound(to: E.self).pointee.enqueue(descriptor.pointee, tag: tag)
        }
        unsafe issueFunction = { engine in unsafe engine.assumingMemoryBound(to: E.self).pointee.issuePending() }
        unsafe nextFunction = { engine, result in
            guard let completion = unsafe engine.assumingMemoryBound(to: E.self).pointee.next() else { return false }
            unsafe result.pointee = completion
            return true
        }
        unsafe answer = .allocate(capacity: 1)
        unsafe answer.initialize(to: Completion(tag: 0))
        table = unsafe TypedEngineTable(place)
    }

    deinit { unsafe answer.deallocate() }

    public var capabilities: Capabilities { table.capabilities }
    public var interruptLine: InterruptLine? { table.interruptLine }
    public var figures: [EngineFigure] { table.figures }

    @inlinable @inline(__always)
    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> Bool {
        unsafe withUnsafePointer(to: descriptor) { unsafe enqueueFunction(engine, $0, tag) }
    }
    @inlinable @inline(__always)
    public mutating func issuePending() { unsafe issueFunction(engine) }
    @inlinable @inline(__always)
    public mutating func next() -> Completion? {
        unsafe nextFunction(engine, answer) ? answer.pointee : nil
    }

    public mutating func terminate() { table.terminate() }
    public mutating func quiesce(by deadline: Deadline) -> Bool { table.quiesce(by: deadline) }
    public mutating func pause() -> Bool { table.pause() }
    public mutating func resume() -> Bool { table.resume() }
    public mutating func residue(of tag: UInt32) -> UInt64? { table.residue(of: tag) }
    public mutating func configure(_ configuration: EngineConfiguration) throws(DMAError) { try table.configure(configuration) }
    public mutating func checkCommand(_ descriptor: Descriptor) throws(DMAError) { try table.checkCommand(descriptor) }
    public mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { try table.attach(file) }
    public mutating func detach(_ number: UInt32) throws(DMAError) { try table.detach(number) }
    public mutating func wait(until deadline: Deadline) -> Bool { table.wait(until: deadline) }
}

/// The functions off the steady path; the class for its table of functions, and its end for the engine's.
@usableFromInline
class EngineTable {
    @usableFromInline init() {}
    var capabilities: Capabilities { Capabilities(name: "none", operations: []) }
    var interruptLine: InterruptLine? { nil }
    var figures: [EngineFigure] { [] }
    func terminate() {}
    func quiesce(by deadline: Deadline) -> Bool { true }
    func pause() -> Bool { false }
    func resume() -> Bool { false }
    func residue(of tag: UInt32) -> UInt64? { nil }
    func configure(_ configuration: EngineConfiguration) throws(DMAError) { throw DMAError(.notPeripheral) }
    func checkCommand(_ descriptor: Descriptor) throws(DMAError) {}
    func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { throw DMAError(.notPeripheral) }
    func detach(_ number: UInt32) throws(DMAError) { throw DMAError(.notPeripheral) }
    func wait(until deadline: Deadline) -> Bool { true }
}

@usableFromInline @safe
final class TypedEngineTable<E: Engine & ~Copyable>: EngineTable {
    private let engine: UnsafeMutablePointer<E>

    /// Owns `engine`, which is initialized and allocated alone.
    @usableFromInline @unsafe
    init(_ engine: UnsafeMutablePointer<E>) {
        unsafe self.engine = engine
        super.init()
    }

    deinit {
        unsafe engine.deinitialize(count: 1)
        unsafe engine.deallocate()
    }

    override var capabilities: Capabilities { unsafe engine.pointee.capabilities }
    override var interruptLine: InterruptLine? { unsafe engine.pointee.interruptLine }
    override var figures: [EngineFigure] { unsafe engine.pointee.figures }
    override func terminate() { unsafe engine.pointee.terminate() }
    override func quiesce(by deadline: Deadline) -> Bool { unsafe engine.pointee.quiesce(by: deadline) }
    override func pause() -> Bool { unsafe engine.pointee.pause() }
    override func resume() -> Bool { unsafe engine.pointee.resume() }
    override func residue(of tag: UInt32) -> UInt64? { unsafe engine.pointee.residue(of: tag) }
    override func configure(_ configuration: EngineConfiguration) throws(DMAError) {
        try unsafe engine.pointee.configure(configuration)
    }
    override func checkCommand(_ descriptor: Descriptor) throws(DMAError) {
        try unsafe engine.pointee.checkCommand(descriptor)
    }
    override func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { try unsafe engine.pointee.attach(file) }
    override func detach(_ number: UInt32) throws(DMAError) { try unsafe engine.pointee.detach(number) }
    override func wait(until deadline: Deadline) -> Bool { unsafe engine.pointee.wait(until: deadline) }
}

// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

/// Any engine, for clients that select one at run time.
///
/// It is allocated once, when it is made; each of the engine's functions then costs one indirect call. The three functions of
/// the fast path are stored as pointers to functions specialized for the engine's type; the others go through a class.
@frozen @safe
public struct AnyEngine: ~Copyable, Engine {
    /// The engine, with room before it for what its functions return beside their results: see ``AnyAnswer``.
    @usableFromInline let engine: UnsafeMutableRawPointer
    /// Enqueues an operation without operand list and detail. All arguments fit in registers: tag, flags and kind in one word,
    /// then source, destination, count and value.
    @usableFromInline let enqueuePlain: (UnsafeMutableRawPointer, UInt64, UInt64, UInt64, UInt64, UInt64) -> UInt8
    @usableFromInline let enqueueFull: (UnsafeMutableRawPointer, UnsafePointer<Descriptor>, UInt32) -> UInt8
    @usableFromInline let issueFunction: (UnsafeMutableRawPointer) -> Void
    @usableFromInline let nextFunction: (UnsafeMutableRawPointer) -> AnyCompletion
    @usableFromInline let table: EngineTable

    /// Takes ownership of an engine.
    @inlinable
    public init<E: Engine & ~Copyable>(_ engine: consuming E) {
        // SAFETY: one allocation holds the answer and the engine behind it, aligned for both. Only this value and its table
        // know it, and both end together. The functions are called only with its address.
        let alignment = max(64, MemoryLayout<E>.alignment)
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: alignment + MemoryLayout<E>.stride, alignment: alignment)
        let place = unsafe (memory + alignment).bindMemory(to: E.self, capacity: 1)
        unsafe AnyAnswer.of(UnsafeMutableRawPointer(place)).initialize(to: AnyAnswer())
        unsafe place.initialize(to: engine)
        unsafe self.engine = UnsafeMutableRawPointer(place)
        unsafe enqueuePlain = { engine, words, source, destination, count, value in
            let descriptor = unsafe Descriptor(
                kind: unsafeBitCast(UInt8(truncatingIfNeeded: words >> 48), to: OperationKind.self),
                flags: DescriptorFlags(rawValue: UInt16(truncatingIfNeeded: words >> 32)), source: source,
                destination: destination, count: count, value: value)
            return unsafe AnyAnswer.code(
                engine.assumingMemoryBound(to: E.self).pointee.enqueue(
                    descriptor, tag: UInt32(truncatingIfNeeded: words)), engine)
        }
        unsafe enqueueFull = { engine, descriptor, tag in
            unsafe AnyAnswer.code(
                engine.assumingMemoryBound(to: E.self).pointee.enqueue(descriptor.pointee, tag: tag), engine)
        }
        unsafe issueFunction = { engine in unsafe engine.assumingMemoryBound(to: E.self).pointee.issuePending() }
        unsafe nextFunction = { engine in
            guard let completion = unsafe engine.assumingMemoryBound(to: E.self).pointee.next() else {
                return AnyCompletion(word: 0, value: 0)
            }
            if completion.isPlain {
                return AnyCompletion(word: UInt64(completion.tag) | AnyCompletion.plain, value: completion.value)
            }
            unsafe AnyAnswer.of(engine).pointee.completion = completion
            return AnyCompletion(word: AnyCompletion.stored, value: 0)
        }
        table = unsafe TypedEngineTable(place, memory)
    }

    /// The same engine, which also keeps `owner` alive until it has ended. No second box is allocated.
    public consuming func owned(by owner: any AnyObject & Sendable) -> AnyEngine {
        table.owners.append(owner)
        return self
    }

    public var capabilities: Capabilities { table.capabilities }
    public var addressing: EngineAddressing { table.addressing }
    public var isGone: Bool { table.isGone }
    public var interruptLine: InterruptLine? { table.interruptLine }
    public var figures: [EngineFigure] { table.figures }

    @unsafe @inlinable @inline(__always)
    public mutating func enqueue(_ descriptor: Descriptor, tag: UInt32) -> EnqueueResult {
        // SAFETY: the functions were made for the type of the engine at this address; the caller vouches for the descriptor.
        let code: UInt8
        if descriptor.kind.rawValue <= OperationKind.copyCRC32C.rawValue, unsafe descriptor.metadata == nil {
            let words =
                UInt64(tag) | UInt64(descriptor.flags.rawValue) << 32 | UInt64(descriptor.kind.rawValue) << 48
            code = unsafe enqueuePlain(
                engine, words, descriptor.source, descriptor.destination, descriptor.count, descriptor.value)
        } else {
            code = unsafe withUnsafePointer(to: descriptor) { unsafe enqueueFull(engine, $0, tag) }
        }
        if code == 0 { return .accepted }
        return refusal(code)
    }

    @usableFromInline @inline(never)
    func refusal(_ code: UInt8) -> EnqueueResult {
        switch code {
        case 1: .full
        case 2: .deviceGone
        // SAFETY: the answer lives as long as `self`.
        default: .refused(unsafe AnyAnswer.of(engine).pointee.refusal)
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
        let found = unsafe nextFunction(engine)
        if found.word & AnyCompletion.plain != 0 {
            return Completion(tag: UInt32(truncatingIfNeeded: found.word), value: found.value)
        }
        if found.word == 0 { return nil }
        return unsafe AnyAnswer.of(engine).pointee.completion
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
    /// - Throws: `foreignSettings` where they have another type; errors of the engine.
    public mutating func apply(_ settings: AnySettings) throws(DMAError) { try table.apply(settings.value) }
    public mutating func checkCommand(_ descriptor: Descriptor) throws(DMAError) { try table.checkCommand(descriptor) }
    public mutating func attach(_ file: PeripheralFile) throws(DMAError) -> UInt32 { try table.attach(file) }
    public mutating func detach(_ number: UInt32) throws(DMAError) { try table.detach(number) }
    public mutating func wait(until deadline: Deadline) -> Bool { table.wait(until: deadline) }
}

/// Settings of an engine whose type is known only at run time.
public struct AnySettings: Sendable {
    let value: any Sendable
    /// Wraps the settings of one engine type.
    public init(_ settings: some Sendable) { value = settings }
}

/// A plain completion in registers: the tag with a mark, and the value.
@usableFromInline @frozen
struct AnyCompletion {
    @usableFromInline let word: UInt64
    @usableFromInline let value: UInt64
    @inlinable
    init(word: UInt64, value: UInt64) {
        self.word = word
        self.value = value
    }
    /// The low bits are the tag; the transaction completed in full.
    @inlinable static var plain: UInt64 { 1 << 32 }
    /// The completion is stored in the answer.
    @inlinable static var stored: UInt64 { 1 << 33 }
}

/// What the functions of an ``AnyEngine`` return beside their result. It lies just before the engine.
@usableFromInline @frozen
struct AnyAnswer {
    @usableFromInline var completion = Completion(tag: 0)
    @usableFromInline var refusal = DMAError(.engineFailed)
    @inlinable init() {}

    @unsafe @inlinable
    static func of(_ engine: UnsafeMutableRawPointer) -> UnsafeMutablePointer<AnyAnswer> {
        // SAFETY: the initializer of `AnyEngine` reserves 64 bytes or more before the engine, aligned to 64.
        unsafe (engine - 64).assumingMemoryBound(to: AnyAnswer.self)
    }

    /// The outcome of `enqueue` in one byte; the reason of a refusal is stored.
    @unsafe @inlinable @inline(__always)
    static func code(_ result: EnqueueResult, _ engine: UnsafeMutableRawPointer) -> UInt8 {
        switch result {
        case .accepted: return 0
        case .full: return 1
        case .deviceGone: return 2
        case .refused(let error):
            // SAFETY: as for `of`.
            unsafe AnyAnswer.of(engine).pointee.refusal = error
            return 3
        }
    }
}

/// The functions outside the fast path: the class provides the table of functions, and its deinit ends the engine.
@usableFromInline
class EngineTable {
    /// Kept alive until the engine has ended, which a subclass ends in its deinit.
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
    // SAFETY, for both: owned by this object, initialized when it is made, and not accessed by other code while one of its
    // functions runs.
    private let engine: UnsafeMutablePointer<E>
    private let memory: UnsafeMutableRawPointer

    /// Takes ownership of `engine`, which is initialized, and of `memory`, which contains it.
    @usableFromInline @unsafe
    init(_ engine: UnsafeMutablePointer<E>, _ memory: UnsafeMutableRawPointer) {
        // SAFETY: the caller transfers both pointers, and only this object's deinit frees the memory.
        unsafe self.engine = engine
        unsafe self.memory = memory
        super.init()
    }

    deinit {
        // SAFETY: see `engine`.
        unsafe engine.deinitialize(count: 1)
        unsafe memory.deallocate()
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

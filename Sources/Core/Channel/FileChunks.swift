// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

extension SharedChannel where C == Loan {
    /// Reads a file from beginning to end, several chunks ahead of the client.
    ///
    /// ```swift
    /// for try await chunk in try await files.chunks(of: PeripheralFile(descriptor), size: 1 << 20) {
    ///     total += chunk.withBytes { $0.byteCount }
    /// }
    /// ```
    ///
    /// Memory is reused once the client has released a chunk; a client that keeps chunks uses more memory, and nothing waits.
    /// Where the client stops early, submitted reads complete in the background, and their chunks are dropped.
    ///
    /// - Parameters:
    ///   - file: one with positions and an end: a regular file or a disk. The channel's engine duplicates the descriptor.
    ///   - size: bytes of a chunk, 1 or more; the last chunk may be shorter.
    ///   - depth: the number of chunks read ahead, 1 or more.
    ///   - patience: the time limit of one read, in milliseconds.
    /// - Returns: a sequence that can be iterated once. It throws the errors of ``read(_:into:by:)``; after one of them, or at
    ///   the end, it returns nil.
    /// - Throws: as ``attach(_:)``; `zeroLength` for a size or a depth below 1; `outOfMemory` where that many chunks exceed the
    ///   memory that this process can have.
    public func chunks(
        of file: PeripheralFile, size: Int, depth: Int = 8, patience: Int = 60_000
    ) throws(DMAError) -> some AsyncSequence<FileChunk, any Error> & Sendable {
        guard size > 0, depth > 0 else { throw DMAError(.zeroLength) }
        // Each chunk takes at least a page, and the client holds one beyond those read ahead.
        let (bytes, overflow) = UInt64(max(size, 4096)).multipliedReportingOverflow(by: UInt64(depth) + 1)
        guard !overflow, bytes <= MemoryBudget.current.available else {
            throw DMAError(.outOfMemory, asked: overflow ? .max : bytes)
        }
        let reader = ChunkReader(self, try attach(file), size: size, depth: depth, patience: Int64(patience))
        return AsyncThrowingStream { try await reader.next() }
    }
}

/// A part of a file, in memory that is reused when the last reference is released.
///
/// Thread rules: any thread may read it.
// SAFETY: the buffer is only read, until `deinit`.
public final class FileChunk: @unchecked Sendable {
    /// The offset in the file, in bytes.
    public let offset: UInt64
    /// Bytes.
    public let count: Int
    /// Set until `deinit`, which returns it for reuse.
    private var buffer: MappedBuffer?
    /// For calls that lend the chunk to a channel.
    let handle: MappingHandle
    private let store: ChunkStore

    init(_ buffer: consuming MappedBuffer, offset: UInt64, count: Int, _ store: ChunkStore) {
        handle = buffer.mapping.handle
        self.buffer = consume buffer
        self.offset = offset
        self.count = count
        self.store = store
    }

    deinit { if let buffer = buffer.take() { store.put(buffer) } }

    /// Reads the bytes inside `body`.
    ///
    /// - Throws: errors of `body`; `quarantined` where a call to which the chunk was lent gave up on its device.
    public func withBytes<R: ~Copyable>(_ body: (RawSpan) throws -> R) throws -> R {
        switch buffer {
        case nil: throw DMAError(.quarantined)
        case let buffer?: return try buffer.withCPUAccess(0..<count, body)
        }
    }
}

/// Mapped buffers of released chunks, for reuse by later reads.
final class ChunkStore: Sendable {
    private let free: Locked<FixedArray<MappedBuffer>>

    init(most: Int) { free = Locked(FixedArray(capacity: most)) }

    // Beyond the capacity it is unmapped.
    func put(_ buffer: consuming MappedBuffer) {
        var rest: MappedBuffer? = consume buffer
        free.withLock { free in
            // A buffer that a call has lent and given up on is not reused.
            guard free.count < free.capacity, let buffer = rest.take(), (try? buffer.mapping.checkExclusive()) != nil else {
                return
            }
            rest = free.append(buffer)
        }
        _ = consume rest
    }

    func take() -> MappedBuffer? { free.withLock { $0.popLast() } }
}

/// Reads chunks ahead, and returns them in order.
actor ChunkReader {
    private let channel: SharedChannel<Loan>
    private let file: UInt32
    private let size: Int
    private let depth: Int
    private let patience: Int64
    private let store: ChunkStore
    /// Chunks being read, the next one first.
    private var window: [Task<FileChunk, any Error>] = []
    /// The offset of the next chunk; nil after the last possible one.
    private var place: UInt64? = 0
    private var isOver = false

    init(_ channel: SharedChannel<Loan>, _ file: UInt32, size: Int, depth: Int, patience: Int64) {
        self.channel = channel
        self.file = file
        self.size = size
        self.depth = depth
        self.patience = patience
        store = ChunkStore(most: depth + 1)
    }

    // Cancels the reads in progress, and detaches the file when the last of them has ended.
    deinit {
        let (channel, file, window) = (channel, file, window)
        if isOver, window.isEmpty { return }
        Task.detached { await Self.end(window, channel, file) }
    }

    func next() async throws -> FileChunk? {
        while !isOver, window.count < depth, let begin = place {
            window.append(read(at: begin))
            let (end, overflow) = begin.addingReportingOverflow(UInt64(size))
            place = overflow ? nil : end
        }
        guard !window.isEmpty else { return nil }
        let first = window.removeFirst()
        let result = await withTaskCancellationHandler {
            await first.result
        } onCancel: {
            first.cancel()
        }
        switch result {
        case .success(let chunk):
            if chunk.count < size { await finish() }
            return chunk.count > 0 ? chunk : nil
        case .failure(let error):
            await finish()
            throw error
        }
    }

    /// The file has ended: reads requested beyond its end return nothing.
    private func finish() async {
        guard !isOver else { return }
        isOver = true
        let rest = window
        window = []
        await Self.end(rest, channel, file)
    }

    private static func end(_ window: [Task<FileChunk, any Error>], _ channel: SharedChannel<Loan>, _ file: UInt32) async {
        for task in window { task.cancel() }
        for task in window { _ = await task.result }
        // A read that gave up on its device keeps the number busy; the engine closes the file when it ends.
        try? await channel.detach(file)
    }

    private func read(at place: UInt64) -> Task<FileChunk, any Error> {
        let (channel, store, size, file, patience) = (channel, store, size, file, patience)
        return Task.detached {
            var buffer: MappedBuffer
            if let used = store.take() {
                buffer = used
            } else {
                buffer = try Buffer(count: size).mapped(for: channel.domain, direction: .bidirectional)
            }
            let count = try await channel.read(
                PeripheralPlace(number: file, position: place), into: &buffer, by: .after(milliseconds: patience))
            return FileChunk(buffer, offset: place, count: count, store)
        }
    }
}

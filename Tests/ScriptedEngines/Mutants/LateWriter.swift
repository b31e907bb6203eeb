// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMAEngineKit
import DMAThreads
import Synchronization

/// Writes to the destinations of terminated transfers, from a thread, for a while.
///
/// It writes as a device does: through the kernel, from a file, and by no instruction of this process. Writing to memory that
/// belongs to the client again is the fault that a suite must find in the memory's contents.
final class LateWriter: Sendable {
    /// Threads that have not ended, of all writers.
    fileprivate static let running = Atomic(0)
    private let isOver = Atomic(false)
    private let thread = Locked<NativeThread?>(nil)

    /// - Parameters:
    ///   - descriptors: of terminated transactions. Their destinations stay valid until ``stop()`` has returned.
    ///   - time: milliseconds after which the thread ends on its own.
    init(_ descriptors: [Descriptor], forMilliseconds time: Int64) {
        let limit = Deadline.after(milliseconds: time)
        let addresses = descriptors.map(\.destination).filter { $0 != 0 }
        Self.running.add(1, ordering: .relaxed)
        let thread = try? NativeThread { [self] in
            defer { Self.running.subtract(1, ordering: .releasing) }
            let file = unsafe cdma_shared_memory("late", 1, 0)
            defer { if file >= 0 { _ = cdma_close(file) } }
            let pause = InterruptLine()
            while !isOver.load(ordering: .acquiring), Deadline.now < limit {
                for address in addresses { Self.increment(address, by: file) }
                _ = pause.wait(after: 0, until: .after(nanoseconds: 300_000))
            }
        }
        if thread == nil { Self.running.subtract(1, ordering: .relaxed) }
        self.thread.withLock { $0 = thread }
    }

    /// Ends the thread and waits for it.
    func stop() {
        isOver.store(true, ordering: .releasing)
        thread.withLock { $0.take() }?.join()
    }

    /// Changes the byte at `address`, whatever its value.
    private static func increment(_ address: UInt64, by file: Int32) {
        var memory = cdma_segment(address: address, count: 1)
        var byte: UInt8 = 0
        // SAFETY: the segment is a byte that the writer's creator vouches for, and the second one is `byte` alone, for the time
        // of the call.
        unsafe withUnsafeMutablePointer(to: &byte) { pointer in
            var own = cdma_segment(address: UInt64(UInt(bitPattern: pointer)), count: 1)
            _ = unsafe cdma_file_write(file, &memory, 1, 0, 0)
            _ = unsafe cdma_file_read(file, &own, 1, 0, 0)
            unsafe pointer.pointee &+= 1
            _ = unsafe cdma_file_write(file, &own, 1, 0, 0)
            _ = unsafe cdma_file_read(file, &memory, 1, 0, 0)
        }
    }
}

/// All writers of a maker's engines: the owner of the memory ends them before it frees it.
public final class LateWriters: Sendable {
    private let writers = Locked<[LateWriter]>([])

    /// None so far.
    public init() {}

    /// The threads of all writers in the process that have not ended.
    public static var running: Int { LateWriter.running.load(ordering: .acquiring) }

    /// Starts a writer for the destinations of `descriptors`, which stay valid until it is stopped here or by the engine.
    func start(_ descriptors: [Descriptor]) -> LateWriter {
        let writer = LateWriter(descriptors, forMilliseconds: 10_000)
        writers.withLock { $0.append(writer) }
        return writer
    }

    /// Ends their threads and waits for them.
    public func stop() {
        let all = writers.withLock { writers in
            defer { writers = [] }
            return writers
        }
        for writer in all { writer.stop() }
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit
import DMAIOUringEngine

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A file of 4 MiB in memory, deleted with the process.
func memoryFile() -> Int32 {
    var path = Array("/dev/shm/dma-counted-XXXXXX".utf8CString)
    let file = unsafe path.withUnsafeMutableBufferPointer { path in
        let start = unsafe path.baseAddress.unsafelyUnwrapped
        let file = unsafe mkstemp(start)
        unsafe _ = unlink(start)
        return file
    }
    // Written, so that no read allocates a page.
    let bytes = [UInt8](repeating: 1, count: 4 << 20)
    _ = unsafe write(file, bytes, bytes.count)
    return file
}

/// Random reads of 4 KiB at the depth, by the engine alone: the work of fio's `io_uring` engine.
@inline(never)
func hotIOUring(_ engine: inout IOUringEngine, _ memory: UInt64, _ operations: UInt64) -> UInt64 {
    var random: UInt64 = 88_172_645_463_325_252
    var done: UInt64 = 0
    var tag: UInt32 = 0
    while UInt64(tag) < depth {
        guard read(&engine, memory, tag, &random) else { return 0 }
        tag += 1
    }
    engine.issuePending()
    while done < operations {
        guard let completion = engine.next() else {
            _ = engine.wait(until: .never)
            continue
        }
        done += 1
        guard read(&engine, memory, completion.tag, &random) else { return 0 }
        engine.issuePending()
    }
    return done
}

@inline(__always)
private func read(_ engine: inout IOUringEngine, _ memory: UInt64, _ tag: UInt32, _ random: inout UInt64) -> Bool {
    // Xorshift, as cheap as fio's.
    random ^= random << 13
    random ^= random >> 7
    random ^= random << 17
    var descriptor = unsafe Descriptor(
        kind: .peripheral, destination: memory &+ UInt64(tag) &* 4096, count: 4096, value: (random & 1023) << 12)
    descriptor.destinationCount = 1
    return unsafe engine.enqueue(descriptor, tag: tag) == .accepted
}

/// The same through a channel, with a leased block for each read.
@inline(never)
func hotIOUringChannel(
    _ channel: inout Channel<IOUringEngine, Block>, _ pool: consuming Pool, _ operations: UInt64
) -> UInt64 {
    var random: UInt64 = 88_172_645_463_325_252
    var done: UInt64 = 0
    var inFlight: UInt64 = 0
    while done < operations {
        while inFlight < depth, let block = pool.lease() {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            switch channel.submit(.fromPeripheral(0..<1, at: .at((random & 1023) << 12)), block) {
            case .queued: inFlight += 1
            case .refused: return 0
            }
        }
        channel.issuePending()
        guard channel.next() != nil else {
            _ = try? channel.wait(until: .never)
            continue
        }
        inFlight -= 1
        done += 1
    }
    return done
}

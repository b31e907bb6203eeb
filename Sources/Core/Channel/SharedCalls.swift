// SPDX-License-Identifier: Apache-2.0

// One call for one operation on a channel that tasks share.

/// Each of these returns when the operation is over, or throws, and the buffers are the caller's again; only where a call ends at its
/// deadline, or because the device is gone and did not stop, they refuse every access (`quarantined`) until the device is done with them.
///
/// They throw what ``Channel/submit(_:_:)`` refuses with; `cancelled`, where the call had no turn yet; `deadlinePassed`; `deviceGone`;
/// `engineFailed`; `terminating`, where another task terminated the channel.
extension SharedChannel where C == Loan {
    /// Copies the whole of `source` to the beginning of `target`.
    ///
    /// - Throws: as all of these; `outOfRange` where the target is shorter.
    public nonisolated func copy(
        _ source: borrowing MappedBuffer, to target: inout MappedBuffer, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) {
        let range = try source.rangeOfCopy(to: target)
        _ = try await run(LoanSteps(.copy, source.mapping.handle, target.mapping.handle, range: range), by: deadline)
    }

    /// CRC32C (Castagnoli, reflected) of the whole buffer, continuing `seed`, which is the CRC of what came before.
    public nonisolated func crc32c(
        of source: borrowing MappedBuffer, seed: UInt32 = 0, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) -> UInt32 {
        let steps = LoanSteps(.crc32c, source.mapping.handle, nil, range: source.wholeRange)
        return UInt32(truncatingIfNeeded: try await run(steps, from: UInt64(seed), by: deadline).value)
    }

    /// CRC32C of a chunk, which is mapped for this channel's domain, continuing `seed`.
    public nonisolated func crc32c(
        of chunk: FileChunk, seed: UInt32 = 0, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) -> UInt32 {
        let steps = LoanSteps(.crc32c, chunk.handle, nil, range: 0..<UInt64(chunk.count))
        return UInt32(truncatingIfNeeded: try await run(steps, from: UInt64(seed), by: deadline).value)
    }

    /// Fills the whole buffer with a pattern of 8 bytes, lowest byte first.
    public nonisolated func fill(
        _ target: inout MappedBuffer, pattern: UInt64, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) {
        _ = try await run(LoanSteps(.fill(pattern), nil, target.mapping.handle, range: target.wholeRange), by: deadline)
    }

    /// Fills the buffer from a peripheral.
    ///
    /// - Returns: bytes: fewer than the buffer has where the peripheral has no more.
    public nonisolated func read(
        _ place: PeripheralPlace, into target: inout MappedBuffer, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) -> Int {
        let steps = LoanSteps(.read(place), nil, target.mapping.handle, range: target.wholeRange)
        return Int(clamping: try await run(steps, by: deadline).moved)
    }

    /// Copies the whole of `source` to the beginning of `target` over several channels at a time, each of which takes a part.
    ///
    /// - Parameters:
    ///   - source: mapped for the channels' domain.
    ///   - target: mapped for it as well, at least as long as the source.
    ///   - channels: one or more, of one domain. 64 MiB are given to each at a time.
    ///   - deadline: by when all of it is copied.
    /// - Throws: the first reason; then the other channels have ended their parts too.
    public static func copy(
        _ source: borrowing MappedBuffer, to target: inout MappedBuffer, over channels: [SharedChannel],
        by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) {
        let range = try source.rangeOfCopy(to: target)
        guard !channels.isEmpty else { throw DMAError(.noSuchChannel) }
        // Parts begin on pages.
        let part = max(4096, (range.upperBound / UInt64(channels.count) + 4095) & ~4095)
        // The tasks end before this returns, until when the buffers are this function's.
        let (from, to) = (source.mapping.handle, target.mapping.handle)
        let failure = await withTaskGroup(of: DMAError?.self) { group in
            for (index, channel) in channels.enumerated() {
                let (begin, overflow) = part.multipliedReportingOverflow(by: UInt64(index))
                guard !overflow, begin < range.upperBound else { break }
                let end = min(range.upperBound, begin + part)
                group.addTask {
                    do throws(DMAError) {
                        _ = try await channel.run(
                            LoanSteps(.copy, from, to, range: begin..<end, most: 64 << 20), by: deadline)
                        return nil
                    } catch { return error }
                }
            }
            var failure: DMAError?
            for await error in group { failure = failure ?? error }
            return failure
        }
        if let failure { throw failure }
    }

    /// As `run` of a channel of one's own.
    nonisolated func run(
        _ steps: LoanSteps, from value: UInt64 = 0, by deadline: Deadline
    ) async throws(DMAError) -> (value: UInt64, moved: UInt64) {
        var steps = steps
        var (value, moved): (UInt64, UInt64) = (value, 0)
        while let operation = steps.next(after: value) {
            let finished = try await run(operation, steps.loan(), by: deadline).get()
            value = finished.value
            moved += operation.length - finished.residue
            if finished.residue > 0 { break }
        }
        return (value, moved)
    }
}

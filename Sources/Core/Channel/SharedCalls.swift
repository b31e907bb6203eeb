// SPDX-License-Identifier: Apache-2.0

// One call per operation on a channel that tasks share.

/// Each call returns or throws when the operation has ended, and the caller has the buffers back. Where a call ends at its
/// deadline, or because the device is gone and did not stop, the buffers refuse every access (`quarantined`) until the device
/// has finished with them.
///
/// They throw the refusals of ``Channel/submit(_:_:)``; `cancelled`, where the operation was not submitted yet;
/// `deadlinePassed`; `deviceGone`; `engineFailed`; `terminating`, where another task terminated the channel.
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

    /// Returns the CRC32C (Castagnoli, reflected) of the whole buffer, continuing from `seed`, the CRC of the preceding data.
    public nonisolated func crc32c(
        of source: borrowing MappedBuffer, seed: UInt32 = 0, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) -> UInt32 {
        let steps = LoanSteps(.crc32c, source.mapping.handle, nil, range: source.wholeRange)
        return UInt32(truncatingIfNeeded: try await run(steps, from: UInt64(seed), by: deadline).value)
    }

    /// Returns the CRC32C of a chunk that is mapped for this channel's domain, continuing from `seed`.
    public nonisolated func crc32c(
        of chunk: FileChunk, seed: UInt32 = 0, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) -> UInt32 {
        let steps = LoanSteps(.crc32c, chunk.handle, nil, range: 0..<UInt64(chunk.count))
        return UInt32(truncatingIfNeeded: try await run(steps, from: UInt64(seed), by: deadline).value)
    }

    /// Fills the whole buffer with a pattern of 8 bytes, least significant byte first.
    public nonisolated func fill(
        _ target: inout MappedBuffer, pattern: UInt64, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) {
        _ = try await run(LoanSteps(.fill(pattern), nil, target.mapping.handle, range: target.wholeRange), by: deadline)
    }

    /// Fills the buffer from a peripheral.
    ///
    /// - Returns: the number of bytes: fewer than the buffer has at the end of the peripheral's data.
    public nonisolated func read(
        _ place: PeripheralPlace, into target: inout MappedBuffer, by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) -> Int {
        let steps = LoanSteps(.read(place), nil, target.mapping.handle, range: target.wholeRange)
        return Int(clamping: try await run(steps, by: deadline).moved)
    }

    /// Copies the whole of `source` to the beginning of `target`, split over several channels.
    ///
    /// - Parameters:
    ///   - source: mapped for the channels' domain.
    ///   - target: mapped for it as well, at least as long as the source.
    ///   - channels: one or more, of one domain. Each takes 64 MiB at a time.
    ///   - deadline: the latest time for the end of the whole copy.
    /// - Throws: the first error; the other channels have ended their parts by then.
    public static func copy(
        _ source: borrowing MappedBuffer, to target: inout MappedBuffer, over channels: [SharedChannel],
        by deadline: Deadline = .after(milliseconds: 60_000)
    ) async throws(DMAError) {
        let range = try source.rangeOfCopy(to: target)
        guard !channels.isEmpty else { throw DMAError(.noSuchChannel) }
        // Parts begin at page boundaries.
        let part = max(4096, (range.upperBound / UInt64(channels.count) + 4095) & ~4095)
        // The tasks end before this returns, and this function owns the buffers until then.
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

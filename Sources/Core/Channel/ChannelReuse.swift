// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

// Reuse and metadata of descriptors (rules 25 and 28).

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Submits a finished transaction again, as it was: `dmaengine_desc_set_reuse` (rule 25).
    ///
    /// - Returns: refused with `notReusable` where it was submitted without `DescriptorFlags.reuse`, or its descriptor was
    ///   reclaimed since because the queue was full.
    public mutating func resubmit(_ finished: consuming Finished<C>) -> Submission<C> {
        // SAFETY: `takeReserved` returns numbers of slots, and an operation was written there when this one was submitted for
        // reuse.
        guard let slot = takeReserved(finished.cookie) else {
            return .refused(DMAError(.notReusable), finished.takeCargo())
        }
        let operation = unsafe arena.operations[slot]
        free(slot)
        return submit(operation, finished.takeCargo())
    }

    /// Gives a reusable descriptor back: `dmaengine_desc_free`. Returns the cargo.
    public mutating func retire(_ finished: consuming Finished<C>) -> C {
        if let slot = takeReserved(finished.cookie) { free(slot) }
        return finished.takeCargo()
    }

    mutating func reserve(_ slot: Int) {
        // SAFETY: callers pass numbers of slots, and `records` has one for each; a slot is in one list at a time.
        unsafe records[slot].isDone = false
        unsafe records[slot].isReserved = true
        unsafe reserved.append(slot, records)
    }

    /// Takes the slot that is kept for a transaction to run again out of the list, or answers nil where none is.
    mutating func takeReserved(_ cookie: Cookie) -> Int? {
        // SAFETY: the mask makes it a slot's number, and `records` has one for each.
        let slot = Int(truncatingIfNeeded: cookie.rawValue & limits.indexMask)
        guard table.sequence(slot) == cookie.rawValue, unsafe reserved.remove(slot, records) else { return nil }
        return slot
    }

    /// Ends the reservation of a slot that was taken out of the list.
    mutating func free(_ slot: Int) {
        recycle(slot)
        forgetRecord()
    }

    /// Takes back the descriptor that has waited longest to be used again. False where none waits.
    @usableFromInline
    mutating func reclaimReserved() -> Bool {
        // SAFETY: the list holds numbers of slots, and `records` has one for each.
        guard let slot = unsafe reserved.popFirst(records) else { return false }
        free(slot)
        return true
    }
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Submits with metadata in client mode (rule 28): the bytes are copied beside the descriptor now, and are the device's from then.
    ///
    /// - Parameters:
    ///   - operation: what is to be done.
    ///   - cargo: what it works on.
    ///   - metadata: at most the capabilities' `metadataCount` bytes.
    /// - Returns: refused with `noMetadata` where the channel has none, or not as much.
    public mutating func submit(_ operation: Operation, _ cargo: consuming C, metadata: RawSpan) -> Submission<C> {
        // SAFETY: `find` returns a slot's number, for which the area has a stride of 64 bytes; `metadata` has at most
        // `metadataCount` bytes, which the limits hold to the stride, and the index stays below its count.
        guard metadata.byteCount > 0, metadata.byteCount <= traits.metadataCount, let area = unsafe arena.metadata else {
            return .refused(
                DMAError(.noMetadata, asked: UInt64(metadata.byteCount), limit: UInt64(traits.metadataCount)), cargo)
        }
        switch submit(operation, cargo) {
        case .refused(let error, let cargo):
            return .refused(error, cargo)
        case .queued(let cookie):
            if let slot = try? find(cookie) {
                let target = unsafe area + slot * SlotArena.metadataStride
                for index in 0..<metadata.byteCount {
                    unsafe target.storeBytes(
                        of: metadata.unsafeLoad(fromByteOffset: index, as: UInt8.self), toByteOffset: index, as: UInt8.self)
                }
                unsafe records[slot].metadataSequence = cookie.rawValue
            }
            return .queued(cookie)
        }
    }

    /// The metadata of a descriptor, while it is not the device's: before it is issued (engine mode alone), and between its end and
    /// the taking of its completion.
    ///
    /// - Throws: `noMetadata`, `staleCookie` after its lifetime, `metadataInUse` while the device has it or client mode forbids it.
    public mutating func withMetadata<R: ~Copyable>(of cookie: Cookie, _ body: (inout MutableRawSpan) -> R) throws(DMAError)
        -> R
    {
        // SAFETY: `find` returns a slot's number, for which the area has a stride, and `metadataCount` is no more than that. The
        // span does not leave `body`, in which this channel is not accessible, and the engine does not have these bytes: the guard
        // has made sure.
        guard traits.metadataCount > 0, let area = unsafe arena.metadata else { throw DMAError(.noMetadata) }
        poll()
        let slot = try find(cookie)
        let isQueued = unsafe cookie.rawValue >= issuedEnd && records[slot].metadataSequence != cookie.rawValue
        guard unsafe isQueued || records[slot].isDone else { throw DMAError(.metadataInUse) }
        var span = unsafe MutableRawSpan(
            _unsafeStart: area + slot * SlotArena.metadataStride, byteCount: traits.metadataCount)
        return body(&span)
    }
}

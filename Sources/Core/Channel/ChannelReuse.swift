// SPDX-License-Identifier: Apache-2.0

public import DMAEngineKit

// Reuse and metadata of descriptors (rules 25 and 28).

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Submits a finished transaction again, unchanged: `dmaengine_desc_set_reuse` (rule 25).
    ///
    /// - Returns: `refused` with `notReusable` where it was submitted without `DescriptorFlags.reuse`, or its descriptor was
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

    /// Frees a reusable descriptor: `dmaengine_desc_free`. Returns the cargo.
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

    /// Removes the slot that is kept for a reusable transaction from the list; nil where none is kept.
    mutating func takeReserved(_ cookie: Cookie) -> Int? {
        // SAFETY: the mask makes it a slot's number, and `records` has one for each.
        let slot = Int(truncatingIfNeeded: cookie.rawValue & limits.indexMask)
        guard table.sequence(slot) == cookie.rawValue, unsafe reserved.remove(slot, records) else { return nil }
        return slot
    }

    /// Ends the reservation of a slot that was removed from the list.
    mutating func free(_ slot: Int) {
        recycle(slot)
        forgetRecord()
    }

    /// Reclaims the reusable descriptor that has waited longest. False where there is none.
    @usableFromInline
    mutating func reclaimReserved() -> Bool {
        // SAFETY: the list holds numbers of slots, and `records` has one for each.
        guard let slot = unsafe reserved.popFirst(records) else { return false }
        free(slot)
        return true
    }
}

extension Channel where E: ~Copyable, C: ~Copyable {
    /// Submits with metadata in client mode (rule 28): the bytes are copied into the descriptor, and belong to the device from
    /// then on.
    ///
    /// - Parameters:
    ///   - operation: the operation.
    ///   - cargo: what it works on.
    ///   - metadata: at most the capabilities' `metadataCount` bytes.
    /// - Returns: `refused` with `noMetadata` where the channel has none, or less than that.
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

    /// Lends the metadata of a descriptor while the device does not own it: before it is issued (engine mode only), and between
    /// its completion and the call that takes it.
    ///
    /// - Throws: `noMetadata`, `staleCookie` after its lifetime, `metadataInUse` while the device owns it or client mode
    ///   forbids the access.
    public mutating func withMetadata<R: ~Copyable>(of cookie: Cookie, _ body: (inout MutableRawSpan) -> R) throws(DMAError)
        -> R
    {
        // SAFETY: `find` returns a slot's number, for which the area has a stride, and `metadataCount` is at most that. The
        // span does not leave `body`, in which this channel is not accessible, and the guard has checked that the engine does
        // not own these bytes.
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

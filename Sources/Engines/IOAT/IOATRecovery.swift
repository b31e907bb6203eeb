// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess
internal import DMACore
internal import DMADriverKit
public import DMAEngineKit
internal import DMAIOATSpecification
internal import DMARegisters

/// Everything that is looked at when a poll finds nothing, and what is done about it.
extension IOATEngine {
    /// A transaction of several descriptors, a validation, or one that has failed.
    @usableFromInline @inline(never)
    mutating func nextSlowly() -> Completion? {
        // SAFETY: see `slots`.
        let slot = unsafe slots[Int(head & mask)]
        // Some of its descriptors may be done, and more of them since.
        guard isHeadDone(slot) || lookAtCompletion() && isHeadDone(slot) else { return idle() }
        let end = head &+ slot.taken
        let value = slot.has(IOATSlot.validates) ? cold.found : 0
        let wasFirst = cold.failedAt == head
        head = end
        // The completion names a descriptor and not its extension.
        if Int32(bitPattern: done &- head) < 0 { done = head }
        cold.found = 0
        guard slot.has(IOATSlot.fails), let failure = cold.lastFailure else { return Completion(tag: slot.tag, value: value) }
        let mine =
            wasFirst || failure.reason == .noCompletion
            ? failure : IOATFailure(.interrupted, failure.status, 0)
        return Completion(
            tag: slot.tag, status: wasFirst ? mine.transaction : .failed, deviceStatus: mine.deviceStatus, residue: slot.count)
    }

    private func isHeadDone(_ slot: IOATSlot) -> Bool { done != head && done &- head >= slot.span }

    /// A completion that is not simply one more: whether more is done than before.
    @usableFromInline @inline(never)
    mutating func lookSlowly(_ word: UInt64) -> Bool {
        seen = word
        guard head != issued else {
            cold.strayCompletions &+= 1
            return false
        }
        let status = IOATStatus(word: word)
        let before = done
        let state = status[.state] as IOATState?
        // What comes with a state that means nothing means nothing either.
        if state == .active || state == .idle || state == .halted, let position = position(of: status.completed) {
            advance(to: position)
        }
        switch state {
        case .active, .idle:
            if before == done {
                let offset = status.completed &- start
                // A descriptor that does not run any more, or not yet: one that was dropped, whose completion comes late. Others are none of ours.
                if offset >> 6 <= UInt64(mask) { cold.strayCompletions &+= 1 } else { note(.badCompletion) }
            }
        case .halted: note(.halted)
        default: note(.badStatus)
        }
        return before != done
    }

    private mutating func note(_ reason: IOATFailure.Reason) {
        cold.trouble = reason
        cold.noticed = seen
        detours.insert(.trouble)
    }

    /// The position of a descriptor that runs; nil for any other address.
    private func position(of address: UInt64) -> UInt32? {
        let offset = address &- start
        guard offset >> 6 <= UInt64(mask), offset & 63 == 0 else { return nil }
        let ahead = (UInt32(truncatingIfNeeded: offset >> 6) &- head) & mask
        return ahead < issued &- head ? head &+ ahead : nil
    }

    /// The descriptor at `position` is done, and those before it.
    private mutating func advance(to position: UInt32) {
        let end = position &+ 1
        if Int32(bitPattern: end &- done) > 0 { done = end }
    }

    /// Where the channel goes on behind `done`: behind an extension of what is done.
    private func following() -> UInt32 {
        guard done != head else { return done }
        // SAFETY: see `slots`.
        return unsafe slots[Int((done &- 1) & mask)].has(IOATSlot.hasExtension) ? done &+ 1 : done
    }

    // MARK: Looking

    /// Nothing is done for a while, or something is to be dealt with.
    @usableFromInline @inline(never)
    mutating func idleSlowly() -> Completion? {
        if detours.contains(.stepped) {
            cold.device.look()
            if lookAtCompletion() { return nextReady() }
        }
        guard mayLook() else { return nil }
        if cold.trouble == nil { cold.trouble = check() }
        guard let reason = cold.trouble else { return done != head ? nextReady() : nil }
        recover(reason)
        return done != head ? nextReady() : nil
    }

    /// The next completion, where something is done.
    private mutating func nextReady() -> Completion? {
        // SAFETY: see `slots`.
        let slot = unsafe slots[Int(head & mask)]
        // A part of a transaction is no completion; to go on looking would have no bound.
        return isHeadDone(slot) ? nextSlowly() : nil
    }

    private mutating func mayLook() -> Bool {
        guard head != issued || cold.trouble != nil, detours.isDisjoint(with: [.paused, .terminated, .lost]),
            !cold.device.isGone
        else {
            cold.limit = nil
            return false
        }
        return true
    }

    /// Whether a poll has something to find.
    mutating func isReady() -> Bool {
        _ = lookAtCompletion()
        if isGone || detours.contains(.trouble) { return true }
        // SAFETY: see `slots`.
        if unsafe isHeadDone(slots[Int(head & mask)]) { return true }
        guard mayLook(), let reason = check() else { return false }
        cold.trouble = reason
        detours.insert(.trouble)
        return true
    }

    /// Reads the status register now and then, and looks at the clock: what is wrong, if anything is.
    private mutating func check() -> IOATFailure.Reason? {
        let now = Deadline.now
        guard let limit = cold.limit, cold.mark == done else {
            cold.mark = done
            cold.looks = 0
            cold.limit = .after(cold.device.configuration.patience)
            cold.statusDue = .after(milliseconds: 5)
            return nil
        }
        // Not by the clock alone: without a poll for a while, the time may be over although nothing is wrong.
        cold.looks += 1
        guard now >= cold.statusDue, cold.looks >= 4 else { return nil }
        cold.statusDue = .after(milliseconds: 5)
        let status = registers.read(IOATChannel.status)
        // Reading a register pushes what the device has written before: the completion may be there now.
        if lookAtCompletion() || cold.device.isGone { return nil }
        if status.isAllOnes { return .noAnswer }
        switch status[.state] as IOATState? {
        case .active, .idle: break
        case .halted: return .halted
        case .suspended where cold.mayBeSuspended:
            cold.mayBeSuspended = false
            settle(status)
            startChain()
            return nil
        default: return .badStatus
        }
        guard now >= limit, cold.looks >= 16 else { return nil }
        if let position = position(of: status.completed), Int32(bitPattern: position &+ 1 &- done) > 0 { return .noCompletion }
        return .timeout
    }

    // MARK: Recovering

    /// Ends what has failed, and goes on behind it.
    private mutating func recover(_ reason: IOATFailure.Reason) {
        let status = registers.read(IOATChannel.status)
        let errors = registers.read(IOATChannel.errors)
        cold.trouble = nil
        detours.remove(.trouble)
        guard !cold.device.isGone else { return }
        if reason == .halted, settleValidation(status, errors) { return }
        var shown = status.word
        if reason == .badCompletion || reason == .badStatus, !status.isAllOnes { shown = cold.noticed ?? status.word }
        cold.noticed = nil
        let end = endOfWhatMayHaveRun(status)
        cold.failures &+= 1
        cold.lastFailure = IOATFailure(
            status.isAllOnes ? .noAnswer : reason, shown, status.isAllOnes ? .max : errors.word)
        bringBack()
        // What is lost is told by `isGone`; its memory is for `quiesce`.
        guard !detours.contains(.lost) else { return }
        cold.failedAt = head
        var place = head
        // Ends: each transaction takes a descriptor at least, and they end at `issued`.
        while place != end {
            // SAFETY: see `slots`.
            let slot = unsafe slots[Int(place & mask)]
            unsafe slots[Int(place & mask)].shape = slot.shape | IOATSlot.fails
            place &+= max(slot.taken, 1)
            if Int32(bitPattern: place &- end) >= 0 { break }
        }
        done = end
        cold.found = 0
        if issued == done { detours.insert(.fresh) } else { startChain() }
        // Those behind a failure are reported by polls, as it is itself.
        cold.line.raise()
    }

    /// A validation that has found a difference halts the channel as an error does: it is a result.
    private mutating func settleValidation(_ status: IOATStatus, _ errors: IOATErrors) -> Bool {
        var results = IOATErrors(word: 0)
        results[.p] = true
        results[.q] = true
        guard !status.isAllOnes, !errors.isAllOnes, errors.word != 0, errors.word & ~results.word == 0 else { return false }
        let before = done
        if let position = position(of: status.completed) { advance(to: position) }
        let failed = following()
        // SAFETY: see `slots`.
        let slot = unsafe slots[Int(head & mask)]
        // What is done in between is reported first: then this one is at the head.
        guard slot.has(IOATSlot.validates), failed &- head < slot.taken else {
            guard before != done else { return false }
            detours.insert(.trouble)
            cold.trouble = .halted
            return true
        }
        cold.found |= (errors[.p] ? 1 : 0) | (errors[.q] ? 2 : 0)
        done = failed &+ 1
        done = following()
        registers.clear(errors, in: IOATChannel.errors)
        if issued == done { detours.insert(.fresh) } else { startChain() }
        return true
    }

    /// The end of the transactions that the channel may have done something of. What lies behind it was not begun, and may run later.
    private func endOfWhatMayHaveRun(_ status: IOATStatus) -> UInt32 {
        guard !status.isAllOnes, (status[.state] as IOATState?) != nil else { return issued }
        var reached = done
        if let position = position(of: status.completed) {
            if Int32(bitPattern: position &+ 1 &- reached) > 0 { reached = position &+ 1 }
        } else if status.completed != 0, (status.completed &- start) >> 6 > UInt64(mask) {
            return issued
        }
        var place = head
        // Ends: each transaction takes a descriptor at least, and they end at `issued`.
        while place != issued {
            // SAFETY: see `slots`.
            let slot = unsafe slots[Int(place & mask)]
            let end = place &+ max(slot.taken, 1)
            let isDone = Int32(bitPattern: reached &- (place &+ slot.span)) >= 0
            // Those that are done, and the first that is not: the channel may be in the middle of it.
            if !isDone || end == issued { return end }
            place = end
        }
        return issued
    }

    /// Resets the channel; where that does not help, the device; where that does not either, the channel is lost.
    private mutating func bringBack() {
        cold.channelResets &+= 1
        cold.mayBeSuspended = false
        let limit = cold.device.configuration.restartLimit
        if Self.reset(registers, cold.device, by: .after(limit)) { return }
        cold.deviceResets &+= 1
        if cold.device.restart(by: .after(limit)) { return }
        detours.insert(.lost)
        cold.isOff = cold.device.switchOff()
        cold.line.raise()
    }

    /// Stops a channel and brings it to its first state: suspended, aborted where that does not come, errors cleared, reset. Whether the channel says so.
    ///
    /// As Linux's `ioat_reset_hw` and SPDK's `ioat_reset_hw`, which do without the abort.
    static func reset(_ registers: borrowing RegisterWindow, _ device: IOATDevice, by deadline: Deadline) -> Bool {
        if !suspend(registers, device, by: min(deadline, .after(milliseconds: 20))) {
            registers.write(.abort, to: IOATChannel.command)
            _ = wait(device, until: min(deadline, .after(milliseconds: 20))) { stands(registers) }
        }
        let errors = registers.read(IOATChannel.errors)
        if errors.isAllOnes { return false }
        registers.clear(errors, in: IOATChannel.errors)
        registers.write(.reset, to: IOATChannel.command)
        return wait(device, until: deadline) {
            let command = registers.read(IOATChannel.command)
            return !command.isAllOnes && !command[.resets] && stands(registers)
        }
    }

    /// Suspends a channel: whether it says in time that it stands still.
    static func suspend(_ registers: borrowing RegisterWindow, _ device: IOATDevice, by deadline: Deadline) -> Bool {
        if stands(registers) { return true }
        registers.write(.suspend, to: IOATChannel.command)
        return wait(device, until: deadline) { stands(registers) }
    }

    /// What a channel that stands still has done: its status register says it, also where it has written no completion.
    mutating func settle(_ status: IOATStatus) {
        _ = lookAtCompletion()
        guard !status.isAllOnes else { return }
        if let position = position(of: status.completed) { advance(to: position) }
        done = following()
    }

    /// Whether a channel says that it does nothing, and will do nothing until it is told to.
    private static func stands(_ registers: borrowing RegisterWindow) -> Bool {
        let status = registers.read(IOATChannel.status)
        guard !status.isAllOnes, let state = status[.state] as IOATState? else { return false }
        return state == .suspended || state == .halted
    }

    static func wait(_ device: IOATDevice, until deadline: Deadline, _ isSo: () -> Bool) -> Bool {
        var looks = 0
        while !isSo() {
            guard !device.isGone else { return false }
            // A few looks always: the thread may have waited for a processor until the deadline was over.
            looks += 1
            guard Deadline.now < deadline || looks < 4 else { return false }
            device.look()
            device.transport.pause(until: max(deadline, .after(nanoseconds: 100_000)))
        }
        return true
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import DMAAccess
internal import DMACore
internal import DMADriverKit
public import DMAEngineKit
internal import DMAIOATSpecification
internal import DMARegisters

/// Starting, pausing and ending.
extension IOATEngine {
    /// Links the ring for good, and starts the channel by a descriptor that moves nothing: that it is reported as done proves that descriptors are read
    /// and completions written.
    ///
    /// - Returns: that completion.
    static func begin(
        _ device: IOATDevice, _ channel: Int, _ registers: borrowing RegisterWindow,
        _ ring: inout RingMemory<IOATDescriptor>, _ completion: inout RingMemory<UInt64>
    ) throws(AccessError) -> UInt64 {
        for index in 0..<ring.count {
            var descriptor = IOATDescriptor()
            descriptor.next = ring.address(of: index + 1).rawValue
            ring.write(descriptor, at: index)
        }
        var control = IOATControl(.copy)
        control[.isNull] = true
        control[.writesCompletion] = true
        var first = IOATDescriptor(control, size: 1)
        first.next = ring.address(of: 1).rawValue
        ring.write(first, at: 0)
        let limit = Deadline.after(device.configuration.restartLimit)
        let expected = ring.address(of: 0).rawValue
        if reset(registers, device, by: limit) {
            program(registers, completion: completion.address(of: 0).rawValue, chain: expected, count: 1)
            let isDone = wait(device, until: limit) {
                let word = IOATStatus(word: completion.word(0, at: 0, as: UInt64.self) ?? 0)
                return word.completed == expected && word[.state] == IOATState.idle
            }
            if isDone { return IOATStatus(.idle, completed: expected).word }
        }
        let failure = IOATFailure(
            .timeout, registers.read(IOATChannel.status).word, registers.read(IOATChannel.errors).word)
        // It may still write a completion: its bus master goes off with the device, or here.
        if !reset(registers, device, by: .after(milliseconds: 200)), !device.switchOff() {
            ring.quarantine()
            completion.quarantine()
        }
        device.giveBack(channel)
        throw AccessError(
            device.isGone ? .gone : .notReady, device: device.transport.name,
            device.transport.goneReason ?? "channel \(channel) does not report its first descriptor: \(failure)",
            cure: "reset the device, or use another channel")
    }

    /// Tells a channel that stands still what to run.
    private static func program(_ registers: borrowing RegisterWindow, completion: UInt64, chain: UInt64, count: UInt16) {
        registers.write(.run, to: IOATChannel.control)
        registers.write(completion, to: IOATChannel.completionAddress)
        registers.write(chain, to: IOATChannel.chainAddress)
        registers.write(count, to: IOATChannel.count)
    }

    /// Lets the channel, which stands still, run everything from `done` up to `issued`.
    mutating func startChain() {
        if cold.isOff {
            cold.deviceResets &+= 1
            guard cold.device.restart(by: .after(cold.device.configuration.restartLimit)) else {
                detours.insert(.lost)
                return cold.line.raise()
            }
            cold.isOff = false
        }
        // What was completed last time is none of this chain's.
        completion.publish(UInt64(0), at: 0, word: 0)
        seen = 0
        chainStart = done
        cold.limit = nil
        detours.remove(.fresh)
        Self.program(
            registers, completion: completion.address(of: 0).rawValue,
            chain: ring.address(of: Int(truncatingIfNeeded: done)).rawValue,
            count: UInt16(truncatingIfNeeded: issued &- chainStart))
    }

    /// Issues on a channel without a chain, or one that is paused.
    @usableFromInline @inline(never)
    mutating func issueSlowly() {
        guard detours.isDisjoint(with: [.terminated, .lost]) else { return }
        issued = tail
        if !detours.contains(.paused) { startChain() }
    }

    // MARK: Pausing

    public mutating func pause() -> Bool {
        guard detours.isDisjoint(with: [.terminated, .lost]), !cold.device.isGone else { return false }
        if detours.contains(.paused) { return true }
        if detours.contains(.fresh) {
            detours.insert(.paused)
            return true
        }
        guard Self.suspend(registers, cold.device, by: .after(cold.device.configuration.restartLimit)) else {
            cold.mayBeSuspended = true
            return false
        }
        settle(registers.read(IOATChannel.status))
        detours.insert(.paused)
        return true
    }

    public mutating func resume() -> Bool {
        guard detours.contains(.paused), detours.isDisjoint(with: [.terminated, .lost]) else { return false }
        detours.remove(.paused)
        if issued == done {
            detours.insert(.fresh)
        } else if registers.read(IOATChannel.errors).word != 0 {
            // It had halted before: the next poll finds it so.
            cold.limit = nil
        } else {
            startChain()
        }
        return true
    }

    // MARK: Ending

    /// Drops everything. Positions are not used again before the ring has gone round: a completion that comes late names none that runs.
    private mutating func drop() {
        if head != tail { cold.droppedFrom = head }
        head = tail
        done = tail
        issued = tail
        cold.found = 0
        cold.trouble = nil
        detours.subtract([.paused, .trouble])
    }

    public mutating func terminate() {
        if !detours.contains(.lost), !detours.contains(.fresh) { registers.write(.suspend, to: IOATChannel.command) }
        detours.insert(.terminated)
        drop()
    }

    public mutating func quiesce(by deadline: Deadline) -> Bool {
        drop()
        if cold.device.transport.isDead { return true }
        var isStopped = cold.isOff
        if !isStopped, !detours.contains(.lost) {
            cold.channelResets &+= 1
            isStopped = Self.reset(registers, cold.device, by: deadline)
            if !isStopped {
                cold.deviceResets &+= 1
                isStopped = cold.device.restart(by: max(deadline, .after(milliseconds: 100)))
            }
        }
        if !isStopped {
            // For a device that does not answer: what cannot write any more has stopped.
            isStopped = cold.device.switchOff()
            cold.isOff = isStopped
        }
        guard isStopped else { return false }
        cold.mayBeSuspended = false
        detours.remove(.terminated)
        detours.insert(.fresh)
        return true
    }

    public mutating func residue(of tag: UInt32) -> UInt64? {
        let first = head == tail ? cold.droppedFrom : head
        var place = first
        // Ends: the ring has no more descriptors than that.
        while place != tail, tail &- place <= mask {
            // SAFETY: see `slots`.
            let slot = unsafe slots[Int(place & mask)]
            if slot.tag == tag, slot.taken > 0 {
                let isDone = head != tail && !slot.has(IOATSlot.fails) && done &- head >= (place &- head) &+ slot.span
                return isDone ? 0 : slot.count
            }
            place &+= max(slot.taken, 1)
        }
        return nil
    }
}

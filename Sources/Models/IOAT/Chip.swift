// SPDX-License-Identifier: Apache-2.0

internal import DMADeviceSide
internal import DMAIOATSpecification
internal import DMARegisters
internal import DMATypes

/// The state of the chip behind the model's lock.
struct Chip {
    /// What a channel has, beside what all share.
    struct Channel {
        var control = IOATChannelControl(word: 0)
        var state = IOATState.halted
        var errors = IOATErrors(word: 0)
        var errorMask = IOATErrors(word: 0)
        var chain: UInt64 = 0
        var completionAddress: UInt64 = 0
        /// The address before the last reset: where a chip that has missed the change would write.
        var oldCompletionAddress: UInt64 = 0
        /// Descriptors that there are, and that are done, since the chain began.
        var count: UInt16 = 0
        var done: UInt16 = 0
        /// The descriptor that is next, and the one that was completed last.
        var current: UInt64 = 0
        var completed: UInt64 = 0
        /// The chain's address was written, and the count not yet.
        var startsChain = false
        var cacheAccess: UInt32 = 0
        // Commands that wait for the descriptor that is worked on.
        var isSuspending = false
        var isAborting = false
        var isResetting = false
        /// An interrupt was raised, and none comes until it is rearmed; and one has happened since.
        var isDisarmed = false
        var isPending = false
        // What faults have left behind.
        var isStuck = false
        var hasWrongState = false
        /// Steps that the descriptor at hand still takes; it has had its fault.
        var holdSteps = 0
        var isHeld = false
        var lateSteps = 0
        /// Bytes that are moved although their completion was written: a descriptor with its extension.
        var early: (IOATDescriptor, IOATDescriptor)?
        var earlySteps = 0

        var left: UInt16 { count &- done }
        var status: UInt64 {
            hasWrongState ? completed | 7 : IOATStatus(state, completed: completed).word
        }
    }

    /// A fault that is to happen.
    struct Plan {
        var fault: IOATFault
        /// Descriptors that go well before, and how often it happens.
        var before: Int
        var times: Int
        var channel: Int?
        var steps: Int
    }

    var generalControl: UInt8 = 0
    var interruptControl = IOATInterruptControl(word: 0)
    var attention: UInt32 = 0
    var delay: UInt16 = 0
    /// Interrupts that wait for further ones: their channels, and for how many steps.
    var gathered: UInt32 = 0
    var gatherSteps = 0
    var channels: [Channel]
    var answersAllOnes = 0
    /// The level of the interrupt, and how often it has risen since the model has looked.
    var isAsserted = false
    var rises = 0
    // Left alone by a reset.
    var plan: Plan?
    var descriptors: UInt64 = 0
    var completions: UInt64 = 0

    init(channels: Int) { self.channels = Array(repeating: Channel(), count: channels) }

    /// The state after power-up. Switches and counts stay.
    mutating func reset() {
        var fresh = Chip(channels: channels.count)
        for index in channels.indices {
            fresh.channels[index].oldCompletionAddress = channels[index].completionAddress
        }
        fresh.plan = plan
        fresh.descriptors = descriptors
        fresh.completions = completions
        self = fresh
    }

    // MARK: Interrupts

    /// A channel has something to say.
    mutating func interrupt(_ index: Int) {
        let bit = UInt32(1) << UInt32(index)
        // One that waits says this as well.
        if gathered & bit != 0 { return }
        if channels[index].isDisarmed {
            channels[index].isPending = true
            return
        }
        channels[index].isDisarmed = true
        if delay > 0 {
            if gathered == 0 { gatherSteps = Int(delay) }
            gathered |= bit
        } else {
            attention |= bit
            judge()
        }
    }

    mutating func rearm(_ index: Int) {
        channels[index].isDisarmed = false
        if channels[index].isPending {
            channels[index].isPending = false
            interrupt(index)
        }
    }

    /// The level, after something that it depends on has changed.
    mutating func judge() {
        let level = interruptControl[.isEnabled] && attention != 0
        if level, !isAsserted { rises += 1 }
        isAsserted = level
    }

    /// Time passes for what waits: whether anything still does.
    mutating func tick() -> Bool {
        if gathered != 0 {
            gatherSteps -= 1
            if gatherSteps <= 0 {
                attention |= gathered
                gathered = 0
                judge()
            }
        }
        var waits = gathered != 0
        for index in channels.indices where channels[index].lateSteps > 0 {
            channels[index].lateSteps -= 1
            if channels[index].lateSteps == 0 { interrupt(index) } else { waits = true }
        }
        return waits
    }
}

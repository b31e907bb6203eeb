// SPDX-License-Identifier: Apache-2.0

/// What a ``MutantEngine`` does wrong: one thing at a time. Without a fault it is a correct engine.
public enum Fault: String, CaseIterable, Sendable {
    // What is moved
    /// One byte in the middle of a destination is another.
    case wrongByte
    /// Fills begin with the pattern's second byte.
    case turnsPattern
    /// CRC values ignore their seed.
    case ignoresSeed
    /// CRC values of copies have a bit wrong.
    case wrongCopyCRC
    /// One byte of an XOR is another.
    case wrongXOR
    /// XOR validation is always content.
    case validatesXOR
    /// One byte of P, or of Q where there is no P, is another.
    case wrongParity
    /// P and Q failures are confused.
    case confusesPAndQ
    /// `continue` is ignored.
    case ignoresContinue
    /// The last segment of a list is left out.
    case losesSegment
    /// Interleaved transfers leave the source's gaps out.
    case ignoresSourceGap
    /// Interleaved transfers leave the destination's gaps out.
    case ignoresTargetGap
    /// The last byte from or to a peripheral is another.
    case spoilsPeripheral
    /// The first byte of a captured period is another.
    case wrongCapture
    // What is reported
    /// Every completion is reported twice.
    case reportsTwice
    /// The first completion of an engine is reported once more, after a hundred polls in which nothing happened.
    case reportsFirstAgain
    /// A completion is lost.
    case losesCompletion
    /// A completion is lost while more than three other transactions are in flight.
    case losesInCrowds
    /// After the thirtieth completion tags are those of another round.
    case forgetsRound
    /// Two completions that are ready come in the wrong order, from an engine that claims the order.
    case swapsCompletions
    /// Ends with a status that is none.
    case badStatus
    /// Failures are reported as success.
    case hidesFailure
    /// A flush ends as failed.
    case failsCommands
    /// A transaction that moves nothing is never reported.
    case losesNull
    /// The residue grows now and then.
    case growsResidue
    /// Each residue is that of the transaction under way.
    case confusesResidues
    /// Metadata comes back as it was.
    case ignoresMetadata
    /// Has room for one transaction fewer than its depth.
    case shallow
    /// The engine that is made first has fewer flags than the others.
    case changesCapabilities
    /// A ring ends after one pass.
    case endsRing
    // When it acts
    /// Starts in enqueue.
    case startsAtSubmit
    /// What is submitted while something runs is started with it.
    case startsWhileBusy
    /// A configuration reaches what was submitted before.
    case configuresEarlier
    /// Raises an interrupt for every transaction.
    case interruptsAlways
    /// Raises no interrupt.
    case neverInterrupts
    /// Small transactions overtake a fenced one.
    case ignoresFence
    /// What is added behind a long transfer that runs is lost.
    case losesExtension
    /// `terminate` waits until everything is over.
    case terminateWaits
    /// `quiesce` returns at once: what is large goes on, and is reported when it is over.
    case quiescesAtOnce
    /// What was terminated is reported complete.
    case completesTerminated
    /// Goes on while paused.
    case pauseRunsOn
    /// Goes on when its channel has ended with work under way.
    case outlivesChannel
}

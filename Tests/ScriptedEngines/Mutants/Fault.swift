// SPDX-License-Identifier: Apache-2.0

/// The fault of a ``MutantEngine``: one at a time. Without one it is a correct engine.
public enum Fault: String, CaseIterable, Sendable {
    // Moved bytes
    /// One byte in the middle of a destination is wrong.
    case wrongByte
    /// Fills begin with the pattern's second byte.
    case turnsPattern
    /// CRC values ignore their seed.
    case ignoresSeed
    /// CRC values of copies have a wrong bit.
    case wrongCopyCRC
    /// One byte of an XOR is wrong.
    case wrongXOR
    /// XOR validation always succeeds.
    case validatesXOR
    /// One byte of P, or of Q where there is no P, is wrong.
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
    /// The last byte from or to a peripheral is wrong.
    case spoilsPeripheral
    /// The first byte of a captured period is wrong.
    case wrongCapture
    // Reports
    /// Every completion is reported twice.
    case reportsTwice
    /// The first completion of an engine is reported again, after a hundred polls without an event.
    case reportsFirstAgain
    /// A completion is lost.
    case losesCompletion
    /// A completion is lost while more than three other transactions are in flight.
    case losesInCrowds
    /// After the thirtieth completion tags belong to another round.
    case forgetsRound
    /// Two completions that are ready are swapped, in an engine that declares in-order completion.
    case swapsCompletions
    /// Ends with an undefined status.
    case badStatus
    /// Failures are reported as success.
    case hidesFailure
    /// A flush ends as failed.
    case failsCommands
    /// A null transaction is never reported.
    case losesNull
    /// The residue increases now and then.
    case growsResidue
    /// Each residue is that of the running transaction.
    case confusesResidues
    /// Metadata is returned unchanged.
    case ignoresMetadata
    /// Accepts one transaction fewer than its depth.
    case shallow
    /// The first engine has fewer flags than the others.
    case changesCapabilities
    /// A ring ends after one pass.
    case endsRing
    // Timing
    /// Starts in enqueue.
    case startsAtSubmit
    /// Transactions submitted while another runs are started with it.
    case startsWhileBusy
    /// A configuration affects transactions submitted before.
    case configuresEarlier
    /// Raises an interrupt for every transaction.
    case interruptsAlways
    /// Raises no interrupt.
    case neverInterrupts
    /// Small transactions overtake a fenced one.
    case ignoresFence
    /// Transactions added behind a long running transfer are lost.
    case losesExtension
    /// `terminate` waits until everything has ended.
    case terminateWaits
    /// `quiesce` returns at once: large transfers continue, and are reported when they have ended.
    case quiescesAtOnce
    /// Terminated transactions are reported complete.
    case completesTerminated
    /// Continues while paused.
    case pauseRunsOn
    /// Continues when its channel has ended with work in flight.
    case outlivesChannel
}

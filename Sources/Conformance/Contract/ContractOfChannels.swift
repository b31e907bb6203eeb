// SPDX-License-Identifier: Apache-2.0

extension Explanation {
    private static func rule(
        _ number: Int, _ title: String, _ meaning: String, example: String, cure: String
    ) -> Explanation {
        let digits = number < 10 ? "0\(number)" : "\(number)"
        return Explanation(
            "rule\(digits)", aliases: number < 10 ? ["rule\(number)", "\(number)", digits] : [digits], .rule, title: title,
            meaning: meaning,
            example: example, cure: cure, rules: [number])
    }

    /// The 39 rules, in their order.
    package static var rules: [Explanation] {
        channelRules + terminationRules + dataRules + mappingRules.map { rule($0.0, $0.1, $0.2, example: $0.3, cure: $0.4) }
    }

    /// Rules 1 to 15.
    private static var channelRules: [Explanation] {
        [
            rule(
                1, "a channel has one owner",
                """
                The client that requested a channel uses it exclusively until it is released, at the latest at the end of \
                its scope. Releasing stops the engine; memory in flight is returned or quarantined.
                """,
                example: "Two parts of a program open the same channel of a device; the second gets channelBusy.",
                cure: "Release the channel first, request another one, or let one owner submit for both."),
            rule(
                2, "a configuration applies to later transactions only",
                """
                The peripheral, widths, bursts and the priority set by configure apply to transactions submitted \
                afterwards. Queued and running transactions keep the settings they were submitted with. The direction \
                comes from the operation, not from the configuration.
                """,
                example: """
                    A transfer is queued for request line 0, then the channel is configured for line 1: the bytes still go \
                    to line 0.
                    """,
                cure: """
                    In an engine, copy the configuration into the descriptor at enqueue; do not read it when the transfer \
                    begins.
                    """),
            rule(
                3, "prepare refuses invalid requests with a reason",
                """
                Memory is mapped for the device that does the DMA before a transaction is prepared, and stays mapped until \
                its completion. An invalid request is refused before it reaches the engine; the refusal returns the reason \
                and the cargo.
                """,
                example: "A copy of more bytes than the region has is refused with outOfRange, and the buffers are returned.",
                cure: "Read the error's message and cure; map the memory with the domain of this channel."),
            rule(
                4, "a prepared transaction is submitted once, or dropped",
                """
                A prepared transaction is either submitted or ends at the end of its scope, where its memory is unmapped. \
                It cannot be submitted twice, and it cannot be leaked.
                """,
                example: "A Transaction is made and an error is thrown before submit: its mappings end with it.",
                cure: "The compiler refuses the second submit. An engine reports each tag once."),
            rule(
                5, "submit starts nothing",
                "Submitting adds a transaction to the queue. No byte moves before issuePending.",
                example:
                    "An engine rings its doorbell in enqueue: memory changes before the client has issued the transaction.",
                cure: "Write the descriptor in enqueue, and ring the doorbell in issuePending."),
            rule(
                6, "from submit to completion the channel owns the memory",
                """
                After submit neither the client nor other code accesses the transaction or its memory. Both are returned \
                with the completion, and the mapping lasts until the client ends it.
                """,
                example: "A driver unmaps a buffer when its completion arrives, although the client has not read it yet.",
                cure: "Leave mappings to their owner; take the cargo out of Finished before using it again."),
            rule(
                7, "issuePending starts what is queued, in order",
                """
                All transactions submitted before the call are started, and run in the order of submission; later ones \
                wait for the next call.
                """,
                example: "Two copies are submitted, one before and one after issuePending: only the first one runs.",
                cure: """
                    Call issuePending after the last submission of a batch. An engine starts descriptors up to the tail at \
                    the time of the call, and no further.
                    """),
            rule(
                8, "cookies are positive, increasing and not reused",
                """
                Each transaction has a cookie larger than all earlier ones. Its status can be queried until its completion \
                is taken.
                """,
                example: "The status of a transaction is queried after next() returned it: staleCookie.",
                cure: "Use the result in Finished, and query only open transactions."),
            rule(
                9, "completions come in the declared order",
                """
                An engine declares whether it completes in order. If it does, it reports completions in the order of \
                submission; otherwise completions may come in any order, and a client checks the status of each \
                transaction.
                """,
                example: """
                    A device with two queues reports a short transfer before the long one that was submitted first, and \
                    declares in-order completion.
                    """,
                cure: "Declare the engine out of order, or report completions from a queue in the order of submission."),
            rule(
                10, "a transaction goes through defined states",
                "Queued, in progress, paused, and then one of the final states complete, failed and aborted.",
                example: "A transaction is reported complete and, at the next query, in progress.",
                cure: "Set the final state last, after all data that the client may read."),
            rule(
                11, "callbacks run in a deferred context",
                "A callback runs once, inside runCallbacks, with none of the engine's locks held.",
                example:
                    "A callback is called inside issuePending: it submits more and deadlocks on a lock that its caller holds.",
                cure: "Collect completions, and call callbacks from runCallbacks only."),
            rule(
                12, "a callback may submit more work",
                """
                Preparing, submitting and issuing are allowed inside a callback, so that a pipeline can keep itself \
                running.
                """,
                example: "Each callback submits the next block of a stream.",
                cure: "Free the finished slot before its callback runs, so that there is room for one more."),
            rule(
                13, "a completion carries its result and its residue",
                """
                The result is success, a failed read, a failed write or an abort; the residue is the number of bytes that \
                were not moved. Complete means a residue of 0, except for a peripheral that had no more data.
                """,
                example: """
                    A disk refuses a write; the completion has the status writeFailed and a residue, and the next \
                    transaction works.
                    """,
                cure: "Report the device's status unchanged; never turn a failure into complete."),
            rule(
                14, "a transaction without the interrupt flag raises no interrupt",
                """
                A transaction with the interrupt flag wakes a waiter when it ends. One without raises no interrupt, and is \
                found by polling.
                """,
                example: "A batch sets the interrupt flag on its last transaction only, and causes one wake-up.",
                cure: "Raise the line once for each completion with the flag; sleep only on a transaction that has it."),
            rule(
                15, "the next transaction does not wait for a callback",
                """
                When a transaction ends the engine continues with the next one, whether or not the completion was taken.
                """,
                example: "A client that is slow to take completions finds eight of them ready.",
                cure: "Start the next descriptor in the device or in the interrupt path, not in next()."),
        ]
    }

    /// Rules 16 to 19.
    private static var terminationRules: [Explanation] {
        [
            rule(
                16, "terminated transactions are aborted, exactly once",
                """
                Terminating drops queued and running work. A transaction that did not complete is never reported as \
                successful; its waiter gets aborted, once, and afterwards the channel works again.
                """,
                example:
                    "An engine reports a transfer complete after the channel was synchronized: its waiter gets two results.",
                cure: """
                    In quiesce, stop the device and discard its descriptors; report only transactions that had completed \
                    before.
                    """),
            rule(
                17, "terminateAsync does not wait",
                """
                It may be called inside a callback and returns at once. terminateSync and synchronize wait; inside a \
                callback they throw an error instead of deadlocking.
                """,
                example: "A callback finds an error and calls terminateSync: calledFromCallback.",
                cure: "Call terminateAsync in the callback, and synchronize outside it."),
            rule(
                18, "memory is returned after the device has stopped",
                """
                Memory of a terminated transaction is neither returned nor unmapped before synchronize has confirmed that \
                the device can no longer access it. Cancelling a task frees nothing. Where the device does not stop, its \
                memory is quarantined.
                """,
                example: """
                    quiesce returns true while a thread is still copying: the client reuses the buffer, and the copy \
                    overwrites its data.
                    """,
                cure: """
                    Return true from quiesce only when no access can follow; return false where that is not known by the \
                    deadline.
                    """),
            rule(
                19, "a pause loses nothing",
                """
                A paused channel completes nothing and keeps all transactions; resume continues them, and is an error on a \
                channel that is not paused.
                """,
                example: "An engine drops the transfer that was running when it was paused.",
                cure:
                    "Stop between two pieces, store the progress, and continue from there. Without that, leave canPause false."),
        ]
    }

    /// Rules 20 to 28.
    private static var dataRules: [Explanation] {
        [
            rule(
                20, "residues match their granularity",
                """
                The residue of a transaction is known by descriptor, by segment or by burst, as the capabilities declare. \
                It is always a value that the granularity allows, and never increases.
                """,
                example: "An engine with the granularity descriptor reports 1000 of 4096 bytes left.",
                cure: "Report all or nothing where the device has no finer progress, or declare the finer granularity."),
            rule(
                21, "a residue belongs to its own cookie",
                """
                The residue is that of the queried transaction; for a cyclic one, that of the current pass over the ring.
                """,
                example:
                    "The device's position register is used for every cookie, including transactions that have not begun.",
                cure: """
                    Compare the tag with the transaction that the device is working on; the residue of later ones is their \
                    whole length.
                    """),
            rule(
                22, "a ring runs until it is terminated",
                """
                A cyclic transfer wraps round, one period after the other, until it is terminated. A client that falls \
                behind gets an overrun, counted and reported, and never a mixture of bytes from two passes.
                """,
                example:
                    "The client of a capture ring of four periods reads nothing for six: two are lost, and reported as lost.",
                cure: """
                    Read the position again after the data. Where position and lap are two words, read the lap before and \
                    after the position, and repeat if it has changed.
                    """),
            rule(
                23, "interleaved transfers are frames of chunk and gap",
                "The increment and scatter/gather flags of each side determine whether gaps apply there.",
                example:
                    "A rectangle of an image is copied into a contiguous one: the source scatters, the destination does not.",
                cure: "Compute the stride of each side separately: chunk plus gap, chunk alone, or 0."),
            rule(
                24, "a running chain may be extended",
                """
                Descriptors can be linked to a running chain. Where the extension came too late, the channel is restarted, \
                and no descriptor is lost or run twice.
                """,
                example: "The device has read the end of the chain while the driver was writing a new link there.",
                cure:
                    "After linking, check whether the device went idle before the new descriptor; if so, start it there."),
            rule(
                25, "a descriptor is kept until its completion is taken",
                """
                Taking the completion is the acknowledgement. A descriptor can run again where the capabilities include \
                reuse.
                """,
                example: "A full queue refuses one more transaction with queueFull until a completion is taken.",
                cure: "Take completions with next(); set the reuse flag on transactions that are to run again."),
            rule(
                26, "a fence orders later transactions",
                "Transactions submitted after a fenced one do not begin before it has ended.",
                example: "A descriptor list is copied with a fence, and then the transfer that reads it is submitted.",
                cure: "Leave the fence to the channel, or hold later descriptors back until the fenced one has completed."),
            rule(
                27, "XOR and PQ continue, omit and validate",
                """
                With the continue flag the destination's contents are one more source; P or Q may be omitted; validation \
                reports which of P and Q is wrong.
                """,
                example: "The parity of 20 disks is computed in two steps, the second with .continue.",
                cure: "Read the destination where .continue is set; report P in bit 0 and Q in bit 1."),
            rule(
                28, "metadata belongs to one descriptor",
                """
                The client owns it before the descriptor is issued and after it has ended, in one of two modes: copied in \
                by the client, or filled in by the engine. It cannot be read after the descriptor's lifetime.
                """,
                example: "The metadata of the previous descriptor is still in the area of a new one.",
                cure: "Call withMetadata before issuePending or after the end; an engine accesses it only in between."),
        ]
    }
}

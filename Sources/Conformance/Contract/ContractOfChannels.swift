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
                Whoever has requested a channel uses it alone until it is released, and the end of its scope releases it: the engine is \
                stopped, and memory that is in flight comes back or is quarantined.
                """,
                example: "Two parts of a program open the same channel of a device; the second gets channelBusy.",
                cure: "Release the channel first, request another one, or let one owner submit for both."),
            rule(
                2, "a configuration reaches later transactions only",
                """
                The peripheral, widths, bursts and the priority that configure sets are those of transactions submitted afterwards. What is \
                queued or running keeps what it was submitted with. The direction comes from the operation, not from the configuration.
                """,
                example:
                    "A transfer is queued for request line 0, then the channel is configured for line 1: the bytes still go to line 0.",
                cure:
                    "In an engine, copy the configuration into the descriptor at enqueue; do not read it when the transfer begins."
            ),
            rule(
                3, "prepare refuses what is wrong, and says why",
                """
                Memory is mapped for the device that does the DMA before a transaction is prepared, and stays mapped until its completion. A \
                request that is wrong is refused before the engine sees it, with the reason and with its cargo.
                """,
                example: "A copy of more bytes than the region has is refused with outOfRange, and the buffers come back.",
                cure: "Read what the error says was asked and what is possible; map the memory with the domain of this channel."
            ),
            rule(
                4, "a prepared transaction is submitted once, or dropped",
                """
                What was prepared is either submitted or ends where it goes out of scope, and then its memory is unmapped. It cannot be \
                submitted twice, and it cannot be leaked.
                """,
                example: "A Transaction is made and an error is thrown before submit: its mappings end with it.",
                cure: "The compiler refuses the second submit. An engine reports each tag once."),
            rule(
                5, "submit starts nothing",
                "Submitting puts a transaction into the queue. No byte moves before issuePending.",
                example: "An engine rings its doorbell in enqueue: memory changes that the client believes to be untouched.",
                cure: "Write the descriptor in enqueue, and tell the device in issuePending."),
            rule(
                6, "from submit to completion the memory is the channel's",
                """
                After submit neither the client nor anybody else touches the transaction or its memory. Both come back with the completion, \
                and the mapping lasts until the client ends it.
                """,
                example: "A driver unmaps a buffer when its completion arrives, although the client has yet to read it.",
                cure: "Leave mappings to their owner; take the cargo out of Finished before it is used again."),
            rule(
                7, "issuePending starts what is queued, in order",
                "Everything that was submitted before the call is started, and runs in the order of submission; what comes later waits.",
                example: "Two copies are submitted, one before and one after issuePending: only the first one runs.",
                cure:
                    "Call issuePending after the last submission of a batch. An engine starts up to the tail that it was told, and no further."
            ),
            rule(
                8, "cookies are positive, increasing and not reused",
                "Each transaction has a cookie larger than those before it. It can be asked about until its completion was taken.",
                example: "The status of a transaction is asked for after next() returned it: staleCookie.",
                cure: "Keep what Finished says, and ask about open transactions alone."),
            rule(
                9, "the order of completions is as the engine says",
                """
                An engine that completes in order says so, and does; another one says that too, and then only the status of the single \
                transaction has a meaning.
                """,
                example:
                    "A device with two queues reports a short transfer before the long one that was submitted first, and claims order.",
                cure: "Declare the engine out of order, or report completions from a queue in the order of submission."),
            rule(
                10, "a transaction goes through known states",
                "Queued, in progress, paused, and then one of complete, failed and aborted, from which it does not return.",
                example: "A transaction is reported complete and, at the next question, in progress.",
                cure: "Set the final state last, after everything that the client may read."),
            rule(
                11, "callbacks run in a deferred context",
                "A callback runs where the client lets callbacks run, once, with none of the engine's locks held.",
                example: "A callback is called inside issuePending: it submits more and meets a lock that its caller holds.",
                cure: "Collect completions, and call callbacks from runCallbacks alone."),
            rule(
                12, "a callback may submit more work",
                "Preparing, submitting and issuing are allowed in a callback, as in a pipeline that keeps itself going.",
                example: "Each callback submits the next block of a stream.",
                cure: "Free the finished slot before its callback runs, so that there is room for one more."),
            rule(
                13, "a completion carries its result and its residue",
                """
                Success, a failed read, a failed write or an abort, and the number of bytes that were not moved. Complete means that nothing \
                is left, but for a peripheral that had no more.
                """,
                example:
                    "A disk refuses a write; the completion says writeFailed with a residue, and the next transaction works.",
                cure: "Report the status of the device as it is; never turn a failure into complete."),
            rule(
                14, "who did not ask for an interrupt causes none",
                "A transaction with the interrupt flag wakes a waiter when it is over. One without raises nothing, and polling sees it.",
                example: "A batch asks for an interrupt with its last transaction only, and is woken once.",
                cure: "Raise the line once for each completion that asked; sleep only on a transaction that asked."),
            rule(
                15, "the next transaction does not wait for a callback",
                "When a transaction is over the engine goes on with the next one, whether or not the completion was taken.",
                example: "A client that is slow to take completions finds eight of them ready.",
                cure: "Start the next descriptor in the device or in the interrupt path, not in next()."),
        ]
    }

    /// Rules 16 to 19.
    private static var terminationRules: [Explanation] {
        [
            rule(
                16, "what is terminated is aborted, exactly once",
                """
                Terminating drops queued and running work. What did not complete gets no success; its waiter gets aborted, once, and \
                afterwards the channel works again.
                """,
                example: "An engine reports a transfer complete after the channel was synchronized: its waiter hears twice.",
                cure: "In quiesce, stop the device and forget what it was given; report only what had completed before."),
            rule(
                17, "terminateAsync does not wait",
                """
                It may be called from a callback and returns at once. terminateSync and synchronize wait, and in a callback they are an error \
                instead of a deadlock.
                """,
                example: "A callback sees an error and calls terminateSync: calledFromCallback.",
                cure: "Call terminateAsync in the callback, and synchronize outside of it."),
            rule(
                18, "memory comes back after the device has stopped",
                """
                Memory of a terminated transaction is neither given back nor unmapped before synchronize has made sure that the device can no \
                longer touch it. A cancelled task frees nothing. Where the device does not stop, its memory is quarantined.
                """,
                example:
                    "quiesce returns true while a thread still copies: the client reuses the buffer, and old bytes appear in it.",
                cure:
                    "Return true from quiesce only when no access can follow; return false where that is not known by the deadline."
            ),
            rule(
                19, "a pause loses nothing",
                "A paused channel completes nothing and keeps everything; resume goes on from there, and is an error while it is not paused.",
                example: "An engine drops the transfer that it was in when it was paused.",
                cure: "Stop between two pieces, remember how far it was, and go on there. Without that, leave canPause false."),
        ]
    }

    /// Rules 20 to 28.
    private static var dataRules: [Explanation] {
        [
            rule(
                20, "residues honour their granularity",
                """
                What is left of a transaction is known by descriptor, by segment or by burst, as the capabilities say. The value is one of \
                those that the granularity allows, and it never grows.
                """,
                example: "An engine with the granularity descriptor answers 1000 bytes left of 4096.",
                cure: "Answer all or nothing where the device says no more, or declare the finer granularity."),
            rule(
                21, "a residue answers for its own cookie",
                "What is left is said of the transaction that was asked about; of a cyclic one, of the current pass over the ring.",
                example: "The position register of the device is used for every cookie, also for those that have not begun.",
                cure: "Compare the tag with the one that the device is working on; others have everything left."),
            rule(
                22, "a ring runs until it is terminated",
                """
                A cyclic transfer goes round, with one period after the other, until somebody stops it. A client that falls behind gets an \
                overrun, counted and reported, and never bytes of two passes mixed.
                """,
                example: "A capture ring of four periods is not looked at for six: two are lost, and said to be.",
                cure: """
                    Read the position again after the data. Where position and lap are two words, read the lap on both sides of the position, \
                    and again where it has changed.
                    """),
            rule(
                23, "interleaved is frames of chunk and gap",
                "Gaps apply on either side as the increment and scatter/gather flags of that side say.",
                example:
                    "A rectangle of an image is copied into one without gaps: the source scatters, the destination does not.",
                cure: "Compute the stride of each side for itself: chunk plus gap, chunk alone, or 0."),
            rule(
                24, "a running chain may be extended",
                """
                Descriptors can be linked to a chain that runs. Where the extension came too late, the channel is started again, and no \
                descriptor is lost or run twice.
                """,
                example: "The device has read the end of the chain while the driver was writing a new link there.",
                cure: "After linking, look whether the device went idle before the new descriptor; if so, start it there."),
            rule(
                25, "a descriptor is kept until its completion was taken",
                "Taking the completion is the acknowledgement. Running the same descriptor again is possible where the capability says so.",
                example: "A full queue refuses one more transaction with queueFull until a completion was taken.",
                cure: "Take completions with next(); submit with the reuse flag what is to run again."),
            rule(
                26, "a fence orders later transactions",
                "What was submitted behind a fenced transaction does not begin before that one is over.",
                example: "A descriptor list is copied with a fence, and then the transfer that reads it.",
                cure: "Leave the fence to the channel, or hold later descriptors back until the fenced one has completed."),
            rule(
                27, "XOR and PQ continue, leave out and validate",
                """
                Continue takes what the destination holds into the sum; P or Q may be left out; validation says which of P and Q is wrong.
                """,
                example: "A stripe of 20 disks is summed in two steps, the second with .continue.",
                cure: "Read the destination where .continue is set; report P in bit 0 and Q in bit 1."),
            rule(
                28, "metadata belongs to one descriptor",
                """
                It is the client's before the descriptor is issued and after it is over, in one mode: copied in by the client or filled in by \
                the engine. After the descriptor's end it cannot be read.
                """,
                example: "The metadata of the last descriptor is found in a new one's area.",
                cure: "Ask withMetadata before issuePending or after the end; an engine touches it in between only."),
        ]
    }
}

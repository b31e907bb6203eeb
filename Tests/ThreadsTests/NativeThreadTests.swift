// SPDX-License-Identifier: Apache-2.0

import DMAEngineKit
import DMAThreads
import Glibc
import Synchronization
import Testing

@Suite struct NativeThreadTests {
    private final class Seen: Sendable {
        let signals = Locked<[Int32]>([])
        let isOver = Atomic(false)
    }

    @Test func joiningWaitsForTheEndHoweverOftenItIsAsked() throws {
        let seen = Seen()
        let thread = try NativeThread {
            usleep(50_000)
            seen.isOver.store(true, ordering: .releasing)
        }
        thread.join()
        let isOver = seen.isOver.load(ordering: .acquiring)
        #expect(isOver)
        thread.join()
    }

    @Test func itBlocksEverySignalAndItsMakerKeepsItsOwnMask() throws {
        let before = blocked()
        let seen = Seen()
        try NativeThread { seen.signals.withLock { $0 = blocked() } }.join()
        #expect(blocked() == before)
        let there = seen.signals.withLock { $0 }
        for number in [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGPIPE] { #expect(there.contains(number)) }
    }

    @Test func whatItRunsIsLetGo() throws {
        weak var weakly: Seen?
        try {
            let seen = Seen()
            weakly = seen
            try NativeThread { seen.isOver.store(true, ordering: .releasing) }.join()
        }()
        #expect(weakly == nil)
    }
}

/// The signals that the calling thread blocks.
private func blocked() -> [Int32] {
    var mask = sigset_t()
    unsafe pthread_sigmask(SIG_SETMASK, nil, &mask)
    return (1..<32).filter { unsafe sigismember(&mask, $0) == 1 }
}

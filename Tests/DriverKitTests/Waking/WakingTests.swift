// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMACore
import DMADriverKit
import DMATestSupport
import ForkedChild
import Glibc
import Synchronization
import Testing

extension DriverKitTests {
    @Suite("Events and their watcher")
    struct WakingTests {
        private final class Facts: Sendable {
            let word = Atomic(0)
            let calls = Atomic(0)
        }

        @Test("a signal raises the line; unread signals are merged; none is invented")
        func raises() throws {
            let watcher = try EventWatcher()
            let event = try EventDescriptor()
            let line = InterruptLine()
            // From before it was added.
            for _ in 0..<5 { try event.signal() }
            try watcher.add(event, line)
            #expect(line.wait(after: 0, until: .after(milliseconds: 10_000)))
            #expect(line.count == 1)
            #expect(!line.wait(after: 1, until: .after(milliseconds: 30)))
            try event.signal()
            #expect(line.wait(after: 1, until: .after(milliseconds: 10_000)))
            watcher.remove(event)
            try event.signal()
            #expect(!line.wait(after: 2, until: .after(milliseconds: 30)))
            // Again, with the signals in the meantime.
            try watcher.add(event, line)
            #expect(line.wait(after: 2, until: .after(milliseconds: 10_000)))
            #expect(line.count == 3)
        }

        @Test("thousands of signals, each after the last was seen, by threads and by tasks: none is lost")
        func ping() async throws {
            let watcher = try EventWatcher()
            let event = try EventDescriptor()
            let line = InterruptLine()
            try watcher.add(event, line)
            for round in 0..<3000 as Range<UInt64> {
                try event.signal()
                guard line.wait(after: round, until: .after(milliseconds: 10_000)) else {
                    Issue.record("signal \(round) was lost")
                    return
                }
            }
            // Suspended before, during and after the signal.
            for round in 3000..<6000 as Range<UInt64> {
                let task = Task { await line.wait(after: round) }
                if round % 3 == 0 { await Task.yield() }
                try event.signal()
                await task.value
            }
            #expect(line.count == 6000)
        }

        @Test("signals of several threads at once: after the last one there is one more wake-up")
        func storm() throws {
            let watcher = try EventWatcher()
            let event = try EventDescriptor()
            let line = InterruptLine()
            let facts = Facts()
            try watcher.add(event, line)
            let threads = try (0..<4).map { _ in
                try Worker {
                    for _ in 0..<5000 {
                        facts.word.add(1, ordering: .sequentiallyConsistent)
                        try event.signal()
                    }
                }
            }
            // A waiter that checks after each interrupt sees all signals.
            var seen: UInt64 = 0
            var found = 0
            while found < 20_000 {
                guard line.wait(after: seen, until: .after(milliseconds: 10_000)) else { break }
                seen = line.count
                found = facts.word.load(ordering: .sequentiallyConsistent)
            }
            #expect(found == 20_000)
            #expect(seen >= 1 && seen <= 20_000)
            for thread in threads { #expect(thread.end() == nil) }
        }

        @Test("where only the engine can tell what an interrupt is, a task that suspends too late is found by checking again")
        func nudges() async throws {
            let watcher = try EventWatcher()
            let event = try EventDescriptor()
            let line = InterruptLine()
            let facts = Facts()
            try watcher.add(
                event, line,
                hasMore: {
                    facts.calls.add(1, ordering: .relaxed)
                    return facts.word.load(ordering: .sequentiallyConsistent) != 0
                })
            for round in 0..<2000 as Range<UInt64> {
                // Something to take, and its signal; no task waits yet.
                facts.word.store(1, ordering: .sequentiallyConsistent)
                try event.signal()
                if round % 50 == 0 { try await Task.sleep(nanoseconds: 300_000) }
                await line.wait(after: round)
                // The engine polls, takes and counts.
                facts.word.store(0, ordering: .sequentiallyConsistent)
                line.raise()
            }
            #expect(line.count == 2000)
            // With nothing left it stops checking.
            try await Task.sleep(nanoseconds: 20_000_000)
            let calls = facts.calls.load(ordering: .relaxed)
            try await Task.sleep(nanoseconds: 50_000_000)
            let later = facts.calls.load(ordering: .relaxed)
            #expect(calls == later)
        }

        @Test("after remove has returned the condition is not called again, however often it was signalled")
        func removal() throws {
            let watcher = try EventWatcher()
            for _ in 0..<200 {
                let event = try EventDescriptor()
                let facts = Facts()
                try watcher.add(
                    event, InterruptLine(),
                    hasMore: {
                        facts.calls.add(1, ordering: .sequentiallyConsistent)
                        usleep(50)
                        return true
                    })
                try event.signal()
                usleep(UInt32.random(in: 0..<300))
                watcher.remove(event)
                let calls = facts.calls.load(ordering: .sequentiallyConsistent)
                try event.signal()
                usleep(200)
                let later = facts.calls.load(ordering: .sequentiallyConsistent)
                #expect(calls == later)
                watcher.remove(event)
            }
        }

        @Test("one event watched hundreds of times at once, a thousand lines, and no descriptor is left")
        func thousandLines() throws {
            var limit = rlimit()
            #expect(unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
            let soft = limit.rlim_cur
            limit.rlim_cur = min(limit.rlim_max, max(soft, 4096))
            #expect(unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
            let before = Holdings.now
            do {
                let watcher = try EventWatcher()
                let lines = (0..<1000).map { _ in InterruptLine() }
                let events = try lines.map { _ in try EventDescriptor() }
                for (event, line) in zip(events, lines) { try watcher.add(event, line) }
                for round in 0..<4 as Range<UInt64> {
                    for event in events.shuffled() { try event.signal() }
                    for line in lines { #expect(line.wait(after: round, until: .after(milliseconds: 10_000))) }
                }
                #expect(lines.allSatisfy { $0.count == 4 })
                #expect(refusal { () throws(DMAError) in try watcher.add(events[0], lines[1]) } == .kernelRefused)
                for event in events.prefix(500) { watcher.remove(event) }
                for event in events { try event.signal() }
                for line in lines.suffix(500) { #expect(line.wait(after: 4, until: .after(milliseconds: 10_000))) }
                #expect(lines.prefix(500).allSatisfy { $0.count == 4 })
            }
            for _ in 0..<1000 {
                let watcher = try EventWatcher()
                let event = try EventDescriptor()
                try watcher.add(event, InterruptLine())
                try event.signal()
            }
            #expect(Holdings.now == before)
        }

        @Test("a watcher that ends while threads signal, add and remove")
        func closing() throws {
            for _ in 0..<100 {
                let watcher = try EventWatcher()
                let event = try EventDescriptor()
                let line = InterruptLine()
                try watcher.add(event, line)
                let signaller = try Worker { for _ in 0..<200 { try event.signal() } }
                let changer = try Worker {
                    for _ in 0..<50 {
                        let other = try EventDescriptor()
                        do throws(DMAError) { try watcher.add(other, line) } catch {
                            guard error.code == .terminating else { throw error }
                        }
                        watcher.remove(other)
                    }
                }
                usleep(UInt32.random(in: 0..<400))
                watcher.stop()
                let count = line.count
                #expect(refusal { () throws(DMAError) in try watcher.add(try EventDescriptor(), line) } == .terminating)
                for thread in [signaller, changer] { #expect(thread.end() == nil) }
                #expect(line.count == count)
            }
        }

        @Test("only an eventfd is adopted, and cannot block its user; any other descriptor stays the caller's")
        func taking() throws {
            let before = Holdings.now
            for descriptor in [-1, 1 << 20] as [Int32] {
                do throws(DMAError) {
                    _ = try EventDescriptor(taking: descriptor)
                    Issue.record("taken: \(descriptor)")
                } catch { #expect(error.code == .kernelRefused && error.errno == EBADF) }
            }
            let file = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
            do throws(DMAError) {
                _ = try EventDescriptor(taking: file)
                Issue.record("a file was taken for an event")
            } catch { #expect(error.code == .kernelRefused && error.errno == EINVAL) }
            #expect(close(file) == 0)
            do {
                // An event of the peer, which blocks, and whose counter the peer has filled.
                let raw = cdma_event_make(true)
                var full = UInt64.max - 1
                #expect(unsafe write(raw, &full, 8) == 8)
                let event = try EventDescriptor(taking: raw)
                try event.signal()
                try event.signal()
                let watcher = try EventWatcher()
                let line = InterruptLine()
                try watcher.add(event, line)
                #expect(line.wait(after: 0, until: .after(milliseconds: 10_000)))
            }
            #expect(Holdings.now == before)
        }

        @Test("a child process can signal its parent's event; it cannot add to the watcher, whose end there has no effect")
        func fork() throws {
            inherited.watcher = try EventWatcher()
            inherited.event = try EventDescriptor()
            defer { (inherited.watcher, inherited.event) = (nil, nil) }
            let line = InterruptLine()
            try inherited.watcher!.add(inherited.event!, line)
            let wrong = forked_child_run {
                var wrong: Int32 = 0
                if refusal({ () throws(DMAError) in try inherited.watcher!.add(try EventDescriptor(), InterruptLine()) })
                    != .usedAfterFork
                {
                    wrong |= 1
                }
                inherited.watcher!.remove(inherited.event!)
                if refusal({ () throws(DMAError) in try inherited.event!.signal() }) != nil { wrong |= 2 }
                inherited.watcher = nil
                inherited.event = nil
                return wrong
            }
            #expect(wrong == 0)
            #expect(line.wait(after: 0, until: .after(milliseconds: 10_000)))
            try inherited.event!.signal()
            #expect(line.wait(after: 1, until: .after(milliseconds: 10_000)))
        }
    }
}

/// The state in a child process. In a global, because the code there is a C function.
private final class InheritedWatcher: @unchecked Sendable {
    var watcher: EventWatcher?
    var event: EventDescriptor?
}
private let inherited = InheritedWatcher()

// SPDX-License-Identifier: Apache-2.0

import CDMA
import DMACore
import DMAEngineKit
import DMATestSupport
import DMAThreads
import ForbiddenSystemCalls
import Foundation
import Testing

@testable import DMAIOUringEngine

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite("Cancellation, pause and fallback", .serialized)
struct ControlTests {
    @Test("one transaction is cancelled; the others of its file and of other files continue", arguments: Carrying.allCases)
    func one(_ carrying: Carrying) throws {
        let ends = StreamTests.ends(socket: false)
        defer { for end in ends { close(end) } }
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let number = try channel.attach(PeripheralFile(ends[0]))
        let read = DMACore.Operation.fromPeripheral(0..<1, at: PeripheralPlace(number: number))
        var cookies: [Cookie] = []
        for _ in 0..<3 { cookies.append(try channel.submit(read, try freight([[9, 9]], .fromDevice)).get()) }
        channel.issuePending()
        // The second waits for its turn; the kernel has the first.
        for index in [1, 0] {
            let tag = UInt32(truncatingIfNeeded: cookies[index].rawValue)
            let isKnown = unsafe channel.withUnsafeEngine { $0.cancel(tag: tag) }
            #expect(isKnown)
            let finished = try channel.await()
            let (cookie, status, residue) = (finished.cookie, finished.status, finished.residue)
            #expect(cookie == cookies[index] && status == .aborted && residue == 2)
        }
        #expect(unsafe write(ends[1], [1, 2] as [UInt8], 2) == 2)
        let last = try channel.await()
        let got = try bytes(last.cargo)
        #expect(got == [1, 2])
        let unknown = unsafe channel.withUnsafeEngine { $0.cancel(tag: 77_777) }
        #expect(!unknown)
    }

    @Test("cancellations that are not consumed leave the queue unchanged", arguments: Carrying.allCases)
    func flood(_ carrying: Carrying) throws {
        let scratch = try Scratch(Scratch.memory)
        scratch.fill((0..<64).map { UInt8($0) })
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration(depth: 4))
        let number = try channel.attach(PeripheralFile(scratch.descriptor))
        try channel.pause()
        // Two plain reads are in the ring of 16 entries, and are not issued. During the pause nothing is submitted.
        var cookies: [Cookie] = []
        for position in [0, 32] as [UInt64] {
            let read = DMACore.Operation.fromPeripheral(0..<1, at: PeripheralPlace(number: number, position: position))
            cookies.append(try channel.submit(read, try freight([[7, 7, 7, 7]], .fromDevice)).get())
        }
        for _ in 0..<100 {
            let isKnown = unsafe channel.withUnsafeEngine { $0.cancel(tag: UInt32(truncatingIfNeeded: cookies[0].rawValue)) }
            #expect(isKnown)
        }
        try channel.resume()
        let limit = Deadline.after(milliseconds: 20)
        while Deadline.now < limit { channel.poll() }
        for cookie in cookies {
            let status = try channel.status(of: cookie)
            #expect(status == .queued, "ran before it was issued")
        }
        channel.issuePending()
        for (cookie, expected) in zip(cookies, [[0, 1, 2, 3], [32, 33, 34, 35]] as [[UInt8]]) {
            let limit = Deadline.after(milliseconds: 10_000)
            var taken = try channel.take(cookie)
            while taken == nil, Deadline.now < limit { taken = try channel.take(cookie) }
            guard let finished = taken.take() else { throw Late() }
            let got = try bytes(finished.cargo)
            #expect(finished.status == .complete && got == expected)
        }
        let statistics = unsafe channel.withUnsafeEngine { $0.statistics }
        #expect(statistics.unknownCompletions == 0)
    }

    @Test("all transactions of a file are cancelled, and the file can be detached", arguments: Carrying.allCases)
    func file(_ carrying: Carrying) throws {
        let ends = StreamTests.ends(socket: true)
        let others = StreamTests.ends(socket: true)
        defer { for end in ends + others { close(end) } }
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let (number, other) = (try channel.attach(PeripheralFile(ends[0])), try channel.attach(PeripheralFile(others[0])))
        for file in [number, number, other] {
            let read = DMACore.Operation.fromPeripheral(0..<1, at: PeripheralPlace(number: file))
            _ = try channel.submit(read, try freight([[9, 9]], .fromDevice)).get()
        }
        channel.issuePending()
        try unsafe channel.withUnsafeEngine { engine throws(DMAError) in try engine.cancel(transactionsOf: number) }
        for _ in 0..<2 {
            let finished = try channel.await()
            let status = finished.status
            #expect(status == .aborted)
        }
        try channel.detach(number)
        #expect(unsafe write(others[1], [3, 4] as [UInt8], 2) == 2)
        let finished = try channel.await()
        let got = try bytes(finished.cargo)
        #expect(got == [3, 4])
    }

    @Test("a pause takes back transactions that wait for a stream, and loses nothing", arguments: Carrying.allCases)
    func pause(_ carrying: Carrying) throws {
        let ends = StreamTests.ends(socket: true)
        defer { for end in ends { close(end) } }
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let number = try channel.attach(PeripheralFile(ends[0]))
        let read = DMACore.Operation.fromPeripheral(0..<1, at: PeripheralPlace(number: number))
        let cookie = try channel.submit(read, try freight([[0, 0, 0, 0]], .fromDevice)).get()
        channel.issuePending()
        #expect(unsafe write(ends[1], [1, 2] as [UInt8], 2) == 2)
        for _ in 0..<100 { channel.poll() }
        try channel.pause()
        #expect(unsafe write(ends[1], [3, 4] as [UInt8], 2) == 2)
        for _ in 0..<200 { channel.poll() }
        let status = try channel.status(of: cookie)
        #expect(status == .paused)
        try channel.resume()
        let finished = try channel.await()
        let got = try bytes(finished.cargo)
        #expect(got == [1, 2, 3, 4])
    }

    @Test("a resume starts the transactions issued during the pause, and no others", arguments: Carrying.allCases)
    func resume(_ carrying: Carrying) throws {
        let scratch = try Scratch(Scratch.memory)
        scratch.fill([1, 2, 3, 4])
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        let number = try channel.attach(PeripheralFile(scratch.descriptor))
        let place = PeripheralPlace(number: number, position: 0)
        // Plain ones, and one that is not.
        func submit(_ channel: inout Channel<IOUringEngine, Freight>, _ flags: DescriptorFlags) throws -> Cookie {
            try channel.submit(.fromPeripheral(0..<1, at: place, flags: flags), try freight([[0, 0, 0, 0]], .fromDevice)).get()
        }
        try channel.pause()
        let issued = [try submit(&channel, []), try submit(&channel, .interrupt)]
        channel.issuePending()
        let queued = [try submit(&channel, []), try submit(&channel, .interrupt)]
        try channel.resume()
        var over: Set<UInt64> = []
        for _ in issued { over.insert(try channel.await().cookie.rawValue) }
        #expect(over == Set(issued.map(\.rawValue)))
        for _ in 0..<1000 { channel.poll() }
        for cookie in queued {
            let status = try channel.status(of: cookie)
            #expect(status == .queued)
        }
        channel.issuePending()
        for _ in queued { over.insert(try channel.await().cookie.rawValue) }
        #expect(over == Set((issued + queued).map(\.rawValue)))
    }

    @Test("bytes move from file to file through a pipe, and are duplicated on the way", arguments: Carrying.allCases)
    func between(_ carrying: Carrying) throws {
        var random = Seeded("between")
        let image = random.bytes(40_000)
        let (source, target) = (try Scratch(Scratch.memory, "a"), try Scratch(Scratch.memory, "b"))
        source.fill(image)
        let (first, second) = (StreamTests.ends(socket: false), StreamTests.ends(socket: false))
        defer { for end in first + second { close(end) } }
        var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
        var numbers: [UInt32] = []
        for file in [source.descriptor, target.descriptor] + first + second {
            numbers.append(try channel.attach(PeripheralFile(file)))
        }
        func place(_ index: Int, _ position: UInt64? = nil) -> PeripheralPlace {
            PeripheralPlace(number: numbers[index], position: position)
        }
        let steps: [DMACore.Operation] = [
            .betweenPeripherals(from: place(0, 0), to: place(3), count: 40_000),
            .betweenPeripherals(from: place(2), to: place(5), count: 40_000, duplicates: true),
            .betweenPeripherals(from: place(2), to: place(1, 100), count: 40_000),
        ]
        for (index, step) in steps.enumerated() {
            let finished = try channel.perform(step)
            let (status, residue, value) = (finished.status, finished.residue, finished.value)
            #expect(status == .complete && residue == 0, "step \(index): errno \(value)")
        }
        #expect(target.contents == [UInt8](repeating: 0, count: 100) + image)
        let double = try channel.perform(
            .fromPeripheral(0..<1, at: place(4)), try freight([[UInt8](repeating: 0, count: 40_000)], .fromDevice))
        let got = try bytes(double.cargo)
        #expect(got == image)
        // Without a pipe there is no such call; the refusal names both sides, and the cure.
        for (operation, sides) in [
            (DMACore.Operation.betweenPeripherals(from: place(0, 0), to: place(1, 0), count: 10), (0, 1)),
            (.betweenPeripherals(from: place(0, 0), to: place(3), count: 10, duplicates: true), (0, 3)),
            (.betweenPeripherals(from: place(2), to: place(1, 0), count: 10, duplicates: true), (2, 1)),
        ] {
            let error = refusal(&channel, operation)
            #expect(error?.code == .needsPipe)
            #expect(error?.asked == UInt64(numbers[sides.0]) && error?.limit == UInt64(numbers[sides.1]))
            #expect(error?.reason.contains("splice(2)") == true && error?.cure.contains("pipe(2)") == true)
        }
        let nobody = PeripheralPlace(number: 999)
        #expect(refusal(&channel, .betweenPeripherals(from: place(2), to: nobody, count: 1))?.code == .noSuchPeripheral)
        #expect(refusal(&channel, .betweenPeripherals(from: nobody, to: place(3), count: 1))?.code == .noSuchPeripheral)
        // Nothing was left in flight, nor in a pipe.
        #expect(channel.inFlight == 0)
        try channel.detach(numbers[0])
    }

    /// The refusal of a submission; nil where there is none.
    private func refusal(_ channel: inout Channel<IOUringEngine, Freight>, _ operation: DMACore.Operation) -> DMAError? {
        switch channel.submit(operation, Freight(capacity: 1)) {
        case .queued: nil
        case .refused(let error, _): error
        }
    }

    @Test("on a ring of one thread another thread is refused, with the reason")
    func otherThread() throws {
        let scratch = try Scratch(Scratch.memory)
        scratch.fill([1, 2, 3])
        var engine: IOUringEngine? = try IOUringEngine(Carrying.pinned.configuration())
        let number = try engine!.attach(PeripheralFile(scratch.descriptor))
        var memory: [UInt8] = [0, 0, 0]
        try unsafe memory.withUnsafeMutableBytes { buffer in
            let address = UInt64(UInt(bitPattern: buffer.baseAddress))
            var descriptor = unsafe Descriptor(kind: .peripheral, destination: address, count: 3, value: 0)
            descriptor.destinationCount = 1
            descriptor.detail[0] = UInt64(number) + 1
            let read = descriptor
            let isQueued = unsafe engine!.enqueue(read, tag: 1)
            #expect(isQueued == .accepted)
            engine!.issuePending()
            _ = engine!.wait(until: .after(milliseconds: 60_000))
            let first = engine!.next()
            #expect(first == Completion(tag: 1))
            // Moved there and back; the thread is joined before other code accesses it.
            nonisolated(unsafe) var moved = engine.take()
            nonisolated(unsafe) var answer: Completion?
            let thread = try NativeThread {
                guard var there = unsafe moved.take() else { return }
                _ = unsafe there.enqueue(read, tag: 2)
                there.issuePending()
                unsafe answer = there.next()
                unsafe moved = consume there
            }
            thread.join()
            engine = unsafe moved.take()
            let refused = unsafe answer
            #expect(refused == Completion(tag: 2, status: .readFailed, residue: 3, value: UInt64(EEXIST)))
            let isQueuedAgain = unsafe engine!.enqueue(read, tag: 3)
            #expect(isQueuedAgain == .accepted)
            engine!.issuePending()
            _ = engine!.wait(until: .after(milliseconds: 60_000))
            let third = engine!.next()
            #expect(third == Completion(tag: 3))
        }
        #expect(memory == [1, 2, 3])
    }

    @Test("where io_uring is forbidden the same engine runs on threads, and reports it")
    func forbidden() async {
        await #expect(processExitsWith: .exitCode(0)) {
            guard forbid_io_uring() == 0 else { exit(1) }
            let engine = try IOUringEngine()
            guard engine.capabilities.implementation == "threads (io_uring: Operation not permitted)" else { exit(2) }
            do throws(DMAError) {
                _ = try IOUringEngine(IOUringConfiguration(path: .ring))
                exit(3)
            } catch {
                guard error.code == .kernelRefused, error.errno == EPERM else { exit(4) }
            }
            guard IOUringFeatures.probe().list.first?.isAvailable == false else { exit(5) }
            try StorageTests().model(IOUringConfiguration(depth: 32), "/dev/shm", .asOpened, "forbidden")
            exit(0)
        }
    }

    @Test(
        "where rings may be created but not used, the same engine runs on threads, and names the refused call and its error",
        arguments: [EPERM, ENOSYS, EACCES, ENOMEM, EAGAIN, EBUSY])
    func refusedEntry(_ error: Int32) async {
        await #expect(processExitsWith: .exitCode(0)) { [error] in
            guard forbid_io_uring_enter(error) == 0 else { exit(1) }
            let engine = try IOUringEngine()
            let said = engine.capabilities.implementation
            let reason = unsafe String(cString: strerror(error))
            guard said == "threads (io_uring_enter: \(reason))" else { exit(2) }
            guard let fallback = engine.fallback, said.contains(fallback.reason), !fallback.cure.isEmpty else { exit(3) }
            for threading in IOUringConfiguration.Threading.allCases {
                var configuration = IOUringConfiguration(path: .ring)
                configuration.threading = threading
                do throws(DMAError) {
                    _ = try IOUringEngine(configuration)
                    // A ring that is disabled until its thread arrives cannot be probed before.
                    guard threading == .pinnedToThread else { exit(4) }
                } catch {
                    guard error.code == .kernelRefused else { exit(5) }
                }
            }
            guard IOUringFeatures.probe().list.first?.isAvailable == false else { exit(6) }
            try StorageTests().model(IOUringConfiguration(depth: 32), "/dev/shm", .asOpened, "refused entry")
            exit(0)
        }
    }

    @Test(
        "a ring whose call starts being refused fails the entries that were not consumed, and ends; temporary errors are retried",
        arguments: [EPERM, ENOSYS, ENOMEM], [Carrying.ring, .pinned])
    func refusedLater(_ error: Int32, _ carrying: Carrying) async {
        await #expect(processExitsWith: .exitCode(0)) { [error, carrying] in
            let scratch = try Scratch(Scratch.memory)
            scratch.fill([1, 2, 3, 4])
            var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration(depth: 4))
            let number = try channel.attach(PeripheralFile(scratch.descriptor))
            let read = DMACore.Operation.fromPeripheral(0..<1, at: PeripheralPlace(number: number, position: 0))
            let first = try channel.perform(read, try freight([[0, 0, 0, 0]], .fromDevice))
            guard first.status == .complete else { exit(1) }
            _ = first.takeCargo()
            guard forbid_io_uring_enter(error) == 0 else { exit(2) }
            let began = Deadline.now.nanoseconds
            for _ in 0..<3 { _ = try channel.submit(read, try freight([[0, 0, 0, 0]], .fromDevice)).get() }
            channel.issuePending()
            for _ in 0..<3 {
                let finished = try channel.await()
                guard finished.status == .readFailed, finished.errno == error else { exit(3) }
            }
            // At once, except for temporary errors.
            guard Deadline.now.nanoseconds - began < 10_000_000_000 else { exit(4) }
            try channel.terminateSync(by: .after(milliseconds: 5000))
            exit(0)
        }
    }

    @Test("completions with invalid names refer to no memory: ignored, and counted")
    func hostile() throws {
        var random = Seeded("hostile")
        var engine = try IOUringEngine(Carrying.threads.configuration(depth: 8))
        let ends = StreamTests.ends(socket: false)
        defer { for end in ends { close(end) } }
        let number = try engine.attach(PeripheralFile(ends[0]))
        var memory: [UInt8] = [0, 0]
        unsafe memory.withUnsafeMutableBytes { buffer in
            var descriptor = unsafe Descriptor(
                kind: .peripheral, destination: UInt64(UInt(bitPattern: buffer.baseAddress)), count: 2, value: .max)
            descriptor.destinationCount = 1
            descriptor.detail[0] = UInt64(number) + 1
            let isQueued = unsafe engine.enqueue(descriptor, tag: 5)
            #expect(isQueued == .accepted)
            engine.issuePending()
            let rounds = 20_000
            for _ in 0..<rounds {
                // The output of a faulty kernel: any name, any result.
                let view = engine.view
                let tail = unsafe cdma_load_acquire32(view.completionTail)
                let name =
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: random.next()
                    case 1: random.next() & 0xffff
                    default: random.next() & 0xffff_0000_0000_ffff
                    }
                unsafe view.completion(tail).pointee = cdma_uring_cqe(
                    user_data: name, result: Int32(truncatingIfNeeded: random.next()), flags: UInt32(random.next() & 0xf))
                unsafe cdma_store_release32(view.completionTail, tail &+ 1)
                let completion = engine.next()
                if completion != nil { #expect(completion == nil) }
            }
            let unknownCompletions = engine.statistics.unknownCompletions
            #expect(unknownCompletions == UInt64(rounds))
            #expect(unsafe write(ends[1], [7, 8] as [UInt8], 2) == 2)
            let limit = Deadline.after(milliseconds: 60_000)
            var answer: Completion?
            while answer == nil, Deadline.now < limit {
                _ = engine.wait(until: .after(milliseconds: 100))
                answer = engine.next()
            }
            #expect(answer == Completion(tag: 5))
        }
        #expect(memory == [7, 8])
    }

    @Test("more completions than the ring holds: none is lost")
    func overflow() throws {
        let ends = StreamTests.ends(socket: true)
        defer { for end in ends { close(end) } }
        var engine = try IOUringEngine(Carrying.ring.configuration(depth: 2))
        let number = try engine.attach(PeripheralFile(ends[0]))
        try engine.configure(EngineConfiguration(peripheral: number))
        let channel = try Channel(engine, domain: home, of: MappedBuffer.self)
        let memory = try Buffer(count: 4096).mapped(for: home, direction: .fromDevice)
        var ring = try CyclicRing(channel, ring: memory, period: 64)
        // One byte at a time yields one completion each; the ring has room for 32.
        for step in 0..<3000 {
            #expect(unsafe write(ends[1], [CyclicTests.byte(step)], 1) == 1)
            if step % 1000 == 999 { try CyclicTests.reach((step + 1) / 64, &ring) }
            while try ring.taken < ring.completed(), step % 1000 == 999 {
                let outcome = try ring.withNextPeriod { view in
                    (0..<64).allSatisfy { view[$0] == CyclicTests.byte(Int(view.index) * 64 + $0) }
                }
                #expect(outcome == .intact(true))
            }
        }
        #expect(ring.lost == 0)
    }

    @Test("values out of range are refused before anything is created")
    func ranges() {
        func refusal(_ change: (inout IOUringConfiguration) -> Void) -> DMAError.Code? {
            var configuration = IOUringConfiguration()
            change(&configuration)
            do throws(DMAError) {
                _ = try IOUringEngine(configuration)
                return nil
            } catch { return error.code }
        }
        #expect(refusal { $0.depth = 0 } == .badConfiguration)
        #expect(refusal { $0.depth = 32_769 } == .badConfiguration)
        #expect(refusal { $0.files = 5000 } == .badConfiguration)
        #expect(refusal { $0.workers = 0 } == .badConfiguration)
        #expect(refusal { $0.submissionIdle = 0 } == .badConfiguration)
        #expect(refusal { $0.depth = 32_768 } == nil)
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit
import DMAIOUringEngine
import ForbiddenSystemCalls
import Foundation
import Testing

@Suite("Rings whose call is forbidden while the kernel has requests", .serialized)
struct RefusalTests {
    /// Seconds in which a wait must have ended: the engine's patience, and time for a busy machine.
    private static let bound: Int64 = 20_000_000_000

    /// A channel with a read of an empty pipe in flight, whose other end is `sends`.
    private static func reading(_ carrying: Carrying, _ sends: inout Int32) throws -> Channel<IOUringEngine, Freight> {
        var configuration = carrying.configuration(depth: 4)
        configuration.submissionIdle = 1
        var channel = try Channel<IOUringEngine, Freight>.make(configuration)
        let ends = StreamTests.ends(socket: false)
        let number = try channel.attach(PeripheralFile(ends[0]))
        let read = DMACore.Operation.fromPeripheral(0..<1, at: PeripheralPlace(number: number))
        _ = try channel.submit(read, try freight([[0]], .fromDevice)).get()
        channel.issuePending()
        // Until the kernel has it, or its thread has, which then goes to sleep.
        _ = try channel.wait(until: .after(milliseconds: 300))
        sends = ends[1]
        return channel
    }

    /// Frees what the kernel might still have reached, when the channel has ended: the leak check then sees what nothing owns.
    private static func ended(_ code: Int32) -> Int32 {
        // SAFETY: nothing more is written to the pipe, so that its read reaches no memory.
        _ = try? unsafe Quarantine.unsafeReleaseAll(of: home.id)
        return code
    }

    @Test(
        "a read that never completes: the wait ends with deviceGone",
        arguments: [EPERM, EINVAL, ENOSYS], [Carrying.ring, .pinned, .submissionThread])
    func inFlight(_ error: Int32, _ carrying: Carrying) async {
        await #expect(processExitsWith: .exitCode(0)) { [error, carrying] in
            exit(Self.ended(try Self.neverCompletes(error, carrying)))
        }
    }

    private static func neverCompletes(_ error: Int32, _ carrying: Carrying) throws -> Int32 {
        var sends: Int32 = -1
        var channel = try reading(carrying, &sends)
        guard forbid_io_uring_enter(error) == 0 else { return 2 }
        let began = Deadline.now.nanoseconds
        do throws(DMAError) {
            while try !channel.wait(until: .after(milliseconds: 60_000)) {}
            return 3
        } catch {
            guard error.code == .deviceGone else { return 4 }
        }
        guard Deadline.now.nanoseconds - began < bound else { return 5 }
        // It stays so, and the channel's end is bounded, too.
        do throws(DMAError) {
            _ = try channel.wait(until: .after(milliseconds: 60_000))
            return 6
        } catch { guard error.code == .deviceGone else { return 7 } }
        guard Deadline.now.nanoseconds - began < bound else { return 8 }
        return 0
    }

    @Test(
        "a read that completes after the call was forbidden: it is delivered, or the wait ends with deviceGone",
        arguments: [EPERM, EINVAL, ENOSYS], [Carrying.ring, .pinned, .submissionThread])
    func completed(_ error: Int32, _ carrying: Carrying) async {
        await #expect(processExitsWith: .exitCode(0)) { [error, carrying] in
            exit(Self.ended(try Self.completesLater(error, carrying)))
        }
    }

    private static func completesLater(_ error: Int32, _ carrying: Carrying) throws -> Int32 {
        var sends: Int32 = -1
        var channel = try reading(carrying, &sends)
        guard forbid_io_uring_enter(error) == 0 else { return 2 }
        guard unsafe write(sends, [7], 1) == 1 else { return 3 }
        let began = Deadline.now.nanoseconds
        do {
            let finished = try channel.await()
            guard finished.status == .complete, carrying != .pinned else { return 4 }
        } catch {
            // Only by the call would a ring of one thread get it.
            guard (error as? DMAError)?.code == .deviceGone, carrying == .pinned else { return 5 }
        }
        guard Deadline.now.nanoseconds - began < bound else { return 6 }
        return 0
    }

    @Test(
        "requests that the kernel's sleeping thread would take: waits end with deviceGone", arguments: [EPERM, EINVAL, ENOSYS])
    func asleep(_ error: Int32) async {
        await #expect(processExitsWith: .exitCode(0)) { [error] in
            exit(Self.ended(try Self.fallsAsleep(error)))
        }
    }

    private static func fallsAsleep(_ error: Int32) throws -> Int32 {
        var sends: Int32 = -1
        var channel = try reading(.submissionThread, &sends)
        guard unsafe write(sends, [7], 1) == 1 else { return 2 }
        let first = try channel.await()
        guard first.status == .complete else { return 3 }
        _ = first.takeCargo()
        // Long enough for the thread to sleep.
        usleep(200_000)
        guard forbid_io_uring_enter(error) == 0 else { return 4 }
        let began = Deadline.now.nanoseconds
        let scratch = try Scratch(Scratch.memory)
        scratch.fill([1])
        let number = try channel.attach(PeripheralFile(scratch.descriptor))
        let read = DMACore.Operation.fromPeripheral(0..<1, at: PeripheralPlace(number: number, position: 0))
        _ = try channel.submit(read, try freight([[0]], .fromDevice)).get()
        channel.issuePending()
        do {
            _ = try channel.await()
            return 5
        } catch { guard (error as? DMAError)?.code == .deviceGone else { return 6 } }
        guard Deadline.now.nanoseconds - began < bound else { return 7 }
        return 0
    }
}

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

    @Test(
        "a read that never completes: the wait ends with deviceGone",
        arguments: [EPERM, EINVAL, ENOSYS], [Carrying.ring, .pinned, .submissionThread])
    func inFlight(_ error: Int32, _ carrying: Carrying) async {
        await #expect(processExitsWith: .exitCode(0)) { [error, carrying] in
            var sends: Int32 = -1
            var channel = try Self.reading(carrying, &sends)
            guard forbid_io_uring_enter(error) == 0 else { exit(2) }
            let began = Deadline.now.nanoseconds
            do throws(DMAError) {
                while try !channel.wait(until: .after(milliseconds: 60_000)) {}
                exit(3)
            } catch {
                guard error.code == .deviceGone else { exit(4) }
            }
            guard Deadline.now.nanoseconds - began < Self.bound else { exit(5) }
            // It stays so, and the channel's end is bounded, too.
            do throws(DMAError) {
                _ = try channel.wait(until: .after(milliseconds: 60_000))
                exit(6)
            } catch { guard error.code == .deviceGone else { exit(7) } }
            guard Deadline.now.nanoseconds - began < Self.bound else { exit(8) }
            exit(0)
        }
    }

    @Test(
        "a read that completes after the call was forbidden: it is delivered, or the wait ends with deviceGone",
        arguments: [EPERM, EINVAL, ENOSYS], [Carrying.ring, .pinned, .submissionThread])
    func completed(_ error: Int32, _ carrying: Carrying) async {
        await #expect(processExitsWith: .exitCode(0)) { [error, carrying] in
            var sends: Int32 = -1
            var channel = try Self.reading(carrying, &sends)
            guard forbid_io_uring_enter(error) == 0 else { exit(2) }
            guard unsafe write(sends, [7], 1) == 1 else { exit(3) }
            let began = Deadline.now.nanoseconds
            do {
                let finished = try channel.await()
                guard finished.status == .complete, carrying != .pinned else { exit(4) }
            } catch {
                // Only by the call would a ring of one thread get it.
                guard (error as? DMAError)?.code == .deviceGone, carrying == .pinned else { exit(5) }
            }
            guard Deadline.now.nanoseconds - began < Self.bound else { exit(6) }
            exit(0)
        }
    }

    @Test(
        "requests that the kernel's sleeping thread would take: waits end with deviceGone", arguments: [EPERM, EINVAL, ENOSYS])
    func asleep(_ error: Int32) async {
        await #expect(processExitsWith: .exitCode(0)) { [error] in
            var sends: Int32 = -1
            var channel = try Self.reading(.submissionThread, &sends)
            guard unsafe write(sends, [7], 1) == 1 else { exit(2) }
            let first = try channel.await()
            guard first.status == .complete else { exit(3) }
            _ = first.takeCargo()
            // Long enough for the thread to sleep.
            usleep(200_000)
            guard forbid_io_uring_enter(error) == 0 else { exit(4) }
            let began = Deadline.now.nanoseconds
            let scratch = try Scratch(Scratch.memory)
            scratch.fill([1])
            let number = try channel.attach(PeripheralFile(scratch.descriptor))
            let read = DMACore.Operation.fromPeripheral(0..<1, at: PeripheralPlace(number: number, position: 0))
            _ = try channel.submit(read, try freight([[0]], .fromDevice)).get()
            channel.issuePending()
            do {
                _ = try channel.await()
                exit(5)
            } catch { guard (error as? DMAError)?.code == .deviceGone else { exit(6) } }
            guard Deadline.now.nanoseconds - began < Self.bound else { exit(7) }
            exit(0)
        }
    }
}

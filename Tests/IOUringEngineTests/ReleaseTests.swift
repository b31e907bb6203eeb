// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMATestSupport
import Foundation
import SystemPackage
import Testing

@testable import DMAIOUringEngine

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Errors of system calls during releases. In separate processes: descriptors are closed behind the engine's back.
@Suite("Letting go", .serialized)
struct ReleaseTests {
    /// The descriptors of a file that this process has open.
    private static func descriptors(of scratch: Scratch) -> [Int32] {
        (0..<1024 as Range<Int32>).filter {
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")) == scratch.path
        }
    }

    /// Closes all descriptors of a file except the test's own, and makes sure that no other thread gets their numbers.
    private static func takeAway(_ scratch: Scratch) -> Bool {
        let taken = descriptors(of: scratch).filter { $0 != scratch.descriptor }
        guard let lowest = taken.min() else { return false }
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return false }
        limit.rlim_cur = rlim_t(lowest)
        guard unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return false }
        return taken.allSatisfy { close($0) == 0 }
    }

    @Test("in an engine's whole life no call of a release fails", arguments: Carrying.allCases)
    func clean(_ carrying: Carrying) async {
        await #expect(processExitsWith: .exitCode(0)) { [carrying] in
            let scratch = try Scratch(Scratch.memory)
            scratch.fill([1, 2, 3, 4])
            for _ in 0..<3 {
                var channel = try Channel<IOUringEngine, Freight>.make(carrying.configuration())
                let number = try channel.attach(PeripheralFile(scratch.descriptor))
                let read = DMACore.Operation.fromPeripheral(
                    0..<1, at: PeripheralPlace(number: number, position: 0), flags: .interrupt)
                guard try channel.perform(read, try freight([[0, 0, 0, 0]], .fromDevice)).status == .complete else { exit(1) }
                try channel.detach(number)
                let other = try channel.attach(PeripheralFile(scratch.descriptor))
                let again = try channel.attach(PeripheralFile(scratch.descriptor, cache: .direct))
                guard other != again else { exit(2) }
            }
            _ = IOUringFeatures.probe()
            guard ReleaseFailures.count == 0 else { exit(100 + ReleaseFailures.last) }
            exit(0)
        }
    }

    @Test("a file whose descriptor is closed is detached, and the error reported", arguments: Carrying.allCases)
    func detach(_ carrying: Carrying) async {
        await #expect(processExitsWith: .exitCode(0)) { [carrying] in
            let scratch = try Scratch(Scratch.memory)
            var engine = try IOUringEngine(carrying.configuration())
            let number = try engine.attach(PeripheralFile(scratch.descriptor))
            guard ReleaseTests.takeAway(scratch) else { exit(5) }
            do throws(DMAError) {
                try engine.detach(number)
                exit(1)
            } catch {
                guard error.code == .kernelRefused, error.errno == EBADF else { exit(2) }
            }
            do throws(DMAError) {
                try engine.detach(number)
                exit(3)
            } catch {
                guard error.code == .noSuchPeripheral else { exit(4) }
            }
            exit(0)
        }
    }

    @Test("an engine that ends with a file whose descriptor is closed counts it", arguments: Carrying.allCases)
    func end(_ carrying: Carrying) async {
        await #expect(processExitsWith: .exitCode(0)) { [carrying] in
            let scratch = try Scratch(Scratch.memory)
            do {
                var engine = try IOUringEngine(carrying.configuration())
                _ = try engine.attach(PeripheralFile(scratch.descriptor))
                guard ReleaseTests.takeAway(scratch) else { exit(5) }
            }
            guard ReleaseFailures.count == 1, ReleaseFailures.last == EBADF else { exit(1) }
            exit(0)
        }
    }

    @Test("a result is a number or an error, whatever the kernel returns")
    func results() {
        #expect(KernelResult(7).errno == nil && KernelResult(7).rawValue == 7)
        #expect(KernelResult(-11).errno == .resourceTemporarilyUnavailable)
        #expect(KernelResult(.min).errno != nil)
        #expect(KernelResult(Errno.noFunction) == KernelResult(-38))
        #expect(throws: DMAError(.kernelRefused, errno: 9)) { () throws(DMAError) in try KernelResult(-9).get() }
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMAEDUEngine

extension FuzzEntry {
    /// The EDU's driver on a device of random words, under a client of random calls.
    static let edu = FuzzEntry(name: "edu", length: 3000, isProgram: true) { bytes in EDUProgram.run(bytes) }
}

/// A client of the driver: submits, polls, waits and terminates as the bytes say, and keeps account.
private struct EDUProgram {
    private typealias Cargo = Pair<MappedBuffer, MappedBuffer>
    /// Nanoseconds that one call may take, on a machine that does other things as well.
    private static let limit: Int64 = 20_000_000_000

    static func run(_ bytes: [UInt8]) -> FuzzEntry.Outcome {
        guard let device = RandomDevice(bytes) else {
            return FuzzEntry.Outcome(failure: "no address space", length: 0, steps: 0)
        }
        var failure = drive(device)
        failure = failure ?? device.failure
        // What the driver could not stop is in the quarantine; this device never was.
        // SAFETY: no device reaches the memory: the one of this program is a value that reads bytes.
        for entry in Quarantine.entries { try? unsafe Quarantine.unsafeRelease(entry.identifier) }
        return FuzzEntry.Outcome(failure: failure, length: device.position, steps: max(device.accesses, 1))
    }

    private static func drive(_ device: RandomDevice) -> String? {
        var configuration = EDUConfiguration()
        configuration.depth = 4
        configuration.patience = .microseconds(50)
        configuration.restartLimit = .microseconds(50)
        guard let engine = try? EDUEngine(opening: device, configuration) else { return nil }
        let domain = engine.domain
        guard var channel = try? Channel(engine, domain: domain, of: Cargo.self) else { return "no channel" }
        var (submitted, finished) = (0, 0)
        var terminated = false
        // Ends: each turn takes a byte.
        while !device.isOver {
            let began = Deadline.now.nanoseconds
            let choice = device.byte()
            switch choice % 16 {
            case 0...4:
                guard
                    let from = try? Buffer(count: 1 + choice * 40).mapped(for: domain, direction: .toDevice),
                    let to = try? Buffer(count: 1 + choice * 40).mapped(for: domain, direction: .fromDevice)
                else { return "no memory" }
                switch channel.submit(.copy(flags: choice & 64 != 0 ? .interrupt : []), Pair(from, to)) {
                case .queued: submitted += 1
                case .refused: break
                }
            case 5, 6: channel.issuePending()
            case 7: _ = try? channel.wait(until: .after(nanoseconds: 20_000))
            case 8 where choice & 64 != 0:
                channel.terminateAsync()
                terminated = true
            case 9 where terminated:
                terminated = (try? channel.synchronize(by: .after(nanoseconds: 50_000))) == nil
            default:
                guard let end = channel.next() else { break }
                finished += 1
                if !end.status.isFinal { return "a status that is no end: \(end.status)" }
                if end.status == .complete, end.residue != 0 { return "complete with a residue" }
            }
            if finished > submitted { return "\(finished) ends of \(submitted) transactions" }
            if Deadline.now.nanoseconds - began > limit { return "a call took more than 20 s" }
        }
        let faults = channel.faults
        // Whether it stopped is for the device to say; everything else is the driver's own doing.
        guard faults.total == faults.didNotQuiesce else { return "impossible completions: \(faults)" }
        return nil
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMAIOATEngine

extension FuzzEntry {
    /// The I/OAT's driver on a device of random words, under a client of random calls.
    static let ioat = FuzzEntry(name: "ioat", length: 3000, isProgram: true) { bytes in IOATProgram.run(bytes) }
}

/// A client of the driver: submits, polls, waits, pauses and terminates as the bytes say, and keeps account.
private struct IOATProgram {
    private typealias Cargo = CargoList<MappedBuffer>
    /// Nanoseconds that one call may take, on a machine that does other things as well.
    private static let limit: Int64 = 20_000_000_000

    static func run(_ bytes: [UInt8]) -> FuzzEntry.Outcome {
        guard let device = RandomIOAT(bytes) else {
            return FuzzEntry.Outcome(failure: "no address space", length: 0, steps: 0)
        }
        var failure = drive(device)
        failure = failure ?? device.failure
        // What the driver could not stop is in the quarantine.
        // SAFETY: the model that could reach the memory is not stepped any more, and ends here.
        for entry in Quarantine.entries { try? unsafe Quarantine.unsafeRelease(entry.identifier) }
        return FuzzEntry.Outcome(failure: failure, length: device.position, steps: max(device.accesses, 1))
    }

    private static func drive(_ device: RandomIOAT) -> String? {
        var configuration = IOATConfiguration()
        configuration.depth = 4
        configuration.patience = .microseconds(50)
        configuration.restartLimit = .microseconds(50)
        guard let engine = try? IOATEngine(opening: device, configuration) else { return nil }
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
                guard let cargo = cargo(choice, domain) else { return "no memory" }
                switch channel.submit(operation(device.byte()), cargo) {
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
            case 10 where choice & 64 != 0: try? channel.pause()
            case 11: try? channel.resume()
            case 12 where choice & 64 != 0: try? channel.apply(IOATSettings(interruptDelay: choice * 100))
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

    /// Eight buffers of a length: six sources, then P and Q.
    private static func cargo(_ choice: Int, _ domain: Domain) -> Cargo? {
        var list = Cargo(capacity: 8)
        for index in 0..<8 {
            guard
                let buffer = try? Buffer(count: 1 + choice * 60).mapped(
                    for: domain, direction: index < 6 ? .toDevice : .bidirectional),
                list.append(buffer) == nil
            else { return nil }
        }
        return list
    }

    private static func operation(_ choice: Int) -> Operation {
        let flags: DescriptorFlags = choice & 64 != 0 ? .fence : []
        let sources = 0..<UInt16(1 + choice / 8 % 6)
        return switch choice % 8 {
        case 0, 1: .copy(from: 0, to: 6, flags: flags)
        case 2: .fill(6, pattern: UInt64(choice), flags: flags)
        case 3: .xor(sources: sources, to: 6, flags: choice & 128 != 0 ? flags.union(.continue) : flags)
        case 4: .xorValidate(sources: sources, flags: flags)
        case 5: .pq(sources: sources, p: 6, coefficients: .raid6, flags: choice & 128 != 0 ? flags.union(.continue) : flags)
        case 6: .pqValidate(sources: sources, p: 6, coefficients: .raid6, flags: flags)
        default: .null(flags: flags)
        }
    }
}

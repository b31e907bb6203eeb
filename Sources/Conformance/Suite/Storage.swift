// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Bytes with positions on the far side of an engine's peripheral transfers: a file, a namespace, a disk.
///
/// It is the configured peripheral of the engines. The suite's own reads and writes do not go through the engine, and both
/// sides see each other's writes at once.
public protocol ConformanceStorage: AnyObject, Sendable {
    /// Bytes; more than the transactions in flight use.
    var count: Int { get }
    /// Writes `bytes` at `position`.
    func put(_ bytes: [UInt8], at position: Int)
    /// The `count` bytes at `position`.
    func get(_ count: Int, at position: Int) -> [UInt8]
    /// Why ``put(_:at:)`` or ``get(_:at:)`` failed; nil while none did. Later findings say nothing about the engine.
    var failure: String? { get }
}

extension ConformanceStorage {
    /// A storage that never fails.
    public var failure: String? { nil }
}

/// The part of a storage that a plan's transaction may access, with a margin on either side.
struct StoredPlace: Sendable {
    var storage: any ConformanceStorage
    var position: Int
    var before: [UInt8]
    var after: [UInt8]

    /// The fault, or nil.
    var finding: String? {
        let found = storage.get(after.count, at: position)
        // All at once; the wrong byte is searched only where there is one. SAFETY: bytes have no padding, so that reading their
        // span raw reads nothing else.
        guard unsafe !Oracle.equal(found.span.bytes, after), let first = found.indices.first(where: { found[$0] != after[$0] })
        else { return nil }
        let number = found.indices.count { found[$0] != after[$0] }
        let what =
            found[first] == before[first] ? "not written" : after[first] == before[first] ? "written outside" : "mismatch"
        return "storage: \(number) bytes wrong, the first at position \(position + first): \(what)"
    }
}

extension SuiteRun where E: ~Copyable {
    /// A list of memory to or from the storage, at a position that no other plan in flight uses.
    func planStorage(_ count: Int, _ flags: DescriptorFlags, reads: Bool) -> Plan {
        guard let storage = provisions.storage else {
            return Plan(places: [], operation: .null(flags: flags), value: nil, count: 0, text: "no storage")
        }
        let margin = 64
        // Aligned for the device in half of the cases. Whole pages for each plan: no other plan shares a file's page. Offsets
        // inside are aligned in half of the cases.
        let page = 4096
        let first = storageCursor + count + 3 * page + page > storage.count ? 0 : storageCursor
        let shift = random.once(in: 2) ? 0 : random.int(0...(page / unit - 1)) * unit
        let position = first + page + shift
        storageCursor = (position + count + margin + page - 1) / page * page
        let parts = random.once(in: 2) ? [count] : cut(count, pieces: min(capabilities.maximumSegments, 6))
        let stream = random.bytes(count)
        let old = random.bytes(count + 2 * margin)
        var after = old
        var before = old
        var places: [Plan.Place] = []
        var start = 0
        for part in parts {
            let image = Array(stream[start..<start + part])
            places.append(
                reads
                    ? Plan.Place(before: random.bytes(part), after: image, written: [0..<part], direction: .fromDevice)
                    : Plan.Place(before: image, after: image, direction: .toDevice))
            start += part
        }
        if reads { before.replaceSubrange(margin..<margin + count, with: stream) }
        after.replaceSubrange(margin..<margin + count, with: stream)
        let range = 0..<UInt16(parts.count)
        let place = PeripheralPlace.at(UInt64(position))
        return Plan(
            places: places,
            operation: reads ? .fromPeripheral(range, at: place, flags: flags) : .toPeripheral(range, at: place, flags: flags),
            value: nil, count: count,
            text: "\(reads ? "from" : "to") storage at \(position), \(parts), flags \(flags.rawValue)",
            stored: StoredPlace(storage: storage, position: position - margin, before: before, after: after))
    }

    /// Commands with a range, and their effects.
    func storageCommands() throws(DMAError) {
        guard let storage = provisions.storage else { return }
        var channel = try open()
        let block = 4096
        try repeatedly(min(suite.iterations, 8)) { _ throws(DMAError) in
            for command in [PeripheralCommand.allocate, .zero, .discard, .flush, .flushData]
            where capabilities.commands.contains(PeripheralCommandSet(command)) {
                let position = random.int(1...(storage.count / block - 8)) * block
                let length = random.int(1...4) * block
                let old = random.bytes(length + 2 * block)
                storage.put(old, at: position - block)
                parameters = "\(command) of \(length) bytes at \(position)"
                let hasRange = command != .flush && command != .flushData
                let operation = Operation.command(
                    command, at: .at(UInt64(position)), count: hasRange ? length : 0)
                _ = try channel.submit(operation, Freight(capacity: 0)).get()
                channel.issuePending()
                let finished = try nextFinished(&channel)
                expect(
                    finished.status == .complete && finished.residue == 0,
                    "ended as \(finished.status), error \(finished.errno)")
                let found = storage.get(old.count, at: position - block)
                expect(
                    found.prefix(block) == old.prefix(block) && found.suffix(block) == old.suffix(block),
                    "it reached outside its range")
                let inside = found[block..<block + length]
                switch command {
                case .zero: expect(inside.allSatisfy { $0 == 0 }, "not zero")
                case .allocate, .flush, .flushData: expect(inside == old[block..<block + length], "the contents changed")
                // Discarded bytes may have any value.
                default: break
                }
                countBytes(found.count)
            }
        }
        close(channel)
    }
}

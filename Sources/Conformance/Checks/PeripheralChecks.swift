// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Operations whose other side is a peripheral.
extension SuiteRun where E: ~Copyable {
    func peripheral() throws(DMAError) {
        if provisions.storage != nil { try plainOperation(.peripheral) }
        guard let provide = provisions.peripheral else {
            return provisions.storage == nil ? skip(lacks(provision: "peripheral")) : ()
        }
        var channel = try open()
        // SAFETY: the provider's function neither replaces the engine nor stops it or takes its completions.
        let device = unsafe channel.withUnsafeEngine { provide(&$0) }
        guard let line = device.lines.first else { return skip("ConformancePeripheral.lines is empty") }
        try channel.configure(EngineConfiguration(peripheral: line))
        let unit = max(unit, device.unit)
        let starved = "a transfer that waited for its peripheral"
        seek(starved)
        try repeatedly(max(suite.iterations, 4)) { number throws(DMAError) in
            // At least two portions, for the one that waits.
            let count = max(length(atMost: largest / 2) / unit, 2) * unit
            let parts = cut(count, pieces: min(capabilities.maximumSegments, 6))
            let stream = random.bytes(count)
            let sends = number % 2 == 0
            parameters = "\(sends ? "to" : "from") a peripheral, \(parts)"
            var cargo = Freight(capacity: parts.count)
            var start = 0
            for part in parts {
                let image = sends ? Array(stream[start..<start + part]) : random.bytes(part)
                _ = cargo.append(try Plan.mapped(image, sends ? .toDevice : .fromDevice, for: suite.domain))
                start += part
            }
            let range = 0..<UInt16(parts.count)
            let cookie = try channel.submit(sends ? .toPeripheral(range) : .fromPeripheral(range), cargo).get()
            channel.issuePending()
            if !sends { try starve(&channel, device, line, stream, cookie) }
            let finished = try nextFinished(&channel)
            expect(
                finished.status == .complete && finished.residue == 0, "ended as \(finished.status), \(finished.residue) left")
            var moved: [UInt8] = []
            if sends {
                moved = device.drain(line: line)
            } else {
                for index in parts.indices {
                    moved +=
                        try finished.cargo.elements.withElement(at: index) { buffer throws(DMAError) in
                            try buffer.withCPUAccess { span throws(DMAError) in span.copied() }
                        } ?? []
                }
            }
            expect(moved == stream, "\(moved.count) bytes arrived, not the \(count) that were sent")
            countBytes(count)
        }
        close(channel)
    }

    /// Feeds the peripheral in two portions: between them the transfer waits, and reports its residue.
    private func starve(
        _ channel: inout Channel<E, Freight>, _ device: any ConformancePeripheral, _ line: UInt32, _ stream: [UInt8],
        _ cookie: Cookie
    ) throws(DMAError) {
        let half = stream.count / 2 / device.unit * device.unit
        device.feed(Array(stream[..<half]), line: line)
        if half < stream.count {
            linger(&channel, 100, for: 500_000)
            meet("a transfer that waited for its peripheral")
            expect(try channel.status(of: cookie) == .inProgress, "over with half of its bytes")
            let residue = try channel.residue(of: cookie)
            expect(
                residue >= UInt64(stream.count - half),
                "\(residue) bytes left, though \(stream.count - half) were not there yet")
        }
        device.feed(Array(stream[half...]), line: line)
    }

    /// A flush completes without a residue; a command that the engine lacks is refused.
    func command() throws(DMAError) {
        try storageCommands()
        guard let provide = provisions.peripheral else {
            return provisions.storage == nil ? skip(lacks(provision: "peripheral")) : ()
        }
        var channel = try open()
        // SAFETY: the provider's function neither replaces the engine nor stops it or takes its completions.
        let device = unsafe channel.withUnsafeEngine { provide(&$0) }
        guard let line = device.lines.first else { return skip("ConformancePeripheral.lines is empty") }
        try channel.configure(EngineConfiguration(peripheral: line))
        for command in PeripheralCommand.allCases where !capabilities.commands.contains(PeripheralCommandSet(command)) {
            switch channel.submit(.command(command, count: unit), Freight(capacity: 0)) {
            case .queued: expect(false, "\(command): accepted")
            case .refused(let error, _): expect(error.code == .unsupportedCommand, "\(command): \(error.code)")
            }
        }
        guard capabilities.commands.contains(PeripheralCommandSet(.flush)) else { return close(channel) }
        try repeatedly { _ throws(DMAError) in
            let cookie = try channel.submit(.command(.flush), Freight(capacity: 0)).get()
            channel.issuePending()
            let finished = try nextFinished(&channel)
            expect(
                finished.cookie == cookie && finished.status == .complete && finished.residue == 0,
                "a flush ended as \(finished.status), error \(finished.errno)")
        }
        close(channel)
    }
}

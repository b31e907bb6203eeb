// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Rule 3: prepare refuses an invalid request before the engine receives it, and returns the cargo.
extension SuiteRun where E: ~Copyable {
    func rule03() throws(DMAError) {
        var channel = try open()
        // Room for four units, so that there are inner lengths and offsets.
        let size = max(4096, 4 * unit)
        if capabilities.operations.contains(.copy) { try refusedCopies(&channel, size) }
        if capabilities.operations.contains(.fill) {
            try refuse(&channel, .fill(offset: 0, count: 0, pattern: 1), size, .zeroLength, "a fill of nothing")
            try refuse(&channel, .fill(9, count: 64, pattern: 1), size, .noSuchRegion, "a fill of a region that is not there")
        }
        if capabilities.operations.contains(.interleaved) { try refusedFrames(&channel, size) }
        for kind in OperationKind.allCases where !capabilities.operations.contains(OperationSet(kind)) {
            try refuse(&channel, example(kind), size, .unsupportedOperation, "\(kind), which the engine does not have")
        }
        if let kind = plannable.first {
            for flag in [DescriptorFlags.reuse, .continue, .disableP, .disableQ] where !capabilities.flags.contains(flag) {
                var operation = example(kind)
                operation.flags = flag
                try refuse(&channel, operation, size, .unsupportedFlag, "flag \(flag.rawValue), which the engine does not have")
            }
        }
        try refusedLists(&channel, size)
        if capabilities.operations.contains(.cyclic) {
            for period in [0, -1, 3, size + 1] {
                try refuse(
                    &channel, .cyclic(period: period, direction: .fromDevice), size, .badPeriod, "a period of \(period)")
            }
        }
        expect(channel.inFlight == 0, "a refused transaction is in the channel")
        close(channel)
    }

    private func refusedCopies(_ channel: inout Channel<E, Freight>, _ size: Int) throws(DMAError) {
        let (whole, line) = (size, max(64, unit))
        try refuse(&channel, .copy(count: 0), size, .zeroLength, "a copy of nothing")
        try refuse(&channel, .copy(sourceOffset: whole), size, .zeroLength, "a copy from the end on")
        try refuse(&channel, .copy(count: whole + unit), size, .outOfRange, "a copy of more than there is")
        try refuse(&channel, .copy(sourceOffset: unit, count: whole), size, .outOfRange, "a copy beyond the end")
        try refuse(
            &channel, .copy(destinationOffset: -line, count: line), size, .outOfRange,
            "an offset below 0, of which the bytes would leave the 64-bit space")
        try refuse(&channel, .copy(count: -1), size, .zeroLength, "a length below 0")
        let end = Int.max - (Int.max & (unit - 1)) - unit
        try refuse(&channel, .copy(sourceOffset: end), size, .outOfRange, "an offset at the end of the 63-bit space")
        try refuse(
            &channel, .copy(sourceOffset: line, count: end), size, .outOfRange, "a length at the end of the 63-bit space")
        try refuse(&channel, .copy(from: 0, to: 0), size, .overlappingRegions, "a region onto itself", .bidirectional)
        try refuse(
            &channel, .copy(from: 0, to: 0, sourceOffset: 0, destinationOffset: whole / 4, count: whole / 2), size,
            .overlappingRegions, "source and destination that overlap", .bidirectional)
        try refuse(&channel, .copy(from: 2, to: 1), size, .noSuchRegion, "a source that is not there")
        try refuse(&channel, .copy(from: 0, to: .max), size, .noSuchRegion, "a destination that is not there")
        try refuse(&channel, .copy(from: 1, to: 0), size, .noPermission, "a copy against the directions of the mappings")
        let strict = Int(clamping: capabilities.alignment)
        if strict > 1 {
            try refuse(&channel, .copy(count: strict + 1), size, .misaligned, "a length that is no multiple of \(strict)")
            try refuse(&channel, .copy(sourceOffset: 1, count: strict), size, .misaligned, "an address that is not aligned")
        } else if unit == 1 {
            // One byte is a valid length like any other.
            try perform(plan(.copy, count: 1), on: &channel)
        }
        if capabilities.maximumCount < whole {
            try refuse(&channel, .copy(), size, .sizeOverflow, "more than the engine moves at once")
        }
        let foreign = Domain(name: "foreign", constraints: suite.domain.constraints)
        try refuse(&channel, .copy(), size, .foreignDomain, "memory of another domain", nil, foreign)
    }

    private func refusedFrames(_ channel: inout Channel<E, Freight>, _ size: Int) throws(DMAError) {
        let piece = UInt32(unit)
        for (template, code, what) in [
            (InterleavedTemplate(frames: 0, chunk: piece), .zeroLength, "no frames"),
            (InterleavedTemplate(frames: 1, chunk: 0), .zeroLength, "frames of nothing"),
            (InterleavedTemplate(frames: 1, chunk: UInt32(size) + piece), .outOfRange, "a chunk longer than the region"),
            (
                InterleavedTemplate(frames: 3, chunk: piece, sourceGap: UInt32(size)), .outOfRange,
                "a gap that leaves the source"
            ),
            (
                InterleavedTemplate(frames: .max, chunk: .max / piece * piece, destinationGap: .max / piece * piece),
                .sizeOverflow, "2^64 bytes"
            ),
        ] as [(InterleavedTemplate, DMAError.Code, String)] {
            try refuse(&channel, .interleaved(template: template), size, code, what)
        }
        if capabilities.alignment > 1 {
            try refuse(
                &channel,
                .interleaved(template: InterleavedTemplate(frames: UInt32(clamping: capabilities.alignment), chunk: 1)), size,
                .misaligned,
                "chunks that are not aligned, in a range that is")
        }
    }

    private func refusedLists(_ channel: inout Channel<E, Freight>, _ size: Int) throws(DMAError) {
        if capabilities.operations.contains(.scatterGather), canScatter {
            try refuse(&channel, .scatterGather(from: 0..<0, to: 1..<2), size, .noSuchRegion, "a list without sources")
            try refuse(&channel, .scatterGather(from: 0..<1, to: 1..<3), size, .noSuchRegion, "a list longer than the cargo")
            var operation = Operation.scatterGather(from: 0..<1, to: 1..<2)
            operation.sourceOffset = UInt64(unit)
            try refuse(&channel, operation, size, .lengthMismatch, "lists that do not add up")
            let many = UInt16(clamping: min(capabilities.maximumSegments, 4096) + 1)
            try refuse(
                &channel, .scatterGather(from: 0..<many, to: 1..<2), size, .tooManySegments, "more segments than the engine has"
            )
        }
        if capabilities.operations.contains(.xor) {
            let many = UInt16(clamping: min(capabilities.maximumSources, 1024) + 1)
            try refuse(&channel, .xor(sources: 0..<many, to: 1), size, .tooManySources, "more sources than the engine has")
            try refuse(&channel, .xor(sources: 0..<0, to: 1), size, .tooManySources, "no sources")
        }
        if capabilities.operations.contains(.pq), capabilities.flags.isSuperset(of: [.disableP, .disableQ]) {
            try refuse(
                &channel, .pq(sources: 0..<1, p: 1, flags: [.disableP, .disableQ]), size, .tooManySources, "neither P nor Q")
        }
    }

    /// A well-formed operation of each kind on two regions.
    private func example(_ kind: OperationKind) -> Operation {
        let piece = unit
        return switch kind {
        case .copy: .copy(count: piece)
        case .fill: .fill(1, count: piece, pattern: 0)
        case .crc32c: .crc32c(count: piece)
        case .copyCRC32C: .copyCRC32C(count: piece)
        case .xor: .xor(sources: 0..<1, to: 1, count: piece)
        case .xorValidate: .xorValidate(sources: 0..<1, count: piece)
        case .pq: .pq(sources: 0..<1, p: 1, count: piece)
        case .pqValidate: .pqValidate(sources: 0..<1, p: 1, count: piece)
        case .scatterGather: .scatterGather(from: 0..<1, to: 1..<2)
        case .peripheral: .toPeripheral(0..<1)
        case .interleaved: .interleaved(template: InterleavedTemplate(frames: 1, chunk: UInt32(unit)))
        case .cyclic: .cyclic(1, period: piece, direction: .fromDevice)
        case .null: .null()
        case .command: .command(.flush)
        }
    }

    /// Submits on a source and a destination of `size` bytes; it must be refused with `code`, and both must be returned
    /// unchanged.
    private func refuse(
        _ channel: inout Channel<E, Freight>, _ operation: Operation, _ size: Int, _ code: DMAError.Code, _ what: String,
        _ direction: Direction? = nil, _ domain: Domain? = nil
    ) throws(DMAError) {
        parameters = what
        let image = random.bytes(size)
        var cargo = Freight(capacity: 2)
        _ = cargo.append(
            try Plan.mapped(
                image, direction ?? (operation.kind == .cyclic ? .fromDevice : .toDevice), for: domain ?? suite.domain))
        _ = cargo.append(try Plan.mapped(image, direction ?? .fromDevice, for: domain ?? suite.domain))
        let before = channel.inFlight
        // A fill's first region is its destination: our second one.
        var asked = operation
        if operation.kind == .fill, operation.destination == 0 {
            asked = .fill(
                1, offset: Int(truncatingIfNeeded: operation.destinationOffset), count: operation.count,
                pattern: operation.payload.value)
        }
        switch channel.submit(asked, cargo) {
        case .queued(let cookie):
            expect(false, "\(what): accepted, \(code) expected")
            try channel.terminateSync()
            _ = try channel.take(cookie)
        case .refused(let error, let cargo):
            expect(error.code == code, "\(what): \(error.code), \(code) expected")
            expect(
                !error.request.isEmpty && !error.reason.isEmpty && !error.cure.isEmpty, "\(what): the error has no text")
            expect(cargo.elements.count == 2, "\(what): the cargo did not come back whole")
            expect(channel.inFlight == before, "\(what): refused, and in flight")
            let place = Plan.Place(before: image, after: image, direction: .bidirectional)
            let plan = Plan(places: [place, place], operation: operation, value: nil, count: 0, text: what)
            try judgeUntouched(plan, cargo, what)
        }
    }
}

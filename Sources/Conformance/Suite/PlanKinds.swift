// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Random transactions of each kind, with their expected results.
extension SuiteRun where E: ~Copyable {
    /// Kinds that can be planned with memory and the storage alone.
    var plannable: [OperationKind] {
        capabilities.operations.kinds.filter {
            ![.cyclic, .command].contains($0) && ($0 != .scatterGather || canScatter)
                && ($0 != .peripheral || provisions.storage != nil)
        }
    }

    /// A list on each side.
    var canScatter: Bool { capabilities.maximumSegments >= 2 }

    /// A plan of the first kind that writes memory, for checks that need to observe whether it ran; nil where there is none.
    func writingPlan(_ count: Int? = nil, flags: DescriptorFlags = []) -> Plan? {
        for kind in [OperationKind.copy, .fill, .copyCRC32C, .xor, .pq, .interleaved, .scatterGather]
        where plannable.contains(kind) {
            return plan(kind, count: count, flags: flags)
        }
        if plannable.contains(.peripheral) { return planStorage(count ?? length(), flags, reads: true) }
        return nil
    }

    func plan(_ kind: OperationKind, count: Int? = nil, flags: DescriptorFlags = []) -> Plan {
        switch kind {
        case .copy, .copyCRC32C: planCopy(kind, count ?? length(), flags)
        case .fill: planFill(count ?? length(), flags)
        case .crc32c: planCRC(count ?? length(), flags)
        case .xor: planXOR(count ?? length(), flags)
        case .xorValidate: planXORValidate(count ?? length(), flags, breaks: random.once(in: 2))
        case .pq: planPQ(count ?? length(), flags)
        case .pqValidate: planPQValidate(count ?? length(), flags, breaks: random.int(0...3))
        case .scatterGather: planScatter(count, flags)
        case .interleaved: planInterleaved(randomTemplate(count), flags)
        case .peripheral: planStorage(count ?? length(), flags, reads: random.once(in: 2))
        case .null, .cyclic, .command:
            Plan(places: [], operation: .null(flags: flags), value: nil, count: 0, text: "null")
        }
    }

    /// A source region with `count` random bytes at `offset`.
    private func source(_ image: [UInt8]) -> Plan.Place { Plan.Place(before: image, after: image, direction: .toDevice) }

    private func size(_ offset: Int, _ count: Int) -> Int { offset + count + random.int(0...67) }

    private func text(_ kind: OperationKind, _ count: Int, _ from: Int, _ to: Int, _ flags: DescriptorFlags) -> String {
        "\(kind) \(count) bytes, source offset \(from), destination offset \(to), flags \(flags.rawValue)"
    }

    // MARK: Plain

    private func planCopy(_ kind: OperationKind, _ count: Int, _ flags: DescriptorFlags) -> Plan {
        let (from, to) = (offset(), offset())
        let oracle = Oracle(salt: random.next() | 1)
        let sourceRange = from..<from + count
        let targetRange = to..<to + count
        let image = oracle.sourceImage(count: size(from, count), marked: sourceRange)
        let before = oracle.destinationImage(count: size(to, count), marked: targetRange)
        var after = before
        after.replaceSubrange(targetRange, with: image[sourceRange])
        let seed = kind == .copyCRC32C ? UInt32(truncatingIfNeeded: random.next()) : 0
        let operation: Operation =
            kind == .copy
            ? .copy(sourceOffset: from, destinationOffset: to, count: count, flags: flags)
            : .copyCRC32C(
                sourceOffset: from, destinationOffset: to, count: count, seed: seed, flags: flags)
        return Plan(
            places: [
                source(image), Plan.Place(before: before, after: after, written: [targetRange], direction: .fromDevice),
            ], operation: operation,
            value: kind == .copy ? nil : UInt64(ByteModels.crc32c(image[sourceRange], seed: seed)), count: count,
            text: text(kind, count, from, to, flags))
    }

    private func planFill(_ count: Int, _ flags: DescriptorFlags) -> Plan {
        let to = offset()
        let range = to..<to + count
        let pattern = random.next()
        let before = Oracle(salt: random.next() | 1).destinationImage(count: size(to, count), marked: range)
        var after = before
        after.replaceSubrange(range, with: ByteModels.fill(count: count, pattern: pattern))
        return Plan(
            places: [Plan.Place(before: before, after: after, written: [range], direction: .fromDevice)],
            operation: .fill(offset: to, count: count, pattern: pattern, flags: flags), value: nil,
            count: count,
            text: text(.fill, count, 0, to, flags) + ", pattern 0x" + String(pattern, radix: 16))
    }

    private func planCRC(_ count: Int, _ flags: DescriptorFlags) -> Plan {
        let from = offset()
        let image = random.bytes(size(from, count))
        let seed = random.once(in: 2) ? 0 : UInt32(truncatingIfNeeded: random.next())
        return Plan(
            places: [source(image)], operation: .crc32c(offset: from, count: count, seed: seed, flags: flags),
            value: UInt64(ByteModels.crc32c(image[from..<from + count], seed: seed)), count: count,
            text: text(.crc32c, count, from, 0, flags) + ", seed \(seed)")
    }

    // MARK: Parity

    func planXOR(_ count: Int, _ flags: DescriptorFlags, inPlace: Bool = false) -> Plan {
        let number = sourceNumber(.xor, continuing: flags.contains(.continue))
        // In place, source and destination are one range.
        let from = offset()
        let to = inPlace ? from : offset()
        var places = (0..<number).map { _ in source(random.bytes(size(from, count))) }
        var before = random.bytes(size(to, count))
        let parts = places.map { Array($0.before[from..<from + count]) }
        let result = ByteModels.xor(parts, continuing: flags.contains(.continue) ? Array(before[to..<to + count]) : nil)
        var target = UInt16(number)
        if inPlace {
            target = UInt16(random.int(0...number - 1))
            before = places[Int(target)].before
        }
        var after = before
        after.replaceSubrange(to..<to + count, with: result)
        let place = Plan.Place(
            before: before, after: after, written: [to..<to + count],
            direction: inPlace || flags.contains(.continue) ? .bidirectional : .fromDevice)
        if inPlace { places[Int(target)] = place } else { places.append(place) }
        return Plan(
            places: places,
            operation: .xor(
                sources: 0..<UInt16(number), to: target, sourceOffset: from, destinationOffset: to,
                count: count, flags: flags), value: nil, count: count,
            text: text(.xor, count, from, to, flags) + ", \(number) sources" + (inPlace ? ", in place" : ""))
    }

    func planXORValidate(_ count: Int, _ flags: DescriptorFlags, breaks: Bool) -> Plan {
        let from = offset()
        let number = max(sourceNumber(.xorValidate, continuing: false), min(2, capabilities.maximumSources))
        var images = (0..<number).map { _ in random.bytes(size(from, count)) }
        let others = images.dropLast().map { Array($0[from..<from + count]) }
        // The last source makes the sum zero; a single one must be zero itself.
        let last = others.isEmpty ? [UInt8](repeating: 0, count: count) : ByteModels.xor(others)
        images[number - 1].replaceSubrange(from..<from + count, with: last)
        if breaks { images[random.int(0...number - 1)][from + random.int(0...count - 1)] ^= 1 << UInt8(random.int(0...7)) }
        return Plan(
            places: images.map(source),
            operation: .xorValidate(sources: 0..<UInt16(number), offset: from, count: count, flags: flags),
            value: breaks ? ValidationResult.pFailed.rawValue : 0, count: count,
            text: text(.xorValidate, count, from, 0, flags) + ", \(number) sources, \(breaks ? "broken" : "right")")
    }

    private func coefficients(_ number: Int) -> (Coefficients, [UInt8]) {
        var values = SIMD32<UInt8>(repeating: 0)
        var list: [UInt8] = []
        var power: UInt8 = 1
        let isRAID = random.once(in: 2)
        for index in 0..<number {
            let value = isRAID ? power : UInt8(random.int(0...255))
            values[index] = value
            list.append(value)
            power = ByteModels.multiply(power, 2)
        }
        return (Coefficients(values: values), list)
    }

    func planPQ(_ count: Int, _ flags: DescriptorFlags) -> Plan {
        let continues = flags.contains(.continue)
        let number = sourceNumber(.pq, continuing: continues)
        let (from, to) = (offset(), offset())
        let (coefficients, list) = coefficients(number)
        var places = (0..<number).map { _ in source(random.bytes(size(from, count))) }
        let parts = places.map { Array($0.before[from..<from + count]) }
        let range = to..<to + count
        for (index, skip) in [DescriptorFlags.disableP, .disableQ].enumerated() {
            let before = random.bytes(size(to, count))
            let previous = continues ? Array(before[range]) : nil
            var after = before
            if !flags.contains(skip) {
                after.replaceSubrange(
                    range,
                    with: index == 0
                        ? ByteModels.xor(parts, continuing: previous)
                        : ByteModels.q(parts, coefficients: list, continuing: previous))
            }
            places.append(
                Plan.Place(
                    before: before, after: after, written: flags.contains(skip) ? [0..<0] : [range],
                    direction: continues ? .bidirectional : .fromDevice))
        }
        return Plan(
            places: places,
            operation: .pq(
                sources: 0..<UInt16(number), p: UInt16(number), sourceOffset: from, destinationOffset: to,
                count: count, coefficients: coefficients, flags: flags), value: nil, count: count,
            text: text(.pq, count, from, to, flags) + ", \(number) sources, coefficients \(list)")
    }

    /// - Parameter breaks: bit 0 breaks P, bit 1 breaks Q.
    func planPQValidate(_ count: Int, _ flags: DescriptorFlags, breaks: Int) -> Plan {
        let number = sourceNumber(.pqValidate, continuing: false)
        let (from, to) = (offset(), offset())
        let (coefficients, list) = coefficients(number)
        var places = (0..<number).map { _ in source(random.bytes(size(from, count))) }
        let parts = places.map { Array($0.before[from..<from + count]) }
        var value: UInt64 = 0
        for (index, skip) in [DescriptorFlags.disableP, .disableQ].enumerated() {
            var image = random.bytes(size(to, count))
            image.replaceSubrange(
                to..<to + count, with: index == 0 ? ByteModels.xor(parts) : ByteModels.q(parts, coefficients: list))
            if breaks >> index & 1 == 1 {
                image[to + random.int(0...count - 1)] ^= 1 << UInt8(random.int(0...7))
                if !flags.contains(skip) { value |= 1 << UInt64(index) }
            }
            places.append(source(image))
        }
        return Plan(
            places: places,
            operation: .pqValidate(
                sources: 0..<UInt16(number), p: UInt16(number), sourceOffset: from, destinationOffset: to,
                count: count, coefficients: coefficients, flags: flags), value: value, count: count,
            text: text(.pqValidate, count, from, to, flags) + ", \(number) sources, broken \(breaks), coefficients \(list)")
    }

    // MARK: Shapes

    /// Splits `count` bytes into at most `pieces` parts, each a multiple of the unit.
    func cut(_ count: Int, pieces: Int) -> [Int] {
        var left = count / unit
        var parts: [Int] = []
        while left > 0, parts.count < max(pieces, 1) - 1 {
            let part = random.int(1...max(left / 2, 1))
            parts.append(part * unit)
            left -= part
        }
        if left > 0 { parts.append(left * unit) }
        return parts
    }

    private func planScatter(_ count: Int?, _ flags: DescriptorFlags) -> Plan {
        let count = count ?? length()
        let most = min(max(capabilities.maximumSegments / 2, 1), 12)
        let from = cut(count, pieces: random.int(1...most))
        let to = cut(count, pieces: random.int(1...most))
        let stream = random.bytes(count)
        var places: [Plan.Place] = []
        var start = 0
        for part in from {
            places.append(source(Array(stream[start..<start + part])))
            start += part
        }
        start = 0
        for part in to {
            places.append(
                Plan.Place(
                    before: random.bytes(part), after: Array(stream[start..<start + part]), written: [0..<part],
                    direction: .fromDevice))
            start += part
        }
        return Plan(
            places: places,
            operation: .scatterGather(
                from: 0..<UInt16(from.count), to: UInt16(from.count)..<UInt16(from.count + to.count), flags: flags),
            value: nil, count: count, text: "scatter-gather \(from) to \(to), flags \(flags.rawValue)")
    }

    func randomTemplate(_ count: Int? = nil) -> InterleavedTemplate {
        let frames = random.int(1...9)
        let chunk = max(length(atMost: max((count ?? largest) / 16, unit)) / unit, 1) * unit
        var template = InterleavedTemplate(
            frames: UInt32(frames), chunk: UInt32(chunk), sourceGap: UInt32(random.int(0...40) * unit),
            destinationGap: UInt32(random.int(0...40) * unit))
        // A gap that its flag turns off does not apply.
        template.sourceScatters = random.once(in: 2)
        template.destinationScatters = random.once(in: 2)
        return template
    }

    func planInterleaved(_ template: InterleavedTemplate, _ flags: DescriptorFlags) -> Plan {
        let (from, to) = (offset(), offset())
        let frames = Int(template.frames)
        let chunk = Int(template.chunk)
        let sourceStride = template.sourceIncrements ? chunk + (template.sourceScatters ? Int(template.sourceGap) : 0) : 0
        let targetStride =
            template.destinationIncrements ? chunk + (template.destinationScatters ? Int(template.destinationGap) : 0) : 0
        let image = random.bytes(size(from, (frames - 1) * sourceStride + chunk))
        let before = random.bytes(size(to, (frames - 1) * targetStride + chunk))
        var after = before
        var written: [Range<Int>] = []
        for frame in 0..<frames {
            let start = to + frame * targetStride
            let origin = from + frame * sourceStride
            after.replaceSubrange(start..<start + chunk, with: image[origin..<origin + chunk])
            if targetStride > 0 || frame == 0 { written.append(start..<start + chunk) }
        }
        return Plan(
            places: [source(image), Plan.Place(before: before, after: after, written: written, direction: .fromDevice)],
            operation: .interleaved(
                sourceOffset: from, destinationOffset: to, template: template, flags: flags), value: nil,
            count: frames * chunk,
            text: "interleaved \(frames) × \(chunk), gaps \(template.sourceGap)/\(template.destinationGap), "
                + "increments \(template.sourceIncrements)/\(template.destinationIncrements), "
                + "scatters \(template.sourceScatters)/\(template.destinationScatters), offsets \(from)/\(to)")
    }
}

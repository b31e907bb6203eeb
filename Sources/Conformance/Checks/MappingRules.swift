// SPDX-License-Identifier: Apache-2.0

import DMACore

/// Rules 29 to 37, as far as transfers through this engine exercise them.
///
/// Limits that the suite's own domain does not have are tested in a second domain. That one must address memory as the engine
/// does, so that it is made only where bus addresses equal the CPU's.
extension SuiteRun where E: ~Copyable {
    var noCopy: String { lacks(.copy) }
    var copies: Bool { capabilities.operations.contains(.copy) }

    /// A domain like the suite's with other limits; nil where addresses are translated between the engine and memory.
    func sibling(_ name: String, _ change: (inout DeviceConstraints) -> Void) -> Domain? {
        guard !suite.domain.isTranslated else { return nil }
        var constraints = suite.domain.constraints
        change(&constraints)
        return Domain(name: name, constraints: constraints)
    }

    private func copyPlan(_ count: Int) -> Plan { plan(.copy, count: max(min(count, largest) / unit, 1) * unit) }

    func rule29() throws(DMAError) {
        guard copies else { return skip(noCopy) }
        var channel = try open()
        let plan = copyPlan(4096)
        // The same memory at the same addresses, mapped for another domain, belongs to another device.
        let other = Domain(name: "other", constraints: suite.domain.constraints)
        switch channel.submit(plan.operation, try plan.freight(for: other)) {
        case .queued: throw giveUp("an address of another domain was accepted")
        case .refused(let error, let cargo):
            expect(error.code == .foreignDomain, "\(error.code), foreignDomain expected")
            try judgeUntouched(plan, cargo, "touched through a foreign domain")
        }
        try perform(plan, on: &channel)
        close(channel)
    }

    func rule30() throws(DMAError) {
        guard copies else { return skip(noCopy) }
        let mask = DMAMask(bits: 46)
        let plan = copyPlan(8192)
        for allowsBounce in [true, false] {
            guard
                let domain = sibling(
                    "narrow",
                    {
                        $0.streamingMask = mask
                        $0.allowsBounce = allowsBounce
                    })
            else { return skip(translated) }
            guard allowsBounce else {
                try refusedMap(domain, .unreachableAddress)
                continue
            }
            var channel = try open(for: domain)
            let freight = try plan.freight(for: domain)
            for range in freight.ranges {
                expect(mask.reaches(range.start, count: range.count), "the engine was given \(range.start), beyond the mask")
            }
            expect(domain.statistics.bounces > 0, "memory beyond the mask was not bounced")
            _ = try channel.submit(plan.operation, freight).get()
            channel.issuePending()
            try judge(plan, try nextFinished(&channel))
            close(channel)
        }
    }

    /// The kernel places memory at the top, beyond 46 bits; such a mapping is refused, and the buffer returned.
    private func refusedMap(_ domain: Domain, _ code: DMAError.Code) throws(DMAError) {
        let image = random.bytes(4096)
        var buffer = try Buffer(count: 4096)
        buffer.withMutableBytes { $0.put(image) }
        switch buffer.map(for: domain, direction: .toDevice) {
        case .mapped: expect(false, "mapped, \(code) expected")
        case .failed(let error, let buffer):
            expect(error.code == code, "\(error.code), \(code) expected")
            expect(buffer.withBytes { $0.copied() } == image, "the buffer did not come back as it was")
        }
        expect(domain.statistics.mappings == 0, "a refused mapping is counted as made")
    }

    func rule31() throws(DMAError) {
        guard capabilities.operations.contains(.copy) else { return skip(noCopy) }
        guard let small = sibling("small", { $0.maximumMappingSize = 4096 }) else { return skip(translated) }
        let plan = copyPlan(2048)
        // Longer than the limit, and long enough for the plan, whose offset and length may be a unit each.
        var buffer = try Buffer(count: max(8192, plan.places[0].before.count))
        buffer.withMutableBytes { $0.put(plan.places[0].before) }
        switch buffer.map(for: small, direction: .toDevice) {
        case .mapped: throw giveUp("a mapping larger than the largest was made")
        case .failed(let error, let buffer):
            expect(error.code == .mappingTooLarge, "\(error.code), mappingTooLarge expected")
            // The same buffer, for the engine's own domain.
            var cargo = Freight(capacity: 2)
            _ = cargo.append(try buffer.mapped(for: suite.domain, direction: .toDevice))
            _ = cargo.append(try Plan.mapped(plan.places[1].before, .fromDevice, for: suite.domain))
            var channel = try open()
            _ = try channel.submit(plan.operation, cargo).get()
            channel.issuePending()
            try judge(plan, try nextFinished(&channel))
            close(channel)
        }
    }

    func rule32() throws(DMAError) {
        guard copies else { return skip(noCopy) }
        let count = copyPlan(8192).count
        let image = random.bytes(count)
        // Memory that the device reaches in place: entries that are bounced one by one are not adjacent.
        var buffer = try Buffer(count: count, for: suite.domain)
        buffer.withMutableBytes { $0.put(image) }
        var list = ScatterList()
        list.appendWithoutEntry(buffer)
        // Entries that are adjacent for the device.
        let parts = cut(count, pieces: 5)
        var start = 0
        for part in parts {
            try list.appendEntry(buffer: 0, range: start..<start + part)
            start += part
        }
        let mapped = try list.mapped(for: suite.domain, direction: .toDevice)
        expect(mapped.originalCount == parts.count, "\(mapped.originalCount) entries of \(parts.count)")
        expect(mapped.regionCount <= parts.count, "\(mapped.regionCount) segments of \(parts.count) entries")
        // With an alignment as large as the length there is one entry, and nothing to merge.
        if parts.count > 1 { seek("a list that was merged") }
        if mapped.regionCount < parts.count { meet("a list that was merged") }
        var channel = try Channel(try make(), domain: suite.domain, of: Pair<MappedScatterList, MappedBuffer>.self)
        let segments = mapped.regionCount
        var cargo = Pair(mapped, try Plan.mapped([UInt8](repeating: 0, count: count), .fromDevice, for: suite.domain))
        var offset = 0
        for segment in 0..<segments {
            let length = Int(clamping: cargo.region(at: segment).count)
            _ = try channel.submit(
                .copy(from: UInt16(segment), to: UInt16(segments), destinationOffset: offset, count: length), cargo
            ).get()
            channel.issuePending()
            let finished = try nextFinished(&channel)
            expect(finished.status == .complete, "ended as \(finished.status)")
            cargo = finished.takeCargo()
            offset += length
        }
        expect(offset == UInt64(count), "the segments add up to \(offset) bytes of \(count)")
        let moved = try cargo.second.withCPUAccess { span throws(DMAError) in span.copied() }
        expect(moved == image, "what was moved is not what was in the list")
        countBytes(count)
        let back = try cargo.first.unmap()
        expect(back.entries.count == parts.count, "unmap gave back \(back.entries.count) entries of \(parts.count)")
        close(channel)
    }

    func rule33() throws(DMAError) {
        guard copies else { return skip(noCopy) }
        var channel = try open()
        let base = suite.domain.statistics.mappings
        try repeatedly(min(suite.iterations, 8)) { _ throws(DMAError) in
            let plan = copyPlan(length())
            var cargo = try perform(plan, on: &channel)
            expect(suite.domain.statistics.mappings == base + 2, "the mappings did not last to their end")
            if let mapped = cargo.elements.popLast() {
                let buffer = try mapped.unmap()
                expect(suite.domain.statistics.mappings == base + 1, "unmap did not end one mapping")
                expect(
                    buffer.withBytes { $0.copied() } == plan.places[1].after, "unmap gave back other bytes than were written")
                countBytes(buffer.count)
            }
        }
        expect(suite.domain.statistics.mappings == base, "mappings are left")
        close(channel)
    }

    func rule34() throws(DMAError) {
        guard copies else { return skip(noCopy) }
        var channel = try open()
        for (source, target) in [
            (Direction.fromDevice, Direction.fromDevice), (.toDevice, .toDevice), (.fromDevice, .toDevice),
        ] {
            var plan = copyPlan(4096)
            plan.places[0].direction = source
            plan.places[1].direction = target
            switch channel.submit(plan.operation, try freight(plan)) {
            case .queued: throw giveUp("a copy from \(source) to \(target) was accepted")
            case .refused(let error, _): expect(error.code == .noPermission, "\(error.code), noPermission expected")
            }
        }
        var plan = copyPlan(4096)
        plan.places[0].direction = .bidirectional
        plan.places[1].direction = .bidirectional
        try perform(plan, on: &channel)
        var received = try Plan.mapped(plan.places[1].before, .fromDevice, for: suite.domain)
        expectRefusal(.wrongDirection, of: "the CPU's write to what only the device writes") { () throws(DMAError) in
            try received.withMutableCPUAccess { _ throws(DMAError) in }
        }
        close(channel)
    }

    /// The CPU writes between two transfers, and reads after each.
    func rule35() throws(DMAError) {
        guard copies else { return skip(noCopy) }
        let domains = [suite.domain, sibling("bounced", { $0.streamingMask = DMAMask(bits: 46) }) ?? suite.domain]
        for domain in domains {
            var channel = try open(for: domain)
            var plan = copyPlan(4096)
            plan.operation = .copy(count: plan.count)
            var image = random.bytes(plan.count)
            plan.places[0] = Plan.Place(before: image, after: image, direction: .toDevice)
            plan.places[1] = Plan.Place(
                before: random.bytes(plan.count), after: image, written: [0..<plan.count], direction: .fromDevice)
            var cargo = try plan.freight(for: domain)
            for _ in 0..<3 {
                _ = try channel.submit(plan.operation, cargo).get()
                channel.issuePending()
                let finished = try nextFinished(&channel)
                try judge(plan, finished)
                cargo = finished.takeCargo()
                let start = random.int(0...plan.count - 1)
                let change = random.bytes(random.int(1...plan.count - start))
                image.replaceSubrange(start..<start + change.count, with: change)
                try cargo.elements.withMutableElement(at: 0) { buffer throws(DMAError) in
                    try buffer.withMutableCPUAccess(start..<start + change.count) { span throws(DMAError) in span.put(change) }
                    expectRefusal(.outOfRange, of: "access beyond the end") { () throws(DMAError) in
                        try buffer.withCPUAccess(0..<plan.count + 1) { _ throws(DMAError) in }
                    }
                }
                plan.places[0].before = image
                plan.places[0].after = image
                plan.places[1].after = image
            }
            close(channel)
        }
    }

    func rule36() throws(DMAError) {
        guard copies else { return skip(noCopy) }
        let line = Int(clamping: suite.domain.constraints.cacheLineSize)
        var plan = copyPlan(line * 3 / max(unit, 1) * unit)
        // Where offsets are whole lines, the end must share one.
        if unit >= line, plan.places[1].before.count % line == 0 {
            plan.places[1].before.append(0x77)
            plan.places[1].after.append(0x77)
        }
        for allowsBounce in [true, false] {
            guard
                let domain = sibling(
                    "incoherent",
                    {
                        $0.isCoherent = false
                        $0.allowsBounce = allowsBounce
                    })
            else { return skip(translated) }
            // A range in the middle of foreign memory: both of its edges share a line with foreign data.
            let size = plan.places[1].before.count
            let space = UnsafeMutableRawBufferPointer.allocate(byteCount: size + 4 * line, alignment: line)
            // SAFETY: the memory is freed at the end of the round, after the mapping of its middle has ended; the middle is inside of it.
            defer { unsafe space.deallocate() }
            unsafe space.initializeMemory(as: UInt8.self, repeating: 0x5a)
            let start = line + (unit < line ? unit : 0)
            let middle = unsafe UnsafeMutableRawBufferPointer(rebasing: space[start..<start + size])
            // The space outlives the buffer, which ends in this iteration.
            var buffer = unsafe try Buffer(importing: middle)
            buffer.withMutableBytes { $0.put(plan.places[1].before) }
            switch buffer.map(for: domain, direction: .fromDevice) {
            case .failed(let error, _):
                expect(
                    !allowsBounce && error.code == .sharedCacheLine,
                    "\(error.code) with bouncing \(allowsBounce ? "on" : "off")")
            case .mapped(let mapped):
                expect(allowsBounce && mapped.wasBounced, "mapped with its cache lines shared")
                var cargo = Freight(capacity: 2)
                _ = cargo.append(try Plan.mapped(plan.places[0].before, .toDevice, for: domain))
                _ = cargo.append(mapped)
                var channel = try open(for: domain)
                _ = try channel.submit(plan.operation, cargo).get()
                channel.issuePending()
                try judge(plan, try nextFinished(&channel))
                close(channel)
                let neighbours = unsafe Array(space[..<start]) + Array(space[(start + size)...])
                expect(neighbours.allSatisfy { $0 == 0x5a }, "foreign data beside the mapping changed")
                countBytes(neighbours.count)
            }
        }
    }

    func rule37() throws(DMAError) {
        guard copies else { return skip(noCopy) }
        guard suite.domain.constraints.isCoherent else { return skip("DeviceConstraints.isCoherent is false") }
        let words = max(64, unit / 8)
        var channel = try Channel(try make(), domain: suite.domain, of: Pair<CoherentBuffer, CoherentBuffer>.self)
        // Taken out for each transfer and put back after it.
        var kept: Pair<CoherentBuffer, CoherentBuffer>? = Pair(
            try CoherentBuffer(count: words * 8, domain: suite.domain),
            try CoherentBuffer(count: words * 8, domain: suite.domain))
        try repeatedly(min(suite.iterations, 8)) { _ throws(DMAError) in
            guard var cargo = kept.take() else { return }
            var values: [UInt64] = []
            for index in 0..<words {
                values.append(random.next())
                // The last word marks the others as valid: it is released after them.
                if index < words - 1 {
                    try cargo.first.store(values[index], at: index * 8)
                } else {
                    try cargo.first.storeRelease(values[index], at: index * 8)
                }
            }
            _ = try channel.submit(.copy(), cargo).get()
            channel.issuePending()
            let finished = try nextFinished(&channel)
            expect(finished.status == .complete, "ended as \(finished.status)")
            cargo = finished.takeCargo()
            expect(
                try cargo.second.loadAcquire(at: (words - 1) * 8, as: UInt64.self) == values[words - 1],
                "the valid word is missing")
            for index in 0..<words - 1 {
                expect(
                    try cargo.second.load(at: index * 8, as: UInt64.self) == values[index],
                    "word \(index) came after the valid word")
            }
            countBytes(words * 8)
            kept = consume cargo
        }
        close(channel)
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAEngineKit

/// The same transfers with other kinds of cargo, and through `AnyEngine`.
extension SuiteRun where E: ~Copyable {
    /// Blocks at odd addresses, lists of blocks, pairs of lists, scatter lists.
    func cargoes() throws(DMAError) {
        let kinds = capabilities.operations
        guard kinds.contains(.copy) || kinds.contains(.scatterGather) else {
            return skip("Capabilities.operations lacks .copy and .scatterGather")
        }
        if kinds.contains(.scatterGather), canScatter {
            try blockLists()
            try scatterLists()
        }
        if kinds.contains(.copy) { try oddBlocks() }
    }

    /// Every start address that a device with this alignment can have, in turn.
    private func oddBlocks() throws(DMAError) {
        let size = 61 * unit
        let memory = try Buffer(count: 80 * size).mapped(for: suite.domain, direction: .bidirectional)
        var pool = try Pool(memory, blockSize: size, alignment: suite.domain.constraints.isCoherent ? unit : 64)
        var channel = try Channel(try make(), domain: suite.domain, of: Pair<Block, Block>.self)
        var held = FixedArray<Block>(capacity: pool.capacity)
        try repeatedly(min(suite.iterations, pool.capacity / 2)) { _ throws(DMAError) in
            guard var from = pool.lease(), var to = pool.lease() else { return }
            let image = random.bytes(size)
            let before = random.bytes(size)
            try from.withMutableBytes { span throws(DMAError) in span.put(image) }
            try to.withMutableBytes { span throws(DMAError) in span.put(before) }
            let count = length(atMost: size)
            parameters = "\(count) bytes from \(from.region(at: 0).start) to \(to.region(at: 0).start)"
            _ = try channel.submit(.copy(count: count), Pair(from, to)).get()
            channel.issuePending()
            let finished = try nextFinished(&channel)
            expect(finished.status == .complete, "ended as \(finished.status)")
            let finding = try finished.cargo.second.withBytes { span throws(DMAError) in
                Oracle.judgeDestination(
                    span, before: before, expected: Array(image[..<count] + before[count...]), written: [0..<count])
            }
            expect(finding == nil, finding?.description ?? "")
            countBytes(size)
            // Kept, so that the next ones have other addresses.
            let pair = finished.takeCargo()
            _ = held.append(pair.first)
        }
        held.removeAll()
        close(channel)
    }

    private func blockLists() throws(DMAError) {
        typealias Lists = Pair<CargoList<Block>, CargoList<Block>>
        let size = 48 * unit
        let most = min(capabilities.maximumSegments / 2, 6)
        let memory = try Buffer(count: 4 * most * size + 4096).mapped(for: suite.domain, direction: .bidirectional)
        var pool = try Pool(memory, blockSize: size, alignment: suite.domain.constraints.isCoherent ? unit : 64)
        var channel = try Channel(try make(), domain: suite.domain, of: Lists.self)
        try repeatedly(min(suite.iterations, 10)) { _ throws(DMAError) in
            var from = CargoList<Block>(capacity: most)
            var to = CargoList<Block>(capacity: most)
            let number = random.int(1...most)
            var stream: [UInt8] = []
            for _ in 0..<number {
                guard var block = pool.lease(), let target = pool.lease() else {
                    throw giveUp("blocks did not come back to their pool")
                }
                let image = random.bytes(size)
                stream += image
                try block.withMutableBytes { span throws(DMAError) in span.put(image) }
                _ = from.append(block)
                _ = to.append(target)
            }
            // The first source begins at an offset, the list of targets ends at one: segments that do not match.
            let skip = random.int(0...min(8, size / unit - 1)) * unit
            var operation = Operation.scatterGather(
                from: 0..<UInt16(number), to: UInt16(number)..<UInt16(2 * number), flags: someFlags())
            operation.sourceOffset = UInt64(skip)
            operation.count = stream.count - skip
            parameters = "\(number) blocks of \(size) bytes, the first from \(skip) on"
            _ = try channel.submit(operation, Pair(from, to)).get()
            channel.issuePending()
            let finished = try nextFinished(&channel)
            expect(finished.status == .complete, "ended as \(finished.status)")
            var moved: [UInt8] = []
            for index in 0..<number {
                let part = try finished.cargo.second.elements.withElement(at: index) { block throws(DMAError) in
                    try block.withBytes { span throws(DMAError) in span.copied() }
                }
                moved += part ?? []
            }
            expect(
                Array(moved.prefix(stream.count - skip)) == Array(stream.dropFirst(skip)), "the lists were not moved in order")
            countBytes(stream.count - skip)
        }
        close(channel)
    }

    private func scatterLists() throws(DMAError) {
        typealias Lists = Pair<MappedScatterList, MappedScatterList>
        var channel = try Channel(try make(), domain: suite.domain, of: Lists.self)
        try repeatedly(min(suite.iterations, 10)) { _ throws(DMAError) in
            let count = length(atMost: largest / 2)
            let most = min(capabilities.maximumSegments / 2, 6)
            let from = cut(count, pieces: most)
            let to = cut(count, pieces: most)
            let stream = random.bytes(count)
            parameters = "scatter lists of \(from) and \(to)"
            var source = ScatterList()
            var start = 0
            for part in from {
                var buffer = try Buffer(count: part)
                buffer.withMutableBytes { $0.put(Array(stream[start..<start + part])) }
                source.append(buffer)
                start += part
            }
            var target = ScatterList()
            for part in to { target.append(try Buffer(count: part)) }
            let cargo = Pair(
                try source.mapped(for: suite.domain, direction: .toDevice),
                try target.mapped(for: suite.domain, direction: .fromDevice))
            let split = UInt16(cargo.first.regionCount)
            let all = UInt16(cargo.regionCount)
            guard Int(all) <= capabilities.maximumSegments else { return }
            _ = try channel.submit(.scatterGather(from: 0..<split, to: split..<all), cargo).get()
            channel.issuePending()
            let finished = try nextFinished(&channel)
            expect(finished.status == .complete, "ended as \(finished.status)")
            let lists = finished.takeCargo()
            let list = try lists.second.unmap()
            var moved: [UInt8] = []
            for index in 0..<to.count { moved += list.withBytes(buffer: index) { $0.copied() } ?? [] }
            expect(moved == stream, "the list was not moved whole and in order")
            countBytes(count)
        }
        close(channel)
    }

    /// A client that selects its engine at run time.
    func erased() throws(DMAError) {
        guard !plannable.isEmpty else { return skip("Capabilities.operations has none between memories") }
        var channel = try Channel(AnyEngine(try make()), domain: suite.domain, of: Freight.self)
        expect(channel.capabilities == capabilities, "other capabilities than the engine's")
        let limit = Deadline.after(nanoseconds: suite.patience)
        try repeatedly { number throws(DMAError) in
            let plan = plan(
                plannable[number % plannable.count], count: length(atMost: max(largest / 4, unit)), flags: someFlags())
            _ = try channel.submit(plan.operation, try freight(plan)).get()
            channel.issuePending()
            var finished: Finished<Freight>?
            while finished == nil {
                finished = channel.next()
                if Deadline.now >= limit { throw giveUp("no completion") }
            }
            if let finished = finished.take() { try judge(plan, finished) }
        }
        if capabilities.canPause {
            try channel.pause()
            try channel.resume()
        }
        try channel.terminateSync()
        expect(channel.inFlight == 0 && channel.faults.total == 0, "transactions or faults are left")
    }
}

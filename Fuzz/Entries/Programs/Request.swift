// SPDX-License-Identifier: Apache-2.0

import DMACore

/// One operation of a program on a pair of buffers, and the contract's verdict on it.
struct Request {
    let operation: Operation
    let model: TransactionModel
    /// Whether the contract permits it, as far as the two buffers are concerned.
    let isLegal: Bool
    let movesNothing: Bool
    /// Whether the first buffer takes part in it.
    let readsFirst: Bool

    init(
        _ kind: Int, _ source: BufferModel, _ target: BufferModel, _ offsets: (UInt64, UInt64), _ asked: UInt64, name: UInt64
    ) {
        let (from, to) = offsets
        let rest = from < UInt64(source.count) ? UInt64(source.count) - from : 0
        let room = to < UInt64(target.count) ? UInt64(target.count) - to : 0
        var work = TransactionModel.Work.copy
        var count = asked == .max ? rest : asked
        var (legal, isNull) = (source.permits(.read, from, count) && target.permits(.write, to, count), false)
        var places = (source: from, target: to)
        // As a client writes it: a value too large for an Int becomes negative there, and is refused as well.
        let length = asked == .max ? Int.max : Int(truncatingIfNeeded: asked)
        let (read, written) = (Int(truncatingIfNeeded: from), Int(truncatingIfNeeded: to))
        switch kind % 8 {
        case 0...3:
            operation = .copy(sourceOffset: read, destinationOffset: written, count: length)
        case 4:
            let pattern = name &* 0x9e37_79b9_7f4a_7c15
            operation = .fill(1, offset: written, count: length, pattern: pattern)
            count = asked == .max ? room : asked
            legal = target.permits(.write, to, count)
            work = .fill(pattern)
            places.source = 0
        case 5:
            operation = .xor(sources: 0..<1, to: 1, sourceOffset: read, destinationOffset: written, count: length)
        case 6:
            operation = .scatterGather(from: 0..<1, to: 1..<2)
            places = (0, 0)
            count = UInt64(source.count)
            legal = source.permits(.read, 0, count) && target.permits(.write, 0, count) && source.count == target.count
        default:
            operation = .null(flags: [])
            (work, count, isNull) = (.nothing, 0, true)
            places = (0, 0)
        }
        movesNothing = isNull
        readsFirst = operation.kind != .fill && !isNull
        isLegal = legal || isNull
        // A refused operation never runs; the bytes that it would have accessed do not matter.
        if !isLegal { (count, places) = (0, (0, 0)) }
        model = TransactionModel(source: source, target: target, work: work, offsets: places, count: count, name: name)
    }
}

// SPDX-License-Identifier: Apache-2.0
// Four pieces gathered into two blocks, P and Q of the blocks, and both checked; then again with a block changed.
// lines: 25
// prints: scatterGather complete, right; pq complete, right; pqValidate complete, right; pqValidate complete, P and Q are wrong

// snippet: parity
import DMA

do {
    let request = ChannelRequest([.scatterGather, .pq, .pqValidate])
    var granted = try DMASystem().requestChannel(request, of: CargoList<MappedBuffer>.self)
    var stripe = CargoList<MappedBuffer>(capacity: 8)
    for (index, count) in [1024, 3072, 512, 3584, 4096, 4096, 4096, 4096].enumerated() {
        let piece = try Buffer(copying: [UInt8](repeating: index < 4 ? UInt8(index + 1) : 0, count: count))
        _ = stripe.append(try piece.mapped(for: granted.domain, direction: .bidirectional))
    }
    let check = Operation.pqValidate(sources: 4..<6, p: 6)
    var texts: [String] = []
    for operation in [.scatterGather(from: 0..<4, to: 4..<6), .pq(sources: 4..<6, p: 6), check, check] {
        if texts.count == 3 {
            _ = try stripe.elements.withMutableElement(at: 4) { block in
                try block.withMutableCPUAccess { bytes in try bytes.store(9 as UInt8) }
            }
        }
        let cookie = try granted.channel.submit(operation, stripe).get()
        let finished = try await granted.channel.finished(cookie)
        texts.append("\(operation.kind) \(finished.status), \(finished.validation)")
        stripe = finished.takeCargo()
    }
    print(texts.joined(separator: "; "))
}
// end

// SPDX-License-Identifier: Apache-2.0

internal import DMACore
internal import DMAEngineKit

/// A channel's handling of an engine whose reports were corrupted on purpose.
package struct FaultRow: Hashable, Sendable, Codable {
    package let engine: String
    package let fault: InjectedFault
    package let transactions: Int
    package let injected: Int
    /// How often the channel's own counters, or the status of a transaction, show it; nil where nothing was wrong: an
    /// out-of-order engine may complete in any order.
    package let noticed: Int?
    /// Transactions whose memory was returned. All must be.
    package let cargoBack: Int
    /// Compared bytes of transactions reported complete.
    package let bytesVerified: UInt64
    /// The failures; empty where the channel handled the fault.
    package let findings: [String]

    package var passed: Bool { findings.isEmpty }

    private static let count = 4096
    private static let wanted = 96
    private static let inFlight = 8

    /// Copies through the engine with one kind of fault, until everything was returned.
    static func run(
        _ engine: String, _ fault: InjectedFault, seed: UInt64, patience: Int64, _ domain: Domain,
        _ make: () throws(DMAError) -> AnyEngine
    ) throws(DMAError) -> FaultRow {
        let injecting = InjectingEngine(try make(), fault, seed: seed ^ UInt64(fault.rawValue.utf8.count) &* 0x1_0001)
        let depth = min(inFlight, injecting.capabilities.depth)
        let keepsOrder = injecting.capabilities.completesInOrder
        var channel = try Channel(injecting, domain: domain, of: Pair<MappedBuffer, MappedBuffer>.self)
        var book = Book()
        var limit = Deadline.after(nanoseconds: patience)
        while book.submitted < wanted || channel.inFlight > 0 {
            while book.submitted < wanted, channel.inFlight < depth {
                let cargo = try Book.cargo(book.submitted, seed, domain)
                switch channel.submit(.copy(flags: .interrupt), cargo) {
                case .queued: book.submitted += 1
                case .refused(_, let cargo):
                    book.submitted += 1
                    book.refused += 1
                    book.back(cargo)
                }
            }
            channel.issuePending()
            if let finished = channel.next() {
                limit = .after(nanoseconds: patience)
                try book.take(finished, seed)
            } else if channel.withEngine({ $0.isMute }) {
                // Nothing more arrives: the rest is terminated, as a client would do after a while.
                try channel.terminateSync(by: .after(nanoseconds: patience))
                limit = .after(nanoseconds: patience)
            }
            guard Deadline.now < limit else {
                book.findings.append(
                    "\(channel.inFlight) transactions were still in flight, and nothing came for \(patience / 1_000_000) ms")
                break
            }
        }
        // The last completion may be reported twice, which only one more poll shows.
        while channel.withEngine({ $0.isPending }), Deadline.now < limit { channel.poll() }
        let injected = channel.withEngine { $0.injected }
        let noticed = noticed(fault, channel.faults, book, keepsOrder: keepsOrder)
        if let noticed, noticed != injected { book.findings.append("\(injected) injected, \(noticed) noticed") }
        if injected == 0 { book.findings.append("the fault was never injected") }
        if book.returned != Set(0..<wanted) {
            book.findings.append("\(wanted - book.returned.count) transactions kept their memory")
        }
        return FaultRow(
            engine: engine, fault: fault, transactions: wanted, injected: injected, noticed: noticed,
            cargoBack: book.returned.count, bytesVerified: book.bytesVerified, findings: book.findings)
    }

    /// How often the channel reports that something was wrong; nil where nothing is.
    private static func noticed(
        _ fault: InjectedFault, _ faults: EngineFaults, _ book: Book, keepsOrder: Bool
    ) -> Int? {
        switch fault {
        case .failure: book.failed
        case .unknownTag: Int(clamping: faults.unknownTag + faults.notInFlight)
        case .twice: Int(clamping: faults.notInFlight)
        case .badStatus: Int(clamping: faults.badStatus)
        case .badResidue: Int(clamping: faults.badResidue)
        case .refusal: Int(clamping: faults.refusedEnqueue)
        case .lost: book.aborted
        case .overtaken: keepsOrder ? Int(clamping: faults.outOfOrder) : nil
        }
    }
}

/// The returned memory, and whether it was right.
private struct Book {
    var submitted = 0
    var refused = 0
    var failed = 0
    var aborted = 0
    var returned: Set<Int> = []
    var bytesVerified: UInt64 = 0
    var findings: [String] = []

    static let count = 4096

    /// A source with its number in every word, and an empty target.
    static func cargo(_ number: Int, _ seed: UInt64, _ domain: Domain) throws(DMAError) -> Pair<MappedBuffer, MappedBuffer> {
        var source = try Buffer(count: count)
        source.withMutableBytes { bytes in
            for offset in stride(from: 0, to: count, by: 8) {
                bytes.storeBytes(of: word(number, offset, seed), toByteOffset: offset, as: UInt64.self)
            }
        }
        return Pair(
            try source.mapped(for: domain, direction: .bidirectional),
            try Buffer(count: count).mapped(for: domain, direction: .bidirectional))
    }

    /// The number in the low half, a function of the offset above.
    private static func word(_ number: Int, _ offset: Int, _ seed: UInt64) -> UInt64 {
        ((UInt64(offset) ^ seed) &* 0x9e37_79b9_7f4a_7c15) << 32 | UInt64(number)
    }

    /// Records the return of a transaction's memory. Once each.
    mutating func back(_ cargo: borrowing Pair<MappedBuffer, MappedBuffer>) {
        let number =
            (try? cargo.first.withCPUAccess { bytes throws(DMAError) in
                // A buffer of 4,096 bytes.
                // SAFETY: the copies are longer than a word, and every pattern is an integer.
                Int(unsafe bytes.unsafeLoad(fromByteOffset: 0, as: UInt64.self) & 0xffff_ffff)
            }) ?? -1
        if !returned.insert(number).inserted { findings.append("the memory of transaction \(number) came back twice") }
    }

    mutating func take(_ finished: borrowing Finished<Pair<MappedBuffer, MappedBuffer>>, _ seed: UInt64) throws(DMAError) {
        back(finished.cargo)
        switch finished.status {
        case .complete: break
        case .aborted:
            aborted += 1
            return
        default:
            failed += 1
            return
        }
        let wrong = try finished.cargo.second.withCPUAccess { bytes throws(DMAError) in
            // Both are 4,096 bytes long.
            // SAFETY: every offset has a whole word behind it within the copy, and every pattern is an integer.
            let number = Int(unsafe bytes.unsafeLoad(fromByteOffset: 0, as: UInt64.self) & 0xffff_ffff)
            return stride(from: 0, to: Book.count, by: 8).count { offset in
                unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt64.self) != Book.word(number, offset, seed)
            }
        }
        bytesVerified += UInt64(Book.count)
        if wrong > 0 { findings.append("a transaction reported complete has \(wrong * 8) bytes wrong") }
    }
}

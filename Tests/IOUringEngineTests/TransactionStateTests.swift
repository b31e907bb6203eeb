// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DMAIOUringEngine

@Suite("States of the slow path")
struct TransactionStateTests {
    private static let chain = RequestChain([
        TransferPiece(offset: 0, count: 100, isDirect: false), TransferPiece(offset: 100, count: 4096, isDirect: true),
        TransferPiece(offset: 4196, count: 7, isDirect: false),
    ])

    private static let states: [TransactionState] = [
        .none, .queued, .waiting(for: .turn), .waiting(for: .gate), .waiting(for: .pause), .running(.single(isDirect: false)),
        .running(.chain(chain)), .running(.passthrough(bytes: 512)), .running(.sent(9)), .running(.poll),
        .running(.stopping(errno: 71)),
    ]

    private func after(_ event: TransactionState.Event) -> [TransactionState?] { Self.states.map { $0.after(event) } }

    @Test("a slot is taken only where it is free, and every transaction ends")
    func ends() {
        let none = [TransactionState?](repeating: nil, count: Self.states.count - 1)
        #expect(after(.enqueued) == [.queued] + none)
        #expect(after(.promoted(isDirect: true)) == [.running(.single(isDirect: true))] + none)
        #expect(after(.ended) == [nil] + none.map { _ in TransactionState.none })
    }

    @Test("an issued transaction waits for any obstacle; a running one only for a pause")
    func obstacles() {
        for obstacle in [TransactionState.Obstacle.turn, .gate, .pause] {
            let waiting = TransactionState?.some(.waiting(for: obstacle))
            let running = obstacle == .pause ? waiting : nil
            #expect(
                after(.stopped(by: obstacle))
                    == [nil, waiting, waiting, waiting, waiting] + [TransactionState?](repeating: running, count: 6))
        }
    }

    @Test("every transaction may have a request made")
    func requests() {
        let next = TransactionState?.some(.running(.poll))
        #expect(after(.requested(.poll)) == [nil] + [TransactionState?](repeating: next, count: Self.states.count - 1))
    }

    @Test("the possible results of a request in flight depend on the request")
    func requestEvents() {
        func only(_ index: Int, _ state: TransactionState) -> [TransactionState?] {
            Self.states.indices.map { $0 == index ? state : nil }
        }
        #expect(after(.sent(5)) == only(5, .running(.sent(5))))
        #expect(after(.failing(errno: 71)) == only(5, .running(.stopping(errno: 71))))
        let moved = Self.chain.after(1, 4096)
        #expect(after(.part(1, result: 4096)) == Self.states.indices.map { $0 == 6 ? moved.map { .running(.chain($0)) } : nil })
        #expect(after(.part(3, result: 0)) == Self.states.map { _ in nil })
        #expect(after(.part(-1, result: 0)) == Self.states.map { _ in nil })
    }

    @Test("an impossible event changes nothing")
    func refused() {
        var transaction = SlowPathTransaction()
        let (sent, enqueued, again) = (transaction.apply(.sent(1)), transaction.apply(.enqueued), transaction.apply(.enqueued))
        #expect(!sent && enqueued && !again && transaction.state == .queued)
    }

    @Test("the result of a chain is the bytes before the first missing one, or the error where there are none")
    func chains() throws {
        func result(_ results: [Int32]) throws -> Int32 {
            var chain = Self.chain
            for (part, result) in results.enumerated() { chain = try #require(chain.after(part, result)) }
            return chain.result
        }
        try #expect(result([100, 4096, 7]) == 4203)
        try #expect(result([100, 512, 7]) == 612)
        try #expect(result([100, -5, -125]) == 100)
        try #expect(result([-5, -125, -125]) == -5)
        try #expect(result([0, 4096, 7]) == 0)
        // More than requested counts as the requested amount.
        try #expect(result([200, 4096, 7]) == 4203)
        #expect(Self.chain.directBytes(of: 4203) == 4096 && Self.chain.directBytes(of: 612) == 512)
        #expect(Self.chain.directBytes(of: 100) == 0 && Self.chain.directBytes(of: .max) == 4096)
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMAFuzz
import ScriptedEngines
import Testing

/// Every wrapper, and some nested ones, over every hostile engine: no byte outside the transactions in flight is written, each
/// cargo is returned once, and nothing traps.
@Suite("Wrappers over hostile engines", .serialized)
struct WrapperTests {
    @Test("every wrapper under every hostile engine", arguments: Wrapping.allCases)
    func matrix(_ wrapping: Wrapping) {
        var finished: [BottomEngine: Int] = [:]
        var moved: [BottomEngine: UInt64] = [:]
        for engine in BottomEngine.all {
            var random = ProgramRandom(seed: 0x9e37)
            for _ in 0..<4 {
                let bytes = random.bytes(1500)
                let outcome = ChannelProgram.run(bytes, wrapping, engine)
                if let failure = outcome.failure {
                    Issue.record("\(engine.name) in \(wrapping.rawValue): \(failure), after \(outcome.length) bytes")
                }
                finished[engine, default: 0] += outcome.finished
                moved[engine, default: 0] += outcome.moved
            }
        }
        // A program in which no transaction was returned, or nothing was moved, would prove nothing.
        for engine in BottomEngine.all {
            #expect(finished[engine, default: 0] > 10, "\(engine.name) in \(wrapping.rawValue)")
            if case .lying(let lie) = engine, lie != .neverCompletes {
                #expect(moved[engine, default: 0] > 1000, "\(engine.name) in \(wrapping.rawValue)")
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMAFuzz
import Foundation
import Testing

/// The entry `foreign`: programs of the corpus, and random ones, each of which runs until its bytes are used up.
@Suite("Programs over foreign memory", .serialized)
struct ForeignTests {
    @Test("the corpus, and forty random programs")
    func programs() throws {
        let entry = try #require(FuzzEntry.named("foreign"))
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Corpus/foreign")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect(files.count >= 4)
        var steps = 0
        for file in files.sorted(by: { $0.path < $1.path }) {
            let outcome = try entry.run([UInt8](Data(contentsOf: file)))
            #expect(outcome.failure == nil, "\(file.lastPathComponent), after \(outcome.length) bytes")
            steps += outcome.steps
        }
        var random = ProgramRandom(seed: 0x51ed)
        for number in 0..<40 {
            let outcome = entry.run(random.bytes(1500))
            #expect(outcome.failure == nil, "program \(number), after \(outcome.length) bytes")
            steps += outcome.steps
        }
        #expect(steps > 5000)
    }
}

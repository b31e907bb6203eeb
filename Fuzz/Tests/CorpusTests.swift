// SPDX-License-Identifier: Apache-2.0

import DMAFuzz
import Foundation
import Testing

/// The committed inputs, some of which once failed.
@Suite("Corpus")
struct CorpusTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Corpus")

    @Test("no input of the corpus fails, and every entry has some", arguments: FuzzEntry.all.map(\.name))
    func replay(_ name: String) throws {
        let entry = try #require(FuzzEntry.named(name))
        let files = try FileManager.default.contentsOfDirectory(
            at: Self.folder.appending(path: name), includingPropertiesForKeys: nil)
        #expect(!files.isEmpty)
        for file in files {
            let outcome = entry.run([UInt8](try Data(contentsOf: file)))
            #expect(outcome.failure == nil, "\(file.lastPathComponent)")
        }
    }

    @Test("every corpus belongs to an entry")
    func folders() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
        #expect(Set(names) == Set(FuzzEntry.all.map(\.name)))
    }
}

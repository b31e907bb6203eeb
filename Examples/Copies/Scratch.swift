// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// A directory for the program's files.
struct Scratch {
    private let folder: URL
    var original: String { folder.appending(path: "original").path }
    var backup: String { folder.appending(path: "backup").path }

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "dma-copies-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    }

    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() }

    func end() { try? FileManager.default.removeItem(at: folder) }
}

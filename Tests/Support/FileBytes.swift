// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Whole files. Not by Foundation's own way from a file to its bytes, which loses a page for each file that is empty: the checks for leaks
/// are to find nothing.
public enum FileBytes {
    public static func read(_ path: String) throws -> [UInt8] {
        let handle = try FileHandle(forReadingFrom: URL(filePath: path))
        defer { try? handle.close() }
        let count = try handle.seekToEnd()
        guard count > 0 else { return [] }
        try handle.seek(toOffset: 0)
        return try [UInt8](handle.readToEnd() ?? Data())
    }
}

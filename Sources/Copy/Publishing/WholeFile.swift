// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// A small file that is replaced as a whole: a reader finds the old text or the new one, also after a crash of the machine.
enum WholeFile {
    /// Writes a new file, flushes it, and renames it over the old one.
    ///
    /// - Parameters:
    ///   - name: of the file, in `directory`.
    ///   - fresh: the name of the new file until it is whole. A file that has it is removed.
    ///   - verb: what the file is written for, as it follows "cannot".
    /// - Throws: `writeFailed` and its kinds.
    static func replace(
        _ name: CopyPath, by fresh: CopyPath, with bytes: [UInt8], mode: UInt32, in directory: OpenFile, for verb: String
    ) throws(CopyFailure) {
        // SAFETY: the array goes with its own count, and it and the names live until the calls return.
        // Whatever has the name, a link to another file among others, is not written to.
        _ = unsafe cdma_remove(directory.descriptor, fresh.cString)
        let file = try OpenFile(
            fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: mode, in: directory, for: verb)
        do throws(CopyFailure) {
            let written = unsafe cdma_write_all(file.descriptor, bytes, bytes.count, 0)
            guard written == Int64(bytes.count) else { throw .writing(file.path, at: 0, errno: Int32(-written)) }
            try file.flush()
            try file.close()
            let renamed = unsafe cdma_rename(directory.descriptor, fresh.cString, name.cString)
            guard renamed == 0 else { throw .writing(file.path, errno: -renamed, when: "when it was renamed") }
        } catch {
            _ = unsafe cdma_remove(directory.descriptor, fresh.cString)
            throw error
        }
        try directory.flush()
    }
}

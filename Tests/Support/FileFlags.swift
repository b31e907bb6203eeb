// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Immutable and append-only files: chattr(1).
public enum FileFlags {
    /// Whether directories of tests support them.
    public static let areThere: Bool = {
        guard Machine.isRoot, let scratch = try? scratch(), (try? scratch.write("a", [])) != nil else { return false }
        return (try? Command.run(["chattr", "+i", scratch.at("a")]).status) == 0
    }()
    public static let without =
        "no file can be made immutable; run as root, with chattr (Debian: e2fsprogs) and TMPDIR on ext4, xfs or btrfs"

    /// A directory whose files lose their flags before it is deleted.
    public static func scratch() throws -> Scratch {
        let scratch = try Scratch()
        let path = scratch.path
        scratch.defer { _ = try? Command.run(["chattr", "-R", "-i", "-a", path]) }
        return scratch
    }
}

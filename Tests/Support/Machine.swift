// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What the machine lets a test do.
public enum Machine {
    public static let isRoot = geteuid() == 0

    // Why a test is left out, and what makes it run.
    public static let withoutRoot = "not root, who alone can become another user; run as root"
    public static let withoutLoops =
        "no loop device to be had; run as root, with losetup and free loop devices (a container needs --privileged)"
    public static let withoutMounts = "no file system may be mounted; run as root (a container needs --privileged)"

    /// Whether a program is there, by its name or its path.
    public static func has(_ program: String) -> Bool {
        (try? Command.run(["which", program]).status) == 0
    }

    /// Whether loop devices can be had: root in a container may not have them.
    public static let hasLoops: Bool = {
        guard isRoot, let disk = try? LoopDisk(count: 1 << 20) else { return false }
        disk.end()
        return true
    }()

    public static let canMount: Bool = {
        guard isRoot, let scratch = try? Scratch() else { return false }
        return (try? scratch.tmpfs("try", "size=1m")) != nil
    }()

    /// Whether a process may have a name space of users and one of mounts.
    public static let canUnshare =
        (try? Command.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/sys"]).status) == 0

    public struct Missing: Error, CustomStringConvertible {
        public let description: String
        init(_ text: String) { description = text }
    }
}

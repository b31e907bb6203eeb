// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Features of the machine that tests need.
public enum Machine {
    public static let isRoot = geteuid() == 0
    /// Whether the programs that tests start were built with a sanitizer: they need several times the time and the memory.
    public static let isSanitized = ProcessInfo.processInfo.environment["DMA_TEST_SANITIZER"] != nil

    // Why a test is skipped, and how to run it.
    public static let sanitized =
        "a sanitizer needs memory, threads or files of /proc that the test takes away; run it by swift test without --sanitize"
    public static let withoutOthers =
        "no other user can run dmactl here; run as root, with a toolchain in a place that all can read, as /opt or /usr"
    public static let withoutLoops =
        "no loop device to be had; run as root, with losetup and free loop devices (a container needs --privileged)"
    public static let withoutMounts = "no file system may be mounted; run as root (a container needs --privileged)"

    public static let withoutScript = "script(1) is not installed; Debian: apt-get install bsdutils"
    public static let withoutProve = "prove(1) is not installed; Debian: apt-get install perl"

    public static let withoutUnshare =
        "unshare(1) may make no user and mount namespace; run outside a chroot, as root, or with kernel.unprivileged_userns_clone=1"

    /// Whether a program exists, by its name or its path.
    public static func has(_ program: String) -> Bool {
        (try? Command.run(["which", program]).status) == 0
    }

    /// Whether loop devices are available: root in a container may not have them.
    public static let hasLoops: Bool = {
        guard isRoot, let disk = try? LoopDisk(count: 1 << 20) else { return false }
        disk.end()
        return true
    }()

    /// Whether dmactl can be run as another user: only root can become one, who must then be able to read the toolchain's
    /// libraries.
    public static let hasOthers: Bool = {
        guard isRoot, let other = try? OtherUser() else { return false }
        return (try? other.run(["--version"]).status) == 0
    }()

    public static let canMount: Bool = {
        guard isRoot, let scratch = try? Scratch() else { return false }
        return (try? scratch.tmpfs("try", "size=1m")) != nil
    }()

    /// Whether a process may create a user and a mount namespace.
    public static let canUnshare =
        (try? Command.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/sys"]).status) == 0

    /// Whether one of three attempts took less than `limit` seconds: on a shared machine, one may be delayed. Ten times as long
    /// under a sanitizer.
    ///
    /// - Parameter attempt: returns the number of seconds it took.
    public static func isTimely<Failure: Error>(
        _ limit: Double, _ attempt: () throws(Failure) -> Double
    ) throws(Failure) -> Bool {
        for _ in 0..<3 where try attempt() < (isSanitized ? 10 * limit : limit) { return true }
        return false
    }

    /// The same for an attempt that suspends.
    public static func isTimely(_ limit: Double, _ attempt: () async throws -> Double) async throws -> Bool {
        for _ in 0..<3 where try await attempt() < (isSanitized ? 10 * limit : limit) { return true }
        return false
    }

    public struct Missing: Error, CustomStringConvertible {
        public let description: String
        init(_ text: String) { description = text }
    }
}

/// A user without privileges, with a copy of dmactl: other users may not be able to read the checkout.
public final class OtherUser {
    private let place: Scratch

    public init() throws {
        place = try Scratch()
        try FileManager.default.copyItem(atPath: Program.dmactl, toPath: place.at("dmactl"))
        try Command.run(["chmod", "755", place.path, place.at("dmactl")])
    }

    /// - Parameter limits: the arguments of prlimit(1), if any.
    public func run(_ words: [String], limits: [String] = []) throws -> Command.Answer {
        let become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        return try Command.run(become + (limits.isEmpty ? [] : ["prlimit"] + limits) + [place.at("dmactl")] + words)
    }
}

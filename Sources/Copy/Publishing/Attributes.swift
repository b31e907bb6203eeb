// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// The attributes of a file or directory: mode, times, owner, extended attributes and with them access control lists.
struct Attributes {
    /// The source; nil if it is not a file.
    let source: (facts: FileFacts, file: OpenFile?)?
    /// The file that is replaced.
    let existing: (facts: FileFacts, path: CopyPath)?
    /// Whether owner and extended attributes are taken from the source too.
    let preserves: Bool
    var keepsTimes = true

    /// Gives `target` the mode and the times of the source; with `preserves`, also the owner and the extended attributes, and no others.
    /// Without `preserves`, the target keeps what the replaced file had: owner, extended attributes and access control list.
    ///
    /// - Parameter note: called with each attribute that could not be set.
    func give(to target: OpenFile, note: (String) -> Void) throws(CopyFailure) {
        let isOwned = try giveOwner(to: target, note)
        let attributes = ExtendedAttributes(target)
        let theirs = source?.file.map { ExtendedAttributes($0) }
        var keepsList = false
        if preserves, let theirs {
            attributes.makeEqual(to: theirs, note: note)
            keepsList = theirs.accessList == nil || attributes.accessList != nil
        } else if let existing, let old = try? OpenFile(existing.path, O_RDONLY | O_NONBLOCK | O_NOCTTY, for: "read") {
            attributes.keep(of: ExtendedAttributes(old), note: note)
        }
        var mode = mode(isOwned: isOwned, hasList: !preserves && existing != nil && attributes.accessList != nil)
        // The source's mode has the mask of its list in the group bits, which are not the group's permissions.
        if !keepsList, let list = theirs?.accessList { mode = list.limiting(mode) }
        let result = cdma_change_mode(target.descriptor, mode)
        if result != 0 { note("mode \(String(mode, radix: 8)) was not set: \(DMAError.sentence(-result))") }
        guard keepsTimes, let from = source?.facts else { return }
        let times = cdma_change_times(
            target.descriptor, from.accessed.seconds, from.accessed.nanoseconds, from.modified.seconds,
            from.modified.nanoseconds)
        if times != 0 { note("times were not set: \(DMAError.sentence(-times))") }
    }

    /// Clears the set-user-ID and set-group-ID bits of a file that gets new contents: they were granted to the old contents. write(2) clears
    /// them as well, but not for root.
    static func dropSetID(_ file: OpenFile, note: (String) -> Void) throws(CopyFailure) {
        let mode = try file.facts().mode
        guard mode & 0o6000 != 0 else { return }
        let result = cdma_change_mode(file.descriptor, mode & 0o1777)
        if result != 0 { note("set-user-ID and set-group-ID bits were not cleared: \(DMAError.sentence(-result))") }
    }

    /// Whether owner and group are now the requested ones.
    private func giveOwner(to target: OpenFile, _ note: (String) -> Void) throws(CopyFailure) -> Bool {
        let mine = try target.facts()
        guard let wanted = preserves ? source?.facts : existing?.facts else { return true }
        if wanted.owner == mine.owner, wanted.group == mine.group { return true }
        let result = cdma_change_owner(target.descriptor, wanted.owner, wanted.group)
        if result == 0 { return true }
        // Without CAP_CHOWN the group can still be set to one that the process is a member of.
        _ = cdma_change_owner(target.descriptor, mine.owner, wanted.group)
        let now = try target.facts()
        let reason = result == -EPERM ? "only root may change the owner" : DMAError.sentence(-result)
        note("owner is \(now.owner):\(now.group) instead of \(wanted.owner):\(wanted.group): \(reason)")
        return false
    }

    /// Set-user-ID and set-group-ID bits are copied only together with owner and group (POSIX, cp -p): they grant the owner's rights.
    private func mode(isOwned: Bool, hasList: Bool) -> UInt32 {
        if preserves, let source { return isOwned ? source.facts.mode : source.facts.mode & 0o1777 }
        if let existing, hasList || source == nil { return existing.facts.mode & 0o777 }
        return source.map { $0.facts.mode & 0o777 } ?? 0o666 & ~Self.userMask
    }

    /// The mask for modes of new files. umask(2) can only be read by changing it.
    static var userMask: UInt32 {
        let status = KernelText.read("/proc/self/status", atMost: 8192) ?? ""
        for line in status.split(separator: "\n") where line.hasPrefix("Umask:") {
            return UInt32(line.dropFirst(6).filter { $0 >= "0" && $0 <= "7" }, radix: 8) ?? 0o22
        }
        return 0o22
    }
}

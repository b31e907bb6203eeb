// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// What a file is beside its bytes: mode, times, owner, extended attributes and with them access control lists.
///
/// Source: xattr(7), acl(5): a POSIX access control list is the attribute system.posix_acl_access.
enum Attributes {
    /// Gives `target` the mode and the times of the source; with `preserves`, also the owner and the extended attributes.
    ///
    /// - Parameters:
    ///   - source: nil where the source is no file; then the mode is that of a new file.
    ///   - existing: the file that is replaced, whose owner is kept where `preserves` does not say otherwise.
    ///   - note: called with each thing that could not be kept.
    static func keep(
        _ source: CopySource, existing: FileFacts?, on target: OpenFile, preserves: Bool, note: (String) -> Void
    ) throws(CopyFailure) {
        let mine = try target.facts()
        let from = source.facts?.kind == .regular ? source.facts : nil
        if let owner = preserves ? from : existing, owner.owner != mine.owner || owner.group != mine.group {
            if cdma_change_owner(target.descriptor, owner.owner, owner.group) != 0 {
                note("owner \(owner.owner):\(owner.group) not kept: only root gives files away")
            }
        }
        var mode = existing?.mode ?? 0o666 & ~userMask
        if let from { mode = preserves ? from.mode : from.mode & 0o777 }
        let result = cdma_change_mode(target.descriptor, mode)
        if result != 0 { note("mode \(String(mode, radix: 8)) not kept: \(DMAError.sentence(-result))") }
        guard let from, let file = source.file else { return }
        if preserves { keepExtended(file, on: target, note: note) }
        let times = cdma_change_times(
            target.descriptor, from.accessed.seconds, from.accessed.nanoseconds, from.modified.seconds,
            from.modified.nanoseconds)
        if times != 0 { note("times not kept: \(DMAError.sentence(-times))") }
    }

    private static func keepExtended(_ source: OpenFile, on target: OpenFile, note: (String) -> Void) {
        // SAFETY: names and values end with a zero or go with their counts, and live until the calls return.
        guard let list = unsafe bytes({ unsafe cdma_attribute_names(source.descriptor, $0, $1) }) else { return }
        for name in list.split(separator: 0).prefix(4096).map({ String(decoding: $0, as: UTF8.self) }) {
            guard let value = unsafe bytes({ unsafe cdma_attribute(source.descriptor, name, $0, $1) }) else {
                note("attribute \(CopyFailure.quoted(name)) not kept: it cannot be read")
                continue
            }
            let result = unsafe cdma_set_attribute(target.descriptor, name, value, value.count)
            if result != 0 { note("attribute \(CopyFailure.quoted(name)) not kept: \(DMAError.sentence(-result))") }
        }
    }

    /// What a call fills in, at most 64 KiB: the kernel's limit of names and of values (XATTR_LIST_MAX, XATTR_SIZE_MAX).
    private static func bytes(_ call: (UnsafeMutablePointer<CChar>?, Int) -> Int64) -> [UInt8]? {
        // SAFETY: the call writes at most as many bytes as the buffer has, and says how many; those count as filled.
        var length: Int64 = 0
        let buffer = unsafe [CChar](unsafeUninitializedCapacity: 65_536) { buffer, filled in
            // The call writes at most `count` bytes and says how many.
            length = unsafe call(buffer.baseAddress, buffer.count)
            filled = max(0, Int(length))
        }
        return length < 0 ? nil : buffer.map { UInt8(bitPattern: $0) }
    }

    /// The mask for modes of new files, which umask(2) tells only whoever changes it.
    private static var userMask: UInt32 {
        let status = KernelText.read("/proc/self/status", atMost: 8192) ?? ""
        for line in status.split(separator: "\n") where line.hasPrefix("Umask:") {
            return UInt32(line.dropFirst(6).filter { $0 >= "0" && $0 <= "7" }, radix: 8) ?? 0o22
        }
        return 0o22
    }
}

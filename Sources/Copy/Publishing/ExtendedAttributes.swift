// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACore

/// The extended attributes of an open file, access control lists among them.
///
/// Source: xattr(7), acl(5). Names are bytes.
struct ExtendedAttributes {
    typealias Name = [UInt8]

    let file: OpenFile

    init(_ file: OpenFile) { self.file = file }

    /// The names; nil where the file system has no attributes, or does not list them.
    var names: [Name]? {
        // SAFETY: the call writes at most as many bytes as it is told, which `bytes` counts as filled.
        guard let list = unsafe Self.bytes({ unsafe cdma_attribute_names(file.descriptor, $0, $1) }) else { return nil }
        return list.split(separator: 0).map(Array.init)
    }

    /// The value of an attribute; nil where it does not exist or cannot be read.
    func value(_ name: Name) -> [UInt8]? {
        // SAFETY: the name ends with a zero and lives until the call returns, which writes as above.
        unsafe Self.bytes { unsafe cdma_attribute(file.descriptor, Self.cString(name), $0, $1) }
    }

    /// The access control list, where the file has one.
    var accessList: AccessList? { value(Array(AccessList.name.utf8)).flatMap(AccessList.init) }

    /// Makes the attributes equal to those of another file: sets what it has, and removes what it does not have, such as access control lists
    /// that a new file inherited from its directory.
    ///
    /// - Parameter note: called with each attribute that could not be set or removed.
    func makeEqual(to other: ExtendedAttributes, note: (String) -> Void) {
        let theirs = other.names ?? []
        for name in names ?? [] where !theirs.contains(name) && !Self.isLabel(name) { remove(name, note) }
        for name in theirs { take(name, from: other, note) }
    }

    /// Keeps attributes of the file that is replaced that its owner set and that do not depend on its data: a capability or a checksum is not valid
    /// for other data.
    func keep(of old: ExtendedAttributes, note: (String) -> Void) {
        for name in old.names ?? [] where Self.isOwnersChoice(name) { take(name, from: old, note) }
    }

    private func take(_ name: Name, from other: ExtendedAttributes, _ note: (String) -> Void) {
        // SAFETY: name and value live until the call returns; the value goes with its count.
        guard let value = other.value(name) else { return note("attribute \(Self.shown(name)) was not set: it cannot be read") }
        let result = unsafe cdma_set_attribute(file.descriptor, Self.cString(name), value, value.count)
        // Setting a security label may need a privilege even if the file already has the same label.
        guard result != 0, self.value(name) != value else { return }
        note("attribute \(Self.shown(name)) was not set: \(DMAError.sentence(-result))")
    }

    private func remove(_ name: Name, _ note: (String) -> Void) {
        // SAFETY: as above.
        let result = unsafe cdma_remove_attribute(file.descriptor, Self.cString(name))
        guard result != 0, result != -ENODATA else { return }
        note("attribute \(Self.shown(name)), which the source does not have, was not removed: \(DMAError.sentence(-result))")
    }

    private static func isLabel(_ name: Name) -> Bool {
        [Array("security.selinux".utf8), Array("security.SMACK64".utf8)].contains(name)
    }

    private static func isOwnersChoice(_ name: Name) -> Bool {
        isLabel(name) || ["user.", "system.", "btrfs."].contains { name.starts(with: $0.utf8) }
    }

    private static func shown(_ name: Name) -> String { CopyFailure.quoted(CopyPath(bytes: name).text) }
    private static func cString(_ name: Name) -> [CChar] { CopyPath(bytes: name).cString }

    /// The bytes that a call writes, at most 64 KiB: the kernel's limit of names and of values (XATTR_LIST_MAX, XATTR_SIZE_MAX).
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
}

// SPDX-License-Identifier: Apache-2.0

/// A POSIX access control list, in the format of its extended attribute.
///
/// Source: include/uapi/linux/posix_acl_xattr.h: a version, then entries of a tag, permissions and an identifier, little endian; acl(5).
struct AccessList {
    /// The name of the attribute.
    static let name = "system.posix_acl_access"

    private var group: UInt16 = 0
    private var mask: UInt16 = 7

    /// nil for anything that is not an access control list.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 4, (bytes.count - 4) % 8 == 0, bytes[0] == 2 else { return nil }
        for place in stride(from: 4, to: bytes.count, by: 8) {
            let tag = UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8
            let permissions = UInt16(bytes[place + 2]) & 7
            // ACL_GROUP_OBJ, ACL_MASK
            if tag == 0x04 { group = permissions }
            if tag == 0x10 { mask = permissions }
        }
    }

    /// A mode that gives the file's group the permissions that it has by this list. The mode of a file with a list has the mask in the group
    /// bits, for other entries: without the list it would give the group those permissions too.
    func limiting(_ mode: UInt32) -> UInt32 { mode & ~0o70 | mode & UInt32(group & mask) << 3 }
}

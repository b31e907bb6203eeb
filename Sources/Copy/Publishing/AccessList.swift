// SPDX-License-Identifier: Apache-2.0

/// A POSIX access control list, as its attribute has it.
///
/// Source: include/uapi/linux/posix_acl_xattr.h: a version, then entries of a tag, permissions and an identifier, little endian; acl(5).
struct AccessList {
    /// The attribute.
    static let name = "system.posix_acl_access"

    private var group: UInt16 = 0
    private var mask: UInt16 = 7

    /// nil for anything that is none.
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

    /// A mode that lets the file's own group do what this list lets it. The mode of a file with a list has the mask in that place, which
    /// other entries need: without the list it would let the group do that, too.
    func limiting(_ mode: UInt32) -> UInt32 { mode & ~0o70 | mode & UInt32(group & mask) << 3 }
}

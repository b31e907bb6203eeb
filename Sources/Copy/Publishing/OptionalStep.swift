// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Steps that a copy can do without: setting the length in advance, allocating space, locking, setting times.
///
/// Some file systems do not support them, and a sandbox may forbid them. The copy then continues without them.
enum OptionalStep {
    /// Whether the error means that the step is not supported or not allowed, and not that it failed.
    static func isRefusal(_ errno: Int32) -> Bool {
        [ENOSYS, EPERM, EOPNOTSUPP, EINVAL, EACCES, ENOTTY, ENODEV].contains(errno)
    }
}

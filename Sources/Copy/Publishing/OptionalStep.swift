// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Steps that make a copy better and that it can do without: setting a length beforehand, taking room, a lock, a time stamp.
///
/// Not every file system has them, and a sandbox may forbid them. That is a reason to go on without, and none to fail.
enum OptionalStep {
    /// Whether the answer means that the step is not to be had, and not that it has failed.
    static func isRefusal(_ errno: Int32) -> Bool {
        [ENOSYS, EPERM, EOPNOTSUPP, EINVAL, EACCES, ENOTTY, ENODEV].contains(errno)
    }
}

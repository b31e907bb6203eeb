// SPDX-License-Identifier: Apache-2.0
#ifndef FORBIDDEN_SYSTEM_CALLS_H
#define FORBIDDEN_SYSTEM_CALLS_H

// From now on io_uring_setup(2) answers EPERM in this process, as under a container's seccomp filter. 0, or an errno.
int forbid_io_uring(void);

// The same of io_uring_enter(2), with an errno: rings can be made, and not be used. Holds for programs that the process starts, too.
int forbid_io_uring_enter(int error);

// Calls that a file system or a sandbox may not have.
enum forbidden_call {
    forbidden_close,
    forbidden_fallocate,
    forbidden_flock,
    forbidden_ftruncate,
    forbidden_fsync,
    forbidden_syncfs,
    forbidden_utimensat,
};

// From now on the call answers `error` in this thread, and in those that it starts. 0, or an errno.
int forbid_call(enum forbidden_call call, int error);

#endif

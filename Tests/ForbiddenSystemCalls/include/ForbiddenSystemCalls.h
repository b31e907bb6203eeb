// SPDX-License-Identifier: Apache-2.0
#ifndef FORBIDDEN_SYSTEM_CALLS_H
#define FORBIDDEN_SYSTEM_CALLS_H

// From now on io_uring_setup(2) returns EPERM in this process, as under a container's seccomp filter. 0, or an errno.
int forbid_io_uring(void);

// The same for io_uring_enter(2), with an errno: rings can be created, but not used. Also applies to programs that the process
// starts.
int forbid_io_uring_enter(int error);

// Calls that a file system or a sandbox may lack.
enum forbidden_call {
    forbidden_close,
    forbidden_fallocate,
    forbidden_flock,
    forbidden_ftruncate,
    forbidden_fsync,
    forbidden_syncfs,
    forbidden_utimensat,
};

// From now on the call returns `error` in this thread, and in those that it starts. 0, or an errno.
int forbid_call(enum forbidden_call call, int error);

#endif

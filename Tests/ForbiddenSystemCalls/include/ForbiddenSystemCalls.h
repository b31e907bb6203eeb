// SPDX-License-Identifier: Apache-2.0
#ifndef FORBIDDEN_SYSTEM_CALLS_H
#define FORBIDDEN_SYSTEM_CALLS_H

// From now on io_uring_setup(2) answers EPERM in this process, as under a container's seccomp filter. 0, or an errno.
int forbid_io_uring(void);

// The same of io_uring_enter(2), with an errno: rings can be made, and not be used. Holds for programs that the process starts, too.
int forbid_io_uring_enter(int error);

#endif

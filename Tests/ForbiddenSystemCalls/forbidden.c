// SPDX-License-Identifier: Apache-2.0
#include "ForbiddenSystemCalls.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

#ifndef SYS_io_uring_enter
#define SYS_io_uring_enter 426
#endif

// One system call, one error.
static int forbid(unsigned number, int error) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)error & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof program / sizeof *program, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) return errno;
    return 0;
}

int forbid_io_uring(void) { return forbid(SYS_io_uring_setup, EPERM); }

int forbid_io_uring_enter(int error) { return forbid(SYS_io_uring_enter, error); }

int forbid_call(enum forbidden_call call, int error) {
    static const unsigned numbers[] = {
        [forbidden_close] = SYS_close,         [forbidden_fallocate] = SYS_fallocate, [forbidden_flock] = SYS_flock,
        [forbidden_ftruncate] = SYS_ftruncate, [forbidden_fsync] = SYS_fsync,         [forbidden_syncfs] = SYS_syncfs,
        [forbidden_utimensat] = SYS_utimensat,
    };
    return forbid(numbers[call], error);
}

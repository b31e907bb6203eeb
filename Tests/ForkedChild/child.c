// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "ForkedChild.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int forked_child_run(int (*body)(void)) {
    pid_t child = fork();
    if (child < 0) return -errno;
    if (child == 0) {
        // A child of a process with threads may find a lock taken for ever; a signal must end it without the runtime's report.
        for (int number = 1; number < 32; number++) signal(number, SIG_DFL);
        alarm(10);
        _exit(body());
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

bool forked_child_is_mapped(uintptr_t address) {
    unsigned char resident;
    return mincore((void *)(address & ~(uintptr_t)4095), 1, &resident) == 0;
}

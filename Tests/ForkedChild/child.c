// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "ForkedChild.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int forked_child_run(int (*body)(void)) {
    // A child of a process with threads may inherit a lock that is never released, in the language's runtime too. The alarm
    // ends such a child, without a verdict on the body: another one is made.
    for (int tries = 0;; tries++) {
        pid_t child = fork();
        if (child < 0) return -errno;
        if (child == 0) {
            // The alarm must end it, without the runtime's report; the thread sanitizer leaves signals blocked in a child.
            for (int number = 1; number < 32; number++) signal(number, SIG_DFL);
            sigset_t none;
            sigemptyset(&none);
            sigprocmask(SIG_SETMASK, &none, 0);
            alarm(10);
            _exit(body());
        }
        int status = 0;
        while (waitpid(child, &status, 0) < 0)
            if (errno != EINTR) return -errno;
        if (WIFEXITED(status)) return WEXITSTATUS(status);
        if (WTERMSIG(status) != SIGALRM || tries == 5) return 256 + WTERMSIG(status);
    }
}

bool forked_child_is_mapped(uintptr_t address) {
    unsigned char resident;
    return mincore((void *)(address & ~(uintptr_t)4095), 1, &resident) == 0;
}

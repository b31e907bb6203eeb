// SPDX-License-Identifier: Apache-2.0
// The start of this process: its arguments byte for byte, and the standard descriptors.
#ifndef CDMA_PROCESS_H
#define CDMA_PROCESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

// The arguments as passed by execve(2). Swift's own come from /proc, and are text: bytes that are not UTF-8 have been replaced
// in them.
int cdma_argument_count(void);
// The argument of that number, or NULL.
const char *cdma_argument(int number);

// Opens /dev/null on each of the descriptors 0 to 2 that is closed: 0 write-only, 1 and 2 read-only. A file that is opened later then does not
// get one of these numbers, and reading standard input or writing to standard output fails with EBADF. Without /dev/null it opens the root
// directory with O_PATH instead. Returns 0, or a negative errno.
static inline int cdma_fill_standard_descriptors(void) {
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        // open(2) returns the lowest free number: those below are in use.
        int opened = open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
        if (opened < 0) opened = open("/", O_PATH);
        if (opened < 0) return -errno;
    }
    return 0;
}

#endif

// SPDX-License-Identifier: Apache-2.0
// A child process that is ours alone: it inherits no descriptor but those that it is to have, and is killed when the thread that started it
// ends. And what it is spoken to by. Every function returns a negative errno on failure.
#ifndef CDMA_CHILD_H
#define CDMA_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Starts a program. `output` becomes its standard output and error; its standard input is empty. Descriptors of `kept` keep their numbers, which
// are above 2. The process's number, or why it could not be started.
int cdma_child_start(const char *path, char *const *arguments, char *const *environment, int output, const int *kept,
                     int count);
// Waits for a child's end without taking it: its number stays its own. 0 where it has ended.
int cdma_child_await(int child);
// Takes it: its exit status, or 256 and the signal that ended it.
int cdma_child_take(int child);
int cdma_child_signal(int child, int signal);

int cdma_pipe(int *ends);
// What comes next of a pipe, waiting for it: how many bytes; 0 at the end.
int64_t cdma_pipe_read(int fd, void *bytes, size_t count);
int cdma_socket_pair(int *ends);
// Waits at most `nanoseconds` until there is something to read or, with `writes`, room to write. 1 where there is, 0 where not.
int cdma_socket_wait(int fd, bool writes, int64_t nanoseconds);

// Exchanges pages of this process for those of a file: what was mapped there is replaced at once. A child process does not inherit them.
int cdma_replace_pages(void *at, size_t length, int fd, uint64_t offset);
// Writes a part of a file from bytes of this process: all of it, or an error.
int cdma_put_file(int fd, const void *bytes, size_t count, uint64_t offset);

#endif

// SPDX-License-Identifier: Apache-2.0
#ifndef FORKED_CHILD_H
#define FORKED_CHILD_H

#include <stdbool.h>
#include <stdint.h>

// Runs `body` in a child process made by fork(2), for at most ten seconds; repeats that, up to five times, if it timed out.
// Returns its result (0 to 255); 256 plus the signal that ended it; -errno where there is no child.
int forked_child_run(int (*body)(void));

// Whether a page at `address` is mapped in this process.
bool forked_child_is_mapped(uintptr_t address);

#endif

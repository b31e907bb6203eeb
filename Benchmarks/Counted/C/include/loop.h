// SPDX-License-Identifier: Apache-2.0
// A global executor on the caller's thread: with it a suspension and its resumption are counted without the work of a thread
// pool.
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>

// From here on, jobs of the global executor wait for `counted_loop_run_one`. Call once, before the first task.
void counted_loop_install(void);

// Runs the oldest waiting job; false where none waits.
bool counted_loop_run_one(void);

#endif

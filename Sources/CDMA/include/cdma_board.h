// SPDX-License-Identifier: Apache-2.0
// The words that a CPU engine and its workers share. Each lies in a cache line of its own side; padded by hand, because Swift
// does not import structures with aligned members.
#ifndef CDMA_BOARD_H
#define CDMA_BOARD_H

#include <stddef.h>
#include <stdint.h>

#include "cdma_atomic.h"

#define CDMA_BOARD_LINE 64

// For all workers.
struct cdma_board {
    uint32_t command;
    uint32_t pad0[15];
    uint32_t moving;
    uint32_t pad1[15];
    uint32_t outstanding;
    uint32_t pad2[15];
    uint32_t fences;
    uint32_t fence_ticket;
    uint32_t pad3[14];
};

// For one job. The part that a new use of the slot clears comes first.
struct cdma_board_job {
    uint64_t claimed;
    uint64_t finished;
    uint64_t value;
    uint64_t periods;
    uint32_t findings;
    uint32_t failed;
    uint32_t holders;
    uint32_t use;
    uint32_t pad[4];
};

// For one worker: a ring of deliveries to it, one of completions back, and the futex that it sleeps on.
struct cdma_board_ring {
    uint32_t head;
    uint32_t pad0[15];
    uint32_t tail;
    uint32_t pad1[15];
};
struct cdma_board_lane {
    struct cdma_board_ring deliveries;
    struct cdma_board_ring completions;
    uint32_t doorbell;
    uint32_t sleeps;
    uint32_t pad[14];
};

_Static_assert(sizeof(struct cdma_board) == 4 * CDMA_BOARD_LINE, "four lines");
_Static_assert(offsetof(struct cdma_board, moving) == 1 * CDMA_BOARD_LINE, "a line of its own");
_Static_assert(offsetof(struct cdma_board, outstanding) == 2 * CDMA_BOARD_LINE, "a line of its own");
_Static_assert(offsetof(struct cdma_board, fences) == 3 * CDMA_BOARD_LINE, "a line of its own");
_Static_assert(sizeof(struct cdma_board_job) == CDMA_BOARD_LINE, "a line for each job");
_Static_assert(offsetof(struct cdma_board_job, holders) == 40, "only what a use clears stands before it");
_Static_assert(sizeof(struct cdma_board_ring) == 2 * CDMA_BOARD_LINE, "a line for each side");
_Static_assert(offsetof(struct cdma_board_ring, tail) == CDMA_BOARD_LINE, "a line for each side");
_Static_assert(sizeof(struct cdma_board_lane) == 5 * CDMA_BOARD_LINE, "five lines");
_Static_assert(offsetof(struct cdma_board_lane, doorbell) == 4 * CDMA_BOARD_LINE, "a line of its own");

// Addresses of the words. In C, because taking the address of a member in Swift counts as an access to it, in addition to the
// atomic one that follows.
#define CDMA_BOARD_WORD(type, member, name)                                                                             \
    CDMA_INLINE void *cdma_board_##name(struct type *of) { return &of->member; }
CDMA_BOARD_WORD(cdma_board, command, command)
CDMA_BOARD_WORD(cdma_board, moving, moving)
CDMA_BOARD_WORD(cdma_board, outstanding, outstanding)
CDMA_BOARD_WORD(cdma_board, fences, fences)
CDMA_BOARD_WORD(cdma_board, fence_ticket, fence_ticket)
CDMA_BOARD_WORD(cdma_board_job, claimed, job_claimed)
CDMA_BOARD_WORD(cdma_board_job, finished, job_finished)
CDMA_BOARD_WORD(cdma_board_job, value, job_value)
CDMA_BOARD_WORD(cdma_board_job, periods, job_periods)
CDMA_BOARD_WORD(cdma_board_job, findings, job_findings)
CDMA_BOARD_WORD(cdma_board_job, failed, job_failed)
CDMA_BOARD_WORD(cdma_board_job, holders, job_holders)
CDMA_BOARD_WORD(cdma_board_job, use, job_use)
CDMA_BOARD_WORD(cdma_board_ring, head, ring_head)
CDMA_BOARD_WORD(cdma_board_ring, tail, ring_tail)
CDMA_BOARD_WORD(cdma_board_lane, doorbell, lane_doorbell)
CDMA_BOARD_WORD(cdma_board_lane, sleeps, lane_sleeps)
CDMA_INLINE struct cdma_board_ring *cdma_board_deliveries(struct cdma_board_lane *of) { return &of->deliveries; }
CDMA_INLINE struct cdma_board_ring *cdma_board_completions(struct cdma_board_lane *of) { return &of->completions; }

// No worker uses the job: clears all but its use and the count of workers that check it.
CDMA_INLINE void cdma_board_job_reset(struct cdma_board_job *job) {
    job->claimed = job->finished = job->value = job->periods = 0;
    job->findings = job->failed = 0;
}

#endif

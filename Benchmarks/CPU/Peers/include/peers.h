// SPDX-License-Identifier: Apache-2.0
// The baselines of the CPU engine: plain C loops over the C library and ISA-L. Each runs `operations` operations round robin
// over `pieces` pieces of `stride` bytes, the first at `base`, and returns their processor time in nanoseconds.
#ifndef DMA_BENCHMARK_PEERS_H
#define DMA_BENCHMARK_PEERS_H

#include <stddef.h>
#include <stdint.h>

// A piece is a source, and `place` bytes later a destination.
int64_t peer_memcpy(uint8_t *base, size_t stride, size_t place, size_t pieces, size_t count, long operations);
int64_t peer_memset(uint8_t *base, size_t stride, size_t pieces, size_t count, long operations);

// ISA-L is found at run time. A piece is `sources` sources, then P (the XOR), then Q, `place` bytes apart. -1 where it is
// absent or refuses.
int64_t peer_isal_xor(uint8_t *base, size_t stride, size_t place, size_t pieces, int sources, size_t count, long operations);
int64_t peer_isal_pq(uint8_t *base, size_t stride, size_t place, size_t pieces, int sources, size_t count, long operations);
int64_t peer_isal_encode(uint8_t *base, size_t stride, size_t place, size_t pieces, int sources, size_t count,
                         long operations);
int64_t peer_isal_crc32c(uint8_t *base, size_t stride, size_t pieces, size_t count, long operations);

// Processor time of the calling thread, in nanoseconds.
int64_t peer_processor_time(void);
// Pins the calling thread to one CPU; 0 or an errno.
int peer_pin(int cpu);
// A foreground task's work that accesses almost no memory.
uint64_t peer_spin(uint64_t rounds);
#endif

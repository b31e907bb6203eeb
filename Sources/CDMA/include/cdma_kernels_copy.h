// SPDX-License-Identifier: Apache-2.0
// Copies and fills that bypass the cache, and fills with a pattern of eight bytes.
#ifndef CDMA_KERNELS_COPY_H
#define CDMA_KERNELS_COPY_H

#include "cdma_kernels_cpu.h"

// The C library's memcpy. It is declared here so that Swift calls it under one name on every platform, and so that a copy of
// constant length becomes moves.
static inline __attribute__((always_inline)) void cdma_copy(void *to, const void *from, size_t count) {
    __builtin_memcpy(to, from, count);
}

// The C library's memset, likewise.
static inline __attribute__((always_inline)) void cdma_set(void *to, uint8_t value, size_t count) {
    __builtin_memset(to, value, count);
}

// Copies that fit in the second-level cache, 256 bytes and more. They are bounded by that cache's bandwidth, so what counts is
// to start at once, and to use few entries of the store buffer: the work between two copies then overlaps with their stores.
CDMA_BODY void cdma_copy_cached_body(void *to, const void *from, size_t count) {
    uint8_t *d = (uint8_t *)to, *end = d + count;
    const uint8_t *s = (const uint8_t *)from;
    size_t skip = cdma_to_line(d);
    if (skip > 0) {
        CDMA_STORE(d, CDMA_LINE(s));
        d += skip, s += skip;
    }
    for (; end - d >= 256; d += 256, s += 256) {
        cdma_line p = CDMA_LINE(s), q = CDMA_LINE(s + 64), r = CDMA_LINE(s + 128), t = CDMA_LINE(s + 192);
        CDMA_STORE(d, p);
        CDMA_STORE(d + 64, q);
        CDMA_STORE(d + 128, r);
        CDMA_STORE(d + 192, t);
    }
    if (d == end) return;
    for (; end - d >= 64; d += 64, s += 64) CDMA_STORE(d, CDMA_LINE(s));
    // The last vectors end where the range ends; their first bytes were copied already.
    CDMA_STORE(end - 64, CDMA_LINE(s + (end - d) - 64));
}
#if defined(__x86_64__)
CDMA_FOR_AVX512 void cdma_copy_cached_avx512(void *to, const void *from, size_t count) {
    cdma_copy_cached_body(to, from, count);
}
#endif

// 256 bytes and more, between ranges that do not overlap. On x86-64 only where the processor has AVX-512; elsewhere it is memcpy.
static inline __attribute__((always_inline)) void cdma_copy_cached(void *to, const void *from, size_t count) {
#if defined(__x86_64__)
    cdma_copy_cached_avx512(to, from, count);
#else
    __builtin_memcpy(to, from, count);
#endif
}

// Copies with streaming stores: the destination's lines are not read first, and the cache is not filled. Several pages are
// written side by side, because the memory controller serves a few open pages faster than one.
#define CDMA_STREAM_PAGE 4096u

CDMA_BODY void cdma_copy_stream_body(void *to, const void *from, size_t count) {
    uint8_t *d = (uint8_t *)to;
    const uint8_t *s = (const uint8_t *)from;
    size_t head = cdma_to_line(d);
    if (head > count) head = count;
    memcpy(d, s, head);
    d += head, s += head, count -= head;
    while (count >= 4 * CDMA_STREAM_PAGE) {
        for (size_t i = 0; i < CDMA_STREAM_PAGE; i += 128) {
            for (unsigned page = 0; page < 4; page++) {
                size_t at = page * CDMA_STREAM_PAGE + i;
                __builtin_prefetch(s + at + 512, 0, 3);
                __builtin_prefetch(s + at + 576, 0, 3);
                cdma_line a = CDMA_LINE(s + at), b = CDMA_LINE(s + at + 64);
                CDMA_STREAM(d + at, a);
                CDMA_STREAM(d + at + 64, b);
            }
        }
        d += 4 * CDMA_STREAM_PAGE, s += 4 * CDMA_STREAM_PAGE, count -= 4 * CDMA_STREAM_PAGE;
    }
    for (; count >= 64; d += 64, s += 64, count -= 64) CDMA_STREAM(d, CDMA_LINE(s));
    cdma_stream_barrier();
    memcpy(d, s, count);
}

CDMA_FOR_BASELINE void cdma_copy_stream_baseline(void *to, const void *from, size_t count) {
    cdma_copy_stream_body(to, from, count);
}
#if defined(__x86_64__)
CDMA_FOR_AVX2 void cdma_copy_stream_avx2(void *to, const void *from, size_t count) {
    cdma_copy_stream_body(to, from, count);
}
CDMA_FOR_AVX512 void cdma_copy_stream_avx512(void *to, const void *from, size_t count) {
    cdma_copy_stream_body(to, from, count);
}
#endif

// Copies `count` bytes between ranges that do not overlap, with streaming stores; complete and ordered on return.
static inline void cdma_copy_stream(uint32_t isa, void *to, const void *from, size_t count) {
#if defined(__x86_64__)
    if (isa == CDMA_ISA_AVX512) return cdma_copy_stream_avx512(to, from, count);
    if (isa == CDMA_ISA_AVX2) return cdma_copy_stream_avx2(to, from, count);
#endif
    (void)isa;
    cdma_copy_stream_baseline(to, from, count);
}

// The pattern, rotated to continue `bytes` bytes after its start.
CDMA_BODY uint64_t cdma_fill_turned(uint64_t pattern, size_t bytes) {
    unsigned turn = (unsigned)(bytes & 7) * 8;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return pattern >> turn | pattern << (-turn & 63);
#else
    return pattern << turn | pattern >> (-turn & 63);
#endif
}

#define CDMA_FILL_LINE(p) ((cdma_line){(p), (p), (p), (p), (p), (p), (p), (p)})

// Byte i becomes byte (i mod 8) of the pattern, as the pattern is stored on this machine. The ends are filled by stores that
// overlap filled bytes, with the pattern rotated to match.
CDMA_BODY void cdma_fill_body(void *to, uint64_t pattern, size_t count, bool stream) {
    uint8_t *d = (uint8_t *)to, *end = d + count;
    if (count < 64) {
        if (count < 8) {
            memcpy(d, &pattern, count);
            return;
        }
        for (; end - d >= 8; d += 8) memcpy(d, &pattern, 8);
        pattern = cdma_fill_turned(pattern, count);
        memcpy(end - 8, &pattern, 8);
        return;
    }
    const uint64_t at_end = cdma_fill_turned(pattern, count), at_line = cdma_fill_turned(pattern, cdma_to_line(d));
    const cdma_line line = CDMA_FILL_LINE(at_line);
    CDMA_STORE(d, CDMA_FILL_LINE(pattern));
    CDMA_STORE(end - 64, CDMA_FILL_LINE(at_end));
    d += cdma_to_line(d);
    if (stream) {
        for (; end - d >= 64; d += 64) CDMA_STREAM(d, line);
        cdma_stream_barrier();
        return;
    }
    for (; end - d >= 256; d += 256) {
        CDMA_STORE(d, line);
        CDMA_STORE(d + 64, line);
        CDMA_STORE(d + 128, line);
        CDMA_STORE(d + 192, line);
    }
    for (; end - d >= 64; d += 64) CDMA_STORE(d, line);
}

CDMA_FOR_BASELINE void cdma_fill_baseline(void *to, uint64_t pattern, size_t count) {
    cdma_fill_body(to, pattern, count, false);
}
CDMA_FOR_BASELINE void cdma_fill_stream_baseline(void *to, uint64_t pattern, size_t count) {
    cdma_fill_body(to, pattern, count, true);
}
#if defined(__x86_64__)
CDMA_FOR_AVX2 void cdma_fill_avx2(void *to, uint64_t pattern, size_t count) {
    cdma_fill_body(to, pattern, count, false);
}
CDMA_FOR_AVX2 void cdma_fill_stream_avx2(void *to, uint64_t pattern, size_t count) {
    cdma_fill_body(to, pattern, count, true);
}
CDMA_FOR_AVX512 void cdma_fill_avx512(void *to, uint64_t pattern, size_t count) {
    cdma_fill_body(to, pattern, count, false);
}
CDMA_FOR_AVX512 void cdma_fill_stream_avx512(void *to, uint64_t pattern, size_t count) {
    cdma_fill_body(to, pattern, count, true);
}
#endif

// Fills `count` bytes at any address with a repeating pattern of eight bytes.
static inline void cdma_fill(uint32_t isa, bool stream, void *to, uint64_t pattern, size_t count) {
#if defined(__x86_64__)
    if (isa == CDMA_ISA_AVX512)
        return stream ? cdma_fill_stream_avx512(to, pattern, count) : cdma_fill_avx512(to, pattern, count);
    if (isa == CDMA_ISA_AVX2)
        return stream ? cdma_fill_stream_avx2(to, pattern, count) : cdma_fill_avx2(to, pattern, count);
#endif
    (void)isa;
    stream ? cdma_fill_stream_baseline(to, pattern, count) : cdma_fill_baseline(to, pattern, count);
}

#endif

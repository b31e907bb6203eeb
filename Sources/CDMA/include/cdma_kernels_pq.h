// SPDX-License-Identifier: Apache-2.0
// RAID-6 parity as the kernel's dma_prep_dma_pq defines it: P is the XOR of the sources, Q their sum over GF(2^8) with
// the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d), each source multiplied by its own coefficient
// (include/linux/dmaengine.h; H. P. Anvin, "The mathematics of RAID-6").
#ifndef CDMA_KERNELS_PQ_H
#define CDMA_KERNELS_PQ_H

#include "cdma_kernels_cpu.h"
#include "cdma_kernels_xor.h"

#define CDMA_PQ_SOURCES CDMA_LIST_SOURCES
#define CDMA_PQ_P 1u        // P is wanted
#define CDMA_PQ_Q 2u        // Q is wanted
#define CDMA_PQ_CONTINUE 4u // what P and Q hold is part of the sum
#define CDMA_PQ_CHECK 8u    // compare with P and Q, write nothing
#define CDMA_PQ_STREAM 16u  // P and Q go past the cache; ignored where they do not lie on multiples of 64

// How the coefficients are applied, computed once for an operation.
//
// Without Galois instructions, Q is computed bit by bit of the coefficients (Horner's rule): the sources whose coefficient has
// bit 7 are added up, the sum is doubled, those with bit 6 are added, and so on. That takes seven doublings for any number of
// sources. With them, a multiplication by a constant is one 8x8 bit matrix for each source.
typedef struct {
    uint8_t members[8][CDMA_PQ_SOURCES];
    uint8_t count[8];
    uint64_t matrix[CDMA_PQ_SOURCES];
} cdma_pq_plan;

// The matrix of a multiplication, with row i in byte 7 - i as GF2P8AFFINEQB requires: row i selects the bits of a byte that
// make bit i of the product. It is linear in the coefficient, so those of the eight powers of two determine all of them; the
// table is built at compile time, because building it at run time would be noticeable for operations of a few kilobytes.
#define CDMA_GF_BIT(c, bit, matrix) ((c) >> (bit) & 1 ? UINT64_C(matrix) : 0)
#define CDMA_GF_1(c)                                                                                                    \
    (CDMA_GF_BIT(c, 0, 0x0102040810204080) ^ CDMA_GF_BIT(c, 1, 0x8001828488102040)                                      \
     ^ CDMA_GF_BIT(c, 2, 0x408041c2c4881020) ^ CDMA_GF_BIT(c, 3, 0x2040a061e2c48810)                                    \
     ^ CDMA_GF_BIT(c, 4, 0x102050b071e2c488) ^ CDMA_GF_BIT(c, 5, 0x8810a8d83871e2c4)                                    \
     ^ CDMA_GF_BIT(c, 6, 0xc488d46c1c3871e2) ^ CDMA_GF_BIT(c, 7, 0xe2c46a368e1c3871))
#define CDMA_GF_4(c) CDMA_GF_1(c), CDMA_GF_1((c) + 1), CDMA_GF_1((c) + 2), CDMA_GF_1((c) + 3)
#define CDMA_GF_16(c) CDMA_GF_4(c), CDMA_GF_4((c) + 4), CDMA_GF_4((c) + 8), CDMA_GF_4((c) + 12)
#define CDMA_GF_64(c) CDMA_GF_16(c), CDMA_GF_16((c) + 16), CDMA_GF_16((c) + 32), CDMA_GF_16((c) + 48)
static inline uint64_t cdma_gf_matrix(uint8_t coefficient) {
    static const uint64_t matrices[256] = {CDMA_GF_64(0), CDMA_GF_64(64), CDMA_GF_64(128), CDMA_GF_64(192)};
    return matrices[coefficient];
}

static inline void cdma_pq_prepare(cdma_pq_plan *plan, const uint8_t *coefficients, unsigned sources, bool matrices) {
    if (matrices) {
        for (unsigned k = 0; k < sources; k++) plan->matrix[k] = cdma_gf_matrix(coefficients[k]);
        return;
    }
    memset(plan->count, 0, sizeof plan->count);
    for (unsigned k = 0; k < sources; k++)
        for (unsigned bit = 0; bit < 8; bit++)
            if (coefficients[k] >> bit & 1) plan->members[bit][plan->count[bit]++] = (uint8_t)k;
}

// Stores or compares one line of the result; differences are collected in `wrong`.
#define CDMA_PQ_EMIT(flag, memory, value, wrong)                                                                        \
    do {                                                                                                                \
        if (flags & (flag)) {                                                                                           \
            if (flags & CDMA_PQ_CHECK) (wrong) |= (value) ^ CDMA_LINE(memory);                                          \
            else if (flags & CDMA_PQ_CONTINUE) CDMA_STORE((memory), CDMA_LINE(memory) ^ (value));                       \
            else if (flags & CDMA_PQ_STREAM) CDMA_STREAM((memory), (value));                                            \
            else CDMA_STORE((memory), (value));                                                                         \
        }                                                                                                               \
    } while (0)

// All bodies process whole lines and return which of P and Q (CDMA_PQ_P, CDMA_PQ_Q) are wrong.
CDMA_BODY unsigned cdma_pq_body(const cdma_pq_plan *plan, uint8_t *p, uint8_t *q, const uint8_t *const *from,
                                unsigned sources, size_t count, unsigned flags) {
    cdma_line wrong_p = {0}, wrong_q = {0};
    for (size_t at = 0; at < count; at += 64) {
        cdma_line sum = {0};
        for (unsigned k = 0; k < sources; k++) sum ^= CDMA_LINE(from[k] + at);
        CDMA_PQ_EMIT(CDMA_PQ_P, p + at, sum, wrong_p);
        if (!(flags & CDMA_PQ_Q)) continue;
        sum = (cdma_line){0};
        for (unsigned bit = 8; bit-- > 0;) {
            cdma_line_bytes doubled = (cdma_line_bytes)sum;
            doubled = (doubled + doubled) ^ ((doubled < 0) & 0x1d);
            sum = (cdma_line)doubled;
            for (unsigned m = 0; m < plan->count[bit]; m++) sum ^= CDMA_LINE(from[plan->members[bit][m]] + at);
        }
        CDMA_PQ_EMIT(CDMA_PQ_Q, q + at, sum, wrong_q);
    }
    return (__builtin_reduce_or(wrong_p) ? CDMA_PQ_P : 0) | (__builtin_reduce_or(wrong_q) ? CDMA_PQ_Q : 0);
}

CDMA_FOR_BASELINE unsigned cdma_pq_baseline(const cdma_pq_plan *plan, uint8_t *p, uint8_t *q, const uint8_t *const *from,
                                            unsigned sources, size_t count, unsigned flags) {
    return cdma_pq_body(plan, p, q, from, sources, count, flags);
}

#if defined(__x86_64__)
CDMA_FOR_AVX2 unsigned cdma_pq_avx2(const cdma_pq_plan *plan, uint8_t *p, uint8_t *q, const uint8_t *const *from,
                                    unsigned sources, size_t count, unsigned flags) {
    return cdma_pq_body(plan, p, q, from, sources, count, flags);
}

CDMA_FOR_AVX512 unsigned cdma_pq_avx512(const cdma_pq_plan *plan, uint8_t *p, uint8_t *q, const uint8_t *const *from,
                                        unsigned sources, size_t count, unsigned flags) {
    return cdma_pq_body(plan, p, q, from, sources, count, flags);
}

// One source's part of two lines of P and Q.
#define CDMA_PQ_GFNI_ADD(k)                                                                                             \
    do {                                                                                                                \
        const uint8_t *s = from[k] + at;                                                                                \
        cdma_line a = CDMA_LINE(s), b = CDMA_LINE(s + 64);                                                              \
        __m512i matrix = _mm512_set1_epi64((long long)plan->matrix[k]);                                                 \
        p0 ^= a, p1 ^= b;                                                                                               \
        q0 ^= (cdma_line)_mm512_gf2p8affine_epi64_epi8((__m512i)a, matrix, 0);                                          \
        q1 ^= (cdma_line)_mm512_gf2p8affine_epi64_epi8((__m512i)b, matrix, 0);                                          \
    } while (0)

// Two lines at a time, so that the latency of one multiplication hides behind the other; and four sources, because the compiler
// does not unroll a loop of unknown length.
static inline __attribute__((noinline, target("avx512f,avx512bw,avx512dq,avx512vl,gfni"))) unsigned
cdma_pq_gfni(const cdma_pq_plan *plan, uint8_t *p, uint8_t *q, const uint8_t *const *from, unsigned sources, size_t count,
             unsigned flags) {
    cdma_line wrong_p = {0}, wrong_q = {0};
    size_t at = 0;
    for (; at + 128 <= count; at += 128) {
        cdma_line p0 = {0}, p1 = {0}, q0 = {0}, q1 = {0};
        unsigned k = 0;
        for (; k + 4 <= sources; k += 4) {
            CDMA_PQ_GFNI_ADD(k);
            CDMA_PQ_GFNI_ADD(k + 1);
            CDMA_PQ_GFNI_ADD(k + 2);
            CDMA_PQ_GFNI_ADD(k + 3);
        }
        for (; k < sources; k++) CDMA_PQ_GFNI_ADD(k);
        CDMA_PQ_EMIT(CDMA_PQ_P, p + at, p0, wrong_p);
        CDMA_PQ_EMIT(CDMA_PQ_P, p + at + 64, p1, wrong_p);
        CDMA_PQ_EMIT(CDMA_PQ_Q, q + at, q0, wrong_q);
        CDMA_PQ_EMIT(CDMA_PQ_Q, q + at + 64, q1, wrong_q);
    }
    for (; at < count; at += 64) {
        cdma_line p0 = {0}, q0 = {0};
        for (unsigned k = 0; k < sources; k++) {
            cdma_line a = CDMA_LINE(from[k] + at);
            __m512i matrix = _mm512_set1_epi64((long long)plan->matrix[k]);
            p0 ^= a;
            q0 ^= (cdma_line)_mm512_gf2p8affine_epi64_epi8((__m512i)a, matrix, 0);
        }
        CDMA_PQ_EMIT(CDMA_PQ_P, p + at, p0, wrong_p);
        CDMA_PQ_EMIT(CDMA_PQ_Q, q + at, q0, wrong_q);
    }
    return (__builtin_reduce_or(wrong_p) ? CDMA_PQ_P : 0) | (__builtin_reduce_or(wrong_q) ? CDMA_PQ_Q : 0);
}
#endif

static inline unsigned cdma_pq_lines(uint32_t isa, bool galois, const cdma_pq_plan *plan, uint8_t *p, uint8_t *q,
                                     const uint8_t *const *from, unsigned sources, size_t count, unsigned flags) {
#if defined(__x86_64__)
    if (galois && isa == CDMA_ISA_AVX512) return cdma_pq_gfni(plan, p, q, from, sources, count, flags);
    if (isa == CDMA_ISA_AVX512) return cdma_pq_avx512(plan, p, q, from, sources, count, flags);
    if (isa == CDMA_ISA_AVX2) return cdma_pq_avx2(plan, p, q, from, sources, count, flags);
#endif
    (void)isa, (void)galois;
    return cdma_pq_baseline(plan, p, q, from, sources, count, flags);
}

// Computes (or with CDMA_PQ_CHECK compares) `count` bytes of P and Q from 1 to CDMA_PQ_SOURCES sources; `flags` are the
// CDMA_PQ_ bits, and a pointer whose flag is absent is not accessed. Returns the bits of the wrong ones, which is 0 without
// CDMA_PQ_CHECK. P and Q overlap neither each other nor a source.
static inline unsigned cdma_pq(uint32_t isa, bool galois, void *p, void *q, const void *const *from,
                               const uint8_t *coefficients, unsigned sources, size_t count, unsigned flags) {
    if (sources == 0 || sources > CDMA_PQ_SOURCES) return 0;
    cdma_pq_plan plan;
    cdma_pq_prepare(&plan, coefficients, sources, galois && isa == CDMA_ISA_AVX512);
    size_t whole = count & ~(size_t)63, rest = count & 63;
    uintptr_t places = (flags & CDMA_PQ_P ? (uintptr_t)p : 0) | (flags & CDMA_PQ_Q ? (uintptr_t)q : 0);
    if (flags & (CDMA_PQ_CONTINUE | CDMA_PQ_CHECK) || places & 63) flags &= ~CDMA_PQ_STREAM;
    unsigned wrong = cdma_pq_lines(isa, galois, &plan, (uint8_t *)p, (uint8_t *)q, (const uint8_t *const *)from, sources,
                                   whole, flags);
    if (flags & CDMA_PQ_STREAM) cdma_stream_barrier();
    flags &= ~CDMA_PQ_STREAM;
    if (rest == 0) return wrong;
    // The last, partial line is processed in copies, whose other bytes are zero everywhere and so stay correct.
    uint8_t line[CDMA_PQ_SOURCES][64], line_p[64] = {0}, line_q[64] = {0};
    const uint8_t *lines[CDMA_PQ_SOURCES];
    for (unsigned k = 0; k < sources; k++) {
        memset(line[k], 0, 64);
        memcpy(line[k], (const uint8_t *)from[k] + whole, rest);
        lines[k] = line[k];
    }
    if (flags & CDMA_PQ_P) memcpy(line_p, (uint8_t *)p + whole, rest);
    if (flags & CDMA_PQ_Q) memcpy(line_q, (uint8_t *)q + whole, rest);
    wrong |= cdma_pq_lines(isa, galois, &plan, line_p, line_q, lines, sources, 64, flags);
    if (flags & CDMA_PQ_CHECK) return wrong;
    if (flags & CDMA_PQ_P) memcpy((uint8_t *)p + whole, line_p, rest);
    if (flags & CDMA_PQ_Q) memcpy((uint8_t *)q + whole, line_q, rest);
    return wrong;
}

// `cdma_pq` for `count` bytes at `offset` of a list: `sources` segments, then P and Q, of which one whose flag is absent has no
// address. False for an address of 0, no sources, or more than CDMA_PQ_SOURCES.
static inline bool cdma_pq_list(uint32_t isa, bool galois, const void *segments, unsigned sources, const uint8_t *coefficients,
                                size_t offset, size_t count, unsigned flags) {
    const struct cdma_list_segment *list = (const struct cdma_list_segment *)segments;
    void *places[CDMA_PQ_SOURCES], *p = 0, *q = 0;
    if (!sources || !cdma_list_places(list, sources, offset, places, CDMA_PQ_SOURCES)) return false;
    if (flags & CDMA_PQ_P && !cdma_list_places(list + sources, 1, offset, &p, 1)) return false;
    if (flags & CDMA_PQ_Q && !cdma_list_places(list + sources + 1, 1, offset, &q, 1)) return false;
    (void)cdma_pq(isa, galois, p, q, (const void *const *)places, coefficients, sources, count, flags);
    return true;
}

// Whether the coefficients are RAID-6's own: the powers of two, in order.
static inline bool cdma_pq_is_standard(const uint8_t *coefficients, unsigned sources) {
    uint8_t power = 1;
    for (unsigned k = 0; k < sources; k++) {
        if (coefficients[k] != power) return false;
        power = (uint8_t)(power << 1 ^ (power & 0x80 ? 0x1d : 0));
    }
    return true;
}

#endif

// SPDX-License-Identifier: Apache-2.0
// The processor's features, and the vector types of the kernels.
#ifndef CDMA_KERNELS_CPU_H
#define CDMA_KERNELS_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#define CDMA_CPU_CRC32C 0x1u   // a CRC32C instruction: SSE4.2, or the CRC32 extension of ARMv8
#define CDMA_CPU_AVX2 0x2u
#define CDMA_CPU_AVX512 0x4u   // F, BW, DQ and VL together
#define CDMA_CPU_GFNI 0x8u     // Galois field instructions on 512-bit vectors
#define CDMA_CPU_VPCLMUL 0x10u // carry-less multiplication on 512-bit vectors

// The code paths of cdma_copy_stream, cdma_fill, cdma_xor … in the order of their width.
#define CDMA_ISA_BASELINE 0u
#define CDMA_ISA_AVX2 1u
#define CDMA_ISA_AVX512 2u

// The features of the current processor, as CDMA_CPU_ bits. A vector extension counts only if the operating system saves its
// registers (XCR0: Intel SDM volume 1, 13.3 and 15.2). Serialises the processor: call it once.
static inline uint32_t cdma_cpu_features(void) {
    uint32_t features = 0;
#if defined(__x86_64__)
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    if (c & (1u << 20)) features |= CDMA_CPU_CRC32C;
    if (!(c & (1u << 27))) return features; // no OSXSAVE
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    bool ymm = (low & 0x6) == 0x6, zmm = (low & 0xe6) == 0xe6;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return features;
    if (ymm && (b & (1u << 5))) features |= CDMA_CPU_AVX2;
    unsigned wanted = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    if (zmm && (b & wanted) == wanted) {
        features |= CDMA_CPU_AVX512;
        if (c & (1u << 8)) features |= CDMA_CPU_GFNI;
        if (c & (1u << 10)) features |= CDMA_CPU_VPCLMUL;
    }
#elif defined(__aarch64__) && defined(__linux__)
    if (getauxval(AT_HWCAP) & (1u << 7)) features |= CDMA_CPU_CRC32C; // HWCAP_CRC32
#endif
    return features;
}

// A body is inlined into each function with a target, and compiled with that target's vectors there.
#define CDMA_BODY static inline __attribute__((always_inline))
#if defined(__x86_64__)
#define CDMA_FOR_AVX2 static inline __attribute__((noinline, target("avx2")))
#define CDMA_FOR_AVX512 static inline __attribute__((noinline, target("avx512f,avx512bw,avx512dq,avx512vl")))
#endif
#define CDMA_FOR_BASELINE static inline __attribute__((noinline))

// 64 bytes at any address (cdma_line) and on a multiple of 64 (cdma_aligned_line).
typedef uint64_t cdma_line __attribute__((vector_size(64), aligned(1), may_alias));
typedef uint64_t cdma_aligned_line __attribute__((vector_size(64), aligned(64), may_alias));
typedef int8_t cdma_line_bytes __attribute__((vector_size(64), aligned(1), may_alias));

#define CDMA_LINE(pointer) (*(const cdma_line *)(pointer))
#define CDMA_STORE(pointer, value) (*(cdma_line *)(pointer) = (value))
#if defined(__clang__)
#define CDMA_STREAM(pointer, value) __builtin_nontemporal_store((value), (cdma_aligned_line *)(pointer))
#else
#define CDMA_STREAM(pointer, value) (*(cdma_aligned_line *)(pointer) = (value))
#endif

// Streaming stores are not ordered with other accesses on x86: this precedes the write that announces their completion.
static inline __attribute__((always_inline)) void cdma_stream_barrier(void) {
#if defined(__x86_64__)
    __asm__ volatile("sfence" ::: "memory");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

// The distance from `pointer` to the next multiple of 64.
CDMA_BODY size_t cdma_to_line(const void *pointer) { return (size_t)(-(uintptr_t)pointer & 63); }

#endif

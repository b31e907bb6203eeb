// SPDX-License-Identifier: Apache-2.0
// The copy, fill, XOR, PQ and CRC32C kernels of the CPU engine, one header a topic.
//
// Most bodies are written once, in the compiler's vector extensions, and compiled several times: for the machine's
// baseline (SSE2, NEON or none) and, on x86-64, for AVX2 and AVX-512. Which one runs is a number the caller chose from
// what cdma_cpu_features() says; a number this build does not have means the baseline.
#ifndef CDMA_KERNELS_H
#define CDMA_KERNELS_H

#include "cdma_kernels_copy.h"
#include "cdma_kernels_cpu.h"
#include "cdma_kernels_crc.h"
#include "cdma_kernels_pattern.h"
#include "cdma_kernels_pq.h"
#include "cdma_kernels_xor.h"

#endif

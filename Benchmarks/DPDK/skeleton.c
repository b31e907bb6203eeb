// SPDX-License-Identifier: Apache-2.0
// DPDK's dma_skeleton device, driven through rte_dma_copy with 32 copies in flight: the peer of the CPU engine's small copies.
// Reads requests ("BYTES BATCHES") from standard input, and writes the nanoseconds for all batches of 32 to standard output.
// Linked with Debian's libdpdk-dev, by Benchmarks/run, where it is installed.
#include <rte_dmadev.h>
#include <rte_eal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEPTH = 32 };

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Runs `batches` batches of 32 copies; false where the device reports an error.
static int run(int16_t device, uint8_t **to, uint8_t **from, uint32_t bytes, long batches) {
    for (long batch = 0; batch < batches; batch++) {
        for (int i = 0; i < DEPTH; i++)
            if (rte_dma_copy(device, 0, (rte_iova_t)(uintptr_t)from[i], (rte_iova_t)(uintptr_t)to[i], bytes, 0) < 0) return 0;
        if (rte_dma_submit(device, 0) != 0) return 0;
        for (uint16_t done = 0; done < DEPTH;) {
            bool failed = false;
            uint16_t last;
            done += rte_dma_completed(device, 0, DEPTH - done, &last, &failed);
            if (failed) return 0;
        }
    }
    return 1;
}

int main(int count, char **arguments) {
    (void)count;
    char *options[] = {arguments[0], "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry", "-m", "64",
                       "-l", "0,1", "--vdev=dma_skeleton,lcore=1", "--log-level=error", NULL};
    if (rte_eal_init(11, options) < 0) return 1;
    int16_t device = rte_dma_get_dev_id_by_name("dma_skeleton");
    struct rte_dma_conf configuration = {.nb_vchans = 1};
    struct rte_dma_vchan_conf channel = {.direction = RTE_DMA_DIR_MEM_TO_MEM, .nb_desc = 1024};
    if (device < 0 || rte_dma_configure(device, &configuration) != 0 || rte_dma_vchan_setup(device, 0, &channel) != 0 ||
        rte_dma_start(device) != 0)
        return 2;
    uint8_t *from[DEPTH], *to[DEPTH];
    uint32_t bytes;
    long batches;
    printf("ready\n");
    fflush(stdout);
    while (scanf("%u %ld", &bytes, &batches) == 2) {
        size_t place = (bytes + 63u) & ~(size_t)63;
        uint8_t *memory = aligned_alloc(4096, (2 * DEPTH * place + 4095) & ~(size_t)4095);
        if (memory == NULL) return 3;
        memset(memory, 1, 2 * DEPTH * place);
        for (int i = 0; i < DEPTH; i++) from[i] = memory + i * place, to[i] = memory + (DEPTH + i) * place;
        if (!run(device, to, from, bytes, batches / 10 + 1)) return 4;
        int64_t begin = now();
        if (!run(device, to, from, bytes, batches)) return 4;
        int64_t end = now();
        if (memcmp(to[DEPTH - 1], from[DEPTH - 1], bytes) != 0) return 5;
        printf("%lld\n", (long long)(end - begin));
        fflush(stdout);
        free(memory);
    }
    rte_dma_stop(device);
    rte_eal_cleanup();
    return 0;
}

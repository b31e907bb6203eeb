// SPDX-License-Identifier: Apache-2.0
// dmactl as it is, with one engine more.
//
//   swift run -c release process-memory-dmactl list
//   swift run -c release process-memory-dmactl test --engine process-memory
//   swift run -c release process-memory-dmactl bench --engine process-memory --engine cpu

// snippet: engine-tool
import DMATool
import ProcessMemoryEngine

await DMACtl.main(providers: [ProcessMemoryProvider()])
// end

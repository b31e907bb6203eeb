// SPDX-License-Identifier: Apache-2.0
// dmactl with one more engine.
//
//   swift run -c release process-memory-dmactl list
//   swift run -c release process-memory-dmactl test --engine process-memory
//   swift run -c release process-memory-dmactl bench --engine process-memory --engine cpu

// snippet: engine-tool
import DMATool
import ProcessMemoryEngine

await DMACtl.main(providers: [ProcessMemoryProvider()])
// end

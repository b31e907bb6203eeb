// SPDX-License-Identifier: Apache-2.0
// Checks the engine against the contract, and prints the table.
//
//   swift run process-memory-conformance [SEED]
//   swift run process-memory-conformance --refused    what a user is told where the kernel does not permit the calls
//
// Exit codes: 0 everything that applies passed; 1 something failed; 77 (EX_NOPERM) no engine.

import CProcessMemory
import DMAConformance
import DMADriverKit
import Glibc
import ProcessMemoryContract
import ProcessMemoryEngine

let arguments = CommandLine.arguments.dropFirst()
if arguments.first == "--refused" {
    let errno = process_memory_refuse()
    guard errno == 0 else {
        print("no seccomp filter: errno \(errno)")
        exit(1)
    }
}

do throws(DMAError) {
    _ = try ProcessMemoryEngine()
} catch {
    print("process-memory: \(Refusal(error)?.description ?? error.description)")
    exit(77)
}

let seed = arguments.first.flatMap { UInt64($0) } ?? 1
var isGreen = true
for call in ProcessMemorySettings.Call.allCases {
    let report = await Contract.report(call, seed: seed)
    print(report.table)
    isGreen = isGreen && report.passed && report.counts.notRun == 0
}
exit(isGreen ? 0 : 1)

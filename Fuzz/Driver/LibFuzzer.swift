// SPDX-License-Identifier: Apache-2.0

#if LIBFUZZER
    import DMAFuzz
    import Foundation

    // libFuzzer has the main function, and calls these: https://llvm.org/docs/LibFuzzer.html. Its command line has no room for
    // our arguments, so that an environment variable names the entry.

    private let entry = ProcessInfo.processInfo.environment["DMA_FUZZ_ENTRY"].flatMap { FuzzEntry.named($0) }

    @_cdecl("LLVMFuzzerTestOneInput")
    func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
        guard let entry else {
            FileHandle.standardError.write(Data("DMA_FUZZ_ENTRY names no entry of dma-fuzz list\n".utf8))
            exit(64)
        }
        // SAFETY: libFuzzer lends that many bytes for the call.
        let outcome = unsafe entry.run([UInt8](UnsafeBufferPointer(start: bytes, count: count)))
        guard let failure = outcome.failure else { return 0 }
        // libFuzzer stores the input that ends the process.
        FileHandle.standardError.write(Data("\(entry.name): \(failure), after \(outcome.length) bytes\n".utf8))
        abort()
    }
#endif

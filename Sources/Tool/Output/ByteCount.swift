// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMABench

/// A number of bytes on the command line, as every command takes it: 4096, 64KiB, 1MiB.
struct ByteCount: ExpressibleByArgument, Hashable {
    let bytes: Int

    init(_ bytes: Int) { self.bytes = bytes }

    init?(argument: String) {
        guard let bytes = SizeText.bytes(argument) else { return nil }
        self.bytes = bytes
    }

    var defaultValueDescription: String { SizeText.text(bytes) }
}

// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMAUnits

/// A number of bytes on the command line, as every command takes it: 4096, 64KiB, 1.5MiB.
struct ByteCount: Hashable, CustomStringConvertible {
    let bytes: Int

    init(_ bytes: Int) { self.bytes = bytes }

    /// - Throws: what is wrong with `argument`, and what to write instead.
    init(argument: String) throws {
        do throws(ByteSize.Refusal) {
            bytes = Int(clamping: try ByteSize.parse(argument))
        } catch {
            throw ValidationError("\(error.reason); \(error.cure)")
        }
    }

    var description: String { ByteSize.exact(bytes) }
}

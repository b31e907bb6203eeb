// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACopy

/// What this process was started with.
enum ProcessStart {
    /// The arguments without the program's name. One that is not UTF-8 has the escapes of `CopyPath.text`, from which its bytes can be had:
    /// the parser of the command line knows text alone.
    static var arguments: [String] {
        // SAFETY: the C function gives a string that ends with a zero, or nil, and keeps it as long as the process runs.
        (1..<max(1, Int(cdma_argument_count()))).map { number in
            var bytes: [UInt8] = []
            if var letter = unsafe cdma_argument(Int32(number)) {
                while unsafe letter.pointee != 0 {
                    unsafe bytes.append(UInt8(bitPattern: letter.pointee))
                    unsafe letter += 1
                }
            }
            return CopyPath(bytes: bytes).text
        }
    }

    /// Takes the numbers of standard input, output and error where they are free, before a file gets them: what is read from that file would
    /// be taken for standard input, and what is printed would be written into it.
    ///
    /// - Returns: whether they are all taken.
    static func fillStandardDescriptors() -> Bool { cdma_fill_standard_descriptors() == 0 }
}

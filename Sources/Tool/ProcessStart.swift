// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMACopy
internal import Glibc

/// What this process was started with.
enum ProcessStart {
    /// Whether /proc is mounted.
    // SAFETY: the path is read to its zero, and not kept.
    static let hasProc = unsafe access("/proc/self/cmdline", R_OK) == 0

    /// The program's name, without its folder.
    static var program: String { words(from: 0).first?.split(separator: "/").last.map(String.init) ?? "dmactl" }

    /// The arguments without the program's name.
    static var arguments: [String] { words(from: 1) }

    /// The words from `first` on that the program was started with, by the C library: Swift looks for them in /proc. One that is not UTF-8 has
    /// the escapes of `CopyPath.text`, from which its bytes can be had: the parser of the command line knows text alone.
    private static func words(from first: Int) -> [String] {
        // SAFETY: the C function gives a string that ends with a zero, or nil, and keeps it as long as the process runs.
        (first..<max(first, Int(cdma_argument_count()))).map { number in
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

// SPDX-License-Identifier: Apache-2.0

/// Numbers of bytes as people write them: 64, 4KiB, "1 MiB", 1.5MiB. Powers of 1024 are named so; kB, MB and GB are powers of
/// 1000.
package enum SizeText {
    /// What is accepted.
    package static let allowed = "bytes, or a number with KiB, MiB, GiB (powers of 1024) or kB, MB, GB (powers of 1000)"

    private static let units: [(String, Double)] = [
        ("kib", 1024), ("mib", 1_048_576), ("gib", 1_073_741_824), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9), ("b", 1), ("", 1),
    ]

    /// The number of bytes; nil for what is none, is no whole number of bytes, or has more than 62 bits.
    package static func bytes(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let unit = text.dropFirst(digits.count).drop { $0 == " " }.lowercased()
        guard let value = Double(digits), let factor = units.first(where: { $0.0 == unit })?.1 else { return nil }
        let product = value * factor
        guard product >= 0, product < 0x1p62, product == product.rounded() else { return nil }
        return Int(product)
    }

    /// In the largest binary unit that leaves a whole number: "64 KiB", "1500 B".
    package static func text(_ bytes: Int) -> String {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] where bytes != 0 && bytes & ((1 << shift) - 1) == 0 {
            return "\(bytes >> shift) \(unit)"
        }
        return "\(bytes) B"
    }
}

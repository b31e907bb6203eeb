// SPDX-License-Identifier: Apache-2.0

/// Numbers of bytes as people write and read them.
package enum ByteSize {
    /// The units that are understood, and what each stands for.
    static let units: [(name: String, bytes: UInt64)] = [
        ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("PiB", 1 << 50), ("kB", 1000),
        ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
    ]

    /// Reads `4096`, `64KiB`, `10GB`: a whole number and a unit, with or without a space between. No unit means bytes.
    ///
    /// - Parameters:
    ///   - text: what somebody wrote.
    ///   - subject: where it stands, for the error.
    /// - Throws: `badSize`, which says what is understood. A bare K, M or G is refused, because tools disagree on it.
    package static func parse(_ text: String, for subject: String) throws(CopyFailure) -> UInt64 {
        func refuse(_ possible: String, _ cure: String) -> CopyFailure {
            CopyFailure(.badSize, subject, asked: "take \"\(CopyFailure.quoted(text))\" as", possible: possible, cure: cure)
        }
        let digits = text.prefix { $0 >= "0" && $0 <= "9" }
        var unit = text.dropFirst(digits.count)
        if unit.first == " " { unit = unit.dropFirst() }
        guard !digits.isEmpty else {
            throw refuse("it is no whole number with or without a unit", "64KiB, 10GB or 4096")
        }
        guard let number = UInt64(digits) else {
            throw refuse("the number is not below 2^64", "a smaller number, or a larger unit")
        }
        guard let factor = unit.isEmpty ? 1 : units.first(where: { $0.name == unit })?.bytes else {
            let letter = unit.prefix(1).uppercased()
            if ["K", "M", "G", "T", "P"].contains(letter), unit.count <= 3 {
                let decimal = (letter == "K" ? "k" : letter) + "B"
                throw refuse(
                    "the unit may be \(letter)iB (powers of 1024) or \(decimal) (powers of 1000)",
                    "write \(digits)\(letter)iB or \(digits)\(decimal)"
                )
            }
            throw refuse("no such unit", "B, KiB, MiB, GiB, TiB, PiB, kB, MB, GB or TB")
        }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
        guard !overflow, bytes <= UInt64(Int64.max) else { throw refuse("a size is less than 8 EiB", "a smaller one") }
        return bytes
    }

    /// A rate in bytes a second, whatever came of a division: a hole of exabytes is skipped in no time.
    package static func text(rate: Double) -> String { text(rate > 0 ? UInt64(min(rate, 1e18)) : 0) + "/s" }

    /// In the binary unit that leaves it at least 1, with one decimal where it is not whole.
    package static func text(_ bytes: UInt64) -> String {
        var unit = 0
        var divisor: UInt64 = 1
        while unit < 5, bytes / divisor >= 1024 {
            divisor <<= 10
            unit += 1
        }
        let names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
        if bytes % divisor == 0 { return "\(bytes / divisor) \(names[unit])" }
        let tenths = UInt64((Double(bytes) / Double(divisor) * 10).rounded())
        // What would be rounded to 1024.0 is 1.0 of the next unit.
        if tenths == 10_240, unit < 5 { return "1.0 \(names[unit + 1])" }
        return "\(tenths / 10).\(tenths % 10) \(names[unit])"
    }
}

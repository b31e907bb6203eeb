// SPDX-License-Identifier: Apache-2.0

/// Numbers of bytes as text: the one grammar of the command line, of endpoints, of plans and of configuration files.
package enum ByteSize {
    /// Why a text is no size.
    package struct Refusal: Error, Equatable, Sendable {
        /// What is wrong with it, as it follows the text and a colon.
        package let reason: String
        /// What to write instead.
        package let cure: String
    }

    /// What is understood, for messages that list it.
    package static let allowed =
        "bytes, or a number with KiB, MiB, GiB, TiB, PiB (powers of 1024) or kB, MB, GB, TB, PB (powers of 1000)"

    /// Units in lower case, as they are compared.
    private static let units: [(name: String, bytes: UInt64)] = [
        ("b", 1), ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("tib", 1 << 40), ("pib", 1 << 50), ("kb", 1000),
        ("mb", 1_000_000), ("gb", 1_000_000_000), ("tb", 1_000_000_000_000), ("pb", 1_000_000_000_000_000),
    ]

    /// Reads `4096`, `64KiB`, `1.5 MiB`, `10GB`: a decimal number and a unit in any case, with at most one space between. No unit means bytes.
    ///
    /// A bare K, M or G is refused, because tools disagree on its meaning; so is a fraction that is no whole number of bytes.
    ///
    /// - Throws: a ``Refusal`` for anything else, and for 2^63 bytes or more.
    package static func parse(_ text: String) throws(Refusal) -> UInt64 {
        let number = text.prefix { ("0"..."9").contains($0) || $0 == "." }
        var unit = text.dropFirst(number.count)
        if unit.first == " " { unit = unit.dropFirst() }
        guard let factor = unit.isEmpty ? 1 : units.first(where: { $0.name == unit.lowercased() })?.bytes else {
            throw refusal(ofUnit: unit, after: number)
        }
        // A space with nothing behind it is half of a size.
        guard !unit.isEmpty || number.count == text.count else {
            throw Refusal(reason: "no unit follows the space", cure: examples)
        }
        let bytes = try product(number, factor)
        guard bytes <= UInt64(Int64.max) else { throw Refusal(reason: "it is 8 EiB or more", cure: "use a smaller size") }
        return bytes
    }

    /// Parses a size; nil if the text is none, or the size is outside of `range`.
    package static func parse(_ text: String, in range: ClosedRange<Int>) -> Int? {
        guard let bytes = try? parse(text), let count = Int(exactly: bytes), range.contains(count) else { return nil }
        return count
    }

    private static let examples = "write it like 64KiB, 1.5MiB, 10GB or 4096"

    /// `number`, which consists of digits and points, times `factor`, exactly.
    private static func product(_ number: Substring, _ factor: UInt64) throws(Refusal) -> UInt64 {
        let parts = number.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        var fraction = parts.count > 1 ? parts[1] : ""
        guard let whole = parts.first, !whole.isEmpty, !fraction.contains("."), parts.count == 1 || !fraction.isEmpty else {
            throw Refusal(reason: "it is no decimal number with or without a unit", cure: examples)
        }
        while fraction.last == "0" { fraction.removeLast() }
        let tooLarge = Refusal(reason: "it is 8 EiB or more", cure: "use a smaller size")
        guard let integer = UInt64(whole) else { throw tooLarge }
        let (bytes, overflow) = integer.multipliedReportingOverflow(by: factor)
        guard !overflow else { throw tooLarge }
        guard !fraction.isEmpty else { return bytes }
        let inexact = Refusal(reason: "it is no whole number of bytes", cure: "use a smaller unit")
        // 10^18 is the largest power of ten that is no larger than any unit's number of bytes times what a fraction may need.
        guard fraction.count <= 18, let numerator = UInt64(fraction) else { throw inexact }
        let denominator = (0..<fraction.count).reduce(UInt64(1)) { power, _ in power * 10 }
        let (quotient, remainder) = denominator.dividingFullWidth(numerator.multipliedFullWidth(by: factor))
        guard remainder == 0 else { throw inexact }
        // The fraction is below one unit, and the whole units are below 2^64.
        let (sum, carry) = bytes.addingReportingOverflow(quotient)
        guard !carry else { throw tooLarge }
        return sum
    }

    private static func refusal(ofUnit unit: Substring, after number: Substring) -> Refusal {
        guard !number.isEmpty else { return Refusal(reason: "it is no decimal number with or without a unit", cure: examples) }
        let letter = unit.prefix(1).uppercased()
        guard ["K", "M", "G", "T", "P"].contains(letter), unit.count <= 2 else {
            return Refusal(
                reason: "the unit is unknown", cure: "use B, KiB, MiB, GiB, TiB, PiB, kB, MB, GB, TB or PB")
        }
        let decimal = (letter == "K" ? "k" : letter) + "B"
        return Refusal(
            reason: "the unit may mean \(letter)iB (powers of 1024) or \(decimal) (powers of 1000)",
            cure: "write \(number)\(letter)iB or \(number)\(decimal)")
    }
}

extension ByteSize {
    private static let binaryUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]

    /// A rate in bytes a second. Infinite and negative ones, which a division by a measured time may give, are clamped.
    package static func text(rate: Double) -> String { text(rate > 0 ? UInt64(min(rate, 1e18)) : 0) + "/s" }

    /// A whole number of bytes a second in the largest unit, of powers of 1000 or else of 1024, that leaves a whole number: "100 MB/s".
    package static func exactRate(_ rate: Int) -> String {
        let decimal = units.reversed().first { rate > 0 && $0.bytes % 10 == 0 && UInt64(clamping: rate) % $0.bytes == 0 }
        guard let decimal else { return exact(rate) + "/s" }
        let letter = decimal.name.first.map { $0 == "k" ? "k" : $0.uppercased() } ?? ""
        return "\(UInt64(clamping: rate) / decimal.bytes) \(letter)B/s"
    }

    /// In the binary unit that leaves it at least 1, with one decimal where it is not whole: "1.5 KiB".
    package static func text(_ bytes: UInt64) -> String {
        var unit = 0
        var divisor: UInt64 = 1
        while unit < 5, bytes / divisor >= 1024 {
            divisor <<= 10
            unit += 1
        }
        if bytes % divisor == 0 { return "\(bytes / divisor) \(binaryUnits[unit])" }
        let tenths = UInt64((Double(bytes) / Double(divisor) * 10).rounded())
        // What would be rounded to 1024.0 is 1.0 of the next unit.
        if tenths == 10_240, unit < 5 { return "1.0 \(binaryUnits[unit + 1])" }
        return "\(tenths / 10).\(tenths % 10) \(binaryUnits[unit])"
    }

    /// Without rounding, in the largest binary unit up to GiB that leaves a whole number: "64 KiB", "1500 B". ``parse(_:)`` reads it back.
    package static func exact(_ bytes: Int) -> String {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] where bytes != 0 && bytes & ((1 << shift) - 1) == 0 {
            return "\(bytes >> shift) \(unit)"
        }
        return "\(bytes) B"
    }
}

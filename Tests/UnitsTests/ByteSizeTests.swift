// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DMAUnits

@Suite("Numbers of bytes as text")
struct ByteSizeTests {
    @Test("numbers with and without units, and fractions that are whole numbers of bytes")
    func sizes() throws {
        let cases: [(String, UInt64)] = [
            ("0", 0), ("4096", 4096), ("1B", 1), ("64KiB", 65_536), ("64 KiB", 65_536), ("4 kib", 4096), ("2 GIB", 2 << 30),
            ("1MiB", 1 << 20), ("10GB", 10_000_000_000), ("3kB", 3000), ("3KB", 3000), ("5MB", 5_000_000),
            ("6TB", 6_000_000_000_000), ("4GiB", 4 << 30), ("2TiB", 2 << 40), ("7PiB", 7 << 50), ("2PB", 2_000_000_000_000_000),
            ("1.5MiB", 1_572_864), ("1.50MiB", 1_572_864), ("0.5KiB", 512), ("1.0009765625KiB", 1025), ("1.001kB", 1001),
            ("0.000000000000001PB", 1), ("9223372036854775807", UInt64(Int64.max)),
            ("9223372036854775807 B", UInt64(Int64.max)),
            ("7.5 PiB", 15 << 49),
        ]
        for (text, bytes) in cases { #expect(try ByteSize.parse(text) == bytes, "\(text)") }
    }

    @Test(
        "a text that is no size is refused with a cure",
        arguments: [
            "", "KiB", "-1", "+1", "1K", "1m", "1Gi", "12XB", "99999999999999999999", "8EiB", "9000PiB", "0x10", "1 KiB ", "1 ",
            "1  KiB", "１", "1.0001KiB", "1.5", "1.5B", ".5KiB", "1.KiB", "1.5.1KiB", "1e3", "1,5KiB", "9223372036854775808",
            "18446744073709551615B", "18446744073709551616", "8192.5PiB", "1.0000000000000000000000001KiB",
            "0.0000000000000001PB",
        ])
    func noSizes(text: String) {
        #expect { try ByteSize.parse(text) } throws: { error in
            guard let refusal = error as? ByteSize.Refusal else { return false }
            return !refusal.reason.isEmpty && !refusal.cure.isEmpty
        }
    }

    @Test(
        "a bare letter is answered with both readings",
        arguments: [("4K", "write 4KiB or 4kB"), ("1.5gi", "write 1.5GiB or 1.5GB")])
    func bareLetter(text: String, cure: String) {
        #expect(throws: ByteSize.Refusal(reason: reason(text), cure: cure)) { try ByteSize.parse(text) }
    }

    private func reason(_ text: String) -> String {
        text == "4K"
            ? "the unit may mean KiB (powers of 1024) or kB (powers of 1000)"
            : "the unit may mean GiB (powers of 1024) or GB (powers of 1000)"
    }

    @Test("a range leaves out what lies beyond it")
    func range() {
        #expect(ByteSize.parse("4KiB", in: 1...4096) == 4096)
        #expect(ByteSize.parse("4097", in: 1...4096) == nil && ByteSize.parse("0", in: 1...4096) == nil)
        #expect(ByteSize.parse("4K", in: 1...4096) == nil)
    }

    @Test("sizes as text")
    func texts() {
        #expect(ByteSize.text(0) == "0 B" && ByteSize.text(1023) == "1023 B" && ByteSize.text(1024) == "1 KiB")
        #expect(ByteSize.text(1536) == "1.5 KiB" && ByteSize.text(20 << 40) == "20 TiB")
        #expect(ByteSize.text((1 << 20) - 1) == "1.0 MiB" && ByteSize.text((1 << 20) - 60) == "1023.9 KiB")
        #expect(ByteSize.text(.max) == "16384.0 PiB")
        for rate in [Double.infinity, .nan, -1, 1e30, 0, 5] { #expect(ByteSize.text(rate: rate).hasSuffix("/s")) }
    }

    @Test("whole rates, in the unit that they were most likely given in")
    func rates() {
        let cases = [
            (0, "0 B/s"), (1, "1 B/s"), (1000, "1 kB/s"), (100_000_000, "100 MB/s"), (1 << 30, "1 GiB/s"),
            (1_500_000, "1500 kB/s"),
            (20_000_000_000, "20 GB/s"), (4096, "4 KiB/s"), (-5, "-5 B/s"),
        ]
        for (rate, text) in cases { #expect(ByteSize.exactRate(rate) == text) }
    }

    @Test("exact text is read back as the same number")
    func exact() throws {
        #expect([0, 1536, 65_536, 3 << 20, 5 << 30].map(ByteSize.exact) == ["0 B", "1536 B", "64 KiB", "3 MiB", "5 GiB"])
        for bytes in [0, 1, 64, 1000, 1024, 1536, 1 << 20, 3 << 20, 1 << 30, (1 << 40) + 1] {
            #expect(try ByteSize.parse(ByteSize.exact(bytes)) == UInt64(bytes))
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

// The policy's form in a file: a line for each entry, blank lines and comments between them.
//
//   # the network card, in whichever slot
//   trust 8086:1521
//   # whatever is in this slot
//   trust 0000:03:00.0
//   # this card in this slot
//   trust 144d:a808 0000:04:00.0
//   # no IOMMU in this machine; the rest of the line is why it may be
//   waive 0000:04:00.0 a laboratory machine without foreign data
//
// A text without `trust` trusts any device; `trust none` trusts no device at all.

extension DevicePolicy {
    /// Why a text is no policy.
    public struct Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// Counted from 1; 0 where the whole is meant.
        public let line: Int
        /// What is wrong there.
        public let reason: String
        /// What to change.
        public let cure: String

        /// A failure at a line.
        package init(line: Int, _ reason: String, cure: String) {
            self.line = line
            self.reason = reason
            self.cure = cure
        }

        public var description: String { (line > 0 ? "line \(line): " : "") + "\(reason). Cure: \(cure)" }
    }

    /// Bytes of a text, at most.
    package static let mostBytes = 65_536
    /// Entries of a text, at most.
    package static let mostEntries = 1024
    /// Bytes of a waiver's reason, at most.
    package static let mostInReason = 400
    /// Bytes of a line, at most.
    package static let mostInLine = 512

    /// Reads a policy. Each line is `trust ID`, `trust SLOT`, `trust ID SLOT`, `trust none` or `waive SLOT REASON`; ID is vendor:device in
    /// four hexadecimal digits each, SLOT a PCI address; a line that begins with # is a comment.
    ///
    /// - Parameter bytes: UTF-8 without control characters but tabs and ends of lines; 64 KiB at most, lines of 512 bytes, 1,024 entries.
    /// - Throws: what is wrong, with the line.
    public init(parsing bytes: [UInt8]) throws(Failure) {
        self.init()
        guard bytes.count <= Self.mostBytes else {
            throw Failure(line: 0, "a policy of \(bytes.count) bytes", cure: "keep it to \(Self.mostBytes) bytes")
        }
        var entries = 0
        var lines: [Entry: Int] = [:]
        for (index, raw) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            let line = index + 1
            let content = raw.last == UInt8(ascii: "\r") ? raw.dropLast() : raw
            guard content.count <= Self.mostInLine else {
                throw Failure(line: line, "a line of \(content.count) bytes", cure: "keep a line to \(Self.mostInLine) bytes")
            }
            guard content.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == UInt8(ascii: "\t") }),
                let text = String(validating: content, as: UTF8.self), !text.unicodeScalars.contains(where: Self.isHidden)
            else {
                throw Failure(
                    line: line, "a control character, or bytes that are no UTF-8", cure: "write plain text in UTF-8")
            }
            let words = text.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard let verb = words.first, !verb.hasPrefix("#") else { continue }
            entries += 1
            guard entries <= Self.mostEntries else {
                throw Failure(line: line, "more than \(Self.mostEntries) entries", cure: "trust IDs instead of single slots")
            }
            let entry = try Self.entry(verb, words.dropFirst(), line)
            if let earlier = lines[entry] {
                throw Failure(line: line, "the same as line \(earlier)", cure: "remove one of the two")
            }
            lines[entry] = line
            try add(entry, words, line, lines)
        }
    }

    /// What an entry is about; two of the same are a mistake.
    private enum Entry: Hashable {
        case trustNone
        case trust(Match)
        case waive(DeviceSlot)
    }

    private static func entry(_ verb: Substring, _ words: ArraySlice<Substring>, _ line: Int) throws(Failure) -> Entry {
        let cure = "write trust ID, trust SLOT, trust ID SLOT, trust none or waive SLOT REASON"
        switch verb {
        case "trust":
            guard let first = words.first, words.count <= 2 else {
                throw Failure(line: line, "trust with \(words.count) words behind it", cure: cure)
            }
            if first == "none", words.count == 1 { return .trustNone }
            if let slot = DeviceSlot(first), words.count == 1 { return .trust(Match(slot)) }
            guard let id = ID(first) else {
                throw Failure(line: line, "\"\(first)\" is neither an ID (8086:1521) nor a slot (0000:03:00.0)", cure: cure)
            }
            guard let second = words.dropFirst().first else { return .trust(Match(id)) }
            guard let slot = DeviceSlot(second) else {
                throw Failure(line: line, "\"\(second)\" is no slot (0000:03:00.0)", cure: cure)
            }
            return .trust(Match(id, in: slot))
        case "waive":
            guard let first = words.first, let slot = DeviceSlot(first) else {
                throw Failure(
                    line: line, "a waiver that names no slot (0000:03:00.0): an ID is no name of one device", cure: cure)
            }
            guard words.count > 1 else {
                throw Failure(
                    line: line, "a waiver without a reason", cure: "write behind the slot why it may go without an IOMMU")
            }
            return .waive(slot)
        default: throw Failure(line: line, "\"\(verb)\" is no entry of a policy", cure: cure)
        }
    }

    private mutating func add(
        _ entry: Entry, _ words: [Substring], _ line: Int, _ lines: [Entry: Int]
    ) throws(Failure) {
        switch entry {
        case .trustNone: trusted = trusted ?? []
        case .trust(let match): trusted = (trusted ?? []) + [match]
        case .waive(let slot):
            let reason = words.dropFirst(2).joined(separator: " ")
            guard reason.utf8.count <= Self.mostInReason else {
                throw Failure(
                    line: line, "a reason of \(reason.utf8.count) bytes", cure: "keep it to \(Self.mostInReason) bytes")
            }
            waivers.append(Waiver(slot, reason: reason))
        }
        if let none = lines[.trustNone], !(trusted ?? []).isEmpty {
            throw Failure(line: line, "trust none in line \(none), and a trusted device", cure: "remove one of the two")
        }
    }

    /// What changes how the text around it is shown: marks of direction and lines, and the second range of controls.
    static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control: scalar != "\t"
        case .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }

    /// The policy as a text that reads as the same policy.
    package var text: String {
        var lines: [String] = []
        if let trusted {
            if trusted.isEmpty { lines.append("trust none") }
            for match in trusted {
                let words = [match.id.map(\.text), match.slot.map(\.description)].compactMap { $0 }
                lines.append("trust " + words.joined(separator: " "))
            }
        }
        for waiver in waivers { lines.append("waive \(waiver.slot) \(waiver.reason)") }
        return lines.map { $0 + "\n" }.joined()
    }
}

extension DevicePolicy.ID {
    /// "8086:1521"; nil for any other text.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let vendor = DeviceSlot.number(parts[0], 4...4), let device = DeviceSlot.number(parts[1], 4...4)
        else { return nil }
        self.init(vendor: UInt16(truncatingIfNeeded: vendor), device: UInt16(truncatingIfNeeded: device))
    }

    var text: String { "\(hexadecimal(vendor, 4)):\(hexadecimal(device, 4))" }
}

// SPDX-License-Identifier: Apache-2.0

// The policy's text format: a line for each entry; blank lines and comments are permitted.
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
    /// The reason why a text is not a valid policy.
    public struct Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// Counted from 1; 0 for the text as a whole.
        public let line: Int
        /// What is wrong.
        public let reason: String
        /// What to change.
        public let cure: String

        /// A failure in a line.
        package init(line: Int, _ reason: String, cure: String) {
            self.line = line
            self.reason = reason
            self.cure = cure
        }

        public var description: String { (line > 0 ? "line \(line): " : "") + "\(reason). Cure: \(cure)" }
    }

    /// The maximum size of a text, in bytes.
    package static let mostBytes = 65_536
    /// The maximum number of entries.
    package static let mostEntries = 1024
    /// The maximum length of a waiver's reason, in bytes.
    package static let mostInReason = 400
    /// The maximum length of a line, in bytes.
    package static let mostInLine = 512

    /// Reads a policy. Each line is `trust ID`, `trust SLOT`, `trust ID SLOT`, `trust none` or `waive SLOT REASON`; ID is vendor:device in
    /// four hexadecimal digits each, SLOT a PCI address; a line that begins with # is a comment.
    ///
    /// - Parameter bytes: UTF-8 without control characters except tabs and line ends; at most 64 KiB, 512 bytes per line, 1,024
    ///   entries.
    /// - Throws: the error, with its line.
    public init(parsing bytes: [UInt8]) throws(Failure) {
        self.init()
        guard bytes.count <= Self.mostBytes else {
            throw Failure(line: 0, "the policy has \(bytes.count) bytes, more than \(Self.mostBytes)", cure: "shorten it")
        }
        var entries = 0
        var lines: [Entry: Int] = [:]
        for (index, raw) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            let line = index + 1
            let content = raw.last == UInt8(ascii: "\r") ? raw.dropLast() : raw
            guard content.count <= Self.mostInLine else {
                throw Failure(
                    line: line, "the line has \(content.count) bytes, more than \(Self.mostInLine)", cure: "shorten it")
            }
            guard content.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == UInt8(ascii: "\t") }),
                let text = String(validating: content, as: UTF8.self), !text.unicodeScalars.contains(where: Self.isHidden)
            else {
                throw Failure(
                    line: line, "a control character, or bytes that are not UTF-8", cure: "write plain text in UTF-8")
            }
            let words = text.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard let verb = words.first, !verb.hasPrefix("#") else { continue }
            entries += 1
            guard entries <= Self.mostEntries else {
                throw Failure(line: line, "more than \(Self.mostEntries) entries", cure: "trust IDs instead of single slots")
            }
            let entry = try Self.entry(verb, words.dropFirst(), line)
            if let earlier = lines[entry] {
                throw Failure(line: line, "the line repeats line \(earlier)", cure: "remove one of the two")
            }
            lines[entry] = line
            try add(entry, words, line, lines)
        }
    }

    /// The subject of an entry; two entries with the same are a mistake.
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
                throw Failure(line: line, "trust is followed by \(words.count) words, not by 1 or 2", cure: cure)
            }
            if first == "none", words.count == 1 { return .trustNone }
            if let slot = DeviceSlot(first), words.count == 1 { return .trust(Match(slot)) }
            guard let id = ID(first) else {
                throw Failure(line: line, "\"\(first)\" is neither an ID (8086:1521) nor a slot (0000:03:00.0)", cure: cure)
            }
            guard let second = words.dropFirst().first else { return .trust(Match(id)) }
            guard let slot = DeviceSlot(second) else {
                throw Failure(line: line, "\"\(second)\" is not a slot (0000:03:00.0)", cure: cure)
            }
            return .trust(Match(id, in: slot))
        case "waive":
            guard let first = words.first, let slot = DeviceSlot(first) else {
                throw Failure(
                    line: line, "a waiver must name a slot (0000:03:00.0), because an ID may match several devices", cure: cure)
            }
            guard words.count > 1 else {
                throw Failure(
                    line: line, "a waiver without a reason", cure: "write the reason after the slot")
            }
            return .waive(slot)
        default: throw Failure(line: line, "\"\(verb)\" is not an entry of a policy", cure: cure)
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
                    line: line, "the reason has \(reason.utf8.count) bytes, more than \(Self.mostInReason)", cure: "shorten it")
            }
            waivers.append(Waiver(slot, reason: reason))
        }
        if let none = lines[.trustNone], !(trusted ?? []).isEmpty {
            throw Failure(
                line: line, "line \(none) says trust none, but another line trusts a device", cure: "remove one of the two")
        }
    }

    /// Characters that change how the surrounding text is displayed: direction marks, line separators, and C1 control
    /// characters.
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

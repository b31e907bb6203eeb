// SPDX-License-Identifier: Apache-2.0

internal import DMAUnits
internal import Yams

/// A place in a configuration file, asked for what it must hold.
struct ConfigurationNode {
    private let node: Node
    private let file: String
    /// What errors call it: the key it stands under.
    private let name: String

    init(_ node: Node, _ file: String, _ name: String) {
        self.node = node
        self.file = file
        self.name = name
    }

    func problem(_ problem: String, _ allowed: String) -> ConfigurationError {
        ConfigurationError(
            file: file, line: node.mark?.line ?? 1, column: node.mark?.column ?? 1, problem: problem, allowed: allowed)
    }

    private var kind: String {
        switch node {
        case .mapping: "keys with values"
        case .sequence: "a list"
        default: "\"\(node.scalar?.string ?? "")\""
        }
    }

    private func wrong(_ allowed: String) -> ConfigurationError { problem("\(name) is \(kind)", allowed) }

    // MARK: Keys and lists

    /// This place, which has keys, and no others than these.
    func mapping(_ allowed: [String]) throws(ConfigurationError) -> ConfigurationNode {
        guard let mapping = node.mapping else { throw wrong("keys with values: " + allowed.joined(separator: ", ")) }
        for (key, _) in mapping {
            guard let text = key.scalar?.string, allowed.contains(text) else {
                throw ConfigurationNode(key, file, name).problem(
                    "\(name) has no key \"\(key.scalar?.string ?? "…")\"", allowed.joined(separator: ", "))
            }
        }
        return self
    }

    subscript(_ key: String) -> ConfigurationNode? { node.mapping?[key].map { ConfigurationNode($0, file, key) } }

    func list() throws(ConfigurationError) -> [ConfigurationNode] {
        guard let sequence = node.sequence else { throw wrong("a list") }
        return sequence.map { ConfigurationNode($0, file, name) }
    }

    /// One value, or a list of at least one, without repetition.
    func each<Value: Hashable>(
        _ read: (ConfigurationNode) throws(ConfigurationError) -> Value
    ) throws(ConfigurationError) -> [Value] {
        guard node.sequence != nil else { return [try read(self)] }
        var values: [Value] = []
        for item in try list() {
            let value = try read(item)
            guard !values.contains(value) else { throw item.problem("\(item.kind) stands in \(name) twice", "each value once") }
            values.append(value)
        }
        guard !values.isEmpty else { throw problem("\(name) is an empty list", "one value or more") }
        return values
    }

    // MARK: Single values

    func text() throws(ConfigurationError) -> String {
        guard let text = node.scalar?.string, !text.isEmpty, text.count <= 200, !text.hasControls else {
            throw wrong("a text of 1 to 200 characters, without control characters")
        }
        return text
    }

    func path() throws(ConfigurationError) -> String {
        guard let text = node.scalar?.string, !text.isEmpty, text.utf8.count < 4096, !text.hasControls else {
            throw wrong("a path of less than 4096 bytes, without control characters")
        }
        return text
    }

    func boolean() throws(ConfigurationError) -> Bool {
        switch node.scalar?.string {
        case "true": return true
        case "false": return false
        default: throw wrong("true or false")
        }
    }

    func integer(_ range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
        guard let text = node.scalar?.string, let value = Int(text), range.contains(value) else {
            throw wrong("\(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    func number(_ range: ClosedRange<Double>) throws(ConfigurationError) -> Double {
        guard let text = node.scalar?.string, let value = Double(text), range.contains(value) else {
            throw wrong("\(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    func bytes(_ range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
        guard let text = node.scalar?.string, let value = ByteSize.parse(text, in: range) else {
            throw wrong("\(ByteSize.exact(range.lowerBound)) to \(ByteSize.exact(range.upperBound)), as \(ByteSize.allowed)")
        }
        return value
    }

    func choice<Value: RawRepresentable & Hashable>(_ values: [Value]) throws(ConfigurationError) -> Value
    where Value.RawValue == String {
        guard let text = node.scalar?.string, let value = Value(rawValue: text), values.contains(value) else {
            throw wrong(values.map(\.rawValue).joined(separator: ", "))
        }
        return value
    }

    // MARK: Sweeps

    /// One number, a list of them, or all from one to another by a step.
    func sweep(_ range: ClosedRange<Int>, isBytes: Bool = false) throws(ConfigurationError) -> [Int] {
        func read(_ node: ConfigurationNode) throws(ConfigurationError) -> Int {
            isBytes ? try node.bytes(range) : try node.integer(range)
        }
        guard node.mapping != nil else { return try each(read) }
        let keys = try mapping(["from", "to", "times", "plus"])
        guard let from = keys["from"], let to = keys["to"] else {
            throw problem("\(name) has no from and to", "from, to, and times or plus")
        }
        let (first, last) = (try read(from), try read(to))
        guard first <= last else { throw from.problem("from lies above to", "at most \(last)") }
        var values = [first]
        switch (keys["times"], keys["plus"]) {
        case (let times?, nil):
            let factor = try times.number(1.01...1_000_000)
            while let value = values.last, value < last, Double(value) * factor <= Double(last), values.count <= 1000 {
                // A small factor may not change a small number: then it goes up by 1.
                values.append(max(Int((Double(value) * factor).rounded()), value + 1))
            }
        case (nil, let plus?):
            let step = isBytes ? try plus.bytes(1...range.upperBound) : try plus.integer(1...range.upperBound)
            while let value = values.last, value + step <= last {
                values.append(value + step)
                guard values.count <= 1000 else { break }
            }
        default: throw problem("\(name) has no step, or two", "times: FACTOR, or plus: STEP")
        }
        guard values.count <= 1000 else { throw problem("\(name) has more than 1000 values", "a larger step") }
        return values
    }
}

// SPDX-License-Identifier: Apache-2.0

// Option sets print the names of their members.

extension OperationSet: CustomStringConvertible {
    public var description: String {
        let names = kinds.map { "\($0)" }
        return names.isEmpty ? "none" : names.joined(separator: ", ")
    }
}

extension DescriptorFlags: CustomStringConvertible {
    public var description: String {
        let all: [(DescriptorFlags, String)] = [
            (.fence, "fence"), (.interrupt, "interrupt"), (.reuse, "reuse"), (.continue, "continue"), (.disableP, "disableP"),
            (.disableQ, "disableQ"),
        ]
        let known = all.reduce(into: DescriptorFlags()) { $0.insert($1.0) }
        var names = all.filter { contains($0.0) }.map(\.1)
        let rest = subtracting(known).rawValue
        if rest != 0 { names.append("0x" + String(rest, radix: 16)) }
        return names.isEmpty ? "none" : names.joined(separator: ", ")
    }
}

extension ValidationResult: CustomStringConvertible {
    public var description: String {
        switch (contains(.pFailed), contains(.qFailed)) {
        case (false, false): "right"
        case (true, false): "P is wrong"
        case (false, true): "Q is wrong"
        case (true, true): "P and Q are wrong"
        }
    }
}

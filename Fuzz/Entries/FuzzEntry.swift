// SPDX-License-Identifier: Apache-2.0

/// A fuzz target: a function of bytes that must neither trap nor report a failure, whatever the bytes are.
public struct FuzzEntry: Sendable {
    /// The outcome of one input.
    public struct Outcome: Sendable {
        /// The failure; nil for none.
        public var failure: String?
        /// Bytes of the input that were read until then.
        public var length: Int
        /// Steps of a program, or 1 for any other input.
        public var steps: Int
    }

    /// Its name on a command line, and its corpus directory.
    public let name: String
    /// The maximum useful length of an input, in bytes.
    public let length: Int
    /// Whether any bytes are a valid program: random ones are then as useful as mutations of the corpus.
    public let isProgram: Bool
    /// Runs one input.
    public let run: @Sendable ([UInt8]) -> Outcome

    /// The entry of that name.
    public static func named(_ name: String) -> FuzzEntry? { all.first { $0.name == name } }

    /// Random programs over the public interface.
    static let channels = FuzzEntry(name: "channels", length: 1500, isProgram: true) { bytes in
        let outcome = ChannelProgram.run(bytes)
        return Outcome(failure: outcome.failure?.description, length: outcome.length, steps: outcome.steps)
    }

    /// Random programs over a table of foreign memory.
    static let foreign = FuzzEntry(name: "foreign", length: 1500, isProgram: true) { bytes in ForeignProgram.run(bytes) }

    /// An entry that can only find traps.
    init(parser name: String, length: Int = 4096, _ parse: @escaping @Sendable ([UInt8]) -> String?) {
        self.init(name: name, length: length, isProgram: false) { bytes in
            Outcome(failure: parse(bytes), length: bytes.count, steps: 1)
        }
    }

    init(name: String, length: Int, isProgram: Bool, run: @escaping @Sendable ([UInt8]) -> Outcome) {
        self.name = name
        self.length = length
        self.isProgram = isProgram
        self.run = run
    }
}

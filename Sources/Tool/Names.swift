// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMA
import DMACore

/// Names on the command line, checked before anything runs.
enum Names {
    static var engines: [String] { ToolSystem.forNames.engines.map(\.offer.name) }
    static var channels: [String] { ToolSystem.forNames.engines.flatMap(\.channelNames) }
    static var operations: [String] { OperationKind.allCases.map { "\($0)" } }

    /// - Throws: what is wrong, and which names there are.
    static func checkEngines(_ names: [String]) throws {
        guard !names.isEmpty else { return }
        let engines = engines
        for name in names where !engines.contains(name) {
            // Opened when the command runs.
            if try NamedDevices.isAddress(name) { continue }
            throw ValidationError("no engine is called \"\(name)\"; there are \(engines.joined(separator: ", "))")
        }
    }

    static func checkOperations(_ names: [String]) throws {
        for name in names where OperationKind(name: name) == nil {
            throw ValidationError("no operation is called \"\(name)\"; there are \(operations.joined(separator: ", "))")
        }
    }
}

extension CommandLine {
    /// What was called, for reports: the program without its folder, then the arguments.
    static var shown: [String] {
        [ProcessStart.program] + ProcessStart.arguments
    }
}

// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMA
import DMACore

/// Names on the command line, checked before anything runs.
enum Names {
    /// - Throws: what is wrong, and which names there are.
    static func checkEngines(_ names: [String]) throws {
        guard !names.isEmpty else { return }
        let engines = DMASystem().engines.map(\.offer.name)
        for name in names where !engines.contains(name) {
            throw ValidationError("no engine is called \"\(name)\"; there are \(engines.joined(separator: ", "))")
        }
    }

    static func checkOperations(_ names: [String]) throws {
        for name in names where OperationKind(name: name) == nil {
            let known = OperationKind.allCases.map { "\($0)" }.joined(separator: ", ")
            throw ValidationError("no operation is called \"\(name)\"; there are \(known)")
        }
    }
}

extension CommandLine {
    /// What was called, for reports: the program without its folder, then the arguments.
    static var shown: [String] {
        var shown = arguments
        if let program = shown.first { shown[0] = program.split(separator: "/").last.map(String.init) ?? program }
        return shown
    }
}

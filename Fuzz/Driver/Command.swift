// SPDX-License-Identifier: Apache-2.0
// The fuzz entries with a seeded generator. Built for libFuzzer (Scripts/fuzz), which has its own main function, the program
// consists of LibFuzzer.swift only.

import DMAFuzz
import Foundation

private let usage = """
    usage: dma-fuzz list
           dma-fuzz run ENTRY [--seed SEED] [--steps STEPS]
           dma-fuzz replay ENTRY FILE…
           dma-fuzz extremes

    """

private func end(_ text: String, _ code: Int32) -> Never {
    FileHandle.standardError.write(Data((text.hasSuffix("\n") ? text : text + "\n").utf8))
    exit(code)
}

private func entry(_ name: String) -> FuzzEntry {
    guard let entry = FuzzEntry.named(name) else {
        end("dma-fuzz: no entry \(name); there are: \(FuzzEntry.all.map(\.name).joined(separator: ", "))", 64)
    }
    return entry
}

private func number(_ name: String, _ arguments: [String], _ otherwise: UInt64) -> UInt64 {
    guard let place = arguments.firstIndex(of: name) else { return otherwise }
    guard place + 1 < arguments.count, let number = UInt64(arguments[place + 1]) else { end(usage, 64) }
    return number
}

#if !LIBFUZZER
    @main
#endif
enum Command {
    static func main() {
        let arguments = Array(CommandLine.arguments.dropFirst())
        switch arguments.first ?? "" {
        case "list":
            for entry in FuzzEntry.all { print(entry.name) }
        case "run" where arguments.count >= 2:
            let seed = number("--seed", arguments, UInt64.random(in: 0...UInt64(UInt32.max)))
            let generator = Generator(entry(arguments[1]), corpus: number("--corpus", arguments, 1) == 1, seed: seed)
            exit(generator.supervise(steps: number("--steps", arguments, 20_000)))
        case "child" where arguments.count >= 2:
            let generator = Generator(entry(arguments[1]), corpus: true, seed: number("--seed", arguments, 0))
            exit(
                generator.run(
                    from: number("--from", arguments, 0), steps: number("--steps", arguments, .max),
                    only: arguments.contains("--length") ? Int(number("--length", arguments, 0)) : nil))
        case "extremes":
            exit(arguments.count > 1 ? Extremes.run(from: number("--from", arguments, 0)) : Extremes.supervise())
        case "replay" where arguments.count >= 3:
            var code: Int32 = 0
            for path in arguments.dropFirst(2) {
                guard let data = FileManager.default.contents(atPath: path) else { end("\(path): cannot be read", 66) }
                let outcome = entry(arguments[1]).run([UInt8](data))
                if let failure = outcome.failure {
                    print("\(path): \(failure), after \(outcome.length) bytes and \(outcome.steps) steps")
                    code = 1
                }
            }
            exit(code)
        default:
            end(usage, 64)
        }
    }
}

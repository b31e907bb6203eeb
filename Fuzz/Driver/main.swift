// SPDX-License-Identifier: Apache-2.0
// The fuzz entries by a seeded generator. Built with libFuzzer (see Scripts/fuzz), the same program hands them to that instead.

import DMAFuzz
import Foundation

let usage = """
    usage: dma-fuzz list
           dma-fuzz run ENTRY [--seed SEED] [--steps STEPS]
           dma-fuzz replay ENTRY FILE…
           dma-fuzz libfuzzer ENTRY ARGUMENT…

    """

func end(_ text: String, _ code: Int32) -> Never {
    FileHandle.standardError.write(Data((text.hasSuffix("\n") ? text : text + "\n").utf8))
    exit(code)
}

func entry(_ name: String) -> FuzzEntry {
    guard let entry = FuzzEntry.named(name) else {
        end("dma-fuzz: no entry \(name); there are: \(FuzzEntry.all.map(\.name).joined(separator: ", "))", 64)
    }
    return entry
}

func number(_ name: String, _ arguments: [String], _ otherwise: UInt64) -> UInt64 {
    guard let place = arguments.firstIndex(of: name) else { return otherwise }
    guard place + 1 < arguments.count, let number = UInt64(arguments[place + 1]) else { end(usage, 64) }
    return number
}

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
case "libfuzzer" where arguments.count >= 2:
    #if LIBFUZZER
        exit(LibFuzzer.run(entry(arguments[1]), Array(arguments.dropFirst(2))))
    #else
        end("dma-fuzz: built without libFuzzer; Scripts/fuzz builds it with it", 69)
    #endif
default:
    end(usage, 64)
}

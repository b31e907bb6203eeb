// SPDX-License-Identifier: Apache-2.0
// The guide's chapter on errors, as a program. With --table it prints the chapter's table of codes, from the codes' own texts.

import DMACore

func refused() throws(DMAError) {
    let domain = Domain(name: "example")
    // snippet: match
    var constraints = DeviceConstraints()
    constraints.streamingMask = DMAMask(bits: 24)
    constraints.allowsBounce = false
    let isa = Domain(name: "a device with 24 address lines", constraints: constraints)
    switch try Buffer(count: 4096).map(for: isa, direction: .toDevice) {
    case .mapped: print("within reach after all")
    case .failed(let error, let buffer):
        guard error.code == .unreachableAddress else { throw error }
        print(error.message)
        print("Try: \(error.cure)")
        // The outcome returns the buffer, which is mapped here for a device that reaches it.
        _ = try buffer.mapped(for: domain, direction: .toDevice)
    }
    // end
}

/// The texts of every code. Placeholder numbers that no text contains become N and M.
func table() {
    let asked: UInt64 = 0x1357_9bdf_0246_8ace
    let limit: UInt64 = 0x2468_ace1_3579_bdf0
    func readable(_ text: String) -> String {
        text.replacing("0x" + String(asked, radix: 16), with: "N").replacing(String(asked), with: "N")
            .replacing("0x" + String(limit, radix: 16), with: "M").replacing(String(limit), with: "M").replacing(
                "|", with: "or")
    }
    print("| code | rule | message | cure |")
    print("|---|---|---|---|")
    for code in DMAError.Code.allCases {
        let error = DMAError(code, asked: asked, limit: limit)
        let texts = [error.message, error.cure].map(readable)
        print("| `\(code)` | \(error.rule.map(String.init) ?? "") | \(texts.joined(separator: " | ")) |")
    }
}

if CommandLine.arguments.contains("--table") {
    table()
} else {
    try refused()
    print("errors: \(DMAError.Code.allCases.count) codes, each with a cure")
}

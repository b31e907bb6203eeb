// SPDX-License-Identifier: Apache-2.0
// A measured loop without its work is reported; one with it is not.

import HouseChecks
import Testing

private let compiled = """
    0000000000001000 <Foreground.compute(_:)>:
        1000:\tmov    $0x1,%eax
        1005:\ttest   %rdi,%rdi
        1008:\tjle    1018 <Foreground.compute(_:)+0x18>
        100a:\txor    %rcx,%rax
        100d:\timul   %rdx,%rax
        1011:\tinc    %rcx
        1014:\tcmp    %rcx,%rdi
        1017:\tjne    100a <Foreground.compute(_:)+0xa>
        1018:\tret

    0000000000002000 <specialized Lane.run(until:)>:
        2000:\tpush   %rbx
        2001:\tcall   3000 <memcpy@plt>
        2006:\tdec    %rbx
        2009:\tjne    2001 <specialized Lane.run(until:)+0x1>
        200b:\timul   %rdx,%rax
        200f:\tjmp    4000 <elsewhere()>
    """

@Test(arguments: [
    ("loop Foreground.compute(_:) = imul", 0), ("loop Lane.run(until:) = call <memcpy@plt>", 0),
    // Behind the loop, not in it.
    ("loop Lane.run(until:) = imul", 1), ("loop Foreground.compute(_:) = call <memcpy@plt>", 1),
    ("loop Foreground.pieces(_:) = imul", 1), ("loop Foreground.compute(_:) = mov", 1),
])
func measuredLoops(_ declaration: String, _ faults: Int) throws {
    let code = try Disassembly(compiled, path: "listing")
    let findings = MeasuredLoops.check("l", try MeasuredLoops.declarations("l", "# why\n\(declaration)\n"), code)
    #expect(findings.count == faults && findings.allSatisfy { $0.line == 2 })
}

@Test(arguments: ["", "# nothing\n", "loop f\n", "hot f = g\n", "loop f = \n"])
func noLoopsDeclared(_ text: String) {
    #expect(throws: CannotCheck.self) { try MeasuredLoops.declarations("l", text) }
}

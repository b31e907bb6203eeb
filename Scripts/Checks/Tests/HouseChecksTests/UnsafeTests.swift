// SPDX-License-Identifier: Apache-2.0

import HouseChecks
import Testing

/// Lines, from 1, that are reported for a source.
private func faults(_ text: String) -> [Int] { UnsafeCode.check("a.swift", text).findings.map(\.line) }
private func steps(_ text: String) -> Int { UnsafeCode.check("a.swift", text).steps }

@Test func unsafeFunctions() {
    let bare = "struct A {\n    func f() {\n        unsafe g()\n    }\n}\n"
    #expect(faults(bare) == [2] && steps(bare) == 1)
    #expect(faults(bare.replacing("        unsafe", with: "        // SAFETY: so\n        unsafe")).isEmpty)
    #expect(faults(bare.replacing("    func", with: "    // SAFETY: so\n    func")).isEmpty)
    #expect(
        faults(bare.replacing("    func", with: "    /// It does.\n    ///\n    /// SAFETY: so\n    @inline(never)\n    func"))
            .isEmpty)
    #expect(faults(bare.replacing("    func", with: "    // SAFETY, for each of these: so\n    func")).isEmpty)
    // A comment without the mark, or in another place, is no justification.
    #expect(faults(bare.replacing("    func", with: "    // Safe.\n    func")) == [3])
    #expect(faults(bare.replacing("    func", with: "    // SAFETY: so\n\n    func")) == [4])
    #expect(faults(bare.replacing("struct", with: "// SAFETY: so\nstruct")) == [3])
    #expect(faults(bare.replacing("g()", with: "g(\"// SAFETY: so\")")) == [2])
}

@Test func unsafeMembersOfOtherKinds() {
    #expect(
        faults(
            "final class A {\n    let p: P\n    init() {\n        unsafe p = .allocate()\n    }\n    deinit { unsafe p.deallocate() }\n}\n"
        ) == [3, 6])
    #expect(faults("struct A {\n    var x: Int { unsafe p.pointee }\n}\n") == [2])
    #expect(
        faults(
            "struct A {\n    var x: Int {\n        get { unsafe p.pointee }\n        set { unsafe p.pointee = newValue }\n    }\n}\n"
        ) == [2])
    #expect(faults("struct A {\n    subscript(_ i: Int) -> Int { unsafe p[i] }\n}\n") == [2])
    #expect(faults("struct A {\n    let p = unsafe P()\n\n    let q = 1\n}\n") == [2])
    #expect(faults("struct A {\n    private nonisolated(unsafe) let p: P\n}\n") == [2])
    #expect(
        faults(
            "extension A where B: C {\n    static func f() -> Int {\n        return try unsafe g { x in unsafe h(x) }\n    }\n}\n"
        ) == [2])
    #expect(faults("func f(\n    _ a: Int,\n    _ b: Int = unsafe c\n) {\n    if a > b { g() }\n}\n") == [1])
    #expect(faults("let a = 1\nlet b = unsafe c\n") == [2])
    #expect(faults("enum A {\n    case b\n    struct C {\n        func f() { unsafe g() }\n    }\n}\n") == [4])
}

@Test func unsafeWordsThatAreNoSteps() {
    for text in [
        "struct A {\n    @unsafe func f() {}\n}\n", "struct A {\n    func f() { unsafeG() }\n}\n",
        "struct A {\n    func f() { g(\"unsafe\") }\n}\n", "struct A {\n    // unsafe\n    func f() {}\n}\n",
        "struct A {\n    func f() { g(.unsafe) }\n}\n", "/* unsafe { */ struct A {}\n",
        "struct A {\n    let t = \"\"\"\n        unsafe \\(x) {\n        \"\"\"\n}\n", "let a = #\"\\(unsafe \" \"#\n",
        "let a = \"\\(b(\"}\")) unsafe\"\n",
    ] {
        #expect(faults(text).isEmpty && steps(text) == 0, "\(text)")
    }
}

@Test func unsafeGroups() {
    let group = """
        struct A {
            // SAFETY: inside
            var x: Int { unsafe p[0] }
            @inlinable
            var y: Int { unsafe p[1] }
            func f() {
                unsafe g()
            }

            var z: Int { unsafe p[2] }
        }

        """
    #expect(faults(group) == [10] && steps(group) == 4)
    // A justification inside one member applies only to that member.
    let one =
        "struct A {\n    var x: Int {\n        // SAFETY: inside\n        unsafe p[0]\n    }\n    var y: Int { unsafe p[1] }\n}\n"
    #expect(faults(one) == [6])
}

@Test func uncheckedSendable() {
    let text = """
        /// A ring.
        ///
        /// SAFETY: one thread
        /// at a time.
        @safe
        final class A: B, @unchecked Sendable {}
        // None.
        extension C: @unchecked Sendable where D: Sendable {}
        struct E: Sendable {}
        // struct F: @unchecked Sendable {}

        """
    let found = UnsafeCode.unchecked("x/a.swift", text)
    #expect(found.map(\.type) == ["A", "C"] && found.map(\.line) == [6, 8])
    #expect(found.map(\.argument) == ["one thread at a time.", ""])
    let document = UnsafeCode.document(found)
    #expect(UnsafeCode.check(found, document: ("U.md", document)).map(\.line) == [8])
    #expect(UnsafeCode.check([found[0]], document: ("U.md", document)).map(\.file) == ["U.md"])
    #expect(UnsafeCode.check([found[0]], document: ("U.md", UnsafeCode.document([found[0]]))).isEmpty)
    #expect(UnsafeCode.check(found, document: ("U.md", "")).count == 2)
}

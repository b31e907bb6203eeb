// SPDX-License-Identifier: Apache-2.0

// What runs inside of the guest: Guest/init calls it once for each check, with an EDU device's address. Each prints lines that begin with CHECK.

import CDMA
import DMAAccess

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

var words = Array(CommandLine.arguments.dropFirst())

// Gives root up first.
if words.first == "as", words.count > 2, let user = UInt32(words[1]) {
    guard setgid(user) == 0, setuid(user) == 0 else {
        report("as", .fail, "cannot become user \(user)")
        exit(1)
    }
    words.removeFirst(2)
}

await run(words)

func run(_ words: [String]) async {
    func word(_ index: Int) -> String { words.indices.contains(index) ? words[index] : "" }

    switch word(0) {
    case "facts": await check(word(2)) { try facts(word(1), behindPort: word(2) != "facts") }
    case "expect": await check(word(1)) { try expect(word(2), word(3), word(4)) }
    case "bind": await check("bind") { try bind(word(1)) }
    case "unbind": await check("unbind") { try unbind(word(1)) }
    case "bind-killed": await check("bind-killed-\(word(2))") { try bindKilled(word(1), at: word(2)) }
    case "unbind-held": await check("unbind-held") { try unbindHeld(word(1), by: word(2)) }
    case "copies":
        await check("copy-polled") { try await copies(word(1), []) }
        await check("copy-msi") { try await copies(word(1), [.msi]) }
        await check("copy-intx") { try await copies(word(1), [.intx]) }
    case "isolation":
        await check("unmapped") { try unmapped(word(1), log: FaultLog(word(2))) }
        await check("permission-toDevice") { try readOnly(word(1), log: FaultLog(word(2))) }
    case "reopened": await check("reopened") { try reopened(word(1)) }
    case "shared": await check("shared-space") { try shared(word(1), word(2)) }
    case "loop": await loop(word(1), ready: word(2))
    case "after-kill", "after-remove", "unprivileged":
        await check(word(0)) { try await copies(word(1), [.msi], sizes: [4096]) }
    case "memlock": await check("memlock") { try memoryLocked(word(1)) }
    case "entry-limit": await check("entry-limit") { try entryLimit(word(1)) }
    case "asked-back": await check("asked-back-\(word(3))") { try await askedBack(word(1), ready: word(2)) }
    default: report(word(0), .fail, "no such check")
    }
}

// SPDX-License-Identifier: Apache-2.0

/// The names of this process's domains. An error carries a domain's number, because a hot path makes it; its text tells the name as well.
package enum DomainNames {
    private static let names = Locked<[UInt32: String]>([:])

    /// Enters a domain, which leaves by ``leave(_:)``.
    package static func enter(_ id: UInt32, _ name: String) {
        names.withLock { $0[id] = name }
    }

    package static func leave(_ id: UInt32) {
        names.withLock { _ = $0.removeValue(forKey: id) }
    }

    /// The domain as an error names it: `domain 5 (nvme0)`; a number alone once the domain is no more. 0 stands for the addresses of this process.
    static func text(_ id: UInt64) -> String {
        if id == 0 { return "this process" }
        let name = UInt32(exactly: id).flatMap { id in names.withLock { $0[id] } }
        return "domain \(id)" + (name.map { " (\($0))" } ?? "")
    }
}

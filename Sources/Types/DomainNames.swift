// SPDX-License-Identifier: Apache-2.0

/// The names of this process's domains. Errors are made on hot paths and carry a domain's number; their text adds the name.
package enum DomainNames {
    private static let names = Locked<[UInt32: String]>([:])

    /// Registers a domain until ``leave(_:)``.
    package static func enter(_ id: UInt32, _ name: String) {
        names.withLock { $0[id] = name }
    }

    package static func leave(_ id: UInt32) {
        names.withLock { _ = $0.removeValue(forKey: id) }
    }

    /// The domain as error texts name it: `domain 5 (nvme0)`, or the number alone once the domain has ended. 0 means the
    /// addresses of this process.
    static func text(_ id: UInt64) -> String {
        if id == 0 { return "this process" }
        let name = UInt32(exactly: id).flatMap { id in names.withLock { $0[id] } }
        return "domain \(id)" + (name.map { " (\($0))" } ?? "")
    }
}

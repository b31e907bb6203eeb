// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The modules that a package offers to others, so that a new library is checked without being named anywhere.
public enum Libraries {
    /// - Parameters:
    ///   - path: for the message.
    ///   - text: what `swift package dump-package` printed.
    /// - Throws: `CannotCheck` where it offers no library.
    public static func modules(_ path: String, _ text: String) throws(CannotCheck) -> [String] {
        let package: Package
        do {
            package = try JSONDecoder().decode(Package.self, from: Data(text.utf8))
        } catch {
            throw CannotCheck("\(path): is no description of a package: \(error)")
        }
        let modules = Set(package.products.filter { $0.type.library != nil }.flatMap(\.targets))
        guard !modules.isEmpty else { throw CannotCheck("\(path): the package offers no library") }
        return modules.sorted()
    }

    private struct Package: Decodable { let products: [Product] }
    private struct Product: Decodable {
        let targets: [String]
        let type: Kind
    }
    private struct Kind: Decodable { let library: [String]? }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The libraries that a package offers, so that a new one is checked without further configuration, and the locations of
/// sources.
public enum Libraries {
    /// - Parameters:
    ///   - path: for the message.
    ///   - text: the output of `swift package dump-package`.
    /// - Throws: `CannotCheck` where it offers no library.
    public static func modules(_ path: String, _ text: String) throws(CannotCheck) -> [String] {
        let package = try decode(path, text)
        let modules = Set(package.products.filter { $0.type.library != nil }.flatMap(\.targets))
        guard !modules.isEmpty else { throw CannotCheck("\(path): the package offers no library") }
        return modules.sorted()
    }

    /// The source folder of each target, by its name.
    ///
    /// - Parameters:
    ///   - path: for the message; the folders are relative to the package's own.
    ///   - text: the output of `swift package dump-package`.
    /// - Throws: `CannotCheck` where it is not a description of a package.
    public static func folders(_ path: String, _ text: String) throws(CannotCheck) -> [String: String] {
        var folders: [String: String] = [:]
        for target in try decode(path, text).targets { folders[target.name] = target.path ?? "Sources/\(target.name)" }
        return folders
    }

    private static func decode(_ path: String, _ text: String) throws(CannotCheck) -> Package {
        do {
            return try JSONDecoder().decode(Package.self, from: Data(text.utf8))
        } catch {
            throw CannotCheck("\(path): is no description of a package: \(error)")
        }
    }

    private struct Package: Decodable {
        let products: [Product]
        let targets: [Target]
    }
    private struct Target: Decodable {
        let name: String
        let path: String?
    }
    private struct Product: Decodable {
        let targets: [String]
        let type: Kind
    }
    private struct Kind: Decodable { let library: [String]? }
}

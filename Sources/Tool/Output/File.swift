// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMABench
import DMAUnits
import FoundationEssentials
import Glibc

/// Files named on the command line; errors end the command with the code of sysexits(3head) that fits.
enum File {
    /// A file's contents, which are at most `limit` bytes; a pipe's too.
    static func text(_ path: String, limit: Int = 256 << 20) throws -> String {
        // SAFETY: the path is read to its zero; `read` writes at most the buffer's length, and says how much of it.
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw CommandFailure("\(path): \(reason)", code: 66) }
        defer { close(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe piece.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
            guard count >= 0 else { throw CommandFailure("\(path): \(reason)", code: 66) }
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += piece.prefix(count)
            guard bytes.count <= limit else { throw CommandFailure("\(path): larger than \(ByteSize.exact(limit))", code: 66) }
        }
    }

    /// An earlier run's JSON.
    static func result(_ path: String) throws -> BenchResult {
        let text = try text(path)
        do {
            let data = Data(text.utf8)
            // Another version's fields are not to be guessed at.
            let version = try JSONDecoder().decode(Version.self, from: data).version
            guard version == BenchResult.currentVersion else {
                throw CommandFailure(
                    "\(path): version \(version); this program reads version \(BenchResult.currentVersion)", code: 66)
            }
            let result = try JSONDecoder().decode(BenchResult.self, from: data)
            if let what = result.implausibility {
                throw CommandFailure("\(path): no run of dmactl bench can have found this: \(what)", code: 66)
            }
            return result
        } catch let error as DecodingError {
            throw CommandFailure("\(path): no result of dmactl bench --json: \(JSON.reason(error))", code: 66)
        }
    }

    private struct Version: Decodable {
        let version: Int
    }

    static func checkWritable(_ path: String) throws {
        // SAFETY: the path is read to its zero, and not kept.
        let file = unsafe open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw CommandFailure("\(path): \(reason)", code: 73) }
        close(file)
    }

    static func write(_ text: String, to path: String) throws {
        do {
            try Data(text.utf8).write(to: URL(filePath: path))
        } catch {
            throw CommandFailure("\(path): \(error)", code: 73)
        }
    }

    // SAFETY: what strerror answers is copied at once.
    private static var reason: String { unsafe String(cString: strerror(errno)) }
}

/// Why a command ends, and its exit code: on standard error, without the usage text that a wrong command line gets.
struct CommandFailure: Error, CustomStringConvertible {
    let description: String
    let code: Int32

    init(_ description: String, code: Int32) {
        self.description = description
        self.code = code
    }
}

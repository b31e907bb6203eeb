// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DMABench
import FoundationEssentials
import Glibc

/// Files named on the command line; errors end the command with the code of sysexits(3head) that fits.
enum File {
    static func text(_ path: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path) else {
            let isThere = unsafe access(path, R_OK) == 0
            throw CommandFailure("\(path): \(isThere ? "cannot be read" : reason)", code: 66)
        }
        return String(decoding: data, as: UTF8.self)
    }

    /// An earlier run's JSON.
    static func result(_ path: String) throws -> BenchResult {
        let text = try text(path)
        do {
            let result = try JSONDecoder().decode(BenchResult.self, from: Data(text.utf8))
            guard result.version == BenchResult.currentVersion else {
                throw CommandFailure(
                    "\(path): version \(result.version); this program reads version \(BenchResult.currentVersion)", code: 66)
            }
            return result
        } catch let error as DecodingError {
            throw CommandFailure("\(path): no result of dmactl bench --json: \(error)", code: 66)
        }
    }

    static func checkWritable(_ path: String) throws {
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

// SPDX-License-Identifier: Apache-2.0

import DMACopy
import FoundationEssentials
import Glibc

/// A plan in a file, which is not trusted.
enum PlanFile {
    static func read(_ path: CopyPath) throws -> CopyPlan {
        func refuse(_ possible: String) -> CopyFailure {
            CopyFailure(
                .badPlan, path.text, asked: "use the plan", possible: possible,
                cure: "Write one with dmactl copy --explain --json SOURCE TARGET.")
        }
        var bytes: [UInt8] = []
        // SAFETY: the file is closed once, at the end, and not used after that; the call writes at most the buffer's length, and says how
        // much of it.
        guard let file = unsafe fopen(path.cString, "re") else {
            throw CopyFailure(
                .notFound, path.text, asked: "read the plan", possible: "no readable file has this path",
                cure: "Check the path.",
                errno: errno)
        }
        defer { unsafe _ = fclose(file) }
        bytes = unsafe [UInt8](unsafeUninitializedCapacity: 65_537) { buffer, filled in
            // fread writes at most the capacity, and says how many.
            filled = unsafe fread(buffer.baseAddress, 1, buffer.count, file)
        }
        guard unsafe ferror(file) == 0 else { throw refuse("a read of it failed") }
        guard bytes.count <= 65_536 else { throw refuse("it has more than 64 KiB") }
        let document: PlanDocument
        do { document = try JSONDecoder().decode(PlanDocument.self, from: Data(bytes)) } catch {
            throw refuse("it is not the JSON of a plan: \(JSON.reason(error))")
        }
        guard document.version == 1 else { throw refuse("its version is not 1") }
        try document.plan.check()
        return document.plan
    }
}

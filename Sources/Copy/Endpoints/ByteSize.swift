// SPDX-License-Identifier: Apache-2.0

package import DMAUnits

extension ByteSize {
    /// Parses a size.
    ///
    /// - Parameters:
    ///   - text: as ``ByteSize/parse(_:)`` reads it.
    ///   - subject: the endpoint or option that has it, for the error.
    /// - Throws: `badSize`, which says what is understood.
    package static func parse(_ text: String, for subject: String) throws(CopyFailure) -> UInt64 {
        do throws(Refusal) {
            return try parse(text)
        } catch {
            throw CopyFailure(
                .badSize, subject, asked: "take \"\(CopyFailure.quoted(text))\" as", possible: error.reason, cure: error.cure)
        }
    }
}

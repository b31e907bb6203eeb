// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Decides where an interrupted copy goes on: behind what is in the part file, once that was read back and compared.
struct Resume {
    let job: CopyJob

    func check() throws(CopyFailure) {
        guard let file = job.target.file, let identity = ResumeJournal(of: job.source) else {
            return job.note("not resumable: the source has no size, so that nothing says what it was")
        }
        guard let journal = job.target.journal, journal.length > 0 else { return try startAnew(file, nil) }
        guard journal.isOfSameSource(identity) else {
            return try startAnew(file, "the source is another, or was changed since")
        }
        guard let facts = try? file.facts(), facts.size >= journal.length else {
            return try startAnew(file, "the part file is shorter than its journal says")
        }
        job.enter(.checking, total: journal.length)
        let back = ReadBack(file: file, name: job.target.name, control: job.control)
        back.forget()
        let found = try back.crc(0, journal.length)
        guard found == journal.crc else { return try startAnew(file, "the part file is not what its journal says (CRC32C)") }
        job.start = journal.length
        job.startCRC = journal.crc
        job.note("resumed at \(ByteSize.text(journal.length)), which was read back and compared")
    }

    private func startAnew(_ file: OpenFile, _ reason: String?) throws(CopyFailure) {
        if let reason { job.note("begun anew: \(reason)") }
        let result = cdma_truncate(file.descriptor, 0)
        guard result == 0 else { throw .writing(job.target.name, at: 0, errno: -result) }
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAUnits

/// Decides where an interrupted copy goes on: behind what is in the part file, once that was read back and compared.
struct Resume {
    let job: CopyJob

    func check() throws(CopyFailure) {
        guard let file = job.target.file, let identity = ResumeJournal(of: job.source) else {
            // A file of no bytes, or one that is made as it is read, is copied whole.
            return
        }
        guard let journal = job.target.journal, journal.length > 0 else { return try startAnew(nil) }
        guard journal.isOfSameSource(identity) else {
            return try startAnew("the source is another, or was changed since")
        }
        guard let facts = try? file.facts(), facts.size >= journal.length else {
            return try startAnew("the part file is shorter than its journal says")
        }
        job.enter(.checking, total: journal.length)
        let back = ReadBack(file: file, name: job.target.name, control: job.control)
        back.forget()
        let found = try back.crc(0, journal.length)
        guard found == journal.crc else { return try startAnew("the part file is not what its journal says (CRC32C)") }
        // A file's times say whether it was written since. A device has none: what was copied of it is read again.
        if job.source.facts?.kind == .block, let from = job.source.file {
            let now = try ReadBack(file: from, name: job.source.name, control: job.control).crc(0, journal.length)
            guard now == journal.crc else { return try startAnew("the device has other bytes now (CRC32C)") }
        }
        job.start = journal.length
        job.startCRC = journal.crc
        job.note("resumed at \(ByteSize.text(journal.length)), which was read back and compared")
    }

    private func startAnew(_ reason: String?) throws(CopyFailure) {
        if let reason { job.note("begun anew: \(reason)") }
        if !(try job.target.empty()) { job.writeHoles() }
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import CDMA
internal import DMAUnits

/// Decides where an interrupted copy continues: after the data in the part file, once that has been read back and compared.
struct Resume {
    let job: CopyJob

    func check() throws(CopyFailure) {
        guard let file = job.target.file, let identity = ResumeJournal(of: job.source) else {
            // An empty file, or one that is generated as it is read, is copied from its start.
            return
        }
        guard let journal = job.target.journal, journal.length > 0 else { return try startAnew(nil) }
        guard journal.isOfSameSource(identity) else {
            return try startAnew("the source is another file, or has changed since")
        }
        guard let facts = try? file.facts(), facts.size >= journal.length else {
            return try startAnew("the part file is shorter than its journal says")
        }
        job.enter(.checking, total: journal.length)
        let back = ReadBack(file: file, name: job.target.name, control: job.control)
        back.forget()
        let found = try back.crc(0, journal.length)
        guard found == journal.crc else { return try startAnew("the part file does not have the CRC32C of its journal") }
        // The times of a file show whether it has been written since. A device has none, so what was copied of it is read again.
        if job.source.facts?.kind == .block, let from = job.source.file {
            let now = try ReadBack(file: from, name: job.source.name, control: job.control).crc(0, journal.length)
            guard now == journal.crc else {
                return try startAnew("the device does not have the CRC32C of the journal any more")
            }
        }
        job.start = journal.length
        job.startCRC = journal.crc
        job.note("resumed after \(ByteSize.text(journal.length)), which were read back and compared")
    }

    private func startAnew(_ reason: String?) throws(CopyFailure) {
        if let reason { job.note("started again: \(reason)") }
        if !(try job.target.empty()) { job.writeHoles() }
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import CDMA

/// Names in a list that lead to one file: hard links, which the copies become again.
struct ListLinks {
    struct First {
        let target: CopyPath
        /// Device and inode number of the copy.
        let device: UInt64
        let inode: UInt64
        let plan: CopyPlan
        let size: UInt64
    }

    private struct Number: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    private var firsts: [Number: First] = [:]

    /// Remembers a file that was copied.
    mutating func remember(_ source: FileFacts?, _ copy: FileFacts?, _ target: CopyPath, _ plan: CopyPlan) {
        guard let source, source.kind == .regular, source.links > 1, let copy else { return }
        firsts[Number(device: source.device, inode: source.inode)] = First(
            target: target, device: copy.device, inode: copy.inode, plan: plan, size: source.size)
    }

    /// The copy of the file that `source` is another name of.
    func first(of source: CopyPath) throws(CopyFailure) -> First? {
        guard !firsts.isEmpty, let facts = try FileFacts.at(source), facts.kind == .regular, facts.links > 1 else { return nil }
        return firsts[Number(device: facts.device, inode: facts.inode)]
    }

    /// Links the copy to this name. nil where it cannot be linked: then the file is copied.
    func make(_ target: CopyPath, _ first: First, _ session: CopySession) throws(CopyFailure) -> CopyReport? {
        // SAFETY: the names end with a zero and live until the calls return.
        guard let there = try FileFacts.at(first.target, follow: false), there.device == first.device,
            there.inode == first.inode
        else { return nil }
        let existing = try FileFacts.at(target)
        let site = try FileSite(existing == nil ? target : try RealPath.of(target), existing: existing)
        let place = try session.folder(site.directory)
        try site.check(.rename, in: place, preserves: true)
        let folder = place.file
        if let existing {
            if existing.kind != .regular { return nil }
            if existing.isSameFile(there) { return report(first) }
        }
        for slot in 0..<8 {
            let name = PartFile.name(site.name, String(slot))
            let result = unsafe cdma_link(first.target.cString, folder.descriptor, name.cString)
            if result == -EEXIST { continue }
            guard result == 0 else { return nil }
            guard unsafe cdma_rename(folder.descriptor, name.cString, site.name.cString) == 0 else {
                _ = unsafe cdma_remove(folder.descriptor, name.cString)
                return nil
            }
            return report(first)
        }
        return nil
    }

    private func report(_ first: First) -> CopyReport {
        var report = CopyReport(plan: first.plan)
        report.bytes = first.size
        return report
    }
}

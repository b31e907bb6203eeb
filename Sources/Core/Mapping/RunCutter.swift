// SPDX-License-Identifier: Apache-2.0

internal import DMAEngineKit

/// One pass over the entries of a list: checks that the device reaches each, merges adjacent ones into regions, and builds the
/// backend's runs.
///
/// Adjacent entries that may form one range for the device become one region and one run. Addresses of a translated mapping
/// count from 0 here.
@safe
struct RunCutter {
    let rules: MappingRules
    let kind: MappingKind
    /// Room for one element per entry; nil for runs without a backend.
    let regions: UnsafeMutablePointer<RegionWords>
    let runs: UnsafeMutablePointer<TranslatedRun>?

    struct Result {
        var isReached = true
        /// The bytes of all entries; `.max` where the sum exceeds 64 bits.
        var bytes: UInt64 = 0
        var regions = 0
        var runs = 0
        /// Bytes from the first run's start to the last one's end.
        var length: UInt64 = 0
    }

    /// - Parameters:
    ///   - entries: each inside its memory, none empty.
    ///   - words: of the memory that they name.
    func cut(_ entries: [ScatterList.Entry], _ words: [MemoryWords]) -> Result {
        // SAFETY: entries refer to existing memory; no more regions or runs are written than there are entries.
        unsafe entries.withUnsafeBufferPointer { entries in
            unsafe words.withUnsafeBufferPointer { words in
                guard let first = entries.baseAddress, let memory = words.baseAddress else { return Result() }
                if rules.isTranslated {
                    if rules.looksCloser, unsafe !reachesAll(first, entries.count, memory) { return Result(isReached: false) }
                    return unsafe translated(first, entries.count, memory)
                }
                if unsafe runs == nil, !rules.looksCloser { return unsafe plain(first, entries.count, memory) }
                return unsafe direct(first, entries.count, memory)
            }
        }
    }

    /// For a device with requirements beyond whole pages.
    @unsafe
    private func reachesAll(
        _ entries: UnsafePointer<ScatterList.Entry>, _ number: Int, _ words: UnsafePointer<MemoryWords>
    ) -> Bool {
        // SAFETY: as for `cut`.
        for index in 0..<number {
            let entry = unsafe entries[index]
            let memory = unsafe words[entry.buffer]
            guard rules.reaches(memory.base &+ UInt64(entry.offset), UInt64(entry.count), memory, kind) else { return false }
        }
        return true
    }

    /// CPU addresses without a backend: as few instructions as possible.
    @unsafe
    private func plain(
        _ entries: UnsafePointer<ScatterList.Entry>, _ number: Int, _ words: UnsafePointer<MemoryWords>
    ) -> Result {
        // SAFETY: as for `cut`.
        let addressMask = rules.addressMask
        let mask = rules.mask(kind)
        let regions = unsafe regions
        var flaws: UInt64 = 0
        var (sum, end): (UInt64, UInt64) = (0, 0)
        var key = unsafe words.pointee.mergeKey
        var written = -1
        for index in 0..<number {
            let memory = unsafe words + entries[index].buffer
            let start = unsafe memory.pointee.base &+ UInt64(truncatingIfNeeded: entries[index].offset)
            let count = unsafe UInt64(truncatingIfNeeded: entries[index].count)
            sum &+= count
            // A sum beyond 63 bits sets the highest bit before it can exceed 64: no memory has that many bytes.
            flaws |= (start & addressMask) | (sum & 1 << 63)
            if start &+ count &- 1 > mask { flaws |= 1 }
            if start == end, written >= 0, unsafe memory.pointee.mergeKey == key {
                unsafe regions[written].count &+= count
            } else {
                written &+= 1
                unsafe regions[written].start = start
                unsafe regions[written].count = count
            }
            end = start &+ count
            key = unsafe memory.pointee.mergeKey
        }
        var result = Result()
        result.isReached = flaws == 0
        result.bytes = sum
        result.regions = written &+ 1
        return result
    }

    /// Bus addresses equal to the CPU's, with a backend.
    @unsafe
    private func direct(
        _ entries: UnsafePointer<ScatterList.Entry>, _ number: Int, _ words: UnsafePointer<MemoryWords>
    ) -> Result {
        // SAFETY: as for `cut`.
        var result = Result()
        var end: UInt64 = 0
        var key = unsafe words.pointee.mergeKey
        for index in 0..<number {
            let entry = unsafe entries[index]
            let memory = unsafe words + entry.buffer
            let start = unsafe memory.pointee.base &+ UInt64(truncatingIfNeeded: entry.offset)
            let count = UInt64(truncatingIfNeeded: entry.count)
            result.bytes &+= count
            guard unsafe rules.reaches(start, count, memory.pointee, kind), result.bytes < 1 << 63 else {
                result.isReached = false
                return result
            }
            if let runs = unsafe runs {
                unsafe (runs + index).initialize(
                    to: TranslatedRun(iova: start, count: count, source: memory.pointee.source(at: start)))
            }
            if start == end, result.regions > 0, unsafe memory.pointee.mergeKey == key {
                unsafe regions[result.regions &- 1].count &+= count
            } else {
                unsafe (regions + result.regions).initialize(to: RegionWords(start: start, count: count, key: 0))
                result.regions &+= 1
            }
            end = start &+ count
            key = unsafe memory.pointee.mergeKey
        }
        if unsafe runs != nil { result.runs = number }
        return result
    }

    /// Bus addresses are assigned later and count from 0 here, in whole pages of the IOMMU.
    @unsafe
    private func translated(
        _ entries: UnsafePointer<ScatterList.Entry>, _ number: Int, _ words: UnsafePointer<MemoryWords>
    ) -> Result {
        // SAFETY: as for `cut`. `run` and `region` are read only after the first entry has set them: no memory has the initial
        // key.
        guard let runs = unsafe runs else { return Result() }
        let (pageMask, addressMask) = (rules.pageMask, rules.addressMask)
        let unit = rules.rangeAlignment &- 1
        var (sum, flaws): (UInt64, UInt64) = (0, 0)
        // The end of the previous entry, for the CPU and for the device; and the start of the next run.
        var (end, busEnd, length): (UInt64, UInt64, UInt64) = (0, 0, 0)
        var key = UInt64.max
        var run = unsafe runs - 1
        var region = unsafe regions - 1
        for index in 0..<number {
            let memory = unsafe words + entries[index].buffer
            let start = unsafe memory.pointee.base &+ UInt64(truncatingIfNeeded: entries[index].offset)
            let count = unsafe UInt64(truncatingIfNeeded: entries[index].count)
            let first = start & ~pageMask
            let past = (start &+ count &+ pageMask) & ~pageMask
            let (more, overflow) = sum.addingReportingOverflow(count)
            sum = more
            flaws |= start & addressMask
            flaws &+= overflow ? 1 : 0
            // The IOMMU maps whole pages: other data in a page of the entry would be exposed to the device.
            unsafe flaws &+= first < memory.pointee.extentStart ? 1 : 0
            unsafe flaws &+= memory.pointee.extentEnd < past ? 1 : 0
            let isOneSource = unsafe memory.pointee.mergeKey == key
            if isOneSource, start == end {
                unsafe region.pointee.count &+= count
                unsafe run.pointee.count = past &- run.pointee.source.address
                busEnd &+= count
            } else {
                let place = start &- first &+ length
                if isOneSource, place == busEnd {
                    unsafe region.pointee.count &+= count
                } else {
                    unsafe region += 1
                    unsafe region.pointee.start = place
                    unsafe region.pointee.count = count
                }
                unsafe run += 1
                unsafe run.pointee.iova = length
                unsafe run.pointee.count = past &- first
                unsafe run.pointee.source = memory.pointee.source(at: first)
                busEnd = place &+ count
            }
            end = start &+ count
            length = (busEnd &+ unit) & ~unit
            key = unsafe memory.pointee.mergeKey
        }
        var result = Result()
        result.isReached = flaws == 0 && sum >> 63 == 0
        (result.bytes, result.length) = (sum, length)
        (result.runs, result.regions) = unsafe (run - runs + 1, region - regions + 1)
        return result
    }
}

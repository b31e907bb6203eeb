// SPDX-License-Identifier: Apache-2.0

/// What a rescue reads from and writes to.
protocol RescueMedium: ~Copyable {
    /// Reads the bytes of `range` by one request, where the source takes that, and writes them to the same place of the target.
    ///
    /// - Returns: how many bytes from the start of `range` were copied: less than all where the source could not be read behind them.
    /// - Throws: what ends the rescue: the target cannot be written, the source is gone.
    mutating func copy(_ range: Range<UInt64>) throws(CopyFailure) -> UInt64
}

/// The order in which a rescue reads: the undamaged parts first, in large blocks, and damaged ones as late as possible.
///
/// The four phases of GNU ddrescue. Copying has three passes here: forwards, with a growing distance skipped after each error; backwards
/// through what was skipped, each area up to its first error; and forwards through everything that is left. Trimming and scraping try each
/// sector of a failed block once. Retrying reads each bad sector once in a pass, and passes alternate in direction.
///
/// Bounded: each request changes the state of the bytes that it asked for, or moves the position of a pass with a fixed direction.
///
/// Source: GNU ddrescue manual 1.27, "Algorithm".
struct RescueRun<Medium: RescueMedium & ~Copyable>: ~Copyable {
    /// How large the requests are, and how often bad sectors are read again.
    struct Sizes {
        /// Of a request in the copying phase: a multiple of `sector`.
        var block: UInt64
        /// Of the smallest request, which starts and ends at multiples of this. A power of two.
        var sector: UInt64
        /// Passes of the retrying phase.
        var retries: Int
    }

    var medium: Medium
    private(set) var map: RescueMap
    /// Requests that failed.
    private(set) var errors: UInt64 = 0
    private let sizes: Sizes
    /// Called after each request.
    private let step: (RescueMap) throws(CopyFailure) -> Void

    init(
        _ medium: consuming Medium, _ map: RescueMap, _ sizes: Sizes,
        step: @escaping (RescueMap) throws(CopyFailure) -> Void
    ) {
        self.medium = medium
        self.map = map
        self.sizes = sizes
        self.step = step
    }

    /// Reads what can be read. Afterwards every area is rescued or bad.
    ///
    /// - Throws: what the medium and `step` throw. The map then says what has been done.
    mutating func run() throws(CopyFailure) {
        // A map that another program changed may have areas of an earlier phase.
        if map.bytes(.untried) > 0 { try copy() }
        if map.bytes(.untrimmed) > 0 { try trim() }
        if map.bytes(.unscraped) > 0 { try scrape() }
        if map.bytes(.bad) > 0, sizes.retries > 0 { try retry() }
        map.position.phase = .finished
        map.position.pass = 1
    }

    // MARK: Copying

    private mutating func copy() throws(CopyFailure) {
        let resumed = map.position.phase == .copying ? map.position : RescueMap.Position()
        if resumed.pass == 1 { try copyForwards(from: resumed.offset, pass: 1, skips: true) }
        if resumed.pass <= 2 { try copyBackwards(from: resumed.pass == 2 ? resumed.offset : map.size) }
        try copyForwards(from: 0, pass: 3, skips: false)
    }

    private mutating func copyForwards(from start: UInt64, pass: Int, skips: Bool) throws(CopyFailure) {
        let most = max(sizes.block, min(map.size / 100, 1 << 30))
        var skip: UInt64 = 0
        var place = start
        while let area = map.next(.untried, from: place) {
            let range = area.lowerBound..<min(area.upperBound, (area.lowerBound / sizes.block + 1) * sizes.block)
            place = range.upperBound
            if try read(range, .copying, pass, at: range.lowerBound, failed: .untrimmed) {
                skip = 0
            } else if skips {
                skip = skip == 0 ? sizes.block : min(2 * skip, most)
                place = min(place + skip, map.size)
            }
        }
    }

    private mutating func copyBackwards(from end: UInt64) throws(CopyFailure) {
        var place = end
        while let area = map.previous(.untried, before: place) {
            let range = max(area.lowerBound, (area.upperBound - 1) / sizes.block * sizes.block)..<area.upperBound
            let isRead = try read(range, .copying, 2, at: range.upperBound, failed: .untrimmed)
            place = isRead ? range.lowerBound : area.lowerBound
        }
    }

    // MARK: Trimming and scraping

    private mutating func trim() throws(CopyFailure) {
        var place: UInt64 = 0
        while let area = map.next(.untrimmed, from: place) {
            var (low, high) = (area.lowerBound, area.upperBound)
            place = high
            // An edge beside a bad sector was trimmed before.
            var isTrimmed = low > 0 && map.state(at: low - 1) == .bad
            while !isTrimmed, low < high {
                let range = first(low..<high)
                isTrimmed = try !read(range, .trimming, 1, at: range.lowerBound, failed: .bad)
                low = range.upperBound
            }
            isTrimmed = map.state(at: high) == .bad
            while !isTrimmed, low < high {
                let range = last(low..<high)
                isTrimmed = try !read(range, .trimming, 1, at: range.upperBound, failed: .bad)
                high = range.lowerBound
            }
            map.mark(low..<high, .unscraped)
        }
    }

    private mutating func scrape() throws(CopyFailure) {
        while let area = map.next(.unscraped, from: 0) {
            let range = first(area)
            _ = try read(range, .scraping, 1, at: range.lowerBound, failed: .bad)
        }
    }

    // MARK: Retrying

    private mutating func retry() throws(CopyFailure) {
        let resumed = map.position.phase == .retrying ? map.position : nil
        for pass in (resumed?.pass ?? 1)..<max(resumed?.pass ?? 1, sizes.retries + 1) where map.bytes(.bad) > 0 {
            let isForwards = pass % 2 == 1
            var place = isForwards ? 0 : map.size
            if let resumed, resumed.pass == pass { place = resumed.offset }
            while let area = isForwards ? map.next(.bad, from: place) : map.previous(.bad, before: place) {
                let range = isForwards ? first(area) : last(area)
                place = isForwards ? range.upperBound : range.lowerBound
                _ = try read(range, .retrying, pass, at: isForwards ? range.lowerBound : range.upperBound, failed: .bad)
            }
        }
    }

    // MARK: Requests

    /// The first sector of a range.
    private func first(_ range: Range<UInt64>) -> Range<UInt64> {
        range.lowerBound..<min(range.upperBound, (range.lowerBound / sizes.sector + 1) * sizes.sector)
    }

    /// The last one.
    private func last(_ range: Range<UInt64>) -> Range<UInt64> {
        max(range.lowerBound, (range.upperBound - 1) / sizes.sector * sizes.sector)..<range.upperBound
    }

    /// Copies a range and writes down what became of it. False where some of it could not be read.
    private mutating func read(
        _ range: Range<UInt64>, _ phase: RescueMap.Phase, _ pass: Int, at offset: UInt64, failed: RescueMap.State
    ) throws(CopyFailure) -> Bool {
        map.position = RescueMap.Position(offset: offset, phase: phase, pass: pass)
        let end = range.lowerBound + min(try medium.copy(range), UInt64(range.count))
        map.mark(range.lowerBound..<end, .rescued)
        let isRead = end == range.upperBound
        if !isRead {
            errors += 1
            // Of a single sector nothing is left to be trimmed.
            let rest = end..<range.upperBound
            map.mark(rest, UInt64(rest.count) <= sizes.sector && UInt64(range.count) <= sizes.sector ? .bad : failed)
        }
        try step(map)
        return isRead
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import DMAUnits
internal import Yams

/// A plan from a file, in YAML or in JSON, which is YAML too. Its schema is Schemas/bench-config.schema.json.
///
/// What DPDK's dpdk-test-dma-perf has in its file is here, mostly by another name: `type` (engines, memcpy), `mem_size`
/// (memory), `buf_size` (sizes), `dma_ring_size` (depths), `kick_batch` (batch), `src_numa_node` and `dst_numa_node` (nodes),
/// `cache_flush` (cache), `test_seconds` (seconds), `lcore` (processors), `lcore_dma` (engines, threads and processors) with its
/// `dir` (operations), `dma_src_sge` and `dma_dst_sge` (segments), `skip`, a global section (defaults), and its ranges
/// `FIRST,LAST,STEP,ADD|MUL` (from, to, plus or times). Source: https://doc.dpdk.org/guides/tools/dmaperf.html.
package enum BenchConfiguration {
    /// The version that this program reads.
    package static let version = 1

    /// Reads a plan.
    ///
    /// - Parameters:
    ///   - text: the file's contents; at most 256 KiB.
    ///   - file: its name, for errors.
    /// - Throws: the first thing that is wrong, with line and column.
    package static func plan(_ text: String, file: String) throws(ConfigurationError) -> BenchPlan {
        let node = try document(text, file)
        let root = try ConfigurationNode(node, file, "the file").mapping([
            "version", "defaults", "cases",
        ])
        guard let version = root["version"] else {
            throw root.problem("version is missing", "version: \(self.version) as the first line")
        }
        guard try version.integer(1...1000) == self.version else {
            throw version.problem("this program does not know this version", "\(self.version)")
        }
        var base = BenchCase()
        if let defaults = root["defaults"] { try read(&base, try defaults.mapping(settingKeys)) }
        guard let cases = root["cases"] else {
            throw root.problem("cases is missing", "a list of cases, each with at least one key")
        }
        var plan = BenchPlan(cases: [])
        for (number, node) in try cases.list().enumerated() {
            var sweep = base
            sweep.name = "case \(number + 1)"
            let keys = try node.mapping(caseKeys + settingKeys)
            try read(&sweep, keys)
            guard sweep.settings.hasFewIntervals else {
                throw node.problem("seconds are too many for interval", "at most \(BenchSettings.mostIntervals) intervals")
            }
            plan.cases += try varied(sweep, [root["defaults"], keys])
            guard plan.mostPoints <= BenchPlan.pointLimit else {
                throw node.problem(
                    "with this case there are \(plan.mostPoints) points or more", "at most \(BenchPlan.pointLimit) in all")
            }
        }
        guard !plan.cases.isEmpty else { throw cases.problem("there is no case", "one or more") }
        return plan
    }

    private static let caseKeys = ["name", "skip", "engines", "memcpy"]
    private static let settingKeys = [
        "operations", "sizes", "depths", "threads", "modes", "waits", "repeats", "seconds", "warmup", "batch", "memory",
        "cache",
        "rates", "matrix", "interval", "processors", "nodes", "sources", "segments", "foreground", "directory", "fileSize",
        "access", "direct",
    ]

    /// The limits of what may be asked for; the schema has the same.
    static let byteRange = 1...(1 << 32)
    static let depthRange = 1...32_768
    static let threadRange = 1...1024
    static let memoryRange = 4096...(1 << 40)
    /// Bytes a second.
    package static let rateRange = 1...(1 << 40)
    /// Of a time series. Seconds.
    package static let intervalRange = 0.001...3600.0
    /// Of a file. Bytes.
    package static let fileRange = 4096...(1 << 40)

    private static func read(_ sweep: inout BenchCase, _ keys: ConfigurationNode) throws(ConfigurationError) {
        if let node = keys["name"] { sweep.name = try node.text() }
        if let node = keys["skip"] { sweep.skip = try node.boolean() }
        if let node = keys["memcpy"] { sweep.memcpy = try node.boolean() }
        if let node = keys["engines"] { sweep.engines = try node.each { (item) throws(ConfigurationError) in try item.text() } }
        if let node = keys["operations"] {
            sweep.operations = try node.each { (item) throws(ConfigurationError) in try item.choice(BenchOperation.allCases) }
        }
        if let node = keys["waits"] {
            sweep.waits = try node.each { (item) throws(ConfigurationError) in try item.choice(CompletionWait.allCases) }
        }
        if let node = keys["modes"] {
            sweep.modes = try node.each { (item) throws(ConfigurationError) in
                guard let mode = BenchMode(text: try item.text()) else {
                    throw item.problem("\"\(try item.text())\" is no mode", BenchMode.allowed)
                }
                return mode
            }
        }
        if let node = keys["sizes"] { sweep.sizes = try node.sweep(byteRange, isBytes: true) }
        if let node = keys["depths"] { sweep.depths = try node.sweep(depthRange) }
        if let node = keys["threads"] { sweep.threads = try node.sweep(threadRange) }
        if let node = keys["rates"] { sweep.rates = try node.sweep(rateRange, isBytes: true) }
        if let node = keys["matrix"] { sweep.matrix = try node.choice(BenchMatrix.allCases) }
        try read(&sweep.settings, keys)
    }

    private static func read(_ settings: inout BenchSettings, _ keys: ConfigurationNode) throws(ConfigurationError) {
        if let node = keys["repeats"] { settings.repeats = try node.integer(1...1000) }
        if let node = keys["seconds"] { settings.seconds = try node.number(0.001...3600) }
        if let node = keys["warmup"] { settings.warmup = try node.number(0...60) }
        if let node = keys["interval"] { settings.interval = try node.number(intervalRange) }
        if let node = keys["cache"] { settings.cache = try node.choice(BenchSettings.Cache.allCases) }
        if let node = keys["processors"] { settings.processors = try node.sweep(0...1023) }
        if let node = keys["sources"] { settings.sources = try node.integer(1...32) }
        if let node = keys["foreground"] { settings.foreground = try node.boolean() }
        if let node = keys["directory"] { settings.directory = try node.path() }
        if let node = keys["fileSize"] { settings.fileSize = try node.bytes(fileRange) }
        if let node = keys["access"] { settings.access = try node.choice(BenchSettings.Access.allCases) }
        if let node = keys["direct"] { settings.direct = try node.boolean() }
        if let node = keys["nodes"] {
            let sides = try node.mapping(["source", "destination"])
            if let side = sides["source"] { settings.sourceNode = try side.integer(0...1023) }
            if let side = sides["destination"] { settings.destinationNode = try side.integer(0...1023) }
        }
        if let node = keys["segments"] {
            let sides = try node.mapping(["source", "destination"])
            if let side = sides["source"] { settings.sourceSegments = try side.integer(1...256) }
            if let side = sides["destination"] { settings.destinationSegments = try side.integer(1...256) }
        }
    }

    /// A case for each combination of what may vary although rows do not show it: the case's name does.
    private static func varied(
        _ sweep: BenchCase, _ sections: [ConfigurationNode?]
    ) throws(ConfigurationError) -> [BenchCase] {
        var (batches, memories): ([Int?], [Int]) = ([sweep.settings.batch], [sweep.settings.memory])
        for keys in sections.compactMap(\.self) {
            if let node = keys["batch"] { batches = try node.sweep(depthRange) }
            if let node = keys["memory"] { memories = try node.sweep(memoryRange, isBytes: true) }
        }
        return batches.flatMap { batch in
            memories.map { memory in
                var one = sweep
                (one.settings.batch, one.settings.memory) = (batch, memory)
                if batches.count > 1, let batch { one.name += ", batch \(batch)" }
                if memories.count > 1 { one.name += ", \(ByteSize.exact(memory)) of memory" }
                return one
            }
        }
    }

    /// The parsed tree of the text.
    private static func document(_ text: String, _ file: String) throws(ConfigurationError) -> Node {
        func failure(_ mark: Mark?, _ problem: String) -> ConfigurationError {
            ConfigurationError(file: file, line: mark?.line ?? 1, column: mark?.column ?? 1, problem: problem, allowed: "")
        }
        guard text.utf8.count <= 256 << 10 else { throw failure(nil, "the file is larger than 256 KiB") }
        // Nested aliases can expand to more than fits in memory.
        if let line = manyAliases(text) {
            throw ConfigurationError(file: file, line: line, column: 1, problem: "more than 32 aliases", allowed: "")
        }
        // The reader calls itself for each level.
        if let line = tooDeep(text) {
            throw ConfigurationError(
                file: file, line: line, column: 1, problem: "more than 32 levels of nesting", allowed: "")
        }
        do {
            guard let node = try Yams.compose(yaml: text) else { throw failure(nil, "the file is empty") }
            return node
        } catch let error as ConfigurationError {
            throw error
        } catch let error as YamlError {
            switch error {
            case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
                .composer(_, let problem, let mark, _):
                throw failure(mark, problem)
            case .duplicatedKeysInMapping(let keys, let context):
                throw failure(context.mark, "\(keys.sorted().joined(separator: ", ")) stands there twice")
            case .reader(let problem, _, _, _): throw failure(nil, problem)
            default: throw failure(nil, "\(error)")
            }
        } catch {
            throw failure(nil, "\(error)")
        }
    }

    /// The line of the 33rd alias, or of what looks like one.
    private static func manyAliases(_ text: String) -> Int? {
        var (line, found, before) = (1, 0, UInt8(0))
        for byte in text.utf8 {
            if byte == UInt8(ascii: "\n") { line += 1 }
            // An asterisk with a name behind it.
            if before == UInt8(ascii: "*"), byte > UInt8(ascii: " "), byte != before { found += 1 }
            if found > 32 { return line }
            before = byte
        }
        return nil
    }

    /// The first line in which brackets or dashes are nested more than 32 levels deep.
    private static func tooDeep(_ text: String) -> Int? {
        var (depth, line, dashes) = (0, 1, 0)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\n"): (line, dashes) = (line + 1, 0)
            case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
            // Those in comments and quotes close nothing.
            case UInt8(ascii: "]"), UInt8(ascii: "}"): depth = max(depth - 1, 0)
            case UInt8(ascii: "-"), UInt8(ascii: "?"): dashes += 1
            case UInt8(ascii: " "): break
            default: dashes = 0
            }
            if depth > 32 || dashes > 32 { return line }
        }
        return nil
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMABench
import DMAReport
import Foundation
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

@Suite("The report's text")
struct ReportTests {
    @Test("it fetches nothing and runs nothing")
    func selfContained() {
        let text = HTMLReport(Sample.result()).text
        for word in ["<script", "<link", "<img", "<iframe", "@import", "url(", "javascript:", "onload", "onclick"] {
            #expect(!text.contains(word), "\(word)")
        }
        // The only address is a name: that of SVG itself.
        let addresses = text.components(separatedBy: "http").dropFirst().filter {
            !$0.hasPrefix("://www.w3.org/2000/svg") && !$0.hasPrefix("-equiv")
        }
        #expect(addresses.isEmpty)
        #expect(text.contains("default-src 'none'"))
        #expect(text.utf8.count < 400_000)
    }

    @Test("a time series has a chart for each size, and long ones are thinned")
    func course() {
        var result = Sample.result()
        #expect(!HTMLReport(result).text.contains("Speed over time"))
        for index in result.rows.indices where result.rows[index].name == "Copies by size" {
            let speeds = (0..<1200).map { Double($0 % 7 + index) * 1e9 }
            result.rows[index].series = SpeedSeries(interval: 0.01, bytesPerSecond: [speeds, Array(speeds.dropLast(3))])
        }
        let text = HTMLReport(result).text
        let figures = text.components(separatedBy: "<figure").dropFirst().filter { $0.contains("<h3>Speed over time at ") }
        #expect(figures.count == Sample.sizes.count)
        for figure in figures {
            #expect(figure.components(separatedBy: "class=\"series").count == 2 * Sample.engines.count + 1)
            #expect(figure.contains("<td class=\"n\">0.01 s</td>") && figure.contains("seconds from the beginning"))
            #expect(figure.utf8.count < 200_000)
        }
    }

    @Test("hostile names stay text")
    func hostile() {
        let evil = "</title><script>alert(1)</script>\"'&<img src=x onerror=alert(2)>\u{202e}\u{0}"
        var result = Sample.result(engines: ["memcpy", evil], command: ["dmactl", evil, "two words", ""], name: evil)
        result.rows[1].notes = [evil]
        result.rows[2].failure = evil
        result.warnings = [evil]
        result.machine.processor = evil
        result.skipped = [SkippedPoint(point: BenchPoint(engine: evil, bytes: 1), reason: evil)]
        let text = HTMLReport(result, comparison: Comparison(result, since: result)).text
        #expect(!text.contains("<script"))
        #expect(!text.contains("<img"))
        #expect(!text.contains("\u{202e}"))
        #expect(!text.contains("\u{0}"))
        #expect(text.contains("&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"))
        #expect(text.contains("&#39;two words&#39; &#39;&#39;"))
    }

    @Test("each chart has a title, a description and a table with as many rows as it has points")
    func charts() throws {
        let text = HTMLReport(Sample.result()).text
        let figures = text.components(separatedBy: "<figure").dropFirst().map { $0.components(separatedBy: "</figure>")[0] }
        // Three by size, three percentile curves, three of modes and their curve; of files three by size and two curves, twice.
        #expect(figures.count == 3 + 3 + 3 + 1 + 2 * (3 + 2))
        for figure in figures {
            let pictures = figure.components(separatedBy: "<svg class=\"chart").dropFirst()
            #expect(pictures.count == 2)
            for picture in pictures {
                #expect(picture.contains("role=\"img\""))
                #expect(picture.contains("<title id=") && picture.contains("<desc id="))
            }
            #expect(figure.contains("<details>"))
        }
        for figure in figures.prefix(3) {
            let rows = figure.components(separatedBy: "<tr><th scope=\"row\"").count - 1
            let points = figure.components(separatedBy: "<g class=\"point\">").count - 1
            #expect(rows == Sample.sizes.count * Sample.engines.count)
            // Each picture is drawn twice: wide and narrow.
            #expect(points == 2 * rows)
        }
    }

    @Test("files have charts of their own: pread or pwrite is in them, memcpy is not; nor are files in those of memory")
    func files() throws {
        let text = HTMLReport(Sample.result()).text
        for (operation, call) in [("fromPeripheral", "pread"), ("toPeripheral", "pwrite")] {
            let section = try #require(text.components(separatedBy: "<h2>Files by size: \(operation)</h2>").last)
            let charts = section.components(separatedBy: "</section>")[0]
            #expect(charts.components(separatedBy: "<figure").count == 1 + 5)
            for name in [call, "io_uring", "other"] { #expect(charts.contains("<title>\(name), 64 KiB: ")) }
            #expect(!charts.contains("memcpy"))
        }
        let memory = try #require(text.components(separatedBy: "<h2>Copies by size</h2>").last)
        for name in ["pread", "pwrite", "io_uring"] {
            #expect(!memory.components(separatedBy: "</section>")[0].contains(name))
        }
        // An engine that is only here does not borrow the colour of one that is elsewhere.
        let colours = ["cpu, 64 B", "cpu-threads, 64 B", "io_uring, 64 KiB", "other, 64 KiB"].map { point -> String? in
            let before = text.components(separatedBy: "<title>\(point): ")[0]
            return before.components(separatedBy: "<g class=\"series s").last.map { String($0.prefix(1)) }
        }
        #expect(colours == ["0", "1", "2", "3"])
        // The rows have everything.
        let rows = try #require(text.components(separatedBy: "id=\"rows\"").last).components(separatedBy: "</section>")[0]
        #expect(rows.components(separatedBy: "<tr><th scope=\"row\">").count - 1 == Sample.result().rows.count)
        #expect(text.contains("fastest with a file"))
    }

    @Test("an SVG is well-formed XML", arguments: [true, false])
    func wellFormed(_ hostile: Bool) throws {
        let engines = hostile ? ["memcpy", "<&\"'>"] : Sample.engines
        let text = HTMLReport(Sample.result(engines: engines)).text
        let pictures = text.components(separatedBy: "<svg ").dropFirst().map {
            "<svg " + $0.components(separatedBy: "</svg>")[0] + "</svg>"
        }
        #expect(pictures.count > 10)
        for picture in pictures {
            let parser = XMLParser(data: Data(picture.utf8))
            #expect(parser.parse(), "\(String(describing: parser.parserError)): \(picture.prefix(200))")
        }
    }

    @Test("results that are odd make a report all the same")
    func odd() {
        var result = Sample.result()
        result.rows = []
        #expect(HTMLReport(result).text.contains("All rows"))
        result = Sample.result(engines: ["cpu"])
        for index in result.rows.indices {
            result.rows[index].bytesPerSecond = []
            result.rows[index].cpuSecondsPerGB = []
            result.rows[index].latency = nil
            result.rows[index].failure = "nothing worked"
        }
        let text = HTMLReport(result).text
        #expect(text.contains("nothing worked"))
        for word in ["nan", "NaN", "inf"] { #expect(!text.contains("\"\(word)") && !text.contains(" \(word) ")) }
        // As many contestants as no palette has: the charts are split.
        var many = Sample.result(engines: ["memcpy"])
        let sections = HTMLReport(many).text.components(separatedBy: "<section id=\"g").count
        for depth in [1, 2, 4, 8, 16, 32] {
            for threads in [1, 2, 4] {
                for size in [64, 4096] {
                    many.rows.append(
                        Sample.row(
                            "Copies by size", BenchPoint(engine: "cpu", bytes: size, depth: depth, threads: threads), speed: 1e9
                        ))
                }
            }
        }
        // One group of memcpy alone has become one for each number of threads.
        let split = HTMLReport(many).text
        #expect(split.components(separatedBy: "<section id=\"g").count == sections + 2)
        for picture in split.components(separatedBy: "<svg class=\"chart") {
            #expect(picture.components(separatedBy: "<g class=\"series").count - 1 <= 8)
        }
    }

    // MARK: Colours

    /// WCAG 2.2's relative luminance.
    func luminance(_ color: String) throws -> Double {
        let value = try #require(Int(color.dropFirst(), radix: 16))
        let channels = [value >> 16 & 255, value >> 8 & 255, value & 255].map { byte -> Double in
            let share = Double(byte) / 255
            return share <= 0.04045 ? share / 12.92 : pow((share + 0.055) / 1.055, 2.4)
        }
        return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]
    }

    func contrast(_ one: String, _ other: String) throws -> Double {
        let (a, b) = (try luminance(one), try luminance(other))
        return (max(a, b) + 0.05) / (min(a, b) + 0.05)
    }

    @Test("lines stand 3:1 against their ground, text 4.5:1, in both themes")
    func contrasts() throws {
        let text = HTMLReport(Sample.result()).text
        // The first two sets of variables are the light theme's and the dark one's.
        let themes = text.components(separatedBy: "--page:").dropFirst().prefix(2).map { set -> [String: String] in
            let pairs = ("--page:" + set.components(separatedBy: "}")[0]).components(separatedBy: ";").map {
                $0.components(separatedBy: ":")
            }
            return Dictionary(uniqueKeysWithValues: pairs.filter { $0.count == 2 }.map { ($0[0], $0[1]) })
        }
        #expect(themes.count == 2)
        for theme in themes {
            let card = try #require(theme["--card"])
            let page = try #require(theme["--page"])
            for number in 0..<8 { #expect(try contrast(try #require(theme["--s\(number)"]), card) >= 3) }
            for name in ["--ink", "--faint", "--good", "--bad"] {
                #expect(try contrast(try #require(theme[name]), card) >= 4.5)
                #expect(try contrast(try #require(theme[name]), page) >= 4.5)
            }
        }
    }
}

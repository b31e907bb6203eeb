// SPDX-License-Identifier: Apache-2.0

import DMABench
import DMAReport
import DMATestSupport
import Foundation
import Testing

/// Debian's chromium without a window. Everything it writes stays in a folder of its own.
struct Browser {
    static let path = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/snap/bin/chromium", "/usr/bin/google-chrome"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "dma-report-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    func end() { try? FileManager.default.removeItem(at: folder) }

    /// Opens a page; at most a minute.
    func open(_ page: URL, _ arguments: [String]) throws -> Command.Answer {
        try Command.run(
            [
                try #require(Self.path), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
                "--enable-logging=stderr", "--user-data-dir=\(folder.path)/profile",
            ] + arguments + [page.absoluteString])
    }
}

@Suite(
    "The report in a browser", .serialized,
    .enabled(if: Browser.path != nil, "chromium is not installed; run Scripts/setup --tests"))
struct BrowserTests {
    func matches(_ pattern: String, _ text: String) -> [String] {
        guard let expression = try? NSRegularExpression(pattern: pattern, options: [.dotMatchesLineSeparators]) else {
            return []
        }
        let whole = NSRange(text.startIndex..., in: text)
        return expression.matches(in: text, range: whole).compactMap {
            Range($0.range(at: $0.numberOfRanges - 1), in: text).map { String(text[$0]) }
        }
    }

    @Test("the browser finds every chart, each point and each table row, says nothing and fetches nothing")
    func elements() throws {
        let browser = try Browser()
        defer { browser.end() }
        let page = browser.folder.appending(path: "report.html")
        let result = Sample.result()
        try HTMLReport(result, comparison: Comparison(result, since: result)).text.write(
            to: page, atomically: true, encoding: .utf8)
        let netLog = browser.folder.appending(path: "net.json")
        let answer = try browser.open(page, ["--dump-dom", "--log-net-log=\(netLog.path)", "--window-size=1280,2000"])
        #expect(answer.status == 0)
        let dom = answer.output
        // What the parser made of it: had it found an error in our nesting, these would not fit.
        #expect(matches("<figure class=\"card\">", dom).count == 21)
        // The comparison comes first.
        let figures = matches("<figure class=\"card\">(.*?)</figure>", dom).dropFirst()
        for figure in figures.prefix(3) {
            #expect(matches("<svg class=\"chart (wide|narrow)\"", figure) == ["wide", "narrow"])
            let points = matches("<g class=\"point\"><title>([^<]*)</title>", figure)
            let rows = matches("<tr><th scope=\"row\">(.*?)</tr>", figure)
            #expect(rows.count == 15)
            #expect(points.count == 2 * rows.count)
            // The table says what the points say.
            for row in rows {
                let cells = matches("<td[^>]*>([^<]*)</td>", row)
                let name = row.components(separatedBy: "<")[0]
                #expect(points.contains { $0.hasPrefix("\(name), \(cells[0]): ") && $0.contains(cells[1]) }, "\(row)")
            }
        }
        let speeds = try #require(figures.first)
        let cpu = try #require(result.rows.first { $0.point.engine == "cpu" && $0.point.bytes == 16_384 })
        #expect(speeds.contains("cpu, 16 KiB: \(String(format: "%.2f", cpu.speed / 1e9)) GB/s"))
        #expect(
            matches("<tr><th scope=\"row\">", matches("<section id=\"rows\">(.*?)</section>", dom).first ?? "").count
                == result.rows.count)
        #expect(
            matches("<tr><th scope=\"row\">", matches("<section id=\"compared\">(.*?)</section>", dom).first ?? "").count
                == result.rows.count)
        #expect(!answer.errors.contains("CONSOLE"), "\(answer.errors)")
        #expect(try requests(netLog, of: page).isEmpty)
    }

    /// What a page asked for beside itself; the browser's own calls home, which a distribution may not have turned off, are not
    /// the page's.
    func requests(_ netLog: URL, of page: URL) throws -> [String] {
        let log = try String(contentsOf: netLog, encoding: .utf8)
        let own = ["google.com", "googleapis.com", "gvt1.com", "gstatic.com"]
        return matches("\"url\":\"([^\"]*)\"", log).filter { address in
            let host = URL(string: address)?.host() ?? ""
            return address != page.absoluteString && !address.hasPrefix("data:") && !address.hasPrefix("chrome")
                && !own.contains { host == $0 || host.hasSuffix("." + $0) }
        }
    }

    @Test("a page that does fetch is noticed: the check above can fail")
    func counterexample() throws {
        let browser = try Browser()
        defer { browser.end() }
        let page = browser.folder.appending(path: "bad.html")
        let address = "http://127.0.0.1:9/picture.png"
        try "<!DOCTYPE html><script>console.log('spoken')</script><img src='\(address)'>".write(
            to: page, atomically: true, encoding: .utf8)
        let netLog = browser.folder.appending(path: "net.json")
        let answer = try browser.open(page, ["--dump-dom", "--log-net-log=\(netLog.path)"])
        #expect(answer.errors.contains("CONSOLE"))
        #expect(try requests(netLog, of: page).contains(address))
        // The report's own policy stops an injected script, and the browser reports it.
        let report = HTMLReport(Sample.result()).text.replacingOccurrences(
            of: "</body>", with: "<script>console.log('in')</script><img src=\"http://127.0.0.1:9/x\"></body>")
        try report.write(to: page, atomically: true, encoding: .utf8)
        let second = try browser.open(page, ["--dump-dom"])
        #expect(second.errors.contains("Content Security Policy"))
        #expect(!second.errors.contains("\"in\""))
    }

    /// What a script in the page finds wrong: text that leaves its card or its picture, texts of a picture that lie on each other, a page wider
    /// than the window, text without contrast. One line each; the first says how much was looked at.
    private static let measuring = """
        const wrong = [], shown = e => e.getClientRects().length > 0, name = e => e.textContent.trim().slice(0, 60);
        let texts = 0, pictures = 0;
        const light = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => { x /= 255; return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; });
          return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
        const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
          if (!c.endsWith(', 0)') && c !== 'transparent') return c; } return 'rgb(255,255,255)'; };
        if (document.documentElement.scrollWidth > innerWidth) wrong.push('the page is ' + document.documentElement.scrollWidth + ' wide');
        for (const e of document.querySelectorAll('h1,h2,h3,p,li,b,span,small,a,th,td,dt,dd,summary,svg text')) {
          if (!shown(e) || !e.textContent.trim() || e.querySelector('svg,table')) continue;
          texts++;
          const box = e.getBoundingClientRect(), card = (e.closest('svg') || e.closest('.scroll,.card,.tile,header,main,footer')).getBoundingClientRect();
          const scrolls = e.closest('.scroll') && !e.closest('svg');
          if (!scrolls && (box.left < card.left - 1 || box.right > card.right + 1)) wrong.push('leaves its place: ' + name(e));
          if (getComputedStyle(e).overflow !== 'visible' && e.scrollWidth > e.clientWidth + 1) wrong.push('is cut: ' + name(e));
          const style = getComputedStyle(e), ink = light(e.closest('svg') ? style.fill : style.color), paper = light(ground(e));
          const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
          if (contrast < 4.5) wrong.push('contrast ' + contrast.toFixed(2) + ': ' + name(e));
        }
        for (const svg of document.querySelectorAll('svg')) {
          if (!shown(svg)) continue;
          pictures++;
          const boxes = [...svg.querySelectorAll('text')].map(e => [name(e), e.getBoundingClientRect()]);
          boxes.forEach(([a, x], i) => boxes.slice(i + 1).forEach(([b, y]) => {
            if (x.left < y.right - 1 && y.left < x.right - 1 && x.top < y.bottom - 2 && y.top < x.bottom - 2) wrong.push('lie on each other: ' + a + ' and ' + b);
          }));
        }
        document.documentElement.innerHTML = '<body><pre>LOOKED ' + texts + ' ' + pictures + '\\n'
          + wrong.map(w => 'WRONG ' + w.replace(/[<&]/g, ' ')).join('\\n') + '</pre></body>';
        """

    @Test(
        "nothing lies on anything else, leaves its place or is cut, and text has contrast, in wide and narrow windows, light and dark",
        arguments: [1280, 800, 390], [false, true])
    func measured(width: Int, dark: Bool) throws {
        let browser = try Browser()
        defer { browser.end() }
        let page = browser.folder.appending(path: "report.html")
        let result = Sample.result()
        var slower = result
        for index in slower.rows.indices {
            slower.rows[index].bytesPerSecond = slower.rows[index].bytesPerSecond.map { $0 * (index % 3 == 0 ? 0.4 : 1.1) }
        }
        let text = HTMLReport(slower, comparison: Comparison(slower, since: result)).text
            .replacing("default-src 'none'; style-src 'unsafe-inline'", with: "")
            .replacing("</body>", with: "<script>\(Self.measuring)</script></body>")
        func findings(_ text: String) throws -> (looked: [Int], wrong: [Substring]) {
            try text.write(to: page, atomically: true, encoding: .utf8)
            let scheme = dark ? ["--blink-settings=preferredColorScheme=0"] : []
            let answer = try browser.open(page, ["--dump-dom", "--hide-scrollbars", "--window-size=\(width),1600"] + scheme)
            let lines = answer.output.split(separator: "\n")
            let looked = lines.first { $0.contains("LOOKED") }?.split(separator: " ").compactMap { Int($0) } ?? []
            return (looked, lines.filter { $0.contains("WRONG") })
        }
        let found = try findings(text)
        try #require(found.looked.count == 2)
        #expect(found.looked[0] > 300 && found.looked[1] > 30)
        #expect(found.wrong.isEmpty, "\(found.wrong.prefix(20).joined(separator: "\n"))")
        // What is wrong is noticed.
        let bad = text.replacing(
            "</style>",
            with:
                "h1{white-space:nowrap;width:5000px}svg .ticks text{font-size:60px}.lead{color:#99999944;background:#999}</style>"
        )
        let worse = try findings(bad).wrong.joined(separator: "\n")
        for word in ["the page is", "leaves its place", "lie on each other", "contrast"] {
            #expect(worse.contains(word), "\(word)")
        }
    }

    @Test(
        "it prints: a page or more, text that can be searched",
        .enabled(
            if: FileManager.default.isExecutableFile(atPath: "/usr/bin/pdftotext"),
            "pdftotext is not installed; run Scripts/setup --tests"))
    func prints() throws {
        let browser = try Browser()
        defer { browser.end() }
        let page = browser.folder.appending(path: "report.html")
        // Longer than a line of the page: what does not fit is wrapped, not cut.
        let command = ["dmactl", "bench"] + (0..<20).flatMap { ["--size", "\($0 + 1)KiB"] } + ["--seconds", "0.125"]
        try HTMLReport(Sample.result(command: command)).text.write(to: page, atomically: true, encoding: .utf8)
        let pdf = browser.folder.appending(path: "report.pdf")
        _ = try browser.open(page, ["--print-to-pdf=\(pdf.path)", "--no-pdf-header-footer"])
        let text = try Command.run(["pdftotext", "-layout", pdf.path, "-"]).output
        #expect(text.contains("--seconds") && text.contains("0.125"), "the command is cut")
        #expect(text.contains("Throughput by size"))
        // The tables behind the charts are on paper too.
        #expect(text.contains("contestant"))
        let pages = text.filter { $0 == "\u{c}" }.count
        #expect((2...12).contains(pages))
    }
}

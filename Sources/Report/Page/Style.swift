// SPDX-License-Identifier: Apache-2.0

/// The report's look.
///
/// The colours were chosen after Okabe and Ito's palette, darkened (or, on dark, lightened) until each stands at least 3:1
/// against its ground (WCAG 2.2, 1.4.11); the tests calculate that. Lines differ by dash and marker too.
enum Style {
    /// Grounds and lines of the two themes: the tests read them here.
    static let light = Palette(
        page: "#f6f7f9", card: "#ffffff", ink: "#17202b", faint: "#566170", rule: "#dde2e8", good: "#1a7f37", bad: "#cf222e",
        series: ["#0067a5", "#c44e00", "#007a5a", "#a23c83", "#8a6400", "#5a4fc0", "#b3223b", "#59636e"])
    static let dark = Palette(
        page: "#10151c", card: "#18202a", ink: "#e8edf3", faint: "#9fabb9", rule: "#2c3744", good: "#56d364", bad: "#ff7b72",
        series: ["#5cb6f2", "#ff9a57", "#3fcf9f", "#eb93cf", "#e4bb45", "#a8a0ff", "#ff8494", "#a9b4c0"])

    struct Palette {
        let page: String
        let card: String
        let ink: String
        let faint: String
        let rule: String
        /// Of verdicts, which are no contestants.
        let good: String
        let bad: String
        let series: [String]

        var variables: String {
            let lines = series.enumerated().map { "--s\($0):\($1)" }.joined(separator: ";")
            return
                "--page:\(page);--card:\(card);--ink:\(ink);--faint:\(faint);--rule:\(rule);--good:\(good);--bad:\(bad);\(lines)"
        }
    }

    static var sheet: String {
        let colors = light.series.indices.map { "svg .s\($0),svg.s\($0){--c:var(--s\($0))}" }.joined()
        return """
            :root{color-scheme:light dark;\(light.variables)}
            @media (prefers-color-scheme:dark){:root{\(dark.variables)}}
            *{box-sizing:border-box}html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
            @media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
            body{margin:0;background:var(--page);color:var(--ink);
            font:16px/1.5 system-ui,-apple-system,"Segoe UI","Noto Sans","Liberation Sans",sans-serif}
            header,main,footer{max-width:1240px;margin:0 auto;padding:0 24px}
            header{padding-top:32px}
            .kicker{margin:0;color:var(--faint);font:600 13px/1.4 ui-monospace,"DejaVu Sans Mono",monospace;
            letter-spacing:.02em}
            h1{margin:2px 0 6px;font-size:28px;line-height:1.2;letter-spacing:-.01em}
            h2{margin:44px 0 4px;font-size:21px;line-height:1.3}h3{margin:0;font-size:16px}
            .facts,.lead,footer{color:var(--faint);font-size:14px}.facts{margin:0}.lead{margin:0 0 14px}
            .warnings{list-style:none;margin:16px 0 0;padding:0;display:grid;gap:6px}
            .warnings li{background:var(--card);border:1px solid var(--rule);border-left:4px solid var(--s4);
            border-radius:6px;padding:8px 12px;font-size:14px}
            .warnings li.bad{border-left-color:var(--s6)}
            .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:12px;margin:20px 0}
            .tile{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:14px 16px;display:flex;
            flex-direction:column}
            .tile b{font-size:24px;line-height:1.2;font-variant-numeric:tabular-nums}.tile span{font-weight:600;
            font-size:14px}.tile small{color:var(--faint);font-size:13px}
            nav{display:flex;flex-wrap:wrap;gap:6px 18px;padding:10px 0;border-top:1px solid var(--rule);
            border-bottom:1px solid var(--rule)}
            a{color:var(--s0)}nav a{font-size:14px}
            a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--s0);outline-offset:2px}
            .grid2{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,520px),1fr));gap:18px}
            .card{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:16px 18px;margin:0;
            min-width:0}
            section>.card{margin-top:12px}
            .grid2 figure.card{display:grid;grid-row:span 4;grid-template-rows:subgrid;row-gap:0}
            .keep{display:contents}figcaption{grid-row:1}.legend{grid-row:2}.plot{grid-row:3;container-type:inline-size}
            details{grid-row:4}
            figcaption p{margin:2px 0 0;color:var(--faint);font-size:13px}
            .legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 18px;margin:10px 0 4px;padding:0;font-size:13px}
            .legend li{display:flex;align-items:center;gap:7px}
            svg.chart{display:block;width:100%;height:auto;margin-top:6px;font-family:inherit}svg.narrow{display:none}
            @container (max-width:470px){svg.chart.wide{display:none}svg.chart.narrow{display:block}}
            \(colors)
            svg text{fill:var(--ink);font-size:12px;font-variant-numeric:tabular-nums}
            svg .ticks text{fill:var(--faint)}svg .ticks.y text{text-anchor:end}svg .ticks.x text{text-anchor:middle}
            svg .axis{fill:var(--faint);text-anchor:middle}svg .axis.y{text-anchor:start}
            svg .grid path{stroke:var(--rule);fill:none}
            svg .line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}
            svg .mark>*{fill:var(--c);stroke:var(--card);stroke-width:1}
            svg .whisker{fill:none;stroke:var(--c);stroke-width:1;opacity:.75}
            svg .end{fill:var(--c);font-size:11px}
            svg.track{display:block;width:100%;min-width:240px;overflow:visible}
            svg.good{--c:var(--good)}svg.bad{--c:var(--bad)}svg.neutral{--c:var(--faint)}
            svg .grid{stroke:var(--rule)}svg.track .whisker{stroke-width:1.5;opacity:1}
            .dots td,.dots th{vertical-align:middle}.dots td.plot{padding-top:0;padding-bottom:0;width:34%}
            .dots th[scope=row]{white-space:normal;min-width:17em}.dots td:last-child{white-space:normal;min-width:14em}
            .dots td.good{color:var(--good);font-weight:600}.dots td.bad{color:var(--bad);font-weight:600}
            .dots small{color:var(--faint);font-size:12px;display:block}
            svg .ghost{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:5 4;fill:none;opacity:.6}
            svg .bar{fill:var(--c)}svg .reference{stroke:var(--ink);stroke-width:2;fill:none}svg .value{font-weight:600}
            svg .point:hover .mark>*,svg .point:hover .bar{stroke:var(--ink);stroke-width:1.5}
            details{align-self:end;padding-top:8px;font-size:14px}summary{cursor:pointer;color:var(--faint);
            width:fit-content}
            .scroll{overflow-x:auto;margin-top:8px;background:
            linear-gradient(90deg,var(--card) 40%,transparent),linear-gradient(270deg,var(--card) 40%,transparent) 100% 0,
            linear-gradient(90deg,var(--faint),transparent),linear-gradient(270deg,var(--faint),transparent) 100% 0;
            background-repeat:no-repeat;background-size:48px 100%,48px 100%,12px 100%,12px 100%;
            background-attachment:local,local,scroll,scroll}
            table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;white-space:nowrap;width:100%}
            th,td{padding:5px 10px;text-align:left;border-bottom:1px solid var(--rule);font-weight:400}
            thead th{color:var(--faint);font-weight:600}.n{text-align:right}
            tbody tr:hover{background:color-mix(in srgb,var(--s0) 8%,transparent)}
            dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr));gap:6px 24px;margin:0}
            dl div{display:flex;gap:10px}dt{color:var(--faint);flex:0 0 9.5em;font-size:14px}dd{margin:0;
            overflow-wrap:anywhere;font-size:14px}
            .card h3{margin-top:14px}.card figcaption h3,.card>h3:first-child{margin-top:0}.card ul{margin:6px 0;
            padding-left:20px;font-size:14px}.card ul.legend{padding:0}
            pre{margin:6px 0;padding:10px 12px;background:var(--page);border:1px solid var(--rule);border-radius:6px;
            overflow-x:auto;font-size:13px}
            code{font-family:ui-monospace,"DejaVu Sans Mono",monospace}
            footer{margin-top:40px;padding-top:14px;padding-bottom:32px;border-top:1px solid var(--rule);max-width:1192px}
            @media (max-width:640px){header,main,footer{padding-left:14px;padding-right:14px}h1{font-size:22px}
            .dots,.dots tbody,.dots tr,.dots th[scope=row],.dots td{display:block;width:auto}.dots thead{display:none}
            .dots tr{border-bottom:1px solid var(--rule);padding:6px 0}.dots td,.dots th{border:0;padding:1px 0}
            .dots{white-space:normal}.dots td.plot{width:auto}.dots td.n{display:inline-block;text-align:left;margin-right:14px}
            .dots td[data-head]::before{content:attr(data-head)" ";color:var(--faint)}
            .card{padding:12px}.tiles{grid-template-columns:1fr 1fr}.tile b{font-size:19px}.tile{padding:10px 12px}}
            @media print{@page{margin:12mm}@page wide{size:landscape;margin:12mm}
            :root{color-scheme:light;\(light.variables);--page:#fff}
            body{font-size:10pt}header,main,footer{max-width:none;padding:0}nav{display:none}h1{font-size:18pt}
            h2{break-after:avoid;margin:14pt 0 2pt;font-size:13pt}.lead{break-after:avoid;margin-bottom:6pt}
            .tile,tr,.keep{break-inside:avoid}.grid2 figure.card,.keep{display:block}
            svg.track{min-width:120pt}.dots th[scope=row],.dots td:last-child{min-width:0}
            .dots td.plot{width:34%}.dots small{font-size:6pt}
            thead{display:table-header-group}.card{break-inside:auto}#rows{page:wide}#rows .card{
            border:0;padding:0}#rows .n{white-space:nowrap!important}
            .tiles{grid-template-columns:repeat(4,1fr);gap:6pt;margin:8pt 0}.tile{padding:6pt 8pt}.tile b{font-size:14pt}
            .grid2{grid-template-columns:1fr 1fr;gap:8pt}.card{padding:8pt}
            svg.chart.wide{display:none!important}svg.chart.narrow{display:block!important}
            details>summary{display:none}details::details-content{content-visibility:visible;display:block;height:auto}
            table{font-size:6.5pt}th,td{padding:1.5pt 3pt}.grid2 table{font-size:5.8pt}
            .grid2 th,.grid2 td{padding:1.2pt 2pt}td,th{white-space:normal}.scroll{overflow:visible;
            background:none;margin-top:2pt}pre{white-space:pre-wrap;overflow:visible;overflow-wrap:anywhere}
            .card{border-color:#bbb}a{color:inherit;text-decoration:none}*{-webkit-print-color-adjust:exact;
            print-color-adjust:exact}}
            """
    }
}

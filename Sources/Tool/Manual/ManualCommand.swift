// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FoundationEssentials

/// Writes the man pages, from the same texts as `--help`. Scripts/install calls it; it is not listed.
struct ManualCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "manual",
        abstract: "Print a man page.",
        discussion: """
            EXAMPLES
              dmactl manual | man -l -
              dmactl manual bench | man -l -
              dmactl manual --directory share/man/man1
            """,
        shouldDisplay: false)

    @Argument(help: "The command; dmactl itself, where none is given.")
    var command: String?
    @Option(help: "Write all pages into this directory instead.", completion: .directory)
    var directory: String?

    func run() throws {
        let pages = try ManualPage.all()
        if let directory {
            for page in pages { try File.write(page.text, to: "\(directory)/\(page.name).1") }
            return
        }
        let name = command.map { "dmactl-\($0)" } ?? "dmactl"
        guard let page = pages.first(where: { $0.name == name }) else {
            throw ValidationError("no page is called \(name); there are \(pages.map(\.name).joined(separator: ", "))")
        }
        print(page.text, terminator: "")
    }
}

/// The parts of ArgumentParser's description of a command that a page shows.
private struct ToolDescription: Decodable {
    struct Name: Decodable {
        let kind: String
        let name: String

        var text: String { (kind == "long" ? "--" : "-") + name }
    }
    struct Argument: Decodable {
        /// "positional", "option" or "flag".
        let kind: String
        let abstract: String?
        let defaultValue: String?
        let names: [Name]?
        let isOptional: Bool
        let isRepeating: Bool
        let shouldDisplay: Bool
        let valueName: String?
    }
    struct Command: Decodable {
        let commandName: String
        let abstract: String?
        let discussion: String?
        let arguments: [Argument]?
        let subcommands: [Command]?
        let shouldDisplay: Bool
    }
    let command: Command
}

/// A page in the man macros (man(7)), which groff and mandoc both read.
struct ManualPage {
    /// Of the texts' last large change: a page has a date, and two builds of one source make the same page.
    private static let date = "2026-11-28"

    let name: String
    let text: String

    /// dmactl's own, then one for each command that is listed.
    static func all() throws -> [ManualPage] {
        let description = try JSONDecoder().decode(ToolDescription.self, from: Data(RootCommand._dumpHelp().utf8))
        let tool = description.command
        let shown = (tool.subcommands ?? []).filter { $0.shouldDisplay && $0.commandName != "help" }
        return [page(tool, under: nil, shown)] + shown.map { page($0, under: tool.commandName, []) }
    }

    private static func page(
        _ command: ToolDescription.Command, under tool: String?, _ subcommands: [ToolDescription.Command]
    ) -> ManualPage {
        let name = (tool.map { $0 + "-" } ?? "") + command.commandName
        let called = (tool.map { $0 + " " } ?? "") + command.commandName
        var lines = [
            ".\\\" SPDX-License-Identifier: Apache-2.0",
            ".TH \(escaped(name.uppercased())) 1 \"\(date)\" \"swift-dma \(RootCommand.configuration.version)\" \"User Commands\"",
            ".SH NAME", "\(escaped(name)) \\- \(escaped(lowered(command.abstract ?? "")))", ".SH SYNOPSIS",
        ]
        lines += synopsis(command, called, hasCommands: !subcommands.isEmpty)
        lines += [".SH DESCRIPTION", sentence(command.abstract ?? "")]
        var sections = discussion(command.discussion ?? "")
        if let first = sections.first, first.heading.isEmpty {
            lines.append(".PP")
            lines += first.lines.map { $0.isEmpty ? ".PP" : escaped($0) }
            // Empty lines at the end part nothing.
            while lines.last == ".PP" { lines.removeLast() }
            sections.removeFirst()
        }
        if !subcommands.isEmpty {
            lines.append(".SH COMMANDS")
            for one in subcommands {
                lines += [
                    ".TP", "\\fB\(escaped(one.commandName))\\fR",
                    "\(sentence(one.abstract ?? "")) See \\fB\(escaped(name))\\-\(escaped(one.commandName))\\fR(1).",
                ]
            }
        }
        lines.append(".SH OPTIONS")
        for argument in command.arguments ?? [] where argument.shouldDisplay { lines += option(argument) }
        for section in sections {
            lines.append(".SH \(escaped(section.heading))")
            lines += body(section)
        }
        if !subcommands.isEmpty || tool != nil {
            let others = tool.map { [$0] } ?? subcommands.map { "\(name)-\($0.commandName)" }
            lines += [".SH SEE ALSO", others.map { "\\fB\(escaped($0))\\fR(1)" }.joined(separator: ", ")]
        }
        return ManualPage(name: name, text: lines.filter { !$0.isEmpty }.joined(separator: "\n") + "\n")
    }

    /// A line for each form of the command, with its operands in capitals.
    private static func synopsis(_ command: ToolDescription.Command, _ called: String, hasCommands: Bool) -> [String] {
        let own = RootCommand.configuration.subcommands.first { $0.configuration.commandName == command.commandName }
        let forms: [String]
        if let usage = own?.configuration.usage {
            forms = usage.split(separator: "\n").map { String($0.drop { $0 == " " }) }
        } else {
            let operands = (command.arguments ?? []).filter { $0.kind == "positional" && $0.shouldDisplay }.map { argument in
                let name = "<\(argument.valueName ?? "value")>" + (argument.isRepeating ? "..." : "")
                return argument.isOptional ? "[\(name)]" : name
            }
            forms = [([called] + (hasCommands ? ["<command>"] : []) + ["[<options>]"] + operands).joined(separator: " ")]
        }
        return forms.enumerated().flatMap { number, form in
            let operands = form.dropFirst(called.count).split(separator: " ").map { word in
                guard let open = word.firstIndex(of: "<"), let close = word.lastIndex(of: ">") else {
                    return "\\fB\(escaped(String(word)))\\fR"
                }
                let name = word[word.index(after: open)..<close].uppercased()
                return word[..<open] + "\\fI\(escaped(name))\\fR" + word[word.index(after: close)...]
            }
            return (number == 0 ? [] : [".br"]) + [(["\\fB\(escaped(called))\\fR"] + operands).joined(separator: " ")]
        }
    }

    private static func option(_ argument: ToolDescription.Argument) -> [String] {
        // Operands of one argument are told apart by their names alone.
        let value = (argument.valueName ?? "value").replacing("> <", with: ", ").uppercased()
        let names = (argument.names ?? []).map {
            "\\fB\(escaped($0.text))\\fR" + (argument.kind == "option" ? " \\fI\(escaped(value))\\fR" : "")
        }
        let head = names.isEmpty ? "\\fI\(escaped(value))\\fR" : names.joined(separator: ", ")
        var text = sentence(argument.abstract ?? "")
        if let usual = argument.defaultValue, argument.kind == "option" { text += " Default: \(escaped(usual))." }
        if argument.isRepeating, argument.kind == "option", !text.contains("several times") {
            text += " May be given several times."
        }
        return [".TP", head, text]
    }

    /// A discussion in its sections: a line of capitals begins one; the part before has no heading.
    private static func discussion(_ text: String) -> [(heading: String, lines: [String])] {
        var sections: [(heading: String, lines: [String])] = [("", [])]
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
            let isHeading = !line.isEmpty && line.allSatisfy { $0.isUppercase || $0 == " " }
            if isHeading { sections.append((line, [])) } else { sections[sections.count - 1].lines.append(line) }
        }
        return sections.filter { !$0.heading.isEmpty || $0.lines.contains { !$0.isEmpty } }
    }

    /// Examples as they stand; what has two columns as a list.
    private static func body(_ section: (heading: String, lines: [String])) -> [String] {
        let lines = section.lines.filter { !$0.isEmpty }.map { String($0.drop { $0 == " " }) }
        guard section.heading != "EXAMPLES" else { return [".nf"] + lines.map(escaped) + [".fi"] }
        return lines.flatMap { line -> [String] in
            let word = line.prefix { $0 != " " }
            return [".TP", "\\fB\(escaped(String(word)))\\fR", escaped(String(line.dropFirst(word.count).drop { $0 == " " }))]
        }
    }

    private static func lowered(_ text: String) -> String {
        let text = text.hasSuffix(".") ? String(text.dropLast()) : text
        return text.prefix(1).lowercased() + text.dropFirst()
    }

    private static func sentence(_ text: String) -> String {
        escaped(text.isEmpty || text.hasSuffix(".") ? text : text + ".")
    }

    /// Nothing in a text is a request or an escape.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            case "…": result += "..."
            default: result.append(character)
            }
        }
        return result.hasPrefix(".") || result.hasPrefix("'") ? "\\&" + result : result
    }
}

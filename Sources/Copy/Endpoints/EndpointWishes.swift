// SPDX-License-Identifier: Apache-2.0

/// Holds what was asked for against what was found: a wish that these endpoints cannot follow is refused, and never left out in silence.
struct EndpointWishes {
    let options: CopyOptions

    /// - Throws: `badOption`, with the property of ``CopyOptions`` as its subject.
    func check(_ source: CopySource, _ target: TargetSite) throws(CopyFailure) {
        let (kind, place) = (target.kindForPeople, CopyFailure.quoted(target.name))
        func refuse(_ option: String, _ asked: String, _ reason: String, _ cure: String) -> CopyFailure {
            CopyFailure(.badOption, option, asked: asked, possible: reason, cure: cure)
        }
        if case .file = target {
        } else {
            let reason =
                switch options.treatment {
                case .replace: ""
                case .append: "has no end to write behind"
                case .resume: "keeps no journal to go on by"
                case .inPlace: "is never replaced by a new file"
                }
            if !reason.isEmpty {
                throw refuse(options.treatment.rawValue, "follow", "\(place) is \(kind), which \(reason)", "leave it out")
            }
        }
        if case .device = target {
        } else {
            if options.overwritesDevices {
                throw refuse(
                    "overwritesDevices", "follow", "it is said of a block device, and \(place) is \(kind)", "leave it out")
            }
            if options.discards {
                throw refuse(
                    "discards", "follow", "blocks are discarded of a block device, and \(place) is \(kind)", "leave it out")
            }
        }
        if options.treatment == .resume, source.facts?.kind.hasPlaces != true {
            throw refuse(
                "resume", "follow",
                "\(CopyFailure.quoted(source.name)) is not a file or device, so its state cannot be compared",
                "leave it out")
        }
        guard options.preserves else { return }
        if case .file = target, source.facts?.kind == .regular {
        } else {
            throw refuse("preserves", "follow", "owner and attributes go from a file to a file", "leave it out")
        }
        if options.treatment == .append {
            throw refuse("preserves", "follow", "a file that is appended to stays whose it is", "leave it out")
        }
    }
}

extension TargetSite {
    /// What it is, for a sentence.
    fileprivate var kindForPeople: String {
        switch self {
        case .local: "no file"
        case .device: "a block device"
        case .file(let site): site.existing == nil ? "a new file" : "a regular file"
        case .stream(_, _, let facts):
            switch facts.kind {
            case .pipe: "a pipe"
            case .socket: "a socket"
            case .character: "a character device"
            default: "standard output"
            }
        }
    }
}

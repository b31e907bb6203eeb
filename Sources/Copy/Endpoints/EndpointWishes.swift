// SPDX-License-Identifier: Apache-2.0

/// Compares the options with the endpoints: an option that they cannot support is refused, never ignored.
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
                case .append: "cannot be appended to"
                case .resume: "cannot keep an unfinished copy"
                case .inPlace: "is always written in place"
                }
            if !reason.isEmpty {
                throw refuse(options.treatment.rawValue, "apply", "\(place) is \(kind), and \(reason)", "Leave it out.")
            }
        }
        if case .device = target {
        } else {
            if options.overwritesDevices {
                throw refuse(
                    "overwritesDevices", "apply", "it confirms overwriting a block device, and \(place) is \(kind)",
                    "Leave it out.")
            }
            if options.discards {
                throw refuse(
                    "discards", "apply", "only the blocks of a block device can be discarded, and \(place) is \(kind)",
                    "Leave it out.")
            }
        }
        if options.treatment == .resume, source.facts?.kind.hasPlaces != true {
            throw refuse(
                "resume", "apply",
                "\(CopyFailure.quoted(source.name)) is not a file or device, so it cannot be compared with what was copied",
                "Leave it out.")
        }
        guard options.preserves else { return }
        if case .file = target, source.facts?.kind == .regular {
        } else {
            throw refuse("preserves", "apply", "only files have an owner and attributes to copy", "Leave it out.")
        }
        if options.treatment == .append {
            throw refuse("preserves", "apply", "a file that is appended to keeps its own owner and attributes", "Leave it out.")
        }
    }
}

extension TargetSite {
    /// What it is, in words.
    fileprivate var kindForPeople: String {
        switch self {
        case .local: "not a file"
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

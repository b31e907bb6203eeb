// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMA
internal import DMACore

/// Copies between endpoints: opens them, plans, moves the bytes, verifies, publishes.
///
/// Thread rules: a copy runs on the thread that asks for it, and returns when it is over; ``CopyControl`` is for the others.
public struct Copier: Sendable {
    let system: DMASystem

    /// - Parameter system: whose engines may be used.
    public init(system: DMASystem = DMASystem()) { self.system = system }

    /// How this copy would be done, and why. Touches nothing.
    ///
    /// - Throws: what keeps the endpoints from being copied.
    public func plan(
        from source: Endpoint, to target: Endpoint, _ options: CopyOptions = CopyOptions()
    ) throws(CopyFailure) -> CopyPlan {
        try options.check()
        let opened = try CopySource(opening: source)
        let site = try TargetSite(target, source: opened)
        var folder: TargetFolder?
        if case .file(let place) = site { folder = try TargetFolder(place.directory) }
        return try plans(opened, site, folder, options).plan
    }

    /// Copies, and says what was done.
    ///
    /// - Parameters:
    ///   - source: where bytes come from.
    ///   - target: where they go.
    ///   - options: what is wanted.
    ///   - given: how, where it was made before; checked against the endpoints. nil makes one.
    ///   - control: for progress, and for a stop.
    /// - Throws: ``CopyFailure``. Unless the target is a device or a stream, or is overwritten in place, it is then what it was.
    public func copy(
        from source: Endpoint, to target: Endpoint, _ options: CopyOptions = CopyOptions(), plan given: CopyPlan? = nil,
        control: CopyControl = CopyControl()
    ) throws(CopyFailure) -> CopyReport {
        var copy = try StagedCopy(self, from: source, to: target, options, plan: given, CopySession(), control)
        try copy.move()
        try copy.publish()
        return copy.report
    }

    // MARK: Plans

    func plans(
        _ source: CopySource, _ target: TargetSite, _ folder: TargetFolder?, _ options: CopyOptions
    ) throws(CopyFailure) -> CopyPlans {
        try EndpointWishes(options: options).check(source, target)
        if let wish = options.engine { try checkEngine(wish) }
        // Looking for engines takes longer than many a copy: only a plan that needs one has them looked for.
        let mayBePlain = options.engine == nil && options.mode == nil && (options.depth ?? 1) == 1
        let facts = try CopyFacts(source, target, folder, engine: Self.anyEngine, mayBePlain: mayBePlain)
        var plans = CopyPlans(plan: try engaged(try CopyPlanner.plan(facts, options)))
        if plans.plan.path == .reflink, options.reflink == .auto {
            var options = options
            options.reflink = .never
            var unshared = try engaged(try CopyPlanner.plan(facts, options))
            unshared.reflink = .auto
            plans.unshared = unshared
        }
        return plans
    }

    /// The plan with the engine that it needs.
    private func engaged(_ made: CopyPlan) throws(CopyFailure) -> CopyPlan {
        var plan = made
        guard plan.path == .engine else { return plan }
        guard plan.engine == Self.anyEngine else {
            plan.tell(system.engines.first { $0.offer.name == plan.engine }?.waiver)
            return plan
        }
        guard let engine else {
            throw CopyFailure(
                .notSupported, "engine", asked: "find an", possible: "none that is here reaches files",
                cure: "see why in the list of engines")
        }
        plan.engine = engine.offer.name
        plan.tell(engine.waiver)
        return plan
    }

    /// Refuses what no endpoints could follow.
    ///
    /// - Throws: `badOption`.
    package func check(_ options: CopyOptions) throws(CopyFailure) {
        try options.check()
        if let wish = options.engine { try checkEngine(wish) }
    }

    /// Before anything is opened to be written: an engine that is not there would be missed after the target was emptied.
    private func checkEngine(_ wish: String) throws(CopyFailure) {
        let engines = system.engines
        func refuse(_ reason: String, _ fitting: [EngineListing]) -> CopyFailure {
            let names = fitting.map(\.offer.name).joined(separator: ", ")
            return CopyFailure(
                .badOption, "engine", asked: "take \"\(CopyFailure.quoted(wish))\" as", possible: reason,
                cure: names.isEmpty ? "leave it out" : names)
        }
        guard let found = engines.first(where: { $0.offer.name == wish || $0.channelNames.contains(wish) }) else {
            throw refuse("there is no such engine", engines)
        }
        if let absence = found.offer.absence { throw refuse(absence.reason, engines.filter(Self.reachesFiles)) }
        guard found.offer.capabilities.operations.contains(.peripheral) else {
            throw refuse("it reaches no files", engines.filter(Self.reachesFiles))
        }
    }

    /// A plan from outside: within its ranges, and for endpoints like these.
    static func fit(_ given: CopyPlan, to made: CopyPlan, _ source: CopySource) throws(CopyFailure) -> CopyPlan {
        try given.check()
        func refuse(_ field: String, _ value: String, _ possible: String) -> CopyFailure {
            CopyFailure(
                .badPlan, field, asked: "take \"\(value)\" as the plan's",
                possible: "between these endpoints it is \(possible)",
                cure: "make a plan for these endpoints")
        }
        func isFile(_ access: CopyPlan.Access) -> Bool { access == .direct || access == .buffered }
        guard isFile(given.source) == isFile(made.source), isFile(given.source) || given.source == made.source else {
            throw refuse("source", given.source.rawValue, made.source.rawValue)
        }
        guard isFile(given.target) == isFile(made.target), isFile(given.target) || given.target == made.target else {
            throw refuse("target", given.target.rawValue, made.target.rawValue)
        }
        guard given.publishing == made.publishing else {
            throw refuse("publishing", given.publishing.rawValue, "\(made.publishing.rawValue) with these options")
        }
        guard
            given.path == .engine || given.path == made.path
                || isFile(given.source) && isFile(given.target) && given.path != .memory
        else { throw refuse("path", given.path.rawValue, "\(made.path.rawValue) or engine") }
        guard given.holes != .keep || made.holes == .keep || made.holes == .none && source.size != nil else {
            throw refuse("holes", given.holes.rawValue, made.holes.rawValue)
        }
        return given
    }

    /// Stands in a plan until it is known whether one is needed.
    private static let anyEngine = "any"

    /// The first engine that reaches files.
    var engine: EngineListing? { system.engines.first(where: Self.reachesFiles) }

    private static func reachesFiles(_ listing: EngineListing) -> Bool {
        listing.offer.absence == nil && listing.offer.capabilities.operations.contains(.peripheral)
            && listing.offer.capabilities.commands.contains(PeripheralCommandSet(.flush))
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import CDMA
public import DMA
internal import DMACore

/// Copies between endpoints: opens them, plans, moves the bytes, verifies, publishes.
///
/// Thread rules: a copy runs on the calling thread and returns when it has ended. Other threads use its ``CopyControl``.
public struct Copier: Sendable {
    let system: DMASystem

    /// - Parameter system: the engines that may be used.
    public init(system: DMASystem = DMASystem()) { self.system = system }

    /// How this copy would be done, and why. Changes nothing.
    ///
    /// - Throws: the reason why it cannot be done.
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

    /// Copies, and reports what was done.
    ///
    /// - Parameters:
    ///   - source: where the data comes from.
    ///   - target: where it goes.
    ///   - options: what is requested.
    ///   - given: a plan that was made before, which is checked against the endpoints; nil makes one.
    ///   - control: reports progress, and cancels the copy.
    /// - Throws: ``CopyFailure``. The target is then unchanged, unless it is a device or a stream, or is overwritten in place.
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
        // Probing for engines takes longer than copying a small file: it is done only for a plan that needs one.
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

    /// The plan with the name of the engine that it needs.
    private func engaged(_ made: CopyPlan) throws(CopyFailure) -> CopyPlan {
        var plan = made
        guard plan.path == .engine else { return plan }
        guard plan.engine == Self.anyEngine else {
            plan.tell(system.engines.first { $0.offer.name == plan.engine }?.waiver)
            return plan
        }
        guard let engine else {
            throw CopyFailure(
                .notSupported, "engine", asked: "find an", possible: "no engine here can read and write files",
                cure: "The list of engines says why each is absent.")
        }
        plan.engine = engine.offer.name
        plan.tell(engine.waiver)
        return plan
    }

    /// Refuses options that no endpoints could support.
    ///
    /// - Throws: `badOption`.
    package func check(_ options: CopyOptions) throws(CopyFailure) {
        try options.check()
        if let wish = options.engine { try checkEngine(wish) }
    }

    /// Before the target is opened: a missing engine must not be noticed after the target has been emptied.
    private func checkEngine(_ wish: String) throws(CopyFailure) {
        let engines = system.engines
        func refuse(_ reason: String, _ fitting: [EngineListing]) -> CopyFailure {
            let names = fitting.map(\.offer.name).joined(separator: ", ")
            return CopyFailure(
                .badOption, "engine", asked: "use \"\(CopyFailure.quoted(wish))\" as", possible: reason,
                cure: names.isEmpty ? "Leave it out." : "Use one of these: \(names).")
        }
        guard let found = engines.first(where: { $0.offer.name == wish || $0.channelNames.contains(wish) }) else {
            throw refuse("there is no such engine", engines)
        }
        if let absence = found.offer.absence { throw refuse(absence.reason, engines.filter(Self.reachesFiles)) }
        guard found.offer.capabilities.operations.contains(.peripheral) else {
            throw refuse("it cannot read and write files", engines.filter(Self.reachesFiles))
        }
    }

    /// Checks a plan of the caller: its values, and whether it suits these endpoints.
    static func fit(_ given: CopyPlan, to made: CopyPlan, _ source: CopySource) throws(CopyFailure) -> CopyPlan {
        try given.check()
        func refuse(_ field: String, _ value: String, _ possible: String) -> CopyFailure {
            CopyFailure(
                .badPlan, field, asked: "use \"\(value)\" as the plan's", possible: "for these endpoints it is \(possible)",
                cure: "Make a plan for these endpoints.")
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

    /// The engine of a plan until it is known whether one is needed.
    private static let anyEngine = "any"

    /// The first engine that can read and write files.
    var engine: EngineListing? { system.engines.first(where: Self.reachesFiles) }

    private static func reachesFiles(_ listing: EngineListing) -> Bool {
        listing.offer.absence == nil && listing.offer.capabilities.operations.contains(.peripheral)
            && listing.offer.capabilities.commands.contains(PeripheralCommandSet(.flush))
    }
}

// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import DMASelfTest
public import ScriptedEngines

/// The engine below a program's channel.
public enum BottomEngine: Sendable, Hashable {
    /// Moves bytes, and reports wrongly.
    case lying(Lie)
    /// Moves nothing, and reports wrongly.
    case hostile(Misdeed)

    /// All of them.
    public static let all = Lie.allCases.map(BottomEngine.lying) + Misdeed.allCases.map(BottomEngine.hostile)

    /// For messages.
    public var name: String {
        switch self {
        case .lying(let lie): "lying/\(lie.rawValue)"
        case .hostile(let misdeed): "hostile/\(misdeed.rawValue)"
        }
    }

    /// Whether transactions that it reports complete are done, unless it counts the report as skipped.
    var isTruthfulOfBytes: Bool {
        if case .lying = self { return true }
        return false
    }

    func engine(_ oracle: MemoryOracle, seed: UInt64) -> AnyEngine {
        switch self {
        case .lying(let lie): AnyEngine(LyingEngine(lie, oracle, seed: seed))
        case .hostile(let misdeed): AnyEngine(HostileEngine(misdeed))
        }
    }
}

/// The wrapper between a program's channel and its engine: each wrapper of the package, and some nested ones.
public enum Wrapping: String, CaseIterable, Sendable {
    case any
    case anyTwice
    case leased
    case pacedBurst
    case pacedStealing
    case pacedDemand
    case pacedTwice
    case injectedRepeats
    case injectedOvertaking
    case injectedLosses
    case leasedPaced
    case pacedLeased
    case pacedInjected
    case injectedPaced
    case leasedPacedInjectedPaced

    /// `engine` in this wrapping.
    ///
    /// - Throws: errors of a wrapper.
    func wrap(_ engine: consuming AnyEngine, _ line: DemandLine, seed: UInt64) throws(DMAError) -> AnyEngine {
        switch self {
        case .any: return engine
        case .anyTwice: return AnyEngine(engine)
        case .leased: return Self.leased(engine)
        case .pacedBurst: return AnyEngine(try PacedEngine(engine, mode: .burst, quantum: 256))
        case .pacedStealing: return try Self.stealing(engine)
        case .pacedDemand: return AnyEngine(try PacedEngine(engine, mode: .demand(line), quantum: 256))
        case .pacedTwice:
            return AnyEngine(try PacedEngine(try Self.stealing(engine), mode: .cycleStealing(share: 1), quantum: 512))
        case .injectedRepeats: return Self.injected(engine, .twice, seed)
        case .injectedOvertaking: return Self.injected(engine, .overtaken, seed)
        case .injectedLosses: return Self.injected(engine, .lost, seed)
        case .leasedPaced: return Self.leased(try Self.stealing(engine))
        case .pacedLeased: return try Self.stealing(Self.leased(engine))
        case .pacedInjected: return try Self.stealing(Self.injected(engine, .twice, seed))
        case .injectedPaced: return Self.injected(try Self.stealing(engine), .unknownTag, seed)
        case .leasedPacedInjectedPaced:
            return Self.leased(try Self.stealing(Self.injected(try Self.stealing(engine), .badStatus, seed)))
        }
    }

    private static func leased(_ engine: consuming AnyEngine) -> AnyEngine {
        engine.owned(by: ChannelLease {})
    }

    /// A share of all the time: pieces, but no pauses, which would only prolong the test.
    private static func stealing(_ engine: consuming AnyEngine) throws(DMAError) -> AnyEngine {
        AnyEngine(try PacedEngine(engine, mode: .cycleStealing(share: 1), quantum: 256))
    }

    private static func injected(_ engine: consuming AnyEngine, _ fault: InjectedFault, _ seed: UInt64) -> AnyEngine {
        AnyEngine(InjectingEngine(engine, fault, seed: seed))
    }
}

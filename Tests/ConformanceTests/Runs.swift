// SPDX-License-Identifier: Apache-2.0

public import DMAConformance
import DMACore
import DMAEngineKit
import Foundation
public import ScriptedEngines

/// Seeds of the runs: fixed ones, and one that changes, which `DMA_SEED` sets.
enum Seeds {
    static let changing: UInt64 = {
        if let text = ProcessInfo.processInfo.environment["DMA_SEED"], let seed = UInt64(text) { return seed }
        return UInt64.random(in: 1 ... .max)
    }()
    static var all: [UInt64] { [1, 0x5eed, changing] }
}

extension ChainPeripheral: ConformancePeripheral {}

/// A cyclic engine's clock, advanced by the suite.
final class CyclicStream: ConformanceStream {
    let device: CyclicDevice
    init(_ device: CyclicDevice) { self.device = device }
    func advance(_ count: Int) { device.advance(count) }
    func release(_ count: Int) { device.release(count) }
    func captured(at offset: UInt64) -> UInt8 { CyclicDevice.captured(at: offset) }
    var played: [UInt8] { device.played }
}

/// The provisions of each scripted engine; `base` leads from the engine in the channel to it, for wrappers.
enum Provisions {
    static func queuePair<E: Engine & ~Copyable>(
        _ base: @escaping (inout E, (inout QueuePairEngine) -> Void) -> Void
    ) -> ConformanceProvisions<E> {
        var provisions = ConformanceProvisions<E>()
        provisions.failNext = { engine, status in base(&engine) { $0.failNext(status) } }
        provisions.metadata = { $0.map { ~$0 } }
        return provisions
    }

    static func chain<E: Engine & ~Copyable>(
        _ base: @escaping (inout E, (inout ChainEngine) -> Void) -> Void
    ) -> ConformanceProvisions<E> {
        var provisions = ConformanceProvisions<E>()
        provisions.failNext = { engine, status in base(&engine) { $0.failNext(status) } }
        provisions.restarts = { engine in
            var restarts = 0
            base(&engine) { restarts = $0.restarts }
            return restarts
        }
        provisions.peripheral = { engine in
            var peripheral: ChainPeripheral?
            base(&engine) { peripheral = $0.peripheral }
            // `base` calls its closure.
            return peripheral!
        }
        return provisions
    }

    static func cyclic<E: Engine & ~Copyable>(
        _ base: @escaping (inout E, (inout CyclicEngine) -> Void) -> Void
    ) -> ConformanceProvisions<E> {
        var provisions = ConformanceProvisions<E>()
        provisions.stream = { engine in
            var device: CyclicDevice?
            base(&engine) { device = $0.device }
            return CyclicStream(device!)
        }
        return provisions
    }
}

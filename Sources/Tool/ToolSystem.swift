// SPDX-License-Identifier: Apache-2.0

import DMA
import DMACore
import Glibc

/// The engines that the commands use: this package's, those of the calling program, and devices that were named.
enum ToolSystem {
    /// Engines from outside this package, and the caller's policy; nil for that of the environment. Set once, before a command runs. No
    /// task-local value: a closure of its own would run on another thread, which the system may not have.
    private static let caller = Locked<(providers: [any EngineProvider], policy: DevicePolicy?)>(([], nil))

    static func set(_ providers: [any EngineProvider], _ policy: DevicePolicy?) {
        caller.withLock { $0 = (providers, policy) }
    }

    private static var policy: DevicePolicy? { caller.withLock { $0.policy } }

    /// A system, under the policy that holds for this run.
    ///
    /// - Throws: `CommandFailure` where the policy's file is none.
    static func make() throws -> DMASystem { DMASystem(providers: all, policy: try policy ?? named() ?? DevicePolicy()) }

    /// The same engines to ask for their names alone, which no policy changes.
    static var forNames: DMASystem { DMASystem(providers: all) }

    private static var all: [any EngineProvider] {
        [CPUProvider(), IOUringProvider()] + caller.withLock { $0.providers } + NamedDevices.providers
    }

    /// The policy in the file that DMA_POLICY names; nil where the variable is not set, or is empty.
    private static func named() throws -> DevicePolicy? {
        // SAFETY: the string of getenv is copied at once; no code of this process changes the environment.
        guard let path = unsafe getenv("DMA_POLICY").map({ unsafe String(cString: $0) }), !path.isEmpty else { return nil }
        do throws(DevicePolicy.Failure) { return try DevicePolicy(contentsOf: path) } catch {
            throw CommandFailure("DMA_POLICY: \(path): \(error)", code: error.line > 0 ? 64 : 66)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

public import DMACore
internal import Glibc

/// The command `dmactl`, for a program that brings engines of its own: they are listed, tested, measured and copied with as those of this
/// package are.
///
/// ```swift
/// import DMATool
///
/// await DMACtl.main(providers: [MyProvider()])
/// ```
public enum DMACtl {
    /// Does what the command line asks for, and ends the process with its exit code (`dmactl --help` lists them).
    ///
    /// - Parameters:
    ///   - providers: of engines from outside this package; they stand behind its own in every list.
    ///   - policy: which devices may be opened; nil for what the file says that the environment variable DMA_POLICY names, and without one for
    ///     any device behind an IOMMU.
    public static func main(providers: [any EngineProvider] = [], policy: DevicePolicy? = nil) async -> Never {
        guard ProcessStart.fillStandardDescriptors() else { Glibc.exit(1) }
        ToolSystem.set(providers, policy)
        Glibc.exit(await RootCommand.conclude())
    }
}

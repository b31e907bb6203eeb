// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

/// Set by Scripts/test. Not always on: whoever depends on the package may have a newer compiler, with new warnings.
let warnings: [SwiftSetting] =
    Context.environment["SWIFT_DMA_WARNINGS_AS_ERRORS"] == nil ? [] : [.treatAllWarnings(as: .error)]

/// Every Swift target of the package is held to the same language mode.
let house: [SwiftSetting] =
    warnings + [
        .swiftLanguageMode(.v6),
        .strictMemorySafety(),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
        .enableExperimentalFeature("Lifetimes"),
    ]

/// An adapter, and the packages that it alone needs, are built where its trait is enabled: a program that uses `DMA` fetches none of
/// them. Scripts/test asks for all of them, by this variable, so that each command that it runs means the same package.
let adapters: Set = ["Logging", "Metrics", "ServiceLifecycle"]
let asked: Set<String> = Context.environment["SWIFT_DMA_ADAPTERS"] == nil ? [] : adapters

let package = Package(
    name: "swift-dma",
    products: [
        .library(name: "DMA", targets: ["DMA"]),
        .library(name: "DMACopy", targets: ["DMACopy"]),
        .library(name: "DMADriverKit", targets: ["DMADriverKit"]),
        .library(name: "DMACore", targets: ["DMACore"]),
        .library(name: "DMACPUEngine", targets: ["DMACPUEngine"]),
        .library(name: "DMAIOUringEngine", targets: ["DMAIOUringEngine"]),
        .library(name: "DMAConformance", targets: ["DMAConformance"]),
        .library(name: "DMADevices", targets: ["DMADevices"]),
        .library(name: "DMAPCIAccess", targets: ["DMAPCIAccess"]),
        .library(name: "DMAAccess", targets: ["DMAAccess"]),
        .library(name: "DMAVFIOAccess", targets: ["DMAVFIOAccess"]),
        .library(name: "DMAVFIOUserAccess", targets: ["DMAVFIOUserAccess"]),
        .library(name: "DMAQTestAccess", targets: ["DMAQTestAccess"]),
        .library(name: "DMAInProcessAccess", targets: ["DMAInProcessAccess"]),
        .library(name: "DMALogging", targets: ["DMALogging"]),
        .library(name: "DMAMetrics", targets: ["DMAMetrics"]),
        .library(name: "DMAServiceLifecycle", targets: ["DMAServiceLifecycle"]),
    ],
    traits: [
        .trait(name: "ISAL", description: "XOR, PQ and CRC32C by Intel's ISA-L (Debian: libisal-dev)"),
        .trait(name: "Logging", description: "DMALogging, which hands faults and reports to swift-log"),
        .trait(name: "Metrics", description: "DMAMetrics, which counts channels by swift-metrics"),
        .trait(name: "ServiceLifecycle", description: "DMAServiceLifecycle, a channel as a service of swift-service-lifecycle"),
        .default(enabledTraits: asked.union(["ISAL"])),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
        // For the adapters alone, which nothing else of the package imports.
        .package(url: "https://github.com/apple/swift-log", from: "1.14.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
    ],
    targets: [
        .target(name: "CDMA", path: "Sources/CDMA"),
        .systemLibrary(name: "CISAL", path: "Sources/CISAL", providers: [.apt(["libisal-dev"])]),
        .target(name: "DMATypes", dependencies: ["CDMA"], path: "Sources/Types", swiftSettings: house),
        .target(name: "DMAEngineKit", dependencies: ["CDMA", "DMATypes"], path: "Sources/EngineKit", swiftSettings: house),
        .target(
            name: "DMACore", dependencies: ["CDMA", "DMATypes", "DMAEngineKit"], path: "Sources/Core", swiftSettings: house),
        .target(
            name: "DMADriverKit", dependencies: ["CDMA", "DMATypes", "DMAEngineKit", "DMACore", "DMAThreads"],
            path: "Sources/DriverKit",
            swiftSettings: house),
        .testTarget(
            name: "DMADriverKitTests",
            dependencies: ["CDMA", "DMACore", "DMADriverKit", "DMATestSupport", "DMAThreads", "ForkedChild"],
            path: "Tests/DriverKitTests",
            swiftSettings: house),
        .target(name: "DMAThreads", dependencies: ["CDMA", "DMATypes"], path: "Sources/Threads", swiftSettings: house),
        .testTarget(
            name: "DMAThreadsTests", dependencies: ["DMACore", "DMAEngineKit", "DMAThreads"], path: "Tests/ThreadsTests",
            swiftSettings: house),
        .target(
            name: "DMACPUEngine",
            dependencies: [
                "CDMA", "DMACore", "DMAEngineKit", "DMAThreads",
                .target(name: "CISAL", condition: .when(traits: ["ISAL"])),
            ],
            path: "Sources/Engines/CPU", swiftSettings: house),
        .target(
            name: "DMAIOUringEngine",
            dependencies: [
                "CDMA", "DMACore", "DMADriverKit", "DMAEngineKit", "DMAThreads",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Sources/Engines/IOUring", swiftSettings: house),
        .target(
            name: "DMA", dependencies: ["DMATypes", "DMACore", "DMAEngineKit", "DMACPUEngine", "DMAIOUringEngine"],
            path: "Sources/System", swiftSettings: house),
        // Numbers of bytes as text, for what reads or prints them.
        .target(name: "DMAUnits", path: "Sources/Units", swiftSettings: house),
        .testTarget(name: "DMAUnitsTests", dependencies: ["DMAUnits"], path: "Tests/UnitsTests", swiftSettings: house),
        .target(
            name: "DMACopy",
            dependencies: ["CDMA", "DMA", "DMACore", "DMAEngineKit", "DMACPUEngine", "DMAThreads", "DMAUnits"],
            path: "Sources/Copy",
            swiftSettings: house),
        .target(
            name: "DMASelfTest",
            dependencies: ["CDMA", "DMA", "DMAConformance", "DMACore", "DMAEngineKit", "DMACPUEngine", "DMAIOUringEngine"],
            path: "Sources/SelfTest", swiftSettings: house),
        .target(
            name: "DMABench",
            dependencies: [
                "CDMA", "DMA", "DMACPUEngine", "DMACore", "DMAEngineKit", "DMAThreads", "DMAUnits",
                .product(name: "Histogram", package: "hdrhistogram-swift"),
                .product(name: "Yams", package: "Yams"),
            ],
            path: "Sources/Bench", swiftSettings: house),
        .target(name: "DMAReport", dependencies: ["DMABench", "DMAUnits"], path: "Sources/Report", swiftSettings: house),
        .target(
            name: "DMALogging",
            dependencies: [
                "DMACore", "DMAEngineKit",
                .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Logging"])),
            ],
            path: "Sources/Adapters/Logging", swiftSettings: house),
        .target(
            name: "DMAMetrics",
            dependencies: [
                "DMACore", "DMAEngineKit",
                .product(name: "CoreMetrics", package: "swift-metrics", condition: .when(traits: ["Metrics"])),
            ],
            path: "Sources/Adapters/Metrics", swiftSettings: house),
        .target(
            name: "DMAServiceLifecycle",
            dependencies: [
                "DMACore", "DMAEngineKit",
                .product(
                    name: "ServiceLifecycle", package: "swift-service-lifecycle", condition: .when(traits: ["ServiceLifecycle"])
                ),
            ],
            path: "Sources/Adapters/ServiceLifecycle", swiftSettings: house),
        .testTarget(
            name: "DMAAdapterTests",
            dependencies: [
                "DMACore", "DMAEngineKit", "DMACPUEngine", "DMALogging", "DMAMetrics", "DMAServiceLifecycle", "ScriptedEngines",
                .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Logging"])),
                .product(name: "MetricsTestKit", package: "swift-metrics", condition: .when(traits: ["Metrics"])),
                .product(
                    name: "ServiceLifecycle", package: "swift-service-lifecycle", condition: .when(traits: ["ServiceLifecycle"])
                ),
            ],
            path: "Tests/AdapterTests", swiftSettings: house),
        .testTarget(
            name: "DMAToolTests",
            dependencies: [
                "DMATestSupport", "DMA", "DMABench", "DMAConformance", "DMACopy", "DMACPUEngine", "DMACore", "DMAEngineKit",
                "DMAPCIAccess", "DMASelfTest", "ForbiddenSystemCalls", "ScriptedEngines", "DMATool", "dmactl",
            ],
            path: "Tests/ToolTests", swiftSettings: house),
        .testTarget(
            name: "DMABenchTests", dependencies: ["DMA", "DMABench", "DMACore", "DMAEngineKit", "DMATestSupport"],
            path: "Tests/BenchTests",
            swiftSettings: house),
        .testTarget(
            name: "DMAReportTests", dependencies: ["DMABench", "DMAReport", "DMATestSupport"], path: "Tests/ReportTests",
            swiftSettings: house),
        .executableTarget(name: "dmactl", dependencies: ["DMATool"], path: "Sources/Command", swiftSettings: house),
        .target(
            name: "DMATool",
            dependencies: [
                "CDMA", "DMA", "DMABench", "DMAConformance", "DMACopy", "DMACore", "DMADevices", "DMAEngineKit",
                "DMAAccess", "DMAPCIAccess", "DMAReport", "DMASelfTest", "DMAThreads", "DMAUnits", "DMAVFIOAccess",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/Tool", swiftSettings: house),
        .testTarget(
            name: "DMASelfTestTests",
            dependencies: [
                "DMA", "DMAConformance", "DMACPUEngine", "DMACore", "DMAEngineKit", "DMAIOUringEngine", "DMASelfTest",
                "DMATestSupport",
            ],
            path: "Tests/SelfTestTests", swiftSettings: house),
        .testTarget(
            name: "DMASystemTests",
            dependencies: ["DMA", "DMACPUEngine", "DMACore", "DMADriverKit", "DMAEngineKit", "DMATestSupport"],
            path: "Tests/SystemTests", swiftSettings: house),
        .testTarget(
            name: "DMACopyTests",
            dependencies: [
                "DMATestSupport", "DMA", "DMACopy", "DMACore", "DMAEngineKit", "DMAIOUringEngine", "DMAUnits",
                "ForbiddenSystemCalls",
            ],
            path: "Tests/CopyTests", swiftSettings: house),
        // Programs, loop disks, folders and seeds for tests.
        .target(name: "DMATestSupport", path: "Tests/Support", swiftSettings: house),
        .target(
            name: "ScriptedEngines", dependencies: ["CDMA", "DMACore", "DMAEngineKit", "DMAThreads"],
            path: "Tests/ScriptedEngines",
            swiftSettings: house),
        .target(
            name: "DMAConformance", dependencies: ["DMACore", "DMAEngineKit"], path: "Sources/Conformance", swiftSettings: house
        ),
        .target(name: "CountedRing", path: "Benchmarks/Counted/C"),
        .executableTarget(
            name: "dma-counted",
            dependencies: ["CountedRing", "DMACPUEngine", "DMACore", "DMAEngineKit", "DMAIOUringEngine", "ScriptedEngines"],
            path: "Benchmarks/Counted/Swift", swiftSettings: house),
        .executableTarget(
            name: "dma-benchmark-storage", dependencies: ["DMACore", "DMAEngineKit", "DMAIOUringEngine"],
            path: "Benchmarks/storage/Swift",
            swiftSettings: house),
        .target(name: "BenchmarkPeers", path: "Benchmarks/CPU/Peers"),
        .executableTarget(
            name: "dma-benchmark-cpu", dependencies: ["BenchmarkPeers", "DMACPUEngine", "DMACore", "DMAEngineKit"],
            path: "Benchmarks/CPU/Swift", swiftSettings: house),
        .testTarget(
            name: "DMACoreTests", dependencies: ["CDMA", "DMACore", "DMAEngineKit", "DMADriverKit", "DMATestSupport"],
            path: "Tests/CoreTests",
            exclude: ["Channel"],
            swiftSettings: house),
        // Apart, because the scripted engines' module brings CDMA's view of the C library with it.
        .testTarget(
            name: "DMAChannelTests", dependencies: ["DMACore", "DMAEngineKit", "ForkedChild", "ScriptedEngines"],
            path: "Tests/CoreTests/Channel",
            swiftSettings: house),
        .testTarget(
            name: "DMAConformanceTests",
            dependencies: ["DMAConformance", "DMACore", "DMAEngineKit", "DMAThreads", "ScriptedEngines"],
            path: "Tests/ConformanceTests", swiftSettings: house),
        // Compiles Tests/CompileFail, which is no target: half of it must not compile.
        .testTarget(
            name: "DMACompileFailTests", dependencies: ["DMA", "DMACore", "DMADriverKit", "DMAEngineKit", "DMATestSupport"],
            path: "Tests/CompileFailTests",
            swiftSettings: house),
        // Runs a part of a test in a child process.
        .target(name: "ForkedChild", path: "Tests/ForkedChild"),
        // Takes io_uring away from a test's process.
        .target(name: "ForbiddenSystemCalls", path: "Tests/ForbiddenSystemCalls"),
        .testTarget(
            name: "DMAIOUringEngineTests",
            dependencies: [
                "CDMA", "DMACore", "DMAEngineKit", "DMAIOUringEngine", "DMATestSupport", "DMAThreads", "ForbiddenSystemCalls",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/IOUringEngineTests",
            swiftSettings: house),
        .testTarget(
            name: "DMACPUEngineTests", dependencies: ["DMACore", "DMAEngineKit", "DMACPUEngine", "DMATestSupport"],
            path: "Tests/CPUEngineTests",
            swiftSettings: house),
    ]
)

// Random programs and inputs, which Scripts/test runs by a seed and Scripts/fuzz under libFuzzer.
package.targets += [
    .target(
        name: "DMAFuzz",
        dependencies: [
            "CDMA", "DMA", "DMAAccess", "DMABench", "DMACopy", "DMACore", "DMACPUEngine", "DMADeviceSide", "DMADriverKit",
            "DMAEDUEngine", "DMAEngineKit", "DMAInProcessAccess", "DMAIOATEngine", "DMAIOATModel", "DMAIOATSpecification",
            "DMAPCIAccess", "DMAPCISpecification", "DMARegisters", "DMAReport", "DMASelfTest", "DMATypes", "DMAUnits",
            "DMAVFIOUserProtocol", "ScriptedEngines",
        ],
        path: "Fuzz/Entries", swiftSettings: house),
    .executableTarget(name: "dma-fuzz", dependencies: ["DMAFuzz"], path: "Fuzz/Driver", swiftSettings: house),
    .testTarget(
        name: "DMAFuzzTests", dependencies: ["DMAFuzz", "DMACore", "DMAEngineKit", "ScriptedEngines"], path: "Fuzz/Tests",
        swiftSettings: house),
    .testTarget(
        name: "DMAModesTests", dependencies: ["DMACore", "DMAEngineKit", "ScriptedEngines"], path: "Tests/ModesTests",
        swiftSettings: house),
]

// Devices: what a driver and a model share, the ways to a device, models, and drivers. A driver imports Access and its Specification, a model
// DeviceSide and the same Specification; neither can import the other.
package.targets += [
    .target(name: "DMARegisters", path: "Sources/Specifications/Registers", swiftSettings: house),
    .target(
        name: "DMAPCISpecification", dependencies: ["DMARegisters"], path: "Sources/Specifications/PCI", swiftSettings: house),
    .target(
        name: "DMAEDUSpecification", dependencies: ["DMARegisters"], path: "Sources/Specifications/EDU", swiftSettings: house),
    .target(
        name: "DMAVTDSpecification", dependencies: ["DMARegisters"], path: "Sources/Specifications/VTD", swiftSettings: house),
    .target(
        name: "DMAAccess",
        dependencies: ["CDMA", "DMACore", "DMAEngineKit", "DMAPCISpecification", "DMARegisters", "DMATypes"],
        path: "Sources/Access/Interface", swiftSettings: house),
    // The PCI devices of a machine, as the kernel lists them.
    .target(
        name: "DMAPCIAccess", dependencies: ["CDMA", "DMACore", "DMAPCISpecification", "DMATypes"], path: "Sources/Access/PCI",
        swiftSettings: house),
    .testTarget(
        name: "DMAPCIAccessTests", dependencies: ["DMACore", "DMAPCIAccess", "DMAPCISpecification", "DMATestSupport"],
        path: "Tests/PCIAccessTests",
        swiftSettings: house),
    .target(
        name: "DMADeviceSide",
        dependencies: ["DMACore", "DMADriverKit", "DMAPCISpecification", "DMARegisters", "DMATypes"],
        path: "Sources/Access/DeviceSide", swiftSettings: house),
    .target(
        name: "DMAInProcessAccess",
        dependencies: [
            "CDMA", "DMAAccess", "DMACore", "DMADeviceSide", "DMADriverKit", "DMAEngineKit", "DMAPCISpecification",
            "DMARegisters", "DMAThreads", "DMATypes",
        ],
        path: "Sources/Access/InProcess", swiftSettings: house),
    .target(
        name: "DMAQTestAccess",
        dependencies: [
            "CDMA", "DMAAccess", "DMACore", "DMAEngineKit", "DMAPCISpecification", "DMARegisters", "DMAThreads", "DMATypes",
            "DMAVTDSpecification",
        ],
        path: "Sources/Access/QTest", swiftSettings: house),
    .target(
        name: "DMAVFIOUserProtocol", dependencies: ["CDMA", "DMAEngineKit", "DMAThreads", "DMATypes"],
        path: "Sources/Access/VFIOUser/Protocol", swiftSettings: house),
    .target(
        name: "DMAVFIOUserAccess",
        dependencies: [
            "CDMA", "DMAAccess", "DMACore", "DMADriverKit", "DMAEngineKit", "DMAPCISpecification", "DMARegisters", "DMAThreads",
            "DMATypes", "DMAVFIOUserProtocol",
        ],
        path: "Sources/Access/VFIOUser/Client", swiftSettings: house),
    .target(
        name: "DMAVFIOUserServer",
        dependencies: [
            "CDMA", "DMADeviceSide", "DMADriverKit", "DMAEngineKit", "DMAPCISpecification", "DMARegisters", "DMAThreads",
            "DMATypes", "DMAVFIOUserProtocol",
        ],
        path: "Sources/Access/VFIOUser/Server", swiftSettings: house),
    .target(
        name: "DMAIOATSpecification", dependencies: ["DMARegisters"], path: "Sources/Specifications/IOAT", swiftSettings: house),
    .target(
        name: "DMAIOATModel",
        dependencies: ["DMACPUEngine", "DMADeviceSide", "DMAIOATSpecification", "DMARegisters", "DMATypes"],
        path: "Sources/Models/IOAT", swiftSettings: house),
    .target(
        name: "DMAIOATEngine",
        dependencies: [
            "CDMA", "DMAAccess", "DMACore", "DMADriverKit", "DMAEngineKit", "DMAIOATSpecification", "DMARegisters", "DMATypes",
        ],
        path: "Sources/Engines/IOAT", swiftSettings: house),
    .testTarget(
        name: "DMAIOATTests",
        dependencies: [
            "DMAAccess", "DMAConformance", "DMACPUEngine", "DMACore", "DMADeviceSide", "DMAEngineKit", "DMAInProcessAccess",
            "DMAIOATEngine", "DMAIOATModel", "DMAIOATSpecification", "DMARegisters", "DMATestSupport",
        ],
        path: "Tests/IOATTests", swiftSettings: house),
    .target(
        name: "DMAVFIOAccess",
        dependencies: [
            "CDMA", "DMAAccess", "DMACore", "DMAEngineKit", "DMAPCISpecification", "DMARegisters", "DMAThreads", "DMATypes",
        ],
        path: "Sources/Access/VFIO", swiftSettings: house),
    .target(
        name: "DMAEDUModel", dependencies: ["DMADeviceSide", "DMAEDUSpecification", "DMARegisters", "DMATypes"],
        path: "Sources/Models/EDU", swiftSettings: house),
    .target(
        name: "DMAEDUEngine",
        dependencies: [
            "DMAAccess", "DMACore", "DMAEDUSpecification", "DMAEngineKit", "DMAPCISpecification", "DMARegisters", "DMATypes",
        ],
        path: "Sources/Engines/EDU", swiftSettings: house),
    // Devices by their addresses, with their drivers, for tools.
    .target(
        name: "DMADevices",
        dependencies: [
            "DMAAccess", "DMACore", "DMADeviceSide", "DMAEDUEngine", "DMAEDUModel", "DMAEDUSpecification", "DMAEngineKit",
            "DMAInProcessAccess", "DMAIOATEngine", "DMAIOATModel", "DMAIOATSpecification", "DMAPCISpecification",
            "DMAQTestAccess",
            "DMATypes", "DMAVFIOAccess", "DMAVFIOUserAccess", "DMAVFIOUserServer",
        ],
        path: "Sources/Devices", swiftSettings: house),
    .testTarget(
        name: "DMADevicesTests", dependencies: ["DMA", "DMACore", "DMADevices", "DMATestSupport"], path: "Tests/DevicesTests",
        swiftSettings: house),
    .testTarget(
        name: "DMAPCISpecificationTests", dependencies: ["DMAPCISpecification", "DMARegisters"],
        path: "Tests/PCISpecificationTests", swiftSettings: house),
    .testTarget(
        name: "DMAAccessTests",
        dependencies: [
            "DMAAccess", "DMACore", "DMADeviceSide", "DMADriverKit", "DMAInProcessAccess", "DMAPCISpecification",
            "DMARegisters",
        ],
        path: "Tests/AccessTests", swiftSettings: house),
    .testTarget(
        name: "DMAEDUTests",
        dependencies: [
            "DMAAccess", "DMAConformance", "DMACore", "DMADeviceSide", "DMAEDUEngine", "DMAEDUModel", "DMAEDURig",
            "DMAEDUSpecification", "DMAEngineKit", "DMAInProcessAccess", "DMAPCISpecification", "DMAQTestAccess",
            "DMARegisters",
            "DMATestSupport", "DMAVFIOUserAccess", "DMAVFIOUserServer", "vfio-user-peer",
        ],
        path: "Tests/EDUTests", swiftSettings: house),
    // Copies of an EDU, for the tests of every way to it.
    .target(
        name: "DMAEDURig", dependencies: ["DMACore", "DMAEDUEngine", "DMAEDUSpecification", "DMATestSupport", "DMATypes"],
        path: "Tests/EDURig", swiftSettings: house),
    // The other process of a test.
    .executableTarget(
        name: "vfio-user-peer",
        dependencies: ["CDMA", "DMAEDUModel", "DMAEDUSpecification", "DMATypes", "DMAVFIOUserProtocol", "DMAVFIOUserServer"],
        path: "Tests/VFIOUserPeer", swiftSettings: house),
    .testTarget(
        name: "DMAVFIOUserTests",
        dependencies: [
            "CDMA", "DMAAccess", "DMAConformance", "DMACore", "DMADeviceSide", "DMADriverKit", "DMAEDUEngine", "DMAEDUModel",
            "DMAEDURig", "DMAEDUSpecification", "DMAPCISpecification", "DMARegisters", "DMATestSupport", "DMAVFIOUserAccess",
            "DMAVFIOUserProtocol",
            "DMAVFIOUserServer", "vfio-user-peer",
        ],
        path: "Tests/VFIOUserTests", swiftSettings: house),
    .testTarget(
        name: "DMAVFIOTests",
        dependencies: [
            "CDMA", "DMAAccess", "DMACore", "DMAEngineKit", "DMARegisters", "DMATypes", "DMAVFIOAccess",
        ],
        path: "Tests/VFIOTests", swiftSettings: house),
    // Runs inside of the guest; Guest/run builds it, and boots the guest.
    .executableTarget(
        name: "guest-proof",
        dependencies: [
            "CDMA", "DMAAccess", "DMACore", "DMAEDUEngine", "DMAEDUSpecification", "DMAEngineKit", "DMARegisters", "DMATypes",
            "DMAVFIOAccess",
        ],
        path: "Guest/Proof", swiftSettings: house),
    .testTarget(
        name: "DMAQTestTests",
        dependencies: [
            "DMAAccess", "DMACore", "DMAPCISpecification", "DMAQTestAccess", "DMARegisters", "DMATestSupport",
        ],
        path: "Tests/QTestTests", swiftSettings: house),
]

// The guide's programs, which Scripts/test builds, runs and compares with the text.
package.targets += [
    "FirstCopy", "Copies", "Buffers", "Channels", "Modes", "Errors", "FourChannels", "FileCheck", "Capture", "Parity",
].map { folder in
    let name = folder.reduce(into: "example") { name, letter in
        name += letter.isUppercase ? "-" + letter.lowercased() : String(letter)
    }
    return .executableTarget(
        name: name, dependencies: ["DMA", "DMACopy", "DMACore", "DMACPUEngine"], path: "Examples/\(folder)",
        swiftSettings: house)
}

// A program of each release, which sees no more than a client does. Its code is not changed after that release.
package.targets += ["0.1", "0.2"].map { version in
    .executableTarget(
        name: "client-" + String(version.map { $0 == "." ? "-" : $0 }),
        dependencies: ["DMA", "DMACopy", "DMACore", "DMACPUEngine", "DMADriverKit"], path: "Tests/Clients/\(version)",
        packageAccess: false, swiftSettings: [.swiftLanguageMode(.v6)])
}

// Scripts/test builds the package again under each sanitizer and without its traits, for the tests of these rooms alone: everything else
// would cost minutes each time, and is not looked at.
// dmactl as a library, for who asks for it: SwiftPM fetches what any library product of a package needs, be it used or not, so that every
// client of `DMA` would fetch the tool's packages.
if Context.environment["SWIFT_DMA_TOOL"] != nil || !asked.isEmpty {
    package.products.append(.library(name: "DMATool", targets: ["DMATool"]))
}

if Context.environment["SWIFT_DMA_ENGINES_ONLY"] != nil {
    let rooms: Set = [
        "CDMA", "CISAL", "DMATypes", "DMAEngineKit", "DMACore", "DMADriverKit", "DMADriverKitTests", "DMAThreads",
        "DMAThreadsTests", "DMACPUEngine", "DMACoreTests", "DMACPUEngineTests", "DMATestSupport", "ForkedChild",
        "DMARegisters", "DMAPCISpecification", "DMAEDUSpecification", "DMAVTDSpecification", "DMAAccess", "DMAPCIAccess",
        "DMAPCIAccessTests",
        "DMADeviceSide", "DMAInProcessAccess", "DMAQTestAccess", "DMAEDUModel", "DMAEDUEngine", "DMAPCISpecificationTests",
        "DMAAccessTests", "DMAEDUTests", "DMAConformance", "DMAQTestTests",
        "DMAVFIOUserProtocol", "DMAVFIOUserAccess", "DMAVFIOUserServer", "DMAVFIOUserTests", "vfio-user-peer",
        "DMAIOATSpecification", "DMAIOATModel", "DMAIOATEngine", "DMAIOATTests",
        "DMAVFIOAccess", "DMAVFIOTests", "guest-proof",
        "DMAEDURig",
    ]
    package.targets.removeAll { !rooms.contains($0.name) }
    package.products.removeAll { product in
        !((product as? Product.Library)?.targets.allSatisfy(rooms.contains) ?? false)
    }
    package.dependencies = []
}

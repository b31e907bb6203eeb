// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// A separate package, like that of an engine's author outside swift-dma: it uses only public declarations.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "process-memory-engine",
    products: [.library(name: "ProcessMemoryEngine", targets: ["ProcessMemoryEngine"])],
    dependencies: [.package(name: "swift-dma", path: "../..")],
    targets: [
        // process_vm_readv(2) and process_vm_writev(2), which Swift's Glibc module does not export.
        .target(name: "CProcessMemory"),
        .target(
            name: "ProcessMemoryEngine",
            dependencies: ["CProcessMemory", .product(name: "DMADriverKit", package: "swift-dma")],
            swiftSettings: settings),
        // The suite's settings, for the tests and for the command line.
        .target(
            name: "ProcessMemoryContract",
            dependencies: [
                "ProcessMemoryEngine",
                .product(name: "DMAConformance", package: "swift-dma"),
                .product(name: "DMADriverKit", package: "swift-dma"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "process-memory-conformance",
            dependencies: [
                "CProcessMemory", "ProcessMemoryContract", "ProcessMemoryEngine",
                .product(name: "DMAConformance", package: "swift-dma"),
                .product(name: "DMADriverKit", package: "swift-dma"),
            ],
            path: "Sources/Command", swiftSettings: settings),
        .testTarget(
            name: "ProcessMemoryEngineTests",
            dependencies: [
                "ProcessMemoryContract", "ProcessMemoryEngine",
                .product(name: "DMAConformance", package: "swift-dma"),
                .product(name: "DMA", package: "swift-dma"),
                .product(name: "DMACore", package: "swift-dma"),
                .product(name: "DMADriverKit", package: "swift-dma"),
            ],
            swiftSettings: settings),
    ]
)

// dmactl with this engine beside those of swift-dma, which shows the product DMATool to who sets this variable. It has another name, because an
// executable's is unique among all packages.
if Context.environment["SWIFT_DMA_TOOL"] != nil {
    package.targets.append(
        .executableTarget(
            name: "process-memory-dmactl",
            dependencies: ["ProcessMemoryEngine", .product(name: "DMATool", package: "swift-dma")],
            path: "Sources/Tool", swiftSettings: settings))
}

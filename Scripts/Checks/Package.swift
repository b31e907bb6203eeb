// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// A separate package, so that no dependent of swift-dma ever sees or builds it.
let package = Package(
    name: "house-checks",
    targets: [
        .target(name: "HouseChecks", swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]),
        .executableTarget(
            name: "house-checks", dependencies: ["HouseChecks"], path: "Sources/Command",
            swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]),
        .testTarget(
            name: "HouseChecksTests", dependencies: ["HouseChecks"],
            swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]),
    ]
)

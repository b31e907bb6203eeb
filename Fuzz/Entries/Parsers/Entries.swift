// SPDX-License-Identifier: Apache-2.0

extension FuzzEntry {
    /// Every entry.
    public static let all: [FuzzEntry] = [channels, foreign, policy, pci, edu, ioat, vfioUser] + systemParsers + benchParsers
}

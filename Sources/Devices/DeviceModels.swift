// SPDX-License-Identifier: Apache-2.0

internal import DMADeviceSide
internal import DMAEDUModel
internal import DMAIOATModel

/// The models of this package, by their names.
public enum DeviceModels {
    /// Every name: "edu", QEMU's teaching device; "ioat", Intel's I/OAT with parity, as 8086:0c50; "ioat-copy", without, as 8086:6f50.
    public static let names = ["edu", "ioat", "ioat-copy"]

    static var list: String { names.joined(separator: ", ") }

    static func named(_ name: String) -> (any DeviceModel)? {
        switch name {
        case "edu": EDUModel()
        case "ioat": IOATModel(.atom)
        case "ioat-copy": IOATModel(.broadwellDE)
        default: nil
        }
    }

    static func unknown(_ name: String, address: String) -> DeviceFailure {
        DeviceFailure(address, "there is no model \"\(name)\"", cure: "Name one: \(list).")
    }
}

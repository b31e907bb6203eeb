// SPDX-License-Identifier: Apache-2.0

public import DMAPCISpecification
public import DMATypes

/// Why a device cannot be opened, started, stopped or accessed.
public struct AccessError: Error, Equatable, Sendable {
    /// What went wrong, as a stable identifier.
    public enum Code: String, Sendable, CaseIterable {
        /// No device is there.
        case absent
        /// It is open already.
        case busy
        /// It no longer answers.
        case gone
        /// It did not answer within the time limit after its reset.
        case notReady
        /// It did not stop within the time limit.
        case notStopped
        /// It has no such range of registers, or a smaller one.
        case noWindow
        /// It has no interrupts of the requested kind, or fewer.
        case noInterrupts
        /// Its configuration space is inconsistent, or does not keep written values.
        case badConfiguration
        /// The kernel, an emulator or a peer refuses.
        case refused
    }

    /// What went wrong.
    public let code: Code
    /// Which device.
    public let device: String
    /// What could not be done, and why.
    public let detail: String
    /// What to do.
    public let cure: String

    /// An error with its sentences.
    public init(_ code: Code, device: String, _ detail: String, cure: String) {
        self.code = code
        self.device = device
        self.detail = detail
        self.cure = cure
    }

    /// An error in the device's configuration space.
    public init(_ error: ConfigurationError, device: String) {
        let isAbsent = error == .absent
        self.init(
            isAbsent ? .absent : .badConfiguration, device: device, String(describing: error),
            cure: isAbsent ? "see which slots have devices" : "reset the device, or use another one")
    }

    /// An error of the device's address space.
    public init(_ error: DMAError, device: String, _ doing: String) {
        self.init(.refused, device: device, "\(doing): \(error.message)", cure: error.cure)
    }
}

extension AccessError: CustomStringConvertible {
    /// What is wrong, and the cure as a sentence of its own, with the code in brackets.
    public var description: String {
        "\(device): \(detail). \(cure.prefix(1).uppercased() + cure.dropFirst()). [\(code.rawValue)]"
    }
}

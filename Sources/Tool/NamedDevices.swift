// SPDX-License-Identifier: Apache-2.0

import DMACore
import DMADevices

/// Devices that the command line names by their addresses in place of engines: opened once, and listed as engines from then on.
enum NamedDevices {
    private struct Opened {
        let provider: DeviceProvider
        let name: String
    }

    private static let opened = Locked<[String: Opened]>([:])

    /// The providers of the devices that were opened.
    static var providers: [any EngineProvider] {
        opened.withLock { opened in opened.sorted { $0.key < $1.key }.map(\.value.provider) }
    }

    /// Forgets the devices: each is closed when the system that lists it has ended.
    static func close() { opened.withLock { $0 = [:] } }

    /// Whether a text is an address, and no name of an engine.
    ///
    /// - Throws: `CommandFailure` for one with an address's prefix that is none.
    static func isAddress(_ text: String) throws -> Bool {
        do throws(DeviceFailure) { return try DeviceAddress(text) != nil } catch { throw CommandFailure("\(error)", code: 64) }
    }

    /// The names of engines for a list of names and addresses, whose devices are opened.
    ///
    /// - Throws: `CommandFailure` for an address that is none, and for a device that cannot be used.
    static func open(_ names: [String]) throws -> [String] {
        try names.map { text in
            if let known = opened.withLock({ $0[text]?.name }) { return known }
            do throws(DeviceFailure) {
                guard let address = try DeviceAddress(text) else { return text }
                let provider = try DeviceProvider(opening: [address])
                let name = provider.names[0]
                opened.withLock { $0[text] = Opened(provider: provider, name: name) }
                return name
            } catch { throw CommandFailure("cannot use \(error)", code: try isAddress(text) ? 1 : 64) }
        }
    }
}

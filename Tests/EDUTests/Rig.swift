// SPDX-License-Identifier: Apache-2.0

import DMAAccess
import DMACore
import DMAEDUEngine
import DMAEDUModel
import DMAInProcessAccess

/// An EDU of this process, and copies through a channel over it.
struct Rig {
    let model: EDUModel
    let device: InProcessDevice
    let recorder: Recorder?

    init(
        _ model: EDUModel = EDUModel(), pace: InProcessDevice.Pace = .stepped,
        addressing: InProcessDevice.Addressing = .translated(bits: 28), recorder: Recorder? = nil
    ) throws {
        self.model = model
        self.recorder = recorder
        device = try InProcessDevice(model, name: "edu model", addressing: addressing, pace: pace, recorder: recorder)
    }

    /// Waits that a test can afford, on a machine that does other things as well.
    static var configuration: EDUConfiguration {
        var configuration = EDUConfiguration()
        configuration.patience = .seconds(2)
        configuration.restartLimit = .seconds(2)
        return configuration
    }

    func engine(_ configuration: EDUConfiguration = Rig.configuration) throws(AccessError) -> EDUEngine {
        try EDUEngine(opening: device, configuration)
    }
}

// SPDX-License-Identifier: Apache-2.0
// One thread at a time uses a channel.
import DMACore
import DMAEngineKit

func misuse<E: Engine & ~Copyable & SendableMetatype>(channel: consuming Channel<E, NoCargo>) {
    var box: Channel<E, NoCargo>? = channel
    let use = { () -> Void in box?.issuePending() }
    use()
    use()
}

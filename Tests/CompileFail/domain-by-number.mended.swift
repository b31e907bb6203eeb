// SPDX-License-Identifier: Apache-2.0
// A channel is made for a domain, not for a number (rule 3).
import DMACore

func misuse(engine: consuming AnyEngine, domain: Domain) throws(DMAError) -> ChannelState {
    let channel = try Channel(engine, domain: domain, of: NoCargo.self)
    return channel.channelState
}

// SPDX-License-Identifier: Apache-2.0
// A channel is made for a domain, not for a number (rule 3).
// expect: cannot convert value of type 'DomainID' to expected argument type 'Domain'
import DMACore

func misuse(engine: consuming AnyEngine) throws(DMAError) -> ChannelState {
    let channel = try Channel(engine, domain: DomainID(rawValue: 1), of: NoCargo.self)
    return channel.channelState
}

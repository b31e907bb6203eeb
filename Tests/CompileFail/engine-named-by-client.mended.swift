// SPDX-License-Identifier: Apache-2.0
// A client that does not import the kit cannot name an engine.
import DMACore

func misuse(channel: borrowing Channel<AnyEngine, NoCargo>) -> ChannelState { channel.channelState }

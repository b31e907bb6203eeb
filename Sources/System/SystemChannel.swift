// SPDX-License-Identifier: Apache-2.0

public import DMACore

/// The channel of a ``GrantedChannel``, with any engine: the type for storing one or passing it on.
public typealias SystemChannel<C: Cargo & ~Copyable> = Channel<AnyEngine, C>

/// A ``SystemChannel`` with callbacks.
public typealias SystemCallbackChannel<C: Cargo & ~Copyable> = CallbackChannel<AnyEngine, C>

/// A ring of periods on a ``SystemChannel``.
public typealias SystemRing = CyclicRing<AnyEngine>

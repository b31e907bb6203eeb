// SPDX-License-Identifier: Apache-2.0

public import DMACore

/// The channel of a ``GrantedChannel``, whatever engine is below it: the type to keep one by, or to hand one on.
public typealias SystemChannel<C: Cargo & ~Copyable> = Channel<AnyEngine, C>

/// A ``SystemChannel`` that calls back.
public typealias SystemCallbackChannel<C: Cargo & ~Copyable> = CallbackChannel<AnyEngine, C>

/// A ring of periods on a ``SystemChannel``.
public typealias SystemRing = CyclicRing<AnyEngine>

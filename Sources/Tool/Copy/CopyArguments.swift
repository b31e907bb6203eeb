// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
public import DMACopy

/// A path, or another endpoint, as it was given: byte for byte.
struct PathArgument: ExpressibleByArgument {
    let path: CopyPath

    init?(argument: String) { path = CopyPath(escaped: argument) }
}

extension CopyMode: ExpressibleByArgument {}
extension ReflinkChoice: ExpressibleByArgument {}

// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
public import DMACopy

extension CopyMode: ExpressibleByArgument {}
extension ReflinkChoice: ExpressibleByArgument {}

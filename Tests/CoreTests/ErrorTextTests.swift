// SPDX-License-Identifier: Apache-2.0

import DMACore
import Testing

/// The sentences of `DMAError`.
@Suite("Error texts")
struct ErrorTextTests {
    @Test("a message names the action, the reason with its figures, then the cure, the code and the rule")
    func sentences() {
        #expect(
            "\(DMAError(.mappingTooLarge, asked: 5000, limit: 4096))"
                == "cannot map 5000 bytes: one mapping takes at most 4096 bytes. Map the range in pieces. [mappingTooLarge, rule 39]"
        )
        #expect(
            "\(DMAError(.zeroLength))"
                == "cannot use a length of 0: at least 1 is needed. Leave out the empty request, or pass a positive length. [zeroLength]"
        )
        #expect(
            DMAError(.misaligned, asked: 0x1003, limit: 512).message
                == "cannot use the address or length 0x1003: it must be a multiple of 512 bytes")
    }

    @Test("one is singular; a number that is not known is left out")
    func figures() {
        #expect(DMAError(.noSuchRegion, asked: 3, limit: 1).reason == "the cargo has 1 region, counted from 0")
        #expect(DMAError(.memoryInUse, asked: 1).reason == "1 block is leased")
        #expect(DMAError(.memoryInUse, asked: 2).reason == "2 blocks are leased")
        #expect(DMAError(.mappingsLeft, asked: 1, limit: 4096).reason == "1 mapping (4096 bytes) still exists")
        #expect(DMAError(.poolEmpty).reason == "every block of the pool is leased")
        #expect(DMAError(.outOfMemory).request == "allocate memory")
        #expect(DMAError(.deviceBusy, asked: 4711).message == "cannot open the device: process 4711 has it")
        #expect(DMAError(.deadlinePassed).message == "cannot finish by the deadline: it has passed")
        #expect(DMAError(.badConfiguration, asked: 3).reason == "it is not supported here")
        #expect(DMAError(.badConfiguration, asked: 5, limit: 4).reason == "the limit is 4")
    }

    @Test("the kernel's error and the device's status follow the reason")
    func causes() {
        #expect(
            DMAError(.outOfMemory, asked: 4096, errno: 12).reason
                == "not enough memory is available (Cannot allocate memory, errno 12)")
        #expect(
            DMAError(.engineFailed, asked: 3, errno: 5, deviceStatus: 0x4281).reason
                == "the engine reported failure 0x3 (Input/output error, errno 5; device status 0x4281)")
        #expect(DMAError(.kernelRefused, errno: 24).cure.contains("ulimit -n"))
    }

    @Test("every code reads as one sentence and a cure, whatever its numbers", arguments: DMAError.Code.allCases)
    func form(_ code: DMAError.Code) {
        for number in [0, 1, 2, 4096, UInt64.max] {
            for error in [
                DMAError(code, asked: number, limit: number), DMAError(code, asked: number), DMAError(code, limit: number),
            ] {
                for text in [error.request, error.reason, error.cure] {
                    #expect(!text.isEmpty && !text.hasSuffix(".") && !text.contains("  ") && !text.contains("\n"), "\(text)")
                    #expect(
                        !text.contains("dmactl") && !text.contains("--"), "a library's error names no option of a tool: \(text)"
                    )
                    #expect(!text.contains(" 1 bytes") && !text.contains("(s)"), "\(text)")
                }
                #expect("\(error)".hasPrefix("cannot \(error.request): \(error.reason). "), "\(error)")
            }
        }
    }
}

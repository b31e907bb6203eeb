// SPDX-License-Identifier: Apache-2.0
import DMACore
import Testing

@Suite("Addresses")
struct AddressTests {
    @Test("rule 30: a mask refuses addresses beyond it, and never wraps")
    func rule30_masks() {
        #expect(DMAMask(bits: 32).reaches(IOVA(0xffff_f000), count: 0x1000))
        #expect(!DMAMask(bits: 32).reaches(IOVA(0xffff_f000), count: 0x1001))
        #expect(!DMAMask(bits: 64).reaches(IOVA(.max), count: 2))
        #expect(DMAMask(bits: 64).reaches(IOVA(.max), count: 1))
        #expect(DMAMask(bits: 0).rawValue == 0)
        #expect(DMAMask(bits: 99).rawValue == .max)
    }

    @Test("an address does not move past the end of the space")
    func advance() {
        #expect(IOVA(.max).advanced(by: 1) == nil)
        #expect(IOVA(4).advanced(by: 4) == IOVA(8))
    }
}

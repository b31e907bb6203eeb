// SPDX-License-Identifier: Apache-2.0
// The parts of ISA-L that the CPU engine calls (Debian: libisal-dev).
#include <isa-l/crc.h>
#include <isa-l/erasure_code.h>
#include <isa-l/raid.h>
#include <isa-l/mem_routines.h>

// SPDX-License-Identifier: Apache-2.0
// Which SIMD instruction set the kernels use, and a way to choose another for tests.
#pragma once

#include <string>
#include <vector>

namespace ds::cpu {

/// Instruction sets that are compiled in and that this processor has, best first: "AVX2", ...,
/// "EMU128" (plain loops) last.
std::vector<std::string> simd_targets();

/// The one in use.
std::string simd_target();

/// Makes all kernels use this one of simd_targets(); ValueError for another name. The empty name
/// restores the best. Not while kernels run.
void set_simd_target(const std::string& name);

/// True if the processor multiplies pairs of bf16 (AVX512_BF16).
bool has_bf16_products();

}  // namespace ds::cpu

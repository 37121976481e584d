// SPDX-License-Identifier: Apache-2.0
// The kernels for a matrix product, and which of them to take.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ds/backends/cpu/tuner.h"

namespace ds::cpu {

/// What a rule takes for lhs [..., M, K] x rhs [..., K, N] -> row-major `dims`, of one rank and
/// with the same batch dimensions. Nothing, with the reason in `why`, where oneDNN takes no such
/// dtypes or strides.
std::optional<Kernel> matmul_rule(const View& lhs, const View& rhs, const Shape& dims,
                                  std::string& why);
/// All kernels that take these operands, that of the rule first.
std::vector<Kernel> matmul_kernels(const View& lhs, const View& rhs, const Shape& dims);
/// What was measured to be the fastest on this machine, else what the rule takes.
std::optional<Kernel> choose_matmul(const View& lhs, const View& rhs, const Shape& dims,
                                    std::string& why);

}  // namespace ds::cpu

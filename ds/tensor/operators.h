// SPDX-License-Identifier: Apache-2.0
// Arithmetic operators on tensors and numbers: `1 - x * 0.5`. Comparisons are functions (eq, lt,
// ...).
#pragma once

#include "ds/tensor/ops_elementwise.h"

namespace ds {

#define DS_TENSOR_OPERATOR(symbol, function)                             \
  inline Tensor operator symbol(const Tensor& lhs, const Tensor& rhs) {  \
    return function(lhs, rhs);                                           \
  }                                                                      \
  inline Tensor operator symbol(const Tensor& lhs, const Operand& rhs) { \
    return function(lhs, rhs);                                           \
  }                                                                      \
  inline Tensor operator symbol(const Operand& lhs, const Tensor& rhs) { \
    return function(lhs, rhs);                                           \
  }
DS_TENSOR_OPERATOR(+, add)
DS_TENSOR_OPERATOR(-, sub)
DS_TENSOR_OPERATOR(*, mul)
DS_TENSOR_OPERATOR(/, div)
#undef DS_TENSOR_OPERATOR

inline Tensor operator-(const Tensor& x) { return neg(x); }

}  // namespace ds

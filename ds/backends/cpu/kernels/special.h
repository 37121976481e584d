// SPDX-License-Identifier: Apache-2.0
// Scalar special functions that the standard library lacks or does not make thread-safe.
#pragma once

namespace ds::cpu {

/// Inverse error function; +-inf at +-1, NaN outside [-1, 1]. Newton's method in f64 on a starting
/// value by Winitzki's formula.
float erfinv(float x);
/// log|gamma(x)|.
float lgamma(float x);
/// Derivative of lgamma; NaN at negative integers, -inf at 0 and +inf at -0, as in PyTorch.
float digamma(float x);
/// Derivative of digamma; +inf at 0 and the negative integers.
float trigamma(float x);

}  // namespace ds::cpu

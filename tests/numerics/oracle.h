// SPDX-License-Identifier: Apache-2.0
// Exact values of elementwise functions to the precision of long double, and errors in units of
// the last place of a format.
#pragma once

#include "ds/ir/dtype.h"
#include "ds/ir/op.h"

namespace ds::testing {

/// A row of ds/ir/numerics.def.
struct Contract {
  Op op;
  double ulp, absolute, low, high;
};
/// Null when the op has no row.
const Contract* contract_of(Op op);

/// The op of exact arguments, with PyTorch's results for special values. `b` only for binary ops.
long double exact(Op op, long double a, long double b = 0);

/// Distance of `got`, a value of the dtype, from `want` in units of want's last place in that
/// dtype; infinity counts as the first number beyond the largest. 0 when both are NaN, huge when
/// one is.
double error_in_ulp(long double got, long double want, DType dtype);

/// Whether `got` keeps the contract for a result of the dtype.
bool keeps(const Contract& contract, long double got, long double want, DType dtype);

}  // namespace ds::testing

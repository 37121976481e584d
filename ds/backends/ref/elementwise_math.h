// SPDX-License-Identifier: Apache-2.0
// What each elementwise op does to a run of wide numbers.
#pragma once

#include <cstdint>

#include "ds/ir/dtype.h"
#include "ds/ir/op.h"

namespace ds::ref {

/// out[i] = op(a[i]).
template <class W>
using UnaryRun = void (*)(int64_t n, const W* a, W* out);
/// out[i] = op(a[i], b[i]).
template <class W>
using BinaryRun = void (*)(int64_t n, const W* a, const W* b, W* out);

/// Ops of the classes unary and test except cast; truth values are 0 and 1. `dtype` is the input's.
UnaryRun<double> unary_float(Op op);
UnaryRun<int64_t> unary_int(Op op, DType dtype);
/// Ops of the classes binary and compare.
BinaryRun<double> binary_float(Op op, DType dtype);
BinaryRun<int64_t> binary_int(Op op, DType dtype);

// Functions the standard library lacks, accurate to a few units in the last place of a double.
double erfinv(double x);
double digamma(double x);
double trigamma(double x);
/// log |gamma(x)|; std::lgamma writes a global, which threads must not.
double log_gamma(double x);

}  // namespace ds::ref

// SPDX-License-Identifier: Apache-2.0
// Sorting and scans of the cpu backend against ref: ties, NaN, both zeros, every dtype.
#include <doctest/doctest.h>

#include "tests/unit/cpu/against_ref.h"

using namespace ds;
using namespace ds::test;

namespace {

const Shape kShapes[] = {{}, {1}, {70}, {5, 1500}, {3, 40, 2}, {2, 0, 3}};

/// Every dimension of a shape; a 0-d shape has dimension 0.
template <class F>
void for_each_dim(const Shape& shape, F f) {
  for (int64_t dim = 0; dim < std::max(1, shape.rank()); ++dim) f(dim);
}

}  // namespace

TEST_CASE("sort and topk give the values and indices of ref") {
  for (const DType dtype : kAllDTypes)
    for (const Shape& shape : kShapes)
      for_each_dim(shape, [&](int64_t dim) {
        const Given src = some(dtype, shape, 1, true);
        const int64_t n = shape.empty() ? 1 : shape[static_cast<int>(dim)];
        for (const bool down : {false, true}) {
          check_against_ref(Op::sort_, {dim, down}, {src});
          for (const int64_t k : {int64_t{0}, n / 70, n / 3, n})
            check_against_ref(Op::topk_, {k, dim, down}, {src});
        }
      });
}

TEST_CASE("scans along every dimension") {
  for (const DType dtype : kAllDTypes)
    for (const Shape& shape : kShapes)
      for_each_dim(shape, [&](int64_t dim) {
        const double rounding = dtype == DType::bf16  ? 0x1p-8
                                : dtype == DType::f16 ? 0x1p-10
                                : is_floating(dtype)  ? 1e-6
                                                      : 0;
        for (const bool special : {false, true}) {
          const Given src = some(dtype, shape, 2, special);
          check_against_ref(Op::cumsum_, {dim}, {src}, rounding);
          check_against_ref(Op::cumprod_, {dim}, {src}, rounding);
          check_against_ref(Op::cummax_, {dim}, {src});
          check_against_ref(Op::cummin_, {dim}, {src});
          if (is_floating(dtype)) check_against_ref(Op::logcumsumexp_, {dim}, {src}, rounding);
        }
      });
}

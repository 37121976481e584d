// SPDX-License-Identifier: Apache-2.0
// Interpolation along one dimension against loops over its definition.
#include "ds/backends/cpu/kernels/resample.h"

#include "ds/base/error.h"
#include "tests/unit/cpu/kernel_testing.h"

using namespace ds;
using namespace ds::cpu;
using namespace ds::cpu::testing;

TEST_CASE("resample and its gradient") {
  for_each_target([&] {
    for (const int64_t taps : {1, 2, 3, 4})
      for (const int64_t inner : {1, 3, 7, 64, 2500}) {
        const int64_t outer = 3, size = 5, out = 8;
        std::vector<int64_t> index(taps * out);
        for (size_t i = 0; i < index.size(); ++i) index[i] = static_cast<int64_t>(i * 7 % 5);
        const std::vector<float> weight = random_floats(index.size(), 1);
        const std::vector<float> x = random_floats(outer * size * inner, 2);
        const std::vector<float> dy = random_floats(outer * out * inner, 3);
        std::vector<float> want(dy.size()), want_dx(x.size());
        for (int64_t o = 0; o < outer; ++o)
          for (int64_t i = 0; i < out; ++i)
            for (int64_t t = 0; t < taps; ++t)
              for (int64_t k = 0; k < inner; ++k) {
                const int64_t from = (o * size + index[t * out + i]) * inner + k;
                const int64_t to = (o * out + i) * inner + k;
                want[to] += weight[t * out + i] * x[from];
                want_dx[from] += weight[t * out + i] * dy[to];
              }
        const Taps all{{index.data(), taps * out, 1, size}, weight.data(), taps, out};
        std::vector<float> y(want.size(), kNan), dx(want_dx.size(), kNan);
        resample(all, outer, inner, x.data(), y.data());
        resample_backward(all, outer, inner, dy.data(), dx.data());
        for (size_t i = 0; i < y.size(); ++i) CHECK(y[i] == doctest::Approx(want[i]).epsilon(1e-5));
        for (size_t i = 0; i < dx.size(); ++i)
          CHECK(dx[i] == doctest::Approx(want_dx[i]).epsilon(1e-5));
      }
  });
}

TEST_CASE("resample names an index out of range") {
  const int64_t index[] = {0, 5};
  const float weight[] = {1, 1}, x[5] = {};
  float y[2];
  const Taps taps{{index, 2, 1, 5}, weight, 1, 2};
  CHECK_THROWS_WITH_AS(resample(taps, 1, 1, x, y),
                       "resample: index 5 is out of range for dimension 1 of size 5", IndexError);
}

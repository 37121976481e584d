// SPDX-License-Identifier: Apache-2.0
// Pooling against loops over unclipped windows.
#include "ds/backends/cpu/kernels/pool.h"

#include "ds/base/error.h"
#include "tests/unit/cpu/kernel_testing.h"

using namespace ds;
using namespace ds::cpu;
using namespace ds::cpu::testing;

namespace {

using Three = std::array<int64_t, 3>;

struct Case {
  int64_t n, c;
  Three src, kernel, stride, padding, dilation;
  bool ceil = false;

  Three dst() const {
    Three out;
    for (int d = 0; d < 3; ++d) {
      const int64_t room = src[d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1;
      out[d] = room / stride[d] + 1;
      if (ceil && room % stride[d] != 0 && out[d] * stride[d] < src[d] + padding[d]) ++out[d];
    }
    return out;
  }
};

const Case kCases[] = {
    {2, 3, {1, 1, 9}, {1, 1, 3}, {1, 1, 2}, {0, 0, 1}, {1, 1, 1}},
    {2, 5, {1, 8, 11}, {1, 3, 3}, {1, 2, 2}, {0, 1, 1}, {1, 1, 1}},
    {1, 70, {1, 7, 7}, {1, 2, 2}, {1, 2, 2}, {0, 0, 0}, {1, 1, 1}, true},
    {1, 17, {1, 10, 23}, {1, 3, 2}, {1, 1, 1}, {0, 1, 1}, {1, 2, 3}},
    {2, 9, {5, 6, 7}, {2, 3, 3}, {2, 1, 2}, {1, 1, 1}, {1, 1, 1}},
    {3, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}},
    {1, 4, {1, 40, 40}, {1, 40, 40}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}},
};

int64_t volume(const Three& t) { return t[0] * t[1] * t[2]; }

/// Offset of channel ch at a plane position.
int64_t offset(bool last, int64_t n, int64_t ch, int64_t position, int64_t c, int64_t area) {
  return last ? (n * area + position) * c + ch : (n * c + ch) * area + position;
}

/// f(output position, source position or -1 for padding, whether PyTorch counts it) for windows.
template <class F>
void each_tap(const Case& k, F f) {
  const Three dst = k.dst();
  int64_t o = 0;
  for (int64_t z = 0; z < dst[0]; ++z)
    for (int64_t y = 0; y < dst[1]; ++y)
      for (int64_t x = 0; x < dst[2]; ++x, ++o)
        for (int64_t i = 0; i < k.kernel[0]; ++i)
          for (int64_t j = 0; j < k.kernel[1]; ++j)
            for (int64_t l = 0; l < k.kernel[2]; ++l) {
              const Three at = {z * k.stride[0] - k.padding[0] + i * k.dilation[0],
                                y * k.stride[1] - k.padding[1] + j * k.dilation[1],
                                x * k.stride[2] - k.padding[2] + l * k.dilation[2]};
              bool inside = true, counted = true;
              for (int d = 0; d < 3; ++d) {
                inside &= at[d] >= 0 && at[d] < k.src[d];
                counted &= at[d] < k.src[d] + k.padding[d];
              }
              f(o, inside ? (at[0] * k.src[1] + at[1]) * k.src[2] + at[2] : -1, counted);
            }
}

PoolShape shape_of(const Case& k, bool last) {
  const Three dst = k.dst();
  return pool_shape(k.n, k.c, last, k.src, dst, k.kernel, k.stride, k.padding, k.dilation);
}

template <class T>
void check_max(const Case& k, bool last, bool nan) {
  const DType dtype = kDTypeOf<T>;
  const int64_t area = volume(k.src), out_area = volume(k.dst());
  std::vector<float> values = random_floats(k.n * k.c * area, 1);
  if (nan) {
    for (size_t i = 3; i < values.size(); i += 17) values[i] = kNan;
  }
  const std::vector<T> x = as<T>(values);
  const std::vector<float> xf = floats(x);
  std::vector<T> y(k.n * k.c * out_area), dx(x.size());
  std::vector<int64_t> indices(y.size(), -1);
  const PoolShape shape = shape_of(k, last);
  max_pool(dtype, x.data(), shape, y.data(), indices.data());
  std::vector<T> again(y.size());
  max_pool(dtype, x.data(), shape, again.data(), nullptr);
  CHECK(max_error(floats(again), floats(y)) == 0);
  const std::vector<T> dy = as<T>(random_floats(y.size(), 2));
  max_pool_backward(dtype, dy.data(), indices.data(), shape, dx.data());
  std::vector<double> want_dx(x.size());
  bool good = true;
  for (int64_t n = 0; n < k.n; ++n) {
    for (int64_t c = 0; c < k.c; ++c) {
      std::vector<int64_t> best(out_area, -1);
      const auto at = [&](int64_t p) { return xf[offset(last, n, c, p, k.c, area)]; };
      each_tap(k, [&](int64_t o, int64_t p, bool) {
        if (p < 0) return;
        if (best[o] < 0 || at(p) > at(best[o]) || std::isnan(at(p))) best[o] = p;
      });
      for (int64_t o = 0; o < out_area; ++o) {
        const int64_t to = offset(last, n, c, o, k.c, out_area);
        good &= indices[to] == best[o];
        const float got = static_cast<float>(y[to]);
        good &= got == at(best[o]) || (std::isnan(got) && std::isnan(at(best[o])));
        want_dx[offset(last, n, c, best[o], k.c, area)] += static_cast<float>(dy[to]);
      }
    }
  }
  CHECK(good);
  CHECK(max_error(floats(dx), want_dx) <= 8 * rounding(dtype));
}

template <class T>
void check_mean(const Case& k, bool last, PoolMean mean) {
  const DType dtype = kDTypeOf<T>;
  const int64_t area = volume(k.src), out_area = volume(k.dst());
  const std::vector<T> x = as<T>(random_floats(k.n * k.c * area, 1));
  std::vector<T> y(k.n * k.c * out_area), dx(x.size());
  const std::vector<T> dy = as<T>(random_floats(y.size(), 2));
  const PoolShape shape = shape_of(k, last);
  avg_pool(dtype, x.data(), shape, mean, y.data());
  avg_pool_backward(dtype, dy.data(), shape, mean, dx.data());
  std::vector<double> count(out_area), want(y.size()), want_dx(x.size());
  each_tap(k, [&](int64_t o, int64_t p, bool counted) {
    count[o] += mean.count_include_pad ? counted : p >= 0;
  });
  for (int64_t o = 0; o < out_area; ++o) {
    if (mean.divisor) count[o] = static_cast<double>(mean.divisor);
  }
  for (int64_t n = 0; n < k.n; ++n) {
    for (int64_t c = 0; c < k.c; ++c) {
      each_tap(k, [&](int64_t o, int64_t p, bool) {
        if (p < 0) return;
        const int64_t to = offset(last, n, c, o, k.c, out_area);
        const int64_t from = offset(last, n, c, p, k.c, area);
        want[to] += static_cast<float>(x[from]) / count[o];
        want_dx[from] += static_cast<float>(dy[to]) / count[o];
      });
    }
  }
  CHECK(max_error(floats(y), want) <= 2 * rounding(dtype) + 2e-6);
  CHECK(max_error(floats(dx), want_dx) <= 2 * rounding(dtype) + 1e-6);
}

}  // namespace

TEST_CASE("max pooling with indices, forward and backward") {
  for_each_target([&] {
    for (const Case& k : kCases) {
      for (bool last : {false, true}) {
        CAPTURE(last);
        check_max<float>(k, last, false);
        check_max<float>(k, last, true);
        check_max<bf16>(k, last, false);
        check_max<f16>(k, last, false);
      }
    }
  });
}

TEST_CASE("mean pooling, forward and backward") {
  for_each_target([&] {
    for (Case k : kCases) {
      k.dilation = {1, 1, 1};
      for (bool last : {false, true}) {
        for (PoolMean mean : {PoolMean{true, 0}, PoolMean{false, 0}, PoolMean{true, 5}}) {
          check_mean<float>(k, last, mean);
          check_mean<bf16>(k, last, mean);
          check_mean<f16>(k, last, mean);
        }
      }
    }
  });
}

TEST_CASE("adaptive windows") {
  const int64_t src[] = {10, 7}, dst[] = {4, 7};
  const std::vector<float> x = random_floats(2 * 3 * 70, 1);
  for (bool last : {false, true}) {
    const PoolShape shape = adaptive_pool_shape(2, 3, last, src, dst);
    std::vector<float> y(2 * 3 * 28);
    avg_pool(DType::f32, x.data(), shape, {}, y.data());
    for (int64_t i = 0; i < 2 * 3 * 28; ++i) {
      const int64_t n = last ? i / 84 : i / 84, c = last ? i % 3 : i / 28 % 3;
      const int64_t o = last ? i / 3 % 28 : i % 28, row = o / 7, col = o % 7;
      double sum = 0;
      int64_t count = 0;
      for (int64_t r = row * 10 / 4; r < ((row + 1) * 10 + 3) / 4; ++r, ++count) {
        sum += x[offset(last, n, c, r * 7 + col, 3, 70)];
      }
      CHECK(y[i] == doctest::Approx(sum / count).epsilon(1e-5));
    }
  }
}

TEST_CASE("errors") {
  const int64_t one[] = {4}, kernel[] = {2}, stride[] = {1}, padding[] = {3}, dst[] = {9},
                dilation[] = {1};
  const float x[4] = {};
  float y[9];
  CHECK_THROWS_AS(
      max_pool(DType::f32, x, pool_shape(1, 1, false, one, dst, kernel, stride, padding, dilation),
               y, nullptr),
      ValueError);
  const int64_t indices[] = {0, 4}, none[] = {0}, two[] = {2};
  float dx[4];
  CHECK_THROWS_WITH_AS(
      max_pool_backward(DType::f32, x, indices,
                        pool_shape(1, 1, false, one, two, kernel, two, none, dilation), dx),
      "max_pool_backward: index 4 at element 1 is out of range for a plane of 4 elements",
      IndexError);
}

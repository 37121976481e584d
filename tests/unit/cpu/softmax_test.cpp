// SPDX-License-Identifier: Apache-2.0
// The softmax family against long double loops.
#include "ds/backends/cpu/kernels/softmax.h"

#include "ds/base/error.h"
#include "tests/unit/cpu/kernel_testing.h"

using namespace ds;
using namespace ds::cpu;
using namespace ds::cpu::testing;

namespace {

struct Dims {
  int64_t outer, n, inner;
  size_t size() const { return static_cast<size_t>(outer * n * inner); }
};
const Dims kShapes[] = {{1, 1, 1},      {5, 7, 1}, {2, 17, 1},    {3, 5003, 1},  {64, 10, 1},
                        {1, 100003, 1}, {2, 3, 2}, {2, 17, 1003}, {1, 1000, 65}, {0, 4, 1}};

/// softmax (or its logarithm) of every row.
std::vector<double> softmax_oracle(const std::vector<float>& x, Dims d, bool log) {
  std::vector<double> y(x.size());
  for (int64_t o = 0; o < d.outer; ++o) {
    for (int64_t c = 0; c < d.inner; ++c) {
      const auto at = [&](int64_t i) { return (o * d.n + i) * d.inner + c; };
      long double max = -HUGE_VALL, sum = 0;
      for (int64_t i = 0; i < d.n; ++i) max = std::max<long double>(max, x[at(i)]);
      for (int64_t i = 0; i < d.n; ++i) sum += std::exp(x[at(i)] - max);
      for (int64_t i = 0; i < d.n; ++i) {
        y[at(i)] = double(log ? x[at(i)] - max - std::log(sum) : std::exp(x[at(i)] - max) / sum);
      }
    }
  }
  return y;
}

template <class T>
void check(Dims d, bool log) {
  CAPTURE(d.n);
  CAPTURE(d.inner);
  CAPTURE(log);
  const DType dtype = kDTypeOf<T>;
  const std::vector<T> x = as<T>(random_floats(d.size(), 1, -8, 8));
  const std::vector<double> want = softmax_oracle(floats(x), d, log);
  std::vector<T> y(x.size());
  (log ? log_softmax : softmax)(dtype, x.data(), d.outer, d.n, d.inner, dtype, y.data());
  CHECK(max_error(floats(y), want) <= 2 * rounding(dtype) + 1e-6);
  if (!log) {
    double relative = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      if (want[i] < 1e-4) continue;
      relative = std::max(relative, std::fabs(static_cast<float>(y[i]) / want[i] - 1));
    }
    CHECK(relative <= 2 * rounding(dtype) + 1e-6);
  }
  const std::vector<T> dy = as<T>(random_floats(d.size(), 2));
  std::vector<T> dx(x.size());
  (log ? log_softmax_backward : softmax_backward)(dtype, dy.data(), y.data(), d.outer, d.n, d.inner,
                                                  dx.data());
  std::vector<double> want_dx(x.size());
  for (int64_t o = 0; o < d.outer; ++o) {
    for (int64_t c = 0; c < d.inner; ++c) {
      const auto at = [&](int64_t i) { return (o * d.n + i) * d.inner + c; };
      double sum = 0;
      const auto f = [&](const T& v) { return static_cast<double>(static_cast<float>(v)); };
      for (int64_t i = 0; i < d.n; ++i) sum += f(dy[at(i)]) * (log ? 1.0 : f(y[at(i)]));
      for (int64_t i = 0; i < d.n; ++i) {
        want_dx[at(i)] =
            log ? f(dy[at(i)]) - std::exp(f(y[at(i)])) * sum : f(y[at(i)]) * (f(dy[at(i)]) - sum);
      }
    }
  }
  CHECK(max_error(floats(dx), want_dx) <= 2 * rounding(dtype) + 1e-5);
}

}  // namespace

TEST_CASE("softmax and log_softmax, forward and backward") {
  for_each_target([&] {
    for (Dims d : kShapes) {
      for (bool log : {false, true}) {
        check<float>(d, log);
        check<bf16>(d, log);
        check<f16>(d, log);
      }
    }
  });
}

TEST_CASE("softmax of special values is PyTorch's") {
  for_each_target([&] {
    for (int64_t inner : {1, 2}) {
      // Rows: with a -inf, all -inf, with +inf, with NaN, huge.
      std::vector<float> x;
      for (const std::vector<float>& row : {std::vector<float>{0, -kInf, 0},
                                            {-kInf, -kInf, -kInf},
                                            {0, kInf, 0},
                                            {0, kNan, 1},
                                            {3e38f, 3e38f, -3e38f}}) {
        for (float v : row) x.insert(x.end(), inner, v);
      }
      std::vector<float> y(x.size());
      softmax(DType::f32, x.data(), 5, 3, inner, DType::f32, y.data());
      const auto at = [&](int64_t row, int64_t i) { return y[(row * 3 + i) * inner]; };
      CHECK(at(0, 0) == 0.5f);
      CHECK(at(0, 1) == 0);
      CHECK(std::isnan(at(1, 0)));
      CHECK(std::isnan(at(2, 1)));
      CHECK(std::isnan(at(3, 0)));
      CHECK(at(4, 0) == 0.5f);
      CHECK(at(4, 2) == 0);
    }
  });
}

TEST_CASE("cross entropy, its gradient, smoothing and ignored rows") {
  for_each_target([&] {
    for (int64_t classes : {1, 2, 10, 1003}) {
      for (float smoothing : {0.0f, 0.1f}) {
        const int64_t rows = 13;
        const std::vector<float> x = random_floats(rows * classes, 1, -30, 30);
        std::vector<int64_t> labels(rows);
        for (int64_t r = 0; r < rows; ++r) labels[r] = r % 4 == 3 ? -100 : r * 7 % classes;
        CrossEntropy shape{rows, classes, -100, smoothing};
        std::vector<float> loss(rows), lse(rows), dx(x.size());
        cross_entropy(shape, DType::f32, x.data(), labels.data(), loss.data(), lse.data());
        const std::vector<float> diff = random_floats(rows, 2);
        cross_entropy_backward(shape, DType::f32, diff.data(), 1, x.data(), labels.data(),
                               lse.data(), dx.data());
        const std::vector<double> logp = softmax_oracle(x, {rows, classes, 1}, true);
        for (int64_t r = 0; r < rows; ++r) {
          const bool ignored = labels[r] == -100;
          double want = 0;
          for (int64_t c = 0; c < classes; ++c) {
            const double target =
                smoothing / classes + (c == labels[r] ? 1 - double(smoothing) : 0);
            if (!ignored) want -= target * logp[r * classes + c];
            const double gradient =
                ignored ? 0 : diff[r] * (std::exp(logp[r * classes + c]) - target);
            CHECK(dx[r * classes + c] == doctest::Approx(gradient).epsilon(1e-4).scale(0.1));
          }
          CHECK(loss[r] == doctest::Approx(want).epsilon(1e-5));
          CHECK(lse[r] == doctest::Approx(x[r * classes] - logp[r * classes]).epsilon(1e-5));
        }
      }
    }
  });
}

TEST_CASE("a label out of range is named") {
  const float logits[] = {1, 2, 3, 4, 5, 6};
  const int64_t labels[] = {0, 3};
  float loss[2], lse[2];
  const CrossEntropy shape{2, 3};
  CHECK_THROWS_WITH_AS(
      cross_entropy(shape, DType::f32, logits, labels, loss, lse),
      "softmax_cross_entropy: label 3 is outside [0, 3); the logits have 3 classes",
      IndexError);
}

TEST_CASE("a certain prediction keeps a small loss and gradient") {
  const float logits[] = {20, 0};
  const int64_t label = 0;
  float loss, lse, dx[2];
  const float one = 1;
  const CrossEntropy shape{1, 2};
  cross_entropy(shape, DType::f32, logits, &label, &loss, &lse);
  CHECK(loss == doctest::Approx(std::log1p(std::exp(-20.0))).epsilon(0.1));
  cross_entropy_backward(shape, DType::f32, &one, 0, logits, &label, &lse, dx);
  CHECK(dx[1] == doctest::Approx(std::exp(-20.0)).epsilon(1e-4));
}

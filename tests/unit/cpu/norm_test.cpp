// SPDX-License-Identifier: Apache-2.0
// Normalisation against plain f64 loops.
#include "ds/backends/cpu/kernels/norm.h"

#include "tests/unit/cpu/kernel_testing.h"

using namespace ds;
using namespace ds::cpu;
using namespace ds::cpu::testing;

namespace {

using Doubles = std::vector<double>;

/// Where element i of a tensor belongs: its statistics group and its parameter.
struct Map {
  int64_t groups, parameters;
  std::vector<int64_t> group, parameter;
};

struct Oracle {
  Doubles mean, var, y, dx, dgamma, dbeta;
};

/// Normalisation of any kind in f64 with gradients; `center` false is RMS normalisation.
Oracle oracle(const Map& map, const std::vector<float>& x, const std::vector<float>& dy,
              const std::vector<float>& gamma, const std::vector<float>& beta, double eps,
              bool center) {
  Oracle o;
  Doubles count(map.groups), db(map.groups), ds(map.groups);
  o.mean.assign(map.groups, 0), o.var.assign(map.groups, 0);
  o.dgamma.assign(map.parameters, 0), o.dbeta.assign(map.parameters, 0);
  const size_t n = x.size();
  for (size_t i = 0; i < n; ++i) count[map.group[i]] += 1;
  for (size_t i = 0; i < n && center; ++i) o.mean[map.group[i]] += x[i] / count[map.group[i]];
  for (size_t i = 0; i < n; ++i) {
    const double e = x[i] - o.mean[map.group[i]];
    o.var[map.group[i]] += e * e / count[map.group[i]];
  }
  Doubles xhat(n);
  for (size_t i = 0; i < n; ++i) {
    const int64_t g = map.group[i], p = map.parameter[i];
    xhat[i] = (x[i] - o.mean[g]) / std::sqrt(o.var[g] + eps);
    o.y.push_back(xhat[i] * gamma[p] + beta[p]);
    o.dgamma[p] += dy[i] * xhat[i];
    o.dbeta[p] += dy[i];
    db[g] += dy[i] * gamma[p];
    ds[g] += dy[i] * gamma[p] * xhat[i];
  }
  for (size_t i = 0; i < n; ++i) {
    const int64_t g = map.group[i];
    o.dx.push_back((dy[i] * gamma[map.parameter[i]] - (center ? db[g] / count[g] : 0) -
                    xhat[i] * ds[g] / count[g]) /
                   std::sqrt(o.var[g] + eps));
  }
  return o;
}

Map row_map(int64_t rows, int64_t n) {
  Map map{rows, n, {}, {}};
  for (int64_t i = 0; i < rows * n; ++i) map.group.push_back(i / n), map.parameter.push_back(i % n);
  return map;
}

int64_t channel_of(BatchShape shape, int64_t i) {
  return shape.channels_last ? i % shape.c : i / shape.s % shape.c;
}

template <class T>
void check_rows(int64_t rows, int64_t n) {
  CAPTURE(rows);
  CAPTURE(n);
  const DType dtype = kDTypeOf<T>;
  const std::vector<T> x = as<T>(random_floats(rows * n, 1, -1, 3));
  const std::vector<T> dy = as<T>(random_floats(rows * n, 2));
  const std::vector<float> gamma = random_floats(n, 3), beta = random_floats(n, 4);
  const double tolerance = 4 * rounding(dtype) + 2e-5;
  for (bool center : {true, false}) {
    const std::vector<float> no_beta(n, 0);
    const Oracle want = oracle(row_map(rows, n), floats(x), floats(dy), gamma,
                               center ? beta : no_beta, 1e-5, center);
    std::vector<T> y(x.size()), dx(x.size());
    std::vector<float> mean(rows), rstd(rows), dgamma(n, 42), dbeta(n, 42);
    if (center) {
      layer_norm(dtype, x.data(), rows, n, gamma.data(), beta.data(), 1e-5f, y.data(), mean.data(),
                 rstd.data());
      layer_norm_backward(dtype, dy.data(), x.data(), rows, n, gamma.data(), mean.data(),
                          rstd.data(), dx.data(), dgamma.data(), dbeta.data());
      CHECK(max_error(mean, want.mean) < 1e-6);
      CHECK(max_error(dbeta, want.dbeta) < 1e-5);
    } else {
      rms_norm(dtype, x.data(), rows, n, gamma.data(), 1e-5f, y.data(), rstd.data());
      rms_norm_backward(dtype, dy.data(), x.data(), rows, n, gamma.data(), rstd.data(), dx.data(),
                        dgamma.data());
    }
    for (int64_t r = 0; r < rows; ++r) {
      CHECK(rstd[r] == doctest::Approx(1 / std::sqrt(want.var[r] + 1e-5)).epsilon(1e-5));
    }
    CHECK(max_error(floats(y), want.y) < tolerance);
    // A row of one element has variance 0, where rounding is magnified by 1 / sqrt(eps).
    CHECK(max_error(floats(dx), want.dx) < (n == 1 ? 1e-2 : tolerance));
    CHECK(max_error(dgamma, want.dgamma) < 1e-4);
  }
}

/// y > 0 of the same dtype, zero gradient elsewhere.
template <class T>
void check_batch(BatchShape shape) {
  CAPTURE(shape.n);
  CAPTURE(shape.c);
  CAPTURE(shape.s);
  CAPTURE(shape.channels_last);
  const DType dtype = kDTypeOf<T>;
  const size_t size = static_cast<size_t>(shape.n * shape.c * shape.s);
  const std::vector<T> x = as<T>(random_floats(size, 1, 2, 5));
  const std::vector<T> dy = as<T>(random_floats(size, 2));
  const std::vector<T> residual = as<T>(random_floats(size, 5));
  const std::vector<float> gamma = random_floats(shape.c, 3), beta = random_floats(shape.c, 4);
  Map map{shape.c, shape.c, {}, {}};
  for (size_t i = 0; i < size; ++i) map.group.push_back(channel_of(shape, i));
  map.parameter = map.group;
  std::vector<float> mean(shape.c), var(shape.c), dgamma(shape.c), dbeta(shape.c);
  batch_norm_statistics(dtype, x.data(), shape, mean.data(), var.data());
  const BatchNorm norm{mean.data(), var.data(), gamma.data(), beta.data(), 1e-3f};
  const double tolerance = 8 * rounding(dtype) + 2e-5;
  for (bool relu : {false, true}) {
    std::vector<T> y(size), dx(size), dresidual(size);
    batch_norm_apply(dtype, x.data(), shape, norm, relu ? residual.data() : nullptr, relu,
                     y.data());
    std::vector<float> masked = floats(dy);
    for (size_t i = 0; i < size && relu; ++i) {
      if (!(static_cast<float>(y[i]) > 0)) masked[i] = 0;
    }
    const Oracle want = oracle(map, floats(x), masked, gamma, beta, 1e-3, true);
    CHECK(max_error(mean, want.mean) < 1e-6);
    CHECK(max_error(var, want.var) < 1e-5);
    Doubles want_y = want.y;
    for (size_t i = 0; i < size && relu; ++i) {
      want_y[i] = std::max(0.0, want_y[i] + static_cast<float>(residual[i]));
    }
    CHECK(max_error(floats(y), want_y) < tolerance);
    const T* mask = relu ? y.data() : nullptr;
    batch_norm_backward_reduce(dtype, dy.data(), x.data(), mask, shape, norm, dgamma.data(),
                               dbeta.data());
    CHECK(max_error(dgamma, want.dgamma) < 1e-4);
    CHECK(max_error(dbeta, want.dbeta) < 1e-5);
    batch_norm_backward_apply(dtype, dy.data(), x.data(), mask, shape, norm, dgamma.data(),
                              dbeta.data(), false, dx.data(), relu ? dresidual.data() : nullptr);
    CHECK(max_error(floats(dx), want.dx) < 4 * tolerance);
    if (relu) CHECK(max_error(floats(dresidual), masked) == 0);
    batch_norm_backward_apply(dtype, dy.data(), x.data(), mask, shape, norm, nullptr, nullptr, true,
                              dx.data(), nullptr);
    Doubles want_dx(size);
    for (size_t i = 0; i < size; ++i) {
      const int64_t c = map.group[i];
      want_dx[i] = masked[i] * gamma[c] / std::sqrt(var[c] + 1e-3);
    }
    CHECK(max_error(floats(dx), want_dx) < tolerance);
  }
}

}  // namespace

TEST_CASE("layer and RMS normalisation, forward and backward") {
  for_each_target([&] {
    const int64_t shapes[][2] = {{1, 1}, {3, 7}, {5, 17}, {70, 33}, {200, 768}, {2, 5001}, {0, 8}};
    for (const auto& shape : shapes) {
      check_rows<float>(shape[0], shape[1]);
      check_rows<bf16>(shape[0], shape[1]);
      check_rows<f16>(shape[0], shape[1]);
    }
  });
}

TEST_CASE("layer normalisation without parameters, in place") {
  std::vector<float> x = random_floats(5 * 100, 1);
  const std::vector<float> ones(100, 1), zeros(100, 0);
  const Oracle want = oracle(row_map(5, 100), x, x, ones, zeros, 1e-5, true);
  float mean[5], rstd[5];
  std::vector<float> dx(500);
  const std::vector<float> x0 = x;
  layer_norm(DType::f32, x.data(), 5, 100, nullptr, nullptr, 1e-5f, x.data(), mean, rstd);
  CHECK(max_error(x, want.y) < 1e-6);
  layer_norm_backward(DType::f32, x0.data(), x0.data(), 5, 100, nullptr, mean, rstd, dx.data(),
                      nullptr, nullptr);
  CHECK(max_error(dx, want.dx) < 1e-5);
}

TEST_CASE("a mean far from zero does not spoil the variance") {
  std::vector<float> x = random_floats(4 * 1000, 1, 9999, 10001);
  const std::vector<float> ones(1000, 1), zeros(1000, 0);
  const Oracle want = oracle(row_map(4, 1000), x, x, ones, zeros, 1e-5, true);
  float mean[4], rstd[4];
  std::vector<float> y(x.size());
  layer_norm(DType::f32, x.data(), 4, 1000, nullptr, nullptr, 1e-5f, y.data(), mean, rstd);
  for (int i = 0; i < 4; ++i) {
    CHECK(rstd[i] == doctest::Approx(1 / std::sqrt(want.var[i] + 1e-5)).epsilon(1e-5));
  }
  const BatchShape shape{1000, 4, 1, true};
  std::vector<float> batch_mean(4), var(4);
  batch_norm_statistics(DType::f32, x.data(), shape, batch_mean.data(), var.data());
  for (int c = 0; c < 4; ++c) {
    double m = 0, v = 0;
    for (int i = 0; i < 1000; ++i) m += x[i * 4 + c] / 1000.0;
    for (int i = 0; i < 1000; ++i) v += (x[i * 4 + c] - m) * (x[i * 4 + c] - m) / 1000.0;
    CHECK(var[c] == doctest::Approx(v).epsilon(1e-5));
  }
}

TEST_CASE("batch normalisation in both layouts, with residual and ReLU") {
  for_each_target([&] {
    for (bool last : {true, false}) {
      for (const BatchShape& shape : {BatchShape{2, 3, 5, last}, BatchShape{3, 64, 49, last},
                                      BatchShape{2, 17, 1, last}, BatchShape{2, 1, 7, last},
                                      BatchShape{2, 1100, 6, last}, BatchShape{40, 8, 101, last}}) {
        check_batch<float>(shape);
        check_batch<bf16>(shape);
        check_batch<f16>(shape);
      }
    }
  });
}

TEST_CASE("group normalisation in both layouts, forward and backward") {
  for_each_target([&] {
    for (const bool last : {false, true})
      for (const GroupShape& shape :
           {GroupShape{{2, 6, 5, last}, 3}, GroupShape{{3, 8, 49, last}, 8},
            GroupShape{{1, 4, 1030, last}, 1}, GroupShape{{2, 4, 1, last}, 2}}) {
        const size_t size = static_cast<size_t>(shape.n * shape.c * shape.s);
        const std::vector<float> x = random_floats(size, 1, 0, 3), dy = random_floats(size, 2);
        const std::vector<float> gamma = random_floats(shape.c, 3),
                                 beta = random_floats(shape.c, 4);
        Map map{shape.n * shape.groups, shape.c, {}, {}};
        for (size_t i = 0; i < size; ++i) {
          const auto at = static_cast<int64_t>(i);
          const int64_t channel = last ? at % shape.c : at / shape.s % shape.c;
          const int64_t sample = at / (shape.s * shape.c);
          map.parameter.push_back(channel);
          map.group.push_back(sample * shape.groups + channel / (shape.c / shape.groups));
        }
        const Oracle want = oracle(map, x, dy, gamma, beta, 1e-5, true);
        std::vector<float> y(size), dx(size), mean(map.groups), var(map.groups), dgamma(shape.c),
            dbeta(shape.c);
        group_norm_statistics(DType::f32, x.data(), shape, mean.data(), var.data());
        const BatchNorm norm{mean.data(), var.data(), gamma.data(), beta.data(), 1e-5f};
        group_norm_apply(DType::f32, x.data(), shape, norm, y.data());
        group_norm_backward(DType::f32, dy.data(), x.data(), shape, norm, dx.data(), dgamma.data(),
                            dbeta.data());
        CHECK(max_error(y, want.y) < 1e-5);
        CHECK(max_error(dx, want.dx) < 1e-4);
        CHECK(max_error(dgamma, want.dgamma) < 1e-5);
        CHECK(max_error(dbeta, want.dbeta) < 1e-5);
      }
  });
}

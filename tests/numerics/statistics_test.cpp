// SPDX-License-Identifier: Apache-2.0
// Softmax, logsumexp and the statistics of normalisation where naive sums lose everything: far from
// zero, with large and small magnitudes, in long rows. Exact values come from long double. Squares
// are summed partly in f32, so their sum has to stay below f32's largest number, as in PyTorch.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/ops/run_graph.h"
#include "tests/unit/cpu/kernel_testing.h"

namespace ds::testing {
namespace {

using cpu::testing::for_each_target;
using cpu::testing::rounding;
using Reals = std::vector<long double>;

/// Rows of numbers around `offset` with a deviation of about `scale`.
struct Case {
  int64_t rows, n;
  double offset, scale;
};
const Case kCases[] = {{3, 7, 0, 1},          {3, 1000, 0, 1},     {2, 4096, 1000, 1},
                       {3, 257, 1e6, 1},      {3, 257, -1e6, 100}, {2, 64, 1e4, 1e-2},
                       {3, 100, 0, 1e-18},    {3, 100, 0, 1e15},   {2, 100, -3e17, 1e16},
                       {1, 100000, 300, 0.5}, {3, 50, 8e4, 1e4}};

std::vector<double> numbers(const Case& c, DType dtype) {
  std::mt19937 draw(static_cast<unsigned>(c.n));
  std::normal_distribution<double> noise(c.offset, c.scale);
  std::vector<double> x(static_cast<size_t>(c.rows * c.n));
  for (double& v : x) v = noise(draw);
  return to_numbers(to_bytes(x, dtype), dtype);
}

/// A graph of one op on inputs of these types; all outputs of the op.
Graph graph_of(Op op, const std::vector<Type>& types, Attrs attrs) {
  Graph graph;
  Interner interner;
  Values values;
  for (const Type& type : types) {
    graph.inputs.push_back(interner.node(
        Op::input_, {}, {static_cast<int64_t>(values.size()), type.dtype, type.shape}));
    values.push_back({graph.inputs.back(), 0});
  }
  const NodePtr node = interner.node(op, values, std::move(attrs));
  for (int i = 0; i < node->outputs(); ++i) graph.outputs.push_back({node, i});
  return graph;
}

/// Runs the graph everywhere and hands the outputs as numbers to `judge`.
template <class Judge>
void everywhere(const Graph& graph, const std::vector<std::vector<double>>& inputs, Judge judge) {
  std::vector<Bytes> bytes;
  for (size_t i = 0; i < inputs.size(); ++i)
    bytes.push_back(to_bytes(inputs[i], graph.inputs[i]->type().dtype));
  const auto run = [&](const std::string& backend) {
    INFO(backend);
    std::vector<std::vector<double>> outputs;
    const std::vector<Bytes> raw = run_graph(backend, graph, bytes);
    for (size_t i = 0; i < raw.size(); ++i)
      outputs.push_back(to_numbers(raw[i], graph.outputs[i].dtype()));
    judge(outputs);
  };
  run("ref");
  for_each_target([&] { run("cpu"); });
}

/// Largest |got - want|, infinite when one is NaN.
double worst(const std::vector<double>& got, const Reals& want) {
  double most = got.size() == want.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    const double error = static_cast<double>(std::fabs(got[i] - want[i]));
    most = std::max(most, error == error ? error : INFINITY);
  }
  return most;
}

/// Softmax of each row, its logarithm and logsumexp.
struct Softmax {
  Reals probability, logarithm, logsumexp;
};
Softmax softmax_of(const Case& c, const std::vector<double>& x) {
  Softmax s;
  for (int64_t r = 0; r < c.rows; ++r) {
    const double* row = x.data() + r * c.n;
    const long double top = *std::max_element(row, row + c.n);
    long double sum = 0;
    for (int64_t i = 0; i < c.n; ++i) sum += std::exp(row[i] - top);
    s.logsumexp.push_back(top + std::log(sum));
    for (int64_t i = 0; i < c.n; ++i) {
      s.logarithm.push_back(row[i] - top - std::log(sum));
      s.probability.push_back(std::exp(s.logarithm.back()));
    }
  }
  return s;
}

TEST_CASE("softmax, log_softmax and logsumexp do not depend on an offset") {
  for (DType dtype : {DType::f32, DType::f16, DType::bf16})
    for (const Case& c : kCases) {
      if (dtype == DType::f16 && std::fabs(c.offset) + 6 * c.scale > 65000) continue;
      CAPTURE(dtype_name(dtype));
      CAPTURE(c.offset);
      CAPTURE(c.scale);
      const std::vector<double> x = numbers(c, dtype);
      const Softmax want = softmax_of(c, x);
      const Type type{dtype, {c.rows, c.n}};
      const double unit = rounding(dtype);
      everywhere(graph_of(Op::softmax_, {type}, {int64_t{1}}), {x}, [&](const auto& got) {
        CHECK(worst(got[0], want.probability) <= unit + 1e-6);
        for (int64_t r = 0; r < c.rows; ++r) {
          double sum = 0;
          for (int64_t i = 0; i < c.n; ++i) sum += got[0][static_cast<size_t>(r * c.n + i)];
          CHECK(sum == doctest::Approx(1).epsilon(dtype == DType::f32 ? 1e-5 : 0.02));
        }
      });
      everywhere(graph_of(Op::log_softmax_, {type}, {int64_t{1}}), {x}, [&](const auto& got) {
        for (size_t i = 0; i < x.size(); ++i) {
          const auto size = static_cast<double>(std::fabs(want.logarithm[i]));
          if (std::fabs(got[0][i] - static_cast<double>(want.logarithm[i])) >
              2 * unit * size + 1e-6) {
            CHECK(got[0][i] == static_cast<double>(want.logarithm[i]));
            break;
          }
        }
      });
      everywhere(graph_of(Op::softmax_cross_entropy_, {type, {DType::i64, {c.rows}}},
                          {int64_t{-100}, 0.0}),
                 {x, std::vector<double>(static_cast<size_t>(c.rows), 1)}, [&](const auto& got) {
                   for (size_t r = 0; r < want.logsumexp.size(); ++r) {
                     const auto lse = static_cast<double>(want.logsumexp[r]);
                     const auto loss =
                         -static_cast<double>(want.logarithm[r * static_cast<size_t>(c.n) + 1]);
                     CHECK(std::fabs(got[1][r] - lse) <= 0x1p-23 * std::fabs(lse) + 1e-6);
                     // The loss is the small difference of large numbers: it must not be taken so.
                     CHECK(std::fabs(got[0][r] - loss) <= 0x1p-22 * std::fabs(loss) + 1e-6);
                   }
                 });
    }
}

/// Statistics of each of `groups` runs of elements, where element i belongs to group(i).
struct Statistics {
  Reals mean, variance, square;
};
template <class Group>
Statistics statistics(const std::vector<double>& x, size_t groups, Group group) {
  Statistics s{Reals(groups), Reals(groups), Reals(groups)};
  std::vector<int64_t> count(groups);
  for (size_t i = 0; i < x.size(); ++i) {
    ++count[group(i)];
    s.mean[group(i)] += x[i];
    s.square[group(i)] += static_cast<long double>(x[i]) * x[i];
  }
  for (size_t g = 0; g < groups; ++g) {
    s.mean[g] /= count[g];
    s.square[g] /= count[g];
  }
  for (size_t i = 0; i < x.size(); ++i) {
    const long double distance = x[i] - s.mean[group(i)];
    s.variance[group(i)] += distance * distance / count[group(i)];
  }
  return s;
}

constexpr double kEps = 1e-5;

/// The f32 mean is what gradients read, so y carries its rounding: |mean| / deviation units.
double normalized_error(DType dtype, double mean, double deviation) {
  return 8 * (rounding(dtype) + 0x1p-24 * (1 + std::fabs(mean) / deviation)) + 2e-6;
}

TEST_CASE("layer and RMS normalisation keep their statistics far from zero") {
  for (DType dtype : {DType::f32, DType::bf16})
    for (const Case& c : kCases) {
      CAPTURE(dtype_name(dtype));
      CAPTURE(c.offset);
      CAPTURE(c.scale);
      const std::vector<double> x = numbers(c, dtype);
      const auto row = [&](size_t i) { return i / static_cast<size_t>(c.n); };
      const Statistics want = statistics(x, static_cast<size_t>(c.rows), row);
      const std::vector<double> ones(static_cast<size_t>(c.n), 1), zeros(static_cast<size_t>(c.n));
      const Type type{dtype, {c.rows, c.n}}, parameter{DType::f32, {c.n}};
      everywhere(
          graph_of(Op::layer_norm_, {type, parameter, parameter}, {int64_t{1}, kEps}),
          {x, ones, zeros}, [&](const auto& got) {
            for (size_t r = 0; r < want.mean.size(); ++r) {
              const auto mean = static_cast<double>(want.mean[r]);
              const auto rstd = 1 / std::sqrt(static_cast<double>(want.variance[r]) + kEps);
              CHECK(std::fabs(got[1][r] - mean) <= 0x1p-23 * std::fabs(mean) + 1e-7 * c.scale);
              CHECK(std::fabs(got[2][r] - rstd) <= 1e-6 * rstd);
            }
            double most = 0;
            for (size_t i = 0; i < x.size(); ++i) {
              const size_t r = row(i);
              const auto deviation = std::sqrt(static_cast<double>(want.variance[r]) + kEps);
              const double y = static_cast<double>(x[i] - want.mean[r]) / deviation;
              const double error =
                  std::fabs(got[0][i] - y) /
                  normalized_error(dtype, static_cast<double>(want.mean[r]), deviation) /
                  std::max(1.0, std::fabs(y));
              most = std::max(most, error == error ? error : INFINITY);
            }
            CHECK(most <= 1);
          });
      everywhere(graph_of(Op::rms_norm_, {type, parameter}, {int64_t{1}, kEps}), {x, ones},
                 [&](const auto& got) {
                   for (size_t r = 0; r < want.square.size(); ++r) {
                     const auto rstd = 1 / std::sqrt(static_cast<double>(want.square[r]) + kEps);
                     CHECK(std::fabs(got[1][r] - rstd) <= 1e-6 * rstd);
                   }
                   for (size_t i = 0; i < x.size(); i += 7) {
                     const double y =
                         x[i] / std::sqrt(static_cast<double>(want.square[row(i)]) + kEps);
                     CHECK(std::fabs(got[0][i] - y) <=
                           (2 * rounding(dtype) + 2e-6) * std::max(1e-30, std::fabs(y)));
                   }
                 });
    }
}

TEST_CASE("batch normalisation keeps its statistics far from zero") {
  for (const Case& c : kCases) {
    CAPTURE(c.offset);
    CAPTURE(c.scale);
    // [N, C, S] with C the rows of the case, N 2.
    Case doubled = c;
    doubled.rows *= 2;
    const std::vector<double> x = numbers(doubled, DType::f32);
    const auto channel = [&](size_t i) {
      return i / static_cast<size_t>(c.n) % static_cast<size_t>(c.rows);
    };
    const Statistics want = statistics(x, static_cast<size_t>(c.rows), channel);
    const std::vector<double> ones(static_cast<size_t>(c.rows), 1),
        zeros(static_cast<size_t>(c.rows));
    const Type type{DType::f32, {2, c.rows, c.n}}, parameter{DType::f32, {c.rows}};
    everywhere(graph_of(Op::batch_norm_, {type, parameter, parameter}, {kEps}), {x, ones, zeros},
               [&](const auto& got) {
                 double most = 0;
                 for (size_t g = 0; g < want.mean.size(); ++g) {
                   const auto mean = static_cast<double>(want.mean[g]);
                   const auto variance = static_cast<double>(want.variance[g]);
                   CHECK(std::fabs(got[1][g] - mean) <= 0x1p-23 * std::fabs(mean) + 1e-7 * c.scale);
                   CHECK(std::fabs(got[2][g] - variance) <= 1e-6 * variance);
                 }
                 for (size_t i = 0; i < x.size(); ++i) {
                   const size_t g = channel(i);
                   const auto deviation = std::sqrt(static_cast<double>(want.variance[g]) + kEps);
                   const double y = static_cast<double>(x[i] - want.mean[g]) / deviation;
                   const double error =
                       std::fabs(got[0][i] - y) /
                       normalized_error(DType::f32, static_cast<double>(want.mean[g]), deviation) /
                       std::max(1.0, std::fabs(y));
                   most = std::max(most, error == error ? error : INFINITY);
                 }
                 CHECK(most <= 1);
               });
  }
}

TEST_CASE("sums and means of a million values and of mixed magnitudes") {
  Case c{4, 250000, 1000, 1};
  const std::vector<double> x = numbers(c, DType::f32);
  const Type type{DType::f32, {c.rows, c.n}};
  const Statistics want =
      statistics(x, static_cast<size_t>(c.rows), [&](size_t i) { return i / 250000; });
  everywhere(graph_of(Op::mean_, {type}, {Shape{1}, false}), {x}, [&](const auto& got) {
    for (size_t r = 0; r < 4; ++r)
      CHECK(got[0][r] == doctest::Approx(static_cast<double>(want.mean[r])).epsilon(0x1p-23));
  });
  // 1e8 swallows a 1 in f32; of a thousand of them a plain f32 loop would lose all.
  std::vector<double> mixed(1001, 1);
  mixed[0] = 1e8;
  everywhere(graph_of(Op::sum_, {{DType::f32, {1001}}}, {Shape{0}, false}), {mixed},
             [&](const auto& got) { CHECK(std::fabs(got[0][0] - 100001000) <= 300); });
}

}  // namespace
}  // namespace ds::testing

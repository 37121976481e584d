// SPDX-License-Identifier: Apache-2.0
// Gradients where a function is not smooth: the expected numbers are PyTorch 2.13's.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "ds/grad/differentiate.h"
#include "ds/ir/build.h"
#include "tests/ops/interpreter.h"

namespace ds::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

using Numbers = std::vector<double>;

struct Case {
  const char* name;
  std::vector<std::pair<Shape, Numbers>> inputs;
  Value (*function)(const Values&);
  std::vector<Numbers> gradients;
};

/// Gradients of the sum of a function's result.
std::vector<Numbers> gradients_of(const Case& test) {
  Values variables;
  std::vector<Bytes> data;
  for (const auto& [shape, numbers] : test.inputs) {
    const auto index = static_cast<int64_t>(data.size());
    const Value input = make(Op::input_, {}, {index, DType::f64, shape});
    variables.push_back(make(Op::variable_, {input}, {index}));
    data.push_back(to_bytes(numbers, DType::f64));
  }
  const Values found = differentiate({test.function(variables)}, {{}}, variables).targets;
  std::vector<Numbers> result;
  for (const Bytes& bytes : Interpreter(found).run(data))
    result.push_back(to_numbers(bytes, DType::f64));
  return result;
}

template <Op op>
Value apply(const Values& x) {
  return make(op, x);
}
template <Op op>
Value reduce_rows(const Values& x) {
  return make(op, x, {Shape{1}, false});
}
template <Op op>
Value scan_rows(const Values& x) {
  return make(op, x, {int64_t{1}});
}
template <Op op>
Value scan_first(const Values& x) {
  return make(op, x, {int64_t{0}});
}

/// An i64 vector made of constants.
Value index(const Numbers& numbers) {
  Values parts;
  for (double number : numbers) parts.push_back(make_full({1}, number, DType::i64));
  return make(Op::cat_, parts, {int64_t{0}});
}

Value guarded_log(const Values& x) {
  const Value positive = make(Op::gt_, {x[0], make_constant(0.0, DType::f64)});
  return make(Op::where_, {positive, make(Op::log_, {x[0]}), x[0]});
}
Value max_pool(const Values& x) {
  return make(Op::max_pool_, x, {Shape{2}, Shape{2}, Shape{0}, Shape{0}, Shape{1}});
}
Value top_two(const Values& x) { return make(Op::topk_, x, {int64_t{2}, int64_t{0}, true}); }
Value scatter_amax(const Values& x) {
  return make(Op::scatter_, {x[0], index({1, 2, 2}), x[1]}, {int64_t{0}, std::string("amax")});
}
Value scatter_mul(const Values& x) {
  return make(Op::scatter_, {x[0], index({0, 0, 1, 1}), x[1]}, {int64_t{0}, std::string("mul")});
}
Value constant_power(const Values& x) {
  return make(Op::pow_, {x[0], make_constant(3.0, DType::f64)});
}

const Case kCases[] = {
    {"abs", {{{5}, {-1, 0, -0.0, 2, kNaN}}}, apply<Op::abs_>, {{-1, 0, 0, 1, 0}}},
    {"relu", {{{4}, {-1, 0, 2, kNaN}}}, apply<Op::relu_>, {{0, 0, 1, 1}}},
    {"sqrt", {{{2}, {0, 4}}}, apply<Op::sqrt_>, {{kInf, 0.25}}},
    {"rsqrt", {{{1}, {0}}}, apply<Op::rsqrt_>, {{-kInf}}},
    {"maximum",
     {{{5}, {1, 2, 3, kNaN, 1}}, {{5}, {1, 3, 2, 1, kNaN}}},
     apply<Op::maximum_>,
     {{0.5, 0, 1, 1, 1}, {0.5, 1, 0, 1, 1}}},
    {"minimum",
     {{{5}, {1, 2, 3, kNaN, 1}}, {{5}, {1, 3, 2, 1, kNaN}}},
     apply<Op::minimum_>,
     {{0.5, 1, 0, 1, 1}, {0.5, 0, 1, 1, 1}}},
    {"amax",
     {{{2, 3}, {1, 3, 3, 2, 2, 2}}},
     reduce_rows<Op::amax_>,
     {{0, 0.5, 0.5, 1 / 3., 1 / 3., 1 / 3.}}},
    {"amin",
     {{{2, 3}, {1, 1, 3, 2, 2, 2}}},
     reduce_rows<Op::amin_>,
     {{0.5, 0.5, 0, 1 / 3., 1 / 3., 1 / 3.}}},
    {"pow",
     {{{6}, {0, 0, 0, 0, -2, 2}}, {{6}, {0, 1, 2, 3, 2, 0}}},
     apply<Op::pow_>,
     {{0, 1, 0, 0, -4, 0}, {0, 0, 0, 0, kNaN, std::log(2.0)}}},
    {"pow by a constant", {{{3}, {-1, 0, 2}}}, constant_power, {{3, 0, 12}}},
    {"prod", {{{2, 3}, {0, 2, 3, 0, 0, 3}}}, reduce_rows<Op::prod_>, {{6, 0, 0, 0, 0, 0}}},
    {"cumprod", {{{2, 3}, {2, 0, 3, 0, 0, 3}}}, scan_rows<Op::cumprod_>, {{1, 8, 0, 1, 0, 0}}},
    {"cummax", {{{5}, {1, 3, 3, 2, 3}}}, scan_first<Op::cummax_>, {{1, 1, 2, 0, 1}}},
    {"cummin", {{{5}, {3, 1, 1, 2, 1}}}, scan_first<Op::cummin_>, {{1, 1, 2, 0, 1}}},
    // PyTorch has NaN for the first; a term of weight exp(-inf) has no slope.
    {"logcumsumexp",
     {{{3}, {-kInf, 0, 1}}},
     scan_first<Op::logcumsumexp_>,
     {{0, 1.268941421369995, 0.7310585786300049}}},
    {"where", {{{2}, {-1, 2}}}, guarded_log, {{1, 0.5}}},
    {"copysign",
     {{{3}, {0, 2, -2}}, {{3}, {-1, -1, 1}}},
     apply<Op::copysign_>,
     {{0, -1, -1}, {0, 0, 0}}},
    {"atan2", {{{2}, {0, 1}}, {{2}, {0, 0}}}, apply<Op::atan2_>, {{0, 0}, {0, -1}}},
    {"fmod", {{{2}, {-3.5, 3.5}}, {{2}, {2, -2}}}, apply<Op::fmod_>, {{1, 1}, {1, 1}}},
    {"remainder", {{{2}, {-3.5, 3.5}}, {{2}, {2, -2}}}, apply<Op::remainder_>, {{1, 1}, {2, 2}}},
    {"max_pool", {{{1, 1, 4}, {1, 1, 2, 2}}}, max_pool, {{1, 0, 1, 0}}},
    {"topk", {{{4}, {1, 3, 3, 2}}}, top_two, {{0, 1, 1, 0}}},
    {"scatter amax",
     {{{3}, {1, 2, 5}}, {{3}, {2, 5, 5}}},
     scatter_amax,
     {{1, 0.5, 1 / 3.}, {0.5, 1 / 3., 1 / 3.}}},
    {"scatter mul", {{{2}, {3, 0}}, {{4}, {0, 2, 4, 5}}}, scatter_mul, {{0, 20}, {6, 0, 0, 0}}},
};

TEST_CASE("gradients at points that are not smooth are PyTorch's") {
  for (const Case& test : kCases) {
    const std::vector<Numbers> found = gradients_of(test);
    REQUIRE(found.size() == test.gradients.size());
    for (size_t i = 0; i < found.size(); ++i)
      for (size_t k = 0; k < found[i].size(); ++k) {
        INFO(test.name, " input ", i, " element ", k, ": ", found[i][k]);
        const double expected = test.gradients[i][k];
        const double value = found[i][k];
        const bool same = std::isnan(expected)   ? std::isnan(value)
                          : std::isinf(expected) ? value == expected
                                                 : std::abs(value - expected) < 1e-12;
        CHECK(same);
      }
  }
}

}  // namespace
}  // namespace ds::testing

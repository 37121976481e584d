// SPDX-License-Identifier: Apache-2.0
// Gradient samples of elementwise ops and reductions.
#include "tests/ops/gradient_samples.h"

namespace ds::testing {
namespace {

struct Domain {
  Op op;
  double low;
  double high;
};

// Where each function is smooth and tame.
constexpr Domain kUnary[] = {
    {Op::neg_, -2, 2},         {Op::abs_, -2, 2},        {Op::sign_, -2, 2},
    {Op::exp_, -2, 2},         {Op::exp2_, -2, 2},       {Op::expm1_, -2, 2},
    {Op::log_, 0.3, 3},        {Op::log2_, 0.3, 3},      {Op::log10_, 0.3, 3},
    {Op::log1p_, -0.6, 2},     {Op::sqrt_, 0.3, 3},      {Op::rsqrt_, 0.3, 3},
    {Op::reciprocal_, 0.4, 2}, {Op::square_, -2, 2},     {Op::sin_, -2, 2},
    {Op::cos_, -2, 2},         {Op::tan_, -1.1, 1.1},    {Op::asin_, -0.85, 0.85},
    {Op::acos_, -0.85, 0.85},  {Op::atan_, -2, 2},       {Op::sinh_, -2, 2},
    {Op::cosh_, -2, 2},        {Op::tanh_, -2, 2},       {Op::asinh_, -2, 2},
    {Op::acosh_, 1.3, 3},      {Op::atanh_, -0.8, 0.8},  {Op::erf_, -2, 2},
    {Op::erfc_, -2, 2},        {Op::erfinv_, -0.8, 0.8}, {Op::lgamma_, 0.4, 4},
    {Op::sigmoid_, -3, 3},     {Op::relu_, -2, 2},       {Op::gelu_, -3, 3},
    {Op::gelu_tanh_, -3, 3},   {Op::silu_, -3, 3},       {Op::softplus_, -3, 3},
    {Op::gelu_slope_, -3, 3},  {Op::silu_slope_, -3, 3}, {Op::gelu_tanh_slope_, -3, 3},
};

struct BinaryDomain {
  Op op;
  double low_a, high_a;
  double low_b, high_b;
};

constexpr BinaryDomain kBinary[] = {
    {Op::add_, -2, 2, -2, 2},     {Op::sub_, -2, 2, -2, 2},      {Op::mul_, -2, 2, -2, 2},
    {Op::div_, -2, 2, 0.5, 2},    {Op::pow_, 0.3, 2, -2, 2},     {Op::maximum_, -2, 2, -2, 2},
    {Op::minimum_, -2, 2, -2, 2}, {Op::fmod_, -3, 3, 0.7, 2},    {Op::remainder_, -3, 3, 0.7, 2},
    {Op::atan2_, 0.3, 2, -2, 2},  {Op::copysign_, -2, 2, -2, 2},
};

struct ShapePair {
  Shape a;
  Shape b;
};

void add_pow_samples(Samples& samples) {
  // Integer exponents of negative bases and of 0, where the exponent itself is no variable.
  for (double exponent : {0.0, 1.0, 2.0, 3.0, 4.0}) {
    const auto prelude = [exponent](const Values& x) -> Values {
      return {x[0], make_constant(exponent, x[0].dtype())};
    };
    samples.push_back({Op::pow_, {{{4}, 0, 0, {-1.5, 0.0, 0.7, 2.0}}}, {}, prelude});
    const auto tensor = [exponent](const Values& x) -> Values {
      return {x[0], make_full({4}, exponent, x[0].dtype())};
    };
    samples.push_back({Op::pow_, {{{4}, 0, 0, {-1.5, 0.0, 0.7, 2.0}}}, {}, tensor});
  }
}

void add_where_samples(Samples& samples) {
  samples.push_back({Op::where_, {bool_operand({2, 3}, {1, 0, 0, 1, 1, 0}), {{2, 3}}, {{2, 3}}}});
  samples.push_back({Op::where_, {bool_operand({3}, {1, 0, 1}), {{2, 1}}, {{}}}});
}

void add_clamp_samples(Samples& samples) {
  samples.push_back({Op::clamp_, {{{2, 6}, -3, 3}, {{6}, -2, -1}, {{2, 1}, 1, 2}}});
  samples.push_back({Op::clamp_, {{{12}, -3, 3}, {{}, 0.5, 2}, {{12}, -1, 1}}});  // crossing limits
  samples.push_back({Op::clamp_, {{{0, 3}}, {{}}, {{3}}}});
}

}  // namespace

void add_elementwise_samples(Samples& samples) {
  for (const Domain& at : kUnary)
    for (const Shape& shape : {Shape{2, 3}, Shape{}, Shape{0, 3}})
      samples.push_back({at.op, {{shape, at.low, at.high}}});
  // Its second derivative would need trigamma's, which has none.
  samples.push_back({Op::digamma_, {{{2, 3}, 0.4, 4}}, {}, nullptr, false});
  samples.push_back({Op::cast_, {{{2, 3}}}, {DType::f64}});
  const ShapePair pairs[] = {{{2, 3}, {2, 3}}, {{2, 3}, {3}},   {{2, 1}, {1, 3}},
                             {{}, {2}},        {{3}, {}},       {{0, 3}, {1, 3}},
                             {{}, {}},         {{2}, {3, 1, 2}}};
  for (const BinaryDomain& at : kBinary)
    for (const ShapePair& pair : pairs)
      samples.push_back({at.op, {{pair.a, at.low_a, at.high_a}, {pair.b, at.low_b, at.high_b}}});
  add_pow_samples(samples);
  add_where_samples(samples);
  add_clamp_samples(samples);
}

void add_reduce_samples(Samples& samples) {
  const std::vector<double> with_zeros{0, 2, -1, 0, 0, 3, 1, -2, 0.5, 1, 0, 2};
  for (Op op : {Op::sum_, Op::mean_, Op::prod_, Op::amax_, Op::amin_}) {
    samples.push_back({op, {{{3, 4}}}, {Shape{1}, false}});
    samples.push_back({op, {{{3, 4}}}, {Shape{0}, true}});
    samples.push_back({op, {{{2, 3, 2}}}, {Shape{0, 2}, false}});
    samples.push_back({op, {{{2, 3}}}, {Shape{0, 1}, false}});
    samples.push_back({op, {{{}}}, {Shape{}, false}});
    samples.push_back({op, {{{0, 3}}}, {Shape{1}, false}});
  }
  samples.push_back({Op::sum_, {{{0, 3}}}, {Shape{0}, false}});
  samples.push_back({Op::prod_, {{{0, 3}}}, {Shape{0}, true}});
  samples.push_back({Op::prod_, {{{3, 4}, 0, 0, with_zeros}}, {Shape{1}, false}});
  samples.push_back({Op::prod_, {{{3, 4}, 0, 0, with_zeros}}, {Shape{0, 1}, true}});
  for (Op op : {Op::cumsum_, Op::cumprod_, Op::cummax_, Op::cummin_, Op::logcumsumexp_})
    for (int64_t dim : {0, 1}) {
      samples.push_back({op, {{{3, 5}}}, {dim}});
      samples.push_back({op, {{{2, 0}}}, {dim}});
      samples.push_back({op, {{{1, 1}}}, {dim}});
    }
  samples.push_back({Op::cumprod_, {{{3, 4}, 0, 0, with_zeros}}, {int64_t{1}}});
  samples.push_back({Op::cumprod_, {{{4, 3}, 0, 0, with_zeros}}, {int64_t{0}}});
}

}  // namespace ds::testing

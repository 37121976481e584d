// SPDX-License-Identifier: Apache-2.0
// Gradient samples of movement, indexing, contractions and pooling.
#include "tests/ops/gradient_samples.h"

namespace ds::testing {

void add_movement_samples(Samples& samples) {
  const auto add = [&](Op op, std::vector<Operand> operands, Attrs attrs) {
    samples.push_back({op, std::move(operands), std::move(attrs)});
  };
  add(Op::reshape_, {{{2, 3}}}, {Shape{3, 2}});
  add(Op::reshape_, {{{}}}, {Shape{1, 1}});
  add(Op::reshape_, {{{0, 3}}}, {Shape{3, 0}});
  add(Op::permute_, {{{2, 3, 4}}}, {Shape{2, 0, 1}});
  add(Op::expand_, {{{3, 1}}}, {Shape{2, 3, 4}});
  add(Op::expand_, {{{}}}, {Shape{2, 2}});
  add(Op::slice_, {{{4, 5}}}, {Shape{1, 0}, Shape{2, 5}, Shape{1, 1}});
  add(Op::slice_, {{{4, 5}}}, {Shape{0, 1}, Shape{2, 2}, Shape{2, 3}});
  add(Op::slice_, {{{4, 5}}}, {Shape{0, 0}, Shape{4, 5}, Shape{1, 1}});
  add(Op::slice_, {{{4, 5}}}, {Shape{2, 0}, Shape{0, 5}, Shape{1, 1}});
  add(Op::slice_scatter_, {{{4, 5}}, {{2, 2}}}, {Shape{0, 1}, Shape{2, 3}});
  add(Op::slice_scatter_, {{{3}}, {{3}}}, {Shape{0}, Shape{1}});
  add(Op::as_strided_, {{{3, 4}}}, {Shape{2, 2}, Shape{4, 1}, int64_t{1}});
  add(Op::as_strided_, {{{3, 4}}}, {Shape{3, 3}, Shape{2, 1}, int64_t{2}});
  add(Op::as_strided_scatter_, {{{3, 4}}, {{2, 2}}}, {Shape{4, 1}, int64_t{1}});
  add(Op::as_strided_add_, {{{2, 2}}}, {Shape{3, 4}, Shape{4, 1}, int64_t{1}});
  add(Op::as_strided_add_, {{{3, 3}}}, {Shape{3, 4}, Shape{2, 1}, int64_t{2}});
  add(Op::flip_, {{{2, 3}}}, {Shape{0, 1}});
  add(Op::pad_, {{{2, 3}}}, {Shape{1, 0}, Shape{0, 2}, 1.5});
  add(Op::pad_, {{{0, 3}}}, {Shape{1, 0}, Shape{0, 2}, 0.0});
  add(Op::cat_, {{{2, 3}}, {{2, 1}}, {{2, 0}}}, {int64_t{1}});
  add(Op::cat_, {{{2}}}, {int64_t{0}});
}

void add_index_samples(Samples& samples) {
  const Operand index = index_operand({2, 3}, {0, 2, 2, 1, 1, 0});
  const Operand picks = index_operand({4}, {2, 0, 2, 1});
  samples.push_back({Op::gather_, {{{3, 3}}, index}, {int64_t{0}}});
  samples.push_back({Op::gather_, {{{2, 4}}, index}, {int64_t{1}}});
  for (const char* reduce : {"add", "mul", "amax", "amin"}) {
    samples.push_back(
        {Op::scatter_, {{{3, 3}}, index, {{2, 3}}}, {int64_t{0}, std::string(reduce)}});
    samples.push_back(
        {Op::scatter_, {{{2, 4}}, index, {{2, 3}}}, {int64_t{1}, std::string(reduce)}});
  }
  for (const char* reduce : {"set", "add", "mul", "amax"})
    samples.push_back({Op::scatter_,
                       {{{3, 3}}, index_operand({1, 2}, {0, 2}), {{2, 3}}},
                       {int64_t{0}, std::string(reduce)}});
  // With duplicates the last writer wins in the value, but every writer gets the gradient, as in
  // PyTorch: a finite difference holds without duplicates only.
  const Operand distinct = index_operand({2, 3}, {0, 2, 1, 1, 0, 2});
  samples.push_back(
      {Op::scatter_, {{{3, 3}}, distinct, {{2, 3}}}, {int64_t{0}, std::string("set")}});
  const Operand zeros{{2, 3}, 0, 0, {0, 2, 1, 0, 3, -1}};
  samples.push_back(
      {Op::scatter_, {{{2, 4}}, index, zeros}, {int64_t{1}, std::string("mul")}, nullptr, false});
  samples.push_back({Op::index_select_, {{{3, 2}}, picks}, {int64_t{0}}});
  samples.push_back(
      {Op::index_select_, {{{2, 3}}, index_operand({2, 2}, {0, 1, 1, 2})}, {int64_t{1}}});
  samples.push_back({Op::index_select_, {{{2, 3}}, index_operand({}, {2})}, {int64_t{1}}});
  samples.push_back({Op::index_add_, {{{3, 2}}, picks, {{4, 2}}}, {int64_t{0}}});
  samples.push_back({Op::index_add_, {{{2, 3}}, picks, {{2, 4}}}, {int64_t{1}}});
  samples.push_back(
      {Op::index_copy_, {{{3, 2}}, index_operand({2}, {2, 0}), {{2, 2}}}, {int64_t{0}}});
  const Operand taps = index_operand({2, 4}, {0, 2, 1, 1, 1, 2, 2, 0});
  const Operand weights{{2, 4}};
  samples.push_back({Op::resample_, {{{2, 3, 2}}, taps, weights}, {int64_t{1}}});
  samples.push_back(
      {Op::resample_backward_, {{{2, 4, 2}}, taps, weights}, {int64_t{1}, int64_t{3}}});
  for (bool largest : {false, true}) {
    samples.push_back({Op::sort_, {{{3, 4}}}, {int64_t{1}, largest}});
    samples.push_back({Op::sort_, {{{3, 4}}}, {int64_t{0}, largest}});
    samples.push_back({Op::topk_, {{{3, 4}}}, {int64_t{2}, int64_t{1}, largest}});
  }
  samples.push_back({Op::dropout_, {{{3, 4}}, index_operand({2}, {7, 3})}, {0.4, int64_t{1}}});
}

namespace {

/// One convolution geometry, for the three ops that share it.
struct Convolution {
  Shape src, weights, dst;
  Shape stride, padding, padding_hi, dilation;
  int64_t groups;
  Attrs attrs() const { return {stride, padding, padding_hi, dilation, groups}; }
  Attrs attrs_after(const Shape& first) const {
    return {first, stride, padding, padding_hi, dilation, groups};
  }
};

Shape spatial(const Shape& shape) { return Shape(shape.begin() + 2, shape.end()); }

}  // namespace

void add_contraction_samples(Samples& samples) {
  const auto matmul = [&](const Shape& a, const Shape& b) {
    samples.push_back({Op::matmul_, {{a}, {b}}});
  };
  matmul({2, 3}, {3, 4});
  matmul({2, 2, 3}, {3, 2});
  matmul({2, 2, 1, 3}, {3, 2});
  matmul({2, 3}, {2, 3, 2});
  matmul({2, 1, 2, 3}, {3, 3, 2});
  matmul({2, 2, 3}, {1, 3, 2});
  matmul({2, 0}, {0, 3});
  matmul({2, 0, 3}, {3, 2});
  const Convolution geometries[] = {
      {{2, 2, 5}, {3, 2, 3}, {2, 3, 3}, {2}, {1}, {1}, {1}, 1},
      {{1, 2, 4, 4}, {2, 2, 3, 2}, {1, 2, 4, 5}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1},
      {{1, 4, 5, 4}, {2, 2, 2, 2}, {1, 2, 2, 2}, {2, 2}, {0, 1}, {1, 0}, {2, 1}, 2},
      {{1, 1, 3, 3, 3},
       {2, 1, 2, 2, 2},
       {1, 2, 2, 2, 2},
       {1, 1, 1},
       {0, 0, 0},
       {0, 0, 0},
       {1, 1, 1},
       1},
  };
  for (const Convolution& at : geometries) {
    samples.push_back({Op::convolution_, {{at.src}, {at.weights}}, at.attrs()});
    samples.push_back(
        {Op::conv_diff_src_, {{at.dst}, {at.weights}}, at.attrs_after(spatial(at.src))});
    samples.push_back(
        {Op::conv_diff_weights_, {{at.src}, {at.dst}}, at.attrs_after(spatial(at.weights))});
  }
}

void add_pool_samples(Samples& samples) {
  const auto max_pool = [&](const Shape& src, Attrs attrs) {
    samples.push_back({Op::max_pool_, {{src}}, std::move(attrs)});
  };
  max_pool({1, 2, 6}, {Shape{3}, Shape{2}, Shape{1}, Shape{0}, Shape{1}});
  max_pool({2, 1, 5, 4}, {Shape{2, 3}, Shape{2, 1}, Shape{0, 1}, Shape{1, 0}, Shape{2, 1}});
  max_pool({1, 1, 3, 2, 3},
           {Shape{2, 2, 2}, Shape{1, 1, 1}, Shape{0, 0, 0}, Shape{0, 0, 0}, Shape{1, 1, 1}});
  samples.push_back({Op::max_pool_backward_,
                     {{{1, 2, 1, 3}}, index_operand({1, 2, 1, 3}, {0, 4, 4, 5, 1, 0})},
                     {Shape{2, 3}}});
  const Shape two{2, 2};
  const Shape one{1, 1};
  const Shape none{0, 0};
  struct Average {
    Shape src, dst;
    Attrs attrs;
  };
  const Average averages[] = {
      {{1, 2, 4, 5}, {1, 2, 2, 2}, {two, two, none, none, true, int64_t{0}}},
      {{1, 1, 4, 4}, {1, 1, 3, 3}, {two, two, one, one, false, int64_t{0}}},
      {{1, 1, 3, 3}, {1, 1, 4, 4}, {two, one, one, one, true, int64_t{3}}},
      {{2, 1, 5}, {2, 1, 3}, {Shape{3}, Shape{2}, Shape{1}, Shape{1}, true, int64_t{0}}},
  };
  for (const Average& at : averages) {
    samples.push_back({Op::avg_pool_, {{at.src}}, at.attrs});
    Attrs backward = at.attrs;
    backward.insert(backward.begin(), Shape(at.src.begin() + 2, at.src.end()));
    samples.push_back({Op::avg_pool_backward_, {{at.dst}}, backward});
  }
  samples.push_back({Op::adaptive_avg_pool_, {{{1, 2, 5, 4}}}, {Shape{3, 2}}});
  samples.push_back({Op::adaptive_avg_pool_, {{{1, 2, 5}}}, {Shape{3}}});
  samples.push_back({Op::adaptive_avg_pool_backward_, {{{1, 2, 3, 2}}}, {Shape{5, 4}}});
  samples.push_back({Op::adaptive_max_pool_, {{{1, 2, 5, 4}}}, {Shape{3, 2}}});
}

}  // namespace ds::testing

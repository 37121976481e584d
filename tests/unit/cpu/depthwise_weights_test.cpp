// SPDX-License-Identifier: Apache-2.0
// Our own weights' gradient of depthwise convolutions against plain loops, for every instruction
// set.
#include "ds/backends/cpu/depthwise_weights.h"

#include "ds/base/parallel.h"
#include "ds/base/str.h"
#include "kernel_testing.h"

using namespace ds;
using namespace ds::cpu;
using ds::cpu::testing::for_each_target;
using ds::cpu::testing::random_floats;

namespace {

struct Case {
  int64_t batch, channels, h, w, kh, kw, stride, padding, dilation;
};

int64_t output_size(int64_t size, int64_t kernel, const Case& c) {
  return (size + 2 * c.padding - (kernel - 1) * c.dilation - 1) / c.stride + 1;
}

ConvSpec spec_of(const Case& c, DType dtype = DType::f32) {
  ConvSpec spec;
  spec.kind = ConvKind::backward_weights;
  spec.src = channels_last(dtype, {c.batch, c.channels, c.h, c.w});
  spec.dst = channels_last(
      dtype, {c.batch, c.channels, output_size(c.h, c.kh, c), output_size(c.w, c.kw, c)});
  spec.weights = {c.channels, 1, c.kh, c.kw};
  spec.stride = {c.stride, c.stride};
  spec.padding = spec.padding_hi = {c.padding, c.padding};
  spec.dilation = {c.dilation, c.dilation};
  spec.groups = c.channels;
  return spec;
}

/// The numbers rounded to T, and those as floats again.
template <class T>
std::vector<T> rounded(std::vector<float>& values) {
  std::vector<T> out(values.begin(), values.end());
  for (size_t i = 0; i < out.size(); ++i) values[i] = static_cast<float>(out[i]);
  return out;
}

template <class T = float>
void check(const Case& c) {
  const ConvSpec spec = spec_of(c, kDTypeOf<T>);
  const auto plan = DepthwiseWeightsPlan::make(spec);
  REQUIRE(plan);
  const int64_t oh = spec.dst.dims[2], ow = spec.dst.dims[3];
  auto src = random_floats(static_cast<size_t>(spec.src.dims.numel()), 1);
  auto dst = random_floats(static_cast<size_t>(spec.dst.dims.numel()), 2);
  const std::vector<T> given_src = rounded<T>(src), given_dst = rounded<T>(dst);
  std::vector<float> got(static_cast<size_t>(spec.weights.numel()), 7);
  std::vector<float> space(plan->scratchpad_bytes() / sizeof(float) + 1);
  plan->execute(given_src.data(), given_dst.data(), got.data(), space.data());
  for (int64_t i = 0; i < spec.weights.numel(); ++i) {
    const int64_t channel = i / (c.kh * c.kw), kh = i / c.kw % c.kh, kw = i % c.kw;
    double sum = 0;
    for (int64_t row = 0; row < c.batch * oh; ++row)
      for (int64_t x = 0; x < ow; ++x) {
        const int64_t h = row % oh * c.stride - c.padding + kh * c.dilation;
        const int64_t w = x * c.stride - c.padding + kw * c.dilation;
        if (h < 0 || h >= c.h || w < 0 || w >= c.w) continue;
        const int64_t at = ((row / oh * c.h + h) * c.w + w) * c.channels + channel;
        sum += double(src[static_cast<size_t>(at)]) *
               dst[static_cast<size_t>((row * ow + x) * c.channels + channel)];
      }
    if (!(std::abs(got[static_cast<size_t>(i)] - sum) <= 1e-4 * (1 + std::abs(sum))))
      FAIL(str("weight ", i, ": ", got[static_cast<size_t>(i)], " is not ", sum));
  }
}

}  // namespace

TEST_CASE("depthwise weights: kernels, strides, paddings and dilations") {
  for_each_target([] {
    for (const int64_t channels : {1, 8, 13, 40})
      for (const int64_t kw : {4, 5, 7, 9}) {
        check({2, channels, 9, 11, 3, kw, 1, kw / 2, 1});
        check({1, channels, 12, 19, 5, kw, 2, 2, 1});
        check({1, channels, 14, 30, 2, kw, 1, 3, 3});
      }
  });
}

TEST_CASE("depthwise weights: bfloat16 is summed in f32") {
  for_each_target([] {
    for (const int64_t channels : {1, 8, 13, 40}) {
      check<bf16>({2, channels, 9, 11, 3, 5, 1, 2, 1});
      check<bf16>({1, channels, 12, 19, 7, 7, 2, 3, 1});
    }
  });
}

TEST_CASE("depthwise weights: padding wider than the image, windows without a pixel") {
  check({1, 8, 2, 3, 7, 7, 1, 6, 1});
  check({1, 8, 3, 2, 5, 5, 4, 7, 2});
}

TEST_CASE("depthwise weights: several threads") {
  const int before = num_threads();
  for (const int threads : {1, 2, 3, 7}) {
    set_num_threads(threads);
    check({3, 16, 31, 33, 5, 5, 1, 2, 1});
  }
  set_num_threads(before);
}

TEST_CASE("depthwise weights: what others do is left to them") {
  CHECK(!DepthwiseWeightsPlan::make(spec_of({1, 8, 9, 9, 3, 3, 1, 1, 1})));
  ConvSpec dense = spec_of({1, 8, 9, 9, 5, 5, 1, 2, 1});
  dense.groups = 4;
  CHECK(!DepthwiseWeightsPlan::make(dense));
  CHECK(!DepthwiseWeightsPlan::make(spec_of({1, 8, 9, 9, 5, 5, 1, 2, 1}, DType::f16)));
  ConvSpec rows = spec_of({1, 8, 9, 9, 5, 5, 1, 2, 1});
  rows.src = row_major(DType::f32, rows.src.dims);
  CHECK(!DepthwiseWeightsPlan::make(rows));
}

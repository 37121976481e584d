// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/conv_weights.h"

#include <algorithm>
#include <cstring>

#include "ds/backends/cpu/dnnl/matmul.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"
#include "ds/runtime/arena.h"

namespace ds::cpu {
namespace {

// Windows of one chunk: larger than any cache's share, small beside the activations of a network.
constexpr int64_t kChunkBytes = 8 << 20;

std::unique_ptr<MatmulPlan> plan(int64_t oc, int64_t pixels, int64_t k, bool accumulate) {
  MatmulSpec spec;
  spec.lhs = {DType::f32, {oc, pixels}, {1, oc}};
  spec.rhs = row_major(DType::f32, {pixels, k});
  spec.dst = row_major(DType::f32, {oc, k});
  if (accumulate) spec.post_ops.push_back({PostOp::Kind::add_dst, 1, {}});
  return MatmulPlan::make(spec);
}

size_t scratch_of(const std::unique_ptr<MatmulPlan>& plan) {
  return plan ? plan->scratchpad_bytes() : 0;
}

}  // namespace

ConvWeightsPlan::ConvWeightsPlan() = default;
ConvWeightsPlan::~ConvWeightsPlan() = default;

std::unique_ptr<ConvWeightsPlan> ConvWeightsPlan::make(const ConvSpec& spec) {
  if (spec.groups != 1 || spec.src.dtype != DType::f32 || spec.dst.dtype != DType::f32 ||
      spec.weights_dtype != DType::f32 || !is_channels_last(spec.src) ||
      !is_channels_last(spec.dst))
    return nullptr;
  std::unique_ptr<ConvWeightsPlan> made(new ConvWeightsPlan);
  ConvWeightsPlan& p = *made;
  p.batch_ = spec.src.dims[0];
  p.ic_ = spec.src.dims[1];
  p.oc_ = spec.dst.dims[1];
  const int missing = 5 - spec.src.dims.rank();
  for (int i = 0; i < 3; ++i) {
    const int s = i - missing;
    p.src_[i] = s < 0 ? 1 : spec.src.dims[s + 2];
    p.dst_[i] = s < 0 ? 1 : spec.dst.dims[s + 2];
    p.kernel_[i] = s < 0 ? 1 : spec.weights[s + 2];
    p.stride_[i] = s < 0 ? 1 : spec.stride[s];
    p.padding_[i] = s < 0 ? 0 : spec.padding[s];
    p.dilation_[i] = s < 0 ? 1 : spec.dilation[s];
    p.taps_ *= p.kernel_[i];
  }
  const int64_t k = p.taps_ * p.ic_;
  p.pixels_ = p.batch_ * p.dst_[0] * p.dst_[1] * p.dst_[2];
  const int64_t chunks =
      std::max<int64_t>(1, p.pixels_ * k * static_cast<int64_t>(sizeof(float)) / kChunkBytes);
  p.chunk_ = (p.pixels_ + chunks - 1) / chunks;
  const int64_t rest = p.pixels_ % p.chunk_;
  p.first_ = plan(p.oc_, p.chunk_, k, false);
  if (p.pixels_ >= 2 * p.chunk_) p.next_ = plan(p.oc_, p.chunk_, k, true);
  if (rest > 0) p.last_ = plan(p.oc_, rest, k, true);
  const bool complete = p.first_ && (p.next_ || p.pixels_ < 2 * p.chunk_) && (p.last_ || rest == 0);
  return complete ? std::move(made) : nullptr;
}

size_t ConvWeightsPlan::scratchpad_bytes() const {
  return align_up(static_cast<size_t>(chunk_ * taps_ * ic_) * sizeof(float)) +
         align_up(static_cast<size_t>(oc_ * taps_ * ic_) * sizeof(float)) +
         std::max({scratch_of(first_), scratch_of(next_), scratch_of(last_)});
}

void ConvWeightsPlan::unfold_pixel(const float* src, int64_t pixel, float* window) const {
  int64_t at[3];
  for (int i = 2; i >= 0; --i) {
    at[i] = pixel % dst_[i] * stride_[i] - padding_[i];
    pixel /= dst_[i];
  }
  const float* image = src + pixel * src_[0] * src_[1] * src_[2] * ic_;
  const auto bytes = [this](int64_t taps) {
    return static_cast<size_t>(taps * ic_) * sizeof(float);
  };
  for (int64_t kd = 0; kd < kernel_[0]; ++kd)
    for (int64_t kh = 0; kh < kernel_[1]; ++kh, window += kernel_[2] * ic_) {
      const int64_t d = at[0] + kd * dilation_[0], h = at[1] + kh * dilation_[1];
      if (d < 0 || d >= src_[0] || h < 0 || h >= src_[1]) {
        std::memset(window, 0, bytes(kernel_[2]));
        continue;
      }
      const float* line = image + (d * src_[1] + h) * src_[2] * ic_;
      if (dilation_[2] == 1) {  // the taps of a line lie side by side
        const int64_t low = std::clamp<int64_t>(-at[2], 0, kernel_[2]);
        const int64_t high = std::clamp<int64_t>(src_[2] - at[2], low, kernel_[2]);
        std::memset(window, 0, bytes(low));
        std::memcpy(window + low * ic_, line + (at[2] + low) * ic_, bytes(high - low));
        std::memset(window + high * ic_, 0, bytes(kernel_[2] - high));
        continue;
      }
      for (int64_t kw = 0; kw < kernel_[2]; ++kw) {
        const int64_t w = at[2] + kw * dilation_[2];
        if (w < 0 || w >= src_[2])
          std::memset(window + kw * ic_, 0, bytes(1));
        else
          std::memcpy(window + kw * ic_, line + w * ic_, bytes(1));
      }
    }
}

void ConvWeightsPlan::unfold(const float* src, int64_t first, int64_t count, float* windows) const {
  const int64_t k = taps_ * ic_;
  parallel_for(count, std::max<int64_t>(1, 8192 / k), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) unfold_pixel(src, first + i, windows + i * k);
  });
}

void ConvWeightsPlan::execute(const float* src, const float* diff_dst, float* diff_weights,
                              void* scratchpad) const {
  const int64_t k = taps_ * ic_;
  char* memory = static_cast<char*>(scratchpad);
  auto* windows = reinterpret_cast<float*>(memory);
  memory += align_up(static_cast<size_t>(chunk_ * k) * sizeof(float));
  auto* sums = reinterpret_cast<float*>(memory);
  memory += align_up(static_cast<size_t>(oc_ * k) * sizeof(float));
  if (taps_ == 1) sums = diff_weights;
  for (int64_t pixel = 0; pixel < pixels_; pixel += chunk_) {
    const int64_t count = std::min(chunk_, pixels_ - pixel);
    unfold(src, pixel, count, windows);
    const MatmulPlan& matmul = pixel == 0 ? *first_ : count == chunk_ ? *next_ : *last_;
    matmul.execute({diff_dst + pixel * oc_, windows, nullptr, sums, {}}, memory);
  }
  if (taps_ == 1) return;
  parallel_for(oc_, std::max<int64_t>(1, 8192 / k), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      for (int64_t i = 0; i < ic_; ++i)
        for (int64_t t = 0; t < taps_; ++t)
          diff_weights[o * k + i * taps_ + t] = sums[o * k + t * ic_ + i];
  });
}

}  // namespace ds::cpu

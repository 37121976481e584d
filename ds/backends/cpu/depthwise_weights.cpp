// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/depthwise_weights.h"

#include <algorithm>

#include "ds/backends/cpu/kernels/depthwise.h"
#include "ds/base/parallel.h"
#include "ds/runtime/arena.h"

namespace ds::cpu {
namespace {

// With three taps in a row oneDNN is twice as fast, from five on two to four times slower.
constexpr int64_t kLeastTaps = 4;

}  // namespace

std::unique_ptr<DepthwiseWeightsPlan> DepthwiseWeightsPlan::make(const ConvSpec& spec) {
  const int64_t channels = spec.src.dims[1];
  const DType dtype = spec.src.dtype;
  if (spec.groups != channels || spec.dst.dims[1] != channels || spec.src.dims.rank() > 4 ||
      (dtype != DType::f32 && dtype != DType::bf16) || spec.dst.dtype != dtype ||
      !is_channels_last(spec.src) || !is_channels_last(spec.dst))
    return nullptr;
  auto made = std::make_unique<DepthwiseWeightsPlan>();
  DepthwiseWeightsPlan& p = *made;
  p.dtype_ = dtype;
  p.batch_ = spec.src.dims[0];
  p.channels_ = channels;
  const int missing = 4 - spec.src.dims.rank();
  for (int i = 0; i < 2; ++i) {
    const int s = i - missing;
    p.src_[i] = s < 0 ? 1 : spec.src.dims[s + 2];
    p.dst_[i] = s < 0 ? 1 : spec.dst.dims[s + 2];
    p.kernel_[i] = s < 0 ? 1 : spec.weights[s + 2];
    p.stride_[i] = s < 0 ? 1 : spec.stride[s];
    p.padding_[i] = s < 0 ? 0 : spec.padding[s];
    p.dilation_[i] = s < 0 ? 1 : spec.dilation[s];
  }
  if (p.kernel_[1] < kLeastTaps) return nullptr;
  // A thread's sums, written and added up at the end, are to be little beside what it reads.
  const int64_t rows = p.batch_ * p.dst_[0];
  const int64_t most = rows * p.dst_[1] / (4 * p.kernel_[0] * p.kernel_[1]);
  p.parts_ = std::clamp<int64_t>(most, 1, std::min<int64_t>(num_threads(), rows));
  return made;
}

size_t DepthwiseWeightsPlan::scratchpad_bytes() const {
  return static_cast<size_t>(parts_) *
         align_up(static_cast<size_t>(sum_elements()) * sizeof(float));
}

void DepthwiseWeightsPlan::accumulate(const void* src, const void* diff_dst, int64_t begin,
                                      int64_t end, float* sums) const {
  std::fill_n(sums, sum_elements(), 0.0f);
  const auto at = [&](const void* base, int64_t pixel) {
    return static_cast<const char*>(base) +
           pixel * channels_ * static_cast<int64_t>(dtype_size(dtype_));
  };
  for (int64_t row = begin; row < end; ++row) {
    const int64_t image = row / dst_[0], top = row % dst_[0] * stride_[0] - padding_[0];
    for (int64_t kh = 0; kh < kernel_[0]; ++kh) {
      const int64_t h = top + kh * dilation_[0];
      if (h < 0 || h >= src_[0]) continue;
      add_depthwise_row(
          {at(src, (image * src_[0] + h) * src_[1]), at(diff_dst, row * dst_[1]), channels_,
           dst_[1], src_[1], kernel_[1], stride_[1], padding_[1], dilation_[1], dtype_},
          sums + kh * kernel_[1] * channels_);
    }
  }
}

void DepthwiseWeightsPlan::execute(const void* src, const void* diff_dst, float* diff_weights,
                                   void* scratchpad) const {
  const int64_t rows = batch_ * dst_[0], taps = kernel_[0] * kernel_[1];
  const auto sums_of = [&](int64_t part) {
    const size_t bytes = align_up(static_cast<size_t>(sum_elements()) * sizeof(float));
    return reinterpret_cast<float*>(static_cast<char*>(scratchpad) +
                                    static_cast<size_t>(part) * bytes);
  };
  parallel_for(parts_, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part)
      accumulate(src, diff_dst, rows * part / parts_, rows * (part + 1) / parts_, sums_of(part));
  });
  for (int64_t c = 0; c < channels_; ++c)
    for (int64_t tap = 0; tap < taps; ++tap) {
      float sum = 0;
      for (int64_t part = 0; part < parts_; ++part) sum += sums_of(part)[tap * channels_ + c];
      diff_weights[c * taps + tap] = sum;
    }
}

}  // namespace ds::cpu

// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/typed_plan.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::cpu {
namespace {

constexpr int64_t kTile = 512;  // elements of 8 bytes: the buffers of three inputs are 12 KiB
constexpr int64_t kGrain = 1 << 14;

/// n elements that are `stride` apart, one behind the other.
template <class T>
void pack(const char* src, int64_t stride, int64_t n, char* to) {
  const T* from = reinterpret_cast<const T*>(src);
  T* out = reinterpret_cast<T*>(to);
  if (stride == 0) return static_cast<void>(std::fill_n(out, n, *from));
  for (int64_t i = 0; i < n; ++i) out[i] = from[i * stride];
}

void pack(int64_t size, const char* src, int64_t stride, int64_t n, char* to) {
  switch (size) {
    case 1: return pack<uint8_t>(src, stride, n, to);
    case 2: return pack<uint16_t>(src, stride, n, to);
    case 4: return pack<uint32_t>(src, stride, n, to);
    default: return pack<uint64_t>(src, stride, n, to);
  }
}

}  // namespace

TypedPlan::TypedPlan(TypedFn fn, const View& out, const std::vector<View>& inputs) : fn_(fn) {
  std::vector<Shape> strides = {out.strides};
  sizes_.push_back(static_cast<int64_t>(dtype_size(out.dtype)));
  for (const View& input : inputs) {
    strides.push_back(input.strides);
    sizes_.push_back(static_cast<int64_t>(dtype_size(input.dtype)));
  }
  DS_ASSERT(inputs.size() == 3 ? fn == nullptr : fn != nullptr, inputs.size(), " inputs");
  nest_ = make_nest(out.dims, strides);
}

void TypedPlan::run_row(char* out, const std::vector<const char*>& inputs, int64_t n) const {
  alignas(64) char buffers[3][kTile * 8];
  const int inner = nest_.dims.rank() - 1;
  // Rows that need no packing are one call.
  const bool direct = std::all_of(nest_.strides.begin() + 1, nest_.strides.end(),
                                  [&](const auto& strides) { return strides[inner] == 1; });
  const int64_t tile = direct ? n : kTile;
  for (int64_t at = 0; at < n; at += tile) {
    const int64_t count = std::min(tile, n - at);
    std::array<const void*, 3> operands{};
    for (size_t k = 0; k < inputs.size(); ++k) {
      const int64_t stride = nest_.strides[k + 1][inner], size = sizes_[k + 1];
      const char* from = inputs[k] + at * stride * size;
      if (stride != 1) {
        // A repeated element is still there from the tile before.
        if (stride != 0 || at == 0) pack(size, from, stride, count, buffers[k]);
        from = buffers[k];
      }
      operands[k] = from;
    }
    char* to = out + at * sizes_[0];
    if (fn_)
      fn_(operands[0], operands[1], to, static_cast<size_t>(count));
    else
      typed_where(static_cast<size_t>(sizes_[0]), static_cast<const uint8_t*>(operands[0]),
                  operands[1], operands[2], to, static_cast<size_t>(count));
  }
}

void TypedPlan::run(void* out, const std::vector<const void*>& inputs) const {
  const int inner = nest_.dims.rank() - 1;
  const int64_t cols = nest_.dims[inner], total = nest_.dims.numel();
  parallel_for(total, kGrain, [&](int64_t begin, int64_t end) {
    std::vector<const char*> from(inputs.size());
    while (begin < end) {
      const int64_t col = begin % cols, n = std::min(cols - col, end - begin);
      std::array<int64_t, 4> offsets{};
      for (size_t k = 0; k < sizes_.size(); ++k) offsets[k] = col * nest_.strides[k][inner];
      int64_t row = begin / cols;
      for (int d = inner - 1; d >= 0; --d) {
        const int64_t index = row % nest_.dims[d];
        row /= nest_.dims[d];
        for (size_t k = 0; k < sizes_.size(); ++k) offsets[k] += index * nest_.strides[k][d];
      }
      for (size_t k = 0; k < from.size(); ++k)
        from[k] = static_cast<const char*>(inputs[k]) + offsets[k + 1] * sizes_[k + 1];
      run_row(static_cast<char*>(out) + offsets[0] * sizes_[0], from, n);
      begin += n;
    }
  });
}

}  // namespace ds::cpu

// SPDX-License-Identifier: Apache-2.0
// Activations [N, C, spatial...] for kernels that take them channels first or last.
#pragma once

#include "ds/backends/cpu/lowering.h"

namespace ds::cpu {

inline bool is_half_or_f32(DType dtype) { return dtype == DType::f32 || is_half(dtype); }

/// [N, C, ...] with elements, in a dtype that the kernels compute with.
inline bool is_activation(const Type& type) {
  return is_half_or_f32(type.dtype) && type.shape.rank() >= 2 && type.shape.numel() > 0;
}

struct Activation {
  View view;  // dense
  bool channels_last;
};

/// The view as it lies where that is channels first or last, else a row-major copy. [N, C] counts
/// as channels last: neighbours in memory are channels.
inline Activation activation(Lowering& l, const Node& node, const View& view) {
  if (view.dims.rank() > 2 && !view.row_major() && is_channels_last(view.desc()))
    return {l.channels_last(node, view), true};
  const View plain = l.row_major(node, view);
  return {plain, plain.dims.numel() == plain.dims[0] * plain.dims[1]};
}

}  // namespace ds::cpu

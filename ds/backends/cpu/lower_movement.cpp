// SPDX-License-Identifier: Apache-2.0
// Sources and movement ops: most of them only describe memory anew.
#include <algorithm>
#include <cstring>

#include "ds/backends/cpu/copy.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

/// The bytes of one number in a dtype.
template <class Number>
std::vector<char> element_bytes(DType dtype, Number number) {
  std::vector<char> bytes(dtype_size(dtype));
  dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    T value{};
    if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
      value = T(static_cast<float>(number));
    else
      value = static_cast<T>(number);
    std::memcpy(bytes.data(), &value, sizeof value);
  });
  return bytes;
}

void fill(Lowering& l, const Node& node, const View& dst, double value) {
  l.emit(node, "cpu:fill", {}, {dst},
         [plan = FillPlan(dst, element_bytes(dst.dtype, value)), dst](const Frame& frame) {
           plan.run(frame.at(dst));
         });
}

/// Memory for an output that is put together from `view`-like pieces. A view that repeats elements
/// says nothing about their order.
View like(Lowering& l, const Node& node, const View& view) {
  const Type& type = node.type();
  for (int d = 0; d < view.dims.rank(); ++d)
    if (view.strides[d] == 0 && view.dims[d] != 1) return l.temp(type.dtype, type.shape);
  return l.temp(type.dtype, type.shape, strides_like(type.shape, view.strides));
}

void lower_cat(Lowering& l, const Node& node) {
  const int dim = normalize_dim(node.attr_int("dim"), node.type().shape.rank(), "cat");
  const auto larger = [&](const Value& a, const Value& b) {
    return l.view(a).numel() < l.view(b).numel();
  };
  // The largest decides: what follows then reads most of it in the order that it was made in.
  const View out =
      like(l, node, l.view(*std::max_element(node.inputs().begin(), node.inputs().end(), larger)));
  View part = out;
  for (const Value& input : node.inputs()) {
    const View& src = l.view(input);
    if (src.numel() > 0) {
      part.dims = src.dims;
      l.emit_copy(node, src, part);
      part.offset += src.dims[dim] * out.strides[dim];
    }
  }
  l.define(node, 0, out);
}

void lower_pad(Lowering& l, const Node& node) {
  const View& src = l.view(node.input(0));
  const View out = like(l, node, src);
  fill(l, node, out, node.attr_float("value"));
  const Shape ones = Shape::filled(src.dims.rank(), 1);
  if (src.numel() > 0)
    l.emit_copy(node, src, slice_view(out, node.attr_ints("low"), src.dims, ones));
  l.define(node, 0, out);
}

void lower_scatter(Lowering& l, const Node& node, bool strided) {
  const View &base = l.view(node.input(0)), &src = l.view(node.input(1));
  if (src.numel() == 0) {
    l.define(node, 0, View(base));
    return;
  }
  const View out = strided ? l.temp(base.dtype, base.dims) : like(l, node, base);
  l.emit_copy(node, base, out);
  View part = out;
  if (strided) {
    part.dims = src.dims;
    part.strides = node.attr_ints("strides");
    part.offset += node.attr_int("offset");
  } else {
    part = slice_view(out, node.attr_ints("starts"), src.dims, node.attr_ints("steps"));
  }
  l.emit_copy(node, src, part);
  l.define(node, 0, out);
}

void lower_iota(Lowering& l, const Node& node) {
  const View out = l.temp(node.type().dtype, node.type().shape);
  l.emit(node, "cpu:iota", {}, {out}, [out](const Frame& frame) {
    dispatch(out.dtype, [&](auto tag) {
      using T = decltype(tag);
      T* dst = frame.at<T>(out);
      for (int64_t i = 0; i < out.numel(); ++i) {
        if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
          dst[i] = T(static_cast<float>(i));
        else
          dst[i] = static_cast<T>(i);
      }
    });
  });
  l.define(node, 0, out);
}

View flipped(const View& view, const Shape& dims) {
  View out = view;
  for (const int64_t dim : dims) {
    const int d = normalize_dim(dim, view.dims.rank(), "flip");
    out.offset += (view.dims[d] - 1) * view.strides[d];
    out.strides[d] = -view.strides[d];
  }
  return out;
}

}  // namespace

bool lower_source(Lowering& l, const Node& node, std::string&) {
  const Type& type = node.type();
  if (node.op() == Op::iota_) {
    lower_iota(l, node);
  } else if (node.op() == Op::constant_int_) {
    l.define(node, 0,
             l.constant(type.dtype, type.shape, element_bytes(type.dtype, node.attr_int("value"))));
  } else {
    l.define(
        node, 0,
        l.constant(type.dtype, type.shape, element_bytes(type.dtype, node.attr_float("value"))));
  }
  return true;
}

bool lower_movement(Lowering& l, const Node& node, std::string& why) {
  const View& src = l.view(node.input(0));
  switch (node.op()) {
    case Op::reshape_:
      if (const auto view = reshape_view(src, node.type().shape))
        l.define(node, 0, *view);
      else
        l.define(node, 0, *reshape_view(l.row_major(node, src), node.type().shape));
      return true;
    case Op::permute_: l.define(node, 0, permute_view(src, node.attr_ints("dims"))); return true;
    case Op::expand_: l.define(node, 0, expand_view(src, node.type().shape)); return true;
    case Op::slice_:
      l.define(
          node, 0,
          slice_view(src, node.attr_ints("starts"), node.type().shape, node.attr_ints("steps")));
      return true;
    case Op::as_strided_: {
      View view = l.row_major(node, src);
      view.dims = node.type().shape;
      view.strides = node.attr_ints("strides");
      view.offset += node.attr_int("offset");
      l.define(node, 0, view);
      return true;
    }
    case Op::flip_: {
      const View out = like(l, node, src);
      if (src.numel() > 0) l.emit_copy(node, flipped(src, node.attr_ints("dims")), out);
      l.define(node, 0, out);
      return true;
    }
    case Op::pad_: lower_pad(l, node); return true;
    case Op::cat_: lower_cat(l, node); return true;
    case Op::slice_scatter_: lower_scatter(l, node, /*strided=*/false); return true;
    case Op::as_strided_scatter_: lower_scatter(l, node, /*strided=*/true); return true;
    default: why = "no kernel"; return false;
  }
}

}  // namespace ds::cpu

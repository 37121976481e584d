// SPDX-License-Identifier: Apache-2.0
// Gather, scatter, row selection, nonzero and searchsorted.
#include "ds/backends/cpu/copy.h"
#include "ds/backends/cpu/kernels/index.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

int dim_of(const Node& node) { return static_cast<int>(node.attr_int("dim")); }

/// Row-major dims as [outer, n, inner] around one.
Split split(const Shape& dims, int dim) {
  Split parts{1, dims[dim], 1};
  for (int d = 0; d < dims.rank(); ++d)
    if (d != dim) (d < dim ? parts.outer : parts.inner) *= dims[d];
  return parts;
}

/// One element stands for all: the zeros that gradients are added to.
bool is_uniform(const View& view) {
  for (int d = 0; d < view.dims.rank(); ++d)
    if (view.dims[d] != 1 && view.strides[d] != 0) return false;
  return view.numel() > 0;
}

/// An output computed into its first input's memory: only the others are read elsewhere.
void allow_in_place(Step& step, const View& base, const View& out,
                    const std::vector<View>& others) {
  for (const View& view : others)
    if (view.slot == base.slot) return;
  step.allow_in_place(base, out);
}

void lower_index_select(Lowering& l, const Node& node) {
  const View src = l.row_major(node, l.view(node.input(0)));
  const View index = l.row_major(node, l.view(node.input(1)));
  const int dim = dim_of(node);
  const Split parts = split(src.dims, dim);
  const View out = l.temp(node.type().dtype, node.type().shape);
  l.emit(node, "cpu:index_select", {src, index}, {out}, [=](const Frame& frame) {
    const Indices indices{frame.at<int64_t>(index), index.numel(), dim, parts.n};
    index_select(indices, parts.outer, parts.inner, dtype_size(src.dtype), frame.at(src),
                 frame.at(out));
  });
  l.define(node, 0, out);
}

/// index_add and index_copy.
void lower_index_write(Lowering& l, const Node& node) {
  const View given = l.view(node.input(0));
  const bool uniform = is_uniform(given);
  const View base = uniform ? given : l.row_major(node, given);
  const View index = l.row_major(node, l.view(node.input(1)));
  const View src = l.row_major(node, l.view(node.input(2)));
  const View out = l.temp(node.type().dtype, node.type().shape);
  const int dim = dim_of(node);
  const Split parts = split(out.dims, dim);
  const bool add = node.op() == Op::index_add_;
  Step& step = l.emit(
      node, str("cpu:", op_name(node.op())), {base, index, src}, {out}, [=](const Frame& frame) {
        const Indices indices{frame.at<int64_t>(index), index.numel(), dim, parts.n};
        const Base old{frame.at(base), uniform};
        if (add)
          index_add(indices, parts.outer, parts.inner, out.dtype, old, frame.at(src),
                    frame.at(out));
        else
          index_copy(indices, parts.outer, parts.inner, dtype_size(out.dtype), old, frame.at(src),
                     frame.at(out));
      });
  if (!uniform) allow_in_place(step, base, out, {index, src});
  l.define(node, 0, out);
}

void lower_gather(Lowering& l, const Node& node) {
  const View src = l.row_major(node, l.view(node.input(0)));
  const View index = l.row_major(node, l.view(node.input(1)));
  const View out = l.temp(node.type().dtype, node.type().shape);
  const int dim = dim_of(node);
  l.emit(node, "cpu:gather", {src, index}, {out}, [=](const Frame& frame) {
    gather(frame.at<int64_t>(index), index.dims, dim, dtype_size(src.dtype), frame.at(src),
           src.dims, frame.at(out));
  });
  l.define(node, 0, out);
}

ScatterOp scatter_op(const std::string& reduce) {
  if (reduce == "add") return ScatterOp::add;
  if (reduce == "mul") return ScatterOp::mul;
  if (reduce == "amax") return ScatterOp::amax;
  if (reduce == "amin") return ScatterOp::amin;
  return ScatterOp::set;
}

void lower_scatter(Lowering& l, const Node& node) {
  const ScatterOp op = scatter_op(node.attr_str("reduce"));
  const Type& type = node.type();
  // Halves combine in f32 and are rounded once.
  const DType dtype = is_half(type.dtype) && op != ScatterOp::set ? DType::f32 : type.dtype;
  const View base = l.cast(node, l.view(node.input(0)), dtype);
  const View index = l.row_major(node, l.view(node.input(1)));
  const View src = l.row_major(node, l.cast(node, l.view(node.input(2)), dtype));
  const View out = l.temp(dtype, type.shape);
  const int dim = dim_of(node);
  const int64_t size = type.shape.empty() ? 1 : type.shape[dim];
  Step& step = l.emit(node, "cpu:scatter", {base, index, src}, {out},
                      [=, copy = CopyPlan(out, base)](const Frame& frame) {
                        const auto* numbers = frame.at<int64_t>(index);
                        if (frame.at(base) != frame.at(out))
                          copy.run(frame.at(out), frame.at(base));
                        else  // nothing of the base may be lost
                          Indices{numbers, index.numel(), dim, size}.check("scatter");
                        scatter(op, numbers, index.dims, dim, dtype, frame.at(src), src.dims,
                                frame.at(out), out.dims);
                      });
  if (base.row_major()) allow_in_place(step, base, out, {index, src});
  l.define(node, 0, l.cast(node, out, type.dtype));
}

void lower_nonzero(Lowering& l, const Node& node) {
  const View src = l.row_major(node, l.view(node.input(0)));
  const View out = l.temp(DType::i64, node.type().shape);
  const int64_t count = node.attr_int("count");
  l.emit(node, "cpu:nonzero", {src}, {out}, [=](const Frame& frame) {
    nonzero(src.dtype, frame.at(src), src.dims, count, frame.at<int64_t>(out));
  });
  l.define(node, 0, out);
}

void lower_searchsorted(Lowering& l, const Node& node) {
  const View sorted = l.row_major(node, l.view(node.input(0)));
  const View values = l.row_major(node, l.view(node.input(1)));
  const View out = l.temp(DType::i64, node.type().shape);
  const bool right = node.attr_bool("right");
  // A 1-d sequence serves all values, otherwise rows go with rows.
  const int64_t per_row =
      sorted.dims.rank() == 1 || out.dims.empty() ? out.numel() : out.dims.back();
  l.emit(node, "cpu:searchsorted", {sorted, values}, {out}, [=](const Frame& frame) {
    searchsorted(sorted.dtype, frame.at(sorted), sorted.dims.back(), frame.at(values), out.numel(),
                 per_row, right, frame.at<int64_t>(out));
  });
  l.define(node, 0, out);
}

}  // namespace

bool lower_index(Lowering& l, const Node& node, std::string& why) {
  switch (node.op()) {
    case Op::index_select_: lower_index_select(l, node); return true;
    case Op::index_add_:
    case Op::index_copy_: lower_index_write(l, node); return true;
    case Op::gather_: lower_gather(l, node); return true;
    case Op::scatter_: lower_scatter(l, node); return true;
    case Op::nonzero_: lower_nonzero(l, node); return true;
    case Op::searchsorted_: lower_searchsorted(l, node); return true;
    default: why = "no kernel"; return false;
  }
}

}  // namespace ds::cpu

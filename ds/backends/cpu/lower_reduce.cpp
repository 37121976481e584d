// SPDX-License-Identifier: Apache-2.0
// Reductions over any dims of values in any dense layout.
#include <algorithm>

#include "ds/backends/cpu/kernels/reduce.h"
#include "ds/backends/cpu/kernels/typed.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

ReduceOp reduce_op(Op op) {
  switch (op) {
    case Op::sum_: return ReduceOp::sum;
    case Op::mean_: return ReduceOp::mean;
    case Op::prod_: return ReduceOp::prod;
    case Op::amax_: return ReduceOp::max;
    case Op::amin_: return ReduceOp::min;
    case Op::any_: return ReduceOp::any;
    default: return ReduceOp::all;
  }
}

/// A run of dimensions in memory that are all kept or all reduced.
struct Run {
  int64_t size;
  bool reduced;
};

/// Runs of the view in memory order.
std::vector<Run> memory_runs(const View& view, const std::vector<bool>& reduced) {
  std::vector<Run> runs;
  for (const int d : nesting(view.dims, view.strides)) {
    if (view.dims[d] == 1) continue;
    if (!runs.empty() && runs.back().reduced == reduced[static_cast<size_t>(d)])
      runs.back().size *= view.dims[d];
    else
      runs.push_back({view.dims[d], reduced[static_cast<size_t>(d)]});
  }
  return runs;
}

/// f32 tiles give the exact result of the dtypes; else it is computed in the source's own type, as
/// is the logic of bytes.
bool as_tiles(const Node& node) {
  const DType out = node.type().dtype;
  const bool truth = node.op() == Op::any_ || node.op() == Op::all_;
  if (truth && dtype_size(node.input(0).dtype()) == 1) return false;
  return exact_in_f32(node.input(0).dtype()) && (truth || out == DType::f32 || is_half(out));
}

void emit_reduce(Lowering& l, const Node& node, const View& src, const Split& split, bool squares,
                 const View& dst) {
  const Op op = node.op();
  const bool tiles = as_tiles(node);
  const ReduceOp reduction = squares ? ReduceOp::sum_squares : reduce_op(op);
  const std::string name = squares ? "cpu:sum of squares" : str("cpu:", op_name(op));
  Step& step = l.emit(node, name, {src}, {dst}, [=](const Frame& frame) {
    if (!tiles)
      return typed_reduce(op, src.dtype, frame.at(src), split.outer, split.n, split.inner,
                          frame.at(dst));
    reduce(reduction, src.dtype, frame.at(src), split.outer, split.n, split.inner, dst.dtype,
           frame.at(dst));
  });
  step.info.flops = static_cast<double>(split.outer * split.n * split.inner);
}

/// Reduces one run after the other, the innermost first, through f32 temporaries (or such of the
/// source's own type). `squares` of the source, if so.
void emit_runs(Lowering& l, const Node& node, View src, std::vector<Run> runs, bool squares,
               const View& out) {
  auto left = std::count_if(runs.begin(), runs.end(), [](const Run& run) { return run.reduced; });
  if (left == 0) return emit_reduce(l, node, src, {src.numel(), 1, 1}, squares, out);
  while (left > 0) {
    int at = static_cast<int>(runs.size()) - 1;
    while (!runs[static_cast<size_t>(at)].reduced) --at;
    Split split{1, runs[static_cast<size_t>(at)].size, 1};
    for (int i = 0; i < static_cast<int>(runs.size()); ++i)
      if (i != at) (i < at ? split.outer : split.inner) *= runs[static_cast<size_t>(i)].size;
    const bool last = left == 1;
    const bool truth = node.op() == Op::any_ || node.op() == Op::all_;
    const DType between = truth ? DType::bool_ : as_tiles(node) ? DType::f32 : src.dtype;
    const View dst = last ? out : l.temp(between, {split.outer * split.inner});
    emit_reduce(l, node, src, split, squares, dst);
    squares = false;
    src = dst;
    runs.erase(runs.begin() + at);
    --left;
  }
}

}  // namespace

bool lower_reduce(Lowering& l, const Node& node, std::string& why) {
  const DType dtype = node.input(0).dtype(), out_dtype = node.type().dtype;
  if (!as_tiles(node) && !has_typed_reduce(node.op(), dtype)) {
    why = str("no reduction of ", dtype, " to ", out_dtype);
    return false;
  }
  const Node* squares = l.taken_up(node);
  const View src = l.dense(node, l.view(squares ? squares->input(0) : node.input(0)));
  const int rank = src.dims.rank();
  const Shape& dims = node.attr_ints("dims");
  const bool keepdim = node.attr_bool("keepdim");
  std::vector<bool> reduced(static_cast<size_t>(rank), false);
  for (const int64_t dim : dims) reduced[static_cast<size_t>(dim)] = true;
  // The kept dimensions nest in the result as they do in the source.
  Shape kept_dims, kept_strides;
  for (int d = 0; d < rank; ++d) {
    if (reduced[static_cast<size_t>(d)] && !keepdim) continue;
    kept_dims.push_back(reduced[static_cast<size_t>(d)] ? 1 : src.dims[d]);
    kept_strides.push_back(src.strides[d]);
  }
  const View out = l.temp(out_dtype, kept_dims, strides_like(kept_dims, kept_strides));
  if (src.numel() == 0) {
    // Sizes of 0 say nothing about memory order, and kept and reduced multiply to the right counts.
    Split split{1, 1, 1};
    for (int d = 0; d < rank; ++d)
      (reduced[static_cast<size_t>(d)] ? split.n : split.outer) *= src.dims[d];
    emit_reduce(l, node, src, split, squares, out);
  } else {
    emit_runs(l, node, src, memory_runs(src, reduced), squares, out);
  }
  l.define(node, 0, out);
  return true;
}

bool lower_arg_reduce(Lowering& l, const Node& node, std::string& why) {
  const DType dtype = node.input(0).dtype();
  if (node.input(0).shape().numel() == 0 || node.input(0).shape().empty()) {
    why = str("no kernel for ", node.input(0).type());
    return false;
  }
  const View src = l.row_major(node, l.view(node.input(0)));
  const int dim = normalize_dim(node.attr_int("dim"), src.dims.rank(), "argmax");
  const Split split = split_around(src, dim);
  const View out = l.temp(DType::i64, node.type().shape);
  const bool min = node.op() == Op::argmin_;
  const auto function = exact_in_f32(dtype) ? arg_reduce : typed_arg_reduce;
  l.emit(node, str("cpu:", op_name(node.op())), {src}, {out}, [=](const Frame& frame) {
    function(min, src.dtype, frame.at(src), split.outer, split.n, split.inner,
             frame.at<int64_t>(out));
  });
  l.define(node, 0, out);
  return true;
}

}  // namespace ds::cpu

// SPDX-License-Identifier: Apache-2.0
// Matmul and convolution by oneDNN.
#include <algorithm>

#include "ds/backends/cpu/conv_epilogue.h"
#include "ds/backends/cpu/conv_weights.h"
#include "ds/backends/cpu/copy.h"
#include "ds/backends/cpu/depthwise_weights.h"
#include "ds/backends/cpu/dnnl/conv.h"
#include "ds/backends/cpu/dnnl/reorder.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/backends/cpu/matmul_f64.h"
#include "ds/backends/cpu/matmul_kernels.h"
#include "ds/backends/cpu/matmul_thin.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

View packed_rows(const View& view) {
  View out = view;
  out.strides = contiguous_strides(view.dims);
  out.offset = 0;
  return out;
}

View as_f32(const View& view) {
  View out = view;
  out.dtype = DType::f32;
  out.strides = strides_like(view.dims, view.strides);
  out.offset = 0;
  return out;
}

/// The value in `out` converted to the node's dtype, or `out` itself.
void define_as(Lowering& l, const Node& node, const View& out) {
  l.define(node, 0, l.cast(node, out, node.type().dtype));
}

// --- matmul --------------------------------------------------------------------------------------

/// A matrix times a vector, as the vector (a row) times the transposed matrix: oneDNN reads the
/// matrix at a tenth of the speed of memory.
bool emit_matrix_vector(Lowering& l, const Node& node, const View& lhs, const View& rhs) {
  const Shape& dims = node.type().shape;
  const int r = dims.rank();
  if (dims.back() != 1 || dims.numel() != dims[r - 2] || rhs.strides[r - 2] != 1) return false;
  const int64_t m = dims[r - 2], k = lhs.dims[r - 1];
  View row = rhs, matrix = lhs;
  row.dims = {1, k};
  row.strides = {k, 1};
  matrix.dims = {k, m};
  matrix.strides = {lhs.strides[r - 1], lhs.strides[r - 2]};
  const std::shared_ptr<const ThinMatmulPlan> plan = ThinMatmulPlan::make(row, matrix, {1, m});
  if (!plan) return false;
  const View out = l.temp(lhs.dtype, dims), space = l.scratch(plan->scratchpad_bytes());
  Step& step =
      l.emit(node, "cpu:thin_matmul", {row, matrix, space}, {out}, [=](const Frame& frame) {
        plan->execute(frame.at(row), frame.at(matrix), frame.at(out), frame.at(space));
      });
  step.info.flops = 2.0 * static_cast<double>(m * k);
  l.define(node, 0, out);
  return true;
}

void emit_matmul(Lowering& l, const Node& node, const Kernel& kernel, const View& lhs,
                 const View& rhs) {
  const Shape& dims = node.type().shape;
  const View out = l.temp(lhs.dtype, dims), space = l.scratch(kernel.scratchpad_bytes);
  Step& step = l.emit(node, kernel.name, {lhs, rhs, space}, {out},
                      [run = kernel.run, lhs, rhs, out, space](const Frame& frame) {
                        run(frame.at(lhs), frame.at(rhs), frame.at(out), frame.at(space));
                      });
  step.info.flops = 2.0 * static_cast<double>(dims.numel() * lhs.dims.back());
  define_as(l, node, out);
}

void emit_matmul_f64(Lowering& l, const Node& node, const View& lhs, const View& rhs) {
  const View out = l.temp(DType::f64, node.type().shape);
  Step& step = l.emit(node, "cpu:matmul f64", {lhs, rhs}, {out}, [=](const Frame& frame) {
    matmul_f64(lhs, rhs, out, frame.at<double>(lhs), frame.at<double>(rhs), frame.at<double>(out));
  });
  step.info.flops = 2.0 * static_cast<double>(out.numel() * lhs.dims.back());
  l.define(node, 0, out);
}

/// The view with its batch dimensions broadcast to those of the result.
View broadcast_batch(const View& view, const Shape& out) {
  Shape dims = out;
  const int r = out.rank(), v = view.dims.rank();
  dims[r - 2] = view.dims[v - 2];
  dims[r - 1] = view.dims[v - 1];
  return expand_view(view, dims);
}

void fill_zero(Lowering& l, const Node& node, const View& out) {
  l.emit(node, "cpu:fill", {}, {out},
         [plan = FillPlan(out, std::vector<char>(dtype_size(out.dtype), 0)),
          out](const Frame& frame) { plan.run(frame.at(out)); });
  l.define(node, 0, out);
}

// --- convolution ---------------------------------------------------------------------------------

ConvSpec conv_spec(const Node& node, ConvKind kind, const Type& src, const Type& dst,
                   const Type& weights, DType dtype) {
  ConvSpec spec;
  spec.kind = kind;
  spec.src = channels_last(dtype, src.shape);
  spec.dst = channels_last(dtype, dst.shape);
  spec.weights_dtype = dtype;
  spec.weights = weights.shape;
  spec.stride = node.attr_ints("stride");
  spec.padding = node.attr_ints("padding");
  spec.padding_hi = node.attr_ints("padding_hi");
  spec.dilation = node.attr_ints("dilation");
  spec.groups = node.attr_int("groups");
  return spec;
}

/// The operands of the three convolutions, by their role in the forward one.
struct ConvTypes {
  ConvKind kind;
  Type src, weights, dst;
};

ConvTypes conv_types(const Node& node) {
  if (node.op() == Op::convolution_)
    return {ConvKind::forward, node.input(0).type(), node.input(1).type(), node.type()};
  if (node.op() == Op::conv_diff_src_)
    return {ConvKind::backward_data, node.type(), node.input(1).type(), node.input(0).type()};
  return {ConvKind::backward_weights, node.input(0).type(), node.type(), node.input(1).type()};
}

double conv_flops(const ConvTypes& types) {
  return 2.0 * static_cast<double>(types.dst.shape.numel()) *
         static_cast<double>(types.weights.shape.numel()) /
         static_cast<double>(types.weights.shape[0]);
}

View channels_last_temp(Lowering& l, const Shape& dims, DType dtype) {
  return l.temp(dtype, dims, channels_last(dtype, dims).strides);
}

/// convolution and conv_diff_src: an activation and weights make an activation.
void emit_activation(Lowering& l, const Node& node, std::shared_ptr<const ConvPlan> plan,
                     const ConvTypes& types, DType dtype) {
  const View in = l.channels_last(node, l.cast(node, l.view(node.input(0)), dtype));
  View weights = l.cast(node, l.view(node.input(1)), dtype);
  weights = plan->weights_layout() ? l.packed(node, weights, plan->weights_layout())
                                   : l.row_major(node, weights);
  const View out = channels_last_temp(l, node.type().shape, dtype);
  const View space = l.scratch(plan->scratchpad_bytes());
  const bool forward = types.kind == ConvKind::forward;
  Step& step = l.emit(node, "dnnl:" + plan->implementation(), {in, weights, space}, {out},
                      [=](const Frame& frame) {
                        const void* x = frame.at(forward ? in : out);
                        const void* y = frame.at(forward ? out : in);
                        plan->execute({x, frame.at(weights), nullptr, y, {}}, frame.at(space));
                      });
  step.info.flops = conv_flops(types);
  define_as(l, node, out);
}

void emit_weights(Lowering& l, const Node& node, std::shared_ptr<const ConvPlan> plan,
                  const ConvTypes& types, DType dtype) {
  const View src = l.channels_last(node, l.cast(node, l.view(node.input(0)), dtype));
  const View dst = l.channels_last(node, l.cast(node, l.view(node.input(1)), dtype));
  const View out = l.temp(dtype, node.type().shape), space = l.scratch(plan->scratchpad_bytes());
  const PackedLayoutPtr layout = plan->weights_layout();
  const View weights = layout ? l.scratch(layout->nbytes()) : out;
  Step& step =
      l.emit(node, "dnnl:" + plan->implementation(), {src, dst, space}, {weights},
             [=](const Frame& frame) {
               plan->execute({frame.at(src), frame.at(weights), nullptr, frame.at(dst), {}},
                             frame.at(space));
             });
  step.info.flops = conv_flops(types);
  if (layout) {
    const auto unpack =
        std::make_shared<const ReorderPlan>(ReorderPlan::Direction::unpack, dtype, layout);
    const View more = l.scratch(unpack->scratchpad_bytes());
    l.emit(node, "dnnl:reorder", {weights, more}, {out}, [=](const Frame& frame) {
      unpack->execute(frame.at(weights), frame.at(out), frame.at(more));
    });
  }
  define_as(l, node, out);
}

/// The weights' gradient by our own kernel, which sums in f32. False when that does not take it.
template <class Plan>
bool emit_own_weights(Lowering& l, const Node& node, const ConvSpec& spec, const ConvTypes& types,
                      const char* kernel) {
  const std::shared_ptr<const Plan> plan = Plan::make(spec);
  if (!plan) return false;
  const View src = l.channels_last(node, l.cast(node, l.view(node.input(0)), spec.src.dtype));
  const View dst = l.channels_last(node, l.cast(node, l.view(node.input(1)), spec.dst.dtype));
  const View out = l.temp(DType::f32, node.type().shape);
  const View space = l.scratch(plan->scratchpad_bytes());
  Step& step = l.emit(node, kernel, {src, dst, space}, {out}, [=](const Frame& frame) {
    plan->execute(frame.at<float>(src), frame.at<float>(dst), frame.at<float>(out),
                  frame.at(space));
  });
  step.info.flops = conv_flops(types);
  define_as(l, node, out);
  return true;
}

/// A depthwise convolution for which oneDNN has only a kernel for groups, which computes one
/// channel at a time: a hundred times slower.
bool lacks_depthwise(const ConvSpec& spec, const ConvPlan& plan) {
  return spec.groups > 1 && spec.groups == spec.src.dims[1] &&
         plan.implementation().find("_dw") == std::string::npos;
}

}  // namespace

ConvSpec forward_spec(const Node& conv) {
  return conv_spec(conv, ConvKind::forward, conv.input(0).type(), conv.type(), conv.input(1).type(),
                   conv.type().dtype);
}

double forward_flops(const Node& conv) { return conv_flops(conv_types(conv)); }

bool lower_matmul(Lowering& l, const Node& node, std::string& why) {
  const Type& type = node.type();
  if (type.dtype != DType::f64 && !dnnl_dtype(type.dtype)) {
    why = str("no matmul in ", type.dtype);
    return false;
  }
  View lhs = broadcast_batch(l.view(node.input(0)), type.shape);
  View rhs = broadcast_batch(l.view(node.input(1)), type.shape);
  if (type.shape.numel() == 0 || lhs.dims.back() == 0) {
    fill_zero(l, node, l.temp(type.dtype, type.shape));
    return true;
  }
  if (type.dtype == DType::f64) {
    emit_matmul_f64(l, node, lhs, rhs);
    return true;
  }
  if (emit_matrix_vector(l, node, lhs, rhs)) return true;
  if (const auto kernel = choose_matmul(lhs, rhs, type.shape, why)) {
    emit_matmul(l, node, *kernel, lhs, rhs);
    return true;
  }
  // Strides or batches that oneDNN does not take are copied, dtypes it does not have become f32.
  auto kernel = choose_matmul(packed_rows(lhs), packed_rows(rhs), type.shape, why);
  const bool convert = !kernel && type.dtype != DType::f32;
  if (convert)
    kernel = choose_matmul(packed_rows(as_f32(lhs)), packed_rows(as_f32(rhs)), type.shape, why);
  if (!kernel) return false;
  if (convert) {
    lhs = broadcast_batch(l.cast(node, l.view(node.input(0)), DType::f32), type.shape);
    rhs = broadcast_batch(l.cast(node, l.view(node.input(1)), DType::f32), type.shape);
    if (const auto direct = choose_matmul(lhs, rhs, type.shape, why)) {
      emit_matmul(l, node, *direct, lhs, rhs);
      return true;
    }
  }
  emit_matmul(l, node, *kernel, l.row_major(node, lhs), l.row_major(node, rhs));
  return true;
}

bool lower_convolution(Lowering& l, const Node& node, std::string& why) {
  const ConvTypes types = conv_types(node);
  if (types.src.shape.numel() == 0 || types.weights.shape.numel() == 0 ||
      types.dst.shape.numel() == 0) {
    fill_zero(l, node, l.temp(node.type().dtype, node.type().shape));
    return true;
  }
  const DType wanted = node.type().dtype;
  const auto spec_in = [&](DType dtype) {
    return conv_spec(node, types.kind, types.src, types.dst, types.weights, dtype);
  };
  const bool weights = types.kind == ConvKind::backward_weights;
  if (weights && emit_own_weights<DepthwiseWeightsPlan>(
                     l, node, spec_in(wanted == DType::bf16 ? wanted : DType::f32), types,
                     "cpu:depthwise_diff_weights"))
    return true;
  ConvSpec spec = spec_in(wanted);
  std::shared_ptr<const ConvPlan> plan = ConvPlan::make(spec, &why);
  if (is_half(wanted) && (!plan || lacks_depthwise(spec, *plan))) {
    const ConvSpec wide = spec_in(DType::f32);
    std::shared_ptr<const ConvPlan> other = ConvPlan::make(wide, &why);
    if (!plan || (other && !lacks_depthwise(wide, *other))) {
      spec = wide;
      plan = std::move(other);
    }
  }
  if (!plan) return false;
  const std::string& name = plan->implementation();
  if (weights && name.find("avx512") == std::string::npos &&
      name.find("amx") == std::string::npos &&
      emit_own_weights<ConvWeightsPlan>(l, node, spec, types, "cpu:conv_diff_weights"))
    return true;
  const DType dtype = spec.src.dtype;
  if (weights)
    emit_weights(l, node, plan, types, dtype);
  else
    emit_activation(l, node, plan, types, dtype);
  return true;
}

}  // namespace ds::cpu

// SPDX-License-Identifier: Apache-2.0
// Elementwise ops of integers, bool and f64.
#include "ds/backends/cpu/kernels/math_f64.h"
#include "ds/backends/cpu/lowering.h"
#include "ds/backends/cpu/typed_plan.h"
#include "ds/base/error.h"

namespace ds::cpu {
namespace {

TypedFn typed_fn(const Node& node) {
  const DType dtype = node.input(0).dtype();
  if (node.op() == Op::cast_) return typed_cast(dtype, node.type().dtype);
  if (node.inputs().size() > 1) return typed_binary(node.op(), dtype);
  const TypedFn fn = typed_unary(node.op(), dtype);
  return fn || dtype != DType::f64 ? fn : math_f64(node.op());
}

/// One sweep over inputs that span `type`; `fn` is null for where.
View emit_typed(Lowering& l, const Node& node, TypedFn fn, const std::vector<View>& inputs) {
  const Type& type = node.type();
  // As the largest input lies, so that channels-last goes on.
  Shape strides = contiguous_strides(type.shape);
  for (const View& view : inputs)
    if (view.dims == type.shape && is_dense(view)) strides = strides_like(type.shape, view.strides);
  const View out = l.temp(type.dtype, type.shape, strides);
  Step& step = l.emit(node, str("cpu:typed ", op_name(node.op())), inputs, {out},
                      [=, plan = TypedPlan(fn, out, inputs)](const Frame& frame) {
                        std::vector<const void*> from;
                        for (const View& view : inputs) from.push_back(frame.at(view));
                        plan.run(frame.at(out), from);
                      });
  step.info.flops = static_cast<double>(out.numel());
  return out;
}

}  // namespace

bool lower_typed(Lowering& l, const Node& node, std::string& why) {
  const bool by_bytes = node.op() == Op::where_, clamp = node.op() == Op::clamp_;
  const TypedFn fn = by_bytes || clamp || node.op() == Op::dropout_ ? nullptr : typed_fn(node);
  if (!fn && !by_bytes && !clamp) {
    why = str("no kernel for ", node.input(0).dtype());
    return false;
  }
  std::vector<View> inputs;
  for (const Value& input : node.inputs())
    inputs.push_back(expand_view(l.view(input), node.type().shape));
  View out;
  if (clamp) {
    const DType dtype = node.type().dtype;
    const View raised =
        emit_typed(l, node, typed_binary(Op::maximum_, dtype), {inputs[0], inputs[1]});
    out = emit_typed(l, node, typed_binary(Op::minimum_, dtype), {raised, inputs[2]});
  } else {
    out = emit_typed(l, node, fn, inputs);
  }
  l.define(node, 0, out);
  return true;
}

}  // namespace ds::cpu

// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/dnnl/conv.h"

#include "ds/backends/cpu/dnnl/engine.h"

namespace ds::cpu {

struct ConvPlan::State {
  Primitive primitive;
  ConvKind kind;
  bool bias;
  dnnl::memory::desc src, weights, bias_desc, dst;
  PackedLayoutPtr layout;
  std::vector<std::pair<int, dnnl::memory::desc>> operands;  // position in the post-ops, descriptor
};

namespace {

using Md = dnnl::memory::desc;

/// All that oneDNN's constructors of convolutions take.
struct Args {
  Md src, weights, bias, dst;
  dnnl::memory::dims stride, dilation, padding, padding_hi;
  dnnl::primitive_attr attr;
};

/// [OC, IC/g, k...] as oneDNN's [g, OC/g, IC/g, k...]; the same memory.
Shape weights_dims(const ConvSpec& spec) {
  Shape dims = spec.weights;
  if (spec.groups > 1) {
    dims[0] /= spec.groups;
    dims.insert(0, spec.groups);
  }
  return dims;
}

Args make_args(const ConvSpec& spec) {
  Args args;
  args.src = activation_desc(spec.src);
  args.dst = activation_desc(spec.dst);
  const Shape dims = weights_dims(spec);
  args.weights = spec.pack_weights
                     ? Md(to_dims(dims), to_dnnl(spec.weights_dtype), dnnl::memory::format_tag::any)
                     : to_desc(row_major(spec.weights_dtype, dims));
  if (spec.bias)
    args.bias = Md({spec.weights[0]}, to_dnnl(spec.bias_dtype), dnnl::memory::format_tag::a);
  args.stride = to_dims(spec.stride);
  args.padding = to_dims(spec.padding);
  args.padding_hi = to_dims(spec.padding_hi);
  for (const int64_t dilation : spec.dilation) args.dilation.push_back(dilation - 1);
  args.attr = make_attr(spec.post_ops);
  return args;
}

std::string describe(const ConvSpec& spec) {
  static const char* const kNames[] = {"convolution", "conv_diff_src", "conv_diff_weights"};
  return str(kNames[static_cast<int>(spec.kind)], ": src ", spec.src.dtype, spec.src.dims,
             ", weights ", spec.weights_dtype, spec.weights, ", dst ", spec.dst.dtype,
             spec.dst.dims, ", stride ", spec.stride, ", padding ", spec.padding, "/",
             spec.padding_hi, ", dilation ", spec.dilation, ", groups ", spec.groups);
}

auto forward_desc(const Args& a) {
  return dnnl::convolution_forward::primitive_desc(
      dnnl_engine(), dnnl::prop_kind::forward_training, dnnl::algorithm::convolution_direct, a.src,
      a.weights, a.bias, a.dst, a.stride, a.dilation, a.padding, a.padding_hi, a.attr);
}

/// The gradients' constructors ask for a forward descriptor; it may have its own weights layout.
auto hint_desc(const Args& a) {
  const auto any = [](const Md& md) {
    return Md(md.get_dims(), md.get_data_type(), dnnl::memory::format_tag::any);
  };
  return dnnl::convolution_forward::primitive_desc(
      dnnl_engine(), dnnl::prop_kind::forward_training, dnnl::algorithm::convolution_direct,
      any(a.src), any(a.weights), any(a.dst), a.stride, a.dilation, a.padding, a.padding_hi);
}

auto backward_data_desc(const Args& a) {
  return dnnl::convolution_backward_data::primitive_desc(
      dnnl_engine(), dnnl::algorithm::convolution_direct, a.src, a.weights, a.dst, a.stride,
      a.dilation, a.padding, a.padding_hi, hint_desc(a), a.attr);
}

auto backward_weights_desc(const Args& a) {
  return dnnl::convolution_backward_weights::primitive_desc(
      dnnl_engine(), dnnl::algorithm::convolution_direct, a.src, a.weights, a.bias, a.dst, a.stride,
      a.dilation, a.padding, a.padding_hi, hint_desc(a), a.attr);
}

}  // namespace

ConvPlan::ConvPlan(std::unique_ptr<State> state) : state_(std::move(state)) {}
ConvPlan::~ConvPlan() = default;

std::unique_ptr<ConvPlan> ConvPlan::make(const ConvSpec& spec, std::string* why) {
  const std::string what = describe(spec);
  for (const DType dtype : {spec.src.dtype, spec.dst.dtype, spec.weights_dtype}) {
    if (dnnl_dtype(dtype)) continue;
    if (why) *why = str(what, ": oneDNN has no convolution in ", dtype);
    return nullptr;
  }
  const Args args = make_args(spec);
  const auto finish = [&](auto primitive, Primitive compiled) {
    auto state = std::unique_ptr<State>(new State{
        std::move(compiled), spec.kind, spec.bias, args.src, {}, args.bias, args.dst, {}, {}});
    state->weights = primitive;
    if (primitive != to_desc(row_major(spec.weights_dtype, weights_dims(spec))))
      state->layout = to_layout(primitive);
    for (size_t i = 0; i < spec.post_ops.size(); ++i) {
      const PostOp& op = spec.post_ops[i];
      if (op.kind == PostOp::Kind::add || op.kind == PostOp::Kind::mul)
        state->operands.emplace_back(static_cast<int>(i), activation_desc(op.operand));
    }
    return std::unique_ptr<ConvPlan>(new ConvPlan(std::move(state)));
  };
  if (spec.kind == ConvKind::forward) {
    dnnl::convolution_forward::primitive_desc desc;
    if (!try_make(desc, what, why, [&] { return forward_desc(args); })) return nullptr;
    return finish(desc.weights_desc(), Primitive(desc, dnnl::convolution_forward(desc), what));
  }
  if (spec.kind == ConvKind::backward_data) {
    dnnl::convolution_backward_data::primitive_desc desc;
    if (!try_make(desc, what, why, [&] { return backward_data_desc(args); })) return nullptr;
    return finish(desc.weights_desc(),
                  Primitive(desc, dnnl::convolution_backward_data(desc), what));
  }
  dnnl::convolution_backward_weights::primitive_desc desc;
  if (!try_make(desc, what, why, [&] { return backward_weights_desc(args); })) return nullptr;
  return finish(desc.diff_weights_desc(),
                Primitive(desc, dnnl::convolution_backward_weights(desc), what));
}

size_t ConvPlan::scratchpad_bytes() const { return state_->primitive.scratchpad_bytes(); }
const PackedLayoutPtr& ConvPlan::weights_layout() const { return state_->layout; }
const std::string& ConvPlan::implementation() const { return state_->primitive.implementation(); }
int ConvPlan::threads() const { return state_->primitive.threads(); }

void ConvPlan::execute(const Pointers& pointers, void* scratchpad) const {
  const State& s = *state_;
  const bool forward = s.kind == ConvKind::forward;
  const bool data = s.kind == ConvKind::backward_data;
  const bool weights = s.kind == ConvKind::backward_weights;
  std::vector<Primitive::Arg> args;
  args.push_back({data ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, s.src, pointers.src});
  args.push_back({weights ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, s.weights, pointers.weights});
  args.push_back({forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, s.dst, pointers.dst});
  if (s.bias)
    args.push_back({weights ? DNNL_ARG_DIFF_BIAS : DNNL_ARG_BIAS, s.bias_desc, pointers.bias});
  DS_ASSERT(pointers.operands.size() == s.operands.size());
  for (size_t i = 0; i < s.operands.size(); ++i)
    args.push_back({DNNL_ARG_ATTR_MULTIPLE_POST_OP(s.operands[i].first) | DNNL_ARG_SRC_1,
                    s.operands[i].second, pointers.operands[i]});
  s.primitive.execute(args, scratchpad);
}

}  // namespace ds::cpu

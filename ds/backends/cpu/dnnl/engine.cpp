// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/dnnl/engine.h"

#include <omp.h>

#include <cstring>

#include "ds/base/hash.h"
#include "ds/base/parallel.h"
#include "ds/base/team.h"

namespace ds::cpu {
namespace {

TensorDesc dense(DType dtype, const Shape& dims, const std::vector<int>& outer_to_inner) {
  TensorDesc desc{dtype, dims, Shape::filled(dims.rank(), 1)};
  int64_t stride = 1;
  for (auto it = outer_to_inner.rbegin(); it != outer_to_inner.rend(); ++it) {
    desc.strides[*it] = stride;
    stride *= std::max<int64_t>(dims[*it], 1);
  }
  return desc;
}

bool same_strides(const TensorDesc& a, const TensorDesc& b) {
  for (int i = 0; i < a.dims.rank(); ++i)
    if (a.dims[i] != 1 && a.strides[i] != b.strides[i]) return false;
  return true;
}

dnnl::algorithm eltwise_algorithm(PostOp::Kind kind) {
  switch (kind) {
    case PostOp::Kind::gelu: return dnnl::algorithm::eltwise_gelu_erf;
    case PostOp::Kind::gelu_tanh: return dnnl::algorithm::eltwise_gelu_tanh;
    case PostOp::Kind::tanh: return dnnl::algorithm::eltwise_tanh;
    case PostOp::Kind::sigmoid: return dnnl::algorithm::eltwise_logistic;
    case PostOp::Kind::silu: return dnnl::algorithm::eltwise_swish;
    case PostOp::Kind::relu: return dnnl::algorithm::eltwise_relu;
    case PostOp::Kind::hardswish: return dnnl::algorithm::eltwise_hardswish;
    case PostOp::Kind::clip: return dnnl::algorithm::eltwise_clip;
    default: return dnnl::algorithm::eltwise_linear;
  }
}

}  // namespace

TensorDesc row_major(DType dtype, const Shape& dims) {
  return {dtype, dims, contiguous_strides(dims)};
}

TensorDesc channels_last(DType dtype, const Shape& dims) {
  std::vector<int> order{0};
  for (int i = 2; i < dims.rank(); ++i) order.push_back(i);
  order.push_back(1);
  return dense(dtype, dims, order);
}

bool is_channels_last(const TensorDesc& desc) {
  return desc.dims.rank() >= 2 && same_strides(desc, channels_last(desc.dtype, desc.dims));
}

bool is_row_major(const TensorDesc& desc) {
  return same_strides(desc, row_major(desc.dtype, desc.dims));
}

PackedLayout::PackedLayout(std::shared_ptr<const Desc> desc)
    : desc_(std::move(desc)), bytes_(desc_->md.get_size()), hash_(bytes_), text_("dnnl") {
  const dnnl::memory::desc& md = desc_->md;
  const auto mix = [this](const std::vector<int64_t>& words) {
    for (const int64_t word : words) hash_ = hash_combine(hash_, static_cast<uint64_t>(word));
  };
  mix({static_cast<int64_t>(md.get_data_type())});
  mix(md.get_dims());
  mix(md.get_strides());
  mix(md.get_padded_dims());
  mix(md.get_inner_blks());
  mix(md.get_inner_idxs());
  for (size_t i = 0; i < md.get_inner_blks().size(); ++i)
    text_ += str(":", md.get_inner_blks()[i], static_cast<char>('a' + md.get_inner_idxs()[i]));
}

bool PackedLayout::equals(const Layout& other) const {
  const auto* packed = dynamic_cast<const PackedLayout*>(&other);
  return packed && packed->desc_->md == desc_->md;
}

const dnnl::engine& dnnl_engine() {
  // Never destroyed: a program may still run while the process ends.
  static const auto* engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

const dnnl::stream& dnnl_stream() {
  thread_local const dnnl::stream stream(dnnl_engine());
  return stream;
}

bool dnnl_dtype(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

dnnl::memory::data_type to_dnnl(DType dtype) {
  switch (dtype) {
    case DType::f32: return dnnl::memory::data_type::f32;
    case DType::bf16: return dnnl::memory::data_type::bf16;
    case DType::f16: return dnnl::memory::data_type::f16;
    default: break;
  }
  throw InternalError(str("oneDNN: unexpected dtype ", dtype));
}

dnnl::memory::dims to_dims(const Shape& shape) { return shape.vec(); }

dnnl::memory::desc to_desc(const TensorDesc& desc) {
  return {to_dims(desc.dims), to_dnnl(desc.dtype), to_dims(desc.strides)};
}

dnnl::memory::desc activation_desc(const TensorDesc& desc) {
  if (is_channels_last(desc)) return to_desc(channels_last(desc.dtype, desc.dims));
  if (is_row_major(desc)) return to_desc(row_major(desc.dtype, desc.dims));
  return to_desc(desc);
}

PackedLayoutPtr to_layout(const dnnl::memory::desc& desc) {
  return std::make_shared<PackedLayout>(
      std::make_shared<PackedLayout::Desc>(PackedLayout::Desc{desc}));
}

dnnl::primitive_attr make_attr(const std::vector<PostOp>& post_ops) {
  dnnl::post_ops ops;
  for (const PostOp& op : post_ops) {
    switch (op.kind) {
      case PostOp::Kind::add_dst: ops.append_sum(1.0f); break;
      case PostOp::Kind::scale:
      case PostOp::Kind::clip:
        ops.append_eltwise(eltwise_algorithm(op.kind), op.alpha, op.beta);
        break;
      case PostOp::Kind::hardswish:
        ops.append_eltwise(eltwise_algorithm(op.kind), 1.0f / 6, 0.5f);
        break;
      case PostOp::Kind::relu: ops.append_eltwise(eltwise_algorithm(op.kind), 0, 0); break;
      case PostOp::Kind::add:
        ops.append_binary(dnnl::algorithm::binary_add, activation_desc(op.operand));
        break;
      case PostOp::Kind::mul:
        ops.append_binary(dnnl::algorithm::binary_mul, activation_desc(op.operand));
        break;
      default: ops.append_eltwise(eltwise_algorithm(op.kind), 1, 0); break;
    }
  }
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attr.set_post_ops(ops);
  return attr;
}

void throw_dnnl(const dnnl::error& error, const std::string& what) {
  if (error.status == dnnl_out_of_memory)
    throw OutOfMemoryError(str(what, ": oneDNN could not allocate memory"));
  if (error.status == dnnl_unimplemented)
    throw NotImplementedError(str(what, ": oneDNN has no kernel for it on this processor"));
  throw InternalError(
      str(what, ": oneDNN: ", error.what(), " (status ", static_cast<int>(error.status), ")"));
}

ThreadCount::ThreadCount(int threads) : before_(omp_get_max_threads()) {
  if (before_ != threads) omp_set_num_threads(threads);
}

ThreadCount::~ThreadCount() {
  if (before_ != omp_get_max_threads()) omp_set_num_threads(before_);
}

void Primitive::run(Arguments& arguments, std::span<const Arg> args, void* scratchpad) const {
  if (arguments.memories.empty()) {
    for (const Arg& arg : args) {
      arguments.memories.emplace_back(arg.desc, dnnl_engine(), const_cast<void*>(arg.data));
      arguments.list.push_back({arg.index, arguments.memories.back().get()});
    }
    if (scratchpad_bytes() > 0) {
      arguments.memories.emplace_back(scratchpad_, dnnl_engine(), scratchpad);
      arguments.list.push_back({DNNL_ARG_SCRATCHPAD, arguments.memories.back().get()});
    }
  } else {
    for (size_t i = 0; i < args.size(); ++i)
      arguments.memories[i].set_data_handle(const_cast<void*>(args[i].data));
    if (scratchpad_bytes() > 0) arguments.memories.back().set_data_handle(scratchpad);
  }
  dnnl::error::wrap_c_api(
      dnnl_primitive_execute(primitive_.get(), dnnl_stream().get(),
                             static_cast<int>(arguments.list.size()), arguments.list.data()),
      "could not execute a primitive");
}

void Primitive::execute(std::span<const Arg> args, void* scratchpad) const {
  const ThreadCount count(threads_);
  prepare_team(threads_);
  try {
    if (const std::unique_lock lock(kept_->busy, std::try_to_lock); lock) {
      run(*kept_, args, scratchpad);
    } else {  // another thread runs it
      Arguments own;
      run(own, args, scratchpad);
    }
  } catch (const dnnl::error& error) {
    throw_dnnl(error, text_);
  }
}

}  // namespace ds::cpu

// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/tensor.h"

#include <cstring>
#include <mutex>

#include "ds/base/error.h"
#include "ds/engine/engine.h"
#include "ds/engine/executor.h"
#include "ds/ir/build.h"
#include "ds/ir/phase.h"
#include "ds/tensor/function.h"
#include "ds/tensor/replay.h"
#include "ds/tensor/sync.h"
#include "ds/tensor/tensor_impl.h"

namespace ds {
namespace {

TensorImpl& checked(const std::shared_ptr<TensorImpl>& impl) {
  DS_CHECK(impl, StateError, "tensor: it is undefined; assign a value before using it");
  return *impl;
}

/// A computed value as a graph leaf.
Value leaf_value(BufferPtr buffer) {
  const Type& type = buffer->type();
  Value leaf = make(Op::input_, {}, {int64_t{0}, type.dtype, type.shape});
  leaf.node->set_realized(0, std::move(buffer));
  return leaf;
}

/// Strides of a view step over row-major memory, or nothing when it is not a strided view of it.
bool strided_step(const TensorImpl& view, const Shape& parent_shape, Shape& strides,
                  int64_t& offset) {
  const Shape& shape = view.value.shape();
  switch (view.step) {
    case Op::stop_gradient_: return true;
    case Op::permute_: {
      Shape moved;
      for (int64_t dim : std::get<Shape>(view.step_attrs[0]))
        moved.push_back(strides[static_cast<int>(dim)]);
      strides = moved;
      return true;
    }
    case Op::slice_: {
      const Shape& starts = std::get<Shape>(view.step_attrs[0]);
      const Shape& steps = std::get<Shape>(view.step_attrs[2]);
      for (int i = 0; i < strides.rank(); ++i) {
        offset += starts[i] * strides[i];
        strides[i] *= steps[i];
      }
      return true;
    }
    case Op::expand_: {
      Shape grown;
      const int extra = shape.rank() - parent_shape.rank();
      for (int i = 0; i < shape.rank(); ++i)
        grown.push_back(
            i < extra || (parent_shape[i - extra] == 1 && shape[i] != 1) ? 0 : strides[i - extra]);
      strides = grown;
      return true;
    }
    case Op::reshape_:
      if (strides != contiguous_strides(parent_shape)) return false;
      strides = contiguous_strides(shape);
      return true;
    default: return false;  // as_strided counts in the parent's row-major order
  }
}

/// The strides of `impl` over its root's memory; false when it has no such form.
bool view_strides(TensorImpl& impl, Shape& strides, int64_t& offset) {
  if (!impl.parent) {
    strides = contiguous_strides(impl.value.shape());
    offset = 0;
    return true;
  }
  if (!view_strides(*impl.parent, strides, offset)) return false;
  impl.current();
  return strided_step(impl, impl.parent->current().shape(), strides, offset);
}

/// A forward pass reads a leaf whose gradient is pending: of a micro-batch before it. One plan for
/// both would hold the activations of both.
bool begins_micro_batch(const TensorImpl& leaf) {
  if (!leaf.leaf_requires_grad || !leaf.grad.defined() || !grad_enabled() || recording_function() ||
      capturing())
    return false;
  const std::lock_guard lock(graph_mutex());
  const TensorImpl& grad = leaf.grad.impl()->root();
  return grad.live && !grad.value.requires_grad() && in_backward(*grad.value.node);
}

/// The computed leaf that a root holds is read by something else too: a clone, which shares the
/// value, or an operation that was recorded and may not have run.
bool has_other_readers(const TensorImpl& root, const Buffer& buffer) {
  const Node* variable = root.variable.node.get();
  const bool through_variable = variable && variable->input(0).node == root.value.node;
  if (root.value.node.use_count() > (through_variable ? 2 : 1) || buffer.holders > 1) return true;
  const bool hooked = root.hooked.node != nullptr;
  return (through_variable && root.variable.node.use_count() > (hooked ? 2 : 1)) ||
         (hooked && root.hooked.node.use_count() > 1);
}

/// Memory that others may write to must be this tensor's alone: whatever else reads the value keeps
/// it as it is. Under graph_mutex().
BufferPtr make_own(TensorImpl& root, const BufferPtr& buffer) {
  if (buffer->shared() || root.value.node->op() != Op::input_ || !has_other_readers(root, *buffer))
    return buffer;
  const size_t bytes = type_bytes(buffer->type());
  std::shared_ptr<void> memory = backend_of(buffer->device()).alloc(std::max<size_t>(bytes, 1));
  if (bytes > 0) std::memcpy(memory.get(), buffer->data(), bytes);
  auto own = std::make_shared<Buffer>(buffer->type(), buffer->device(), std::move(memory));
  // Not a write: the value is the same, and its version too.
  root.value = leaf_value(own);
  root.variable = root.hooked = {};
  root.update_live();
  return own;
}

}  // namespace

Tensor::Tensor(Value value, Device device)
    : impl_(std::make_shared<TensorImpl>(std::move(value), device)) {}

Tensor Tensor::from_memory(std::shared_ptr<void> memory, const Type& type, Device device,
                           bool shared) {
  Backend& backend = backend_of(device);
  const bool aligned = reinterpret_cast<uintptr_t>(memory.get()) % dtype_size(type.dtype) == 0;
  if (!backend.host_memory() || !aligned) return from_host(memory.get(), type, device);
  auto buffer = std::make_shared<Buffer>(type, device, std::move(memory));
  if (shared) buffer->mark_shared();
  return {leaf_value(std::move(buffer)), device};
}

Tensor Tensor::from_host(const void* data, const Type& type, Device device) {
  const size_t bytes = type_bytes(type);
  std::shared_ptr<void> memory = backend_of(device).alloc(std::max<size_t>(bytes, 1));
  if (bytes > 0) std::memcpy(memory.get(), data, bytes);
  return {leaf_value(std::make_shared<Buffer>(type, device, std::move(memory))), device};
}

Tensor Tensor::input_scalar(double value, DType dtype, Device device) {
  return dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    T element;
    if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
      element = T(static_cast<float>(value));
    else
      element = static_cast<T>(value);
    return from_host(&element, {dtype, {}}, device);
  });
}

const Type& Tensor::type() const { return checked(impl_).type; }
Device Tensor::device() const { return checked(impl_).device; }

int64_t Tensor::size(int64_t dim) const {
  DS_CHECK(this->dim() > 0, IndexError, "size: a 0-d tensor has no dimension ", dim);
  return shape()[normalize_dim(dim, this->dim(), "size")];
}

Value Tensor::value() const {
  TensorImpl& impl = checked(impl_);
  Capture::note_read(impl);
  if (begins_micro_batch(impl)) evaluate_impls({impl.grad.impl().get()});
  const std::lock_guard lock(graph_mutex());
  return impl.recorded();
}

void Tensor::assign(const Value& value) const {
  TensorImpl& impl = checked(impl_);
  DS_CHECK(value.type() == type(), ShapeError, "in-place write: the tensor is ", type(),
           ", the value ", value.type());
  impl.assign(value);
}

void Tensor::set_data(const Tensor& other) const {
  TensorImpl& impl = checked(impl_);
  Capture::note_write(impl);
  const std::lock_guard lock(graph_mutex());
  Value next = detached(other.value());
  impl.parent = nullptr;
  impl.step = Op::input_;
  impl.step_attrs = {};
  impl.parent_value = {};
  impl.device = other.device();
  impl.donor = nullptr;
  impl.value = std::move(next);
  impl.type = impl.value.type();
  impl.variable = {};
  impl.hooked = {};
  impl.released = false;
  ++impl.version;
  impl.update_live();
}

bool Tensor::shares_storage(const Tensor& other) const {
  return &checked(impl_).root() == &checked(other.impl_).root();
}
bool Tensor::is_parameter() const { return checked(impl_).is_parameter; }
void Tensor::set_parameter(bool on) { checked(impl_).is_parameter = on; }
bool Tensor::is_view() const { return checked(impl_).parent != nullptr; }
uint64_t Tensor::version() const { return checked(impl_).root().version; }

const Tensor& Tensor::evaluate() const {
  evaluate_impls({&checked(impl_)});
  return *this;
}

void Tensor::copy_to_host(void* dst) const {
  const std::shared_ptr<void> bytes = host_bytes(checked(impl_));
  if (numel() > 0) std::memcpy(dst, bytes.get(), type_bytes(type()));
}

std::optional<Tensor::HostView> Tensor::host_view() const {
  TensorImpl& impl = checked(impl_);
  TensorImpl& root = impl.root();
  HostView view;
  int64_t offset = 0;
  {
    const std::lock_guard lock(graph_mutex());
    if (!view_strides(impl, view.strides, offset)) return std::nullopt;
  }
  evaluate_impls({&root}, true);
  BufferPtr buffer;
  {
    const std::lock_guard lock(graph_mutex());
    buffer = buffer_of(strip_markers(root.value));
  }
  if (!buffer || buffer->layout() || !backend_of(buffer->device()).host_memory())
    return std::nullopt;
  help_engine();
  buffer->wait();
  // The node and this function hold the buffer; more is a step in the queue that reads it.
  if (!buffer->shared() && buffer.use_count() > 2) synchronize();
  {
    const std::lock_guard lock(graph_mutex());
    buffer = make_own(root, buffer);
  }
  buffer->mark_shared();
  view.memory = buffer->memory();
  view.data =
      static_cast<char*>(view.memory.get()) + offset * static_cast<int64_t>(dtype_size(dtype()));
  return view;
}

double Tensor::item() const {
  DS_CHECK(numel() == 1, ValueError, "item: the tensor is ", type(),
           "; it must have exactly one element");
  note_sync("item");
  return to_vector<double>()[0];
}

int64_t Tensor::item_int() const {
  DS_CHECK(numel() == 1, ValueError, "item: the tensor is ", type(),
           "; it must have exactly one element");
  note_sync("item");
  return to_vector<int64_t>()[0];
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  const std::shared_ptr<void> bytes = host_bytes(checked(impl_));
  const auto count = static_cast<size_t>(numel());
  std::vector<T> out(count);
  dispatch(dtype(), [&](auto tag) {
    // A file may hold other bytes than 0 and 1 for truth values; for the compiler those are no
    // bool.
    using Tag = decltype(tag);
    using S = std::conditional_t<std::is_same_v<Tag, bool>, uint8_t, Tag>;
    const S* src = static_cast<const S*>(bytes.get());
    for (size_t i = 0; i < count; ++i) {
      if constexpr (std::is_same_v<Tag, bool>)
        out[i] = static_cast<T>(src[i] != 0);
      else if constexpr (std::is_same_v<S, f16> || std::is_same_v<S, bf16>)
        out[i] = static_cast<T>(static_cast<float>(src[i]));
      else
        out[i] = static_cast<T>(src[i]);
    }
  });
  return out;
}
template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<int64_t> Tensor::to_vector() const;
template std::vector<int32_t> Tensor::to_vector() const;
template std::vector<uint8_t> Tensor::to_vector() const;
template std::vector<bool> Tensor::to_vector() const;

}  // namespace ds

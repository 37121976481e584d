// SPDX-License-Identifier: Apache-2.0
// What a Tensor points to. A root owns a value slot; a view names its parent and one step from it.
#pragma once

#include <utility>

#include "ds/runtime/buffer.h"
#include "ds/tensor/tensor.h"

namespace ds {

struct TensorImpl : std::enable_shared_from_this<TensorImpl> {
  explicit TensorImpl(Value v, Device d);
  TensorImpl(std::shared_ptr<TensorImpl> parent, Op op, Attrs attrs, Value v);
  ~TensorImpl();
  TensorImpl(const TensorImpl&) = delete;
  TensorImpl& operator=(const TensorImpl&) = delete;

  Device device;
  /// Root: the slot's value. View: the value computed from `parent_value`.
  Value value;
  uint64_t version = 0;  // root only

  // A view: reshape, permute, expand, slice, as_strided, or stop_gradient for detach().
  std::shared_ptr<TensorImpl> parent;
  Op step = Op::input_;
  Attrs step_attrs;
  Value parent_value;

  // Autograd.
  bool leaf_requires_grad = false;
  bool released = false;  // a backward pass used up the history of `value`
  Value variable;         // the leaf's variable node over `value`
  Tensor grad;
  uint64_t hook_id = 0;  // of the hook node over `value`
  Value hooked;

  /// Buffer that `value` held before the last assign(), a candidate for donation.
  BufferPtr donor;

  // The list of roots whose value is pending or keeps history; under graph_mutex().
  TensorImpl* live_prev = nullptr;
  TensorImpl* live_next = nullptr;
  bool live = false;

  TensorImpl& root();
  const TensorImpl& root() const { return const_cast<TensorImpl*>(this)->root(); }
  /// The value before autograd's markers, refreshed through the view chain.
  const Value& current();
  /// The value as operations record it.
  Value recorded();
  void assign(const Value& next);
  void update_live();
};

/// Calls f(impl) for every live root. Under graph_mutex().
void for_each_live(const std::function<void(TensorImpl&)>& f);

/// `value` without a gradient path.
Value detached(const Value& value);

/// Finished row-major bytes of a root's value, converted from a packed layout where needed.
std::shared_ptr<void> host_bytes(const Value& value);

/// Computes `impl` and all live tensors that share pending work with it.
void evaluate_impls(const std::vector<TensorImpl*>& asked);

/// Pending nodes recorded since the last evaluation on any thread, to bound growth.
void note_recorded(const NodePtr& node);

// ds/tensor/sync.cpp: where values were forced.
void note_sync(const char* reason);

}  // namespace ds

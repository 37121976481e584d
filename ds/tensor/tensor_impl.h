// SPDX-License-Identifier: Apache-2.0
// What a Tensor points to. A root owns a value slot; a view names its parent and one step from it.
#pragma once

#include <utility>

#include "ds/runtime/buffer.h"
#include "ds/tensor/tensor.h"

namespace ds {

/// Functions to call with a tensor's gradient, in order of registration.
struct HookList {
  uint64_t id = 0;
  std::vector<std::pair<uint64_t, std::function<Tensor(const Tensor&)>>> hooks;
};

struct TensorImpl : std::enable_shared_from_this<TensorImpl> {
  explicit TensorImpl(Value v, Device d);
  TensorImpl(std::shared_ptr<TensorImpl> parent, Op step, Attrs attrs, Value value,
             Value parent_value);
  ~TensorImpl();
  TensorImpl(const TensorImpl&) = delete;
  TensorImpl& operator=(const TensorImpl&) = delete;

  Device device;
  /// Root: the slot's value. View: the value computed from `parent_value`.
  Value value;
  /// Of `value`. A copy of its own, so that a reference to a tensor's shape outlives the node that
  /// computing replaces.
  Type type;
  uint64_t version = 0;  // root only

  // A view: reshape, permute, expand, slice, as_strided, or stop_gradient for detach().
  std::shared_ptr<TensorImpl> parent;
  Op step = Op::input_;
  Attrs step_attrs;
  Value parent_value;

  /// Registered as a module's parameter.
  bool is_parameter = false;

  // Autograd.
  bool leaf_requires_grad = false;
  bool released = false;  // a backward pass used up the history of `value`
  Value variable;         // the leaf's variable node over `value`
  Tensor grad;
  uint64_t variable_id = 0;
  std::shared_ptr<HookList> hooks;
  Value hooked;  // the hook node over `value`

  /// The computed `input` node that `value` was before it was assigned: its memory may be reused.
  NodePtr donor;

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
  /// Marks the history of `value` as used up.
  void release();
};

/// Calls f(impl) for every live root. Under graph_mutex().
void for_each_live(const std::function<void(TensorImpl&)>& f);

/// `value` without a gradient path.
Value detached(const Value& value);

/// Every gradient path of `value` ends in a history that is used up, or at a node visited in
/// `epoch`: a backward pass can only fail, so nothing is to be kept for it.
bool is_used_up(const Value& value, uint64_t epoch);

/// Computes the tensor and waits: its row-major bytes, converted from a packed layout where needed.
std::shared_ptr<void> host_bytes(TensorImpl& impl);

/// Computes `asked` and all live tensors that share pending work with them. `awaited`: the caller
/// waits for a value at once.
void evaluate_impls(const std::vector<TensorImpl*>& asked, bool awaited = false);

/// A computed value as an `input` node without history.
Value leaf_of(const Value& computed);

/// Bounds a loop that never asks for a value: evaluates everything live after many recordings.
void bound_growth();

}  // namespace ds

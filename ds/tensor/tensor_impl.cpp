// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/tensor_impl.h"

#include <mutex>
#include <unordered_set>

#include "ds/base/error.h"
#include "ds/engine/engine.h"
#include "ds/engine/executor.h"
#include "ds/ir/build.h"
#include "ds/tensor/replay.h"

namespace ds {
namespace {

TensorImpl* g_live = nullptr;  // under graph_mutex()

/// The write of `next` through one view step into the parent's value.
Value write_through(const TensorImpl& view, const Value& parent, const Value& next) {
  switch (view.step) {
    case Op::reshape_: return make_reshape(next, parent.shape());
    case Op::permute_: {
      const Shape& dims = std::get<Shape>(view.step_attrs[0]);
      Shape inverse = dims;
      for (int i = 0; i < dims.rank(); ++i) inverse[static_cast<int>(dims[i])] = i;
      return make_permute(next, inverse);
    }
    case Op::slice_:
      return make(Op::slice_scatter_, {parent, next}, {view.step_attrs[0], view.step_attrs[2]});
    case Op::as_strided_:
      return make(Op::as_strided_scatter_, {parent, next},
                  {view.step_attrs[1], view.step_attrs[2]});
    case Op::stop_gradient_: return detached(next);
    default: break;
  }
  throw StateError(
      "in-place write: the tensor is expanded, so several of its elements are one place in memory; "
      "call clone() first");
}

}  // namespace

TensorImpl::TensorImpl(Value v, Device d) : device(d), value(std::move(v)), type(value.type()) {
  update_live();
}

TensorImpl::TensorImpl(std::shared_ptr<TensorImpl> p, Op op, Attrs attrs, Value v, Value from)
    : device(p->device),
      value(std::move(v)),
      type(value.type()),
      parent(std::move(p)),
      step(op),
      step_attrs(std::move(attrs)),
      parent_value(std::move(from)) {}

TensorImpl::~TensorImpl() {
  if (!live) return;
  const std::lock_guard lock(graph_mutex());
  if (live_prev)
    live_prev->live_next = live_next;
  else
    g_live = live_next;
  if (live_next) live_next->live_prev = live_prev;
}

TensorImpl& TensorImpl::root() {
  TensorImpl* impl = this;
  while (impl->parent) impl = impl->parent.get();
  return *impl;
}

const Value& TensorImpl::current() {
  if (!parent) return value;
  Value now = parent->recorded();
  if (!(now == parent_value)) {
    value = step == Op::stop_gradient_ ? detached(now) : make(step, {now}, step_attrs);
    parent_value = std::move(now);
    type = value.type();
  }
  return value;
}

Value TensorImpl::recorded() {
  const Value& now = current();
  if (leaf_requires_grad) {
    if (!variable || !(variable.node->input(0) == now))
      variable = make(Op::variable_, {now}, {static_cast<int64_t>(variable_id)});
    return variable;
  }
  if (hooks && now.requires_grad()) {
    if (!hooked || !(hooked.node->input(0) == now))
      hooked = make(Op::hook_, {now}, {static_cast<int64_t>(hooks->id)});
    return hooked;
  }
  return now;
}

void TensorImpl::assign(const Value& next) {
  const std::lock_guard lock(graph_mutex());
  if (leaf_requires_grad) {
    DS_CHECK(!grad_enabled(), StateError,
             "in-place write: the tensor is a leaf that requires grad; use no_grad() or detach()");
  }
  const Value plain = leaf_requires_grad ? detached(next) : next;
  if (parent) {
    DS_CHECK(!(parent->leaf_requires_grad && step != Op::stop_gradient_ && grad_enabled()),
             StateError,
             "in-place write: the tensor is a view of a leaf that requires grad; use no_grad()");
    const GradMode mode(step == Op::stop_gradient_ ? false : grad_enabled());
    const Value base = parent->leaf_requires_grad ? parent->current() : parent->recorded();
    parent->assign(write_through(*this, base, plain));
    return;
  }
  Capture::note_write(*this);
  if (!donor && value.node->op() == Op::input_) donor = value.node;
  value = plain;
  variable = {};
  hooked = {};
  released = false;
  ++version;
  update_live();
}

void TensorImpl::update_live() {
  if (parent) return;
  const Value plain = strip_markers(value);
  const bool wanted = plain.node->op() != Op::input_;
  if (wanted == live) return;
  const std::lock_guard lock(graph_mutex());
  live = wanted;
  if (wanted) {
    live_prev = nullptr;
    live_next = g_live;
    if (g_live) g_live->live_prev = this;
    g_live = this;
  } else {
    if (live_prev)
      live_prev->live_next = live_next;
    else
      g_live = live_next;
    if (live_next) live_next->live_prev = live_prev;
  }
}

void TensorImpl::release() {
  released = true;
  value = make(Op::released_, {value});
  hooked = {};
}

void for_each_live(const std::function<void(TensorImpl&)>& f) {
  for (TensorImpl* impl = g_live; impl;) {
    TensorImpl* next = impl->live_next;
    f(*impl);
    impl = next;
  }
}

Value detached(const Value& value) {
  if (!value.requires_grad()) return value;
  if (value.node->op() == Op::variable_ || value.node->op() == Op::released_ ||
      value.node->op() == Op::hook_)
    return detached(value.node->input(0));
  return make(Op::stop_gradient_, {value});
}

bool is_used_up(const Value& value, uint64_t epoch) {
  if (!value.requires_grad()) return false;
  std::unordered_set<const Node*> seen;
  std::vector<const Node*> stack{value.node.get()};
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    if (node->op() == Op::variable_) return false;
    if (node->op() == Op::released_ || node->visit_epoch == epoch) continue;
    for (const Value& input : node->inputs())
      if (input.requires_grad() && seen.insert(input.node.get()).second)
        stack.push_back(input.node.get());
  }
  return true;
}

Value leaf_of(const Value& computed) {
  const Type& type = computed.type();
  Value leaf = make(Op::input_, {}, {int64_t{0}, type.dtype, type.shape});
  leaf.node->set_realized(0, computed.node->realized(computed.index));
  return leaf;
}

std::shared_ptr<void> host_bytes(TensorImpl& impl) {
  Value computed;
  {
    const std::lock_guard lock(graph_mutex());
    computed = strip_markers(impl.recorded());
  }
  evaluate_impls({&impl}, true);
  BufferPtr buffer;
  {
    const std::lock_guard lock(graph_mutex());
    buffer = buffer_of(computed);
    // A node that is wanted in part keeps nothing; its tensors hold the values as leaves.
    if (!buffer) buffer = buffer_of(strip_markers(impl.value));
  }
  DS_ASSERT(buffer);
  help_engine();
  try {
    buffer->wait();
  } catch (...) {
    forget_unseen_error(buffer->error());
    throw;
  }
  Backend& backend = backend_of(buffer->device());
  if (backend.host_memory() && !buffer->layout()) return buffer->memory();
  auto bytes = std::shared_ptr<char[]>(new char[std::max<size_t>(type_bytes(buffer->type()), 1)]);
  backend.to_host(*buffer, bytes.get());
  return {bytes, bytes.get()};
}

}  // namespace ds

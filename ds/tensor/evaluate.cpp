// SPDX-License-Identifier: Apache-2.0
// What is computed when a value is needed: the asked tensors and every live tensor that shares
// pending work with them, in one plan. Tensors without such a tie stay pending, so touching one
// beside a training step does not change the step's plan. What reads a value that the plan writes
// over is computed with it, unless it has history: a running average of parameters would keep each
// step's parameters alive, and the new ones could not take their memory.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "ds/base/error.h"
#include "ds/engine/engine.h"
#include "ds/grad/rules.h"
#include "ds/ir/build.h"
#include "ds/tensor/checkpoint.h"
#include "ds/tensor/function.h"
#include "ds/tensor/random.h"
#include "ds/tensor/replay.h"
#include "ds/tensor/tensor_impl.h"

namespace ds {
namespace {

bool is_source(const Node& node) { return node.info().op_class == OpClass::source; }
bool is_pending(const Node& node) { return !is_source(node) && !node.realized(0); }

/// Groups roots that share pending nodes. Group 0 holds the asked ones.
class Components {
 public:
  Components() : epoch_(next_visit_epoch()) {}

  /// Visits from a root as member of `group`; joins the groups it runs into. With `joins_writers`
  /// also those that assigned over what it reads.
  void visit(const Value& root, uint32_t group, bool joins_writers) {
    grow(group);
    joins_writers_ = joins_writers;
    enter(root.node.get(), group);
    while (!stack_.empty()) {
      const Node* node = stack_.back();
      stack_.pop_back();
      for (const Value& input : node->inputs()) enter(input.node.get(), group);
    }
  }

  /// `group` assigned over the computed `leaf`. Before visits.
  void assigned_over(const Node& leaf, uint32_t group) {
    grow(group);
    if (leaf.visit_epoch == epoch_) return join(leaf.visit_index, group);
    leaf.visit_epoch = epoch_;
    leaf.visit_index = group;
  }

  uint32_t find(uint32_t group) {
    while (parents_[group] != group) group = parents_[group] = parents_[parents_[group]];
    return group;
  }

  /// The nodes that the asked tensors share pending work with. What only other groups visited is
  /// not computed now.
  std::vector<const Node*> members() {
    std::vector<const Node*> members;
    const uint32_t asked = find(0);
    for (const Node* node : visited_)
      if (find(node->visit_index) == asked) members.push_back(node);
    return members;
  }

  size_t visited() const { return visited_.size(); }

 private:
  void grow(uint32_t group) {
    while (parents_.size() <= group) parents_.push_back(static_cast<uint32_t>(parents_.size()));
  }

  void join(uint32_t a, uint32_t b) {
    a = find(a), b = find(b);
    parents_[std::max(a, b)] = std::min(a, b);
  }

  void enter(const Node* node, uint32_t group) {
    const bool pending = is_pending(*node);
    if (node->visit_epoch == epoch_) {
      if (pending || joins_writers_) join(node->visit_index, group);
      return;
    }
    if (!pending) return;
    node->visit_epoch = epoch_;
    node->visit_index = group;
    visited_.push_back(node);
    stack_.push_back(node);
  }

  uint64_t epoch_;
  bool joins_writers_ = false;
  std::vector<uint32_t> parents_;
  std::vector<const Node*> stack_;
  std::vector<const Node*> visited_;
};

/// The values to compute, each once. A node that history goes on to read is computed with all its
/// outputs and stays realized. Of any other only what is wanted is computed, and its tensors become
/// leaves: the gradient of a normalisation's weight does not keep that of its input.
class Outputs {
 public:
  void add(const Value& value, bool whole) {
    const Value plain = strip_markers(value);
    if (plain.node->op() == Op::input_ || plain.node->realized(0)) return;
    if (!whole) return list_.push_back(plain);
    for (int i = 0; i < plain.node->outputs(); ++i) list_.push_back({plain.node, i});
  }

  /// In the order of recording, which is about the order that they are computed in: a weight's
  /// gradient comes right after what it reads, so activations go early. Nothing is added
  /// afterwards.
  const Values& list() {
    if (ordered_) return list_;
    std::sort(list_.begin(), list_.end(), before);
    list_.erase(std::unique(list_.begin(), list_.end()), list_.end());
    ordered_ = true;
    return list_;
  }

  /// Its place in the list; the list's size when it is not there.
  size_t index_of(const Value& value) {
    const auto found = std::lower_bound(list().begin(), list().end(), value, before);
    return static_cast<size_t>((found != list_.end() && *found == value ? found : list_.end()) -
                               list_.begin());
  }

  /// Nodes without all their outputs count as not computed once their tensors are leaves.
  void forget_parts() {
    for (size_t first = 0, end = 0; first < list().size(); first = end) {
      const Node& node = *list_[first].node;
      while (end < list_.size() && list_[end].node.get() == &node) ++end;
      if (end - first == static_cast<size_t>(node.outputs())) continue;
      for (int i = 0; i < node.outputs(); ++i) node.set_realized(i, nullptr);
    }
  }

 private:
  static bool before(const Value& a, const Value& b) {
    return std::pair(a.node->id(), a.index) < std::pair(b.node->id(), b.index);
  }

  Values list_;
  bool ordered_ = false;
};

/// What a later backward will read is computed now with the rest, as an eager framework keeps it.
/// Views and casts of a kept value are cheap to make again.
void save_for_backward(const Value& value, Outputs& outputs) {
  Value v = strip_markers(value);
  while (v.node->info().op_class == OpClass::movement && v.node->op() != Op::cat_)
    v = strip_markers(v.node->input(0));
  if (!is_source(*v.node)) outputs.add(v, /*whole=*/true);
}

/// Walks the history that stays after this evaluation: adds what its backward needs to `outputs`
/// and the computed leaves it reads to `kept`.
void keep_history(const std::vector<TensorImpl*>& roots, Outputs& outputs,
                  std::unordered_set<const Node*>& kept) {
  std::unordered_set<const Node*> seen;
  std::vector<NodePtr> stack;
  for (const TensorImpl* root : roots)
    if (!root->released && root->value.requires_grad()) stack.push_back(root->value.node);
  while (!stack.empty()) {
    const NodePtr node = std::move(stack.back());
    stack.pop_back();
    if (!seen.insert(node.get()).second) continue;
    if (node->op() == Op::input_) kept.insert(node.get());
    const GradEntry* entry =
        node->requires_grad() && !node->realized(0) ? grad_entry(node->op()) : nullptr;
    if (entry) {
      for (size_t i = 0; i < node->inputs().size(); ++i)
        if (entry->saved_inputs >> std::min<size_t>(i, 31) & 1)
          save_for_backward(node->inputs()[i], outputs);
      if (entry->saved_outputs != 0) save_for_backward({node, 0}, outputs);
    }
    const bool recomputes = node->op() == Op::custom_gradient_ && is_checkpoint(*node);
    for (size_t i = recomputes ? 1 : 0; i < node->inputs().size(); ++i) {
      if (recomputes) save_for_backward(node->inputs()[i], outputs);
      stack.push_back(node->inputs()[i].node);
    }
  }
}

/// Values that were assigned over: what their tensors keep when the step fails, and, where only the
/// nodes computed now still read them, memory for the new values (parameters and optimizer state
/// are updated in place). The roots keep their donors until there is a plan.
void find_previous(const std::vector<TensorImpl*>& roots, const std::vector<const Node*>& members,
                   Outputs& outputs, const std::unordered_set<const Node*>& kept,
                   EvaluateRequest& request) {
  std::unordered_map<const Node*, long> reads;
  for (const TensorImpl* root : roots)
    if (root->donor) reads.emplace(root->donor.get(), 0);
  if (reads.empty()) return;
  for (const Node* node : members)
    for (const Value& input : node->inputs())
      if (const auto found = reads.find(input.node.get()); found != reads.end()) ++found->second;
  for (const TensorImpl* root : roots) {
    const NodePtr& donor = root->donor;
    if (!donor) continue;
    const BufferPtr buffer = buffer_of({donor, 0});
    const size_t index = outputs.index_of(strip_markers(root->value));
    if (index >= outputs.list().size() || !(outputs.list()[index].type() == buffer->type()))
      continue;
    request.fallbacks.emplace_back(index, buffer);
    const bool sole = donor.use_count() == reads[donor.get()] + 1 && buffer->holders == 1;
    if (sole && !buffer->shared() && !kept.count(donor.get()))
      request.donations.emplace_back(index, buffer);
  }
}

/// Drops the history of a computed root that needs none.
void settle(TensorImpl& root) {
  const Value plain = strip_markers(root.value);
  if (!plain.node->realized(plain.index) || (plain.node->op() == Op::input_ && !root.live)) return;
  if (root.released)
    root.value = make(Op::released_, {leaf_of(plain)});
  else if (!root.value.requires_grad())
    root.value = leaf_of(plain);
  root.donor = nullptr;
  root.update_live();
}

/// A view that was asked for keeps its elements until its base is written to.
void settle_view(TensorImpl& view, const Value& computed) {
  if (!view.parent || computed.requires_grad()) return;
  const Value plain = strip_markers(computed);
  if (!plain.node->realized(plain.index)) return;
  view.parent_value = view.parent->recorded();
  view.value = leaf_of(plain);
}

/// What is computed for a tensor. The value of a leaf needs no variable around it.
Value asked_value(TensorImpl& impl) {
  return impl.leaf_requires_grad && !impl.parent ? impl.current() : impl.recorded();
}

std::atomic<uint32_t> g_recorded{0};
// A training step of a large model records some ten thousand nodes.
constexpr uint32_t kMaxRecorded = 100000;
// A node that an evaluation leaves pending is visited by each that follows, so it weighs more: a
// counter that nobody reads grows with every step.
constexpr size_t kLeftWeight = 16;

}  // namespace

void evaluate_impls(const std::vector<TensorImpl*>& asked, bool awaited) {
  Capture::refuse("it asks for a value");
  raise_unseen_error();
  const std::lock_guard lock(graph_mutex());
  Components components;
  std::vector<TensorImpl*> roots;
  std::unordered_set<TensorImpl*> seen;
  for (TensorImpl* impl : asked) {
    TensorImpl& root = impl->root();
    if (seen.insert(&root).second) roots.push_back(&root);
  }
  std::vector<std::pair<TensorImpl*, uint32_t>> others;
  for_each_live([&](TensorImpl& impl) {
    if (seen.count(&impl) || strip_markers(impl.value).node->realized(0)) return;
    others.emplace_back(&impl, static_cast<uint32_t>(others.size()) + 1);
  });
  for (const TensorImpl* root : roots)
    if (root->donor) components.assigned_over(*root->donor, 0);
  for (const auto& [impl, group] : others)
    if (impl->donor) components.assigned_over(*impl->donor, group);
  for (TensorImpl* impl : asked) components.visit(asked_value(*impl), 0, false);
  for (const TensorImpl* root : roots) components.visit(root->value, 0, false);
  for (const auto& [impl, group] : others)
    components.visit(impl->value, group, !impl->released && !impl->value.requires_grad());
  for (const auto& [impl, g] : others)
    if (components.find(g) == components.find(0)) roots.push_back(impl);
  const uint64_t unvisited = next_visit_epoch();
  for (TensorImpl* root : roots)
    if (!root->released && is_used_up(root->value, unvisited)) root->release();
  Outputs outputs;
  Values wanted;
  for (TensorImpl* impl : asked) wanted.push_back(asked_value(*impl));
  for (const Value& value : wanted) outputs.add(value, value.requires_grad());
  for (const TensorImpl* root : roots)
    outputs.add(root->value, root->value.requires_grad() && !root->released);
  std::unordered_set<const Node*> kept;
  keep_history(roots, outputs, kept);
  const std::vector<const Node*> members = components.members();
  if (!outputs.list().empty()) {
    EvaluateRequest request{outputs.list(), roots.front()->device, {}, {}, awaited};
    find_previous(roots, members, outputs, kept, request);
    evaluate(request);
    for (TensorImpl* root : roots) root->donor = nullptr;
    renew_rng_leaf();
  }
  for (TensorImpl* root : roots) settle(*root);
  for (size_t i = 0; i < asked.size(); ++i) settle_view(*asked[i], wanted[i]);
  outputs.forget_parts();
  const size_t left = kLeftWeight * (components.visited() - members.size());
  g_recorded = static_cast<uint32_t>(std::min<size_t>(left, kMaxRecorded));
}

void evaluate(const std::vector<Tensor>& tensors) {
  std::vector<TensorImpl*> impls;
  for (const Tensor& tensor : tensors)
    if (tensor.defined()) impls.push_back(tensor.impl().get());
  if (!impls.empty()) evaluate_impls(impls);
}

void bound_growth() {
  if (g_recorded.fetch_add(1, std::memory_order_relaxed) < kMaxRecorded) return;
  if (recording_function()) return;  // placeholders have no values
  const std::lock_guard lock(graph_mutex());
  std::vector<TensorImpl*> live;
  for_each_live([&](TensorImpl& impl) {
    if (!strip_markers(impl.value).node->realized(0)) live.push_back(&impl);
  });
  while (!live.empty()) {
    // Tensors of one device at a time; each evaluation may settle several.
    evaluate_impls({live.back()});
    std::erase_if(live, [](TensorImpl* impl) {
      return strip_markers(impl->value).node->realized(0) != nullptr;
    });
  }
  g_recorded = 0;
}

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
#include "ds/grad/differentiate.h"

#include <algorithm>

#include "ds/base/error.h"
#include "ds/base/location.h"
#include "ds/grad/rules.h"
#include "ds/ir/build.h"
#include "ds/ir/phase.h"

namespace ds {
namespace {

/// Node to entry number, by open addressing: a lookup is one or two cache lines.
class NodeIndex {
 public:
  NodeIndex() : cells_(1024) {}

  /// The number of `node`; `next` is stored and returned when it is new.
  uint32_t find_or_add(const Node* node, uint32_t next) {
    if ((count_ + 1) * 2 > cells_.size()) grow();
    Cell& cell = cells_[position(node)];
    if (cell.node) return cell.number;
    ++count_;
    cell = {node, next};
    return next;
  }

 private:
  struct Cell {
    const Node* node = nullptr;
    uint32_t number = 0;
  };

  size_t position(const Node* node) const {
    const size_t mask = cells_.size() - 1;
    size_t at = static_cast<size_t>(node->id() * 0x9E3779B97F4A7C15ull >> 20) & mask;
    while (cells_[at].node && cells_[at].node != node) at = (at + 1) & mask;
    return at;
  }

  void grow() {
    std::vector<Cell> old(cells_.size() * 2);
    old.swap(cells_);
    for (const Cell& cell : old)
      if (cell.node) cells_[position(cell.node)] = cell;
  }

  std::vector<Cell> cells_;
  size_t count_ = 0;
};

constexpr uint32_t kNone = ~0u;

/// What a user's function returned must fit the value it is a gradient of.
void check_user_gradient(const char* who, const Value& grad, const Value& value) {
  DS_CHECK(grad.shape() == value.shape(), ShapeError, who, ": the function returned a gradient ",
           grad.type(), " for a value ", value.type());
  DS_CHECK(grad.dtype() == value.dtype(), DTypeError, who, ": the function returned a gradient ",
           grad.type(), " for a value ", value.type());
}

/// A node on a path that carries gradients.
struct Entry {
  NodePtr node;
  uint32_t first_grad = 0;  // of its outputs' gradients in Walk::grads_
  uint32_t first_edge = 0;  // of its inputs' entries in Walk::edges_
  bool target = false;
  bool needed = true;
};

class Walk {
 public:
  Walk(const Values& targets, const DifferentiateOptions& options)
      : targets_(targets), options_(options) {}

  Gradients run(const Values& roots, const Values& root_grads) {
    result_.targets.resize(targets_.size());
    collect(roots);
    order();
    if (!targets_.empty()) mark_needed();
    seed(roots, root_grads);
    for (uint32_t number : order_) visit(number);
    return std::move(result_);
  }

 private:
  /// The entry of a node; a new one is queued to be expanded.
  uint32_t entry_of(const NodePtr& node) {
    const auto next = static_cast<uint32_t>(entries_.size());
    const uint32_t number = index_.find_or_add(node.get(), next);
    if (number == next) {
      entries_.push_back({node, static_cast<uint32_t>(grads_.size())});
      grads_.resize(grads_.size() + static_cast<size_t>(node->outputs()));
    }
    return number;
  }

  void collect(const Values& roots) {
    for (const Value& target : targets_) entries_[entry_of(target.node)].target = true;
    for (const Value& root : roots)
      if (root.requires_grad()) entry_of(root.node);
    for (size_t i = 0; i < entries_.size(); ++i) expand(i);
  }

  /// Adds the edges of entry i.
  void expand(size_t i) {
    const NodePtr node = entries_[i].node;
    const bool target = entries_[i].target;
    entries_[i].first_edge = static_cast<uint32_t>(edges_.size());
    const Op op = node->op();
    DS_CHECK(op != Op::released_ || target, StateError,
             "backward: this goes backward through the graph a second time, and what an earlier "
             "backward() used is freed; call that one with retain_graph=True, or detach() what "
             "was computed before it");
    const bool ends = op == Op::variable_ || op == Op::released_ || op == Op::stop_gradient_ ||
                      (target && options_.stop_at_targets);
    const size_t first_input = op == Op::custom_gradient_ ? 1 : 0;
    const Values& inputs = node->inputs();
    for (size_t k = 0; k < inputs.size(); ++k) {
      const bool follows = !ends && k >= first_input && inputs[k].requires_grad();
      edges_.push_back(follows ? entry_of(inputs[k].node) : kNone);
    }
  }

  /// Ids grow with recording, so descending ids visit every user before what it uses.
  void order() {
    std::vector<std::pair<uint64_t, uint32_t>> keys;
    keys.reserve(entries_.size());
    for (size_t i = 0; i < entries_.size(); ++i)
      keys.emplace_back(entries_[i].node->id(), static_cast<uint32_t>(i));
    std::sort(keys.begin(), keys.end(), std::greater<>());
    order_.reserve(keys.size());
    for (const auto& key : keys) order_.push_back(key.second);
  }

  /// Only nodes from which a target can be reached matter.
  void mark_needed() {
    for (size_t i = order_.size(); i-- > 0;) {
      Entry& entry = entries_[order_[i]];
      entry.needed = entry.target;
      const size_t inputs = entry.node->inputs().size();
      for (size_t k = 0; k < inputs && !entry.needed; ++k) {
        const uint32_t edge = edges_[entry.first_edge + k];
        entry.needed = edge != kNone && entries_[edge].needed;
      }
    }
  }

  void seed(const Values& roots, const Values& root_grads) {
    DS_ASSERT(roots.size() == root_grads.size());
    for (size_t i = 0; i < roots.size(); ++i) {
      const Value& root = roots[i];
      if (!root.requires_grad()) continue;
      Value grad = root_grads[i] ? root_grads[i] : make_full(root.shape(), 1.0, root.dtype());
      add_grad(entry_of(root.node), root, std::move(grad));
    }
  }

  void add_grad(uint32_t number, const Value& value, Value grad) {
    DS_ASSERT(grad.type() == value.type(), "gradient ", grad.type(), " of a value ", value.type(),
              " made by ", op_name(value.node->op()));
    Value& slot = grads_[entries_[number].first_grad + static_cast<size_t>(value.index)];
    slot = slot ? slot + grad : std::move(grad);
  }

  void visit(uint32_t number) {
    const Entry& entry = entries_[number];
    if (!entry.needed) return;
    const NodePtr& node = entry.node;
    local_.resize(static_cast<size_t>(node->outputs()));
    bool any = false;
    for (size_t i = 0; i < local_.size(); ++i) {
      local_[i] = std::move(grads_[entry.first_grad + i]);
      grads_[entry.first_grad + i] = {};
      any = any || local_[i];
    }
    if (!any) return;
    const LocationScope scope(backward_place(node->location()));
    if (node->op() == Op::hook_ && options_.on_hook) {
      if (Value replaced = options_.on_hook(*node, finished(local_[0]))) {
        check_user_gradient("hook", replaced, {node, 0});
        local_[0] = std::move(replaced);
      }
    }
    if (entry.target) deliver(*node);
    if (node->op() == Op::variable_) {
      if (targets_.empty()) result_.leaves.emplace_back(node, finished(local_[0]));
      return;
    }
    if (entry.target && (options_.stop_at_targets || node->op() == Op::released_)) return;
    pass_on(entry);
    result_.visited.push_back(node);
  }

  void deliver(const Node& node) {
    for (size_t i = 0; i < targets_.size(); ++i) {
      if (targets_[i].node.get() != &node) continue;
      const Value& grad = local_[static_cast<size_t>(targets_[i].index)];
      if (grad) result_.targets[i] = finished(grad);
    }
  }

  /// Runs the rule and adds its results to the inputs' gradients.
  void pass_on(const Entry& entry) {
    const NodePtr& node = entry.node;
    Values grads = input_grads(node);
    const Values& inputs = node->inputs();
    DS_ASSERT(grads.size() == inputs.size(), op_name(node->op()));
    for (size_t i = 0; i < inputs.size(); ++i) {
      const uint32_t edge = edges_[entry.first_edge + i];
      if (grads[i] && edge != kNone && entries_[edge].needed)
        add_grad(edge, inputs[i], std::move(grads[i]));
    }
  }

  Values input_grads(const NodePtr& node) {
    if (node->op() == Op::hook_) return {local_[0]};
    if (node->op() == Op::custom_gradient_) {
      Values grads(1);
      DS_ASSERT(options_.on_custom, "a custom_gradient node needs on_custom");
      for (Value& grad : options_.on_custom(*node, finished(local_[0])))
        grads.push_back(std::move(grad));
      DS_CHECK(grads.size() == node->inputs().size(), ValueError, "custom_gradient: the function ",
               "returned ", grads.size() - 1, " gradients for ", node->inputs().size() - 1,
               " inputs");
      for (size_t i = 1; i < grads.size(); ++i)
        if (grads[i]) check_user_gradient("custom_gradient", grads[i], node->inputs()[i]);
      return grads;
    }
    const GradEntry* rule = grad_entry(node->op());
    DS_ASSERT(rule, op_name(node->op()), " has no gradient rule");
    return rule->rule({node, local_});
  }

  /// A gradient as it leaves the walk.
  Value finished(const Value& grad) const {
    if (options_.create_graph || !grad.requires_grad()) return grad;
    return make(Op::stop_gradient_, {grad});
  }

  const Values& targets_;
  const DifferentiateOptions& options_;
  Gradients result_;
  NodeIndex index_;
  std::vector<Entry> entries_;
  std::vector<uint32_t> edges_;
  std::vector<uint32_t> order_;
  Values grads_;
  Values local_;  // gradients of the outputs of the node being visited
};

}  // namespace

Gradients differentiate(const Values& roots, const Values& root_grads, const Values& targets,
                        const DifferentiateOptions& options) {
  return Walk(targets, options).run(roots, root_grads);
}

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/join_pads.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "ds/base/location.h"

namespace ds {
namespace {

constexpr int kNoDim = -1;

/// The only dimension that a padding with zeros extends; kNoDim for any other node.
int padded_dim(const Node& node) {
  if (node.op() != Op::pad_ || node.attr_float("value") != 0) return kNoDim;
  const Shape &low = node.attr_ints("low"), &high = node.attr_ints("high");
  int dim = kNoDim;
  for (int d = 0; d < low.rank(); ++d) {
    if (low[d] == 0 && high[d] == 0) continue;
    if (dim != kNoDim) return kNoDim;
    dim = d;
  }
  return dim;
}

int64_t begin_of(const Value& pad, int dim) { return pad.node->attr_ints("low")[dim]; }
int64_t end_of(const Value& pad, int dim) {
  return pad.shape()[dim] - pad.node->attr_ints("high")[dim];
}

class Joiner {
 public:
  Joiner(const Graph& graph, Interner& interner) : graph_(graph), interner_(interner) {
    for (const NodePtr& node : graph.topological())
      for (const Value& input : node->inputs()) {
        ++uses_[input.node.get()];
        if (node->op() != Op::add_) other_use_[input.node.get()] = true;
      }
    for (const Value& output : graph.outputs) other_use_[output.node.get()] = true;
  }

  Graph run() {
    for (const NodePtr& node : graph_.topological()) {
      Values outputs;
      if (const Value joined = is_sum(*node) ? join(*node) : Value{}) {
        outputs = {joined};
      } else {
        Values inputs;
        for (const Value& input : node->inputs()) inputs.push_back(get(input));
        const NodePtr made =
            node->op() == Op::input_ ? node : interner_.rebuild(*node, std::move(inputs));
        for (int i = 0; i < made->outputs(); ++i) outputs.push_back({made, i});
      }
      done_[node.get()] = std::move(outputs);
    }
    Graph result;
    result.inputs = graph_.inputs;
    for (const Value& output : graph_.outputs) result.outputs.push_back(get(output));
    return result;
  }

 private:
  Value get(const Value& value) const {
    return done_.at(value.node.get())[static_cast<size_t>(value.index)];
  }

  /// An addition that is no part of a larger one.
  bool is_sum(const Node& node) const { return node.op() == Op::add_ && !is_inner(node); }
  bool is_inner(const Node& node) const {
    const auto found = uses_.find(&node);
    return found != uses_.end() && found->second == 1 && !other_use_.count(&node);
  }

  /// What a sum adds up, in order.
  Values addends(const Node& sum) const {
    Values leaves, stack(sum.inputs().rbegin(), sum.inputs().rend());
    while (!stack.empty()) {
      const Value value = stack.back();
      stack.pop_back();
      const Node& node = *value.node;
      if (node.op() == Op::add_ && node.type() == sum.type() && is_inner(node))
        stack.insert(stack.end(), node.inputs().rbegin(), node.inputs().rend());
      else
        leaves.push_back(value);
    }
    return leaves;
  }

  Value zeros(const Type& like, int dim, int64_t size) const {
    Shape shape = like.shape;
    shape[dim] = size;
    const Value zero = interner_.make(Op::constant_, {}, {0.0, like.dtype});
    return interner_.make(Op::expand_, {zero}, {shape});
  }

  /// Pads that do not overlap, by where they begin, as one concatenation.
  Value concatenation(const Values& pads, int dim) const {
    const Type& type = pads[0].type();
    Values parts;
    int64_t at = 0;
    for (const Value& pad : pads) {
      const int64_t begin = begin_of(pad, dim);
      if (begin > at) parts.push_back(zeros(type, dim, begin - at));
      parts.push_back(get(pad.node->input(0)));
      at = end_of(pad, dim);
    }
    if (at < type.shape[dim]) parts.push_back(zeros(type, dim, type.shape[dim] - at));
    return interner_.make(Op::cat_, std::move(parts), {int64_t{dim}});
  }

  /// Nothing when fewer than two addends can be joined.
  Value join(const Node& sum) const {
    const Values leaves = addends(sum);
    Values kept;
    std::vector<Values> by_dim(static_cast<size_t>(sum.type().shape.rank()));
    for (const Value& leaf : leaves) {
      const int dim = leaf.type() == sum.type() ? padded_dim(*leaf.node) : kNoDim;
      (dim == kNoDim ? kept : by_dim[static_cast<size_t>(dim)]).push_back(leaf);
    }
    Values terms;
    const LocationScope place(sum.location());
    for (size_t d = 0; d < by_dim.size(); ++d) {
      const int dim = static_cast<int>(d);
      Values pads = by_dim[d], disjoint;
      std::stable_sort(pads.begin(), pads.end(), [dim](const Value& a, const Value& b) {
        return begin_of(a, dim) < begin_of(b, dim);
      });
      for (const Value& pad : pads) {
        const bool free = disjoint.empty() || begin_of(pad, dim) >= end_of(disjoint.back(), dim);
        (free ? disjoint : kept).push_back(pad);
      }
      if (disjoint.size() == 1) kept.push_back(disjoint[0]);
      if (disjoint.size() > 1) terms.push_back(concatenation(disjoint, dim));
    }
    if (terms.empty()) return {};
    for (const Value& value : kept) terms.push_back(get(value));
    Value total = terms[0];
    for (size_t i = 1; i < terms.size(); ++i)
      total = interner_.make(Op::add_, {total, terms[i]});
    return total;
  }

  const Graph& graph_;
  Interner& interner_;
  std::unordered_map<const Node*, int> uses_;
  std::unordered_map<const Node*, bool> other_use_;  // read by something else than an addition
  std::unordered_map<const Node*, Values> done_;
};

}  // namespace

Graph join_pads(const Graph& graph, Interner& interner) { return Joiner(graph, interner).run(); }

}  // namespace ds

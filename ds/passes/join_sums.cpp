// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/join_sums.h"

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

  /// Rows added to zeros, which nothing else reads.
  bool is_scatter(const Value& value) const {
    const Node& node = *value.node;
    if (node.op() != Op::index_add_ || !is_inner(node)) return false;
    const Node* base = node.input(0).node.get();
    while (base->op() == Op::expand_) base = base->input(0).node.get();
    return base->op() == Op::constant_ && base->attr_float("value") == 0;
  }

  /// A product that nothing else reads and that is dearer to write and add than to copy its
  /// operands for: K (M + N) elements of them for M N of the product.
  bool is_thin_product(const Value& value) const {
    const Node& node = *value.node;
    if (node.op() != Op::matmul_ || node.type().shape.rank() != 2 || !is_inner(node)) return false;
    const int64_t m = node.type().shape[0], n = node.type().shape[1];
    return node.input(0).shape().rank() == 2 && node.input(1).shape().rank() == 2 &&
           node.input(0).shape()[1] * (m + n) <= m * n;
  }

  /// Operands side by side along the inner dimension. Transposes stay outside the concatenation, so
  /// that it copies whole rows.
  Value side_by_side(const Values& products, int operand) const {
    const auto is_transpose = [&](const Value& product) {
      const Node& node = *product.node->input(operand).node;
      return node.op() == Op::permute_ && node.attr_ints("dims") == Shape{1, 0};
    };
    const bool transposed = std::all_of(products.begin(), products.end(), is_transpose);
    Values parts;
    for (const Value& product : products) {
      const Value& input = product.node->input(operand);
      parts.push_back(get(transposed ? input.node->input(0) : input));
    }
    const int64_t dim = (operand == 0) != transposed ? 1 : 0;
    const Value joined = interner_.make(Op::cat_, std::move(parts), {dim});
    return transposed ? interner_.make(Op::permute_, {joined}, {Shape{1, 0}}) : joined;
  }

  /// Moves what can be joined from `leaves` to `terms`.
  void join_products(Values& leaves, Values& terms) const {
    Values products, rest;
    for (const Value& leaf : leaves) (is_thin_product(leaf) ? products : rest).push_back(leaf);
    if (products.size() < 2) return;
    leaves = std::move(rest);
    terms.push_back(
        interner_.make(Op::matmul_, {side_by_side(products, 0), side_by_side(products, 1)}));
  }

  void join_pads(Values& leaves, Values& terms) const {
    Values kept;
    std::vector<Values> by_dim(static_cast<size_t>(leaves[0].shape().rank()));
    for (const Value& leaf : leaves) {
      const int dim = padded_dim(*leaf.node);
      (dim == kNoDim ? kept : by_dim[static_cast<size_t>(dim)]).push_back(leaf);
    }
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
    leaves = std::move(kept);
  }

  /// Nothing when fewer than two addends can be joined.
  Value join(const Node& sum) const {
    Values alike, scatters, others, terms;
    for (const Value& leaf : addends(sum))
      (leaf.type() != sum.type() ? others : is_scatter(leaf) ? scatters : alike).push_back(leaf);
    const LocationScope place(sum.location());
    if (alike.size() > 1) join_pads(alike, terms);
    if (alike.size() > 1) join_products(alike, terms);
    if (terms.empty() && scatters.empty()) return {};
    for (const Value& value : alike) terms.push_back(get(value));
    const size_t first = terms.empty() ? 1 : 0;
    Value total = terms.empty() ? get(scatters[0]) : terms[0];
    for (size_t i = 1; i < terms.size(); ++i) total = interner_.make(Op::add_, {total, terms[i]});
    for (size_t i = first; i < scatters.size(); ++i) {
      const Node& scatter = *scatters[i].node;
      total = interner_.make(Op::index_add_, {total, get(scatter.input(1)), get(scatter.input(2))},
                             scatter.attrs());
    }
    for (const Value& value : others) total = interner_.make(Op::add_, {total, get(value)});
    return total;
  }

  const Graph& graph_;
  Interner& interner_;
  std::unordered_map<const Node*, int> uses_;
  std::unordered_map<const Node*, bool> other_use_;  // read by something else than an addition
  std::unordered_map<const Node*, Values> done_;
};

}  // namespace

Graph join_sums(const Graph& graph, Interner& interner) { return Joiner(graph, interner).run(); }

}  // namespace ds

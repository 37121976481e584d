// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/slice_loss.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "ds/base/location.h"
#include "ds/ir/after.h"

namespace ds {
namespace {

// Rows of a slice, at least. A slice adds to a weight's gradient: 12 bytes for each of its elements
// at 20 GB/s, against 6 operations for each row in the three products at 100 GFLOP/s. That is
// 10 / rows of their time.
constexpr int64_t kRows = 512;
// Smaller gradients of logits stay whole.
constexpr double kLeastBytes = 64 << 20;

double bytes_of(const Type& type) {
  return static_cast<double>(type.shape.numel()) * static_cast<double>(dtype_size(type.dtype));
}

/// One row of classes after the other, whatever the dimensions before are.
bool keeps_rows(const Node& reshape) {
  const Shape &from = reshape.input(0).shape(), &to = reshape.type().shape;
  return from.rank() > 0 && to.rank() > 0 && from.back() == to.back();
}

bool is_transpose(const Node& node) {
  return node.op() == Op::permute_ && node.attr_ints("dims") == Shape{1, 0};
}

/// What a reader does with the gradient of the logits.
enum class Use { rows, left_weights, right_weights, sum };

/// The part of a graph that is computed in slices.
struct Region {
  const Node* diff = nullptr;          // softmax_cross_entropy_backward
  const Node* loss = nullptr;          // softmax_cross_entropy, where logits are sliced too
  std::vector<const Node*> logits;     // from the product on; empty where they stay whole
  std::unordered_set<const Node*> as;  // the gradient in another type or shape
  std::vector<std::pair<const Node*, Use>> uses;
};

bool is_large_loss(const Node& node) {
  return node.op() == Op::softmax_cross_entropy_backward_ && bytes_of(node.type()) >= kLeastBytes &&
         node.type().shape[0] >= 2 * kRows;
}

class Finder {
 public:
  explicit Finder(const Graph& graph) : order_(graph.topological()) {
    if (std::none_of(order_.begin(), order_.end(),
                     [](const NodePtr& node) { return is_large_loss(*node); }))
      return;  // run() reads nothing else
    for (const NodePtr& node : order_)
      for (const Value& input : node->inputs()) readers_[input.node.get()].push_back(node.get());
    for (const Value& output : graph.outputs) outputs_.insert(output.node.get());
  }

  std::optional<Region> run() const {
    for (const NodePtr& node : order_) {
      if (!is_large_loss(*node)) continue;
      Region region;
      region.diff = node.get();
      if (!find_uses(*node, false, region) || region.uses.empty()) continue;
      Region whole = region;
      find_logits(region);
      if (independent(region)) return region;
      if (independent(whole)) return whole;
    }
    return {};
  }

 private:
  const std::vector<const Node*>& readers(const Node* node) const {
    static const std::vector<const Node*> kNone;
    const auto found = readers_.find(node);
    return found == readers_.end() ? kNone : found->second;
  }

  /// Follows the gradient to all that read it; false when something else than products and sums
  /// over the rows does.
  bool find_uses(const Node& value, bool transposed, Region& region) const {
    if (outputs_.count(&value)) return false;
    for (const Node* reader : readers(&value)) {
      const bool same = reader->op() == Op::cast_ ||
                        (reader->op() == Op::reshape_ && !transposed && keeps_rows(*reader));
      if (same || is_transpose(*reader)) {
        if (!region.as.insert(reader).second) continue;
        if (!find_uses(*reader, transposed != is_transpose(*reader), region)) return false;
        continue;
      }
      const std::optional<Use> use = use_of(*reader, value, transposed);
      if (!use) return false;
      region.uses.emplace_back(reader, *use);
    }
    return true;
  }

  static std::optional<Use> use_of(const Node& reader, const Node& value, bool transposed) {
    const Shape& shape = value.type().shape;
    if (reader.op() == Op::sum_ && !transposed) {
      Shape leading;
      for (int d = 0; d < shape.rank() - 1; ++d) leading.push_back(d);
      if (reader.attr_ints("dims") == leading) return Use::sum;
    }
    if (reader.op() != Op::matmul_ || reader.input(0).shape().rank() != 2 ||
        reader.input(1).shape().rank() != 2 || reader.input(0).node == reader.input(1).node)
      return {};
    if (reader.input(0).node.get() == &value) return transposed ? Use::left_weights : Use::rows;
    return transposed ? std::nullopt : std::optional(Use::right_weights);
  }

  /// Follows the logits back to the product that makes them, as long as only the loss and its
  /// gradient read them.
  void find_logits(Region& region) const {
    const Value &logits = region.diff->input(1), &lse = region.diff->input(3);
    const Node* loss = lse.node.get();
    if (loss->op() != Op::softmax_cross_entropy_ || !(loss->input(0) == logits) ||
        !(loss->input(1) == region.diff->input(2)))
      return;
    std::vector<const Node*> chain;
    std::unordered_set<const Node*> inside{loss, region.diff};
    for (const Node* node = logits.node.get();;) {
      const std::vector<const Node*>& all = readers(node);
      if (outputs_.count(node) || !std::all_of(all.begin(), all.end(), [&](const Node* reader) {
            return inside.count(reader) > 0;
          }))
        return;
      chain.push_back(node);
      inside.insert(node);
      if (node->op() == Op::matmul_ && node->input(0).shape().rank() == 2) break;
      const bool adds_bias = node->op() == Op::add_ && node->input(1).shape().rank() <= 1;
      const bool same =
          node->op() == Op::cast_ || (node->op() == Op::reshape_ && keeps_rows(*node));
      if (!adds_bias && !same) return;
      node = node->input(0).node.get();
    }
    region.loss = loss;
    region.logits.assign(chain.rbegin(), chain.rend());
  }

  /// Nothing that the region reads from outside depends on what it computes.
  bool independent(const Region& region) const {
    std::unordered_set<const Node*> inside(region.logits.begin(), region.logits.end());
    inside.insert(region.as.begin(), region.as.end());
    inside.insert(region.diff);
    if (region.loss) inside.insert(region.loss);
    for (const auto& [node, use] : region.uses) {
      const auto is_inside = [&](const Value& input) { return inside.count(input.node.get()) > 0; };
      if (std::count_if(node->inputs().begin(), node->inputs().end(), is_inside) != 1) return false;
    }
    for (const auto& [node, use] : region.uses) inside.insert(node);
    std::unordered_set<const Node*> after;  // outside the region, and computed from it
    for (const NodePtr& node : order_)
      for (const Value& input : node->inputs()) {
        if (!inside.count(input.node.get()) && !after.count(input.node.get())) continue;
        if (inside.count(node.get())) {
          if (after.count(input.node.get())) return false;
        } else {
          after.insert(node.get());
        }
      }
    return true;
  }

  std::vector<NodePtr> order_;
  std::unordered_map<const Node*, std::vector<const Node*>> readers_;
  std::unordered_set<const Node*> outputs_;
};

class Rebuild {
 public:
  Rebuild(const Graph& graph, const Region& region, Interner& interner)
      : graph_(graph), region_(region), interner_(interner) {}

  Graph run() {
    skipped_.insert(region_.logits.begin(), region_.logits.end());
    skipped_.insert(region_.as.begin(), region_.as.end());
    skipped_.insert(region_.diff);
    for (const NodePtr& node : graph_.topological())
      if (!skipped_.count(node.get())) made(*node, 0);
    Graph result;
    result.inputs = graph_.inputs;
    for (const Value& output : graph_.outputs) result.outputs.push_back(made(output));
    return result;
  }

 private:
  Value make(Op op, Values inputs, Attrs attrs = {}) {
    return interner_.make(op, std::move(inputs), std::move(attrs));
  }

  Value made(const Value& value) { return made(*value.node, static_cast<size_t>(value.index)); }
  Value made(const Node& node, size_t output) {
    if (const auto found = done_.find(&node); found != done_.end()) return found->second[output];
    const bool inside =
        &node == region_.loss || std::any_of(region_.uses.begin(), region_.uses.end(),
                                             [&](const auto& use) { return use.first == &node; });
    if (inside) {
      slice();
      return done_.at(&node)[output];
    }
    Values inputs;
    for (const Value& input : node.inputs()) inputs.push_back(made(input));
    Values& outputs = done_[&node];
    const NodePtr result = node.op() == Op::input_ ? graph_.inputs[index_of(node)]
                                                   : interner_.rebuild(node, std::move(inputs));
    for (int i = 0; i < result->outputs(); ++i) outputs.push_back({result, i});
    return outputs[output];
  }
  static size_t index_of(const Node& input) { return static_cast<size_t>(input.attr_int("index")); }

  Value part(const Value& value, int64_t begin, int64_t end, int dim = 0) {
    const int rank = value.shape().rank();
    Shape starts = Shape::filled(rank, 0), sizes = value.shape();
    starts[dim] = begin;
    sizes[dim] = end - begin;
    return make(Op::slice_, {value}, {starts, sizes, Shape::filled(rank, 1)});
  }

  Value after_all(Value value, const Values& gates) {
    for (const Value& gate : gates)
      value = make_after(value, gate, [this](Op op, Values inputs, Attrs attrs) {
        return make(op, std::move(inputs), std::move(attrs));
      });
    return value;
  }

  Value cast(const Value& value, DType dtype) {
    return value.dtype() == dtype ? value : make(Op::cast_, {value}, {dtype});
  }

  /// The logits of some rows, not before `gates`.
  Value logits(int64_t begin, int64_t end, const Values& gates) {
    Value value;
    for (const Node* node : region_.logits) {
      const LocationScope place(node->location());
      if (node->op() == Op::matmul_)
        value = make(Op::matmul_, {after_all(part(made(node->input(0)), begin, end), gates),
                                   made(node->input(1))});
      else if (node->op() == Op::add_)
        value = make(Op::add_, {value, made(node->input(1))});
      else if (node->op() == Op::cast_)
        value = cast(value, node->type().dtype);
    }
    return value;
  }

  /// What a use makes of the gradient's rows from `begin` to `end`, not before `gates`.
  Value use_of(const Node& node, Use use, const Value& diff, int64_t begin, int64_t end,
               const Values& gates) {
    const LocationScope place(node.location());
    if (use == Use::sum) return make(Op::sum_, {diff}, {Shape{0}, false});
    const Value rows =
        after_all(cast(diff, node.input(use == Use::right_weights ? 1 : 0).dtype()), gates);
    switch (use) {
      case Use::left_weights:
        return make(Op::matmul_, {make(Op::permute_, {rows}, {Shape{1, 0}}),
                                  part(made(node.input(1)), begin, end)});
      case Use::right_weights:
        return make(Op::matmul_, {part(made(node.input(0)), begin, end, 1), rows});
      default: return make(Op::matmul_, {rows, made(node.input(1))});
    }
  }

  void slice() {
    const Node& diff = *region_.diff;
    const int64_t rows = diff.type().shape[0], count = rows / kRows;
    std::vector<Values> parts(region_.uses.size());
    std::vector<Value> sums(region_.uses.size());
    Values losses, lses, gates;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t begin = rows * i / count, end = rows * (i + 1) / count;
      const Value labels = part(made(diff.input(2)), begin, end);
      Value scores, lse, diff_loss = part(made(diff.input(0)), begin, end);
      if (region_.loss) {
        scores = logits(begin, end, gates);
        const LocationScope place(region_.loss->location());
        const NodePtr loss = interner_.rebuild(*region_.loss, {scores, labels});
        losses.push_back({loss, 0});
        lses.push_back(lse = {loss, 1});
      } else {
        scores = part(made(diff.input(1)), begin, end);
        lse = part(made(diff.input(3)), begin, end);
        diff_loss = after_all(diff_loss, gates);
      }
      const LocationScope place(diff.location());
      const Value gradient = {interner_.rebuild(diff, {diff_loss, scores, labels, lse}), 0};
      gates.clear();
      // The rows' gradients, with which the backward pass goes on, come last: what it computes
      // again waits for them, and what is added up would stay in memory meanwhile.
      for (const bool last : {false, true}) {
        const Values before = last ? gates : Values{};
        for (size_t k = 0; k < region_.uses.size(); ++k) {
          const auto& [node, use] = region_.uses[k];
          if ((use == Use::rows) != last) continue;
          const Value value = use_of(*node, use, gradient, begin, end, before);
          if (last)
            parts[k].push_back(value);
          else
            sums[k] = total(sums[k], value);
          gates.push_back(last ? value : sums[k]);
        }
      }
    }
    finish(parts, sums, losses, lses);
  }

  Value total(const Value& sum, const Value& value) {
    const Value wide = is_half(value.dtype()) ? cast(value, DType::f32) : value;
    return sum ? make(Op::add_, {sum, wide}) : wide;
  }

  /// States what the rest of the graph reads.
  void finish(std::vector<Values>& parts, const Values& sums, const Values& losses,
              const Values& lses) {
    for (size_t k = 0; k < region_.uses.size(); ++k) {
      const auto& [node, use] = region_.uses[k];
      const LocationScope place(node->location());
      Value value = use == Use::rows ? make(Op::cat_, std::move(parts[k]), {int64_t{0}})
                                     : cast(sums[k], node->type().dtype);
      if (value.shape() != node->type().shape)
        value = make(Op::reshape_, {value}, {node->type().shape});
      done_[node] = {value};
    }
    if (!region_.loss) return;
    const LocationScope place(region_.loss->location());
    done_[region_.loss] = {make(Op::cat_, losses, {int64_t{0}}),
                           make(Op::cat_, lses, {int64_t{0}})};
  }

  const Graph& graph_;
  const Region& region_;
  Interner& interner_;
  std::unordered_set<const Node*> skipped_;  // of the region, read by nothing else
  std::unordered_map<const Node*, Values> done_;
};

}  // namespace

Graph slice_loss(const Graph& graph, Interner& interner) {
  Graph result = graph;
  while (const std::optional<Region> region = Finder(result).run())
    result = Rebuild(result, *region, interner).run();
  return result;
}

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/null/plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "ds/base/error.h"
#include "ds/ir/cost.h"

namespace ds::null {
namespace {

using Key = std::pair<const Node*, int>;

/// Channels may lie last in the result: those of images do on every backend that is fast.
bool arranges_channels(const Node& node) {
  switch (node.op()) {
    case Op::convolution_:
    case Op::conv_diff_src_:
    case Op::batch_norm_:
    case Op::batch_norm_backward_:
    case Op::group_norm_:
    case Op::group_norm_backward_: return node.type().shape.rank() == 4;
    default: return false;
  }
}

/// Weights as the kernels of convolutions want them: what a step reads, or writes, reordered.
size_t reordered_bytes(const Node& node) {
  switch (node.op()) {
    case Op::convolution_:
    case Op::conv_diff_src_: return type_bytes(node.input(1).type());
    case Op::conv_diff_weights_: return type_bytes(node.type());
    default: return 0;
  }
}

/// The images that a convolution reads, in its forward pass or for the gradient of its weights.
const Value* images_of(const Node& node) {
  if (node.op() != Op::convolution_ && node.op() != Op::conv_diff_weights_) return nullptr;
  return node.type().shape.rank() == 4 ? &node.input(0) : nullptr;
}

/// A product of the sizes behind the channels.
int64_t pixels(const Shape& shape) { return shape[2] * shape[3]; }

bool is_elementwise(const Node& node) {
  return node.op() == Op::fused_ || (node.info().traits & kFusable) != 0;
}

/// Does not compute an output that nothing reads: sums of a norm whose sweep is fused with others.
bool leaves_out(const Node& node) {
  return node.op() == Op::batch_norm_ || node.op() == Op::batch_norm_backward_;
}

/// May write where it reads the value, if it reads it for the last time.
bool writes_over(const Node& node, const Value& input) {
  if (node.op() == Op::index_add_) return input == node.input(0);
  return is_elementwise(node) || node.op() == Op::softmax_cross_entropy_backward_;
}

class Planner {
 public:
  Planner(const Graph& graph, const CompileOptions& options) : graph_(graph), options_(options) {}

  Plan run() {
    for (const NodePtr& node : graph_.topological())
      if (node->op() != Op::input_) plan_.nodes.push_back(node);
    steps_ = static_cast<int>(plan_.nodes.size());
    find_channels_last();
    find_last_reads();
    place_outputs();
    std::vector<Lifetime> lifetimes = reordered_images();
    std::vector<int> takes_over(lifetimes.size(), -1);
    for (int step = 0; step < steps_; ++step) {
      const NodePtr& node = plan_.nodes[static_cast<size_t>(step)];
      DS_ASSERT(node->info().op_class != OpClass::marker, op_name(node->op()),
                " in a graph to run");
      if (shares_memory(*node)) continue;
      for (int i = 0; i < node->outputs(); ++i) {
        const Key key{node.get(), i};
        if (outside_.count(key)) continue;
        const auto last = last_.find(key);
        if (last == last_.end() && leaves_out(*node)) continue;
        takes_over.push_back(taken_by(*node, i, step, lifetimes));
        block_[key] = static_cast<int>(lifetimes.size());
        lifetimes.push_back(
            {type_bytes(node->type(i)), step, last == last_.end() ? step : last->second});
      }
      if (const size_t bytes = reordered_bytes(*node)) {
        takes_over.push_back(-1);
        lifetimes.push_back({bytes, step, step});
      }
    }
    plan_.arena = plan_arena(std::move(lifetimes), takes_over);
    return std::move(plan_);
  }

 private:
  void find_channels_last() {
    for (const NodePtr& node : plan_.nodes) {
      const bool keeps = is_elementwise(*node) || node->info().op_class == OpClass::pool ||
                         node->op() == Op::resample_ || node->op() == Op::resample_backward_;
      const auto same = [&](const Value& input) {
        return channels_last_.count(input.node.get()) > 0 &&
               input.shape().rank() == node->type().shape.rank();
      };
      if (arranges_channels(*node) ||
          (keeps && std::any_of(node->inputs().begin(), node->inputs().end(), same)))
        channels_last_.insert(node.get());
    }
  }

  /// Images that come from outside, with their channels last: from their first use to the last.
  std::vector<Lifetime> reordered_images() const {
    std::vector<Lifetime> lifetimes;
    std::map<Key, size_t> places;
    for (int step = 0; step < steps_; ++step) {
      const Value* images = images_of(*plan_.nodes[static_cast<size_t>(step)]);
      if (!images) continue;
      const Key memory = memory_of(*images);
      const Shape& shape = images->shape();
      if (memory.first->op() != Op::input_ || shape[1] == 1 || pixels(shape) == 1) continue;
      const auto [place, first] = places.try_emplace(memory, lifetimes.size());
      if (first) lifetimes.push_back({type_bytes(images->type()), step, step});
      lifetimes[place->second].last = step;
    }
    return lifetimes;
  }

  /// The node computes nothing. Images become rows by a copy.
  bool shares_memory(const Node& node) const {
    const bool flattens = node.op() == Op::reshape_ &&
                          channels_last_.count(node.input(0).node.get()) > 0 &&
                          pixels(node.input(0).shape()) > 1;
    return is_view(node) && !flattens;
  }

  /// The value whose memory holds `value`.
  Key memory_of(Value value) const {
    while (shares_memory(*value.node) && !value.node->inputs().empty())
      value = Value(value.node->input(0));
    return {value.node.get(), value.index};
  }

  /// The block that output `i` of the node is written over: an input as large that is read for the
  /// last time. -1 for none.
  int taken_by(const Node& node, int i, int step, const std::vector<Lifetime>& lifetimes) {
    for (const Value& input : node.inputs()) {
      if (!writes_over(node, input)) continue;
      const auto block = block_.find(memory_of(input));
      if (block == block_.end() || taken_.count(block->second) || !lie_alike(input, node)) continue;
      const Lifetime& life = lifetimes[static_cast<size_t>(block->second)];
      if (life.last != step || life.bytes != type_bytes(node.type(i))) continue;
      taken_.insert(block->second);
      return block->second;
    }
    return -1;
  }

  bool lie_alike(const Value& input, const Node& node) const {
    return channels_last_.count(input.node.get()) == channels_last_.count(&node);
  }

  void find_last_reads() {
    for (int step = 0; step < steps_; ++step)
      for (const Value& input : plan_.nodes[static_cast<size_t>(step)]->inputs())
        last_[memory_of(input)] = step;
  }

  /// An output is written where it is to end, unless the memory it takes over is still read then:
  /// it waits in the arena until all is done.
  void place_outputs() {
    std::map<size_t, const Node*> donors;
    for (const auto& [output, input] : options_.donations)
      donors[static_cast<size_t>(output)] = graph_.inputs[static_cast<size_t>(input)].get();
    std::map<const Node*, int> step_of;
    for (int step = 0; step < steps_; ++step)
      step_of[plan_.nodes[static_cast<size_t>(step)].get()] = step;
    for (size_t i = 0; i < graph_.outputs.size(); ++i) {
      const Key key = memory_of(graph_.outputs[i]);
      const auto donor = donors.find(i);
      const auto read = donor == donors.end() ? last_.end() : last_.find({donor->second, 0});
      const int written = step_of.count(key.first) ? step_of.at(key.first) : -1;
      const bool in_place = read == last_.end() || read->second < written ||
                            (read->second == written && is_elementwise(*key.first));
      if (!in_place)
        last_[key] = steps_;
      else if (outside_.insert(key).second && donor == donors.end())
        write_early(key, step_of);
    }
  }

  /// What an output is written over lies there too, as far back as that goes.
  void write_early(Key key, const std::map<const Node*, int>& step_of) {
    for (bool found = true; found;) {
      found = false;
      const Node& node = *key.first;
      for (const Value& input : node.inputs()) {
        const Key memory = memory_of(input);
        if (!writes_over(node, input) || !lie_alike(input, node) || !step_of.count(memory.first) ||
            last_.at(memory) != step_of.at(&node) ||
            type_bytes(memory.first->type(memory.second)) != type_bytes(node.type(key.second)) ||
            !outside_.insert(memory).second)
          continue;
        key = memory;
        found = true;
        break;
      }
    }
  }

  const Graph& graph_;
  const CompileOptions& options_;
  int steps_ = 0;
  std::set<const Node*> channels_last_;
  std::map<Key, int> last_;   // step that reads a value's memory last
  std::set<Key> outside_;     // the arena
  std::map<Key, int> block_;  // number of a value's block in the arena
  std::set<int> taken_;       // blocks that are written over
  Plan plan_;
};

}  // namespace

Plan plan_memory(const Graph& graph, const CompileOptions& options) {
  return Planner(graph, options).run();
}

}  // namespace ds::null

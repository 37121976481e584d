// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/null/plan.h"

#include <map>
#include <set>

#include "ds/base/error.h"
#include "ds/ir/cost.h"

namespace ds::null {
namespace {

using Key = std::pair<const Node*, int>;

bool is_elementwise(const Node& node) {
  return node.op() == Op::fused_ || (node.info().traits & kFusable) != 0;
}

class Planner {
 public:
  Planner(const Graph& graph, const CompileOptions& options) : graph_(graph), options_(options) {}

  Plan run() {
    for (const NodePtr& node : graph_.topological())
      if (node->op() != Op::input_) plan_.nodes.push_back(node);
    steps_ = static_cast<int>(plan_.nodes.size());
    find_last_reads();
    place_outputs();
    std::vector<Lifetime> lifetimes;
    for (int step = 0; step < steps_; ++step) {
      const NodePtr& node = plan_.nodes[static_cast<size_t>(step)];
      DS_ASSERT(node->info().op_class != OpClass::marker, op_name(node->op()),
                " in a graph to run");
      if (is_view(*node)) continue;
      for (int i = 0; i < node->outputs(); ++i) {
        const Key key{node.get(), i};
        if (outside_.count(key)) continue;
        const auto last = last_.find(key);
        lifetimes.push_back(
            {type_bytes(node->type(i)), step, last == last_.end() ? step : last->second});
      }
    }
    ArenaPlan offsets = plan_arena(lifetimes);
    plan_.arena = {std::move(lifetimes), std::move(offsets)};
    return std::move(plan_);
  }

 private:
  /// The value whose memory holds `value`.
  static Key memory_of(Value value) {
    while (is_view(*value.node) && !value.node->inputs().empty())
      value = Value(value.node->input(0));
    return {value.node.get(), value.index};
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
      if (in_place)
        outside_.insert(key);
      else
        last_[key] = steps_;
    }
  }

  const Graph& graph_;
  const CompileOptions& options_;
  int steps_ = 0;
  std::map<Key, int> last_;  // step that reads a value's memory last
  std::set<Key> outside_;    // the arena
  Plan plan_;
};

}  // namespace

Plan plan_memory(const Graph& graph, const CompileOptions& options) {
  return Planner(graph, options).run();
}

}  // namespace ds::null

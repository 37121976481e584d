// SPDX-License-Identifier: Apache-2.0
#include "ds/runtime/node_plan.h"

#include "ds/base/error.h"

namespace ds {
namespace {

/// A block of the arena and who gets its offset.
struct Blocks {
  std::vector<Lifetime> lifetimes;
  std::vector<Place*> owners;

  void add(size_t bytes, int first, int last, Place* owner) {
    lifetimes.push_back({bytes, first, last});
    owners.push_back(owner);
  }
};

class Planner {
 public:
  Planner(const Graph& graph, const CompileOptions& options) : graph_(graph) {
    takes_over_.resize(graph.outputs.size(), false);
    taken_.resize(graph.inputs.size(), false);
    for (const auto& [output, input] : options.donations) {
      takes_over_[static_cast<size_t>(output)] = true;
      taken_[static_cast<size_t>(input)] = true;
    }
  }

  NodePlan run() {
    for (size_t i = 0; i < graph_.inputs.size(); ++i)
      plan_.places[graph_.inputs[i].get()] = {{Place::Kind::input, i, 0}};
    for (const NodePtr& node : graph_.topological()) {
      if (node->op() == Op::input_) continue;
      DS_ASSERT(node->info().op_class != OpClass::marker, op_name(node->op()),
                " in a graph to run");
      plan_.nodes.push_back(node);
      plan_.places[node.get()].resize(static_cast<size_t>(node->outputs()));
    }
    const int steps = static_cast<int>(plan_.nodes.size());
    place_outputs();
    place_temporaries(steps);
    // References into the map stay valid; the moves are made last, when their list is complete.
    stage_moves(steps);
    plan_.arena = {blocks_.lifetimes, plan_arena(blocks_.lifetimes)};
    for (size_t i = 0; i < blocks_.owners.size(); ++i)
      blocks_.owners[i]->offset = plan_.arena.plan.offsets[i];
    finish_moves();
    return std::move(plan_);
  }

 private:
  Place& place_of(const Value& value) {
    return plan_.places.at(value.node.get())[static_cast<size_t>(value.index)];
  }

  /// The first graph output that a node's output is, unless that one takes over an input.
  void place_outputs() {
    for (size_t i = 0; i < graph_.outputs.size(); ++i) {
      Place& place = place_of(graph_.outputs[i]);
      if (place.kind == Place::Kind::arena && !takes_over_[i]) place = {Place::Kind::output, i, 0};
    }
  }

  void place_temporaries(int steps) {
    std::unordered_map<const Node*, std::vector<int>> last;
    for (int s = 0; s < steps; ++s) {
      const Node* node = plan_.nodes[static_cast<size_t>(s)].get();
      last[node].assign(static_cast<size_t>(node->outputs()), s);
      for (const Value& input : node->inputs())
        if (input.node->op() != Op::input_)
          last.at(input.node.get())[static_cast<size_t>(input.index)] = s;
    }
    for (const Value& output : graph_.outputs)
      if (output.node->op() != Op::input_)
        last.at(output.node.get())[static_cast<size_t>(output.index)] = steps;
    for (int s = 0; s < steps; ++s) {
      const Node* node = plan_.nodes[static_cast<size_t>(s)].get();
      for (int o = 0; o < node->outputs(); ++o) {
        Place& place = plan_.places.at(node)[static_cast<size_t>(o)];
        if (place.kind != Place::Kind::arena) continue;
        blocks_.add(type_bytes(node->type(o)), s, last.at(node)[static_cast<size_t>(o)], &place);
      }
    }
  }

  /// Inputs that are outputs and whose memory another output takes over are saved first.
  void stage_moves(int steps) {
    staged_.resize(graph_.outputs.size());
    for (size_t i = 0; i < graph_.outputs.size(); ++i) {
      const Place& from = place_of(graph_.outputs[i]);
      if (from.kind != Place::Kind::input || !taken_[from.index]) continue;
      blocks_.add(type_bytes(graph_.outputs[i].type()), steps, steps, &staged_[i]);
    }
  }

  void finish_moves() {
    std::vector<NodePlan::Move> last;
    for (size_t i = 0; i < graph_.outputs.size(); ++i) {
      const Place from = place_of(graph_.outputs[i]);
      const Place to{Place::Kind::output, i, 0};
      const size_t bytes = type_bytes(graph_.outputs[i].type());
      if (from.kind == Place::Kind::output && from.index == i) continue;
      const bool staged = from.kind == Place::Kind::input && taken_[from.index];
      if (staged) plan_.moves.push_back({from, staged_[i], bytes});
      last.push_back({staged ? staged_[i] : from, to, bytes});
    }
    plan_.moves.insert(plan_.moves.end(), last.begin(), last.end());
  }

  const Graph& graph_;
  std::vector<bool> takes_over_;  // per output
  std::vector<bool> taken_;       // per input
  std::vector<Place> staged_;     // per output
  Blocks blocks_;
  NodePlan plan_;
};

}  // namespace

NodePlan plan_nodes(const Graph& graph, const CompileOptions& options) {
  return Planner(graph, options).run();
}

}  // namespace ds

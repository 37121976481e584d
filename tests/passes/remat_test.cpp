// SPDX-License-Identifier: Apache-2.0
// Recomputation: what is computed again, from what, and after what.
#include "ds/passes/remat.h"

#include <doctest/doctest.h>

#include <string>

#include "ds/ir/graph.h"
#include "ds/ir/phase.h"

namespace ds {
namespace {

/// `depth` layers h = relu(h w) and the gradient of their weights, the last layer's first.
Graph network(Interner& interner, int depth, int64_t width = 32) {
  Graph graph;
  const auto input = [&](const Shape& shape) {
    const auto index = static_cast<int64_t>(graph.inputs.size());
    graph.inputs.push_back(interner.node(Op::input_, {}, {index, DType::f32, shape}));
    return Value{graph.inputs.back(), 0};
  };
  const auto turned = [&](const Value& x) {
    return interner.make(Op::permute_, {x}, {Shape{1, 0}});
  };
  Value h = input({64, width}), grad = input({64, width});
  Values weights, hidden{h}, sums;
  for (int i = 0; i < depth; ++i) {
    weights.push_back(input({width, width}));
    sums.push_back(interner.make(Op::matmul_, {h, weights.back()}));
    hidden.push_back(h = interner.make(Op::relu_, {sums.back()}));
  }
  graph.outputs.push_back(interner.make(Op::sum_, {h}, {Shape{0, 1}, false}));
  const LocationScope place(backward_place(0));
  const Value zero = interner.make(Op::constant_, {}, {0.0, DType::f32});
  for (size_t i = static_cast<size_t>(depth); i-- > 0;) {
    const Value mask = interner.make(Op::gt_, {hidden[i + 1], zero});
    grad = interner.make(Op::where_, {mask, grad, zero});
    graph.outputs.push_back(interner.make(Op::matmul_, {turned(hidden[i]), grad}));
    grad = interner.make(Op::matmul_, {grad, turned(weights[i])});
  }
  graph.outputs.push_back(grad);
  return graph;
}

size_t count(const Graph& graph, Op op) {
  size_t found = 0;
  for (const NodePtr& node : graph.topological()) found += node->op() == op ? 1 : 0;
  return found;
}

/// Values of the forward pass that the backward pass reads.
size_t kept(const Graph& graph) {
  size_t found = 0;
  for (const NodePtr& node : graph.topological()) {
    if (in_backward(*node) || node->info().op_class == OpClass::source) continue;
    bool read = false;
    for (const NodePtr& reader : graph.topological())
      for (const Value& input : reader->inputs())
        read = read || (in_backward(*reader) && input.node == node);
    found += read ? 1 : 0;
  }
  return found;
}

TEST_CASE("sweeps are computed again from what is kept anyway") {
  // Here the ReLU's input is not kept, so computing its output again saves nothing.
  Interner interner;
  const Graph plain = network(interner, 6);
  CHECK(print_graph(rematerialize(plain, 0, interner)) == print_graph(plain));
  CHECK(count(rematerialize(plain, 1, interner), Op::relu_) == 6);
}

TEST_CASE("segments are computed again, late") {
  Interner interner;
  const Graph plain = network(interner, 32);
  const size_t all = kept(plain);
  CHECK(all == 32);
  for (int level = 2; level <= kMaxRematLevel; ++level) {
    const Graph graph = rematerialize(plain, level, interner);
    verify_graph(graph);
    CHECK(kept(graph) <= all);
  }
  const Graph graph = rematerialize(plain, kMaxRematLevel, interner);
  verify_graph(graph);
  CHECK(kept(graph) <= all / 2);
  CHECK(count(graph, Op::relu_) > count(plain, Op::relu_));
  CHECK(count(graph, Op::relu_) <= 2 * count(plain, Op::relu_));
  CHECK(graph.outputs.size() == plain.outputs.size());
  // A copy waits for a gradient: in the order of running it comes after the backward pass begins.
  bool backward = false;
  for (const NodePtr& node : graph.topological()) {
    backward = backward || node->op() == Op::where_;
    if (node->op() == Op::relu_ && in_backward(*node)) CHECK(backward);
  }
}

TEST_CASE("products that are dear for their size stay where cheap ones are computed again") {
  // A product of this width takes 256 operations for each byte.
  Interner interner;
  const Graph plain = network(interner, 32, 512);
  const size_t products = count(plain, Op::matmul_);
  bool stay = false, again = false;
  for (int level = 2; level <= kMaxRematLevel; ++level) {
    const Graph graph = rematerialize(plain, level, interner);
    stay = stay || count(graph, Op::matmul_) == products;
    again = again || count(graph, Op::matmul_) > products;
    CHECK(count(graph, Op::matmul_) <= products + 32);
  }
  CHECK(stay);
  CHECK(again);
}

TEST_CASE("a graph without a backward pass stays as it is") {
  Interner interner;
  Graph graph = network(interner, 4);
  graph.outputs.resize(1);
  CHECK(print_graph(rematerialize(graph, kMaxRematLevel, interner)) == print_graph(graph));
}

}  // namespace
}  // namespace ds

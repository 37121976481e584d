// SPDX-License-Identifier: Apache-2.0
// Recomputation: what is computed again, from what, and after what.
#include "ds/passes/remat.h"

#include <doctest/doctest.h>

#include <vector>

#include "ds/ir/graph.h"
#include "ds/ir/phase.h"

namespace ds {
namespace {

/// Layers h = relu(h w) between the widths, and the gradient of their weights, the last one's
/// first.
Graph network(Interner& interner, const std::vector<int64_t>& widths) {
  Graph graph;
  const auto input = [&](const Shape& shape) {
    const auto index = static_cast<int64_t>(graph.inputs.size());
    graph.inputs.push_back(interner.node(Op::input_, {}, {index, DType::f32, shape}));
    return Value{graph.inputs.back(), 0};
  };
  const auto turned = [&](const Value& x) {
    return interner.make(Op::permute_, {x}, {Shape{1, 0}});
  };
  Value h = input({64, widths.front()}), grad = input({64, widths.back()});
  Values weights, hidden{h};
  for (size_t i = 1; i < widths.size(); ++i) {
    weights.push_back(input({widths[i - 1], widths[i]}));
    hidden.push_back(
        h = interner.make(Op::relu_, {interner.make(Op::matmul_, {h, weights.back()})}));
  }
  graph.outputs.push_back(interner.make(Op::sum_, {h}, {Shape{0, 1}, false}));
  const LocationScope place(backward_place(0));
  const Value zero = interner.make(Op::constant_, {}, {0.0, DType::f32});
  for (size_t i = weights.size(); i-- > 0;) {
    const Value mask = interner.make(Op::gt_, {hidden[i + 1], zero});
    grad = interner.make(Op::where_, {mask, grad, zero});
    graph.outputs.push_back(interner.make(Op::matmul_, {turned(hidden[i]), grad}));
    grad = interner.make(Op::matmul_, {grad, turned(weights[i])});
  }
  graph.outputs.push_back(grad);
  return graph;
}

Graph network(Interner& interner, size_t depth) {
  return network(interner, std::vector<int64_t>(depth + 1, 32));
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

Graph rematerialized(const Graph& graph, int level, Interner& interner) {
  return Rematerializer(graph).run(level, interner);
}

TEST_CASE("a level is the same whatever was planned before") {
  Interner interner;
  const Graph plain = network(interner, 12);
  const Rematerializer all(plain);
  for (int level = kMaxRematLevel; level >= 0; --level) {
    Interner fresh = interner;
    CHECK(print_graph(all.run(level, interner)) ==
          print_graph(rematerialized(plain, level, fresh)));
  }
}

TEST_CASE("sweeps are computed again from what is kept anyway") {
  // Here the ReLU's input is not kept, so computing its output again saves nothing.
  Interner interner;
  const Graph plain = network(interner, 6);
  CHECK(print_graph(rematerialized(plain, 0, interner)) == print_graph(plain));
  CHECK(count(rematerialized(plain, 1, interner), Op::relu_) == 6);
}

TEST_CASE("segments are computed again, late") {
  Interner interner;
  const Graph plain = network(interner, 32);
  const size_t all = kept(plain);
  CHECK(all == 32);
  for (int level = 2; level <= kMaxRematLevel; ++level) {
    const Graph graph = rematerialized(plain, level, interner);
    verify_graph(graph);
    CHECK(kept(graph) <= all);
  }
  const Graph graph = rematerialized(plain, kMaxRematLevel, interner);
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

TEST_CASE("higher levels compute more again and keep less") {
  Interner interner;
  const Graph plain = network(interner, 32);
  size_t products = count(plain, Op::matmul_), left = kept(plain);
  for (int level = 2; level <= kMaxRematLevel; ++level) {
    const Graph graph = rematerialized(plain, level, interner);
    CHECK(count(graph, Op::matmul_) >= products);
    CHECK(kept(graph) <= left);
    products = count(graph, Op::matmul_);
    left = kept(graph);
  }
  CHECK(products > count(plain, Op::matmul_));
}

TEST_CASE("what is cheap for its size is computed again first") {
  // Products into 16 columns take 256 operations for each byte and write little, those into 512
  // columns 8 operations and 32 times as much.
  std::vector<int64_t> widths;
  for (int i = 0; i < 16; ++i) {
    widths.push_back(512);
    widths.push_back(16);
  }
  Interner interner;
  const Graph plain = network(interner, widths);
  const auto products_into = [](const Graph& graph, int64_t columns) {
    size_t found = 0;
    for (const NodePtr& node : graph.topological())
      found += node->op() == Op::matmul_ && node->type().shape == Shape{64, columns} ? 1 : 0;
    return found;
  };
  const Graph graph = rematerialized(plain, 10, interner);
  CHECK(products_into(graph, 512) >= products_into(plain, 512) + 10);
  CHECK(products_into(graph, 16) == products_into(plain, 16));
}

TEST_CASE("a graph without a backward pass stays as it is") {
  Interner interner;
  Graph graph = network(interner, 4);
  graph.outputs.resize(1);
  CHECK(print_graph(rematerialized(graph, kMaxRematLevel, interner)) == print_graph(graph));
}

}  // namespace
}  // namespace ds

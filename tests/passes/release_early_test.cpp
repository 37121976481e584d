// SPDX-License-Identifier: Apache-2.0
// The order in which large values are read for the last time.
#include "ds/passes/release_early.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "ds/ir/graph.h"

namespace ds {
namespace {

/// A chain of products from a large value, whose transpose joins a product at the end.
Graph tied(Interner& interner, int64_t rows, int depth) {
  Graph graph;
  const auto input = [&](const Shape& shape) {
    const auto index = static_cast<int64_t>(graph.inputs.size());
    graph.inputs.push_back(interner.node(Op::input_, {}, {index, DType::f32, shape}));
    return Value{graph.inputs.back(), 0};
  };
  const Value narrow = input({64, 32}), head = input({32, rows}), back = input({rows, 32});
  const Value large = interner.make(Op::exp_, {interner.make(Op::matmul_, {narrow, head})});
  Value h = interner.make(Op::matmul_, {large, back});
  for (int i = 0; i < depth; ++i)
    h = interner.make(Op::relu_, {interner.make(Op::matmul_, {h, input({32, 32})})});
  const Value turned = interner.make(Op::permute_, {narrow}, {Shape{1, 0}});
  const Value sum = interner.make(Op::sum_, {h}, {Shape{0, 1}, false});
  graph.outputs = {interner.make(Op::add_, {sum, interner.make(Op::matmul_, {turned, large})})};
  return graph;
}

int position(const Graph& graph, const Shape& shape) {
  const std::vector<NodePtr> order = graph.topological();
  for (size_t i = 0; i < order.size(); ++i)
    if (order[i]->op() == Op::matmul_ && order[i]->type().shape == shape)
      return static_cast<int>(i);
  return -1;
}

TEST_CASE("the last product that reads a large value does not wait for the end") {
  Interner interner;
  const Graph graph = tied(interner, 1 << 14, 12);
  const Graph early = release_early(graph, interner);
  verify_graph(early);
  const Shape weights{32, 1 << 14};
  CHECK(position(graph, weights) > static_cast<int>(graph.topological().size()) - 4);
  CHECK(position(early, weights) < static_cast<int>(early.topological().size()) / 2);
  const auto relus = [](const Graph& g) {
    const auto order = g.topological();
    return std::count_if(order.begin(), order.end(),
                         [](const NodePtr& node) { return node->op() == Op::relu_; });
  };
  CHECK(relus(early) == relus(graph));
}

TEST_CASE("small values and short waits keep their order") {
  Interner interner;
  for (const Graph& graph : {tied(interner, 64, 12), tied(interner, 1 << 14, 1)})
    CHECK(print_graph(release_early(graph, interner)) == print_graph(graph));
}

}  // namespace
}  // namespace ds

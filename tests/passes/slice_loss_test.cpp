// SPDX-License-Identifier: Apache-2.0
// Which part of a graph with a cross entropy is computed in slices.
#include "ds/passes/slice_loss.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "ds/ir/graph.h"

namespace ds {
namespace {

constexpr int64_t kRows = 1600, kWidth = 4, kClasses = 20000;

/// A head with its loss, and the gradients of its input and weight.
Graph head(Interner& interner, bool loss_in_gradient, bool logits_wanted, bool gradient_wanted) {
  Graph graph;
  const auto input = [&](DType dtype, const Shape& shape) {
    const auto index = static_cast<int64_t>(graph.inputs.size());
    graph.inputs.push_back(interner.node(Op::input_, {}, {index, dtype, shape}));
    return Value{graph.inputs.back(), 0};
  };
  const auto turned = [&](const Value& x) {
    return interner.make(Op::permute_, {x}, {Shape{1, 0}});
  };
  const Value x = input(DType::f32, {kRows, kWidth}), w = input(DType::f32, {kClasses, kWidth});
  const Value labels = input(DType::i64, {kRows}), seed = input(DType::f32, {kRows});
  const Value logits = interner.make(Op::matmul_, {x, turned(w)});
  const Attrs attrs{int64_t{-100}, 0.0};
  const NodePtr loss = interner.node(Op::softmax_cross_entropy_, {logits, labels}, attrs);
  const Value diff_loss = loss_in_gradient ? interner.make(Op::mul_, {seed, Value{loss, 0}}) : seed;
  const Value diff = interner.make(Op::softmax_cross_entropy_backward_,
                                   {diff_loss, logits, labels, Value{loss, 1}}, attrs);
  graph.outputs = {Value{loss, 0}, interner.make(Op::matmul_, {diff, w}),
                   interner.make(Op::matmul_, {turned(diff), x})};
  if (logits_wanted) graph.outputs.push_back(logits);
  if (gradient_wanted) graph.outputs.push_back(interner.make(Op::abs_, {diff}));
  return graph;
}

/// Rows of the largest value of each op.
int64_t rows(const Graph& graph, Op op) {
  int64_t most = 0;
  for (const NodePtr& node : graph.topological())
    if (node->op() == op && node->type().shape.back() == kClasses)
      most = std::max(most, node->type().shape[0]);
  return most;
}

TEST_CASE("logits and their gradient exist for some rows at a time") {
  Interner interner;
  const Graph graph = head(interner, false, false, false);
  const Graph sliced = slice_loss(graph, interner);
  verify_graph(sliced);
  CHECK(rows(graph, Op::matmul_) == kRows);
  CHECK(rows(sliced, Op::matmul_) == 534);
  CHECK(rows(sliced, Op::softmax_cross_entropy_backward_) == 534);
  for (size_t i = 0; i < graph.outputs.size(); ++i)
    CHECK(sliced.outputs[i].type() == graph.outputs[i].type());
  CHECK(print_graph(slice_loss(sliced, interner)) == print_graph(sliced));
}

TEST_CASE("logits stay whole when something else needs them") {
  for (const bool wanted : {true, false}) {
    Interner interner;
    const Graph sliced = slice_loss(head(interner, !wanted, wanted, false), interner);
    verify_graph(sliced);
    CHECK(rows(sliced, Op::matmul_) == kRows);
    CHECK(rows(sliced, Op::softmax_cross_entropy_backward_) == 534);
  }
}

TEST_CASE("nothing is sliced when something else reads the gradient") {
  Interner interner;
  const Graph graph = head(interner, false, false, true);
  CHECK(print_graph(slice_loss(graph, interner)) == print_graph(graph));
}

TEST_CASE("a slice waits for the one before it") {
  Interner interner;
  const Graph sliced = slice_loss(head(interner, false, false, false), interner);
  int open = 0;  // gradients of logits that a product still has to read
  for (const NodePtr& node : sliced.topological()) {
    if (node->op() == Op::softmax_cross_entropy_backward_) open += 2;
    if (node->op() == Op::matmul_ && node->type().shape.back() == kWidth) --open;
    CHECK(open <= 2);
  }
  CHECK(open == 0);
}

}  // namespace
}  // namespace ds

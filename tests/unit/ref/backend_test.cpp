// SPDX-License-Identifier: Apache-2.0
// The ref and null backends run whole graphs: arena, donations, outputs that are inputs, fusion.
#include "ds/runtime/backend.h"

#include "ds/base/error.h"
#include "testing.h"

namespace ds::ref {
namespace {

Value graph_input(Graph& graph, Interner& interner, DType dtype, const Shape& shape) {
  const auto index = static_cast<int64_t>(graph.inputs.size());
  graph.inputs.push_back(interner.node(Op::input_, {}, {index, dtype, shape}));
  return {graph.inputs.back(), 0};
}

struct Run {
  std::unique_ptr<Executable> executable;
  RunContext context;

  Run(const char* device, const Graph& graph, const CompileOptions& options = {})
      : executable(backend_of(parse_device(device)).compile(graph, options)),
        memory_(backend_of(parse_device(device)).alloc(executable->arena_bytes())) {
    context.arena = memory_.get();
  }
  void operator()(std::vector<const void*> inputs, std::vector<void*> outputs) {
    executable->run(inputs, outputs, context);
  }

 private:
  std::shared_ptr<void> memory_;
};

TEST_CASE("a graph runs node by node") {
  Graph graph;
  Interner interner;
  const Value x = graph_input(graph, interner, DType::f32, {3});
  const Value y = interner.make(Op::exp_, {x});
  const Value z = interner.make(Op::mul_, {y, y});
  graph.outputs = {interner.make(Op::add_, {z, x}), y, y, x};
  Run run("ref", graph);
  const float in[] = {0, 1, -1};
  float sum[3], exp[3], again[3], same[3];
  run({in}, {sum, exp, again, same});
  for (int i = 0; i < 3; ++i) {
    CHECK(exp[i] == static_cast<float>(std::exp(static_cast<double>(in[i]))));
    CHECK(again[i] == exp[i]);
    CHECK(same[i] == in[i]);
    CHECK(sum[i] == doctest::Approx(exp[i] * exp[i] + in[i]));
  }
  REQUIRE(run.executable->steps().size() == 3);
  CHECK(run.executable->steps()[0].kernel == "ref:exp");
  // Only z is a temporary: y is computed in place of its output.
  CHECK(run.executable->arena_bytes() == 64);
}

TEST_CASE("outputs may take over inputs, crosswise and in swaps") {
  Graph graph;
  Interner interner;
  const Value a = graph_input(graph, interner, DType::f64, {2});
  const Value b = graph_input(graph, interner, DType::f64, {2});
  const Value sum = interner.make(Op::add_, {a, b});
  const Value product = interner.make(Op::mul_, {a, b});
  CompileOptions options;
  options.donations = {{0, 0}, {1, 1}};
  SUBCASE("each is read by the other") {
    graph.outputs = {sum, product};
    double x[] = {1, 2}, y[] = {10, 20};
    Run("ref", graph, options)({x, y}, {x, y});
    CHECK(x[1] == 22);
    CHECK(y[1] == 40);
  }
  SUBCASE("swapped") {
    graph.outputs = {b, a};
    double x[] = {1, 2}, y[] = {10, 20};
    Run("ref", graph, options)({x, y}, {x, y});
    CHECK(x[0] == 10);
    CHECK(y[0] == 1);
  }
  SUBCASE("kept") {
    graph.outputs = {a, sum};
    double x[] = {1, 2}, y[] = {10, 20};
    Run("ref", graph, options)({x, y}, {x, y});
    CHECK(x[0] == 1);
    CHECK(y[1] == 22);
  }
}

TEST_CASE("several outputs of one node") {
  Graph graph;
  Interner interner;
  const Value x = graph_input(graph, interner, DType::f32, {4});
  const NodePtr sorted = interner.node(Op::sort_, {x}, {int64_t{0}, true});
  graph.outputs = {{sorted, 1}};  // the values go to the arena
  Run run("ref", graph);
  const float in[] = {3, 9, 1, 5};
  int64_t order[4];
  run({in}, {order});
  CHECK(order[0] == 1);
  CHECK(order[3] == 2);
}

TEST_CASE("a fused node computes what its body does") {
  Interner inside;
  auto body = std::make_shared<Graph>();
  const Value p = graph_input(*body, inside, DType::f32, {2, 2});
  const Value q = graph_input(*body, inside, DType::f32, {2});
  const Value s = inside.make(Op::add_, {p, q});
  body->outputs = {inside.make(Op::relu_, {s}), s};
  Graph graph;
  Interner interner;
  const Value x = graph_input(graph, interner, DType::f32, {2, 2});
  const Value y = graph_input(graph, interner, DType::f32, {2});
  const NodePtr fused = interner.fused({x, y}, body);
  graph.outputs = {{fused, 0}, {fused, 1}};
  Run run("ref", graph);
  const float in[] = {1, -2, -3, 4}, bias[] = {1, 1};
  float out[4], plain[4];
  run({in, bias}, {out, plain});
  CHECK(std::vector<float>(out, out + 4) == std::vector<float>{2, 0, 0, 5});
  CHECK(std::vector<float>(plain, plain + 4) == std::vector<float>{2, -1, -2, 5});
}

TEST_CASE("an error while running names its node") {
  Graph graph;
  Interner interner;
  const Value x = graph_input(graph, interner, DType::f32, {3});
  const Value index = graph_input(graph, interner, DType::i64, {1});
  const Value picked = interner.make(Op::index_select_, {x, index}, {int64_t{0}});
  graph.outputs = {interner.make(Op::neg_, {picked})};
  Run run("ref", graph);
  const float in[3] = {};
  const int64_t bad[] = {3};
  float out[1];
  CHECK_THROWS_AS(run({in, bad}, {out}), IndexError);
  CHECK(run.context.node == picked.node.get());
}

TEST_CASE("steps are timed when asked") {
  Graph graph;
  Interner interner;
  const Value x = graph_input(graph, interner, DType::f32, {1000});
  graph.outputs = {interner.make(Op::erf_, {x})};
  Run run("ref", graph);
  std::vector<double> seconds(1);
  run.context.step_seconds = &seconds;
  const std::vector<float> in(1000);
  std::vector<float> out(1000);
  run({in.data()}, {out.data()});
  CHECK(seconds[0] > 0);
}

TEST_CASE("the null backend plans terabytes and computes nothing") {
  Graph graph;
  Interner interner;
  const Value x = graph_input(graph, interner, DType::f32, {1 << 20, 1 << 18});
  const Value y = interner.make(Op::exp_, {x});
  const Value z = interner.make(Op::sin_, {y});
  graph.outputs = {interner.make(Op::sum_, {z}, {Shape{0, 1}, false})};
  Run run("null", graph);
  CHECK(run.executable->arena_bytes() == size_t{1} << 40);
  CHECK(run.executable->steps().size() == 3);
  float out = 5;
  run({nullptr}, {&out});
  CHECK(out == 5);
}

TEST_CASE("the null backend plans views and updates in place without memory") {
  Graph graph;
  Interner interner;
  const Value w = graph_input(graph, interner, DType::f32, {32, 32});
  const Value g = graph_input(graph, interner, DType::f32, {32, 32});
  const Value turned = interner.make(Op::permute_, {g}, {Shape{1, 0}});
  const Value next = interner.make(Op::sub_, {w, turned});
  graph.outputs = {next};
  CompileOptions options;
  options.donations = {{0, 0}};
  CHECK(Run("null", graph, options).executable->arena_bytes() == 0);
  // A later reader of the old value makes the new one wait in the arena.
  graph.outputs = {
      next, interner.make(Op::sum_, {interner.make(Op::mul_, {w, next})}, {Shape{0, 1}, false})};
  CHECK(Run("null", graph, options).executable->arena_bytes() == 2 * 32 * 32 * 4);
  // So does a step that does not go element by element.
  graph.outputs = {interner.make(Op::matmul_, {w, w})};
  CHECK(Run("null", graph, options).executable->arena_bytes() == 32 * 32 * 4);
}

}  // namespace
}  // namespace ds::ref

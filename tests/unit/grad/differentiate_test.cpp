// SPDX-License-Identifier: Apache-2.0
// The walk of differentiate(): markers, targets, accumulation. What rules compute is tested in
// tests/ops/gradient_test.cpp.
#include "ds/grad/differentiate.h"

#include <doctest/doctest.h>

#include <string>

#include "ds/base/error.h"
#include "ds/grad/rules.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

Value input(int64_t index, const Shape& shape) {
  return make(Op::input_, {}, {index, DType::f32, shape});
}
Value variable(int64_t id, const Shape& shape = {3}) {
  return make(Op::variable_, {input(id, shape)}, {id});
}
Value total(const Value& x) {
  Shape dims;
  for (int i = 0; i < x.shape().rank(); ++i) dims.push_back(i);
  return make_sum(x, dims, false);
}
Value hook(const Value& x, int64_t id) { return make(Op::hook_, {x}, {id}); }

/// The expression of a value as text: mul(expand(constant),input0).
std::string text(const Value& value) {
  std::string result(op_name(value.node->op()));
  if (value.node->op() == Op::input_ || value.node->op() == Op::variable_)
    return result + std::to_string(std::get<int64_t>(value.node->attrs()[0]));
  std::string inner;
  for (const Value& input : value.node->inputs()) inner += (inner.empty() ? "" : ",") + text(input);
  return inner.empty() ? result : result + "(" + inner + ")";
}

DifferentiateOptions keep_graph() {
  DifferentiateOptions options;
  options.create_graph = true;
  return options;
}

TEST_CASE("every differentiable op has a rule and no other has one") {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    const bool expected = !op_info(op).has(kNoGrad) && op_info(op).op_class != OpClass::marker;
    INFO(op_name(op));
    CHECK((grad_entry(op) != nullptr) == expected);
  }
}

TEST_CASE("the saved masks name existing inputs and outputs") {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    const GradEntry* entry = grad_entry(op);
    if (!entry) continue;
    INFO(op_name(op));
    if (op_info(op).max_inputs < 32) CHECK((entry->saved_inputs >> op_info(op).max_inputs) == 0);
    CHECK((entry->saved_outputs >> op_info(op).outputs) == 0);
  }
}

TEST_CASE("leaves are delivered with their gradients") {
  const Value a = variable(1), b = variable(2);
  const Gradients found = differentiate({total(a * b)}, {{}}, {}, keep_graph());
  REQUIRE(found.leaves.size() == 2);
  CHECK(found.leaves[0].first == b.node);
  CHECK(text(found.leaves[0].second) == "mul(expand(constant),variable1)");
  CHECK(text(found.leaves[1].second) == "mul(expand(constant),variable2)");
  CHECK(found.visited.size() == 2);
}

TEST_CASE("without create_graph a gradient has no gradient path") {
  const Value a = variable(1), b = variable(2);
  const Gradients found = differentiate({total(a * b)}, {{}}, {a});
  CHECK(found.targets[0].node->op() == Op::stop_gradient_);
  CHECK_FALSE(found.targets[0].requires_grad());
  CHECK(found.leaves.empty());
}

TEST_CASE("gradients of several uses are added") {
  const Value a = variable(1);
  const Value seed = input(7, {3});
  const Gradients found = differentiate({a + a}, {seed}, {});
  REQUIRE(found.leaves.size() == 1);
  CHECK(text(found.leaves[0].second) == "add(input7,input7)");
  const Gradients roots = differentiate({a, a}, {seed, seed}, {a});
  CHECK(text(roots.targets[0]) == "add(input7,input7)");
}

TEST_CASE("stop_gradient ends a path and an unused target gets nothing") {
  const Value a = variable(1), b = variable(2), c = variable(3);
  const Value stopped = make(Op::stop_gradient_, {a});
  const Gradients found = differentiate({stopped + b}, {{}}, {a, b, c});
  CHECK_FALSE(found.targets[0]);
  CHECK(found.targets[1]);
  CHECK_FALSE(found.targets[2]);
  CHECK(differentiate({stopped}, {{}}, {}).leaves.empty());
}

TEST_CASE("a target inside the graph gets its gradient and passes it on") {
  const Value a = variable(1);
  const Value middle = -a;
  const Value seed = input(7, {3});
  const Gradients found = differentiate({make(Op::exp_, {middle})}, {seed}, {middle, a});
  CHECK(text(found.targets[0]) == "stop_gradient(mul(input7,exp(neg(variable1))))");
  CHECK(text(found.targets[1]) == "stop_gradient(neg(mul(input7,exp(neg(variable1)))))");

  DifferentiateOptions options;
  options.stop_at_targets = true;
  const Gradients partial = differentiate({middle * a}, {seed}, {middle, a}, options);
  CHECK(text(partial.targets[1]) == "stop_gradient(mul(input7,neg(variable1)))");
}

TEST_CASE("only what leads to a target is differentiated") {
  const Value a = variable(1), b = variable(2);
  int calls = 0;
  DifferentiateOptions options;
  options.on_hook = [&](const Node&, const Value&) {
    ++calls;
    return Value();
  };
  const Value y = hook(-a, 1) + hook(-b, 2);
  CHECK(differentiate({y}, {{}}, {a}, options).visited.size() == 3);
  CHECK(calls == 1);
}

TEST_CASE("a released value asks for retain_graph") {
  const Value a = variable(1);
  const Value used = make(Op::released_, {input(5, {3})});
  CHECK_THROWS_AS(differentiate({a * used}, {{}}, {}), StateError);
  CHECK_THROWS_WITH(
      differentiate({a * used}, {{}}, {a}),
      "backward: this goes backward through the graph a second time, and what an earlier "
      "backward() used is freed; call that one with retain_graph=True, or detach() "
      "what was computed before it");
  CHECK(differentiate({a * used}, {{}}, {used}).targets[0]);
}

TEST_CASE("a hook may replace the gradient, also a target's own") {
  const Value a = variable(1);
  const Value replacement = input(9, {3});
  DifferentiateOptions options;
  options.on_hook = [&](const Node& node, const Value&) {
    return node.attr_int("id") == 4 ? replacement : Value();
  };
  const Value hooked = hook(a, 4);
  const Gradients found = differentiate({-hooked}, {input(7, {3})}, {hooked, a}, options);
  CHECK(text(found.targets[0]) == "input9");
  CHECK(text(found.targets[1]) == "input9");
  const Gradients kept = differentiate({-hook(a, 5)}, {input(7, {3})}, {a}, options);
  CHECK(text(kept.targets[0]) == "neg(input7)");
}

TEST_CASE("a custom gradient replaces the path through the first input") {
  const Value a = variable(1), b = variable(2);
  DifferentiateOptions options;
  options.on_custom = [&](const Node&, const Value& grad) -> Values { return {-grad, {}}; };
  const Value custom = make(Op::custom_gradient_, {a * b, a, b});
  const Gradients found = differentiate({custom}, {input(7, {3})}, {a, b}, options);
  CHECK(text(found.targets[0]) == "neg(input7)");
  CHECK_FALSE(found.targets[1]);
}

TEST_CASE("a gradient of the wrong type from a user's function is refused") {
  const Value a = variable(1);
  DifferentiateOptions options;
  options.on_hook = [](const Node&, const Value&) { return input(9, {2}); };
  CHECK_THROWS_AS(differentiate({hook(a, 1)}, {{}}, {a}, options), ShapeError);
  options.on_hook = [](const Node&, const Value& grad) { return make_cast(grad, DType::f64); };
  CHECK_THROWS_AS(differentiate({hook(a, 1)}, {{}}, {a}, options), DTypeError);
  const Value custom = make(Op::custom_gradient_, {-a, a});
  options.on_custom = [](const Node&, const Value&) { return Values(); };
  CHECK_THROWS_AS(differentiate({custom}, {{}}, {a}, options), ValueError);
}

TEST_CASE("broadcast inputs get their own shape back") {
  const Value a = variable(1, {2, 3}), b = variable(2, {3}), c = variable(3, {});
  const Gradients found = differentiate({(a + b) * c}, {{}}, {a, b, c});
  CHECK(found.targets[0].shape() == Shape{2, 3});
  CHECK(found.targets[1].shape() == Shape{3});
  CHECK(found.targets[2].shape() == Shape{});
}

TEST_CASE("a long chain needs no stack") {
  const Value a = variable(1);
  Value x = a;
  for (int i = 0; i < 200000; ++i) x = -x;
  CHECK(differentiate({x}, {{}}, {a}).targets[0]);
}

TEST_CASE("an integer root or one without a path is skipped") {
  const Value a = variable(1);
  const Value index = make_cast(a, DType::i64);
  CHECK_FALSE(differentiate({index, input(3, {3})}, {{}, {}}, {a}).targets[0]);
}

}  // namespace
}  // namespace ds

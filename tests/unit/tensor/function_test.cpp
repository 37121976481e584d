// SPDX-License-Identifier: Apache-2.0
// Recorded functions: the same values and gradients as the operations they stand for, in one node.
#include "ds/tensor/function.h"

#include <doctest/doctest.h>

#include "ds/engine/engine.h"
#include "ds/tensor/autograd.h"
#include "ds/tensor/checkpoint.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/record.h"

using namespace ds;

namespace {

using List = std::vector<Tensor>;

Tensor leaf(std::vector<double> values, bool requires_grad = true) {
  const auto size = static_cast<int64_t>(values.size());
  Tensor x = Tensor::from_host(values.data(), {DType::f64, {size}});
  return requires_grad ? x.requires_grad_() : x;
}

/// Two outputs of three inputs; the second output does not depend on the third input.
List compose(const List& in) {
  const Tensor gate = sigmoid(in[0]) * in[1];
  return {gate * tanh(in[2]) * 3.0, gate + in[1]};
}

List called(const List& in) { return call_function("test", {}, in, compose); }

struct Results {
  std::vector<std::vector<double>> values;
  void add(const Tensor& x) {
    values.push_back(x.defined() ? x.to_vector<double>() : std::vector<double>());
  }
  bool operator==(const Results& other) const { return values == other.values; }
};

using Function = List (*)(const List&);
using Use = Results (*)(Function);

Results first_order(Function f) {
  const Tensor a = leaf({0.5, -1}), b = leaf({2, 3}), c = leaf({-0.25, 0.75});
  const List out = f({a, b, c});
  sum(out[0] * out[1]).backward();
  Results r;
  for (const Tensor& x : {out[0], out[1], a.grad(), b.grad(), c.grad()}) r.add(x);
  return r;
}

Results second_order(Function f) {
  const Tensor a = leaf({0.5, -1}), b = leaf({2, 3}), c = leaf({-0.25, 0.75});
  const List first = gradients({sum(f({a, b, c})[0])}, {a, b}, {}, false, true);
  sum(first[0] * first[1]).backward();
  Results r;
  for (const Tensor& x : {first[0], first[1], a.grad(), b.grad(), c.grad()}) r.add(x);
  return r;
}

Results value_before_backward(Function f) {
  const Tensor a = leaf({0.5, -1}), b = leaf({2, 3}), c = leaf({-0.25, 0.75});
  const Tensor loss = sum(f({exp(a), b, c})[0]);
  Results r;
  r.add(loss);
  loss.backward();
  for (const Tensor& x : {a.grad(), b.grad(), c.grad()}) r.add(x);
  return r;
}

Results one_input_twice(Function f) {
  const Tensor a = leaf({0.5, -1}), b = leaf({2, 3}, false);
  sum(f({a, b, a})[0]).backward();
  Results r;
  r.add(a.grad());
  return r;
}

Results one_output_without_gradient(Function f) {
  const Tensor b = leaf({2, 3}), c = leaf({-0.25, 0.75});
  const List out = f({leaf({0.5, -1}, false), b, c});
  sum(out[1]).backward();
  Results r;
  for (const Tensor& x : {b.grad(), c.grad()}) r.add(x);
  return r;
}

Results in_a_checkpoint(Function f) {
  const Tensor a = leaf({0.5, -1}), b = leaf({2, 3}), c = leaf({-0.25, 0.75});
  const auto body = [f](const List& in) -> List { return {f({in[0] * 2.0, in[1], in[2]})[0]}; };
  sum(checkpoint(body, {a, b, c})[0]).backward();
  Results r;
  for (const Tensor& x : {a.grad(), b.grad(), c.grad()}) r.add(x);
  return r;
}

Results without_gradients(Function f) {
  const GradMode no_grad(false);
  const List out = f({leaf({0.5, -1}), leaf({2, 3}), leaf({-0.25, 0.75})});
  CHECK_FALSE(out[0].requires_grad());
  Results r;
  for (const Tensor& x : out) r.add(x);
  return r;
}

}  // namespace

TEST_CASE("a called function gives what its operations give") {
  for (const Use use : {first_order, second_order, value_before_backward, one_input_twice,
                        one_output_without_gradient, in_a_checkpoint, without_gradients})
    CHECK((use(called) == use(compose)));
}

TEST_CASE("a call is one node, recorded once for inputs of its types") {
  int recorded = 0;
  const auto call = [&](const List& in) {
    return call_function("counted", {}, in, [&](const List& x) -> List {
      ++recorded;
      return {x[0] * 2.0 + 1.0};
    });
  };
  const Tensor x = leaf({1, 2});
  for (int i = 0; i < 3; ++i) CHECK(call({x})[0].value().node->inputs().size() == 1);
  CHECK(recorded == 1);
  CHECK(call({x})[0].to_vector<double>() == std::vector<double>{3, 5});
  call({leaf({1, 2, 3})});
  call({to_dtype(x, DType::f32)});
  CHECK(recorded == 3);
}

TEST_CASE("numbers of a function tell its plans apart") {
  const Tensor x = leaf({1, 2});
  const auto scaled = [&](double factor) {
    return call_function("scaled", {factor}, {x},
                         [&](const List& in) -> List { return {in[0] * factor}; })[0];
  };
  CHECK(scaled(2).to_vector<double>() == std::vector<double>{2, 4});
  CHECK(scaled(3).to_vector<double>() == std::vector<double>{3, 6});
}

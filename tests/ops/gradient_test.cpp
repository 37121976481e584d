// SPDX-License-Identifier: Apache-2.0
// Every gradient rule against central finite differences of the reference kernels in f64, and the
// gradient of every gradient likewise.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "ds/base/error.h"
#include "ds/grad/differentiate.h"
#include "ds/grad/rules.h"
#include "tests/ops/sample_data.h"

namespace ds::testing {
namespace {

/// A function of random inputs: graph inputs with their data, the differentiated ones as variables.
class Problem {
 public:
  explicit Problem(uint64_t seed) : numbers_(seed) {}

  /// A new graph input.
  Value add(const Operand& operand) {
    const std::vector<double> numbers = numbers_.of(operand);
    const auto index = static_cast<int64_t>(data_.size());
    const Value input = make(Op::input_, {}, {index, operand.dtype, operand.shape});
    data_.push_back(to_bytes(numbers, operand.dtype));
    if (!is_floating(operand.dtype)) return input;
    const Value variable = make(Op::variable_, {input}, {index});
    variables_.push_back(variable);
    return variable;
  }

  /// sum over the floating values that carry gradients of sum(value * w), w new random variables.
  Value project(const Values& values) {
    Value total;
    for (const Value& value : values) {
      if (!value || !value.requires_grad()) continue;
      Shape dims;
      for (int i = 0; i < value.shape().rank(); ++i) dims.push_back(i);
      const Value weights = add({value.shape(), 0.5, 1.5, {}, value.dtype()});
      const Value term = make_sum(value * weights, dims, false);
      total = total ? total + term : term;
    }
    return total;
  }

  Values gradients(const Value& loss) const {
    DifferentiateOptions options;
    options.create_graph = true;
    return differentiate({loss}, {{}}, variables_, options).targets;
  }

  /// Compares gradients of `loss` with finite differences; a null gradient is zero.
  void check(const Value& loss, const Values& gradients) {
    Values wanted;
    for (const Value& gradient : gradients)
      if (gradient) wanted.push_back(gradient);
    const std::vector<Bytes> results = Interpreter(wanted).run(data_);
    const Interpreter function({loss});
    size_t next = 0;
    for (size_t v = 0; v < gradients.size(); ++v) {
      const Value& variable = variables_[v];
      const auto index = static_cast<size_t>(variable.node->attr_int("id"));
      const auto count = static_cast<size_t>(variable.shape().numel());
      std::vector<double> analytic(count, 0.0);
      if (gradients[v]) analytic = to_numbers(results[next++], DType::f64);
      REQUIRE(analytic.size() == count);
      for (size_t i = 0; i < count; ++i) {
        const double slope = finite_difference(function, index, i);
        INFO("input ", index, " element ", i, ": rule ", analytic[i], ", difference ", slope);
        const bool close = std::abs(analytic[i] - slope) <= 1e-5 * std::max(1.0, std::abs(slope));
        CHECK(close);
        if (!close) return;
      }
    }
  }

 private:
  double finite_difference(const Interpreter& function, size_t input, size_t element) {
    const Bytes saved = data_[input];
    std::vector<double> numbers = to_numbers(saved, DType::f64);
    const double at = numbers[element];
    const auto value_at = [&](double x) {
      numbers[element] = x;
      data_[input] = to_bytes(numbers, DType::f64);
      return to_numbers(function.run(data_)[0], DType::f64)[0];
    };
    // The error is about 1e-16 / h of rounding plus h^2 of truncation.
    const double h = 1e-5 * std::max(1.0, std::abs(at));
    const double difference = value_at(at + h) - value_at(at - h);
    data_[input] = saved;
    return difference / (2 * h);
  }

  Numbers numbers_;
  std::vector<Bytes> data_;
  Values variables_;
};

NodePtr build(Problem& problem, const Sample& sample) {
  Values inputs;
  for (const Operand& operand : sample.operands) inputs.push_back(problem.add(operand));
  if (sample.prelude) inputs = sample.prelude(inputs);
  return make_node(sample.op, inputs, sample.attrs);
}

Values outputs_of(const NodePtr& node) {
  Values values;
  for (int i = 0; i < node->outputs(); ++i) values.push_back({node, i});
  return values;
}

TEST_CASE("gradients and their gradients agree with finite differences") {
  uint64_t seed = 0;
  for (const Sample& sample : gradient_samples()) {
    const std::string name = describe(sample);
    INFO(name);
    Problem problem(++seed);
    const NodePtr node = build(problem, sample);
    const Value loss = problem.project(outputs_of(node));
    REQUIRE(loss);
    const Values gradients = problem.gradients(loss);
    problem.check(loss, gradients);
    if (!sample.second_order) continue;
    INFO("second order");
    const Value second = problem.project(gradients);
    if (second) problem.check(second, problem.gradients(second));
  }
}

TEST_CASE("each output alone gives a gradient") {
  uint64_t seed = 1000;
  for (const Sample& sample : gradient_samples()) {
    if (op_info(sample.op).outputs == 1) continue;
    const std::string name = describe(sample);
    INFO(name);
    for (int i = 0; i < op_info(sample.op).outputs; ++i) {
      Problem problem(++seed);
      const NodePtr node = build(problem, sample);
      const Value loss = problem.project({{node, i}});
      if (loss) problem.check(loss, problem.gradients(loss));
    }
  }
}

TEST_CASE("gradients keep the dtypes of their values") {
  // differentiate() itself asserts dtype and shape of all that flows.
  for (DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (Sample sample : gradient_samples()) {
      if (!set_dtype(sample, dtype)) continue;
      const bool is_cast = sample.op == Op::cast_;
      const std::string name = describe(sample);
      INFO(name);
      Problem problem(1);
      const NodePtr node = build(problem, sample);
      Values outputs = outputs_of(node);
      for (Value& output : outputs)
        if (is_floating(output.dtype()) && !is_cast) output = make_cast(output, DType::f32);
      const Value loss = problem.project(outputs);
      REQUIRE(loss);
      Values gradients = problem.gradients(loss);
      for (Value& gradient : gradients)
        if (gradient) gradient = make_cast(gradient, DType::f32);
      const Value second = sample.second_order ? problem.project(gradients) : Value();
      if (second) CHECK_NOTHROW(problem.gradients(second));
    }
  }
}

/// Finds `value` among `values`: its bit, or 0.
uint32_t bit_of(const Value& value, const Values& values) {
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i] == value) return 1u << i;
  return 0;
}

TEST_CASE("the saved masks cover what rules read") {
  for (const Sample& sample : gradient_samples()) {
    const std::string name = describe(sample);
    INFO(name);
    Problem problem(1);
    const NodePtr node = build(problem, sample);
    const GradEntry& entry = *grad_entry(sample.op);
    const Values outputs = outputs_of(node);
    Values grads;
    for (const Value& output : outputs)
      grads.push_back(output.requires_grad() ? problem.add({output.shape()}) : Value());
    Values pending = entry.rule({node, grads});
    std::set<const Node*> seen;
    while (!pending.empty()) {
      const Value value = pending.back();
      pending.pop_back();
      if (!value) continue;
      const uint32_t input = bit_of(value, node->inputs());
      const uint32_t output = bit_of(value, outputs);
      CHECK((input & ~entry.saved_inputs) == 0);
      CHECK((output & ~entry.saved_outputs) == 0);
      if (input || output || !seen.insert(value.node.get()).second) continue;
      pending.insert(pending.end(), value.node->inputs().begin(), value.node->inputs().end());
    }
  }
}

}  // namespace
}  // namespace ds::testing

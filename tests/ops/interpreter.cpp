// SPDX-License-Identifier: Apache-2.0
#include "tests/ops/interpreter.h"

#include <cstring>
#include <type_traits>
#include <unordered_map>

#include "ds/backends/ref/kernel.h"

namespace ds::testing {

Bytes to_bytes(const std::vector<double>& numbers, DType dtype) {
  return dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    Bytes bytes(numbers.size() * sizeof(T));
    for (size_t i = 0; i < numbers.size(); ++i) {
      T number;
      if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
        number = T(static_cast<float>(numbers[i]));
      else
        number = static_cast<T>(numbers[i]);
      std::memcpy(bytes.data() + i * sizeof(T), &number, sizeof(T));
    }
    return bytes;
  });
}

std::vector<double> to_numbers(const Bytes& bytes, DType dtype) {
  return dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    std::vector<double> numbers(bytes.size() / sizeof(T));
    for (size_t i = 0; i < numbers.size(); ++i) {
      T number;
      std::memcpy(&number, bytes.data() + i * sizeof(T), sizeof(T));
      if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
        numbers[i] = static_cast<float>(number);
      else
        numbers[i] = static_cast<double>(number);
    }
    return numbers;
  });
}

Interpreter::Interpreter(const Values& outputs) {
  Graph graph;
  graph.outputs = outputs;
  std::unordered_map<const Node*, size_t> positions;
  const auto position = [&](const Value& value) {
    return positions.at(value.node.get()) + static_cast<size_t>(value.index);
  };
  for (const NodePtr& node : graph.topological()) {
    Step step{node, {}, values_};
    for (const Value& input : node->inputs()) step.inputs.push_back(position(input));
    positions[node.get()] = values_;
    values_ += static_cast<size_t>(node->outputs());
    steps_.push_back(std::move(step));
  }
  for (const Value& output : outputs) outputs_.push_back(position(output));
}

std::vector<Bytes> Interpreter::run(const std::vector<Bytes>& inputs) const {
  std::vector<Bytes> values(values_);
  for (const Step& step : steps_) {
    const Node& node = *step.node;
    if (node.op() == Op::input_) {
      values[step.first_output] = inputs[static_cast<size_t>(node.attr_int("index"))];
      continue;
    }
    if (node.info().op_class == OpClass::marker) {
      values[step.first_output] = values[step.inputs[0]];
      continue;
    }
    std::vector<const void*> sources;
    for (size_t input : step.inputs) sources.push_back(values[input].data());
    std::vector<void*> targets;
    for (int i = 0; i < node.outputs(); ++i) {
      const Type& type = node.type(i);
      Bytes& bytes = values[step.first_output + static_cast<size_t>(i)];
      bytes.resize(static_cast<size_t>(type.shape.numel()) * dtype_size(type.dtype));
      targets.push_back(bytes.data());
    }
    ref::kernel_for(node.op())({node, sources, targets});
  }
  std::vector<Bytes> results;
  for (size_t output : outputs_) results.push_back(values[output]);
  return results;
}

}  // namespace ds::testing

// SPDX-License-Identifier: Apache-2.0
// One node run by the cpu backend and by ref, the oracle. The cpu backend must not fall back.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "ds/ir/graph.h"
#include "ds/runtime/backend.h"
#include "tests/run_executable.h"

namespace ds::test {

/// A value given to the node.
struct Given {
  Type type;
  std::vector<char> bytes;
};

template <class T>
Given given(const Shape& shape, const std::vector<T>& values) {
  Given made{{kDTypeOf<T>, shape}, {}};
  REQUIRE(static_cast<size_t>(shape.numel()) == values.size());
  made.bytes.resize(values.size() * sizeof(T));
  for (size_t i = 0; i < values.size(); ++i)
    std::memcpy(made.bytes.data() + i * sizeof(T), std::vector<T>{values[i]}.data(), sizeof(T));
  return made;
}
/// std::vector<bool> has no memory to copy from.
inline Given given(const Shape& shape, const std::vector<bool>& values) {
  Given made{{DType::bool_, shape}, std::vector<char>(values.begin(), values.end())};
  return made;
}

/// Small numbers of any dtype, many of them equal; with `special` also NaN, infinities and zeros of
/// both signs where the dtype has them.
inline Given some(DType dtype, const Shape& shape, unsigned seed, bool special = false) {
  Given made{{dtype, shape},
             std::vector<char>(static_cast<size_t>(shape.numel()) * dtype_size(dtype))};
  std::mt19937 engine(seed);
  dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    const double odd[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0};
    for (int64_t i = 0; i < shape.numel(); ++i) {
      double x = static_cast<double>(engine() % 41) / 4 - (is_floating(dtype) ? 5 : 0);
      if (dtype == DType::i64 || dtype == DType::i32 || dtype == DType::i16 || dtype == DType::i8)
        x = static_cast<double>(engine() % 21) - 10;
      if (special && is_floating(dtype) && engine() % 4 == 0) x = odd[engine() % 5];
      T value{};
      if constexpr (std::is_same_v<T, bool>)
        value = engine() % 2 == 0;
      else if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
        value = T(static_cast<float>(x));
      else
        value = static_cast<T>(x);
      std::memcpy(made.bytes.data() + static_cast<size_t>(i) * sizeof(T), &value, sizeof(T));
    }
  });
  return made;
}

inline Given indices(const Shape& shape, int64_t size, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<int64_t> values(static_cast<size_t>(shape.numel()));
  for (int64_t& value : values)
    value = static_cast<int64_t>(engine() % static_cast<unsigned>(size));
  return given(shape, values);
}

/// The node's outputs on a backend; for cpu every step must be its own.
inline std::vector<Given> outputs_on(const char* backend, Op op, const Attrs& attrs,
                                     const std::vector<Given>& inputs) {
  Interner interner;
  Graph graph;
  Values values;
  for (const Given& input : inputs) {
    const auto index = static_cast<int64_t>(graph.inputs.size());
    graph.inputs.push_back(
        interner.node(Op::input_, {}, {index, input.type.dtype, input.type.shape}));
    values.push_back({graph.inputs.back(), 0});
  }
  const NodePtr node = interner.node(op, values, attrs);
  std::vector<Given> outputs;
  for (int i = 0; i < node->outputs(); ++i) {
    graph.outputs.push_back({node, i});
    const Type& type = node->type(i);
    outputs.push_back({type, std::vector<char>(static_cast<size_t>(type.shape.numel()) *
                                               dtype_size(type.dtype))});
  }
  const auto executable = backend_of(parse_device(backend)).compile(graph, {});
  for (const StepInfo& step : executable->steps())
    if (std::string(backend) == "cpu") CHECK(step.kernel.substr(0, 4) != "ref:");
  std::vector<const void*> src;
  std::vector<void*> dst;
  for (const Given& input : inputs) src.push_back(input.bytes.data());
  for (Given& output : outputs) dst.push_back(output.bytes.data());
  testing::run_executable(*executable, src, dst);
  return outputs;
}

/// Element i as a double.
inline double element(const Given& value, int64_t i) {
  double x = 0;
  dispatch(value.type.dtype, [&](auto tag) {
    using T = decltype(tag);
    T raw;
    std::memcpy(&raw, value.bytes.data() + static_cast<size_t>(i) * sizeof(T), sizeof(T));
    if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
      x = static_cast<float>(raw);
    else
      x = static_cast<double>(raw);
  });
  return x;
}

/// Both backends agree: bit by bit when `tolerance` is 0 (any NaN equals any), else up to
/// tolerance times max(1, |x|).
inline void check_against_ref(Op op, const Attrs& attrs, const std::vector<Given>& inputs,
                              double tolerance = 0) {
  CAPTURE(op_name(op));
  CAPTURE(inputs[0].type);
  const auto got = outputs_on("cpu", op, attrs, inputs);
  const auto want = outputs_on("ref", op, attrs, inputs);
  for (size_t k = 0; k < want.size(); ++k) {
    CAPTURE(k);
    if (tolerance == 0 && got[k].bytes == want[k].bytes) continue;
    for (int64_t i = 0; i < want[k].type.shape.numel(); ++i) {
      CAPTURE(i);
      const double a = element(got[k], i), b = element(want[k], i);
      if (std::isnan(a) && std::isnan(b)) continue;
      if (tolerance == 0 || std::isinf(b) || std::isnan(b) || std::isnan(a)) {
        REQUIRE(a == b);
        REQUIRE(std::signbit(a) == std::signbit(b));
      } else {
        REQUIRE(std::fabs(a - b) <= tolerance * std::max(1.0, std::fabs(b)));
      }
    }
  }
}

inline constexpr DType kAllDTypes[] = {DType::f64, DType::f32,  DType::f16, DType::bf16,
                                       DType::i64, DType::i32,  DType::i16, DType::i8,
                                       DType::u8,  DType::bool_};

}  // namespace ds::test

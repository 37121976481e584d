// SPDX-License-Identifier: Apache-2.0
// Runs one op on literal arrays through its type rule and its reference kernel.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "ds/backends/ref/kernel.h"
#include "ds/backends/ref/number.h"
#include "ds/ir/build.h"

namespace ds::ref {

struct Array {
  Type type;
  std::vector<char> bytes;

  template <class T>
  const T* data() const {
    REQUIRE(type.dtype == kDTypeOf<T>);
    return reinterpret_cast<const T*>(bytes.data());
  }
  /// Every element as a double.
  std::vector<double> numbers() const {
    return dispatch(type.dtype, [&](auto tag) {
      using T = decltype(tag);
      std::vector<double> result;
      for (int64_t i = 0; i < type.shape.numel(); ++i)
        result.push_back(widen<double>(data<T>()[i]));
      return result;
    });
  }
};

/// An array of a dtype from numbers that it holds exactly or that are rounded to it.
inline Array array(DType dtype, const Shape& shape, const std::vector<double>& values) {
  REQUIRE(shape.numel() == static_cast<int64_t>(values.size()));
  Array a{{dtype, shape}, std::vector<char>(values.size() * dtype_size(dtype))};
  dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    for (size_t i = 0; i < values.size(); ++i) {
      const T element = narrow<T>(values[i]);
      std::memcpy(a.bytes.data() + i * sizeof(T), &element, sizeof(T));
    }
  });
  return a;
}
inline Array f64s(const Shape& shape, const std::vector<double>& values) {
  return array(DType::f64, shape, values);
}
inline Array f32s(const Shape& shape, const std::vector<double>& values) {
  return array(DType::f32, shape, values);
}
inline Array i64s(const Shape& shape, const std::vector<double>& values) {
  return array(DType::i64, shape, values);
}
inline Array bools(const Shape& shape, const std::vector<double>& values) {
  return array(DType::bool_, shape, values);
}
/// first, first + step, ... as f64 of a shape.
inline Array ramp(const Shape& shape, double first = 0, double step = 1) {
  std::vector<double> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = first + step * static_cast<double>(i);
  return f64s(shape, values);
}
/// Numbers without a pattern, in [-1, 1].
inline Array noise(const Shape& shape, uint32_t seed) {
  std::vector<double> values(static_cast<size_t>(shape.numel()));
  for (double& v : values) {
    seed = seed * 1664525u + 1013904223u;
    v = static_cast<double>(seed >> 8) * 0x1p-23 - 1;
  }
  return f64s(shape, values);
}

/// All outputs of one node.
inline std::vector<Array> run_all(Op op, const std::vector<Array>& inputs, Attrs attrs = {}) {
  Values values;
  std::vector<const void*> reads;
  for (const Array& input : inputs) {
    values.push_back(make(
        Op::input_, {}, {static_cast<int64_t>(values.size()), input.type.dtype, input.type.shape}));
    reads.push_back(input.bytes.data());
  }
  const NodePtr node = make_node(op, values, std::move(attrs));
  std::vector<Array> outputs;
  std::vector<void*> writes;
  for (int i = 0; i < node->outputs(); ++i) {
    const Type& type = node->type(i);
    // Bytes no kernel writes by chance, so that an element left out is seen.
    outputs.push_back(
        {type, std::vector<char>(static_cast<size_t>(type.shape.numel()) * dtype_size(type.dtype),
                                 0x55)});
  }
  for (Array& output : outputs) writes.push_back(output.bytes.data());
  kernel_for(op)({*node, reads, writes});
  return outputs;
}
inline std::vector<double> run(Op op, const std::vector<Array>& inputs, Attrs attrs = {}) {
  return run_all(op, inputs, std::move(attrs))[0].numbers();
}

using List = std::vector<double>;

/// Largest absolute difference.
inline double distance(const List& a, const List& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::fabs(a[i] - b[i]));
  return largest;
}

}  // namespace ds::ref

// SPDX-License-Identifier: Apache-2.0
// Random ops of the cpu backend against ref: the same numbers on every SIMD target.
#include <doctest/doctest.h>

#include <vector>

#include "tests/unit/cpu/against_ref.h"
#include "tests/unit/cpu/kernel_testing.h"
#include "tests/unit/cpu/program.h"

using namespace ds;
using namespace ds::test;
using ds::cpu::testing::for_each_target;

namespace {

/// The second one's counter carries into its high word when the op's call is added.
const std::vector<int64_t> kStates[] = {{42, 0}, {-7, (int64_t{1} << 32) - 2}};

}  // namespace

TEST_CASE("uniform numbers and bits are those of ref, normals up to rounding") {
  for_each_target([] {
    for (const auto& state : kStates)
      for (const int64_t size : {1, 2, 3, 7, 1023, 1025, 20001}) {
        const Given rng = given({2}, state);
        const Shape shape = {size};
        for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16}) {
          check_against_ref(Op::random_uniform_, {shape, dtype, int64_t{5}}, {rng});
          const double tolerance = dtype == DType::f32 ? 2e-6 : 0;
          check_against_ref(Op::random_normal_, {shape, dtype, int64_t{5}}, {rng}, tolerance);
        }
        check_against_ref(Op::random_bits_, {shape, int64_t{5}}, {rng});
      }
  });
}

TEST_CASE("dropout drops the elements that ref drops") {
  for_each_target([] {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
      for (const double p : {0.1, 0.5, 1.0})
        for (const Shape& shape : {Shape{}, Shape{3}, Shape{7, 1500}, Shape{2, 3, 5, 7}})
          check_against_ref(Op::dropout_, {p, int64_t{3}},
                            {some(dtype, shape, 1, true), given<int64_t>({2}, {9, 4})},
                            cpu::testing::rounding(dtype) * 2);
  });
}

TEST_CASE("dropout of a transposed and a repeated value goes by the number of the element") {
  Program p;
  const Value x = p.input({6, 5}), row = p.input({5}), rng = p.input({2}, DType::i64);
  const Attrs attrs = {0.5, int64_t{1}};
  const Value turned = p.make(Op::permute_, {x}, {Shape{1, 0}});
  const Value repeated = p.make(Op::expand_, {row}, {Shape{6, 5}});
  p.compile(
      {p.make(Op::dropout_, {turned, rng}, attrs), p.make(Op::dropout_, {repeated, rng}, attrs)});
  const std::vector<float> ones(30, 1);
  const int64_t state[] = {11, 12};
  std::vector<float> a(30), b(30);
  p.run({ones.data(), ones.data(), state}, {a.data(), b.data()});
  const Given want = outputs_on("ref", Op::dropout_, attrs,
                                {given<float>({30}, ones), given<int64_t>({2}, {11, 12})})[0];
  for (int64_t i = 0; i < 30; ++i) {
    CHECK(a[static_cast<size_t>(i)] == element(want, i));
    CHECK(b[static_cast<size_t>(i)] == element(want, i));
  }
}

TEST_CASE("dropout within a fused chain is one step") {
  Program p;
  const Value x = p.input({4, 300}), bias = p.input({300}), rng = p.input({2}, DType::i64);
  Interner inner;
  Graph body;
  for (const Value& outside : {x, bias, rng}) {
    const auto index = static_cast<int64_t>(body.inputs.size());
    body.inputs.push_back(inner.node(Op::input_, {}, {index, outside.dtype(), outside.shape()}));
  }
  const Value sum = inner.make(Op::add_, {{body.inputs[0], 0}, {body.inputs[1], 0}}, {});
  const Value dropped = inner.make(Op::dropout_, {sum, {body.inputs[2], 0}}, {0.25, int64_t{2}});
  body.outputs = {inner.make(Op::mul_, {dropped, dropped}, {})};
  p.compile({{p.fused({x, bias, rng}, body), 0}});
  CHECK(p.kernels() == std::vector<std::string>{"cpu:tiles add+dropout+mul"});
  const auto values = cpu::testing::random_floats(1200, 1),
             shifts = cpu::testing::random_floats(300, 2);
  const int64_t state[] = {1, 2};
  std::vector<float> got(1200), added(1200);
  p.run({values.data(), shifts.data(), state}, {got.data()});
  for (size_t i = 0; i < 1200; ++i) added[i] = values[i] + shifts[i % 300];
  const Given want = outputs_on("ref", Op::dropout_, {0.25, int64_t{2}},
                                {given<float>({4, 300}, added), given<int64_t>({2}, {1, 2})})[0];
  for (int64_t i = 0; i < 1200; ++i) {
    const double y = element(want, i);
    CHECK(got[static_cast<size_t>(i)] == doctest::Approx(y * y).epsilon(1e-5));
  }
}

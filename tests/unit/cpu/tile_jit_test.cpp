// SPDX-License-Identifier: Apache-2.0
// Machine code against the kernels it stands for: the same bits, special values and odd lengths
// too.
#include "ds/backends/cpu/kernels/tile_jit.h"

#include <bit>
#include <cmath>
#include <limits>

#include "ds/backends/cpu/kernels/elementwise.h"
#include "tests/unit/cpu/kernel_testing.h"

using namespace ds;
using namespace ds::cpu;
using namespace ds::cpu::testing;

namespace {

/// Every special value, against every other when `step` is 1 and 12.
std::vector<float> special(size_t n, size_t step) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const float values[] = {0.0f, -0.0f, 1.0f, -1.0f,       1e-40f, -1e-40f,
                          kInf, -kInf, 2.5f, 1.00390625f, 3e38f,  std::nanf("")};
  std::vector<float> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = values[i / step % std::size(values)];
  return out;
}

/// From -100 to 100, dense around 0.
std::vector<float> spread(size_t n) {
  std::vector<float> out(n);
  for (size_t i = 0; i < n; ++i) {
    const float x = 2 * static_cast<float>(i) / static_cast<float>(n) - 1;
    out[i] = 100 * x * x * x;
  }
  return out;
}

/// NaN is NaN, all else bit by bit.
void check_same(const std::vector<float>& got, const std::vector<float>& expected) {
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    if (std::isnan(expected[i]))
      CHECK(std::isnan(got[i]));
    else
      CHECK(std::bit_cast<uint32_t>(got[i]) == std::bit_cast<uint32_t>(expected[i]));
  }
}

}  // namespace

TEST_CASE("each op's machine code gives its kernel's bits") {
  constexpr size_t n = 12 * 12 * 12 + 7;
  const std::vector<float> a = special(n, 1), b = special(n, 12), c = special(n, 144);
  for (int i = 0; i < kTileOps; ++i) {
    const auto op = static_cast<TileOp>(i);
    if (!jit_has(op)) continue;
    CAPTURE(tile_name(op));
    JitProgram program;
    JitProgram::Op only{op, {-1, -1, -1}};
    for (int arg = 0; arg < tile_arity(op); ++arg) {
      program.inputs.push_back({DType::f32, false});
      only.args[static_cast<size_t>(arg)] = arg;
    }
    program.ops = {only};
    program.outputs = {{tile_arity(op), DType::f32}};
    std::vector<float> got(n), expected(n);
    std::vector<void*> pointers;
    for (const auto* input : {&a, &b, &c})
      if (pointers.size() < program.inputs.size())
        pointers.push_back(const_cast<float*>(input->data()));
    pointers.push_back(got.data());
    const JitFn code = jit_compile(program);
    REQUIRE(bool(code));
    code(pointers.data(), n);
    tile_fn(op)(a.data(), b.data(), c.data(), expected.data(), n, 0);
    check_same(got, expected);
  }
}

TEST_CASE("machine code of SiLU and its slope gives the kernels' bits over the range") {
  constexpr size_t n = 40011;
  const std::vector<float> x = spread(n);
  for (const TileOp op : {TileOp::silu, TileOp::silu_slope}) {
    if (!jit_has(op)) continue;
    std::vector<float> got(n), expected(n);
    const JitFn code = jit_compile({{{DType::f32, false}}, {{op, {0, -1, -1}}}, {{1, DType::f32}}});
    REQUIRE(bool(code));
    void* pointers[] = {const_cast<float*>(x.data()), got.data()};
    code(pointers, n);
    tile_unary(op, x.data(), expected.data(), n);
    check_same(got, expected);
  }
}

TEST_CASE("machine code converts what it reads and writes, and touches nothing beyond") {
  if (!jit_has(TileOp::copy)) return;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::bool_})
    for (const size_t n : {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{33}}) {
      CAPTURE(dtype);
      CAPTURE(n);
      const std::vector<float> values = special(n, 1);
      std::vector<char> src(n * dtype_size(dtype)), got(src.size() + 8, 42), expected = got;
      tile_store(dtype, values.data(), src.data(), 1, n);
      std::vector<float> loaded(n);
      tile_load(dtype, src.data(), 1, loaded.data(), n);
      tile_store(dtype, loaded.data(), expected.data(), 1, n);
      JitProgram program;
      program.inputs = {{dtype, false}};
      program.outputs = {{0, dtype}};
      void* pointers[] = {src.data(), got.data()};
      jit_compile(program)(pointers, n);
      CHECK(got == expected);
    }
}

TEST_CASE("a program of more values than registers has no machine code") {
  if (!jit_has(TileOp::copy)) return;
  JitProgram program;
  for (int i = 0; i < 40; ++i) {
    program.inputs.push_back({DType::f32, false});
    program.outputs.push_back({i, DType::f32});
  }
  CHECK(!bool(jit_compile(program)));
}

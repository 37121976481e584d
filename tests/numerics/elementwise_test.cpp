// SPDX-License-Identifier: Apache-2.0
// Every elementwise op against its row of ds/ir/numerics.def: swept over the whole range of f32 and
// over every value of f16 and bf16, on every backend that computes and every instruction set.
#include <doctest/doctest.h>

#include <bit>
#include <functional>

#include "tests/numerics/oracle.h"
#include "tests/ops/run_graph.h"
#include "tests/unit/cpu/kernel_testing.h"

namespace ds::testing {
namespace {

using cpu::testing::for_each_target;
using cpu::testing::kInf;
using cpu::testing::kNan;

const float kSpecial[] = {
    0.0f,      -0.0f,      1,         -1,     kInf,      -kInf, kNan,
    0.5f,      -0.5f,      2,         -3,     88.72284f, 100,   -100,
    16777216,  2147483648, 1e30f,     -1e30f, 1e-45f,    3e38f, -1e-45f,
    0x1p-126f, -0x1p-126f, 0x1p-127f, 1e-30f, 0.1f,      10,    std::numeric_limits<float>::max()};

bool has_class(Op op, std::initializer_list<OpClass> classes) {
  return std::find(classes.begin(), classes.end(), op_info(op).op_class) != classes.end();
}
bool is_unary(Op op) {
  return has_class(op, {OpClass::unary, OpClass::test}) && op != Op::bitwise_not_;
}
bool is_bitwise(Op op) {
  return op == Op::bitwise_not_ || op == Op::bitwise_and_ || op == Op::bitwise_or_ ||
         op == Op::bitwise_xor_ || op == Op::left_shift_ || op == Op::right_shift_;
}

/// Special values, a dense part where functions bend, and bit patterns over all exponents.
std::vector<double> arguments() {
  std::vector<double> x(std::begin(kSpecial), std::end(kSpecial));
  for (int i = -9000; i <= 9000; ++i) x.push_back(static_cast<float>(i * 0.002 + 0.00037));
  for (int i = -5000; i <= 5000; ++i) x.push_back(static_cast<float>(i * 0.021));
  for (uint64_t bits = 0x100; bits < 0x7f800000u; bits += 0x1ffd9) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
    x.push_back(-x.back());
  }
  return x;
}

/// Every value of a 16-bit dtype.
std::vector<double> all_values(DType dtype) {
  Bytes bytes(size_t{65536} * 2);
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    std::memcpy(bytes.data() + i * 2, &bits, 2);
  }
  return to_numbers(bytes, dtype);
}

Graph graph_of(Op op, DType dtype, int64_t count, int inputs) {
  Graph graph;
  Interner interner;
  Values values;
  for (int64_t i = 0; i < inputs; ++i) {
    graph.inputs.push_back(interner.node(Op::input_, {}, {i, dtype, Shape{count}}));
    values.push_back({graph.inputs.back(), 0});
  }
  Attrs attrs;
  if (op == Op::cast_) attrs = {dtype == DType::f32 ? DType::bf16 : DType::f32};
  graph.outputs = {interner.make(op, values, std::move(attrs))};
  return graph;
}

using Exact = std::vector<long double>;

/// Runs the op on a backend and names the worst element that breaks the contract.
void check(const std::string& backend, Op op, DType dtype,
           const std::vector<std::vector<double>>& arguments, const Exact& want) {
  const Contract& contract = *contract_of(op);
  const auto count = static_cast<int64_t>(want.size());
  const Graph graph = graph_of(op, dtype, count, static_cast<int>(arguments.size()));
  const DType out = graph.outputs[0].dtype();
  std::vector<Bytes> inputs;
  for (const std::vector<double>& list : arguments) inputs.push_back(to_bytes(list, dtype));
  const std::vector<double> got = to_numbers(run_graph(backend, graph, inputs)[0], out);
  size_t broken = 0, at = 0;
  double worst = -1;
  for (size_t i = 0; i < got.size(); ++i) {
    if (keeps(contract, got[i], want[i], out)) continue;
    ++broken;
    if (error_in_ulp(got[i], want[i], out) > worst) {
      worst = error_in_ulp(got[i], want[i], out);
      at = i;
    }
  }
  CHECK_MESSAGE(broken == 0, backend, " ", op_name(op), " ", dtype_name(dtype), " at ",
                arguments[0][at], ", ", arguments.back()[at], ": ", got[at], " instead of ",
                static_cast<double>(want[at]), ", ", worst, " ULP; ", broken, " like it");
}

void check_all(Op op, DType dtype, const std::vector<std::vector<double>>& arguments) {
  Exact want;
  for (size_t i = 0; i < arguments[0].size(); ++i)
    want.push_back(exact(op, arguments[0][i], arguments.back()[i]));
  check("ref", op, dtype, arguments, want);
  for_each_target([&] { check("cpu", op, dtype, arguments, want); });
}

TEST_CASE("every elementwise op states its contract") {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    const bool floating = has_class(op, {OpClass::unary, OpClass::test, OpClass::binary,
                                         OpClass::compare, OpClass::select}) &&
                          !is_bitwise(op);
    CHECK_MESSAGE((contract_of(op) != nullptr) == floating, op_name(op),
                  " needs a row in ds/ir/numerics.def");
  }
}

TEST_CASE("unary ops over the whole range of f32") {
  const std::vector<double> x = arguments();
  for (int i = 0; i < kOpCount; ++i)
    if (is_unary(static_cast<Op>(i))) check_all(static_cast<Op>(i), DType::f32, {x});
}

TEST_CASE("unary ops of every f16 and bf16 value") {
  for (DType dtype : {DType::f16, DType::bf16}) {
    const std::vector<double> x = all_values(dtype);
    for (int i = 0; i < kOpCount; ++i)
      if (is_unary(static_cast<Op>(i))) check_all(static_cast<Op>(i), dtype, {x});
  }
}

/// Pairs: special values crossed, then everyday sizes, then any exponents.
std::vector<std::vector<double>> pairs() {
  std::vector<std::vector<double>> lists(2);
  const auto add = [&](float a, float b) {
    lists[0].push_back(a);
    lists[1].push_back(b);
  };
  for (float a : kSpecial)
    for (float b : kSpecial) add(a, b);
  std::mt19937 draw(7);
  std::uniform_real_distribution<float> small(-9, 9), positive(0, 50);
  for (int i = 0; i < 30000; ++i) add(small(draw), small(draw));
  for (int i = 0; i < 30000; ++i) add(positive(draw), positive(draw) - 25);
  for (int i = 0; i < 60000; ++i) {
    const auto a = std::bit_cast<float>(static_cast<uint32_t>(draw()));
    const auto b = std::bit_cast<float>(static_cast<uint32_t>(draw()));
    if (a == a && b == b) add(a, b);
  }
  return lists;
}

bool is_binary(Op op) {
  return has_class(op, {OpClass::binary, OpClass::compare}) && !is_bitwise(op) &&
         op != Op::nextafter_ && op != Op::trunc_divide_;
}

TEST_CASE("binary ops, special values crossed, any exponents") {
  const std::vector<std::vector<double>> lists = pairs();
  for (int i = 0; i < kOpCount; ++i)
    if (is_binary(static_cast<Op>(i))) check_all(static_cast<Op>(i), DType::f32, lists);
}

TEST_CASE("binary ops in 16 bits") {
  for (DType dtype : {DType::f16, DType::bf16}) {
    std::vector<std::vector<double>> lists = pairs();
    for (std::vector<double>& list : lists) list = to_numbers(to_bytes(list, dtype), dtype);
    for (int i = 0; i < kOpCount; ++i)
      if (is_binary(static_cast<Op>(i))) check_all(static_cast<Op>(i), dtype, lists);
  }
}

TEST_CASE("nextafter steps by one bit pattern") {
  const std::vector<std::vector<double>> lists = pairs();
  Exact want;
  for (size_t i = 0; i < lists[0].size(); ++i) {
    const auto a = static_cast<float>(lists[0][i]), b = static_cast<float>(lists[1][i]);
    want.push_back(std::nextafterf(a, b));
  }
  check("ref", Op::nextafter_, DType::f32, lists, want);
  for_each_target([&] { check("cpu", Op::nextafter_, DType::f32, lists, want); });
}

TEST_CASE("trunc_divide truncates the rounded quotient, as PyTorch") {
  const std::vector<std::vector<double>> lists = pairs();
  Exact want;
  for (size_t i = 0; i < lists[0].size(); ++i)
    want.push_back(std::trunc(static_cast<float>(lists[0][i]) / static_cast<float>(lists[1][i])));
  check("ref", Op::trunc_divide_, DType::f32, lists, want);
  for_each_target([&] { check("cpu", Op::trunc_divide_, DType::f32, lists, want); });
}

}  // namespace
}  // namespace ds::testing

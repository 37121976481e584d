// SPDX-License-Identifier: Apache-2.0
// Every sample of every op on the cpu backend, at every instruction set, against the reference
// kernels: all dtypes, strided, reversed and broadcast operands, special values, 0-d and empty.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>

#include "ds/base/error.h"
#include "tests/ops/run_graph.h"
#include "tests/ops/sample_data.h"
#include "tests/unit/cpu/kernel_testing.h"
#include "tests/unit/ir/samples.h"

namespace ds::testing {
namespace {

enum class Layout { plain, strided, broadcast };
constexpr const char* kLayoutNames[] = {"plain", "strided and reversed", "broadcast"};

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// A graph of one op, with data for its inputs.
struct Program {
  Graph graph;
  std::vector<Bytes> inputs;

  Value add(const Shape& shape, DType dtype, const std::vector<double>& numbers) {
    const auto index = static_cast<int64_t>(inputs.size());
    const NodePtr node = make_node(Op::input_, {}, {index, dtype, shape});
    graph.inputs.push_back(node);
    inputs.push_back(to_bytes(numbers, dtype));
    return {node, 0};
  }
};

/// The numbers as a view of a larger input: dimensions in reverse order, every second element, and
/// the first dimension backwards.
Value add_strided(Program& program, const Operand& operand, const std::vector<double>& numbers) {
  const Shape& shape = operand.shape;
  const int rank = shape.rank();
  Shape large, starts, sizes, steps, order, first{0};
  for (int d = rank; d-- > 0;) {
    large.push_back(2 * shape[d] + 1);
    starts.push_back(1);
    sizes.push_back(shape[d]);
    steps.push_back(2);
    order.push_back(d);
  }
  std::vector<double> spread(static_cast<size_t>(large.numel()), 1);
  for (int64_t i = 0; i < shape.numel(); ++i) {
    int64_t rest = i, place = 0, stride = 1;
    std::vector<int64_t> index(static_cast<size_t>(rank));
    for (int d = rank; d-- > 0; rest /= shape[d]) index[static_cast<size_t>(d)] = rest % shape[d];
    index[0] = shape[0] - 1 - index[0];
    for (int d = 0; d < rank; ++d) {
      place += (2 * index[static_cast<size_t>(d)] + 1) * stride;
      stride *= 2 * shape[d] + 1;
    }
    spread[static_cast<size_t>(place)] = numbers[static_cast<size_t>(i)];
  }
  const Value input = program.add(large, operand.dtype, spread);
  const Value slice = make(Op::slice_, {input}, {starts, sizes, steps});
  return make(Op::flip_, {make_permute(slice, order)}, {first});
}

Value add_operand(Program& program, const Operand& operand, const std::vector<double>& numbers,
                  Layout layout) {
  const Shape& shape = operand.shape;
  if (layout == Layout::strided && shape.rank() > 0 && shape.numel() > 0)
    return add_strided(program, operand, numbers);
  if (layout == Layout::broadcast && is_floating(operand.dtype) && shape.rank() > 0 &&
      shape.numel() > 0) {
    Shape row = shape;
    row[0] = 1;
    const Value input = program.add(
        row, operand.dtype, {numbers.begin(), numbers.begin() + static_cast<long>(row.numel())});
    return make_expand(input, shape);
  }
  return program.add(shape, operand.dtype, numbers);
}

Program build(const Sample& sample, uint64_t seed, Layout layout,
              const std::vector<double>& special = {}) {
  Program program;
  Numbers numbers(seed);
  Values inputs;
  for (const Operand& operand : sample.operands) {
    std::vector<double> data = numbers.of(operand);
    if (!special.empty() && is_floating(operand.dtype))
      for (double& x : data)
        if (numbers.next() < 0.4)
          x = special[static_cast<size_t>(numbers.next() * static_cast<double>(special.size()))];
    inputs.push_back(add_operand(program, operand, data, layout));
  }
  if (sample.prelude) inputs = sample.prelude(inputs);
  const NodePtr node = make_node(sample.op, inputs, sample.attrs);
  for (int i = 0; i < node->outputs(); ++i) program.graph.outputs.push_back({node, i});
  return program;
}

double tolerance(DType dtype) {
  switch (dtype) {
    case DType::f64: return 1e-11;
    case DType::f32: return 3e-5;
    case DType::f16: return 8e-3;
    case DType::bf16: return 6e-2;
    default: return 0;
  }
}

/// The first element that differs, in words; empty when none does.
std::string difference(const std::vector<Bytes>& got, const std::vector<Bytes>& want,
                       const Graph& graph, double allowed) {
  for (size_t i = 0; i < want.size(); ++i) {
    const DType dtype = graph.outputs[i].dtype();
    if (!is_floating(dtype)) {
      if (got[i] != want[i]) return str("output ", i, " differs");
      continue;
    }
    const std::vector<double> a = to_numbers(got[i], dtype), b = to_numbers(want[i], dtype);
    for (size_t k = 0; k < b.size(); ++k) {
      if (a[k] == b[k] || (std::isnan(a[k]) && std::isnan(b[k]))) continue;
      if (!(std::fabs(a[k] - b[k]) <= allowed * std::max(1.0, std::fabs(b[k]))))
        return str("output ", i, " element ", k, ": ", a[k], " instead of ", b[k]);
    }
  }
  return {};
}

/// Compares cpu with ref. What ref refuses while running, cpu refuses with the same words.
void compare(const Program& program, double allowed) {
  std::vector<Bytes> want;
  std::string refused;
  try {
    want = run_graph("ref", program.graph, program.inputs);
  } catch (const Error& error) {
    refused = error.what();
  }
  cpu::testing::for_each_target([&] {
    std::string said;
    try {
      const std::vector<Bytes> got = run_graph("cpu", program.graph, program.inputs);
      const std::string text = difference(got, want, program.graph, allowed);
      CHECK_MESSAGE(text.empty(), text);
    } catch (const Error& error) {
      said = error.what();
    }
    CHECK(said == refused);
  });
}

/// Operands of everyday values for the types of an ir sample: indices are 0 and 1.
Sample from_types(const test::Sample& sample) {
  Sample made{sample.op, {}, sample.attrs};
  for (const Type& type : sample.inputs) {
    Operand operand{type.shape, 0.5, 1.5, {}, type.dtype};
    if (!is_floating(type.dtype))
      for (int64_t i = 0; i < type.shape.numel(); ++i)
        operand.values.push_back(static_cast<double>(i % 2));
    made.operands.push_back(std::move(operand));
  }
  return made;
}

/// One list of all samples that compute something.
const Samples& all_samples() {
  static const Samples samples = [] {
    Samples all = gradient_samples();
    for (const test::Sample& sample : test::samples()) {
      const OpClass kind = op_info(sample.op).op_class;
      // A random matrix has no Cholesky factor; the gradient samples hold linear algebra.
      if (sample.op != Op::input_ && kind != OpClass::marker && kind != OpClass::linalg)
        all.push_back(from_types(sample));
    }
    return all;
  }();
  return samples;
}

TEST_CASE("cpu agrees with ref on every sample, floating dtype and layout") {
  uint64_t seed = 0;
  std::set<Op> seen;
  for (DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16})
    for (Sample sample : all_samples()) {
      const OpClass kind = op_info(sample.op).op_class;
      if (is_half(dtype) && kind == OpClass::linalg) continue;  // autocast keeps it in f32
      if (!set_dtype(sample, dtype) && is_half(dtype)) continue;
      seen.insert(sample.op);
      for (Layout layout : {Layout::plain, Layout::strided, Layout::broadcast}) {
        // A repeated row makes a matrix singular.
        if (layout == Layout::broadcast && kind == OpClass::linalg) continue;
        const std::string name =
            str(describe(sample), ", ", kLayoutNames[static_cast<int>(layout)]);
        INFO(name);
        // Random statistics give the gradient of attention terms far larger than their sum.
        const double magnified = kind == OpClass::attention ? 10 : 1;
        compare(build(sample, ++seed, layout), magnified * tolerance(dtype));
      }
    }
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (op_info(op).op_class == OpClass::marker || op == Op::input_ || op == Op::fused_) continue;
    CHECK_MESSAGE(seen.count(op) == 1, op_name(op), " is not compared");
  }
}

TEST_CASE("cpu agrees with ref on integers and bool, exactly") {
  uint64_t seed = 5000;
  int compared = 0;
  for (DType dtype : {DType::i64, DType::i32, DType::i16, DType::i8, DType::u8, DType::bool_})
    for (Sample sample : all_samples()) {
      if (sample.prelude || sample.op == Op::cast_) continue;
      for (Operand& operand : sample.operands) {
        if (!is_floating(operand.dtype)) continue;
        operand = {operand.shape,
                   dtype == DType::bool_ ? 0.0 : 1.0,
                   dtype == DType::bool_ ? 2.0 : 6.0,
                   {},
                   dtype};
      }
      const std::string name = describe(sample);
      INFO(name, " as ", dtype_name(dtype));
      for (Layout layout : {Layout::plain, Layout::strided}) {
        Program program;
        try {
          program = build(sample, ++seed, layout);
        } catch (const DTypeError&) {
          break;  // the op is for other dtypes
        }
        ++compared;
        // Functions of integers that give f32.
        compare(program, tolerance(DType::f32));
      }
    }
  CHECK(compared > 500);
}

TEST_CASE("cpu agrees with ref on NaN, infinities, signed zeros and subnormals") {
  const std::set<OpClass> kinds = {OpClass::unary,    OpClass::test,   OpClass::binary,
                                   OpClass::compare,  OpClass::select, OpClass::reduce,
                                   OpClass::scan,     OpClass::index,  OpClass::pool,
                                   OpClass::movement, OpClass::softmax};
  const std::vector<double> special = {kNan, kInf, -kInf, 0.0, -0.0, 1e-45, -1e-40, 3};
  // What softmax gives is never infinite, and the order of inf - inf is not fixed. A product that
  // underflows in f32 before it meets an infinity does not in the f64 of ref.
  const std::set<Op> left_out = {Op::softmax_backward_, Op::log_softmax_backward_, Op::prod_};
  uint64_t seed = 9000;
  for (DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16})
    for (Sample sample : all_samples()) {
      if (kinds.count(op_info(sample.op).op_class) == 0 || left_out.count(sample.op)) continue;
      set_dtype(sample, dtype);
      const std::string name = describe(sample);
      INFO(name);
      for (int round = 0; round < 3; ++round)
        compare(build(sample, ++seed, Layout::plain, special), tolerance(dtype));
    }
}

TEST_CASE("cpu agrees with ref where a dimension is 0") {
  const Operand none = index_operand({0}, {});
  const auto n = [](int64_t value) { return value; };
  const Shape one{1, 1}, zero{0, 0}, two{2, 2};
  const Samples samples = {
      {Op::matmul_, {{{2, 3}}, {{3, 0}}}},
      {Op::matmul_, {{{0, 3}}, {{3, 2}}}},
      {Op::matmul_, {{{2, 0}}, {{0, 3}}}},
      {Op::convolution_, {{{0, 2, 4, 4}}, {{3, 2, 3, 3}}}, {one, one, one, one, n(1)}},
      {Op::conv_diff_weights_,
       {{{0, 2, 4, 4}}, {{0, 3, 4, 4}}},
       {Shape{3, 3}, one, one, one, one, n(1)}},
      {Op::max_pool_, {{{0, 2, 4, 4}}}, {two, two, zero, zero, one}},
      {Op::avg_pool_, {{{0, 2, 4, 4}}}, {two, two, zero, zero, true, n(0)}},
      {Op::adaptive_avg_pool_, {{{0, 2, 4, 4}}}, {two}},
      {Op::layer_norm_, {{{0, 3}}, {{3}}, {{3}}}, {n(1), 1e-5}},
      {Op::rms_norm_, {{{0, 3}}, {{3}}}, {n(1), 1e-5}},
      {Op::softmax_, {{{3, 0}}}, {n(1)}},
      {Op::softmax_, {{{3, 0}}}, {n(0)}},
      {Op::log_softmax_, {{{0, 0}}}, {n(1)}},
      {Op::softmax_cross_entropy_, {{{0, 5}}, none}, {n(-100), 0.0}},
      {Op::attention_,
       {{{0, 2, 3, 4}}, {{0, 2, 5, 4}}, {{0, 2, 5, 4}}},
       {false, 0.5, 0.0, int64_t{0}}},
      {Op::attention_,
       {{{1, 2, 0, 4}}, {{1, 2, 5, 4}}, {{1, 2, 5, 4}}},
       {false, 0.5, 0.0, int64_t{0}}},
      {Op::attention_,
       {{{1, 2, 3, 4}}, {{1, 2, 0, 4}}, {{1, 2, 0, 4}}},
       {false, 0.5, 0.0, int64_t{0}}},
      {Op::index_select_, {{{3, 2}}, none}, {n(0)}},
      {Op::index_add_, {{{3, 2}}, none, {{0, 2}}}, {n(0)}},
      {Op::gather_, {{{3, 2}}, index_operand({0, 2}, {})}, {n(0)}},
      {Op::sort_, {{{3, 0}}}, {n(1), true}},
      {Op::topk_, {{{3, 2}}}, {n(0), n(1), true}},
      {Op::any_, {{{0, 3}}}, {Shape{0}, false}},
      {Op::all_, {{{0, 3}}}, {Shape{0}, false}},
      {Op::cat_, {{{0, 3}}, {{0, 3}}}, {n(0)}},
      {Op::flip_, {{{0, 3}}}, {Shape{0, 1}}},
  };
  uint64_t seed = 20000;
  for (DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16})
    for (Sample sample : samples) {
      set_dtype(sample, dtype);
      const std::string name = describe(sample);
      INFO(name);
      compare(build(sample, ++seed, Layout::plain), tolerance(dtype));
    }
}

}  // namespace
}  // namespace ds::testing

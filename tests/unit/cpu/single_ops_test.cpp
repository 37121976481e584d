// SPDX-License-Identifier: Apache-2.0
// Sizes and values at which kernels of single ops change their way, against ref.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "tests/unit/cpu/against_ref.h"
#include "tests/unit/cpu/program.h"

using namespace ds;
using namespace ds::test;

namespace {

std::vector<double> around(double low, double high, int64_t n) {
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i)
    values.push_back(low + (high - low) * static_cast<double>(i) / static_cast<double>(n - 1));
  return values;
}

}  // namespace

TEST_CASE("index_add of short rows and histograms") {
  for (const DType dtype : kAllDTypes)
    for (const int64_t inner : {1, 3, 8, 9}) {
      const Given base = some(dtype, {2, 11, inner}, 1), src = some(dtype, {2, 300, inner}, 2);
      check_against_ref(Op::index_add_, {int64_t{1}}, {base, indices({300}, 11, 3), src},
                        is_floating(dtype) ? 1e-2 : 0);
    }
  for (const DType dtype : {DType::i64, DType::u8, DType::bool_})
    for (const int64_t count : {15, 16 * 7, 16 * 7 + 3, 5000})
      check_against_ref(Op::index_add_, {int64_t{0}},
                        {some(dtype, {7}, 1), indices({count}, 7, 2), some(dtype, {count}, 3)});
}

TEST_CASE("gather and scatter of single columns and along the last dimension") {
  for (const DType dtype : {DType::f32, DType::bf16, DType::i64}) {
    const Given x = some(dtype, {9001, 3}, 1);
    check_against_ref(Op::gather_, {int64_t{1}}, {x, indices({9001, 1}, 3, 2)});
    check_against_ref(Op::gather_, {int64_t{0}}, {x, indices({20000, 1}, 9001, 2)});
    check_against_ref(Op::scatter_, {int64_t{1}, std::string("add")},
                      {x, indices({9001, 1}, 3, 2), some(dtype, {9001, 1}, 3)}, 1e-2);
    check_against_ref(Op::scatter_, {int64_t{1}, std::string("set")},
                      {x, indices({9001, 2}, 3, 2), some(dtype, {9001, 2}, 3)});
  }
}

TEST_CASE("searchsorted among equal numbers, infinities and NaN") {
  for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::i64})
    for (const int64_t length : {1, 2, 3, 7, 64, 65}) {
      Given sorted = some(dtype, {length}, 1, true);
      sorted = outputs_on("ref", Op::sort_, {int64_t{0}, false}, {sorted})[0];
      for (const bool right : {false, true})
        check_against_ref(Op::searchsorted_, {right}, {sorted, some(dtype, {500}, 2, true)});
    }
}

TEST_CASE("integer division by way of doubles") {
  const int64_t limit = int64_t{1} << 52;
  std::vector<int64_t> a, b;
  for (const int64_t divisor :
       {int64_t{1}, int64_t{-1}, int64_t{3}, int64_t{-7}, int64_t{94906267}, limit - 1, 1 - limit})
    for (const int64_t quotient : {int64_t{0}, int64_t{1}, int64_t{-5}, (limit - 1) / divisor})
      for (const int64_t off : {-1, 0, 1}) {
        a.push_back(std::clamp(quotient * divisor + off, 1 - limit, limit - 1));
        b.push_back(divisor);
      }
  const Shape shape = {static_cast<int64_t>(a.size())};
  for (const Op op : {Op::trunc_divide_, Op::floor_divide_, Op::fmod_, Op::remainder_}) {
    check_against_ref(op, {}, {given(shape, a), given(shape, b)});
    a[5] = limit;  // a block with it divides as integers
    check_against_ref(op, {}, {given(shape, a), given(shape, b)});
    a[5] = 5;
    for (const DType dtype : {DType::i64, DType::i32, DType::i16, DType::i8, DType::u8}) {
      Given divisors = some(dtype, {1500}, 2);
      for (int64_t i = 0; i < 1500; ++i)
        if (element(divisors, i) == 0)
          divisors.bytes[static_cast<size_t>(i) * dtype_size(dtype)] = 1;
      check_against_ref(op, {}, {some(dtype, {1500}, 1), divisors});
    }
  }
}

TEST_CASE("reductions: products, truth and extremes of rows and columns") {
  for (const Op op : {Op::prod_, Op::any_, Op::all_, Op::amax_, Op::amin_})
    for (const DType dtype : kAllDTypes)
      for (const Shape& shape : {Shape{3, 37, 1}, Shape{3, 4, 70}, Shape{2, 1100, 5}})
        for (const bool special : {false, true})
          check_against_ref(op, {Shape{1}, false}, {some(dtype, shape, 1, special)},
                            op == Op::prod_ ? 1e-2 : 0);
}

TEST_CASE("argmax of rows takes the first, NaN before all") {
  for (const Op op : {Op::argmax_, Op::argmin_})
    for (const DType dtype : {DType::f64, DType::i64, DType::i32})
      for (const int64_t n : {1, 5, 31, 32, 400})
        check_against_ref(op, {int64_t{1}, false}, {some(dtype, {7, n}, 3, true)});
}

TEST_CASE("the first few and running extremes with NaN and infinities") {
  for (const DType dtype : kAllDTypes)
    for (const bool largest : {false, true}) {
      for (const Shape& shape : {Shape{3, 700}, Shape{3, 700, 2}})
        check_against_ref(Op::topk_, {int64_t{5}, int64_t{1}, largest},
                          {some(dtype, shape, 1, true)});
      check_against_ref(largest ? Op::cummax_ : Op::cummin_, {int64_t{1}},
                        {some(dtype, {6, 50}, 2, true)});
      check_against_ref(Op::cumsum_, {int64_t{1}}, {some(dtype, {6, 50, 3}, 2)}, 1e-2);
    }
}

TEST_CASE("copies: transposed, flipped, repeated and padded") {
  const auto check = [](const Graph& graph, const Given& x) {
    std::vector<Given> outputs;
    for (const char* backend : {"cpu", "ref"}) {
      const auto executable = backend_of(parse_device(backend)).compile(graph, {});
      Given out{graph.outputs[0].type(), {}};
      out.bytes.resize(static_cast<size_t>(out.type.shape.numel()) * dtype_size(x.type.dtype));
      const std::vector<const void*> src = {x.bytes.data()};
      const std::vector<void*> dst = {out.bytes.data()};
      testing::run_executable(*executable, src, dst);
      outputs.push_back(std::move(out));
    }
    CHECK(outputs[0].bytes == outputs[1].bytes);
  };
  for (const DType dtype : {DType::u8, DType::bf16, DType::f32, DType::f64})
    for (const Shape& shape : {Shape{3, 64, 128}, Shape{2, 70, 33}, Shape{65, 1, 31}}) {
      const Given x = some(dtype, shape, 1);
      const auto run = [&](auto body) {
        Interner interner;
        Graph graph;
        graph.inputs.push_back(interner.node(Op::input_, {}, {int64_t{0}, dtype, shape}));
        graph.outputs.push_back(body(interner, Value{graph.inputs[0], 0}));
        check(graph, x);
      };
      for (const Shape& order : {Shape{0, 2, 1}, Shape{2, 1, 0}, Shape{1, 2, 0}})
        run([&](Interner& interner, const Value& in) {
          return Value{interner.node(Op::permute_, {in}, {order}), 0};
        });
      for (const Shape& dims : {Shape{2}, Shape{0}, Shape{1, 2}})
        run([&](Interner& interner, const Value& in) {
          return Value{interner.node(Op::flip_, {in}, {dims}), 0};
        });
      run([&](Interner& interner, const Value& in) {
        return Value{interner.node(Op::pad_, {in}, {Shape{0, 1, 2}, Shape{1, 0, 3}, 2.0}), 0};
      });
      Shape split = {shape[0], shape[1], shape[2], 1}, grown = split;
      grown[3] = 4;
      run([&](Interner& interner, const Value& in) {
        const Value apart{interner.node(Op::reshape_, {in}, {split}), 0};
        return Value{interner.node(Op::expand_, {apart}, {grown}), 0};
      });
    }
}

TEST_CASE("floats as integers: cut off, saturated, NaN is 0") {
  std::vector<float> values;
  for (const double x : around(-70000, 70000, 333)) values.push_back(static_cast<float>(x) + 0.3f);
  const float odd[] = {NAN, INFINITY, -INFINITY, 0x1p31f, -0x1p31f, 0x1p62f, 3e9f, 1e30f, -0.9f};
  for (size_t i = 0; i < std::size(odd); ++i) values[200 + i] = odd[i];
  const Given x = given({333}, values);
  for (const DType dtype : {DType::i64, DType::i32, DType::i16, DType::i8, DType::u8, DType::f64})
    check_against_ref(Op::cast_, {dtype}, {x});
}

TEST_CASE("transcendental functions of f64") {
  for (const Op op : {Op::exp_, Op::log_, Op::sin_, Op::cos_, Op::tanh_, Op::sigmoid_}) {
    for (const double most : {1e-3, 1.0, 30.0, 690.0, 1e3, 1e300}) {
      std::vector<double> x = around(op == Op::log_ ? most / 1e6 : -most, most, 1003);
      const Given in = given({1003}, x);
      const auto got = outputs_on("cpu", op, {}, {in})[0],
                 want = outputs_on("ref", op, {}, {in})[0];
      for (int64_t i = 0; i < 1003; ++i) {
        const double a = element(got, i), b = element(want, i);
        CAPTURE(op_name(op));
        CAPTURE(x[static_cast<size_t>(i)]);
        REQUIRE((a == b || std::fabs(a - b) <= 5 * 0x1p-52 * std::fabs(b)));
      }
    }
    check_against_ref(op, {},
                      {given<double>({9}, {NAN, INFINITY, -INFINITY, 0.0, -0.0, 5e-324, 710, -746,
                                           std::numeric_limits<double>::min()})},
                      1e-15);
  }
}

TEST_CASE("matrix times vector, and products in f64 of odd sizes") {
  for (const int64_t m : {1, 5, 97, 200})
    for (const int64_t k : {1, 6, 33, 400}) {
      check_against_ref(Op::matmul_, {}, {some(DType::f32, {m, k}, 1), some(DType::f32, {k, 1}, 2)},
                        1e-5);
      for (const int64_t n : {1, 15, 34})
        check_against_ref(Op::matmul_, {},
                          {some(DType::f64, {2, m, k}, 1), some(DType::f64, {2, k, n}, 2)}, 1e-13);
    }
}

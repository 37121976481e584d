// SPDX-License-Identifier: Apache-2.0
// Elementwise ops and reductions of integers, bool and f64 against ref.
#include <doctest/doctest.h>

#include <limits>

#include "ds/base/error.h"
#include "tests/unit/cpu/against_ref.h"
#include "tests/unit/cpu/program.h"

using namespace ds;
using namespace ds::test;

namespace {

const DType kIntegers[] = {DType::i64, DType::i32, DType::i16, DType::i8, DType::u8};

/// Numbers at the ends of the dtype's range among small ones.
Given extreme(DType dtype, const Shape& shape, unsigned seed) {
  Given made = some(dtype, shape, seed, true);
  dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      const T ends[] = {std::numeric_limits<T>::min(), std::numeric_limits<T>::max(),
                        static_cast<T>(-1)};
      for (int64_t i = 0; i < shape.numel(); i += 3)
        std::memcpy(made.bytes.data() + static_cast<size_t>(i) * sizeof(T),
                    &ends[(i / 3 + seed) % 3], sizeof(T));
    }
  });
  return made;
}

/// Divisors: no zeros.
Given without_zeros(Given value) {
  dispatch(value.type.dtype, [&](auto tag) {
    using T = decltype(tag);
    for (size_t at = 0; at < value.bytes.size(); at += sizeof(T)) {
      const T one = static_cast<T>(1);
      if (element({{value.type.dtype, {}},
                   {value.bytes.begin() + static_cast<long>(at),
                    value.bytes.begin() + static_cast<long>(at + sizeof(T))}},
                  0) == 0)
        std::memcpy(value.bytes.data() + at, &one, sizeof(T));
    }
  });
  return value;
}

void check_pairs(std::initializer_list<Op> ops, DType dtype, bool divides) {
  const Given a = extreme(dtype, {3, 700}, 1);
  for (const Shape& other : {Shape{3, 700}, Shape{700}, Shape{3, 1}, Shape{}}) {
    Given b = extreme(dtype, other, 2);
    if (divides) b = without_zeros(b);
    for (const Op op : ops) check_against_ref(op, {}, {a, b});
  }
}

}  // namespace

TEST_CASE("integer arithmetic wraps around as ref does") {
  for (const DType dtype : kIntegers) {
    for (const Op op : {Op::neg_, Op::abs_, Op::sign_, Op::square_, Op::relu_, Op::floor_,
                        Op::round_, Op::bitwise_not_, Op::logical_not_, Op::isnan_, Op::isfinite_})
      check_against_ref(op, {}, {extreme(dtype, {5, 300}, 1)});
    check_pairs(
        {Op::add_,        Op::sub_,         Op::mul_,        Op::maximum_,     Op::minimum_,
         Op::eq_,         Op::ne_,          Op::lt_,         Op::le_,          Op::gt_,
         Op::ge_,         Op::logical_and_, Op::logical_or_, Op::logical_xor_, Op::bitwise_and_,
         Op::bitwise_or_, Op::bitwise_xor_, Op::pow_,        Op::left_shift_,  Op::right_shift_},
        dtype, false);
    check_pairs({Op::trunc_divide_, Op::floor_divide_, Op::fmod_, Op::remainder_}, dtype, true);
  }
}

TEST_CASE("logic of bool") {
  for (const Op op : {Op::bitwise_not_, Op::logical_not_, Op::isnan_, Op::isfinite_})
    check_against_ref(op, {}, {some(DType::bool_, {5, 300}, 1)});
  check_pairs({Op::add_, Op::mul_, Op::maximum_, Op::minimum_, Op::eq_, Op::ne_, Op::lt_, Op::le_,
               Op::gt_, Op::ge_, Op::logical_and_, Op::logical_or_, Op::logical_xor_,
               Op::bitwise_and_, Op::bitwise_or_, Op::bitwise_xor_},
              DType::bool_, false);
}

TEST_CASE("f64 arithmetic is that of ref to the last bit") {
  const Given x = some(DType::f64, {5, 300}, 1, true);
  for (const Op op : {Op::neg_, Op::abs_, Op::sign_, Op::sqrt_, Op::rsqrt_, Op::reciprocal_,
                      Op::square_, Op::relu_, Op::floor_, Op::ceil_, Op::round_, Op::trunc_,
                      Op::isnan_, Op::isinf_, Op::isfinite_, Op::logical_not_})
    check_against_ref(op, {}, {x});
  check_pairs({Op::add_, Op::sub_, Op::mul_, Op::div_, Op::copysign_, Op::maximum_, Op::minimum_,
               Op::eq_, Op::ne_, Op::lt_, Op::le_, Op::gt_, Op::ge_, Op::logical_and_,
               Op::logical_or_, Op::logical_xor_},
              DType::f64, false);
}

TEST_CASE("casts and where of every dtype") {
  for (const DType from : kAllDTypes)
    for (const DType to : kAllDTypes) {
      // A float outside a narrow integer has no result to agree on; see the next test for i64.
      if (from == to) continue;
      check_against_ref(Op::cast_, {to}, {some(from, {7, 200}, 1, is_floating(to))});
    }
  for (const DType dtype : kAllDTypes) {
    const Given condition = some(DType::bool_, {1, 200}, 1);
    check_against_ref(Op::where_, {},
                      {condition, extreme(dtype, {7, 200}, 2), extreme(dtype, {7, 1}, 3)});
    check_against_ref(Op::where_, {}, {condition, extreme(dtype, {}, 2), extreme(dtype, {200}, 3)});
  }
}

TEST_CASE("f64 to i64 saturates and NaN is 0") {
  const std::vector<double> values = {1e300, -1e300, NAN, INFINITY, -INFINITY, -2.9, 2.9, 0x1p62};
  check_against_ref(Op::cast_, {DType::i64}, {given<double>({8}, values)});
}

TEST_CASE("integer division by zero is a ValueError that names the op") {
  const Given a = given<int64_t>({3}, {1, 2, 3}), b = given<int64_t>({3}, {1, 0, 1});
  CHECK_THROWS_WITH_AS(outputs_on("cpu", Op::floor_divide_, {}, {a, b}),
                       "floor_divide: integer division by zero", ValueError);
  CHECK_THROWS_AS(outputs_on("cpu", Op::remainder_, {}, {a, b}), ValueError);
}

TEST_CASE("typed ops follow the memory order of their inputs") {
  Program p;
  const Value x = p.input({4, 3, 5}, DType::i64), row = p.input({4}, DType::i64);
  const Value turned = p.make(Op::permute_, {x}, {Shape{2, 1, 0}});
  p.compile({p.make(Op::add_, {turned, row}, {})});
  std::vector<int64_t> src(60), out(60), add = {100, 200, 300, 400};
  for (size_t i = 0; i < 60; ++i) src[i] = static_cast<int64_t>(i);
  p.run({src.data(), add.data()}, {out.data()});
  for (int64_t i = 0; i < 5; ++i)
    for (int64_t j = 0; j < 3; ++j)
      for (int64_t k = 0; k < 4; ++k)
        CHECK(out[static_cast<size_t>((i * 3 + j) * 4 + k)] == (k * 3 + j) * 5 + i + (k + 1) * 100);
}

TEST_CASE("reductions of integers, bool and f64") {
  for (const DType dtype :
       {DType::i64, DType::i32, DType::i16, DType::i8, DType::u8, DType::bool_, DType::f64})
    for (const Shape& dims : {Shape{}, Shape{0}, Shape{1}, Shape{2}, Shape{0, 2}, Shape{0, 1, 2}}) {
      const Given x = extreme(dtype, {3, 70, 130}, 1);
      const Given calm = some(dtype, {3, 70, 130}, 1);
      const double tolerance = dtype == DType::f64 ? 1e-12 : 0;
      check_against_ref(Op::sum_, {dims, false}, {calm}, tolerance);
      if (dtype != DType::f64) check_against_ref(Op::prod_, {dims, false}, {x});
      for (const Op op : {Op::amax_, Op::amin_, Op::any_, Op::all_})
        check_against_ref(op, {dims, true}, {x});
      if (dtype == DType::f64) check_against_ref(Op::mean_, {dims, false}, {calm}, tolerance);
      if (dims.rank() == 1)
        for (const Op op : {Op::argmax_, Op::argmin_}) check_against_ref(op, {dims[0], false}, {x});
    }
  check_against_ref(Op::sum_, {Shape{0}, false}, {some(DType::i64, {0, 3}, 1)});
  check_against_ref(Op::all_, {Shape{0}, false}, {some(DType::i64, {0, 3}, 1)});
}

TEST_CASE("a long row is reduced in pieces") {
  for (const DType dtype : {DType::i64, DType::i8, DType::bool_, DType::f64}) {
    const Given x = extreme(dtype, {200003}, 1), calm = some(dtype, {200003}, 1);
    check_against_ref(Op::sum_, {Shape{0}, false}, {calm}, dtype == DType::f64 ? 1e-12 : 0);
    for (const Op op : {Op::amax_, Op::amin_, Op::any_, Op::all_})
      check_against_ref(op, {Shape{0}, false}, {x});
  }
}

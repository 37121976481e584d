// SPDX-License-Identifier: Apache-2.0
// Recurrent layers of the cpu backend against ref, for every instruction set: rows and widths that
// fill no block or strip, batches in several blocks, both directions, packed sequences.
#include "ds/ir/recurrent.h"

#include <doctest/doctest.h>

#include <numeric>

#include "ds/base/error.h"
#include "ds/base/parallel.h"
#include "tests/unit/cpu/against_ref.h"
#include "tests/unit/cpu/kernel_testing.h"
#include "tests/unit/cpu/program.h"

using namespace ds;
using namespace ds::test;

namespace {

struct Case {
  int64_t steps, batch, hidden, out = 0;
  std::vector<int64_t> sizes = {};  // of packed sequences
};

Given number(const Shape& shape, unsigned seed) {
  return given(shape,
               cpu::testing::random_floats(static_cast<size_t>(shape.numel()), seed, -0.5F, 0.5F));
}

/// Numbers that are bf16, as f32 or in their own dtype.
Given weights(const Shape& shape, unsigned seed, DType dtype) {
  if (dtype == DType::f32) return number(shape, seed);
  std::vector<bf16> values;
  for (const float x :
       cpu::testing::random_floats(static_cast<size_t>(shape.numel()), seed, -0.1F, 0.1F))
    values.push_back(bf16(x));
  return given(shape, values);
}

/// Inputs of recurrent, or of recurrent_backward with `diff_c` or without.
std::vector<Given> inputs_of(CellKind kind, const Case& at, bool backward, bool diff_c,
                             DType dtype) {
  const int64_t gates = gate_count(kind) * at.hidden, out = at.out > 0 ? at.out : at.hidden;
  const bool lstm = kind == CellKind::lstm, gru = kind == CellKind::gru;
  const auto wide = [&](int64_t width) {
    return at.sizes.empty()
               ? Shape{at.steps, at.batch, width}
               : Shape{std::accumulate(at.sizes.begin(), at.sizes.end(), int64_t{0}), width};
  };
  std::vector<Given> all;
  if (!backward) {
    all = {number(wide(gates), 1), number({at.batch, out}, 2)};
  } else {
    all = {number(wide(out), 1), number(wide(out), 2), number({at.batch, out}, 3),
           number(wide(lstm || gru ? gates : 0), 4), number(wide(lstm || gru ? at.hidden : 0), 5)};
  }
  all.push_back(weights({gates, out}, 6, dtype));
  if (lstm) all.push_back(number({at.batch, at.hidden}, 7));
  if (gru && !backward) all.push_back(number({at.hidden}, 8));
  if (lstm && out != at.hidden) all.push_back(weights({out, at.hidden}, 9, dtype));
  if (!at.sizes.empty()) all.push_back(given({at.steps}, at.sizes));
  if (diff_c) all.push_back(number(wide(at.hidden), 10));
  return all;
}

void check(CellKind kind, const Case& at, bool reverse, DType dtype) {
  // The state is rounded to bf16 before each product.
  const double tolerance = dtype == DType::bf16 ? 5e-3 : 2e-5;
  const double backward = dtype == DType::bf16 ? 2e-2 : 2e-4;
  const Attrs attrs{cell_kind_name(kind), reverse};
  CAPTURE(cell_kind_name(kind));
  CAPTURE(at.hidden);
  CAPTURE(reverse);
  check_against_ref(Op::recurrent_, attrs, inputs_of(kind, at, false, false, dtype), tolerance);
  check_against_ref(Op::recurrent_backward_, attrs, inputs_of(kind, at, true, false, dtype),
                    backward);
  if (kind == CellKind::lstm)
    check_against_ref(Op::recurrent_backward_, attrs, inputs_of(kind, at, true, true, dtype),
                      backward);
}

const std::vector<Case> kCases{
    {1, 1, 1},
    {3, 2, 5},
    {4, 7, 16},
    {2, 53, 40},
    {2, 3, 130},
    {2, 1, 300},  // threads share its steps
    {2, 5, 300},
    {4, 5, 3, 0, {5, 3, 3, 1}},
    {3, 60, 17, 0, {59, 31, 2}},
};

}  // namespace

TEST_CASE("recurrent and recurrent_backward") {
  cpu::testing::for_each_target([&] {
    for (const CellKind kind :
         {CellKind::lstm, CellKind::gru, CellKind::rnn_tanh, CellKind::rnn_relu})
      for (const Case& at : kCases)
        for (const bool reverse : {false, true}) check(kind, at, reverse, DType::f32);
    for (const Case& at : {Case{3, 2, 5, 3}, Case{2, 30, 40, 33}, Case{2, 3, 6, 1, {3, 1}}})
      for (const bool reverse : {false, true}) check(CellKind::lstm, at, reverse, DType::f32);
  });
}

TEST_CASE("recurrent layers with weights of bf16") {
  cpu::testing::for_each_target([&] {
    for (const CellKind kind : {CellKind::lstm, CellKind::gru, CellKind::rnn_tanh})
      for (const Case& at : kCases)
        for (const bool reverse : {false, true}) check(kind, at, reverse, DType::bf16);
    check(CellKind::lstm, {3, 30, 17, 5}, false, DType::bf16);
  });
}

TEST_CASE("a recurrent layer's values do not depend on the number of threads") {
  const int threads = num_threads();
  for (const CellKind kind : {CellKind::lstm, CellKind::gru})
    for (const Case& at :
         {Case{5, 37, 64}, Case{3, 5, 300}, Case{5, 37, 64, 0, {37, 20, 19, 3, 1}}}) {
      const auto inputs = inputs_of(kind, at, false, false, DType::f32);
      std::vector<std::vector<char>> results;
      for (const int count : {1, 2, 5}) {
        set_num_threads(count);
        results.push_back(
            outputs_on("cpu", Op::recurrent_, {cell_kind_name(kind), false}, inputs)[0].bytes);
      }
      set_num_threads(threads);
      CHECK(results[0] == results[1]);
      CHECK(results[0] == results[2]);
    }
}

TEST_CASE("sizes that do not fit packed sequences are refused") {
  for (const char* backend : {"cpu", "ref"})
    for (const std::vector<int64_t>& sizes :
         {std::vector<int64_t>{3, 4, 1}, {2, 2, 2}, {9, 0, 0}, {4, 3, -1}}) {
      auto inputs = inputs_of(CellKind::gru, {3, 4, 5, 0, {4, 3, 1}}, false, false, DType::f32);
      inputs.back() = given({3}, sizes);
      CHECK_THROWS_AS(outputs_on(backend, Op::recurrent_, {std::string("gru"), false}, inputs),
                      ValueError);
    }
}

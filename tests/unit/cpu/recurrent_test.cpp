// SPDX-License-Identifier: Apache-2.0
// Recurrent layers of the cpu backend against ref, for every instruction set: rows and widths that
// fill no block or strip, batches in several blocks, both directions.
#include <doctest/doctest.h>

#include "ds/base/parallel.h"
#include "tests/unit/cpu/against_ref.h"
#include "tests/unit/cpu/kernel_testing.h"
#include "tests/unit/cpu/program.h"

using namespace ds;
using namespace ds::test;

TEST_CASE("lstm and lstm_backward") {
  struct Case {
    int64_t steps, batch, hidden;
  };
  cpu::testing::for_each_target([&] {
    for (const Case& at :
         {Case{1, 1, 1}, Case{3, 2, 5}, Case{4, 7, 16}, Case{2, 53, 40}, Case{2, 3, 130}})
      for (const bool reverse : {false, true}) {
        const Shape states{at.steps, at.batch, at.hidden}, state{at.batch, at.hidden};
        const Shape gates{at.steps, at.batch, 4 * at.hidden}, weight{4 * at.hidden, at.hidden};
        const auto number = [](const Shape& shape, unsigned seed) {
          return given(shape, cpu::testing::random_floats(static_cast<size_t>(shape.numel()), seed,
                                                          -0.5F, 1));
        };
        check_against_ref(Op::lstm_, {reverse},
                          {number(gates, 1), number(state, 2), number(state, 3), number(weight, 4)},
                          2e-5);
        const std::vector<Given> inputs{number(states, 5), number(gates, 6),  number(states, 7),
                                        number(state, 8),  number(weight, 9), number(states, 10)};
        check_against_ref(Op::lstm_backward_, {reverse}, inputs, 1e-4);
        check_against_ref(Op::lstm_backward_, {reverse}, {inputs.begin(), inputs.end() - 1}, 1e-4);
      }
  });
}

TEST_CASE("an lstm's values do not depend on the number of threads") {
  const Shape state{37, 64};
  const std::vector<Given> inputs{some(DType::f32, {5, 37, 256}, 1), some(DType::f32, state, 2),
                                  some(DType::f32, state, 3), some(DType::f32, {256, 64}, 4)};
  const int threads = num_threads();
  std::vector<std::vector<char>> results;
  for (const int count : {1, 2, 5}) {
    set_num_threads(count);
    results.push_back(outputs_on("cpu", Op::lstm_, {false}, inputs)[0].bytes);
  }
  set_num_threads(threads);
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

// SPDX-License-Identifier: Apache-2.0
// Index ops of the cpu backend against ref, for every dtype and place of the dimension.
#include <doctest/doctest.h>

#include <vector>

#include "ds/base/error.h"
#include "ds/base/parallel.h"
#include "tests/unit/cpu/against_ref.h"
#include "tests/unit/cpu/program.h"

using namespace ds;
using namespace ds::test;

namespace {

/// Halves round once, but f32 sums of ref are formed in f64.
double tolerance_of(DType dtype) {
  return dtype == DType::bf16  ? 0x1p-8
         : dtype == DType::f16 ? 0x1p-10
         : is_floating(dtype)  ? 1e-6
                               : 0;
}

}  // namespace

TEST_CASE("index_select, index_copy and index_add along every dimension") {
  for (const DType dtype : kAllDTypes)
    for (int64_t dim = 0; dim < 3; ++dim)
      for (const Shape& picked : {Shape{6}, Shape{2, 2}, Shape{}, Shape{0}}) {
        const Shape shape = {4, 3, 5};
        Shape rows;
        for (int64_t d = 0; d < dim; ++d) rows.push_back(shape[static_cast<int>(d)]);
        for (const int64_t size : picked) rows.push_back(size);
        for (int d = static_cast<int>(dim) + 1; d < 3; ++d) rows.push_back(shape[d]);
        const Given base = some(dtype, shape, 1), src = some(dtype, rows, 2);
        const Given index = indices(picked, shape[static_cast<int>(dim)], 3);
        check_against_ref(Op::index_select_, {dim}, {base, index});
        check_against_ref(Op::index_copy_, {dim}, {base, index, src});
        check_against_ref(Op::index_add_, {dim}, {base, index, src}, tolerance_of(dtype));
      }
}

TEST_CASE("indices into a dimension of size 1") {
  const Given base = some(DType::f32, {4, 1, 5}, 1), index = given<int64_t>({3}, {0, 0, 0});
  const Given src = some(DType::f32, {4, 3, 5}, 2);
  check_against_ref(Op::index_select_, {int64_t{1}}, {base, index});
  check_against_ref(Op::index_copy_, {int64_t{1}}, {base, index, src});
  check_against_ref(Op::index_add_, {int64_t{1}}, {base, index, src}, 1e-6);
}

TEST_CASE("the sums of index_add do not depend on the number of threads") {
  // Half of all positions go to one row.
  std::vector<int64_t> rows(3000);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = i % 2 ? 7 : static_cast<int64_t>(i * 31 % 100);
  const Given base = some(DType::f32, {100, 600}, 1), src = some(DType::f32, {3000, 600}, 2);
  const Given index = given({3000}, rows);
  const int threads = num_threads();
  std::vector<std::vector<char>> results;
  for (const int count : {1, 2, 5}) {
    set_num_threads(count);
    results.push_back(outputs_on("cpu", Op::index_add_, {int64_t{0}}, {base, index, src})[0].bytes);
  }
  set_num_threads(threads);
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
  check_against_ref(Op::index_add_, {int64_t{0}}, {base, index, src}, 1e-6);
}

TEST_CASE("gather and scatter along every dimension") {
  for (const DType dtype : kAllDTypes)
    for (int64_t dim = 0; dim < 3; ++dim) {
      const Shape shape = {4, 3, 5};
      Shape covered = {3, 2, 4};
      covered[static_cast<int>(dim)] = 7;
      Shape wider = covered;
      wider[0] += 1;
      const Given base = some(dtype, shape, 1), src = some(dtype, wider, 2);
      const Given index = indices(covered, shape[static_cast<int>(dim)], 3);
      check_against_ref(Op::gather_, {dim}, {base, index});
      for (const char* reduce : {"set", "add", "mul", "amax", "amin"})
        check_against_ref(Op::scatter_, {dim, std::string(reduce)}, {base, index, src},
                          tolerance_of(dtype));
    }
  check_against_ref(Op::gather_, {int64_t{0}}, {some(DType::f32, {}, 1), indices({}, 1, 2)});
  check_against_ref(Op::scatter_, {int64_t{0}, std::string("add")},
                    {some(DType::f32, {}, 1), indices({}, 1, 2), some(DType::f32, {}, 3)}, 1e-6);
}

TEST_CASE("large gathers and scatters are shared out among threads") {
  const int threads = num_threads();
  set_num_threads(4);
  for (const int64_t dim : {0, 1}) {
    const Shape shape = {300, 200};
    const Given base = some(DType::f32, shape, 1), src = some(DType::f32, shape, 2);
    const Given index = indices(shape, shape[static_cast<int>(dim)], 3);
    check_against_ref(Op::gather_, {dim}, {base, index});
    for (const char* reduce : {"set", "add"})
      check_against_ref(Op::scatter_, {dim, std::string(reduce)}, {base, index, src}, 1e-5);
  }
  set_num_threads(threads);
}

TEST_CASE("nonzero and searchsorted") {
  for (const DType dtype : kAllDTypes) {
    const Given src = some(dtype, {70, 3, 100}, 1, true);
    int64_t count = 0;
    for (int64_t i = 0; i < src.type.shape.numel(); ++i) count += element(src, i) != 0;
    for (const int64_t first : {count, count / 3, int64_t{0}})
      check_against_ref(Op::nonzero_, {first}, {src});
    if (dtype == DType::bool_) continue;
    const Given rows =
        outputs_on("ref", Op::sort_, {int64_t{1}, false}, {some(dtype, {3, 40}, 2, true)})[0];
    const Given row =
        outputs_on("ref", Op::sort_, {int64_t{0}, false}, {some(dtype, {40}, 3, true)})[0];
    for (const bool right : {false, true}) {
      check_against_ref(Op::searchsorted_, {right}, {rows, some(dtype, {3, 9}, 4, true)});
      check_against_ref(Op::searchsorted_, {right}, {row, some(dtype, {2, 9}, 5, true)});
    }
  }
}

TEST_CASE("an index out of range is an IndexError and nothing is written") {
  const Given base = some(DType::f32, {4, 3}, 1), bad = given<int64_t>({2}, {1, 4});
  const Given rows = some(DType::f32, {2, 3}, 2);
  const char* message = "index 4 is out of range for dimension 0 of size 4";
  for (const Op op : {Op::index_add_, Op::index_copy_})
    CHECK_THROWS_WITH_AS(outputs_on("cpu", op, {int64_t{0}}, {base, bad, rows}),
                         str(op_name(op), ": ", message).c_str(), IndexError);
  CHECK_THROWS_WITH_AS(outputs_on("cpu", Op::index_select_, {int64_t{0}}, {base, bad}),
                       str("index_select: ", message).c_str(), IndexError);
  const Given negative = given<int64_t>({1, 3}, {0, -1, 2});
  CHECK_THROWS_AS(outputs_on("cpu", Op::gather_, {int64_t{0}}, {base, negative}), IndexError);
  CHECK_THROWS_AS(outputs_on("cpu", Op::scatter_, {int64_t{0}, std::string("set")},
                             {base, negative, some(DType::f32, {1, 3}, 3)}),
                  IndexError);
}

TEST_CASE("index_add into a donated input and into zeros") {
  Program p;
  const Value table = p.input({5, 4}), index = p.input({3}, DType::i64), rows = p.input({3, 4});
  const Value zeros =
      p.make(Op::expand_, {p.make(Op::constant_, {}, {0.0, DType::f32})}, {Shape{5, 4}});
  CompileOptions options;
  options.donations = {{0, 0}};
  p.compile({p.make(Op::index_add_, {table, index, rows}, {int64_t{0}}),
             p.make(Op::index_add_, {zeros, index, rows}, {int64_t{0}})},
            options);
  // In place: no copy of the table.
  CHECK(p.kernels() == std::vector<std::string>{"cpu:index_add", "cpu:index_add"});
  std::vector<float> memory(20, 1), fresh(20, 9), src(12);
  for (size_t i = 0; i < 12; ++i) src[i] = static_cast<float>(i);
  const int64_t at[] = {4, 1, 4};
  p.run({memory.data(), at, src.data()}, {memory.data(), fresh.data()});
  for (size_t c = 0; c < 4; ++c) {
    const float to4 = src[c] + src[8 + c], to1 = src[4 + c];
    CHECK(memory[16 + c] == 1 + to4);
    CHECK(memory[4 + c] == 1 + to1);
    CHECK(memory[c] == 1);
    CHECK(fresh[16 + c] == to4);
    CHECK(fresh[4 + c] == to1);
    CHECK(fresh[c] == 0);
  }
}

TEST_CASE("index_copy into a donated input writes its rows only") {
  Program p;
  const Value table = p.input({2, 5, 3}), index = p.input({3}, DType::i64);
  const Value rows = p.input({2, 3, 3});
  CompileOptions options;
  options.donations = {{0, 0}};
  p.compile({p.make(Op::index_copy_, {table, index, rows}, {int64_t{1}})}, options);
  CHECK(p.kernels() == std::vector<std::string>{"cpu:index_copy"});
  std::vector<float> memory(30, -1), src(18);
  for (size_t i = 0; i < 18; ++i) src[i] = static_cast<float>(i);
  const int64_t at[] = {4, 1, 4};
  p.run({memory.data(), at, src.data()}, {memory.data()});
  for (size_t b = 0; b < 2; ++b)
    for (size_t c = 0; c < 3; ++c) {
      const float *out = memory.data() + 15 * b + c, *in = src.data() + 9 * b + c;
      CHECK(out[0] == -1);
      CHECK(out[3] == in[3]);
      CHECK(out[12] == in[6]);  // the last of two writers
    }
}

// SPDX-License-Identifier: Apache-2.0
// Every kernel that a product may be tuned to, against plain loops; and that the choice is taken.
#include "ds/backends/cpu/matmul_kernels.h"

#include <algorithm>

#include "ds/base/str.h"
#include "ds/runtime/kernel_choices.h"
#include "kernel_testing.h"
#include "program.h"
#include "tests/unit/io/testing.h"

using namespace ds;
using namespace ds::cpu;
using ds::cpu::testing::as;
using ds::cpu::testing::floats;
using ds::cpu::testing::for_each_target;
using ds::cpu::testing::random_floats;

namespace {

/// [..., rows, cols], row-major or with the matrices transposed.
View operand(DType dtype, const Shape& dims, bool transposed) {
  View view{0, dtype, dims, contiguous_strides(dims), 0};
  const int r = dims.rank();
  if (transposed) {
    view.strides[r - 2] = 1;
    view.strides[r - 1] = dims[r - 2];
  }
  return view;
}

int64_t place(const View& view, int64_t batch, int64_t row, int64_t col) {
  const int r = view.dims.rank();
  int64_t at = row * view.strides[r - 2] + col * view.strides[r - 1];
  for (int d = r - 3; d >= 0; --d) {
    at += batch % view.dims[d] * view.strides[d];
    batch /= view.dims[d];
  }
  return at;
}

template <class T>
void check_all(const View& lhs, const View& rhs, const Shape& dims, double tolerance) {
  const int r = dims.rank();
  const auto a = as<T>(random_floats(extent(lhs) / sizeof(T), 1));
  const auto b = as<T>(random_floats(extent(rhs) / sizeof(T), 2));
  const int64_t m = dims[r - 2], n = dims[r - 1], k = lhs.dims[r - 1];
  for (const Kernel& kernel : matmul_kernels(lhs, rhs, dims)) {
    std::vector<T> c(static_cast<size_t>(dims.numel()), T(7));
    std::vector<float> space(kernel.scratchpad_bytes / 4 + 64);
    // Scratch memory is aligned as a program's arena is.
    auto* aligned = reinterpret_cast<char*>(space.data());
    aligned += 64 - reinterpret_cast<uintptr_t>(aligned) % 64;
    kernel.run(a.data(), b.data(), c.data(), aligned);
    for (int64_t i = 0; i < dims.numel(); ++i) {
      const int64_t batch = i / (m * n), row = i / n % m, col = i % n;
      double sum = 0;
      for (int64_t p = 0; p < k; ++p)
        sum += double(float(a[static_cast<size_t>(place(lhs, batch, row, p))])) *
               float(b[static_cast<size_t>(place(rhs, batch, p, col))]);
      const double got = float(c[static_cast<size_t>(i)]);
      if (std::abs(got - sum) > tolerance * (1 + std::abs(sum)))
        FAIL(str(kernel.name, ": ", lhs.dims, " x ", rhs.dims, " strides ", rhs.strides, " at ", i,
                 ": ", got, " is not ", sum));
    }
  }
}

std::vector<std::string> names(const View& lhs, const View& rhs, const Shape& dims) {
  std::vector<std::string> found;
  for (const Kernel& kernel : matmul_kernels(lhs, rhs, dims)) found.push_back(kernel.name);
  return found;
}

bool has(const std::vector<std::string>& found, const std::string& name) {
  return std::find(found.begin(), found.end(), name) != found.end();
}

}  // namespace

TEST_CASE("matmul kernels: all of them compute the product") {
  for_each_target([] {
    for (const int64_t m : {1, 3, 8, 33})
      for (const int64_t n : {1, 5, 16, 31, 32, 33, 70})
        for (const int64_t k : {1, 6, 40})
          for (const bool left : {false, true})
            for (const bool right : {false, true})
              check_all<float>(operand(DType::f32, {m, k}, left),
                               operand(DType::f32, {k, n}, right), {m, n}, 1e-4);
  });
}

TEST_CASE("matmul kernels: batches") {
  for_each_target([] {
    for (const int64_t n : {3, 16, 17, 48})
      for (const bool left : {false, true})
        for (const bool right : {false, true}) {
          check_all<float>(operand(DType::f32, {2, 3, 7, 9}, left),
                           operand(DType::f32, {2, 3, 9, n}, right), {2, 3, 7, n}, 1e-4);
          View repeated = operand(DType::f32, {2, 3, 9, n}, right);
          repeated.strides[1] = 0;  // the same matrix for all three
          check_all<float>(operand(DType::f32, {2, 3, 7, 9}, left), repeated, {2, 3, 7, n}, 1e-4);
          repeated.strides[0] = 0;  // for all six
          check_all<float>(operand(DType::f32, {2, 3, 7, 9}, left), repeated, {2, 3, 7, n}, 1e-4);
        }
  });
}

TEST_CASE("matmul kernels: bf16") {
  for (const bool right : {false, true})
    check_all<bf16>(operand(DType::bf16, {8, 64}, false), operand(DType::bf16, {64, 48}, right),
                    {8, 48}, 2e-2);
}

TEST_CASE("matmul kernels: which take what") {
  const auto of = [](const Shape& lhs, const Shape& rhs, bool transposed, const Shape& dims) {
    return names(operand(DType::f32, lhs, false), operand(DType::f32, rhs, transposed), dims);
  };
  CHECK(has(of({2, 8}, {8, 40}, true, {2, 40}), "cpu:thin_matmul"));
  CHECK(has(of({20, 8}, {8, 40}, false, {20, 40}), "cpu:matmul"));
  CHECK(!has(of({20, 8}, {8, 40}, true, {20, 40}), "cpu:matmul"));
  CHECK(has(of({5, 20, 8}, {5, 8, 40}, true, {5, 20, 40}), "cpu:small_matmul"));
  CHECK(!has(of({2, 4, 300}, {2, 300, 300}, false, {2, 4, 300}), "cpu:small_matmul"));  // large
  const auto all = of({20, 8}, {8, 40}, false, {20, 40});
  std::string why;
  CHECK(all.front() == matmul_rule(operand(DType::f32, {20, 8}, false),
                                   operand(DType::f32, {8, 40}, false), {20, 40}, why)
                           ->name);
  CHECK(std::count(all.begin(), all.end(), all.front()) == 1);
}

TEST_CASE("matmul kernels: small matrices are ours by rule, larger ones not") {
  const auto ours = [](const Shape& lhs, const Shape& rhs) {
    std::string why;
    Shape dims = lhs;
    dims.back() = rhs.back();
    const auto rule =
        matmul_rule(operand(DType::f32, lhs, false), operand(DType::f32, rhs, false), dims, why);
    return rule->name == "cpu:small_matmul";
  };
  CHECK(ours({6, 16, 16}, {6, 16, 16}));
  CHECK(!ours({6, 64, 64}, {6, 64, 64}));
  CHECK(ours({64, 64}, {64, 64}));
  CHECK(!ours({65, 64}, {64, 64}));
}

TEST_CASE("matmul kernels: a choice that is kept is taken, one that is unknown is not") {
  const io::TemporaryFolder folder;
  const View lhs = operand(DType::f32, {20, 8}, false), rhs = operand(DType::f32, {8, 40}, false);
  const auto kernel = [] {
    test::Program program;
    const Value x = program.input({20, 8}), w = program.input({8, 40});
    program.compile({program.make(Op::matmul_, {x, w})});
    return program.kernels().front();
  };
  std::string why;
  const std::string rule = matmul_rule(lhs, rhs, {20, 40}, why)->name;
  CHECK(kernel() == rule);
  open_choices(folder / "x");
  set_tuning(Tuning::measure);
  const std::string measured = kernel();
  REQUIRE(measured_choices().size() == 1);
  const KernelChoice choice = measured_choices()[0];
  CHECK((choice.kernel == measured && choice.rule == rule && choice.seconds > 0));
  CHECK(kernel() == measured);
  CHECK(measured_choices().size() == 1);  // once
  CHECK(read_choices(folder / "x") == ChoiceTable{{choice.problem, measured}});

  set_tuning(Tuning::use);
  for (const std::string& name : names(lhs, rhs, {20, 40})) {
    write_choices(folder / "x", {{choice.problem, name}});
    open_choices(folder / "x");
    CHECK(kernel() == name);
  }
  set_tuning(Tuning::off);
  CHECK(kernel() == rule);
  set_tuning(Tuning::use);
  write_choices(folder / "x", {{choice.problem, "gpu:of_tomorrow"}});
  open_choices(folder / "x");
  CHECK(kernel() == rule);
  set_tuning(Tuning::off);
  open_choices("");
}

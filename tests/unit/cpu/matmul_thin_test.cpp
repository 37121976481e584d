// SPDX-License-Identifier: Apache-2.0
// Products of a few rows against plain loops, for every instruction set.
#include "ds/backends/cpu/matmul_thin.h"

#include "ds/base/parallel.h"
#include "ds/base/str.h"
#include "kernel_testing.h"
#include "program.h"

using namespace ds;
using namespace ds::cpu;
using ds::cpu::testing::for_each_target;
using ds::cpu::testing::kNan;
using ds::cpu::testing::random_floats;

namespace {

View row_major(const Shape& dims, DType dtype = DType::f32) {
  return {0, dtype, dims, contiguous_strides(dims), 0};
}

/// rhs [k, n] with rows or columns `stride` floats apart, repeated over the batch of `lhs_dims`.
View right(const Shape& lhs_dims, int64_t n, int64_t stride, bool by_columns,
           DType dtype = DType::f32) {
  const int r = lhs_dims.rank();
  View view{1, dtype, lhs_dims, Shape::filled(r, 0), 0};
  view.dims[r - 2] = lhs_dims.back();
  view.dims[r - 1] = n;
  view.strides[r - 2] = by_columns ? 1 : stride;
  view.strides[r - 1] = by_columns ? stride : 1;
  return view;
}

/// T is float or bf16.
template <class T = float>
void check(const Shape& lhs_dims, int64_t n, int64_t more, bool by_columns, float odd = 0) {
  const View lhs = row_major(lhs_dims, kDTypeOf<T>);
  const int64_t k = lhs_dims.back(), m = lhs.numel() / k, stride = (by_columns ? k : n) + more;
  const View rhs = right(lhs_dims, n, stride, by_columns, kDTypeOf<T>);
  Shape dims = lhs_dims;
  dims[dims.rank() - 1] = n;
  const auto plan = ThinMatmulPlan::make(lhs, rhs, dims);
  REQUIRE(plan);
  const auto drawn = [](int64_t count, unsigned seed) {
    const auto values = random_floats(static_cast<size_t>(count), seed);
    return std::vector<T>(values.begin(), values.end());
  };
  const std::vector<T> a = drawn(m * k, 1);
  std::vector<T> b = drawn((by_columns ? n : k) * stride, 2);
  if (odd != 0) b[b.size() / 3] = T(odd);
  const double tolerance = sizeof(T) == 4 ? 1e-5 : 5e-3;
  std::vector<T> c(static_cast<size_t>(m * n), T(7.0f));
  std::vector<float> space(plan->scratchpad_bytes() / 4 + 1);
  plan->execute(a.data(), b.data(), c.data(), space.data());
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p)
        sum += double(float(a[static_cast<size_t>(i * k + p)])) *
               float(b[static_cast<size_t>(by_columns ? j * stride + p : p * stride + j)]);
      const double got = float(c[static_cast<size_t>(i * n + j)]);
      const bool same = std::isnan(sum) ? std::isnan(got)
                                        : std::abs(got - sum) <= tolerance * (1 + std::abs(sum));
      if (!same) FAIL(str(lhs_dims, " n ", n, " at ", i, ",", j, ": ", got, " is not ", sum));
    }
}

}  // namespace

TEST_CASE("thin product: sizes around vectors and blocks, rhs by rows and by columns") {
  for_each_target([] {
    for (const int64_t m : {1, 2, 3, 4})
      for (const int64_t n : {1, 7, 8, 17, 65, 1030})
        for (const int64_t k : {1, 3, 4, 5, 16, 37})
          for (const bool by_columns : {false, true}) check({m, k}, n, m, by_columns);
    for (const int64_t m : {5, 8, 31, 32})
      for (const int64_t n : {1, 17, 70}) check({m, 37}, n, m, true);
  });
}

TEST_CASE("thin product: bfloat16 by columns is summed in f32") {
  for_each_target([] {
    for (const int64_t m : {1, 2, 3, 5})
      for (const int64_t n : {1, 17, 1030})
        for (const int64_t k : {1, 5, 37, 300}) check<bf16>({m, k}, n, m, true);
    check<bf16>({1, 300}, 100, 0, true, kNan);
  });
}

TEST_CASE("thin product: threads, batches with one rhs, nan") {
  const int before = num_threads();
  for (const int threads : {1, 2, 5}) {
    set_num_threads(threads);
    for (const bool by_columns : {false, true}) {
      check({1, 300}, 3000, 0, by_columns);
      check({4, 1, 130}, 700, 0, by_columns);
      if (by_columns) check({9, 130}, 700, 0, by_columns);
      check({3, 261}, 1001, 3, by_columns);
      check({2, 50}, 300, 0, by_columns, kNan);
    }
  }
  set_num_threads(before);
}

TEST_CASE("thin product: what it does not take") {
  const auto refused = [](const View& lhs, const View& rhs) {
    Shape dims = lhs.dims;
    dims[dims.rank() - 1] = rhs.dims.back();
    return !ThinMatmulPlan::make(lhs, rhs, dims);
  };
  CHECK(!refused(row_major({4, 8}), row_major({8, 6})));
  CHECK(refused(row_major({5, 8}), row_major({8, 6})));  // more rows
  CHECK(refused(row_major({1, 8}, DType::bf16), row_major({8, 6}, DType::bf16)));
  CHECK(refused(row_major({1, 8}, DType::bf16), right({1, 8}, 6, 8, true)));
  CHECK(refused(row_major({33, 8}), right({33, 8}, 6, 8, true)));
  CHECK(refused(row_major({2, 2, 8}), row_major({2, 8, 6})));  // different rhs
  View spread = row_major({8, 6});
  spread.strides = {12, 2};
  CHECK(refused(row_major({4, 8}), spread));
  View turned = row_major({4, 8});
  turned.strides = {1, 4};
  CHECK(refused(turned, row_major({8, 6})));
}

TEST_CASE("thin product: the backend takes it where oneDNN has its AVX2 product") {
  test::Program program;
  const Value x = program.input({2, 8}), w = program.input({30, 8});
  program.compile({program.make(Op::matmul_, {x, program.make(Op::permute_, {w}, {Shape{1, 0}})})});
  const std::string kernel = program.kernels().front();
  CAPTURE(kernel);
  CHECK((kernel == "cpu:thin_matmul" || kernel.rfind("dnnl:gemm", 0) != 0));
  std::vector<float> a(16, 0.5f), b(240, 2), c(60);
  program.run({a.data(), b.data()}, {c.data()});
  for (const float v : c) REQUIRE(v == 8);
}

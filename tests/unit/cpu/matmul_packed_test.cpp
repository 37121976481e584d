// SPDX-License-Identifier: Apache-2.0
// Our own matrix product against plain loops, for every instruction set.
#include "ds/backends/cpu/matmul_packed.h"

#include "ds/base/parallel.h"
#include "ds/base/str.h"
#include "kernel_testing.h"
#include "program.h"

using namespace ds;
using namespace ds::cpu;
using ds::cpu::testing::for_each_target;
using ds::cpu::testing::kInf;
using ds::cpu::testing::kNan;
using ds::cpu::testing::random_floats;

namespace {

View matrix(const Shape& dims, bool transposed) {
  View view{0, DType::f32, dims, contiguous_strides(dims), 0};
  const int r = dims.rank();
  if (transposed) {
    view.strides[r - 2] = 1;
    view.strides[r - 1] = dims[r - 2];
  }
  return view;
}

/// rhs is [k, n] with rows `stride` floats apart.
void check(const View& lhs, int64_t n, int64_t stride, float odd = 0) {
  const int r = lhs.dims.rank();
  const int64_t k = lhs.dims.back(), m = lhs.numel() / k;
  Shape dims = lhs.dims;
  dims[r - 1] = n;
  Shape rhs_dims = dims;
  rhs_dims[r - 2] = k;
  View rhs{1, DType::f32, rhs_dims, Shape::filled(r, 0), 0};
  rhs.strides[r - 2] = stride;
  rhs.strides[r - 1] = 1;
  const auto plan = PackedMatmulPlan::make(lhs, rhs, dims);
  REQUIRE(plan);
  auto a = random_floats(static_cast<size_t>(lhs.numel()), 1);
  auto b = random_floats(static_cast<size_t>((k - 1) * stride + n), 2);
  if (odd != 0) a[a.size() / 2] = b[b.size() / 3] = odd;
  std::vector<float> c(static_cast<size_t>(m * n), 7), space(plan->scratchpad_bytes() / 4 + 16);
  plan->execute(a.data(), b.data(), c.data(), space.data());
  const int64_t row = lhs.strides[r - 2], col = lhs.strides[r - 1];
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p)
        sum += double(a[static_cast<size_t>(i * row + p * col)]) *
               b[static_cast<size_t>(p * stride + j)];
      const double got = c[static_cast<size_t>(i * n + j)];
      const bool same = std::isfinite(sum) ? std::abs(got - sum) <= 1e-4 * (1 + std::abs(sum))
                        : std::isnan(sum)  ? std::isnan(got)
                                           : got == sum;
      if (!same) FAIL(str(lhs.dims, " n ", n, " at ", i, ",", j, ": ", got, " is not ", sum));
    }
}

}  // namespace

TEST_CASE("packed product: sizes around the tiles, lhs by rows and by columns") {
  for_each_target([] {
    for (const int64_t m : {8, 11, 12, 13, 50})
      for (const int64_t n : {1, 15, 16, 17, 63, 65, 130})
        for (const int64_t k : {1, 3, 4, 37})
          for (const bool transposed : {false, true})
            if (k > 1 || !transposed) check(matrix({m, k}, transposed), n, 1024);
  });
}

TEST_CASE("packed product: several blocks of rows and of depth, threads") {
  const int before = num_threads();
  for (const int threads : {1, 2, 3, 5}) {
    set_num_threads(threads);
    check(matrix({250, 70}, false), 70, 1024);
    check(matrix({13, 1100}, true), 40, 512);
    check(matrix({3, 5, 300}, false), 70, 2048);  // a batch with one rhs is one matrix
  }
  set_num_threads(before);
}

TEST_CASE("packed product: nan and infinity reach their rows and columns only") {
  check(matrix({20, 40}, false), 50, 1024, kNan);
  check(matrix({20, 40}, false), 50, 1024, kInf);
}

TEST_CASE("packed product: what oneDNN is fast with is left to it") {
  const auto refused = [](const View& lhs, const View& rhs) {
    Shape dims = lhs.dims;
    dims.back() = rhs.dims.back();
    const auto plan = PackedMatmulPlan::make(lhs, rhs, dims);
    return !plan || !plan->pays();
  };
  CHECK(refused(matrix({600, 64}, false), matrix({64, 1024}, false)));  // many rows
  CHECK(refused(matrix({2, 64}, false), matrix({64, 1024}, false)));    // bound by memory
  CHECK(refused(matrix({64, 64}, false), matrix({64, 1000}, false)));   // spread over the sets
  CHECK(refused(matrix({64, 64}, false), matrix({64, 1024}, true)));
  CHECK(refused(matrix({2, 8, 64}, false), matrix({2, 64, 1024}, false)));  // different rhs
  CHECK(refused(matrix({1000, 32}, true), matrix({32, 256}, false)));
  CHECK(!refused(matrix({64, 64}, false), matrix({64, 1024}, false)));
  CHECK(!refused(matrix({1024, 32}, true), matrix({32, 256}, false)));  // columns of lhs collide
}

TEST_CASE("packed product: the backend takes it where oneDNN has its AVX2 product") {
  test::Program program;
  const Value x = program.input({16, 8}), w = program.input({8, 1024});
  program.compile({program.make(Op::matmul_, {x, w})});
  const std::string kernel = program.kernels().front();
  CAPTURE(kernel);
  CHECK((kernel == "cpu:matmul" || kernel.rfind("dnnl:gemm", 0) != 0));
  std::vector<float> a(16 * 8, 0.5f), b(8 * 1024, 2), c(16 * 1024);
  program.run({a.data(), b.data()}, {c.data()});
  for (const float v : c) REQUIRE(v == 8);
}

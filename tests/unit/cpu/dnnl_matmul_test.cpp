// SPDX-License-Identifier: Apache-2.0
// The oneDNN matmul wrapper against plain loops.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "ds/backends/cpu/dnnl/matmul.h"
#include "ds/base/str.h"

using namespace ds;
using namespace ds::cpu;

namespace {

std::vector<float> numbers(size_t count, unsigned seed) {
  std::vector<float> values(count);
  for (float& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<int>(seed >> 16) % 201 - 100) / 64.0f;
  }
  return values;
}

/// Elements between the first and the last, both included.
size_t extent(const TensorDesc& desc) {
  int64_t last = 0;
  for (int i = 0; i < desc.dims.rank(); ++i) last += (desc.dims[i] - 1) * desc.strides[i];
  return static_cast<size_t>(last + 1);
}

bool next(Shape& index, const Shape& dims) {
  for (int i = dims.rank() - 1; i >= 0; --i) {
    if (++index[i] < dims[i]) return true;
    index[i] = 0;
  }
  return false;
}

size_t offset(const Shape& index, const TensorDesc& desc) {
  int64_t sum = 0;
  for (int i = 0; i < index.rank(); ++i)
    if (desc.dims[i] != 1) sum += index[i] * desc.strides[i];
  return static_cast<size_t>(sum);
}

/// [..., rows, cols] with the last two dimensions swapped in memory.
TensorDesc transposed(const Shape& dims) {
  TensorDesc desc = row_major(DType::f32, dims);
  const int r = dims.rank();
  desc.strides[r - 1] = dims[r - 2];
  desc.strides[r - 2] = 1;
  return desc;
}

template <class Epilogue>
void check(const MatmulSpec& spec, const Epilogue& epilogue,
           const MatmulPlan::Pointers& extra = {}) {
  std::string why;
  const auto plan = MatmulPlan::make(spec, &why);
  REQUIRE_MESSAGE(plan, why);
  CHECK(plan->implementation().find("ref") == std::string::npos);
  const auto lhs = numbers(extent(spec.lhs), 1), rhs = numbers(extent(spec.rhs), 2);
  std::vector<float> dst(extent(spec.dst), 0.25f);
  const std::vector<float> before = dst;
  std::vector<char> scratch(plan->scratchpad_bytes() + 1);
  MatmulPlan::Pointers pointers = extra;
  pointers.lhs = lhs.data();
  pointers.rhs = rhs.data();
  pointers.dst = dst.data();
  plan->execute(pointers, scratch.data());
  const int r = spec.dst.dims.rank();
  Shape index = Shape::filled(r, 0);
  do {
    double sum = 0;
    Shape a = index, b = index;
    for (int64_t k = 0; k < spec.lhs.dims[r - 1]; ++k) {
      a[r - 1] = b[r - 2] = k;
      sum += double(lhs[offset(a, spec.lhs)]) * rhs[offset(b, spec.rhs)];
    }
    const double want = epilogue(sum, index), got = dst[offset(index, spec.dst)];
    if (!(std::abs(got - want) <= 1e-4 * (1 + std::abs(want))))
      FAIL("at ", str(index), ": ", got, " is not ", want);
  } while (next(index, spec.dst.dims));
}

const auto kNothing = [](double sum, const Shape&) { return sum; };

}  // namespace

TEST_CASE("matmul of every pair of transposes") {
  const auto shape = [](bool t, const Shape& dims) {
    return t ? transposed(dims) : row_major(DType::f32, dims);
  };
  for (int i = 0; i < 8; ++i) {
    CAPTURE(i);
    check({shape(i & 1, {33, 20}), shape(i & 2, {20, 17}), shape(i & 4, {33, 17}), false, {}},
          kNothing);
  }
}

TEST_CASE("matmul with sizes of 1") {
  for (const Shape& mkn : {Shape{1, 8, 5}, Shape{5, 1, 8}, Shape{5, 8, 1}, Shape{1, 1, 1},
                           Shape{1, 8, 1}, Shape{7, 1, 1}, Shape{1, 1, 7}}) {
    CAPTURE(str(mkn));
    check({row_major(DType::f32, {mkn[0], mkn[1]}),
           row_major(DType::f32, {mkn[1], mkn[2]}),
           row_major(DType::f32, {mkn[0], mkn[2]}),
           false,
           {}},
          kNothing);
    check({transposed({mkn[0], mkn[1]}),
           transposed({mkn[1], mkn[2]}),
           row_major(DType::f32, {mkn[0], mkn[2]}),
           false,
           {}},
          kNothing);
  }
}

TEST_CASE("batched matmul, with broadcasting and permuted batches") {
  // [2, 3, 4, 5] x [2, 3, 5, 6]
  check({row_major(DType::f32, {2, 3, 4, 5}),
         row_major(DType::f32, {2, 3, 5, 6}),
         row_major(DType::f32, {2, 3, 4, 6}),
         false,
         {}},
        kNothing);
  // Weights shared by the batch.
  TensorDesc shared{DType::f32, {2, 3, 5, 6}, {0, 0, 6, 1}};
  check(
      {row_major(DType::f32, {2, 3, 4, 5}), shared, row_major(DType::f32, {2, 3, 4, 6}), false, {}},
      kNothing);
  // Attention's [B, T, H, D] read as [B, H, T, D], keys transposed, result written back permuted.
  const TensorDesc q{DType::f32, {2, 3, 4, 8}, {4 * 3 * 8, 8, 3 * 8, 1}};
  const TensorDesc k{DType::f32, {2, 3, 8, 4}, {4 * 3 * 8, 8, 1, 3 * 8}};
  const TensorDesc out{DType::f32, {2, 3, 4, 4}, {4 * 3 * 4, 4, 3 * 4, 1}};
  check({q, k, row_major(DType::f32, {2, 3, 4, 4}), false, {}}, kNothing);
  check({q, k, out, false, {}}, kNothing);
}

TEST_CASE("matmul with bias, accumulation and post-ops") {
  const auto bias = numbers(6, 9), other = numbers(24, 10);
  MatmulSpec spec{row_major(DType::f32, {2, 2, 5}),
                  TensorDesc{DType::f32, {2, 5, 6}, {0, 6, 1}},
                  row_major(DType::f32, {2, 2, 6}),
                  true,
                  {}};
  MatmulPlan::Pointers extra;
  extra.bias = bias.data();
  check(
      spec, [&](double x, const Shape& i) { return x + bias[size_t(i[2])]; }, extra);
  spec.post_ops = {{PostOp::Kind::add_dst}};
  check(
      spec, [&](double x, const Shape& i) { return x + bias[size_t(i[2])] + 0.25; }, extra);
  spec.post_ops = {{PostOp::Kind::scale, 0.5f},
                   {PostOp::Kind::add, 1, 0, row_major(DType::f32, {2, 2, 6})},
                   {PostOp::Kind::mul, 1, 0, {DType::f32, {2, 2, 6}, {0, 0, 1}}},
                   {PostOp::Kind::tanh}};
  extra.operands = {other.data(), bias.data()};
  check(
      spec,
      [&](double x, const Shape& i) {
        const auto n = size_t(i[2]);
        return std::tanh(((x + bias[n]) * 0.5 + other[size_t(i[0]) * 12 + size_t(i[1]) * 6 + n]) *
                         bias[n]);
      },
      extra);
}

TEST_CASE("one matmul plan runs on several threads at once") {
  const MatmulSpec spec{row_major(DType::f32, {64, 64}),
                        row_major(DType::f32, {64, 64}),
                        row_major(DType::f32, {64, 64}),
                        false,
                        {}};
  const auto plan = MatmulPlan::make(spec);
  REQUIRE(plan);
  const auto lhs = numbers(64 * 64, 1), rhs = numbers(64 * 64, 2);
  std::vector<std::vector<float>> results(3, std::vector<float>(64 * 64));
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] {
      std::vector<char> scratch(plan->scratchpad_bytes() + 1);
      for (int i = 0; i < 20; ++i)
        plan->execute({lhs.data(), rhs.data(), nullptr, result.data(), {}}, scratch.data());
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

TEST_CASE("a matmul without a kernel is refused with a reason") {
  std::string why;
  CHECK(!MatmulPlan::make({row_major(DType::i64, {2, 3}),
                           row_major(DType::i64, {3, 2}),
                           row_major(DType::i64, {2, 2}),
                           false,
                           {}},
                          &why));
  CHECK(why.find("matmul: lhs i64[2,3]") != std::string::npos);
  CHECK(!MatmulPlan::make({TensorDesc{DType::f32, {4, 3}, {6, 2}},
                           row_major(DType::f32, {3, 2}),
                           row_major(DType::f32, {4, 2}),
                           false,
                           {}},
                          &why));
  CHECK(why.find("strides that GEMM does not take") != std::string::npos);
  // A batch dimension that only one input repeats, beside one that both have.
  CHECK(!MatmulPlan::make({row_major(DType::f32, {2, 3, 4, 5}),
                           TensorDesc{DType::f32, {2, 3, 5, 6}, {0, 30, 6, 1}},
                           row_major(DType::f32, {2, 3, 4, 6}),
                           false,
                           {}},
                          &why));
  CHECK(why.find("reference kernel") != std::string::npos);
}

// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/matmul_kernels.h"

#include <algorithm>
#include <memory>

#include "ds/backends/cpu/dnnl/matmul.h"
#include "ds/backends/cpu/kernels/thin.h"
#include "ds/backends/cpu/matmul_packed.h"
#include "ds/backends/cpu/matmul_small.h"
#include "ds/backends/cpu/matmul_thin.h"

namespace ds::cpu {
namespace {

Kernel dnnl_kernel(const std::shared_ptr<const MatmulPlan>& plan) {
  return {"dnnl:" + plan->implementation(), plan->scratchpad_bytes(),
          [plan](const void* lhs, const void* rhs, void* dst, void* space) {
            plan->execute({lhs, rhs, nullptr, dst, {}}, space);
          }};
}

template <class Plan>
Kernel own_kernel(const char* name, const std::shared_ptr<const Plan>& plan) {
  return {name, plan->scratchpad_bytes(),
          [plan](const void* lhs, const void* rhs, void* dst, void* space) {
            plan->execute(static_cast<const float*>(lhs), static_cast<const float*>(rhs),
                          static_cast<float*>(dst), space);
          }};
}

std::shared_ptr<const MatmulPlan> dnnl_plan(const View& lhs, const View& rhs, const Shape& dims,
                                            std::string* why, int passed_over = 0) {
  return MatmulPlan::make({lhs.desc(), rhs.desc(), row_major(lhs.dtype, dims), false, {}}, why,
                          passed_over);
}

constexpr char kThin[] = "cpu:thin_matmul", kPacked[] = "cpu:matmul", kSmall[] = "cpu:small_matmul";

// Products and sums of a matrix up to which ours is faster than oneDNN's: of a single one, whose
// call takes oneDNN 0.6 us; of a batch where it has its AVX2 product; and where that for AVX-512
// (docs/design/2026-11-27-tuner.md).
constexpr int64_t kSmallSingle = 64 * 64 * 64, kSmallForAvx2 = 32 * 32 * 32,
                  kSmallForAvx512 = 16 * 16 * 16;

/// Ours where it is faster for these operands than what oneDNN has without AVX-512, or for a row or
/// a few than what it has with it (docs/design/2026-11-27-tuner.md).
std::optional<Kernel> own_rule(const View& lhs, const View& rhs, const Shape& dims, bool gemm) {
  const int64_t rows = lhs.numel() / lhs.dims.back();
  const bool by_columns = rhs.strides[rhs.dims.rank() - 2] == 1 && rhs.strides.back() != 1;
  if ((gemm && rows <= kThinRows) || rows == 1 || (rows <= 3 && by_columns))
    if (std::shared_ptr<const ThinMatmulPlan> plan = ThinMatmulPlan::make(lhs, rhs, dims))
      return own_kernel(kThin, plan);
  if (const std::shared_ptr<const SmallMatmulPlan> plan = SmallMatmulPlan::make(lhs, rhs, dims)) {
    const int64_t most = plan->single() ? kSmallSingle : gemm ? kSmallForAvx2 : kSmallForAvx512;
    if (plan->size_of_one() <= most) return own_kernel(kSmall, plan);
  }
  if (gemm)
    if (std::shared_ptr<const PackedMatmulPlan> plan = PackedMatmulPlan::make(lhs, rhs, dims))
      if (plan->pays()) return own_kernel(kPacked, plan);
  return std::nullopt;
}

}  // namespace

std::optional<Kernel> matmul_rule(const View& lhs, const View& rhs, const Shape& dims,
                                  std::string& why) {
  const auto plan = dnnl_plan(lhs, rhs, dims, &why);
  if (!plan) return std::nullopt;
  const bool gemm = plan->implementation().rfind("gemm", 0) == 0;
  if (auto own = own_rule(lhs, rhs, dims, gemm)) return own;
  return dnnl_kernel(plan);
}

std::vector<Kernel> matmul_kernels(const View& lhs, const View& rhs, const Shape& dims) {
  std::vector<Kernel> kernels;
  if (const std::shared_ptr<const ThinMatmulPlan> plan = ThinMatmulPlan::make(lhs, rhs, dims))
    kernels.push_back(own_kernel(kThin, plan));
  if (const std::shared_ptr<const PackedMatmulPlan> plan = PackedMatmulPlan::make(lhs, rhs, dims))
    kernels.push_back(own_kernel(kPacked, plan));
  if (const std::shared_ptr<const SmallMatmulPlan> plan = SmallMatmulPlan::make(lhs, rhs, dims))
    kernels.push_back(own_kernel(kSmall, plan));
  // Past its last kernel oneDNN offers that again.
  const auto known = [&](const std::string& name) {
    return std::any_of(kernels.begin(), kernels.end(),
                       [&](const Kernel& kernel) { return kernel.name == name; });
  };
  for (int i = 0; const auto plan = dnnl_plan(lhs, rhs, dims, nullptr, i); ++i) {
    Kernel kernel = dnnl_kernel(plan);
    if (known(kernel.name)) break;
    kernels.push_back(std::move(kernel));
  }
  std::string why;
  const auto rule = matmul_rule(lhs, rhs, dims, why);
  std::stable_partition(kernels.begin(), kernels.end(),
                        [&](const Kernel& kernel) { return rule && kernel.name == rule->name; });
  return kernels;
}

std::optional<Kernel> choose_matmul(const View& lhs, const View& rhs, const Shape& dims,
                                    std::string& why) {
  auto rule = matmul_rule(lhs, rhs, dims, why);
  if (!rule) return std::nullopt;
  const std::string problem = problem_name("matmul", lhs, rhs, dims, rule->name);
  const auto bytes = static_cast<size_t>(dims.numel()) * dtype_size(lhs.dtype);
  return choose(problem, *std::move(rule), {lhs.dtype, extent(lhs), extent(rhs), bytes},
                [&] { return matmul_kernels(lhs, rhs, dims); });
}

}  // namespace ds::cpu

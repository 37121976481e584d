// SPDX-License-Identifier: Apache-2.0
// Reductions over dimensions (all when none is named), scans along one, and distances.
// keepdim leaves the reduced dimensions with size 1.
#pragma once

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ds/tensor/arguments.h"
#include "ds/tensor/record.h"

namespace ds {

// --- sums and means ------------------------------------------------------------------------------
/// Sum over dim; integers and bool sum in i64.
Tensor sum(const Tensor& input, const Dims& dim = {}, bool keepdim = false,
           std::optional<DType> dtype = std::nullopt);
/// Mean over dim; DTypeError for integers without a floating dtype.
Tensor mean(const Tensor& input, const Dims& dim = {}, bool keepdim = false,
            std::optional<DType> dtype = std::nullopt);
/// Product over dim; integers and bool multiply in i64.
Tensor prod(const Tensor& input, const Dims& dim = {}, bool keepdim = false,
            std::optional<DType> dtype = std::nullopt);
/// Sum with NaN as 0.
Tensor nansum(const Tensor& input, const Dims& dim = {}, bool keepdim = false,
              std::optional<DType> dtype = std::nullopt);
/// Mean of what is not NaN.
Tensor nanmean(const Tensor& input, const Dims& dim = {}, bool keepdim = false,
               std::optional<DType> dtype = std::nullopt);
/// Number (i64) of nonzero elements.
Tensor count_nonzero(const Tensor& input, const Dims& dim = {});
/// Variance with divisor n - correction.
Tensor var(const Tensor& input, const Dims& dim = {}, double correction = 1, bool keepdim = false);
/// Standard deviation with divisor n - correction.
Tensor std(const Tensor& input, const Dims& dim = {}, double correction = 1, bool keepdim = false);
/// var and mean.
std::pair<Tensor, Tensor> var_mean(const Tensor& input, const Dims& dim = {}, double correction = 1,
                                   bool keepdim = false);
/// std and mean.
std::pair<Tensor, Tensor> std_mean(const Tensor& input, const Dims& dim = {}, double correction = 1,
                                   bool keepdim = false);
/// log(sum(exp(input))) over dim without overflow.
Tensor logsumexp(const Tensor& input, const Dims& dim, bool keepdim = false);

// --- norms and distances -------------------------------------------------------------------------
/// (sum |x|^ord)^(1/ord) over dim; inf and -inf take the extremes of |x|, 0 counts nonzeros.
Tensor vector_norm(const Tensor& input, double ord = 2, const Dims& dim = {}, bool keepdim = false,
                   std::optional<DType> dtype = std::nullopt);
/// torch.norm: vector_norm of order p.
Tensor norm(const Tensor& input, double p = 2, const Dims& dim = {}, bool keepdim = false,
            std::optional<DType> dtype = std::nullopt);
/// p-norm of input - other.
Tensor dist(const Tensor& input, const Tensor& other, double p = 2);
/// Cosine of the angle between slices along dim: x1 . x2 / max(|x1| |x2|, eps).
Tensor cosine_similarity(const Tensor& x1, const Tensor& x2, int64_t dim = 1, double eps = 1e-8);
/// p-norm of x1 - x2 + eps over the last dimension.
Tensor pairwise_distance(const Tensor& x1, const Tensor& x2, double p = 2, double eps = 1e-6,
                         bool keepdim = false);
/// Distances of all rows: x1 [..., P, M], x2 [..., R, M] -> [..., P, R].
Tensor cdist(const Tensor& x1, const Tensor& x2, double p = 2);
/// Distances of all pairs of rows i < j: [N, M] -> [N (N - 1) / 2].
Tensor pdist(const Tensor& input, double p = 2);

// --- extremes ------------------------------------------------------------------------------------
/// Largest value over dim; NaN wins; ties share the gradient.
Tensor amax(const Tensor& input, const Dims& dim = {}, bool keepdim = false);
/// Smallest value over dim; NaN wins; ties share the gradient.
Tensor amin(const Tensor& input, const Dims& dim = {}, bool keepdim = false);
/// amin and amax along one dimension, or of everything.
std::pair<Tensor, Tensor> aminmax(const Tensor& input, const Dims& dim = {}, bool keepdim = false);
/// Largest of all elements.
Tensor max(const Tensor& input);
/// Largest values along dim and the index (i64) of the first.
std::pair<Tensor, Tensor> max(const Tensor& input, int64_t dim, bool keepdim = false);
/// maximum(input, other).
Tensor max(const Tensor& input, const Tensor& other);
/// Smallest of all elements.
Tensor min(const Tensor& input);
/// Smallest values along dim and the index (i64) of the first.
std::pair<Tensor, Tensor> min(const Tensor& input, int64_t dim, bool keepdim = false);
/// minimum(input, other).
Tensor min(const Tensor& input, const Tensor& other);
/// Index (i64) of the first largest value along dim, or in the flattened tensor.
Tensor argmax(const Tensor& input, std::optional<int64_t> dim = std::nullopt, bool keepdim = false);
/// Index (i64) of the first smallest value along dim, or in the flattened tensor.
Tensor argmin(const Tensor& input, std::optional<int64_t> dim = std::nullopt, bool keepdim = false);
/// True where some element over dim is nonzero.
Tensor any(const Tensor& input, const Dims& dim = {}, bool keepdim = false);
/// True where all elements over dim are nonzero.
Tensor all(const Tensor& input, const Dims& dim = {}, bool keepdim = false);

// --- order statistics ----------------------------------------------------------------------------
/// Lower median of all elements; NaN when there is one.
Tensor median(const Tensor& input);
/// Lower medians along dim and their indices (i64).
std::pair<Tensor, Tensor> median(const Tensor& input, int64_t dim, bool keepdim = false);
/// Lower median of what is not NaN.
Tensor nanmedian(const Tensor& input);
/// Lower medians along dim of what is not NaN, and their indices (i64).
std::pair<Tensor, Tensor> nanmedian(const Tensor& input, int64_t dim, bool keepdim = false);
/// Most frequent values along dim (the smallest of several) and the index (i64) of their last
/// place.
std::pair<Tensor, Tensor> mode(const Tensor& input, int64_t dim = -1, bool keepdim = false);
/// q-quantiles (q a 0-d or 1-d tensor in [0, 1]) along dim or of everything; a 1-d q adds a first
/// dimension. interpolation: linear, lower, higher, midpoint or nearest.
Tensor quantile(const Tensor& input, const Tensor& q, std::optional<int64_t> dim = std::nullopt,
                bool keepdim = false, const std::string& interpolation = "linear");
/// quantile for one number q.
Tensor quantile(const Tensor& input, double q, std::optional<int64_t> dim = std::nullopt,
                bool keepdim = false, const std::string& interpolation = "linear");

/// quantile of what is not NaN; NaN where nothing is left.
Tensor nanquantile(const Tensor& input, const Tensor& q, std::optional<int64_t> dim = std::nullopt,
                   bool keepdim = false, const std::string& interpolation = "linear");
/// nanquantile for one number q.
Tensor nanquantile(const Tensor& input, double q, std::optional<int64_t> dim = std::nullopt,
                   bool keepdim = false, const std::string& interpolation = "linear");

// --- scans: input's shape ------------------------------------------------------------------------
/// Running sum along dim; integers and bool sum in i64.
Tensor cumsum(const Tensor& input, int64_t dim, std::optional<DType> dtype = std::nullopt);
/// Running product along dim.
Tensor cumprod(const Tensor& input, int64_t dim, std::optional<DType> dtype = std::nullopt);
/// Running maximum along dim and its index (i64).
std::pair<Tensor, Tensor> cummax(const Tensor& input, int64_t dim);
/// Running minimum along dim and its index (i64).
std::pair<Tensor, Tensor> cummin(const Tensor& input, int64_t dim);
/// Running logsumexp along dim.
Tensor logcumsumexp(const Tensor& input, int64_t dim);
/// n-th differences of neighbours along dim.
Tensor diff(const Tensor& input, int64_t n = 1, int64_t dim = -1);
/// Derivatives by central differences along each of dim (all without one), one tensor a dimension;
/// spacing holds one number, or one a dimension. At the ends edge_order + 1 points are used.
std::vector<Tensor> gradient(const Tensor& input, const std::vector<double>& spacing = {1.0},
                             const Dims& dim = {}, int64_t edge_order = 1);
/// gradient with the points at coordinates, a 1-d tensor for each of dim.
std::vector<Tensor> gradient(const Tensor& input, const std::vector<Tensor>& coordinates,
                             const Dims& dim = {}, int64_t edge_order = 1);
/// Integral along dim by the trapezoidal rule, with points dx apart.
Tensor trapezoid(const Tensor& y, double dx = 1, int64_t dim = -1);
/// Integral along dim by the trapezoidal rule, with points at x (1-d or of y's shape).
Tensor trapezoid(const Tensor& y, const Tensor& x, int64_t dim = -1);
/// Running integral along dim by the trapezoidal rule, with points dx apart.
Tensor cumulative_trapezoid(const Tensor& y, double dx = 1, int64_t dim = -1);
/// Running integral along dim by the trapezoidal rule, with points at x.
Tensor cumulative_trapezoid(const Tensor& y, const Tensor& x, int64_t dim = -1);

// --- sets and counts (these compute when the result's size depends on the values) ----------------
/// Values, inverse indices (of input's shape) and counts; the latter two undefined unless asked
/// for.
struct UniqueResult {
  Tensor values;
  Tensor inverse;
  Tensor counts;
};
/// Distinct elements, or slices along dim in lexicographic order; always sorted; computes. Inverse
/// has input's shape, or is 1-d over the slices of dim.
UniqueResult unique(const Tensor& input, bool sorted = true, bool return_inverse = false,
                    bool return_counts = false, std::optional<int64_t> dim = std::nullopt);
/// unique of runs: only neighbours in the flattened input, or along dim, are compared; computes.
UniqueResult unique_consecutive(const Tensor& input, bool return_inverse = false,
                                bool return_counts = false,
                                std::optional<int64_t> dim = std::nullopt);
/// Counts in `bins` equal bins over [min, max], or over the data's range when both are equal.
Tensor histc(const Tensor& input, int64_t bins = 100, double min = 0, double max = 0);
/// Counts (or sums of weight, of input's shape) in bins between bin_edges (1-d, ascending, the last
/// one included), and the edges; density divides by the total and the widths.
std::pair<Tensor, Tensor> histogram(const Tensor& input, const Tensor& bin_edges,
                                    const std::optional<Tensor>& weight = std::nullopt,
                                    bool density = false);
/// histogram of `bins` equal bins over [min, max], or over the data's range when both are equal.
std::pair<Tensor, Tensor> histogram(const Tensor& input, int64_t bins, double min = 0,
                                    double max = 0,
                                    const std::optional<Tensor>& weight = std::nullopt,
                                    bool density = false);
/// How often (or with which weight) each number of a 1-d integer tensor occurs; computes.
Tensor bincount(const Tensor& input, const std::optional<Tensor>& weights = std::nullopt,
                int64_t minlength = 0);

}  // namespace ds

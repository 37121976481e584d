// SPDX-License-Identifier: Apache-2.0
// Order statistics, sets and counts of ops_reduce.h.
#include <cmath>
#include <limits>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_create.h"
#include "ds/tensor/ops_index.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

Tensor flat(const Tensor& x) { return reshaped(x, {x.numel()}); }

/// The element of the sorted slices along dim that median (or nanmedian) names.
std::pair<Tensor, Tensor> middle(const Tensor& input, int64_t dim, bool keepdim, bool skip_nan) {
  const Tensor x = at_least_1d(input);
  const int d = normalize_dim(dim, x.dim(), "median");
  const int64_t size = x.shape()[d];
  DS_CHECK(size > 0, ValueError, "median: dimension ", dim, " of ", input.type(), " is empty");
  const std::vector<Tensor> sorted = record_all(Op::sort_, {x}, {d, false});
  Shape one = x.shape();
  one[d] = 1;
  Tensor place = expanded(full({}, int64_t{(size - 1) / 2}, DType::i64, x.device()), one);
  if (is_floating(x.dtype())) {  // NaN sorts last, so `numbers` is the place of the first one
    const Tensor numbers = sum(logical_not(isnan(x)), d, true);
    place = skip_nan ? clamp_min(floor_divide(numbers - 1, 2), 0)
                     : where(lt(numbers, size), numbers, place);
  }
  const Tensor index = record(Op::gather_, {sorted[1], place}, {d});
  const Tensor values = record(Op::gather_, {x, index}, {d});
  if (!keepdim || input.dim() == 0) one.erase(d);
  return {reshaped(values, one), reshaped(index, one)};
}

/// Places (i64, 1-d) of the first element of each run of equal neighbours, and the run of each.
struct Runs {
  Tensor starts;
  Tensor number;
};

Runs runs(const Tensor& x) {
  const int64_t size = x.numel();
  const Tensor first = constant({std::min<int64_t>(size, 1)}, 1, DType::bool_, x.device());
  if (size == 0) return {index_tensor({}, x.device()), index_tensor({}, x.device())};
  const Tensor change = ne(sliced(x, 0, 1, size - 1), sliced(x, 0, 0, size - 1));
  const Tensor is_start = joined({first, change}, 0);
  return {reshape(nonzero(is_start), {-1}), cumsum(is_start, 0) - 1};
}

Tensor run_lengths(const Tensor& starts, int64_t size) {
  const Tensor end = full({1}, size, DType::i64, starts.device());
  return diff(joined({starts, end}, 0));
}

}  // namespace

Tensor median(const Tensor& input) { return middle(flat(input), 0, false, false).first; }
std::pair<Tensor, Tensor> median(const Tensor& input, int64_t dim, bool keepdim) {
  return middle(input, dim, keepdim, false);
}
Tensor nanmedian(const Tensor& input) { return middle(flat(input), 0, false, true).first; }
std::pair<Tensor, Tensor> nanmedian(const Tensor& input, int64_t dim, bool keepdim) {
  return middle(input, dim, keepdim, true);
}

std::pair<Tensor, Tensor> mode(const Tensor& input, int64_t dim, bool keepdim) {
  const Tensor x = at_least_1d(input);
  const int d = normalize_dim(dim, x.dim(), "mode");
  const int64_t size = x.shape()[d];
  DS_CHECK(size > 0, ValueError, "mode: dimension ", dim, " of ", input.type(), " is empty");
  const std::vector<Tensor> sorted = record_all(Op::sort_, {x}, {d, false});
  // In sorted order, the length of the run that ends at i is i minus the run's start; the first
  // longest run is the smallest value, and its last element the last one in the input.
  Shape along = Shape::filled(x.dim(), 1);
  along[d] = size;
  const Tensor place = expanded(reshaped(iota(size, DType::i64, x.device()), along), x.shape());
  const Tensor change = ne(sliced(sorted[0], d, 1, size - 1), sliced(sorted[0], d, 0, size - 1));
  Shape one = x.shape();
  one[d] = 1;
  const Tensor is_start = joined({constant(one, 1, DType::bool_, x.device()), change}, d);
  const Tensor start = cummax(where(is_start, place, 0), d).first;
  const Tensor best = argmax(place - start, d, true);
  const Tensor index = record(Op::gather_, {sorted[1], best}, {d});
  const Tensor values = record(Op::gather_, {x, index}, {d});
  if (!keepdim || input.dim() == 0) one.erase(d);
  return {reshaped(values, one), reshaped(index, one)};
}

Tensor quantile(const Tensor& input, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                const std::string& interpolation) {
  DS_CHECK(is_floating(input.dtype()) && input.dtype() == q.dtype(), DTypeError,
           "quantile: input is ", input.type(), ", q is ", q.type(),
           "; both must have one floating dtype");
  DS_CHECK(q.dim() <= 1, ShapeError, "quantile: q is ", q.type(), "; it must be 0-d or 1-d");
  const bool linear = interpolation == "linear", midpoint = interpolation == "midpoint";
  DS_CHECK(linear || midpoint || interpolation == "lower" || interpolation == "higher" ||
               interpolation == "nearest",
           ValueError, "quantile: interpolation '", interpolation,
           "' is unknown; use linear, lower, higher, midpoint or nearest");
  const Tensor x = dim ? at_least_1d(input) : flat(input);
  const int d = dim ? normalize_dim(*dim, x.dim(), "quantile") : 0;
  const int64_t size = x.shape()[d];
  DS_CHECK(size > 0, ValueError, "quantile: the input ", input.type(), " is empty");
  const Tensor sorted = record(Op::sort_, {moved_last(x, d)}, {x.dim() - 1, false});
  const Tensor rank = reshaped(q, {q.numel()}) * static_cast<double>(size - 1);
  const auto pick = [&](const Tensor& place) {
    return record(Op::index_select_, {sorted, to_dtype(place, DType::i64)}, {x.dim() - 1});
  };
  Tensor out;
  if (linear || midpoint) {
    const Tensor low = floor(rank);
    const Tensor weight = linear ? rank - low : full({}, 0.5, x.dtype(), x.device());
    const Tensor below = pick(low);
    out = below + weight * (pick(ceil(rank)) - below);
  } else {
    out = pick(interpolation == "lower"    ? floor(rank)
               : interpolation == "higher" ? ceil(rank)
                                           : round(rank));
  }
  out = where(any(isnan(sorted), -1, true), std::numeric_limits<double>::quiet_NaN(), out);
  Shape shape = dim && input.dim() > 0 ? input.shape() : Shape::filled(input.dim(), 1);
  if (dim && input.dim() > 0) shape[d] = 1;
  if (!keepdim) {
    if (dim && input.dim() > 0)
      shape.erase(d);
    else
      shape = {};
  }
  if (q.dim() == 1) shape.insert(0, q.numel());
  return reshaped(movedim(out, -1, 0), shape);
}

Tensor quantile(const Tensor& input, double q, std::optional<int64_t> dim, bool keepdim,
                const std::string& interpolation) {
  DS_CHECK(q >= 0 && q <= 1, ValueError, "quantile: q=", q, " is outside [0, 1]");
  return quantile(input, full({}, q, input.dtype(), input.device()), dim, keepdim, interpolation);
}

UniqueResult unique(const Tensor& input, bool, bool return_inverse, bool return_counts) {
  const Tensor x = flat(input);
  const std::vector<Tensor> sorted = record_all(Op::sort_, {x.detach()}, {0, false});
  const Runs r = runs(sorted[0]);
  UniqueResult out;
  out.values = record(Op::index_select_, {sorted[0], r.starts}, {0});
  if (return_inverse) {
    const Tensor inverse = scatter(zeros_like(r.number), 0, sorted[1], r.number);
    out.inverse = reshaped(inverse, input.shape());
  }
  if (return_counts) out.counts = run_lengths(r.starts, x.numel());
  return out;
}

UniqueResult unique_consecutive(const Tensor& input, bool return_inverse, bool return_counts) {
  const Tensor x = flat(input).detach();
  const Runs r = runs(x);
  UniqueResult out;
  out.values = record(Op::index_select_, {x, r.starts}, {0});
  if (return_inverse) out.inverse = reshaped(r.number, input.shape());
  if (return_counts) out.counts = run_lengths(r.starts, x.numel());
  return out;
}

Tensor histc(const Tensor& input, int64_t bins, double min, double max) {
  DS_CHECK(is_floating(input.dtype()), DTypeError, "histc: the input is ", input.type(),
           "; it must be floating");
  DS_CHECK(bins > 0, ValueError, "histc: bins=", bins, " must be positive");
  DS_CHECK(min <= max, ValueError, "histc: min ", min, " is above max ", max);
  const Tensor x = flat(input).detach();
  const DType dtype = x.dtype();
  Tensor low = full({}, min, dtype, x.device()), high = full({}, max, dtype, x.device());
  if (min == max && x.numel() > 0) {
    low = amin(x);
    high = amax(x);
    const Tensor flat_range = eq(low, high);
    low = where(flat_range, low - 1, low);
    high = where(flat_range, high + 1, high);
  }
  const Tensor place = floor((x - low) * static_cast<double>(bins) / (high - low));
  const Tensor inside = logical_and(ge(x, low), le(x, high));
  const Tensor bin = to_dtype(clamp(where(inside, place, 0), 0, bins - 1), DType::i64);
  return record(Op::index_add_,
                {constant({bins}, 0, dtype, x.device()), bin, to_dtype(inside, dtype)}, {0});
}

Tensor bincount(const Tensor& input, const std::optional<Tensor>& weights, int64_t minlength) {
  DS_CHECK(input.dim() == 1, ShapeError, "bincount: input ", input.type(), " must be 1-d");
  DS_CHECK(minlength >= 0, ValueError, "bincount: minlength ", minlength, " is negative");
  const Tensor index = as_index(input, "bincount");
  int64_t size = minlength;
  if (input.numel() > 0) {
    DS_CHECK(amin(index).item_int() >= 0, ValueError, "bincount: the input has negative numbers");
    size = std::max(size, amax(index).item_int() + 1);
  }
  Tensor amount = constant(input.shape(), 1, DType::i64, input.device());
  if (present(weights)) {
    DS_CHECK(weights->shape() == input.shape(), ShapeError, "bincount: weights ", weights->type(),
             " for input ", input.type());
    amount = weights->dtype() == DType::f32 ? *weights : to_dtype(*weights, DType::f64);
  }
  return record(Op::index_add_,
                {constant({size}, 0, amount.dtype(), input.device()), index, amount}, {0});
}

}  // namespace ds

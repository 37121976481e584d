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

void check_quantile(const Tensor& input, const Tensor& q, const std::string& interpolation) {
  DS_CHECK(is_floating(input.dtype()) && input.dtype() == q.dtype(), DTypeError,
           "quantile: input is ", input.type(), ", q is ", q.type(),
           "; both must have one floating dtype");
  DS_CHECK(q.dim() <= 1, ShapeError, "quantile: q is ", q.type(), "; it must be 0-d or 1-d");
  for (const char* known : {"linear", "midpoint", "lower", "higher", "nearest"})
    if (interpolation == known) return;
  throw ValueError("quantile: interpolation '" + interpolation +
                   "' is unknown; use linear, lower, higher, midpoint or nearest");
}

/// quantile, or with skip_nan nanquantile.
Tensor quantiles(const Tensor& input, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                 const std::string& interpolation, bool skip_nan) {
  check_quantile(input, q, interpolation);
  const Tensor x = dim ? at_least_1d(input) : flat(input);
  const int d = dim ? normalize_dim(*dim, x.dim(), "quantile") : 0;
  const int64_t size = x.shape()[d];
  DS_CHECK(size > 0, ValueError, "quantile: the input ", input.type(), " is empty");
  const Tensor sorted = record(Op::sort_, {moved_last(x, d)}, {x.dim() - 1, false});
  const Tensor has_nan = isnan(sorted);
  Tensor last = full({}, static_cast<double>(size - 1), x.dtype(), x.device());
  if (skip_nan) last = clamp_min(to_dtype(sum(logical_not(has_nan), -1, true), x.dtype()) - 1, 0);
  const Tensor rank = reshaped(q, {q.numel()}) * last;
  const auto pick = [&](const Tensor& place) {
    const Tensor index = to_dtype(place, DType::i64);
    return skip_nan ? record(Op::gather_, {sorted, index}, {x.dim() - 1})
                    : record(Op::index_select_, {sorted, index}, {x.dim() - 1});
  };
  Tensor out;
  if (interpolation == "linear" || interpolation == "midpoint") {
    const Tensor low = floor(rank), below = pick(low);
    const Tensor weight =
        interpolation == "linear" ? rank - low : full({}, 0.5, x.dtype(), x.device());
    out = below + weight * (pick(ceil(rank)) - below);
  } else {
    out = pick(interpolation == "lower"    ? floor(rank)
               : interpolation == "higher" ? ceil(rank)
                                           : round(rank));
  }
  if (!skip_nan) out = where(any(has_nan, -1, true), std::numeric_limits<double>::quiet_NaN(), out);
  const bool along = dim && input.dim() > 0;
  Shape shape = along ? input.shape() : Shape::filled(input.dim(), 1);
  if (along) shape[d] = 1;
  if (!keepdim) {
    if (along)
      shape.erase(d);
    else
      shape = {};
  }
  if (q.dim() == 1) shape.insert(0, q.numel());
  return reshaped(movedim(out, -1, 0), shape);
}

Tensor quantile_number(const Tensor& input, double q) {
  DS_CHECK(q >= 0 && q <= 1, ValueError, "quantile: q=", q, " is outside [0, 1]");
  return full({}, q, input.dtype(), input.device());
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
  return quantiles(input, q, dim, keepdim, interpolation, false);
}

Tensor quantile(const Tensor& input, double q, std::optional<int64_t> dim, bool keepdim,
                const std::string& interpolation) {
  return quantiles(input, quantile_number(input, q), dim, keepdim, interpolation, false);
}

Tensor nanquantile(const Tensor& input, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                   const std::string& interpolation) {
  return quantiles(input, q, dim, keepdim, interpolation, true);
}

Tensor nanquantile(const Tensor& input, double q, std::optional<int64_t> dim, bool keepdim,
                   const std::string& interpolation) {
  return quantiles(input, quantile_number(input, q), dim, keepdim, interpolation, true);
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

std::pair<Tensor, Tensor> histogram(const Tensor& input, const Tensor& bin_edges,
                                    const std::optional<Tensor>& weight, bool density) {
  DS_CHECK(is_floating(input.dtype()) && bin_edges.dtype() == input.dtype(), DTypeError,
           "histogram: input is ", input.type(), ", the bin edges are ", bin_edges.type(),
           "; both must have one floating dtype");
  DS_CHECK(bin_edges.dim() == 1 && bin_edges.numel() > 0, ShapeError, "histogram: the bin edges ",
           bin_edges.type(), " must be 1-d and not empty");
  const int64_t bins = bin_edges.numel() - 1;
  const Tensor x = flat(input).detach(), edges = bin_edges.detach();
  Tensor amount = constant(x.shape(), 1, x.dtype(), x.device());
  if (present(weight)) {
    DS_CHECK(weight->shape() == input.shape() && weight->dtype() == input.dtype(), ShapeError,
             "histogram: weight ", weight->type(), " for input ", input.type());
    amount = flat(*weight);
  }
  const Tensor at_end = eq(x, sliced(edges, 0, bins, 1));
  const Tensor place = where(at_end, bins - 1, searchsorted(edges, x, true) - 1);
  const Tensor inside = logical_and(ge(place, 0), lt(place, bins));
  Tensor out = constant({bins}, 0, x.dtype(), x.device());
  if (bins > 0 && x.numel() > 0)
    out = record(Op::index_add_, {out, where(inside, place, 0), where(inside, amount, 0)}, {0});
  if (density) out = out / sum(out) / diff(edges);
  return {out, bin_edges};
}

std::pair<Tensor, Tensor> histogram(const Tensor& input, int64_t bins, double min, double max,
                                    const std::optional<Tensor>& weight, bool density) {
  DS_CHECK(is_floating(input.dtype()), DTypeError, "histogram: the input is ", input.type(),
           "; it must be floating");
  DS_CHECK(bins > 0, ValueError, "histogram: bins=", bins, " must be positive");
  DS_CHECK(min <= max, ValueError, "histogram: min ", min, " is above max ", max);
  if (min == max && input.numel() > 0) {
    min = amin(input).item();
    max = amax(input).item();
  }
  if (min == max) {
    min -= 0.5;
    max += 0.5;
  }
  return histogram(input, linspace(min, max, bins + 1, input.dtype(), input.device()), weight,
                   density);
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

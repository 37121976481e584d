// SPDX-License-Identifier: Apache-2.0
// Reductions, scans and order statistics.
#include <cmath>

#include "ds/base/error.h"
#include "functions.h"

namespace {

using ds::Dims;
using ds::Tensor;
using Pair = std::pair<Tensor, Tensor>;

/// torch.return_types: a tuple with the fields values and indices.
nb::object values_indices(const Pair& pair) {
  return nb::module_::import_("deepseek._types").attr("ValuesIndices")(pair.first, pair.second);
}

/// max(), max(dim) and max(other) under one name.
template <class Whole, class Along, class Both>
void bind_extremum(Functions& f, const char* name, Whole whole, Along along, Both elementwise) {
  const auto call = [=](const Tensor& x, nb::object dim, bool keepdim) -> nb::object {
    Tensor other;
    if (dim.is_none()) return nb::cast(whole(x));
    if (nb::try_cast(dim, other)) return nb::cast(elementwise(x, other));
    return values_indices(along(x, nb::cast<int64_t>(dim), keepdim));
  };
  f.both(name, call, "dim"_a = nb::none(), "keepdim"_a = false);
}

template <class Whole, class Along>
void bind_median(Functions& f, const char* name, Whole whole, Along along) {
  f.both(
      name,
      [=](const Tensor& x, std::optional<int64_t> dim, bool keepdim) -> nb::object {
        return dim ? values_indices(along(x, *dim, keepdim)) : nb::cast(whole(x));
      },
      "dim"_a = nb::none(), "keepdim"_a = false);
}

using MaybeTensor = std::optional<Tensor>;

/// q as a number or a tensor.
template <class F>
void bind_quantile(Functions& f, const char* name, F function) {
  f.both(
      name,
      [=](const Tensor& x, nb::object q, std::optional<int64_t> dim, bool keepdim,
          const std::string& mode) {
        Tensor several;
        return nb::try_cast(q, several) ? function(x, several, dim, keepdim, mode)
                                        : function(x, nb::cast<double>(q), dim, keepdim, mode);
      },
      "q"_a, "dim"_a = nb::none(), "keepdim"_a = false, nb::kw_only(),
      "interpolation"_a = "linear");
}

/// bins as a number, with the range, or as a tensor of edges.
std::pair<Tensor, Tensor> histogram(const Tensor& x, nb::object bins,
                                    const std::optional<std::pair<double, double>>& range,
                                    const MaybeTensor& weight, bool density) {
  Tensor edges;
  if (nb::try_cast(bins, edges)) return ds::histogram(x, edges, weight, density);
  const std::pair<double, double> r = range.value_or(std::pair{0.0, 0.0});
  return ds::histogram(x, nb::cast<int64_t>(bins), r.first, r.second, weight, density);
}

/// spacing as a number, numbers, or tensors of coordinates.
std::vector<Tensor> gradient(const Tensor& x, nb::object spacing, const Dims& dim,
                             int64_t edge_order) {
  std::vector<double> steps{1.0};
  if (nb::isinstance<nb::sequence>(spacing) && nb::len(spacing) > 0 &&
      nb::isinstance<ds::TensorImpl>(spacing[0]))
    return ds::gradient(x, nb::cast<std::vector<Tensor>>(spacing), dim, edge_order);
  if (nb::isinstance<nb::sequence>(spacing))
    steps = nb::cast<std::vector<double>>(spacing);
  else if (!spacing.is_none())
    steps = {nb::cast<double>(nb::float_(spacing))};
  return ds::gradient(x, steps, dim, edge_order);
}

/// correction from PyTorch's two spellings: unbiased=True is correction=1.
double correction_of(const nb::object& unbiased, std::optional<double> correction) {
  return unbiased.is_none() ? correction.value_or(1.0) : nb::cast<bool>(unbiased) ? 1.0 : 0.0;
}

/// std(x, unbiased), std(x, dim, unbiased, keepdim), std(x, dim, *, correction, keepdim).
template <class F>
void bind_variance(Functions& f, const char* name, F function) {
  f.both(
      name,
      [=](const Tensor& x, nb::object dim, nb::object unbiased, bool keepdim,
          std::optional<double> correction) {
        if (nb::isinstance<nb::bool_>(dim)) {
          unbiased = dim;
          dim = nb::none();
        }
        return function(x, nb::cast<Dims>(dim), correction_of(unbiased, correction), keepdim);
      },
      "dim"_a = nb::none(), "unbiased"_a = nb::none(), "keepdim"_a = false, nb::kw_only(),
      "correction"_a = nb::none());
}

/// The order of a norm from a number, "fro" or "inf".
double norm_order(const nb::object& p) {
  if (p.is_none()) return 2.0;
  if (nb::isinstance<nb::str>(p)) {
    const std::string name = nb::cast<std::string>(p);
    DS_CHECK(name == "fro" || name == "inf" || name == "-inf", ValueError, "norm: order '", name,
             "' is unknown; use a number, 'fro' or 'inf'");
    return name == "fro" ? 2.0 : name == "inf" ? INFINITY : -INFINITY;
  }
  return nb::cast<double>(p);
}

nb::object unique_tuple(const ds::UniqueResult& r, bool inverse, bool counts) {
  nb::list parts;
  parts.append(r.values);
  if (inverse) parts.append(r.inverse);
  if (counts) parts.append(r.counts);
  return nb::len(parts) == 1 ? nb::object(parts[0]) : nb::object(nb::tuple(parts));
}

void bind_sums(Functions& f) {
#define DS_REDUCE(name)                                                              \
  f.both(#name, &ds::name, "dim"_a = nb::none(), "keepdim"_a = false, nb::kw_only(), \
         "dtype"_a = nb::none());
  DS_REDUCE(sum)
  DS_REDUCE(mean)
  DS_REDUCE(prod)
  DS_REDUCE(nansum)
  DS_REDUCE(nanmean)
#undef DS_REDUCE
#define DS_REDUCE(name) f.both(#name, &ds::name, "dim"_a = nb::none(), "keepdim"_a = false);
  DS_REDUCE(amax)
  DS_REDUCE(amin)
  DS_REDUCE(any)
  DS_REDUCE(all)
#undef DS_REDUCE
  f.both("count_nonzero", &ds::count_nonzero, "dim"_a = nb::none());
  f.both("argmax", &ds::argmax, "dim"_a = nb::none(), "keepdim"_a = false);
  f.both("argmin", &ds::argmin, "dim"_a = nb::none(), "keepdim"_a = false);
  f.both("logsumexp", &ds::logsumexp, "dim"_a, "keepdim"_a = false);
  f.both("aminmax", &ds::aminmax, nb::kw_only(), "dim"_a = nb::none(), "keepdim"_a = false);
  bind_variance(f, "var", &ds::var);
  bind_variance(f, "std", &ds::std);
  bind_variance(f, "var_mean", &ds::var_mean);
  bind_variance(f, "std_mean", &ds::std_mean);
  f.both(
      "norm",
      [](const Tensor& x, nb::object p, const Dims& dim, bool keepdim,
         std::optional<ds::DType> dtype) {
        if (nb::isinstance<nb::str>(p) && nb::cast<std::string>(p) == "nuc")
          return ds::matrix_norm(dtype ? ds::to_dtype(x, *dtype) : x, "nuc",
                                 dim.all() ? ds::Shape{-2, -1} : dim.given(), keepdim);
        return ds::norm(x, norm_order(p), dim, keepdim, dtype);
      },
      "p"_a = "fro", "dim"_a = nb::none(), "keepdim"_a = false, "dtype"_a = nb::none());
}

void bind_order(Functions& f) {
  bind_extremum(
      f, "max", [](const Tensor& x) { return ds::max(x); },
      [](const Tensor& x, int64_t d, bool k) { return ds::max(x, d, k); },
      [](const Tensor& a, const Tensor& b) { return ds::max(a, b); });
  bind_extremum(
      f, "min", [](const Tensor& x) { return ds::min(x); },
      [](const Tensor& x, int64_t d, bool k) { return ds::min(x, d, k); },
      [](const Tensor& a, const Tensor& b) { return ds::min(a, b); });
  bind_median(
      f, "median", [](const Tensor& x) { return ds::median(x); },
      [](const Tensor& x, int64_t d, bool k) { return ds::median(x, d, k); });
  bind_median(
      f, "nanmedian", [](const Tensor& x) { return ds::nanmedian(x); },
      [](const Tensor& x, int64_t d, bool k) { return ds::nanmedian(x, d, k); });
  f.both(
      "mode",
      [](const Tensor& x, int64_t dim, bool keepdim) {
        return values_indices(ds::mode(x, dim, keepdim));
      },
      "dim"_a = -1, "keepdim"_a = false);
  bind_quantile(f, "quantile", [](const Tensor& x, const auto& q, const auto&... rest) {
    return ds::quantile(x, q, rest...);
  });
  bind_quantile(f, "nanquantile", [](const Tensor& x, const auto& q, const auto&... rest) {
    return ds::nanquantile(x, q, rest...);
  });
  f.both(
      "sort",
      [](const Tensor& x, int64_t dim, bool descending, bool stable) {
        return values_indices(ds::sort(x, dim, descending, stable));
      },
      "dim"_a = -1, "descending"_a = false, "stable"_a = true);
  f.both("argsort", &ds::argsort, "dim"_a = -1, "descending"_a = false, "stable"_a = true);
  f.both("msort", &ds::msort);
  f.both(
      "topk",
      [](const Tensor& x, int64_t k, int64_t dim, bool largest, bool sorted) {
        return values_indices(ds::topk(x, k, dim, largest, sorted));
      },
      "k"_a, "dim"_a = -1, "largest"_a = true, "sorted"_a = true);
  f.both(
      "kthvalue",
      [](const Tensor& x, int64_t k, int64_t dim, bool keepdim) {
        return values_indices(ds::kthvalue(x, k, dim, keepdim));
      },
      "k"_a, "dim"_a = -1, "keepdim"_a = false);
  f.both(
      "unique",
      [](const Tensor& x, bool sorted, bool inverse, bool counts, std::optional<int64_t> dim) {
        return unique_tuple(ds::unique(x, sorted, inverse, counts, dim), inverse, counts);
      },
      "sorted"_a = true, "return_inverse"_a = false, "return_counts"_a = false,
      "dim"_a = nb::none());
  f.both(
      "unique_consecutive",
      [](const Tensor& x, bool inverse, bool counts, std::optional<int64_t> dim) {
        return unique_tuple(ds::unique_consecutive(x, inverse, counts, dim), inverse, counts);
      },
      "return_inverse"_a = false, "return_counts"_a = false, "dim"_a = nb::none());
  f.both("histc", &ds::histc, "bins"_a = 100, "min"_a = 0, "max"_a = 0);
  f.both("histogram", &histogram, "bins"_a, nb::kw_only(), "range"_a = nb::none(),
         "weight"_a = nb::none(), "density"_a = false);
  f.function("gradient", &gradient, "input"_a, nb::kw_only(), "spacing"_a = nb::none(),
             "dim"_a = nb::none(), "edge_order"_a = 1);
  f.both("bincount", &ds::bincount, "weights"_a = nb::none(), "minlength"_a = 0);
}

}  // namespace

void bind_reduce(nb::module_& m, TensorClass& cls) {
  Functions f(m, cls);
  bind_sums(f);
  bind_order(f);
  f.both("dist", &ds::dist, "other"_a, "p"_a = 2);
  f.function("cosine_similarity", &ds::cosine_similarity, "x1"_a, "x2"_a, "dim"_a = 1,
             "eps"_a = 1e-8);
  f.function("pairwise_distance", &ds::pairwise_distance, "x1"_a, "x2"_a, "p"_a = 2, "eps"_a = 1e-6,
             "keepdim"_a = false);
  f.function(
      "cdist",
      [](const Tensor& x1, const Tensor& x2, double p, nb::object) { return ds::cdist(x1, x2, p); },
      "x1"_a, "x2"_a, "p"_a = 2, "compute_mode"_a = nb::none());
  f.function("pdist", &ds::pdist, "input"_a, "p"_a = 2);
  f.both("cumsum", &ds::cumsum, "dim"_a, nb::kw_only(), "dtype"_a = nb::none());
  f.both("cumprod", &ds::cumprod, "dim"_a, nb::kw_only(), "dtype"_a = nb::none());
  f.both(
      "cummax", [](const Tensor& x, int64_t dim) { return values_indices(ds::cummax(x, dim)); },
      "dim"_a);
  f.both(
      "cummin", [](const Tensor& x, int64_t dim) { return values_indices(ds::cummin(x, dim)); },
      "dim"_a);
  f.both("logcumsumexp", &ds::logcumsumexp, "dim"_a);
  f.both(
      "diff",
      [](const Tensor& x, int64_t n, int64_t dim, const MaybeTensor& prepend,
         const MaybeTensor& append) {
        std::vector<Tensor> parts{x};
        if (prepend) parts.insert(parts.begin(), *prepend);
        if (append) parts.push_back(*append);
        return ds::diff(parts.size() == 1 ? x : ds::cat(parts, dim), n, dim);
      },
      "n"_a = 1, "dim"_a = -1, "prepend"_a = nb::none(), "append"_a = nb::none());
  for (const char* name : {"trapezoid", "trapz"})
    f.function(
        name,
        [](const Tensor& y, const MaybeTensor& x, double dx, int64_t dim) {
          return x ? ds::trapezoid(y, *x, dim) : ds::trapezoid(y, dx, dim);
        },
        "y"_a, "x"_a = nb::none(), nb::kw_only(), "dx"_a = 1, "dim"_a = -1);
  f.function(
      "cumulative_trapezoid",
      [](const Tensor& y, const MaybeTensor& x, double dx, int64_t dim) {
        return x ? ds::cumulative_trapezoid(y, *x, dim) : ds::cumulative_trapezoid(y, dx, dim);
      },
      "y"_a, "x"_a = nb::none(), nb::kw_only(), "dx"_a = 1, "dim"_a = -1);
  f.inplace({"cumsum", "cumprod"});
}

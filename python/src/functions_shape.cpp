// SPDX-License-Identifier: Apache-2.0
// Views, joins, splits, and new tensors.
#include "ds/base/error.h"
#include "functions.h"

namespace {

using ds::Shape;
using ds::Tensor;

/// f(x, 2, 3) and f(x, (2, 3)) as a method, f(x, (2, 3)) as a function.
template <class F>
void bind_sized(Functions& f, const char* name, const char* argument, F function) {
  f.function(
      name, [function](const Tensor& x, const Shape& sizes) { return function(x, sizes); },
      "input"_a, nb::arg(argument));
  f.method(name, [function](const Tensor& x, const nb::args& sizes) {
    return function(x, sizes_of(sizes));
  });
}

/// f(x) -> Tensor; f(x, y), f([x, y]) -> tuple.
template <class F>
void bind_at_least(Functions& f, const char* name, F function) {
  f.function(name, [function](const nb::args& tensors) -> nb::object {
    const bool one = tensors.size() == 1;
    if (one && nb::isinstance<ds::TensorImpl>(tensors[0]))
      return nb::cast(function(nb::cast<Tensor>(tensors[0])));
    nb::list out;
    for (const Tensor& x :
         nb::cast<std::vector<Tensor>>(one ? nb::object(tensors[0]) : nb::object(tensors)))
      out.append(function(x));
    return nb::tuple(out);
  });
}

void bind_views(Functions& f) {
  bind_sized(f, "reshape", "shape",
             [](const Tensor& x, const Shape& s) { return ds::reshape(x, s); });
  bind_sized(f, "permute", "dims",
             [](const Tensor& x, const Shape& s) { return ds::permute(x, s); });
  bind_sized(f, "tile", "dims", [](const Tensor& x, const Shape& s) { return ds::tile(x, s); });
  f.method("view",
           [](const Tensor& x, const nb::args& sizes) { return ds::view(x, sizes_of(sizes)); });
  f.method("expand",
           [](const Tensor& x, const nb::args& sizes) { return ds::expand(x, sizes_of(sizes)); });
  f.method("repeat",
           [](const Tensor& x, const nb::args& sizes) { return ds::repeat(x, sizes_of(sizes)); });
  f.method(
      "reshape_as",
      [](const Tensor& x, const Tensor& other) { return ds::reshape(x, other.shape()); },
      "other"_a);
  f.method(
      "view_as", [](const Tensor& x, const Tensor& other) { return ds::view(x, other.shape()); },
      "other"_a);
  f.method("expand_as", &ds::expand_as, "other"_a);
  f.both("flatten", &ds::flatten, "start_dim"_a = 0, "end_dim"_a = -1);
  f.both("ravel", [](const Tensor& x) { return ds::flatten(x); });
  f.both("unflatten", &ds::unflatten, "dim"_a, "sizes"_a);
  f.both(
      "squeeze",
      [](const Tensor& x, const std::optional<ds::Dims>& dim) {
        if (dim && dim->all()) return ds::reshape(x, x.shape());  // an empty tuple names none
        return ds::squeeze(x, dim.value_or(ds::Dims()));
      },
      "dim"_a = nb::none());
  f.both("unsqueeze", &ds::unsqueeze, "dim"_a);
  f.both("transpose", &ds::transpose, "dim0"_a, "dim1"_a);
  f.both("swapaxes", &ds::swapaxes, "axis0"_a, "axis1"_a);
  f.both("swapdims", &ds::swapaxes, "dim0"_a, "dim1"_a);
  f.both("t", &ds::t);
  f.both("adjoint", &ds::mT);
  for (const char* name : {"movedim", "moveaxis"})
    f.both(
        name,
        [](const Tensor& x, const ds::PerDim& source, const ds::PerDim& destination) {
          return ds::movedim(x, source.given(), destination.given());
        },
        "source"_a, "destination"_a);
  f.both("broadcast_to", &ds::broadcast_to, "size"_a);
  f.function("broadcast_tensors", [](const nb::args& tensors) {
    return ds::broadcast_tensors(nb::cast<std::vector<Tensor>>(tensors));
  });
  f.function("broadcast_shapes", [](const nb::args& shapes) {
    Shape result;
    for (nb::handle shape : shapes)
      result =
          ds::broadcast_shapes(result, nb::cast<ds::PerDim>(shape).given(), "broadcast_shapes");
    return result;
  });
  f.both("narrow", &ds::narrow, "dim"_a, "start"_a, "length"_a);
  f.both("select", &ds::select, "dim"_a, "index"_a);
  f.both("diagonal", &ds::diagonal, "offset"_a = 0, "dim1"_a = 0, "dim2"_a = 1);
  f.method("unfold", &ds::unfold, "dimension"_a, "size"_a, "step"_a);
  f.both("as_strided", &ds::as_strided, "size"_a, "stride"_a, "storage_offset"_a = 0);
  f.both("unbind", &ds::unbind, "dim"_a = 0);
  f.method(
      "contiguous", [](const Tensor& x, nb::object) { return ds::contiguous(x); },
      "memory_format"_a = nb::none());
  f.both("clone", &ds::clone);
  bind_at_least(f, "atleast_1d", &ds::atleast_1d);
  bind_at_least(f, "atleast_2d", &ds::atleast_2d);
  bind_at_least(f, "atleast_3d", &ds::atleast_3d);
}

/// Gives x itself the shape of a view of it; its history or its base could not follow.
Tensor reshape_in_place(const Tensor& x, const Tensor& view, const char* name) {
  DS_CHECK(!x.is_view() && !x.requires_grad(), NotImplementedError, name,
           "_: not available for a view or a tensor that requires grad; assign the result of ",
           name, "() instead");
  x.set_data(view);
  return x;
}

void bind_views_in_place(Functions& f) {
  f.method(
      "unsqueeze_",
      [](const Tensor& x, int64_t d) {
        return reshape_in_place(x, ds::unsqueeze(x, d), "unsqueeze");
      },
      "dim"_a);
  f.method(
      "squeeze_",
      [](const Tensor& x, const ds::Dims& d) {
        return reshape_in_place(x, ds::squeeze(x, d), "squeeze");
      },
      "dim"_a = nb::none());
  f.method("t_", [](const Tensor& x) { return reshape_in_place(x, ds::t(x), "t"); });
  for (const char* name : {"transpose_", "swapaxes_", "swapdims_"})
    f.method(
        name,
        [](const Tensor& x, int64_t a, int64_t b) {
          return reshape_in_place(x, ds::transpose(x, a, b), "transpose");
        },
        "dim0"_a, "dim1"_a);
}

/// Splits at positions, or into equal sections where a number is given.
std::vector<Tensor> split_at(const Tensor& x, nb::object where, int64_t dim) {
  int64_t sections;
  if (parse_int(where, sections)) return ds::tensor_split(x, sections, dim);
  std::vector<int64_t> positions;
  if (!nb::try_cast(where, positions))
    throw nb::type_error("indices_or_sections must be an integer or a sequence of integers");
  return ds::tensor_split_indices(x, positions, dim);
}

void bind_splits(Functions& f) {
  f.both(
      "split",
      [](const Tensor& x, nb::object size, int64_t dim) {
        int64_t one;
        return parse_int(size, one)
                   ? ds::split(x, one, dim)
                   : ds::split_with_sizes(x, nb::cast<std::vector<int64_t>>(size), dim);
      },
      "split_size"_a, "dim"_a = 0);
  f.both("split_with_sizes", &ds::split_with_sizes, "split_sizes"_a, "dim"_a = 0);
  f.both("chunk", &ds::chunk, "chunks"_a, "dim"_a = 0);
  f.both("tensor_split", &split_at, "indices_or_sections"_a, "dim"_a = 0);
  const auto by_dim = [&](const char* name, auto dim_of) {
    f.both(
        name, [dim_of](const Tensor& x, nb::object where) { return split_at(x, where, dim_of(x)); },
        "indices_or_sections"_a);
  };
  by_dim("hsplit", [](const Tensor& x) { return x.dim() == 1 ? 0 : 1; });
  by_dim("vsplit", [](const Tensor&) { return 0; });
  by_dim("dsplit", [](const Tensor&) { return 2; });
}

void bind_joins(Functions& f) {
  for (const char* name : {"cat", "concat", "concatenate"})
    f.function(name, &ds::cat, "tensors"_a, "dim"_a = 0);
  f.function("stack", &ds::stack, "tensors"_a, "dim"_a = 0);
  f.function("hstack", &ds::hstack, "tensors"_a);
  f.function("vstack", &ds::vstack, "tensors"_a);
  f.function("row_stack", &ds::vstack, "tensors"_a);
  f.function("dstack", &ds::dstack, "tensors"_a);
  f.function("column_stack", &ds::column_stack, "tensors"_a);
  f.function("block_diag", [](const nb::args& tensors) {
    return ds::block_diag(nb::cast<std::vector<Tensor>>(tensors));
  });
  f.function("cartesian_prod", [](const nb::args& tensors) {
    return ds::cartesian_prod(nb::cast<std::vector<Tensor>>(tensors));
  });
  f.function(
      "meshgrid",
      [](const nb::args& tensors, const std::string& indexing) {
        const bool list = tensors.size() == 1 && !nb::isinstance<ds::TensorImpl>(tensors[0]);
        return ds::meshgrid(
            nb::cast<std::vector<Tensor>>(list ? nb::object(tensors[0]) : nb::object(tensors)),
            indexing);
      },
      "tensors"_a, "indexing"_a = "ij");
  f.both(
      "repeat_interleave",
      [](const Tensor& x, nb::object repeats, std::optional<int64_t> dim, nb::object) {
        int64_t one;
        return parse_int(repeats, one) && !nb::isinstance<ds::TensorImpl>(repeats)
                   ? ds::repeat_interleave(x, one, dim)
                   : ds::repeat_interleave(x, nb::cast<Tensor>(repeats), dim);
      },
      "repeats"_a, "dim"_a = nb::none(), nb::kw_only(), "output_size"_a = nb::none());
}

void bind_rearrange(Functions& f) {
  f.function("flip", &ds::flip, "input"_a, "dims"_a);
  f.method("flip", [](const Tensor& x, const nb::args& dims) {
    return ds::flip(x, ds::Dims(sizes_of(dims)));
  });
  f.both("fliplr", &ds::fliplr);
  f.both("flipud", &ds::flipud);
  f.both(
      "roll",
      [](const Tensor& x, const ds::PerDim& shifts, const ds::PerDim& dims) {
        return ds::roll(x, shifts.given(), dims.given());
      },
      "shifts"_a, "dims"_a = nb::none());
  f.both("rot90", &ds::rot90, "k"_a = 1, "dims"_a = nb::make_tuple(0, 1));
  f.both("tril", &ds::tril, "diagonal"_a = 0);
  f.both("triu", &ds::triu, "diagonal"_a = 0);
  f.both("diag", &ds::diag, "diagonal"_a = 0);
  f.both("diagflat", &ds::diagflat, "offset"_a = 0);
  f.both("diag_embed", &ds::diag_embed, "offset"_a = 0, "dim1"_a = -2, "dim2"_a = -1);
  f.both("slice_scatter", &ds::slice_scatter, "src"_a, "dim"_a = 0, "start"_a = nb::none(),
         "end"_a = nb::none(), "step"_a = 1);
  f.both("diagonal_scatter", &ds::diagonal_scatter, "src"_a, "offset"_a = 0, "dim1"_a = 0,
         "dim2"_a = 1);
  f.both("as_strided_scatter", &ds::as_strided_scatter, "src"_a, "size"_a, "stride"_a,
         "storage_offset"_a = 0);
  f.method("fill_diagonal_", &ds::fill_diagonal, "fill_value"_a, "wrap"_a = false);
  f.method("sum_to_size", [](const Tensor& x, const nb::args& size) {
    return ds::sum_to_size(x, sizes_of(size));
  });
  f.function("combinations", &ds::combinations, "input"_a, "r"_a = 2, "with_replacement"_a = false);
  f.both("select_scatter", &ds::select_scatter, "src"_a, "dim"_a, "index"_a);
  f.inplace({"tril", "triu"});
}

}  // namespace

void bind_shape(nb::module_& m, TensorClass& cls) {
  Functions f(m, cls);
  bind_views(f);
  bind_views_in_place(f);
  bind_splits(f);
  bind_joins(f);
  bind_rearrange(f);
}

// SPDX-License-Identifier: Apache-2.0
// Indexing functions and linear algebra.
#include "ds/base/error.h"
#include "functions.h"

namespace {

using ds::Operand;
using ds::Tensor;

/// einsum("ij,jk->ik", a, b) and einsum("...", [a, b]).
Tensor einsum(const std::string& equation, const nb::args& operands) {
  const bool list = operands.size() == 1 && !nb::isinstance<ds::TensorImpl>(operands[0]);
  return ds::einsum(equation, nb::cast<std::vector<Tensor>>(list ? nb::object(operands[0])
                                                                 : nb::object(operands)));
}

Tensor tensordot(const Tensor& a, const Tensor& b, nb::object dims) {
  int64_t count;
  if (parse_int(dims, count)) return ds::tensordot(a, b, count);
  return ds::tensordot(a, b, nb::cast<ds::PerDim>(dims[nb::int_(0)]).given(),
                       nb::cast<ds::PerDim>(dims[nb::int_(1)]).given());
}

}  // namespace

void bind_index_ops(nb::module_& m, TensorClass& cls) {
  Functions f(m, cls);
  f.both("gather", &ds::gather, "dim"_a, "index"_a);
  f.both(
      "scatter",
      [](const Tensor& x, int64_t dim, const Tensor& index, const Operand& src,
         std::optional<std::string> reduce) {
        if (!reduce) return ds::scatter(x, dim, index, src);
        const Tensor values =
            src.is_number() ? ds::full(index.shape(), src, x.dtype(), x.device()) : src.tensor();
        return ds::scatter_reduce(x, dim, index, values,
                                  *reduce == "add"        ? "sum"
                                  : *reduce == "multiply" ? "prod"
                                                          : *reduce);
      },
      "dim"_a, "index"_a, "src"_a, nb::kw_only(), "reduce"_a = nb::none());
  f.both("scatter_add", &ds::scatter_add, "dim"_a, "index"_a, "src"_a);
  f.both("scatter_reduce", &ds::scatter_reduce, "dim"_a, "index"_a, "src"_a, "reduce"_a,
         nb::kw_only(), "include_self"_a = true);
  f.both("index_select", &ds::index_select, "dim"_a, "index"_a);
  f.both("index_add", &ds::index_add, "dim"_a, "index"_a, "source"_a, nb::kw_only(), "alpha"_a = 1);
  f.both("index_copy", &ds::index_copy, "dim"_a, "index"_a, "source"_a);
  f.both("index_fill", &ds::index_fill, "dim"_a, "index"_a, "value"_a);
  f.both("put", &ds::put, "index"_a, "source"_a, "accumulate"_a = false);
  f.both("index_reduce", &ds::index_reduce, "dim"_a, "index"_a, "source"_a, "reduce"_a,
         nb::kw_only(), "include_self"_a = true);
  f.function(
      "unravel_index",
      [](const Tensor& indices, const ds::PerDim& shape) {
        return nb::tuple(nb::cast(ds::unravel_index(indices, shape.given())));
      },
      "indices"_a, "shape"_a);
  f.both(
      "index_put",
      [](const Tensor& x, const nb::tuple& indices, const Tensor& values, bool accumulate) {
        const nb::object copy = nb::cast(ds::clone(x));
        return copy.attr("index_put_")(indices, values, accumulate);
      },
      "indices"_a, "values"_a, "accumulate"_a = false);
  f.both("take", &ds::take, "index"_a);
  f.both("take_along_dim", &ds::take_along_dim, "indices"_a, "dim"_a = nb::none());
  f.both("masked_fill", &ds::masked_fill, "mask"_a, "value"_a);
  f.both("masked_select", &ds::masked_select, "mask"_a);
  f.both("masked_scatter", &ds::masked_scatter, "mask"_a, "source"_a);
  f.both(
      "nonzero",
      [](const Tensor& x, bool as_tuple) -> nb::object {
        return as_tuple ? nb::object(nb::tuple(nb::cast(ds::where(x)))) : nb::cast(ds::nonzero(x));
      },
      nb::kw_only(), "as_tuple"_a = false);
  f.both("argwhere", &ds::argwhere);
  f.function(
      "searchsorted",
      [](const Tensor& sequence, const Operand& values, bool out_int32, bool right,
         std::optional<std::string> side, const std::optional<Tensor>& sorter) {
        const Tensor sorted = sorter ? ds::gather(sequence, -1, *sorter) : sequence;
        const Tensor found = ds::searchsorted(sorted, values, right || side == "right");
        return out_int32 ? ds::to_dtype(found, ds::DType::i32) : found;
      },
      "sorted_sequence"_a, "input"_a, nb::kw_only(), "out_int32"_a = false, "right"_a = false,
      "side"_a = nb::none(), "sorter"_a = nb::none());
  f.function(
      "bucketize",
      [](const Operand& input, const Tensor& boundaries, bool out_int32, bool right) {
        const Tensor found = ds::bucketize(input, boundaries, right);
        return out_int32 ? ds::to_dtype(found, ds::DType::i32) : found;
      },
      "input"_a, "boundaries"_a, nb::kw_only(), "out_int32"_a = false, "right"_a = false);
  f.inplace({"scatter", "scatter_add", "scatter_reduce", "index_add", "index_copy", "index_fill",
             "masked_fill", "masked_scatter", "put", "index_reduce"});
}

/// The symmetric matrix whose lower half is x's.
Tensor mirrored(const Tensor& x) {
  return ds::add(ds::tril(x), ds::transpose(ds::tril(x, -1), -2, -1));
}

void bind_linalg(nb::module_& m, TensorClass& cls) {
  Functions f(m, cls);
  f.both("matmul", &ds::matmul, "other"_a);
  f.both("mm", &ds::mm, "mat2"_a);
  f.both("bmm", &ds::bmm, "mat2"_a);
  f.both("mv", &ds::mv, "vec"_a);
  f.both("dot", &ds::dot, "tensor"_a);
  f.both("vdot", &ds::vdot, "other"_a);
  f.both("outer", &ds::outer, "vec2"_a);
  f.both("ger", &ds::ger, "vec2"_a);
  f.both("inner", &ds::inner, "other"_a);
  f.both("addmm", &ds::addmm, "mat1"_a, "mat2"_a, nb::kw_only(), "beta"_a = 1, "alpha"_a = 1);
  f.both("addmv", &ds::addmv, "mat"_a, "vec"_a, nb::kw_only(), "beta"_a = 1, "alpha"_a = 1);
  f.both("addr", &ds::addr, "vec1"_a, "vec2"_a, nb::kw_only(), "beta"_a = 1, "alpha"_a = 1);
  f.both("baddbmm", &ds::baddbmm, "batch1"_a, "batch2"_a, nb::kw_only(), "beta"_a = 1,
         "alpha"_a = 1);
  f.both("addbmm", &ds::addbmm, "batch1"_a, "batch2"_a, nb::kw_only(), "beta"_a = 1, "alpha"_a = 1);
  f.function("tensordot", &tensordot, "a"_a, "b"_a, "dims"_a = 2);
  f.function("einsum", &einsum, "equation"_a, "operands"_a);
  f.both("kron", &ds::kron, "other"_a);
  f.both("cross", &ds::cross, "other"_a, "dim"_a = -1);
  f.both("matrix_power", &ds::matrix_power, "n"_a);
  f.both("matrix_exp", &ds::matrix_exp);
  f.both("trace", &ds::trace);
  f.both("cov", &ds::cov, nb::kw_only(), "correction"_a = 1, "fweights"_a = nb::none(),
         "aweights"_a = nb::none());
  f.both("corrcoef", &ds::corrcoef);
  f.both("cholesky", &ds::cholesky, "upper"_a = false);
  f.both("cholesky_solve", &ds::cholesky_solve, "L"_a, "upper"_a = false);
  f.both("cholesky_inverse", &ds::cholesky_inverse, "upper"_a = false);
  f.inplace({"addmm", "addmv", "addr", "baddbmm", "addbmm"});
  f.both("inverse", &ds::inv);
  f.both("det", &ds::det);
  f.both("logdet", &ds::logdet);
  f.both("slogdet", &ds::slogdet);
  f.both("pinverse", &ds::pinv, "rcond"_a = nb::none());
  f.function("chain_matmul", [](const nb::args& matrices) {
    return ds::multi_dot(nb::cast<std::vector<Tensor>>(matrices));
  });
  nb::module_ linalg = m.def_submodule("_linalg");
  linalg.def("cholesky", &ds::cholesky, "A"_a, nb::kw_only(), "upper"_a = false);
  linalg.def("inv", &ds::inv, "A"_a);
  linalg.def("det", &ds::det, "A"_a);
  linalg.def("slogdet", &ds::slogdet, "A"_a);
  linalg.def("solve", &ds::solve, "A"_a, "B"_a, nb::kw_only(), "left"_a = true);
  linalg.def("solve_triangular", &ds::solve_triangular, "A"_a, "B"_a, nb::kw_only(), "upper"_a,
             "left"_a = true, "unitriangular"_a = false);
  linalg.def("qr", &ds::qr, "A"_a);
  linalg.def(
      "svd",
      [](const Tensor& x, bool full_matrices) {
        DS_CHECK(!full_matrices || (x.dim() >= 2 && x.size(-1) == x.size(-2)), NotImplementedError,
                 "svd: the full matrices of ", x.type(),
                 ", which is not square, are not available; pass full_matrices=False");
        return ds::svd(x);
      },
      "A"_a, "full_matrices"_a = true);
  linalg.def("svdvals", &ds::svdvals, "A"_a);
  linalg.def("eigh", &ds::eigh, "A"_a, "UPLO"_a = "L");
  linalg.def("eigvalsh", &ds::eigvalsh, "A"_a, "UPLO"_a = "L");
  linalg.def(
      "pinv",
      [](const Tensor& x, std::optional<double> rtol, bool hermitian) {
        return ds::pinv(hermitian ? mirrored(x) : x, rtol);
      },
      "A"_a, nb::kw_only(), "rtol"_a = nb::none(), "hermitian"_a = false);
  linalg.def("_lstsq", &ds::lstsq, "A"_a, "B"_a);
  linalg.def("matrix_power", &ds::matrix_power, "A"_a, "n"_a);
  linalg.def("matrix_exp", &ds::matrix_exp, "A"_a);
  linalg.def("matmul", &ds::matmul, "input"_a, "other"_a);
  linalg.def("diagonal", &ds::diagonal, "A"_a, nb::kw_only(), "offset"_a = 0, "dim1"_a = -2,
             "dim2"_a = -1);
  linalg.def("tensorsolve", &ds::tensorsolve, "A"_a, "B"_a, "dims"_a = nb::none());
  linalg.def("tensorinv", &ds::tensorinv, "A"_a, "ind"_a = 2);
  linalg.def(
      "matrix_rank",
      [](const Tensor& x, std::optional<double> tol, std::optional<double> atol,
         std::optional<double> rtol, bool hermitian) {
        DS_CHECK(!rtol, NotImplementedError,
                 "matrix_rank: rtol is not available; pass atol, a tolerance for singular values");
        return ds::matrix_rank(hermitian ? mirrored(x) : x, tol ? tol : atol);
      },
      "A"_a, nb::kw_only(), "tol"_a = nb::none(), "atol"_a = nb::none(), "rtol"_a = nb::none(),
      "hermitian"_a = false);
  linalg.def("cond", &ds::cond, "A"_a);
  linalg.def("multi_dot", &ds::multi_dot, "tensors"_a);
  linalg.def("vecdot", &ds::vecdot, "x"_a, "y"_a, nb::kw_only(), "dim"_a = -1);
  linalg.def("cross", &ds::cross, "input"_a, "other"_a, nb::kw_only(), "dim"_a = -1);
  linalg.def("vector_norm", &ds::vector_norm, "x"_a, "ord"_a = 2.0, "dim"_a = nb::none(),
             "keepdim"_a = false, nb::kw_only(), "dtype"_a = nb::none());
  linalg.def(
      "norm",
      [](const Tensor& x, nb::object ord, const ds::Dims& dim, bool keepdim) {
        if (nb::isinstance<nb::str>(ord))
          return ds::matrix_norm(x, nb::cast<std::string>(ord), {-2, -1}, keepdim);
        return ds::vector_norm(x, ord.is_none() ? 2.0 : nb::cast<double>(ord), dim, keepdim);
      },
      "A"_a, "ord"_a = nb::none(), "dim"_a = nb::none(), "keepdim"_a = false);
  linalg.def(
      "matrix_norm",
      [](const Tensor& x, nb::object ord, const ds::Shape& dim, bool keepdim) {
        return nb::isinstance<nb::str>(ord)
                   ? ds::matrix_norm(x, nb::cast<std::string>(ord), dim, keepdim)
                   : ds::matrix_norm(x, nb::cast<double>(ord), dim, keepdim);
      },
      "A"_a, "ord"_a = "fro", "dim"_a = nb::make_tuple(-2, -1), "keepdim"_a = false);
}

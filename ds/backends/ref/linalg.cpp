// SPDX-License-Identifier: Apache-2.0
// Linear algebra on the last two dimensions, by Eigen in double.
#include <Eigen/Dense>
#include <cmath>

#include "ds/backends/ref/families.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

using MatrixXd = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using VectorXd = Eigen::VectorXd;

/// The matrices of an input.
class Batch {
 public:
  Batch(const KernelArgs& args, int input)
      : args_(args), input_(input), load_(loader<double>(args.in_dtype(input))) {
    const Shape& shape = args.in_shape(input);
    rows_ = shape[shape.rank() - 2];
    cols_ = shape.back();
    count_ = product(shape, 0, shape.rank() - 2);
  }
  int64_t count() const { return count_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  MatrixXd operator[](int64_t i) const {
    MatrixXd m(rows_, cols_);
    load_(args_.in(input_), i * rows_ * cols_, 1, rows_ * cols_, m.data());
    return m;
  }

 private:
  const KernelArgs& args_;
  int input_;
  Load<double> load_;
  int64_t rows_, cols_, count_;
};

/// Writes the i-th matrix or vector of an output.
template <class M>
void put(const KernelArgs& args, int output, int64_t i, const M& value) {
  const MatrixXd m = value;
  storer<double>(args.out_dtype(output))(args.out(output), i * m.size(), 1, m.size(), m.data());
}

/// f(i) for every matrix. Eigen's decompositions do not take matrices without elements: a kernel
/// whose outputs are not empty for them says so with `with_empty`.
template <class F>
void for_each_matrix(const Batch& a, F f, bool with_empty = false) {
  if (a.rows() * a.cols() == 0 && !with_empty) return;
  const int64_t size = std::max(a.rows(), a.cols());
  parallel_for(a.count(), grain_for(size * a.rows() * a.cols()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

void check_finite(const KernelArgs& args, const MatrixXd& m, int64_t i) {
  DS_CHECK(m.allFinite(), ValueError, op_name(args.node.op()), ": matrix ", i, " of ",
           args.in_type(0), " has values that are infinite or not numbers");
}

void cholesky(const KernelArgs& args) {
  const Batch a(args, 0);
  const bool upper = args.node.attr_bool("upper");
  for_each_matrix(a, [&](int64_t i) {
    // Only the half of the wanted factor is read, as in LAPACK.
    const MatrixXd m = upper ? MatrixXd(a[i].transpose()) : a[i];
    const Eigen::LLT<MatrixXd> factor(m);
    const MatrixXd l = factor.matrixL();
    DS_CHECK(factor.info() == Eigen::Success && !l.diagonal().hasNaN(), ValueError,
             "cholesky: matrix ", i, " of ", args.in_type(0), " is not positive definite");
    put(args, 0, i, upper ? MatrixXd(l.transpose()) : l);
  });
}

void triangular_solve(const KernelArgs& args) {
  const Batch a(args, 0), b(args, 1);
  const bool transpose = args.node.attr_bool("transpose");
  const bool unit = args.node.attr_bool("unitriangular");
  const bool upper = args.node.attr_bool("upper") != transpose;
  for_each_matrix(a, [&](int64_t i) {
    const MatrixXd m = transpose ? MatrixXd(a[i].transpose()) : a[i];
    MatrixXd x = b[i];
    if (upper && unit) m.triangularView<Eigen::UnitUpper>().solveInPlace(x);
    if (upper && !unit) m.triangularView<Eigen::Upper>().solveInPlace(x);
    if (!upper && unit) m.triangularView<Eigen::UnitLower>().solveInPlace(x);
    if (!upper && !unit) m.triangularView<Eigen::Lower>().solveInPlace(x);
    put(args, 0, i, x);
  });
}

/// Factors with row exchanges; ValueError where a pivot is 0.
Eigen::PartialPivLU<MatrixXd> factorize(const KernelArgs& args, const MatrixXd& m, int64_t i) {
  Eigen::PartialPivLU<MatrixXd> lu(m);
  DS_CHECK((lu.matrixLU().diagonal().array() != 0).all(), ValueError, op_name(args.node.op()),
           ": matrix ", i, " of ", args.in_type(0), " is singular");
  return lu;
}

void solve(const KernelArgs& args) {
  const Batch a(args, 0), b(args, 1);
  for_each_matrix(
      a, [&](int64_t i) { put(args, 0, i, MatrixXd(factorize(args, a[i], i).solve(b[i]))); });
}

void inverse(const KernelArgs& args) {
  const Batch a(args, 0);
  for_each_matrix(
      a, [&](int64_t i) { put(args, 0, i, MatrixXd(factorize(args, a[i], i).inverse())); });
}

void slogdet(const KernelArgs& args) {
  const Batch a(args, 0);
  for_each_matrix(
      a,
      [&](int64_t i) {
        if (a.rows() == 0) {  // the empty product
          put(args, 0, i, MatrixXd::Constant(1, 1, 1));
          put(args, 1, i, MatrixXd::Zero(1, 1));
          return;
        }
        const Eigen::PartialPivLU<MatrixXd> lu(a[i]);
        double sign = static_cast<double>(lu.permutationP().determinant());
        double log = 0;
        for (int64_t d = 0; d < a.rows(); ++d) {
          const double pivot = lu.matrixLU()(d, d);
          sign *= static_cast<double>((pivot > 0) - (pivot < 0));
          log += std::log(std::fabs(pivot));
        }
        put(args, 0, i, MatrixXd::Constant(1, 1, sign));
        put(args, 1, i, MatrixXd::Constant(1, 1, log));
      },
      true);
}

/// Householder's method with LAPACK's signs: a column's reflection gives it the sign opposite to
/// its first element, and a column that is already zero below stays.
void qr(const KernelArgs& args) {
  const Batch a(args, 0);
  const int64_t k = std::min(a.rows(), a.cols());
  for_each_matrix(a, [&](int64_t i) {
    const Eigen::HouseholderQR<MatrixXd> factors(a[i]);
    put(args, 0, i, MatrixXd(factors.householderQ() * MatrixXd::Identity(a.rows(), k)));
    put(args, 1, i,
        MatrixXd(factors.matrixQR().topRows(k).template triangularView<Eigen::Upper>()));
  });
}

void svd(const KernelArgs& args) {
  const Batch a(args, 0);
  for_each_matrix(a, [&](int64_t i) {
    const MatrixXd m = a[i];
    check_finite(args, m, i);
    const Eigen::BDCSVD<MatrixXd> factors(m, Eigen::ComputeThinU | Eigen::ComputeThinV);
    put(args, 0, i, factors.matrixU());
    put(args, 1, i, factors.singularValues());
    put(args, 2, i, MatrixXd(factors.matrixV().transpose()));
  });
}

void eigh(const KernelArgs& args) {
  const Batch a(args, 0);
  for_each_matrix(a, [&](int64_t i) {
    const MatrixXd m = a[i];
    const MatrixXd lower = m.triangularView<Eigen::Lower>();
    check_finite(args, lower, i);
    const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(lower);
    DS_CHECK(solver.info() == Eigen::Success, ValueError, "eigh: matrix ", i, " of ",
             args.in_type(0), " did not converge");
    put(args, 0, i, solver.eigenvalues());
    put(args, 1, i, solver.eigenvectors());
  });
}

}  // namespace

Kernel linalg_kernel(Op op) {
  switch (op) {
    case Op::cholesky_: return &cholesky;
    case Op::triangular_solve_: return &triangular_solve;
    case Op::solve_: return &solve;
    case Op::inverse_: return &inverse;
    case Op::slogdet_: return &slogdet;
    case Op::qr_: return &qr;
    case Op::svd_: return &svd;
    case Op::eigh_: return &eigh;
    default: return nullptr;
  }
}

}  // namespace ds::ref

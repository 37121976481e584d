// SPDX-License-Identifier: Apache-2.0
// Products of vectors and matrices, einsum, and linear algebra on the last two dimensions.
#pragma once

#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ds/tensor/arguments.h"
#include "ds/tensor/record.h"

namespace ds {

// --- products ------------------------------------------------------------------------------------
/// Product of vectors [K], matrices [M, K] x [K, N] or batches [..., M, K] x [..., K, N].
Tensor matmul(const Tensor& input, const Tensor& other);
/// [M, K] x [K, N] -> [M, N].
Tensor mm(const Tensor& input, const Tensor& mat2);
/// [B, M, K] x [B, K, N] -> [B, M, N].
Tensor bmm(const Tensor& input, const Tensor& mat2);
/// [M, K] x [K] -> [M].
Tensor mv(const Tensor& input, const Tensor& vec);
/// [K] . [K] -> 0-d.
Tensor dot(const Tensor& input, const Tensor& other);
/// dot, of vectors.
Tensor vdot(const Tensor& input, const Tensor& other);
/// Sum of products along dim.
Tensor vecdot(const Tensor& input, const Tensor& other, int64_t dim = -1);
/// [M] x [N] -> [M, N].
Tensor outer(const Tensor& input, const Tensor& vec2);
/// outer.
Tensor ger(const Tensor& input, const Tensor& vec2);
/// Sum of products over the last dimensions: [..., K], [..., K] -> [..., ...].
Tensor inner(const Tensor& input, const Tensor& other);
/// beta * input + alpha * mat1 @ mat2.
Tensor addmm(const Tensor& input, const Tensor& mat1, const Tensor& mat2, const Operand& beta = 1,
             const Operand& alpha = 1);
/// beta * input + alpha * mat @ vec.
Tensor addmv(const Tensor& input, const Tensor& mat, const Tensor& vec, const Operand& beta = 1,
             const Operand& alpha = 1);
/// beta * input + alpha * outer(vec1, vec2).
Tensor addr(const Tensor& input, const Tensor& vec1, const Tensor& vec2, const Operand& beta = 1,
            const Operand& alpha = 1);
/// beta * input + alpha * bmm(batch1, batch2).
Tensor baddbmm(const Tensor& input, const Tensor& batch1, const Tensor& batch2,
               const Operand& beta = 1, const Operand& alpha = 1);
/// beta * input + alpha * sum of the products of all batches.
Tensor addbmm(const Tensor& input, const Tensor& batch1, const Tensor& batch2,
              const Operand& beta = 1, const Operand& alpha = 1);
/// Sum of products over the last `dims` dimensions of a and the first of b.
Tensor tensordot(const Tensor& a, const Tensor& b, int64_t dims = 2);
/// Sum of products over dimensions dims_a of a and dims_b of b.
Tensor tensordot(const Tensor& a, const Tensor& b, const Shape& dims_a, const Shape& dims_b);
/// Einstein's sum convention: "bij,bjk->bik", with ellipsis, repeated and implicit output letters.
Tensor einsum(const std::string& equation, const std::vector<Tensor>& operands);
/// input @ weight^T + bias: [..., in], [out, in], [out] -> [..., out].
Tensor linear(const Tensor& input, const Tensor& weight,
              const std::optional<Tensor>& bias = std::nullopt);
/// x1 W x2 + bias: [..., in1], [..., in2], [out, in1, in2] -> [..., out].
Tensor bilinear(const Tensor& input1, const Tensor& input2, const Tensor& weight,
                const std::optional<Tensor>& bias = std::nullopt);
/// Kronecker product.
Tensor kron(const Tensor& input, const Tensor& other);
/// Cross product of 3-vectors along dim.
Tensor cross(const Tensor& input, const Tensor& other, int64_t dim = -1);
/// Product of several matrices in the cheapest order.
Tensor multi_dot(const std::vector<Tensor>& tensors);
/// Product of a matrix with itself, n times; negative n inverts.
Tensor matrix_power(const Tensor& input, int64_t n);
/// Exponential of square matrices.
Tensor matrix_exp(const Tensor& input);
/// Sum of the diagonal of a matrix.
Tensor trace(const Tensor& input);
/// Covariance of rows (variables) over columns (observations): [M, N] -> [M, M]. fweights [N] say
/// how often an observation counts, aweights [N] how much.
Tensor cov(const Tensor& input, int64_t correction = 1,
           const std::optional<Tensor>& fweights = std::nullopt,
           const std::optional<Tensor>& aweights = std::nullopt);
/// Correlation coefficients of rows: [M, N] -> [M, M].
Tensor corrcoef(const Tensor& input);

// --- decompositions and solvers: batches of matrices ---------------------------------------------
/// L (or U) with input = L L^T; ValueError when input is not positive definite.
Tensor cholesky(const Tensor& input, bool upper = false);
/// X with A A^T X = B, from the Cholesky factor A.
Tensor cholesky_solve(const Tensor& input, const Tensor& factor, bool upper = false);
/// Inverse of L L^T (or U^T U) from its Cholesky factor.
Tensor cholesky_inverse(const Tensor& input, bool upper = false);
/// X with tensordot(A, X, X.dim()) = B: the last dimensions of A, or `dims` moved there, are X's.
Tensor tensorsolve(const Tensor& input, const Tensor& other,
                   const std::optional<Shape>& dims = std::nullopt);
/// The tensor that tensordot(A, result, ind) makes the identity of: A's first ind dimensions hold
/// as many elements as the rest.
Tensor tensorinv(const Tensor& input, int64_t ind = 2);
/// X with A X = B (or X A = B for left = false); B is a matrix or vector per batch.
Tensor solve(const Tensor& input, const Tensor& other, bool left = true);
/// X with A X = B for triangular A.
Tensor solve_triangular(const Tensor& input, const Tensor& other, bool upper, bool left = true,
                        bool unitriangular = false);
/// Inverse; ValueError when singular.
Tensor inv(const Tensor& input);
/// Determinant.
Tensor det(const Tensor& input);
/// Sign and logarithm of the absolute determinant.
std::pair<Tensor, Tensor> slogdet(const Tensor& input);
/// Logarithm of the determinant; NaN where it is negative.
Tensor logdet(const Tensor& input);
/// Q and R, reduced.
std::pair<Tensor, Tensor> qr(const Tensor& input);
/// Reduced U, S (descending), Vh.
std::tuple<Tensor, Tensor, Tensor> svd(const Tensor& input);
/// Singular values, descending.
Tensor svdvals(const Tensor& input);
/// Eigenvalues (ascending) and eigenvectors of symmetric matrices; uplo "L" or "U" is the half
/// read.
std::pair<Tensor, Tensor> eigh(const Tensor& input, const std::string& uplo = "L");
/// Eigenvalues (ascending) of symmetric matrices.
Tensor eigvalsh(const Tensor& input, const std::string& uplo = "L");
/// Moore-Penrose inverse; singular values below rtol times the largest count as 0.
Tensor pinv(const Tensor& input, std::optional<double> rtol = std::nullopt);
/// Least squares solution of A X = B for A [.., M, N] of full rank, by QR.
Tensor lstsq(const Tensor& input, const Tensor& other);
/// Matrix norm over two dimensions: ord "fro" or "nuc".
Tensor matrix_norm(const Tensor& input, const std::string& ord = "fro", const Shape& dim = {-2, -1},
                   bool keepdim = false);
/// Matrix norm over two dimensions: ord 1, -1, 2, -2, inf or -inf.
Tensor matrix_norm(const Tensor& input, double ord, const Shape& dim = {-2, -1},
                   bool keepdim = false);
/// Number (i64) of singular values above tol (by default eps * max(M, N) * the largest).
Tensor matrix_rank(const Tensor& input, std::optional<double> tol = std::nullopt);
/// Ratio of the largest and smallest singular value.
Tensor cond(const Tensor& input);

}  // namespace ds

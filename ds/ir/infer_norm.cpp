// SPDX-License-Identifier: Apache-2.0
// Types of normalisation, attention, random and linear algebra ops.
#include "ds/ir/attention.h"
#include "ds/ir/infer_checks.h"

namespace ds {
namespace {

void check_stat(const InferContext& c, int i, int src, const Shape& shape, const char* what) {
  check_shape(c, i, shape, what);
  check_dtype(c, i, stat_dtype(c.dtype(src)));
}

/// Splits src's shape before its last `ndims` dimensions.
std::pair<Shape, Shape> split_trailing(const InferContext& c, int src, int64_t ndims) {
  const Shape& shape = c.shape(src);
  DS_CHECK(ndims >= 1 && ndims <= shape.rank(), ShapeError, c.name(), ": ", c.type(src),
           " has fewer than ", ndims, " dimensions");
  const int64_t* middle = shape.end() - ndims;
  return {Shape(shape.begin(), middle), Shape(middle, shape.end())};
}

/// [N, groups] of the source's statistics.
Shape group_stats(const InferContext& c, int src) {
  check_floating(c, src);
  check_rank(c, src, 2, kMaxRank, "input");
  const int64_t groups = c.int_at(0), channels = c.shape(src)[1];
  DS_CHECK(groups >= 1 && channels % groups == 0, ValueError, c.name(), ": ", groups,
           " groups do not divide the channels of ", c.type(src));
  return {c.shape(src)[0], groups};
}

}  // namespace

std::vector<Type> infer_batch_norm(const InferContext& c) {
  check_floating(c, 0);
  check_rank(c, 0, 2, kMaxRank, "input");
  const Shape channels{c.shape(0)[1]};
  check_stat(c, 1, 0, channels, "gamma");
  check_stat(c, 2, 0, channels, "beta");
  const Type stat{stat_dtype(c.dtype(0)), channels};
  return {c.type(0), stat, stat};
}

std::vector<Type> infer_batch_norm_backward(const InferContext& c) {
  check_floating(c, 1);
  check_same_type(c, 0, 1);
  check_rank(c, 1, 2, kMaxRank, "input");
  const Shape channels{c.shape(1)[1]};
  for (int i = 2; i < 5; ++i) check_stat(c, i, 1, channels, "a statistic");
  const Type stat{stat_dtype(c.dtype(1)), channels};
  return {c.type(1), stat, stat};
}

std::vector<Type> infer_group_norm(const InferContext& c) {
  const Shape stats = group_stats(c, 0);
  check_stat(c, 1, 0, {c.shape(0)[1]}, "gamma");
  check_stat(c, 2, 0, {c.shape(0)[1]}, "beta");
  const Type stat{stat_dtype(c.dtype(0)), stats};
  return {c.type(0), stat, stat};
}

std::vector<Type> infer_group_norm_backward(const InferContext& c) {
  check_same_type(c, 0, 1);
  const Shape stats = group_stats(c, 1), channels{c.shape(1)[1]};
  check_stat(c, 2, 1, channels, "gamma");
  check_stat(c, 3, 1, stats, "mean");
  check_stat(c, 4, 1, stats, "var");
  const Type stat{stat_dtype(c.dtype(1)), channels};
  return {c.type(1), stat, stat};
}

std::vector<Type> infer_layer_norm(const InferContext& c) {
  check_floating(c, 0);
  const auto [leading, trailing] = split_trailing(c, 0, c.int_at(0));
  check_stat(c, 1, 0, trailing, "gamma");
  check_stat(c, 2, 0, trailing, "beta");
  const Type stat{stat_dtype(c.dtype(0)), leading};
  return {c.type(0), stat, stat};
}

std::vector<Type> infer_layer_norm_backward(const InferContext& c) {
  check_same_type(c, 0, 1);
  const auto [leading, trailing] = split_trailing(c, 1, c.int_at(0));
  check_stat(c, 2, 1, trailing, "gamma");
  check_stat(c, 3, 1, leading, "mean");
  check_stat(c, 4, 1, leading, "rstd");
  const Type affine{stat_dtype(c.dtype(1)), trailing};
  return {c.type(1), affine, affine};
}

std::vector<Type> infer_rms_norm(const InferContext& c) {
  check_floating(c, 0);
  const auto [leading, trailing] = split_trailing(c, 0, c.int_at(0));
  check_stat(c, 1, 0, trailing, "gamma");
  return {c.type(0), {stat_dtype(c.dtype(0)), leading}};
}

std::vector<Type> infer_rms_norm_backward(const InferContext& c) {
  check_same_type(c, 0, 1);
  const auto [leading, trailing] = split_trailing(c, 1, c.int_at(0));
  check_stat(c, 2, 1, trailing, "gamma");
  check_stat(c, 3, 1, leading, "rstd");
  return {c.type(1), {stat_dtype(c.dtype(1)), trailing}};
}

namespace {

void check_rng(const InferContext& c, int i) {
  check_dtype(c, i, DType::i64);
  check_shape(c, i, {2}, "the rng state");
}

/// Checks q, k, v and what may follow the first `fixed` inputs; `q` is the position of q.
void check_attention(const InferContext& c, int q, int fixed) {
  for (int i = q; i < q + 3; ++i) {
    check_rank(c, i, 4, 4, "an input");
    check_same_dtype(c, q, i);
  }
  const Shape &qs = c.shape(q), &ks = c.shape(q + 1), &vs = c.shape(q + 2);
  DS_CHECK(qs[0] == ks[0] && ks[0] == vs[0] && ks[1] == vs[1] && ks[2] == vs[2] && qs[3] == ks[3] &&
               ks[1] > 0 && qs[1] % ks[1] == 0,
           ShapeError, c.name(), ": q ", c.type(q), ", k ", c.type(q + 1), " and v ", c.type(q + 2),
           " do not fit");
  const double dropout = c.float_at(2);
  DS_CHECK(dropout >= 0 && dropout <= 1, ValueError, c.name(), ": dropout is ", dropout,
           "; it must be between 0 and 1");
  const int inputs = static_cast<int>(c.inputs.size());
  const auto [mask, rng] = AttentionExtras(inputs, fixed, dropout);
  DS_CHECK(inputs == fixed + (mask >= 0) + (rng >= 0), ValueError, c.name(), ": ", inputs,
           " inputs do not fit a dropout of ", dropout);
  if (rng >= 0) check_rng(c, rng);
  if (mask < 0) return;
  const Shape scores{qs[0], qs[1], qs[2], ks[2]};
  DS_CHECK(broadcast_shapes(scores, c.shape(mask), c.name().data()) == scores, ShapeError, c.name(),
           ": mask ", c.type(mask), " does not broadcast to ", scores);
  DS_CHECK(c.dtype(mask) == DType::bool_ || c.dtype(mask) == c.dtype(q), DTypeError, c.name(),
           ": mask ", c.type(mask), " must be bool or ", c.dtype(q));
}

}  // namespace

std::vector<Type> infer_attention(const InferContext& c) {
  check_floating(c, 0);
  check_attention(c, 0, 3);
  const Shape& q = c.shape(0);
  return {{c.dtype(0), {q[0], q[1], q[2], c.shape(2)[3]}},
          {stat_dtype(c.dtype(0)), {q[0], q[1], q[2]}}};
}

std::vector<Type> infer_attention_backward(const InferContext& c) {
  check_attention(c, 1, 6);
  check_same_type(c, 0, 4);
  check_same_dtype(c, 0, 1);
  const Shape &q = c.shape(1), &v = c.shape(3);
  check_shape(c, 4, {q[0], q[1], q[2], v[3]}, "the output");
  check_shape(c, 5, {q[0], q[1], q[2]}, "logsumexp");
  check_dtype(c, 5, stat_dtype(c.dtype(1)));
  return {c.type(1), c.type(2), c.type(3)};
}

namespace {

void check_sizes(const InferContext& c, const Shape& shape) {
  for (int64_t size : shape)
    DS_CHECK(size >= 0, ValueError, c.name(), ": shape ", shape, " has a negative size");
}

}  // namespace

std::vector<Type> infer_random_uniform(const InferContext& c) {
  check_rng(c, 0);
  check_sizes(c, c.ints_at(0));
  DS_CHECK(is_floating(c.dtype_at(1)), DTypeError, c.name(), ": dtype is ", c.dtype_at(1),
           "; it must be floating");
  return {{c.dtype_at(1), c.ints_at(0)}};
}

std::vector<Type> infer_random_normal(const InferContext& c) { return infer_random_uniform(c); }

std::vector<Type> infer_random_bits(const InferContext& c) {
  check_rng(c, 0);
  check_sizes(c, c.ints_at(0));
  return {{DType::i64, c.ints_at(0)}};
}

std::vector<Type> infer_dropout(const InferContext& c) {
  check_floating(c, 0);
  check_rng(c, 1);
  DS_CHECK(c.float_at(0) >= 0 && c.float_at(0) <= 1, ValueError, "dropout: p is ", c.float_at(0),
           "; it must be between 0 and 1");
  return {c.type(0)};
}

namespace {

void check_matrix(const InferContext& c, int i, bool square) {
  check_floating(c, i);
  const Shape& shape = c.shape(i);
  DS_CHECK(shape.rank() >= 2, ShapeError, c.name(), ": ", c.type(i), " is not a matrix");
  DS_CHECK(!square || shape.back() == shape[shape.rank() - 2], ShapeError, c.name(), ": ",
           c.type(i), " is not square");
}

/// The batch dimensions of input 0 followed by the given sizes.
Shape batch_with(const InferContext& c, std::initializer_list<int64_t> sizes) {
  Shape out(c.shape(0).begin(), c.shape(0).end() - 2);
  for (int64_t size : sizes) out.push_back(size);
  return out;
}

}  // namespace

std::vector<Type> infer_square_matrix(const InferContext& c) {
  check_matrix(c, 0, true);
  return {c.type(0)};
}

std::vector<Type> infer_solve(const InferContext& c) {
  check_matrix(c, 0, true);
  check_matrix(c, 1, false);
  check_same_dtype(c, 0, 1);
  const Shape &a = c.shape(0), &b = c.shape(1);
  DS_CHECK(b[b.rank() - 2] == a.back(), ShapeError, c.name(), ": ", c.type(0), " and ", c.type(1),
           " do not fit (", a.back(), " != ", b[b.rank() - 2], ")");
  check_shape(c, 1, batch_with(c, {b[b.rank() - 2], b.back()}), "the right-hand side");
  return {c.type(1)};
}

std::vector<Type> infer_slogdet(const InferContext& c) {
  check_matrix(c, 0, true);
  const Type out{c.dtype(0), batch_with(c, {})};
  return {out, out};
}

std::vector<Type> infer_qr(const InferContext& c) {
  check_matrix(c, 0, false);
  const int64_t m = c.shape(0)[c.shape(0).rank() - 2], n = c.shape(0).back(), k = std::min(m, n);
  return {{c.dtype(0), batch_with(c, {m, k})}, {c.dtype(0), batch_with(c, {k, n})}};
}

std::vector<Type> infer_svd(const InferContext& c) {
  check_matrix(c, 0, false);
  const int64_t m = c.shape(0)[c.shape(0).rank() - 2], n = c.shape(0).back(), k = std::min(m, n);
  return {{c.dtype(0), batch_with(c, {m, k})},
          {c.dtype(0), batch_with(c, {k})},
          {c.dtype(0), batch_with(c, {k, n})}};
}

std::vector<Type> infer_eigh(const InferContext& c) {
  check_matrix(c, 0, true);
  return {{c.dtype(0), batch_with(c, {c.shape(0).back()})}, c.type(0)};
}

}  // namespace ds

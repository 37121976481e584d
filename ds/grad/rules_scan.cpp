// SPDX-License-Identifier: Apache-2.0
// Gradients of the running reductions along one dimension.
#include "ds/grad/rule_families.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

constexpr uint32_t kX = 1;
constexpr uint32_t kY = 1;
constexpr uint32_t kIndices = 2;

int scan_dim(const GradContext& c) { return static_cast<int>(c.node->attr_int("dim")); }

/// x[start : start + size] along dim, with `low` and `high` entries of `border` put around it.
Value window(const Value& x, int dim, int64_t start, int64_t size, int64_t low, int64_t high,
             double border) {
  const int rank = x.shape().rank();
  Shape starts = Shape::filled(rank, 0);
  Shape sizes = x.shape();
  Shape before = starts;
  Shape after = starts;
  starts[dim] = start;
  sizes[dim] = size;
  before[dim] = low;
  after[dim] = high;
  Value part = x;
  if (sizes != x.shape()) part = make(Op::slice_, {x}, {starts, sizes, Shape::filled(rank, 1)});
  if (low == 0 && high == 0) return part;
  return make(Op::pad_, {part}, {before, after, border});
}

/// x moved d places towards the start of dim, zeros behind.
Value shifted_down(const Value& x, int dim, int64_t d) {
  return window(x, dim, d, x.shape()[dim] - d, 0, d, 0.0);
}

Value reverse_cumsum(const Value& x, int dim) {
  const Shape dims{dim};
  const Value flipped = make(Op::flip_, {x}, {dims});
  return make(Op::flip_, {make(Op::cumsum_, {flipped}, {int64_t{dim}})}, {dims});
}

/// r with r[i] = g[i] + a[i] r[i+1]; a's last entry must be 0. By doubling: log2(n) steps that
/// never divide, so zeros are harmless and the result differentiates again.
Value reverse_linear_scan(Value g, Value a, int dim) {
  const int64_t n = g.shape()[dim];
  for (int64_t d = 1; d < n; d *= 2) {
    g = g + a * shifted_down(g, dim, d);
    if (d * 2 < n) a = a * shifted_down(a, dim, d);
  }
  return g;
}

bool is_trivial(const GradContext& c) {
  return c.in(0).shape().rank() == 0 || c.in(0).shape()[scan_dim(c)] <= 1;
}

// dx_i = sum_{k >= i} g_k
Values cumsum_gradient(const GradContext& c) {
  if (is_trivial(c)) return {c.grad()};
  return {reverse_cumsum(c.grad(), scan_dim(c))};
}

// dx_i = y_{i-1} r_i with r_i = sum_{k >= i} g_k prod_{i < j <= k} x_j = g_i + x_{i+1} r_{i+1}
Values cumprod_gradient(const GradContext& c) {
  if (is_trivial(c)) return {c.grad()};
  const int dim = scan_dim(c);
  const int64_t n = c.in(0).shape()[dim];
  const Value factor = shifted_down(c.in(0), dim, 1);
  const Value before = window(c.out(), dim, 0, n - 1, 1, 0, 1.0);
  return {before * reverse_linear_scan(c.grad(), factor, dim)};
}

// dx_i = sum of g_k over the k whose running extremum is element i
Values running_extremum_gradient(const GradContext& c) {
  if (!c.grad(0)) return Values(1);
  if (c.in(0).shape().rank() == 0) return {c.grad(0)};
  const Value& x = c.in(0);
  const Value zeros = make_full(x.shape(), 0.0, x.dtype());
  return {
      make(Op::scatter_, {zeros, c.out(1), c.grad(0)}, {int64_t{scan_dim(c)}, std::string("add")})};
}

// dx_i = sum_{k >= i} g_k exp(x_i - y_k) = exp(x_i - y_i) r_i, r_i = g_i + exp(y_i - y_{i+1})
// r_{i+1}: y never falls, so no exponential exceeds 1
Values logcumsumexp_gradient(const GradContext& c) {
  if (is_trivial(c)) return {c.grad()};
  const int dim = scan_dim(c);
  const DType dtype = c.in(0).dtype();
  const int64_t n = c.in(0).shape()[dim];
  // A floor instead of -inf keeps differences of two empty sums from being NaN.
  const Value floor = make_constant(dtype == DType::f16 ? -65504.0 : -1e30, dtype);
  const Value y = make(Op::maximum_, {c.out(), floor});
  const Value step = window(y, dim, 0, n - 1, 0, 0, 0.0) - window(y, dim, 1, n - 1, 0, 0, 0.0);
  const Value factor = window(make(Op::exp_, {step}), dim, 0, n - 1, 0, 1, 0.0);
  const Value own = make(Op::exp_, {c.in(0) - y});
  return {own * reverse_linear_scan(c.grad(), factor, dim)};
}

}  // namespace

void add_scan_rules(GradTable& table) {
  add_rule(table, Op::cumsum_, cumsum_gradient);
  add_rule(table, Op::cumprod_, cumprod_gradient, kX, kY);
  add_rule(table, Op::cummax_, running_extremum_gradient, 0, kIndices);
  add_rule(table, Op::cummin_, running_extremum_gradient, 0, kIndices);
  add_rule(table, Op::logcumsumexp_, logcumsumexp_gradient, kX, kY);
}

}  // namespace ds

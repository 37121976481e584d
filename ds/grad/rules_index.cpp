// SPDX-License-Identifier: Apache-2.0
// Gradients of indexing, sorting and dropout.
#include "ds/base/error.h"
#include "ds/grad/rule_families.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

constexpr uint32_t kIndex = 2;

Value zeros_like(const Value& x) { return make_full(x.shape(), 0.0, x.dtype()); }

int64_t index_dim(const GradContext& c) { return c.node->attr_int("dim"); }

Value gather(const GradContext& c, const Value& src, const Value& index) {
  return make(Op::gather_, {src, index}, {index_dim(c)});
}
Value scatter(const GradContext& c, const Value& base, const Value& index, const Value& src,
              const char* reduce) {
  return make(Op::scatter_, {base, index, src}, {index_dim(c), std::string(reduce)});
}
Value select(const Value& condition, const Value& yes, const Value& no) {
  return make(Op::where_, {condition, yes, no});
}
Value is_zero(const Value& x) { return make(Op::eq_, {x, make_constant(0.0, x.dtype())}); }

/// The part of scatter's source that its index, which may be smaller, covers.
Value covered_src(const GradContext& c) {
  const Shape& covered = c.in(1).shape();
  const int rank = covered.rank();
  if (covered == c.in(2).shape()) return c.in(2);
  return make(Op::slice_, {c.in(2)}, {Shape::filled(rank, 0), covered, Shape::filled(rank, 1)});
}

/// The gradient of that part, with zeros for the rest of the source.
Value uncovered(const GradContext& c, const Value& grad) {
  const Shape& src = c.in(2).shape();
  if (grad.shape() == src) return grad;
  Shape high = src;
  for (int i = 0; i < src.rank(); ++i) high[i] -= grad.shape()[i];
  return make(Op::pad_, {grad}, {Shape::filled(src.rank(), 0), high, 0.0});
}

// dx = zeros with g added at index
Values gather_gradient(const GradContext& c) {
  return {scatter(c, zeros_like(c.in(0)), c.in(1), c.grad(), "add"), {}};
}

// a overwritten at index by s: da = g with zeros there, ds = g at index
Values scatter_set_gradient(const GradContext& c) {
  Values grads(3);
  const Value zeros = make_full(c.in(1).shape(), 0.0, c.in(2).dtype());
  if (c.needs(0)) grads[0] = scatter(c, c.grad(), c.in(1), zeros, "set");
  if (c.needs(2)) grads[2] = uncovered(c, gather(c, c.grad(), c.in(1)));
  return grads;
}

// a plus s at index: da = g, ds = g at index
Values scatter_add_gradient(const GradContext& c) {
  Values grads(3);
  if (c.needs(0)) grads[0] = c.grad();
  if (c.needs(2)) grads[2] = uncovered(c, gather(c, c.grad(), c.in(1)));
  return grads;
}

// a times the s at index: da = g prod(s), ds_j = g (product of a and the other s); the product
// without zeros and their number tell what the others are
Values scatter_mul_gradient(const GradContext& c) {
  const Value& a = c.in(0);
  const Value& index = c.in(1);
  const Value src = covered_src(c);
  const DType dtype = a.dtype();
  const Value one = make_constant(1.0, dtype);
  Values grads(3);
  if (c.needs(0)) {
    const Value ones = make_full(a.shape(), 1.0, dtype);
    grads[0] = c.grad() * scatter(c, ones, index, src, "mul");
  }
  if (c.needs(2)) {
    const Value safe_src = select(is_zero(src), one, src);
    const Value product = scatter(c, select(is_zero(a), one, a), index, safe_src, "mul");
    const Value src_zeros = make_cast(is_zero(src), dtype);
    const Value zeros = scatter(c, make_cast(is_zero(a), dtype), index, src_zeros, "add");
    const Value other_zeros = gather(c, zeros, index) - src_zeros;
    const Value others = gather(c, product, index) / safe_src;
    const Value factor = select(is_zero(other_zeros), others, make_constant(0.0, dtype));
    grads[2] = uncovered(c, gather(c, c.grad(), index) * factor);
  }
  return grads;
}

// the extremum of a and the s at index: g / count to each that equals it
Values scatter_extremum_gradient(const GradContext& c) {
  const Value& index = c.in(1);
  const DType dtype = c.in(0).dtype();
  const Value hit = make_cast(make(Op::eq_, {c.in(0), c.out()}), dtype);
  const Value src_hit =
      make_cast(make(Op::eq_, {covered_src(c), gather(c, c.out(), index)}), dtype);
  const Value share = c.grad() / scatter(c, hit, index, src_hit, "add");
  Values grads(3);
  if (c.needs(0)) grads[0] = hit * share;
  if (c.needs(2)) grads[2] = uncovered(c, src_hit * gather(c, share, index));
  return grads;
}

Values scatter_gradient(const GradContext& c) {
  const std::string& reduce = c.node->attr_str("reduce");
  if (reduce == "set") return scatter_set_gradient(c);
  if (reduce == "add") return scatter_add_gradient(c);
  if (reduce == "mul") return scatter_mul_gradient(c);
  DS_ASSERT(reduce == "amax" || reduce == "amin", reduce);
  return scatter_extremum_gradient(c);
}

// dx = zeros with the slices of g added at index
Values index_select_gradient(const GradContext& c) {
  const Value zeros = zeros_like(c.in(0));
  return {make(Op::index_add_, {zeros, c.in(1), c.grad()}, {index_dim(c)}), {}};
}

Value slices_at_index(const GradContext& c) {
  return make(Op::index_select_, {c.grad(), c.in(1)}, {index_dim(c)});
}

// da = g, ds = the slices of g at index
Values index_add_gradient(const GradContext& c) {
  Values grads(3);
  if (c.needs(0)) grads[0] = c.grad();
  if (c.needs(2)) grads[2] = slices_at_index(c);
  return grads;
}

// da = g with zero slices at index, ds = the slices of g there
Values index_copy_gradient(const GradContext& c) {
  Values grads(3);
  if (c.needs(0))
    grads[0] = make(Op::index_copy_, {c.grad(), c.in(1), zeros_like(c.in(2))}, {index_dim(c)});
  if (c.needs(2)) grads[2] = slices_at_index(c);
  return grads;
}

/// Gradient of the weights [taps, out] that lead from `src` to `dst`: sums of src[index] g.
Value diff_taps(const GradContext& c, const Value& src, const Value& dst) {
  const int dim = static_cast<int>(c.node->attr_int("dim"));
  const Value picked = make(Op::index_select_, {src, c.in(1)}, {int64_t{dim}});
  Shape beside, others;
  for (int d = 0; d < dst.shape().rank(); ++d) {
    if (d == dim) beside.push_back(1);
    beside.push_back(dst.shape()[d]);
    if (d != dim) others.push_back(d < dim ? d : d + 1);
  }
  return make_sum(picked * make_reshape(dst, beside), others, false);
}

// dx = the transposed sums, dw = sums of x[index] g
Values resample_gradient(const GradContext& c) {
  const int64_t dim = c.node->attr_int("dim");
  Values grads(3);
  if (c.needs(0))
    grads[0] = make(Op::resample_backward_, {c.grad(), c.in(1), c.in(2)},
                    {dim, c.in(0).shape()[static_cast<int>(dim)]});
  if (c.needs(2)) grads[2] = diff_taps(c, c.in(0), c.grad());
  return grads;
}

Values resample_backward_gradient(const GradContext& c) {
  Values grads(3);
  if (c.needs(0))
    grads[0] = make(Op::resample_, {c.grad(), c.in(1), c.in(2)}, {c.node->attr_int("dim")});
  if (c.needs(2)) grads[2] = diff_taps(c, c.grad(), c.in(0));
  return grads;
}

// dx = zeros with g at the indices the values came from
Values sort_gradient(const GradContext& c) {
  if (!c.grad(0)) return Values(1);
  if (c.in(0).shape().rank() == 0) return {c.grad(0)};
  return {scatter(c, zeros_like(c.in(0)), c.out(1), c.grad(0), "add")};
}

// dx = g with the same mask and scale: the same random numbers are drawn again
Values dropout_gradient(const GradContext& c) {
  return {make(Op::dropout_, {c.grad(), c.in(1)}, c.node->attrs()), {}};
}

}  // namespace

void add_index_rules(GradTable& table) {
  add_rule(table, Op::gather_, gather_gradient, kIndex);
  add_rule(table, Op::scatter_, scatter_gradient, 7, 1);
  add_rule(table, Op::index_select_, index_select_gradient, kIndex);
  add_rule(table, Op::index_add_, index_add_gradient, kIndex);
  add_rule(table, Op::resample_, resample_gradient, 7);
  add_rule(table, Op::resample_backward_, resample_backward_gradient, 7);
  add_rule(table, Op::index_copy_, index_copy_gradient, kIndex);
  add_rule(table, Op::sort_, sort_gradient, 0, 2);
  add_rule(table, Op::topk_, sort_gradient, 0, 2);
  add_rule(table, Op::dropout_, dropout_gradient, kIndex);
}

}  // namespace ds

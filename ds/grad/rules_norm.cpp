// SPDX-License-Identifier: Apache-2.0
// Gradients of batch, group, layer and RMS normalisation (Ioffe and Szegedy 2015; Wu and He 2018;
// Ba, Kiros and Hinton 2016; Zhang and Sennrich 2019). Their backward ops are differentiated by
// decomposition. Half precision is computed in the dtype of the statistics, f32.
#include "ds/grad/rule_families.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

Value square(const Value& x) { return make(Op::square_, {x}); }
Value mean_over(const Value& x, const Shape& dims) { return make(Op::mean_, {x}, {dims, true}); }

/// The dimensions that a normalisation averages over, and how statistics and parameters broadcast
/// against the source.
struct Geometry {
  Shape shape;         // of the source in this computation
  Shape averaged;      // dimensions of a mean
  Shape stat_shape;    // statistics with 1 in the averaged dimensions
  Shape param_shape;   // gamma and beta, broadcast against the source
  Shape param_summed;  // dimensions summed for diff_gamma
  double count;        // elements per mean
};

Geometry channel_geometry(const Shape& src) {
  Geometry geometry;
  geometry.shape = src;
  geometry.stat_shape = Shape::filled(src.rank(), 1);
  geometry.stat_shape[1] = src[1];
  geometry.param_shape = geometry.stat_shape;
  for (int i = 0; i < src.rank(); ++i)
    if (i != 1) geometry.averaged.push_back(i);
  geometry.param_summed = geometry.averaged;
  geometry.count = static_cast<double>(src.numel()) / static_cast<double>(src[1]);
  return geometry;
}

/// The source as [N, groups, C / groups, elements].
Geometry group_geometry(const Shape& src, int64_t groups) {
  const int64_t width = src[1] / groups, area = src.numel() / std::max<int64_t>(src[0] * src[1], 1);
  Geometry geometry;
  geometry.shape = {src[0], groups, width, area};
  geometry.averaged = {2, 3};
  geometry.stat_shape = {src[0], groups, 1, 1};
  geometry.param_shape = {1, groups, width, 1};
  geometry.param_summed = {0, 3};
  geometry.count = static_cast<double>(width * area);
  return geometry;
}

Geometry trailing_geometry(const Shape& src, int64_t ndims) {
  Geometry geometry;
  geometry.shape = src;
  const int lead = src.rank() - static_cast<int>(ndims);
  geometry.stat_shape = src;
  geometry.param_shape = src;
  geometry.count = 1;
  for (int i = 0; i < src.rank(); ++i) {
    if (i < lead) {
      geometry.param_shape[i] = 1;
      geometry.param_summed.push_back(i);
    } else {
      geometry.stat_shape[i] = 1;
      geometry.averaged.push_back(i);
      geometry.count *= static_cast<double>(src[i]);
    }
  }
  return geometry;
}

Geometry trailing_geometry(const GradContext& c, int src) {
  return trailing_geometry(c.in(src).shape(), c.node->attr_int("ndims"));
}

/// Adds `extra`, computed in the statistics' dtype, to a gradient that may be null.
void accumulate(Value& grad, const Value& extra, DType dtype) {
  const Value term = make_cast(extra, dtype);
  grad = grad ? grad + term : term;
}

// y: `backward`; mean: dx += gm / n; var: dx += gv 2 (x - mean) / n
Values gradient_with_variance(const GradContext& c, Op backward, const Geometry& at) {
  const Value& src = c.in(0);
  Values grads(3);
  if (c.grad(0)) {
    const NodePtr node =
        make_node(backward, {c.grad(0), src, c.in(1), c.out(1), c.out(2)}, c.node->attrs());
    for (int i = 0; i < 3; ++i) grads[static_cast<size_t>(i)] = {node, i};
  }
  if (c.grad(1)) {
    const Value share = make_reshape(c.grad(1) / at.count, at.stat_shape);
    accumulate(grads[0], make_reshape(make_expand(share, at.shape), src.shape()), src.dtype());
  }
  if (c.grad(2)) {
    const Value mean = make_reshape(c.out(1), at.stat_shape);
    const Value centered = make_reshape(make_cast(src, mean.dtype()), at.shape) - mean;
    const Value share = make_reshape(c.grad(2) * (2.0 / at.count), at.stat_shape);
    accumulate(grads[0], make_reshape(centered * share, src.shape()), src.dtype());
  }
  return grads;
}

Values batch_norm_gradient(const GradContext& c) {
  return gradient_with_variance(c, Op::batch_norm_backward_, channel_geometry(c.in(0).shape()));
}

Geometry group_geometry(const GradContext& c, int src) {
  return group_geometry(c.in(src).shape(), c.node->attr_int("groups"));
}

Values group_norm_gradient(const GradContext& c) {
  return gradient_with_variance(c, Op::group_norm_backward_, group_geometry(c, 0));
}

/// With n = (x - mean) rstd and d = dy gamma: dx = rstd (d - mean(d) - n mean(d n)),
/// dgamma = sum(dy n), dbeta = sum(dy).
Values compose_norm_backward(const GradContext& c, const Geometry& at, const Value& rstd) {
  const DType dtype = c.in(3).dtype();
  const Value diff_dst = make_reshape(make_cast(c.in(0), dtype), at.shape);
  const Value mean = make_reshape(c.in(3), at.stat_shape);
  const Value normal = (make_reshape(make_cast(c.in(1), dtype), at.shape) - mean) * rstd;
  const Value product = diff_dst * normal;
  const Value scaled = diff_dst * make_reshape(c.in(2), at.param_shape);
  const Value projected = normal * mean_over(scaled * normal, at.averaged);
  const Value diff_src = rstd * (scaled - mean_over(scaled, at.averaged) - projected);
  const Shape& params = c.in(2).shape();
  return {make_reshape(make_cast(diff_src, c.in(1).dtype()), c.in(1).shape()),
          make_reshape(make_sum(product, at.param_summed, true), params),
          make_reshape(make_sum(diff_dst, at.param_summed, true), params)};
}

Values compose_from_variance(const GradContext& c, const Geometry& at) {
  const Value var = make_reshape(c.in(4), at.stat_shape);
  return compose_norm_backward(c, at, make(Op::rsqrt_, {var + c.node->attr_float("eps")}));
}

Values batch_norm_backward_gradient(const GradContext& c) {
  return differentiate_by_decomposition(c, [](const GradContext& c) {
    return compose_from_variance(c, channel_geometry(c.in(1).shape()));
  });
}

Values group_norm_backward_gradient(const GradContext& c) {
  return differentiate_by_decomposition(
      c, [](const GradContext& c) { return compose_from_variance(c, group_geometry(c, 1)); });
}

// y: layer_norm_backward; mean: dx += gm / n; rstd: dx -= gr rstd^3 (x - mean) / n
Values layer_norm_gradient(const GradContext& c) {
  const Value& src = c.in(0);
  Values grads(3);
  if (c.grad(0)) {
    const NodePtr backward =
        make_node(Op::layer_norm_backward_, {c.grad(0), src, c.in(1), c.out(1), c.out(2)},
                  {c.node->attr_int("ndims")});
    for (int i = 0; i < 3; ++i) grads[static_cast<size_t>(i)] = {backward, i};
  }
  const Geometry at = trailing_geometry(c, 0);
  if (c.grad(1)) {
    const Value share = make_reshape(c.grad(1) / at.count, at.stat_shape);
    accumulate(grads[0], make_expand(share, src.shape()), src.dtype());
  }
  if (c.grad(2)) {
    const Value mean = make_reshape(c.out(1), at.stat_shape);
    const Value centered = make_cast(src, mean.dtype()) - mean;
    const Value cube = c.out(2) * square(c.out(2));
    const Value share = make_reshape(c.grad(2) * cube * (-1.0 / at.count), at.stat_shape);
    accumulate(grads[0], centered * share, src.dtype());
  }
  return grads;
}

Values layer_norm_backward_gradient(const GradContext& c) {
  return differentiate_by_decomposition(c, [](const GradContext& c) {
    const Geometry at = trailing_geometry(c, 1);
    return compose_norm_backward(c, at, make_reshape(c.in(4), at.stat_shape));
  });
}

// y: rms_norm_backward; rstd: dx -= gr rstd^3 x / n
Values rms_norm_gradient(const GradContext& c) {
  const Value& src = c.in(0);
  Values grads(2);
  if (c.grad(0)) {
    const NodePtr backward = make_node(Op::rms_norm_backward_, {c.grad(0), src, c.in(1), c.out(1)},
                                       {c.node->attr_int("ndims")});
    for (int i = 0; i < 2; ++i) grads[static_cast<size_t>(i)] = {backward, i};
  }
  if (c.grad(1)) {
    const Geometry at = trailing_geometry(c, 0);
    const Value cube = c.out(1) * square(c.out(1));
    const Value share = make_reshape(c.grad(1) * cube * (-1.0 / at.count), at.stat_shape);
    accumulate(grads[0], make_cast(src, share.dtype()) * share, src.dtype());
  }
  return grads;
}

// With n = x rstd and d = dy gamma: dx = rstd (d - n mean(d n)), dgamma = sum(dy n)
Values rms_norm_backward_gradient(const GradContext& c) {
  return differentiate_by_decomposition(c, [](const GradContext& c) -> Values {
    const Geometry at = trailing_geometry(c, 1);
    const Value rstd = make_reshape(c.in(3), at.stat_shape);
    const Value diff_dst = make_cast(c.in(0), rstd.dtype());
    const Value normal = make_cast(c.in(1), rstd.dtype()) * rstd;
    const Value scaled = diff_dst * make_reshape(c.in(2), at.param_shape);
    const Value diff_src = rstd * (scaled - normal * mean_over(scaled * normal, at.averaged));
    const Value diff_gamma = make_sum(diff_dst * normal, at.param_summed, true);
    return {make_cast(diff_src, c.in(1).dtype()), make_reshape(diff_gamma, c.in(2).shape())};
  });
}

}  // namespace

void add_norm_rules(GradTable& table) {
  // Masks: src and gamma, and the statistics among the outputs.
  add_rule(table, Op::batch_norm_, batch_norm_gradient, 3, 6);
  add_rule(table, Op::batch_norm_backward_, batch_norm_backward_gradient, 31);
  add_rule(table, Op::group_norm_, group_norm_gradient, 3, 6);
  add_rule(table, Op::group_norm_backward_, group_norm_backward_gradient, 31);
  add_rule(table, Op::layer_norm_, layer_norm_gradient, 3, 6);
  add_rule(table, Op::layer_norm_backward_, layer_norm_backward_gradient, 31);
  add_rule(table, Op::rms_norm_, rms_norm_gradient, 3, 2);
  add_rule(table, Op::rms_norm_backward_, rms_norm_backward_gradient, 15);
}

}  // namespace ds

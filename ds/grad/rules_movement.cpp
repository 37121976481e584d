// SPDX-License-Identifier: Apache-2.0
// Gradients of the ops that move elements: each is the transposed movement.
#include "ds/grad/rule_families.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

const Shape& ints(const GradContext& c, std::string_view name) { return c.node->attr_ints(name); }

Value zeros(const Shape& shape, DType dtype) { return make_full(shape, 0.0, dtype); }

// dx = reshape(g)
Values reshape_gradient(const GradContext& c) { return {make_reshape(c.grad(), c.in(0).shape())}; }

// dx = permute(g) by the inverse permutation
Values permute_gradient(const GradContext& c) {
  const Shape& dims = ints(c, "dims");
  Shape inverse = dims;
  for (int i = 0; i < dims.rank(); ++i) inverse[static_cast<int>(dims[i])] = i;
  return {make_permute(c.grad(), inverse)};
}

// dx = g summed over the broadcast dimensions
Values expand_gradient(const GradContext& c) { return {make_sum_to(c.grad(), c.in(0).shape())}; }

// dx = g put into zeros; with steps of 1 that is a padding
Values slice_gradient(const GradContext& c) {
  const Shape& shape = c.in(0).shape();
  const Shape& starts = ints(c, "starts");
  const Shape& sizes = ints(c, "sizes");
  const Shape& steps = ints(c, "steps");
  if (steps != Shape::filled(shape.rank(), 1)) {
    const Value base = zeros(shape, c.in(0).dtype());
    return {make(Op::slice_scatter_, {base, c.grad()}, {starts, steps})};
  }
  if (sizes == shape) return {c.grad()};
  Shape high = shape;
  for (int i = 0; i < shape.rank(); ++i) high[i] = shape[i] - starts[i] - sizes[i];
  return {make(Op::pad_, {c.grad()}, {starts, high, 0.0})};
}

// da = g with zeros in the slice, db = the slice of g
Values slice_scatter_gradient(const GradContext& c) {
  const Shape& part = c.in(1).shape();
  const Shape& starts = ints(c, "starts");
  const Shape& steps = ints(c, "steps");
  Values grads(2);
  if (c.needs(0))
    grads[0] = make(Op::slice_scatter_, {c.grad(), zeros(part, c.in(1).dtype())}, {starts, steps});
  if (c.needs(1)) grads[1] = make(Op::slice_, {c.grad()}, {starts, part, steps});
  return grads;
}

// dx = zeros with g added through the view
Values as_strided_gradient(const GradContext& c) {
  return {make(Op::as_strided_add_, {c.grad()},
               {c.in(0).shape(), ints(c, "strides"), c.node->attr_int("offset")})};
}

// dx = the view of g
Values as_strided_add_gradient(const GradContext& c) {
  return {make(Op::as_strided_, {c.grad()},
               {c.in(0).shape(), ints(c, "strides"), c.node->attr_int("offset")})};
}

// da = g with zeros in the view, db = the view of g
Values as_strided_scatter_gradient(const GradContext& c) {
  const Shape& part = c.in(1).shape();
  const Shape& strides = ints(c, "strides");
  const int64_t offset = c.node->attr_int("offset");
  Values grads(2);
  if (c.needs(0))
    grads[0] =
        make(Op::as_strided_scatter_, {c.grad(), zeros(part, c.in(1).dtype())}, {strides, offset});
  if (c.needs(1)) grads[1] = make(Op::as_strided_, {c.grad()}, {part, strides, offset});
  return grads;
}

// dx = flip(g)
Values flip_gradient(const GradContext& c) {
  return {make(Op::flip_, {c.grad()}, {ints(c, "dims")})};
}

// dx = the middle of g
Values pad_gradient(const GradContext& c) {
  const Shape& shape = c.in(0).shape();
  return {make(Op::slice_, {c.grad()}, {ints(c, "low"), shape, Shape::filled(shape.rank(), 1)})};
}

// dx_i = its part of g
Values cat_gradient(const GradContext& c) {
  const int dim = static_cast<int>(c.node->attr_int("dim"));
  const Values& inputs = c.node->inputs();
  Values grads(inputs.size());
  int64_t start = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Shape& shape = inputs[i].shape();
    if (inputs[i].requires_grad()) {
      Shape starts = Shape::filled(shape.rank(), 0);
      starts[dim] = start;
      grads[i] = make(Op::slice_, {c.grad()}, {starts, shape, Shape::filled(shape.rank(), 1)});
    }
    start += shape[dim];
  }
  return grads;
}

}  // namespace

void add_movement_rules(GradTable& table) {
  add_rule(table, Op::reshape_, reshape_gradient);
  add_rule(table, Op::permute_, permute_gradient);
  add_rule(table, Op::expand_, expand_gradient);
  add_rule(table, Op::slice_, slice_gradient);
  add_rule(table, Op::slice_scatter_, slice_scatter_gradient);
  add_rule(table, Op::as_strided_, as_strided_gradient);
  add_rule(table, Op::as_strided_add_, as_strided_add_gradient);
  add_rule(table, Op::as_strided_scatter_, as_strided_scatter_gradient);
  add_rule(table, Op::flip_, flip_gradient);
  add_rule(table, Op::pad_, pad_gradient);
  add_rule(table, Op::cat_, cat_gradient);
}

}  // namespace ds

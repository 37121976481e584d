// SPDX-License-Identifier: Apache-2.0
// Gradients of the unary elementwise ops. g is the gradient of y = f(x); values at non-smooth
// points are PyTorch's.
#include <numbers>

#include "ds/grad/rule_families.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

using std::numbers::inv_sqrtpi;
using std::numbers::ln10;
using std::numbers::ln2;

constexpr uint32_t kX = 1;  // mask of the input
constexpr uint32_t kY = 1;  // mask of the output

/// Adds a rule given as an expression of g, x and y.
#define DS_UNARY_RULE(op, saved_inputs, saved_outputs, expression) \
  add_rule(                                                        \
      table, Op::op,                                               \
      [](const GradContext& c) -> Values {                         \
        [[maybe_unused]] const Value& g = c.grad();                \
        [[maybe_unused]] const Value& x = c.in(0);                 \
        [[maybe_unused]] const Value y = c.out();                  \
        return {expression};                                       \
      },                                                           \
      saved_inputs, saved_outputs)

Value unary(Op op, const Value& x) { return make(op, {x}); }

Value zeros_like(const Value& x) { return make_full(x.shape(), 0.0, x.dtype()); }

/// g where y > 0 or NaN, else 0: relu'(0) = 0.
Value relu_gradient(const Value& g, const Value& y) {
  const Value zero = make_constant(0.0, y.dtype());
  return make(Op::where_, {make(Op::le_, {y, zero}), zero, g});
}

/// The derivative of Phi(x) + x phi(x), with Phi and phi the normal distribution and its density:
/// (2 - x^2) phi(x).
Value gelu_curvature(const Value& x) {
  const Value square = unary(Op::square_, x);
  const Value density = unary(Op::exp_, square * -0.5) * (inv_sqrtpi / std::numbers::sqrt2);
  return (2.0 - square) * density;
}

/// The second derivative of x s(u), s = sigmoid and u = u(x):
/// s (1 - s) (2 u' + x ((1 - 2 s) u'^2 + u'')).
Value logistic_curvature(const Value& x, const Value& u, const Value& first, const Value& second) {
  const Value s = unary(Op::sigmoid_, u);
  const Value bend = (1.0 - s * 2.0) * unary(Op::square_, first) + second;
  return s * (1.0 - s) * (first * 2.0 + x * bend);
}

/// With u = k (x + a x^3), k = 2 sqrt(2 / pi).
Value gelu_tanh_curvature(const Value& x) {
  const double k = 2 * std::numbers::sqrt2 * inv_sqrtpi;
  const double a = 0.044715;
  const Value square = unary(Op::square_, x);
  return logistic_curvature(x, x * (square * (k * a) + k), square * (3 * k * a) + k,
                            x * (6 * k * a));
}

/// s (1 - s) (2 + x (1 - 2 s)) with s = sigmoid(x).
Value silu_curvature(const Value& x) {
  const Value s = unary(Op::sigmoid_, x);
  return s * (1.0 - s) * (x * (1.0 - s * 2.0) + 2.0);
}

void add_algebraic(GradTable& table) {
  DS_UNARY_RULE(neg_, 0, 0, -g);
  DS_UNARY_RULE(abs_, kX, 0, g * unary(Op::sign_, x));
  DS_UNARY_RULE(sign_, 0, 0, zeros_like(x));
  DS_UNARY_RULE(sqrt_, 0, kY, g / (y * 2.0));
  DS_UNARY_RULE(rsqrt_, 0, kY, g * (y * unary(Op::square_, y)) * -0.5);
  DS_UNARY_RULE(reciprocal_, 0, kY, -(g * unary(Op::square_, y)));
  DS_UNARY_RULE(square_, kX, 0, g * (x * 2.0));
  DS_UNARY_RULE(cast_, 0, 0, make_cast(g, x.dtype()));
}

void add_exponential(GradTable& table) {
  DS_UNARY_RULE(exp_, 0, kY, g * y);
  DS_UNARY_RULE(exp2_, 0, kY, g * (y * ln2));
  DS_UNARY_RULE(expm1_, 0, kY, g * (y + 1.0));
  DS_UNARY_RULE(log_, kX, 0, g / x);
  DS_UNARY_RULE(log2_, kX, 0, g / (x * ln2));
  DS_UNARY_RULE(log10_, kX, 0, g / (x * ln10));
  DS_UNARY_RULE(log1p_, kX, 0, g / (x + 1.0));
}

void add_trigonometric(GradTable& table) {
  DS_UNARY_RULE(sin_, kX, 0, g * unary(Op::cos_, x));
  DS_UNARY_RULE(cos_, kX, 0, -(g * unary(Op::sin_, x)));
  DS_UNARY_RULE(tan_, 0, kY, g * (unary(Op::square_, y) + 1.0));
  DS_UNARY_RULE(asin_, kX, 0, g * unary(Op::rsqrt_, 1.0 - unary(Op::square_, x)));
  DS_UNARY_RULE(acos_, kX, 0, -(g * unary(Op::rsqrt_, 1.0 - unary(Op::square_, x))));
  DS_UNARY_RULE(atan_, kX, 0, g / (unary(Op::square_, x) + 1.0));
  DS_UNARY_RULE(sinh_, kX, 0, g * unary(Op::cosh_, x));
  DS_UNARY_RULE(cosh_, kX, 0, g * unary(Op::sinh_, x));
  DS_UNARY_RULE(tanh_, 0, kY, g * (1.0 - unary(Op::square_, y)));
  DS_UNARY_RULE(asinh_, kX, 0, g * unary(Op::rsqrt_, unary(Op::square_, x) + 1.0));
  DS_UNARY_RULE(acosh_, kX, 0, g * unary(Op::rsqrt_, unary(Op::square_, x) - 1.0));
  DS_UNARY_RULE(atanh_, kX, 0, g / (1.0 - unary(Op::square_, x)));
}

void add_special(GradTable& table) {
  DS_UNARY_RULE(erf_, kX, 0, g * (unary(Op::exp_, -unary(Op::square_, x)) * (2 * inv_sqrtpi)));
  DS_UNARY_RULE(erfc_, kX, 0, g * (unary(Op::exp_, -unary(Op::square_, x)) * (-2 * inv_sqrtpi)));
  DS_UNARY_RULE(erfinv_, 0, kY, g * (unary(Op::exp_, unary(Op::square_, y)) * (0.5 / inv_sqrtpi)));
  DS_UNARY_RULE(lgamma_, kX, 0, g * unary(Op::digamma_, x));
  DS_UNARY_RULE(digamma_, kX, 0, g * unary(Op::trigamma_, x));
}

void add_activations(GradTable& table) {
  DS_UNARY_RULE(sigmoid_, 0, kY, g * ((1.0 - y) * y));
  DS_UNARY_RULE(relu_, 0, kY, relu_gradient(g, y));
  DS_UNARY_RULE(gelu_, kX, 0, g * unary(Op::gelu_slope_, x));
  DS_UNARY_RULE(gelu_tanh_, kX, 0, g * unary(Op::gelu_tanh_slope_, x));
  DS_UNARY_RULE(silu_, kX, 0, g * unary(Op::silu_slope_, x));
  DS_UNARY_RULE(gelu_slope_, kX, 0, g * gelu_curvature(x));
  DS_UNARY_RULE(gelu_tanh_slope_, kX, 0, g * gelu_tanh_curvature(x));
  DS_UNARY_RULE(silu_slope_, kX, 0, g * silu_curvature(x));
  DS_UNARY_RULE(softplus_, kX, 0, g * unary(Op::sigmoid_, x));
}

#undef DS_UNARY_RULE

}  // namespace

void add_unary_rules(GradTable& table) {
  add_algebraic(table);
  add_exponential(table);
  add_trigonometric(table);
  add_special(table);
  add_activations(table);
}

}  // namespace ds

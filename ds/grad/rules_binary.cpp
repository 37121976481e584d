// SPDX-License-Identifier: Apache-2.0
// Gradients of the binary elementwise ops, where and clamp. a and b broadcast: every gradient is
// summed back to its input's shape. Ties of maximum and minimum are shared, as in PyTorch.
#include "ds/grad/rule_families.h"
#include "ds/ir/build.h"

namespace ds {
namespace {

constexpr uint32_t kA = 1;
constexpr uint32_t kB = 2;
constexpr uint32_t kY = 1;

Value zero_like(const Value& x) { return make_constant(0.0, x.dtype()); }
Value select(const Value& condition, const Value& yes, const Value& no) {
  return make(Op::where_, {condition, yes, no});
}
Value sum_to_input(const GradContext& c, int i, const Value& grad) {
  return make_sum_to(grad, c.in(i).shape());
}

// da = g, db = g
Values add_gradient(const GradContext& c) {
  Values grads(2);
  for (int i = 0; i < 2; ++i)
    if (c.needs(i)) grads[static_cast<size_t>(i)] = sum_to_input(c, i, c.grad());
  return grads;
}

// da = g, db = -g
Values sub_gradient(const GradContext& c) {
  Values grads(2);
  if (c.needs(0)) grads[0] = sum_to_input(c, 0, c.grad());
  if (c.needs(1)) grads[1] = -sum_to_input(c, 1, c.grad());
  return grads;
}

// da = g b, db = g a
Values mul_gradient(const GradContext& c) {
  Values grads(2);
  if (c.needs(0)) grads[0] = sum_to_input(c, 0, c.grad() * c.in(1));
  if (c.needs(1)) grads[1] = sum_to_input(c, 1, c.grad() * c.in(0));
  return grads;
}

// da = g / b, db = -g (a / b) / b
Values div_gradient(const GradContext& c) {
  Values grads(2);
  const Value scaled = c.grad() / c.in(1);
  if (c.needs(0)) grads[0] = sum_to_input(c, 0, scaled);
  if (c.needs(1)) grads[1] = sum_to_input(c, 1, -(scaled * c.out()));
  return grads;
}

bool is_nonzero_constant(const Value& x) {
  return x.node->op() == Op::constant_ && x.node->attr_float("value") != 0.0;
}

// da = g b a^(b-1), where b = 0 uses a^0 so that a = 0 gives 0, not NaN;
// db = g y log(a), 0 where a = 0 and b >= 0
Values pow_gradient(const GradContext& c) {
  const Value& g = c.grad();
  const Value& a = c.in(0);
  const Value& b = c.in(1);
  const Value one = make_constant(1.0, a.dtype());
  Values grads(2);
  if (c.needs(0)) {
    const Value safe =
        is_nonzero_constant(b) ? b : select(make(Op::eq_, {b, zero_like(b)}), one, b);
    grads[0] = sum_to_input(c, 0, g * (b * make(Op::pow_, {a, safe - 1.0})));
  }
  if (c.needs(1)) {
    const Value vanishes = make(
        Op::logical_and_, {make(Op::eq_, {a, zero_like(a)}), make(Op::ge_, {b, zero_like(b)})});
    const Value log = make(Op::log_, {select(vanishes, one, a)});
    grads[1] = sum_to_input(c, 1, g * (c.out() * log));
  }
  return grads;
}

/// g where the input won, g / 2 on ties; `loses` compares input i with the other.
Values extremum_gradient(const GradContext& c, Op loses) {
  Values grads(2);
  const Value tie = make(Op::eq_, {c.in(0), c.in(1)});
  const Value shared = select(tie, c.grad() * 0.5, c.grad());
  for (int i = 0; i < 2; ++i) {
    if (!c.needs(i)) continue;
    const Value lost = make(loses, {c.in(i), c.in(1 - i)});
    grads[static_cast<size_t>(i)] = sum_to_input(c, i, select(lost, zero_like(shared), shared));
  }
  return grads;
}
Values maximum_gradient(const GradContext& c) { return extremum_gradient(c, Op::lt_); }
Values minimum_gradient(const GradContext& c) { return extremum_gradient(c, Op::gt_); }

/// a - b q(a, b) with a quotient q that is piecewise constant: da = g, db = -g q.
Values modulo_gradient(const GradContext& c, Op quotient) {
  Values grads(2);
  if (c.needs(0)) grads[0] = sum_to_input(c, 0, c.grad());
  if (c.needs(1)) grads[1] = sum_to_input(c, 1, -(c.grad() * make(quotient, {c.in(0), c.in(1)})));
  return grads;
}
Values fmod_gradient(const GradContext& c) { return modulo_gradient(c, Op::trunc_divide_); }
Values remainder_gradient(const GradContext& c) { return modulo_gradient(c, Op::floor_divide_); }

// atan2(a, b): da = g b / (a^2 + b^2), db = -g a / (a^2 + b^2), 0 at the origin
Values atan2_gradient(const GradContext& c) {
  const Value& a = c.in(0);
  const Value& b = c.in(1);
  const Value square = make(Op::square_, {a}) + make(Op::square_, {b});
  const Value origin = make(Op::eq_, {square, zero_like(square)});
  const Value scaled = c.grad() / select(origin, make_constant(1.0, square.dtype()), square);
  Values grads(2);
  if (c.needs(0)) grads[0] = sum_to_input(c, 0, scaled * b);
  if (c.needs(1)) grads[1] = sum_to_input(c, 1, -(scaled * a));
  return grads;
}

// da = g sign(y) sign(a), 0 at a = 0; db = 0
Values copysign_gradient(const GradContext& c) {
  Values grads(2);
  if (c.needs(0)) {
    const Value sign = make(Op::sign_, {c.out()}) * make(Op::sign_, {c.in(0)});
    grads[0] = sum_to_input(c, 0, c.grad() * sign);
  }
  if (c.needs(1)) grads[1] = make_full(c.in(1).shape(), 0.0, c.in(1).dtype());
  return grads;
}

// where(m, a, b): da = where(m, g, 0), db = where(m, 0, g): nothing of the unselected side leaks
Values where_gradient(const GradContext& c) {
  const Value& g = c.grad();
  Values grads(3);
  if (c.needs(1)) grads[1] = sum_to_input(c, 1, select(c.in(0), g, zero_like(g)));
  if (c.needs(2)) grads[2] = sum_to_input(c, 2, select(c.in(0), zero_like(g), g));
  return grads;
}

// clamp(x, low, high): dx = g within the limits, both included; dlow = g where x < low < high;
// dhigh = g where x > high or high < low; NaN gets none: as PyTorch
Values clamp_gradient(const GradContext& c) {
  const Value &g = c.grad(), &x = c.in(0), &low = c.in(1), &high = c.in(2);
  const auto where = [&](int i, Op both, const Value& a, const Value& b) {
    return sum_to_input(c, i, select(make(both, {a, b}), g, zero_like(g)));
  };
  Values grads(3);
  if (c.needs(0))
    grads[0] = where(0, Op::logical_and_, make(Op::ge_, {x, low}), make(Op::le_, {x, high}));
  if (c.needs(1))
    grads[1] = where(1, Op::logical_and_, make(Op::lt_, {x, low}), make(Op::lt_, {low, high}));
  if (c.needs(2))
    grads[2] = where(2, Op::logical_or_, make(Op::gt_, {x, high}), make(Op::lt_, {high, low}));
  return grads;
}

}  // namespace

void add_binary_rules(GradTable& table) {
  add_rule(table, Op::add_, add_gradient);
  add_rule(table, Op::sub_, sub_gradient);
  add_rule(table, Op::mul_, mul_gradient, kA | kB);
  add_rule(table, Op::div_, div_gradient, kB, kY);
  add_rule(table, Op::pow_, pow_gradient, kA | kB, kY);
  add_rule(table, Op::maximum_, maximum_gradient, kA | kB);
  add_rule(table, Op::minimum_, minimum_gradient, kA | kB);
  add_rule(table, Op::fmod_, fmod_gradient, kA | kB);
  add_rule(table, Op::remainder_, remainder_gradient, kA | kB);
  add_rule(table, Op::atan2_, atan2_gradient, kA | kB);
  add_rule(table, Op::copysign_, copysign_gradient, kA, kY);
  add_rule(table, Op::where_, where_gradient, 1);
  add_rule(table, Op::clamp_, clamp_gradient, 7);
}

}  // namespace ds

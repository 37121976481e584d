// SPDX-License-Identifier: Apache-2.0
// Elementwise functions and activations.
#include "functions.h"

namespace {

using ds::Operand;
using ds::Tensor;

void bind_unary(Functions& f) {
#define DS_UNARY(name) f.both(#name, static_cast<Tensor (*)(const Tensor&)>(&ds::name));
  // clang-format off
  DS_UNARY(abs) DS_UNARY(neg) DS_UNARY(positive) DS_UNARY(sign) DS_UNARY(sgn) DS_UNARY(signbit)
  DS_UNARY(exp) DS_UNARY(exp2) DS_UNARY(expm1) DS_UNARY(log) DS_UNARY(log2) DS_UNARY(log10)
  DS_UNARY(log1p) DS_UNARY(sqrt) DS_UNARY(rsqrt) DS_UNARY(reciprocal) DS_UNARY(square) DS_UNARY(sin)
  DS_UNARY(cos) DS_UNARY(tan) DS_UNARY(asin) DS_UNARY(acos) DS_UNARY(atan) DS_UNARY(sinh)
  DS_UNARY(cosh) DS_UNARY(tanh) DS_UNARY(asinh) DS_UNARY(acosh) DS_UNARY(atanh) DS_UNARY(sinc)
  DS_UNARY(erf) DS_UNARY(erfc) DS_UNARY(erfinv) DS_UNARY(lgamma) DS_UNARY(digamma) DS_UNARY(sigmoid)
  DS_UNARY(floor) DS_UNARY(ceil) DS_UNARY(trunc) DS_UNARY(frac) DS_UNARY(deg2rad) DS_UNARY(rad2deg)
  DS_UNARY(isnan) DS_UNARY(isinf) DS_UNARY(isfinite) DS_UNARY(isposinf) DS_UNARY(isneginf)
  DS_UNARY(logical_not) DS_UNARY(bitwise_not) DS_UNARY(relu)
#undef DS_UNARY
  f.both("absolute", static_cast<Tensor (*)(const Tensor&)>(&ds::abs));
  // clang-format on
  f.both("negative", static_cast<Tensor (*)(const Tensor&)>(&ds::neg));
  f.both("fix", static_cast<Tensor (*)(const Tensor&)>(&ds::trunc));
  f.both("arcsin", static_cast<Tensor (*)(const Tensor&)>(&ds::asin));
  f.both("arccos", static_cast<Tensor (*)(const Tensor&)>(&ds::acos));
  f.both("arctan", static_cast<Tensor (*)(const Tensor&)>(&ds::atan));
  f.both("arcsinh", static_cast<Tensor (*)(const Tensor&)>(&ds::asinh));
  f.both("arccosh", static_cast<Tensor (*)(const Tensor&)>(&ds::acosh));
  f.both("arctanh", static_cast<Tensor (*)(const Tensor&)>(&ds::atanh));
  f.both("mvlgamma", &ds::mvlgamma, "p"_a);
  f.function("polygamma", &ds::polygamma, "n"_a, "input"_a);
  f.function("ndtr", &ds::ndtr, "input"_a);
  f.function("ndtri", &ds::ndtri, "input"_a);
  f.function("entr", &ds::entr, "input"_a);
  f.both("logit", &ds::logit, "eps"_a = nb::none());
  f.both("round", &ds::round, nb::kw_only(), "decimals"_a = 0);
  f.both("nan_to_num", &ds::nan_to_num, "nan"_a = 0.0, "posinf"_a = nb::none(),
         "neginf"_a = nb::none());
  f.both("isclose", &ds::isclose, "other"_a, "rtol"_a = 1e-5, "atol"_a = 1e-8,
         "equal_nan"_a = false);
  f.both("allclose", &ds::allclose, "other"_a, "rtol"_a = 1e-5, "atol"_a = 1e-8,
         "equal_nan"_a = false);
  f.both("equal", &ds::equal, "other"_a);
  f.function("isin", &ds::isin, "elements"_a, "test_elements"_a, nb::kw_only(), "invert"_a = false);
}

void bind_binary(Functions& f) {
  f.both("add", &ds::add, "other"_a, nb::kw_only(), "alpha"_a = 1);
  f.both("sub", &ds::sub, "other"_a, nb::kw_only(), "alpha"_a = 1);
  f.both("subtract", &ds::sub, "other"_a, nb::kw_only(), "alpha"_a = 1);
  f.both("rsub", &ds::rsub, "other"_a, nb::kw_only(), "alpha"_a = 1);
  f.both("div", &ds::div, "other"_a, nb::kw_only(), "rounding_mode"_a = nb::none());
  f.both("divide", &ds::div, "other"_a, nb::kw_only(), "rounding_mode"_a = nb::none());
#define DS_BINARY(name) \
  f.both(#name, static_cast<Tensor (*)(const Operand&, const Operand&)>(&ds::name), "other"_a);
  // clang-format off
  DS_BINARY(mul) DS_BINARY(true_divide) DS_BINARY(floor_divide) DS_BINARY(remainder) DS_BINARY(fmod)
  DS_BINARY(float_power) DS_BINARY(atan2) DS_BINARY(copysign) DS_BINARY(hypot) DS_BINARY(maximum)
  DS_BINARY(minimum) DS_BINARY(fmax) DS_BINARY(fmin) DS_BINARY(logaddexp) DS_BINARY(logaddexp2)
  DS_BINARY(xlogy) DS_BINARY(eq) DS_BINARY(ne) DS_BINARY(lt) DS_BINARY(le) DS_BINARY(gt)
  DS_BINARY(ge) DS_BINARY(logical_and) DS_BINARY(logical_or) DS_BINARY(logical_xor)
  DS_BINARY(bitwise_and) DS_BINARY(bitwise_or) DS_BINARY(bitwise_xor) DS_BINARY(bitwise_left_shift)
  DS_BINARY(bitwise_right_shift)
#undef DS_BINARY
  f.both("pow", &ds::pow, "exponent"_a);
  // clang-format on
  f.both("multiply", &ds::mul, "other"_a);
  f.both("arctan2", &ds::atan2, "other"_a);
  f.both("not_equal", &ds::ne, "other"_a);
  f.both("less", &ds::lt, "other"_a);
  f.both("less_equal", &ds::le, "other"_a);
  f.both("greater", &ds::gt, "other"_a);
  f.both("greater_equal", &ds::ge, "other"_a);
  f.both("heaviside", &ds::heaviside, "values"_a);
  f.function("xlog1py", &ds::xlog1py, "input"_a, "other"_a);
  f.both("nextafter", &ds::nextafter, "other"_a);
  f.both("ldexp", &ds::ldexp, "other"_a);
  f.both("clamp", &ds::clamp, "min"_a = nb::none(), "max"_a = nb::none());
  f.both("clip", &ds::clamp, "min"_a = nb::none(), "max"_a = nb::none());
  f.both("clamp_min", &ds::clamp_min, "min"_a);
  f.both("clamp_max", &ds::clamp_max, "max"_a);
  f.both("lerp", &ds::lerp, "end"_a, "weight"_a);
  f.both("addcmul", &ds::addcmul, "tensor1"_a, "tensor2"_a, nb::kw_only(), "value"_a = 1);
  f.both("addcdiv", &ds::addcdiv, "tensor1"_a, "tensor2"_a, nb::kw_only(), "value"_a = 1);
  f.function("where",
             static_cast<Tensor (*)(const Tensor&, const Operand&, const Operand&)>(&ds::where),
             "condition"_a, "input"_a, "other"_a);
  f.function("where", static_cast<std::vector<Tensor> (*)(const Tensor&)>(&ds::where),
             "condition"_a);
  f.method(
      "where",
      [](const Tensor& self, const Tensor& condition, const Operand& other) {
        return ds::where(condition, self, other);
      },
      "condition"_a, "other"_a);
}

}  // namespace

void bind_elementwise(nb::module_& m, TensorClass& cls) {
  Functions f(m, cls);
  bind_unary(f);
  bind_binary(f);
  f.both("softmax", &ds::softmax, "dim"_a, "dtype"_a = nb::none());
  f.both("log_softmax", &ds::log_softmax, "dim"_a, "dtype"_a = nb::none());
  // clang-format off
  f.inplace({
      "abs", "neg", "sign", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt",
      "rsqrt", "reciprocal", "square", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
      "tanh", "asinh", "acosh", "atanh", "sinc", "erf", "erfc", "erfinv", "lgamma", "digamma",
      "sigmoid", "floor", "ceil", "trunc", "frac", "deg2rad", "rad2deg", "logical_not",
      "bitwise_not", "relu", "logit", "round", "nan_to_num", "add", "sub", "mul", "div",
      "true_divide", "floor_divide", "remainder", "fmod", "pow", "atan2", "copysign", "hypot", "eq",
      "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor", "bitwise_and",
      "bitwise_or", "bitwise_xor", "clamp", "clip", "clamp_min", "clamp_max", "lerp", "addcmul",
      "addcdiv", "xlogy", "heaviside", "float_power", "absolute", "negative", "fix", "arcsin",
      "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "arctan2", "sgn", "divide", "multiply",
      "subtract", "not_equal", "less", "less_equal", "greater", "greater_equal", "mvlgamma",
      "nextafter", "ldexp", "bitwise_left_shift", "bitwise_right_shift"});
  // clang-format on
}

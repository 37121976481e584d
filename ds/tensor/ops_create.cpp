// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/ops_create.h"

#include <algorithm>
#include <cmath>

#include "ds/base/error.h"
#include "ds/ir/build.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

constexpr double kPi = 3.14159265358979323846;

DType number_dtype(const Operand& number) {
  return number.is_float() ? default_dtype() : number.is_bool() ? DType::bool_ : DType::i64;
}

void check_sizes(const Shape& size, const char* op) {
  for (int64_t n : size)
    DS_CHECK(n >= 0, ValueError, op, ": size ", size, " has a negative number");
}

Tensor filled(const Shape& size, double value, std::optional<DType> dtype, Device device,
              const char* op) {
  check_sizes(size, op);
  return constant(size, value, dtype.value_or(default_dtype()), device);
}

double whole_number(const Operand& x) {
  DS_CHECK(x.is_number(), ValueError, "arange: bounds and step must be numbers");
  return x.as_double();
}

Tensor triangle_indices(int64_t row, int64_t col, int64_t offset, bool lower, Device device) {
  DS_CHECK(row >= 0 && col >= 0, ValueError, "tril_indices: row ", row, " or col ", col,
           " is negative");
  std::vector<int64_t> places[2];
  for (int64_t r = 0; r < row; ++r) {
    const int64_t first = lower ? 0 : std::clamp<int64_t>(r + offset, 0, col);
    const int64_t last = lower ? std::clamp<int64_t>(r + offset + 1, 0, col) : col;
    for (int64_t c = first; c < last; ++c) {
      places[0].push_back(r);
      places[1].push_back(c);
    }
  }
  const auto count = static_cast<int64_t>(places[0].size());
  places[0].insert(places[0].end(), places[1].begin(), places[1].end());
  return reshaped(index_tensor(places[0], device), {2, count});
}

}  // namespace

template <class T>
Tensor tensor(const std::vector<T>& values, const std::optional<Shape>& shape,
              std::optional<DType> dtype, Device device) {
  const Shape size = shape.value_or(Shape{static_cast<int64_t>(values.size())});
  DS_CHECK(size.numel() == static_cast<int64_t>(values.size()), ShapeError,
           "tensor: ", values.size(), " values do not fill shape ", size);
  Tensor out;
  if constexpr (std::is_same_v<T, bool>) {
    const std::vector<uint8_t> bytes(values.begin(), values.end());
    out = Tensor::from_host(bytes.data(), {DType::bool_, size}, device);
  } else {
    out = Tensor::from_host(values.data(), {kDTypeOf<T>, size}, device);
  }
  return dtype ? to_dtype(out, *dtype) : out;
}
template Tensor tensor(const std::vector<float>&, const std::optional<Shape>&, std::optional<DType>,
                       Device);
template Tensor tensor(const std::vector<double>&, const std::optional<Shape>&,
                       std::optional<DType>, Device);
template Tensor tensor(const std::vector<int64_t>&, const std::optional<Shape>&,
                       std::optional<DType>, Device);
template Tensor tensor(const std::vector<int32_t>&, const std::optional<Shape>&,
                       std::optional<DType>, Device);
template Tensor tensor(const std::vector<uint8_t>&, const std::optional<Shape>&,
                       std::optional<DType>, Device);
template Tensor tensor(const std::vector<bool>&, const std::optional<Shape>&, std::optional<DType>,
                       Device);

Tensor tensor(std::initializer_list<double> values, const std::optional<Shape>& shape,
              std::optional<DType> dtype, Device device) {
  return tensor(std::vector<double>(values), shape, dtype.value_or(default_dtype()), device);
}

Tensor scalar_tensor(const Operand& value, std::optional<DType> dtype, Device device) {
  return full({}, value, dtype, device);
}

Tensor zeros(const Shape& size, std::optional<DType> dtype, Device device) {
  return filled(size, 0, dtype, device, "zeros");
}
Tensor ones(const Shape& size, std::optional<DType> dtype, Device device) {
  return filled(size, 1, dtype, device, "ones");
}
Tensor full(const Shape& size, const Operand& fill_value, std::optional<DType> dtype,
            Device device) {
  check_sizes(size, "full");
  if (!fill_value.is_number())
    return expanded(to_dtype(fill_value.tensor(), dtype.value_or(fill_value.tensor().dtype())),
                    size);
  return expanded(fill_value.constant(dtype.value_or(number_dtype(fill_value)), device), size);
}
Tensor empty(const Shape& size, std::optional<DType> dtype, Device device) {
  return filled(size, 0, dtype, device, "empty");
}
Tensor zeros_like(const Tensor& input, std::optional<DType> dtype) {
  return zeros(input.shape(), dtype.value_or(input.dtype()), input.device());
}
Tensor ones_like(const Tensor& input, std::optional<DType> dtype) {
  return ones(input.shape(), dtype.value_or(input.dtype()), input.device());
}
Tensor full_like(const Tensor& input, const Operand& fill_value, std::optional<DType> dtype) {
  return full(input.shape(), fill_value, dtype.value_or(input.dtype()), input.device());
}
Tensor empty_like(const Tensor& input, std::optional<DType> dtype) {
  return zeros_like(input, dtype);
}

Tensor arange(const Operand& end, std::optional<DType> dtype, Device device) {
  return arange(0, end, 1, dtype, device);
}

Tensor arange(const Operand& start, const Operand& end, const Operand& step,
              std::optional<DType> dtype, Device device) {
  const double first = whole_number(start), last = whole_number(end), by = whole_number(step);
  DS_CHECK(by != 0, ValueError, "arange: step must not be 0");
  DS_CHECK(std::isfinite(first) && std::isfinite(last), ValueError, "arange: bounds ", first,
           " and ", last, " must be finite");
  DS_CHECK((last - first) * by >= 0, ValueError, "arange: from ", first, " to ", last, " by ", by,
           " goes the wrong way");
  const bool floating = start.is_float() || end.is_float() || step.is_float();
  const DType wanted = dtype.value_or(floating ? default_dtype() : DType::i64);
  const auto count = static_cast<int64_t>(std::ceil((last - first) / by));
  if (!floating || first == std::trunc(first)) {
    const DType exact = is_floating(wanted) ? DType::f64 : DType::i64;
    if (by == 1 && first == 0 && wanted != DType::bool_ && !is_half(wanted))
      return iota(count, wanted, device);
    if (by == std::trunc(by))
      return to_dtype(
          iota(count, exact, device) * static_cast<int64_t>(by) + static_cast<int64_t>(first),
          wanted);
  }
  return to_dtype(iota(count, DType::f64, device) * by + first, wanted);
}

Tensor linspace(double start, double end, int64_t steps, std::optional<DType> dtype,
                Device device) {
  DS_CHECK(steps >= 0, ValueError, "linspace: steps ", steps, " is negative");
  const DType wanted = dtype.value_or(default_dtype());
  if (steps == 1) return full({1}, start, wanted, device);
  const double by = (end - start) / static_cast<double>(std::max<int64_t>(steps - 1, 1));
  const Tensor i = iota(steps, DType::f64, device);
  // From both ends towards the middle, so that the last number is `end` exactly.
  const Tensor from_end = end - (static_cast<double>(steps - 1) - i) * by;
  return to_dtype(where(lt(i, static_cast<double>(steps / 2)), i * by + start, from_end), wanted);
}

Tensor logspace(double start, double end, int64_t steps, double base, std::optional<DType> dtype,
                Device device) {
  const Tensor exponents = linspace(start, end, steps, DType::f64, device);
  return to_dtype(pow(base, exponents), dtype.value_or(default_dtype()));
}

Tensor eye(int64_t n, std::optional<int64_t> m, std::optional<DType> dtype, Device device) {
  const int64_t cols = m.value_or(n);
  DS_CHECK(n >= 0 && cols >= 0, ValueError, "eye: n ", n, " or m ", cols, " is negative");
  const Tensor rows = reshaped(iota(n, DType::i64, device), {n, 1});
  return to_dtype(eq(rows, iota(cols, DType::i64, device)), dtype.value_or(default_dtype()));
}

Tensor tril_indices(int64_t row, int64_t col, int64_t offset, Device device) {
  return triangle_indices(row, col, offset, true, device);
}
Tensor triu_indices(int64_t row, int64_t col, int64_t offset, Device device) {
  return triangle_indices(row, col, offset, false, device);
}

Tensor vander(const Tensor& x, std::optional<int64_t> n, bool increasing) {
  DS_CHECK(x.dim() == 1, ShapeError, "vander: x ", x.type(), " must be 1-d");
  const int64_t columns = n.value_or(x.numel());
  Tensor power = iota(columns, DType::i64, x.device());
  if (!increasing) power = (columns - 1) - power;
  return pow(reshaped(x, {x.numel(), 1}), to_dtype(power, x.dtype()));
}

Tensor one_hot(const Tensor& input, int64_t num_classes) {
  const Tensor index = as_index(input, "one_hot");
  int64_t classes = num_classes;
  if (classes < 0) {
    DS_CHECK(input.numel() > 0, ValueError, "one_hot: give num_classes for an empty input");
    classes = amax(index).item_int() + 1;
  }
  DS_CHECK(classes > 0, ValueError, "one_hot: num_classes ", num_classes, " must be positive");
  // A scatter, not a comparison, so that a label out of range is an error.
  Shape shape = input.shape();
  shape.push_back(classes);
  const Tensor one = constant({}, 1, DType::i64, input.device());
  Shape column = input.shape();
  column.push_back(1);
  return record(Op::scatter_,
                {constant(shape, 0, DType::i64, input.device()), reshaped(index, column),
                 expanded(one, column)},
                {input.dim(), std::string("set")});
}

namespace {

/// A window of host numbers f(n, N), N the period.
template <class F>
Tensor window(int64_t length, bool periodic, std::optional<DType> dtype, Device device, F f) {
  DS_CHECK(length >= 0, ValueError, "window: window_length ", length, " is negative");
  const DType wanted = dtype.value_or(default_dtype());
  DS_CHECK(is_floating(wanted), DTypeError, "window: ", wanted, " is not a floating dtype");
  if (length == 1) return ones({1}, wanted, device);
  const auto period = static_cast<double>(periodic ? length : length - 1);
  std::vector<double> values;
  for (int64_t n = 0; n < length; ++n) values.push_back(f(static_cast<double>(n), period));
  return to_dtype(tensor(values, {}, DType::f64, device), wanted);
}

/// Modified Bessel function of the first kind and order 0, by its power series.
double bessel_i0(double x) {
  double sum = 1, term = 1;
  for (int k = 1; term > sum * 1e-17; ++k) {
    term *= x * x / (4.0 * k * k);
    sum += term;
  }
  return sum;
}

}  // namespace

Tensor bartlett_window(int64_t window_length, bool periodic, std::optional<DType> dtype,
                       Device device) {
  return window(window_length, periodic, dtype, device,
                [](double n, double period) { return 1 - std::fabs(2 * n / period - 1); });
}

Tensor blackman_window(int64_t window_length, bool periodic, std::optional<DType> dtype,
                       Device device) {
  return window(window_length, periodic, dtype, device, [](double n, double period) {
    const double angle = 2 * kPi * n / period;
    return 0.42 - 0.5 * std::cos(angle) + 0.08 * std::cos(2 * angle);
  });
}

Tensor kaiser_window(int64_t window_length, bool periodic, double beta, std::optional<DType> dtype,
                     Device device) {
  return window(window_length, periodic, dtype, device, [beta](double n, double period) {
    const double place = 2 * n / period - 1;
    return bessel_i0(beta * std::sqrt(std::max(1 - place * place, 0.0))) / bessel_i0(beta);
  });
}

Tensor hann_window(int64_t window_length, bool periodic, std::optional<DType> dtype,
                   Device device) {
  return hamming_window(window_length, periodic, 0.5, 0.5, dtype, device);
}

Tensor hamming_window(int64_t window_length, bool periodic, double alpha, double beta,
                      std::optional<DType> dtype, Device device) {
  DS_CHECK(window_length >= 0, ValueError, "window: window_length ", window_length, " is negative");
  const DType wanted = dtype.value_or(default_dtype());
  if (window_length == 1) return ones({1}, wanted, device);
  const auto period = static_cast<double>(periodic ? window_length : window_length - 1);
  const Tensor angle = iota(window_length, DType::f64, device) * (2 * kPi / period);
  return to_dtype(alpha - cos(angle) * beta, wanted);
}

}  // namespace ds

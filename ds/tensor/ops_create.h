// SPDX-License-Identifier: Apache-2.0
// New tensors from numbers and host data. dtype defaults to the default dtype where none is
// implied.
#pragma once

#include <initializer_list>
#include <optional>
#include <vector>

#include "ds/tensor/record.h"

namespace ds {

/// A tensor of host values in row-major order; 1-d without a shape. T is float, double, int64_t,
/// int32_t, uint8_t or bool and decides the dtype unless one is given.
template <class T>
Tensor tensor(const std::vector<T>& values, const std::optional<Shape>& shape = std::nullopt,
              std::optional<DType> dtype = std::nullopt, Device device = default_device());
/// tensor({1, 2.5, 3}): a 1-d tensor of the default dtype.
Tensor tensor(std::initializer_list<double> values,
              const std::optional<Shape>& shape = std::nullopt,
              std::optional<DType> dtype = std::nullopt, Device device = default_device());
/// A 0-d tensor of a number.
Tensor scalar_tensor(const Operand& value, std::optional<DType> dtype = std::nullopt,
                     Device device = default_device());

/// Zeros.
Tensor zeros(const Shape& size, std::optional<DType> dtype = std::nullopt,
             Device device = default_device());
/// Ones.
Tensor ones(const Shape& size, std::optional<DType> dtype = std::nullopt,
            Device device = default_device());
/// fill_value everywhere; its kind (bool, integer, floating) implies the dtype.
Tensor full(const Shape& size, const Operand& fill_value, std::optional<DType> dtype = std::nullopt,
            Device device = default_device());
/// Values that nobody promised: zeros here.
Tensor empty(const Shape& size, std::optional<DType> dtype = std::nullopt,
             Device device = default_device());
/// Zeros of input's shape, dtype (unless given) and device.
Tensor zeros_like(const Tensor& input, std::optional<DType> dtype = std::nullopt);
/// Ones of input's shape, dtype (unless given) and device.
Tensor ones_like(const Tensor& input, std::optional<DType> dtype = std::nullopt);
/// fill_value in input's shape, dtype (unless given) and device.
Tensor full_like(const Tensor& input, const Operand& fill_value,
                 std::optional<DType> dtype = std::nullopt);
/// empty of input's shape, dtype (unless given) and device.
Tensor empty_like(const Tensor& input, std::optional<DType> dtype = std::nullopt);

/// 0, 1, ..., below end.
Tensor arange(const Operand& end, std::optional<DType> dtype = std::nullopt,
              Device device = default_device());
/// start, start + step, ..., before end; i64 when all three are integers.
Tensor arange(const Operand& start, const Operand& end, const Operand& step = 1,
              std::optional<DType> dtype = std::nullopt, Device device = default_device());
/// `steps` numbers from start to end, both included.
Tensor linspace(double start, double end, int64_t steps, std::optional<DType> dtype = std::nullopt,
                Device device = default_device());
/// base to the power of linspace.
Tensor logspace(double start, double end, int64_t steps, double base = 10.0,
                std::optional<DType> dtype = std::nullopt, Device device = default_device());
/// [n, m] with ones on the diagonal; m defaults to n.
Tensor eye(int64_t n, std::optional<int64_t> m = std::nullopt,
           std::optional<DType> dtype = std::nullopt, Device device = default_device());
/// Coordinates [2, count] (i64) of the lower triangle of a row x col matrix.
Tensor tril_indices(int64_t row, int64_t col, int64_t offset = 0, Device device = default_device());
/// Coordinates [2, count] (i64) of the upper triangle of a row x col matrix.
Tensor triu_indices(int64_t row, int64_t col, int64_t offset = 0, Device device = default_device());
/// Powers of x as columns [len(x), n]: highest first unless increasing.
Tensor vander(const Tensor& x, std::optional<int64_t> n = std::nullopt, bool increasing = false);
/// [n] (or shape) one-hot rows of an index tensor (i64): [...] -> [..., num_classes]; without
/// num_classes it computes the largest index.
Tensor one_hot(const Tensor& input, int64_t num_classes = -1);

/// Window functions of signal processing, `periodic` as in torch.
Tensor hann_window(int64_t window_length, bool periodic = true,
                   std::optional<DType> dtype = std::nullopt, Device device = default_device());
/// Ones at the middle, falling linearly to zero.
Tensor bartlett_window(int64_t window_length, bool periodic = true,
                       std::optional<DType> dtype = std::nullopt, Device device = default_device());
/// 0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N).
Tensor blackman_window(int64_t window_length, bool periodic = true,
                       std::optional<DType> dtype = std::nullopt, Device device = default_device());
/// Kaiser's window: I0(beta sqrt(1 - (2 n / N - 1)^2)) / I0(beta).
Tensor kaiser_window(int64_t window_length, bool periodic = true, double beta = 12.0,
                     std::optional<DType> dtype = std::nullopt, Device device = default_device());
/// alpha - beta cos(2 pi n / N).
Tensor hamming_window(int64_t window_length, bool periodic = true, double alpha = 0.54,
                      double beta = 0.46, std::optional<DType> dtype = std::nullopt,
                      Device device = default_device());

}  // namespace ds

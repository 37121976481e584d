// SPDX-License-Identifier: Apache-2.0
// Resampling of ops_nn.h: separable interpolation, one dimension after the other.
#include <algorithm>
#include <cmath>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_create.h"
#include "ds/tensor/ops_linalg.h"
#include "ds/tensor/ops_nn.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

/// How the positions of one dimension map from output to input.
struct Axis {
  int dim;
  int64_t in, out;
  double scale;  // input steps per output step, without aligned corners
  bool align_corners;

  /// Position in the input of the centre of an output element.
  double centre(int64_t i) const {
    if (align_corners)
      return out > 1 ? static_cast<double>(i) * static_cast<double>(in - 1) /
                           static_cast<double>(out - 1)
                     : 0.0;
    return (static_cast<double>(i) + 0.5) * scale - 0.5;
  }
};

/// The numbers as a tensor of the dtype and device of `like`.
Tensor numbers(const std::vector<double>& values, const Tensor& like) {
  const Shape shape{static_cast<int64_t>(values.size())};
  if (like.dtype() == DType::f64)
    return Tensor::from_host(values.data(), {DType::f64, shape}, like.device());
  const std::vector<float> rounded(values.begin(), values.end());
  return to_dtype(Tensor::from_host(rounded.data(), {DType::f32, shape}, like.device()),
                  like.dtype());
}

/// For each output element of an axis, the input elements and their weights, tap by tap.
struct Taps {
  std::vector<int64_t> index;
  std::vector<double> weight;
};

Taps nearest_taps(const Axis& axis, bool exact) {
  Taps taps;
  // In float, as PyTorch computes it: the two must pick the same element at a tie.
  const auto scale = static_cast<float>(axis.scale);
  for (int64_t i = 0; i < axis.out; ++i) {
    const float at = exact ? (static_cast<float>(i) + 0.5f) * scale : static_cast<float>(i) * scale;
    taps.index.push_back(std::min(static_cast<int64_t>(std::floor(at)), axis.in - 1));
  }
  taps.weight.assign(taps.index.size(), 1);
  return taps;
}

Taps linear_taps(const Axis& axis) {
  const auto out = static_cast<size_t>(axis.out);
  Taps taps{std::vector<int64_t>(2 * out), std::vector<double>(2 * out)};
  for (size_t i = 0; i < out; ++i) {
    const double at = std::max(axis.centre(static_cast<int64_t>(i)), 0.0);
    const int64_t low = std::min(static_cast<int64_t>(at), axis.in - 1);
    const double part = at - static_cast<double>(low);
    taps.index[i] = low;
    taps.index[out + i] = std::min(low + 1, axis.in - 1);
    taps.weight[i] = 1 - part;
    taps.weight[out + i] = part;
  }
  return taps;
}

/// R. Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = -0.75.
Taps cubic_taps(const Axis& axis) {
  constexpr double a = -0.75;
  const auto near = [&](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  const auto far = [&](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  const auto out = static_cast<size_t>(axis.out);
  Taps taps{std::vector<int64_t>(4 * out), std::vector<double>(4 * out)};
  for (size_t i = 0; i < out; ++i) {
    const double at = axis.centre(static_cast<int64_t>(i)), low = std::floor(at), t = at - low;
    const double w[] = {far(t + 1), near(t), near(1 - t), far(2 - t)};
    for (size_t tap = 0; tap < 4; ++tap) {
      taps.index[tap * out + i] = std::clamp(
          static_cast<int64_t>(low) + static_cast<int64_t>(tap) - 1, int64_t{0}, axis.in - 1);
      taps.weight[tap * out + i] = w[tap];
    }
  }
  return taps;
}

Tensor resampled(const Tensor& x, const Axis& axis, const Taps& taps) {
  const Shape shape{static_cast<int64_t>(taps.index.size()) / axis.out, axis.out};
  return record(Op::resample_,
                {x, reshaped(index_tensor(taps.index, x.device()), shape),
                 reshaped(numbers(taps.weight, x), shape)},
                {axis.dim});
}

int spatial_dims_of(const std::string& mode) {
  if (mode == "linear") return 1;
  if (mode == "bilinear" || mode == "bicubic") return 2;
  return mode == "trilinear" ? 3 : 0;
}

void check_mode(const Tensor& input, const std::string& mode, bool align_given) {
  DS_CHECK(input.dim() >= 3 && input.dim() <= 5, ShapeError, "interpolate: input ", input.type(),
           " must be [N, C, ...] with 1 to 3 spatial dimensions");
  const int wanted = spatial_dims_of(mode);
  const bool plain = mode == "nearest" || mode == "nearest-exact" || mode == "area";
  DS_CHECK(
      plain || wanted > 0, ValueError, "interpolate: mode '", mode,
      "' is unknown; use nearest, nearest-exact, linear, bilinear, bicubic, trilinear or area");
  DS_CHECK(plain || wanted == input.dim() - 2, ShapeError, "interpolate: mode '", mode, "' needs ",
           wanted, " spatial dimensions, input is ", input.type());
  DS_CHECK(!plain || !align_given, ValueError,
           "interpolate: align_corners goes with linear, "
           "bilinear, bicubic and trilinear, not with mode '",
           mode, "'");
}

std::vector<Axis> axes_of(const Tensor& input, const std::optional<PerDim>& size,
                          const std::vector<double>& scale_factor, bool align_corners,
                          bool recompute) {
  const int spatial = input.dim() - 2;
  DS_CHECK(size.has_value() != !scale_factor.empty(), ValueError,
           "interpolate: give size or scale_factor, and only one of them");
  DS_CHECK(scale_factor.size() <= 1 || static_cast<int>(scale_factor.size()) == spatial, ValueError,
           "interpolate: ", scale_factor.size(), " scale factors for ", spatial,
           " spatial dimensions");
  const Shape sizes = size ? size->over(spatial, "interpolate", "size", 1) : Shape{};
  std::vector<Axis> axes;
  for (int i = 0; i < spatial; ++i) {
    Axis axis{i + 2, input.shape()[i + 2], 0, 1, align_corners};
    DS_CHECK(axis.in >= 1, ShapeError, "interpolate: input ", input.type(), " is empty");
    if (size) {
      axis.out = sizes[i];
      axis.scale = static_cast<double>(axis.in) / static_cast<double>(axis.out);
    } else {
      const double factor = scale_factor[scale_factor.size() == 1 ? 0 : static_cast<size_t>(i)];
      axis.out = static_cast<int64_t>(std::floor(static_cast<double>(axis.in) * factor));
      DS_CHECK(factor > 0 && axis.out >= 1, ValueError, "interpolate: scale_factor ", factor,
               " leaves no output of input ", input.type());
      axis.scale =
          recompute ? static_cast<double>(axis.in) / static_cast<double>(axis.out) : 1 / factor;
    }
    axes.push_back(axis);
  }
  return axes;
}

}  // namespace

Tensor interpolate(const Tensor& input, const std::optional<PerDim>& size,
                   const std::vector<double>& scale_factor, const std::string& mode,
                   std::optional<bool> align_corners, bool recompute_scale_factor) {
  check_mode(input, mode, align_corners.has_value());
  const std::vector<Axis> axes =
      axes_of(input, size, scale_factor, align_corners.value_or(false), recompute_scale_factor);
  if (mode == "area") {
    Shape out;
    for (const Axis& axis : axes) out.push_back(axis.out);
    return axes.size() == 1   ? adaptive_avg_pool1d(input, out)
           : axes.size() == 2 ? adaptive_avg_pool2d(input, out)
                              : adaptive_avg_pool3d(input, out);
  }
  const bool by_nearest = mode == "nearest" || mode == "nearest-exact";
  Tensor x = is_floating(input.dtype()) ? widened(input) : input;
  for (const Axis& axis : axes) {
    if (axis.out == axis.in && axis.scale == 1) continue;
    if (!by_nearest) {
      x = resampled(x, axis, mode == "bicubic" ? cubic_taps(axis) : linear_taps(axis));
      continue;
    }
    const Taps taps = nearest_taps(axis, mode == "nearest-exact");
    x = is_floating(x.dtype())
            ? resampled(x, axis, taps)
            : record(Op::index_select_, {x, index_tensor(taps.index, x.device())}, {axis.dim});
  }
  return to_dtype(x, input.dtype());
}

}  // namespace ds

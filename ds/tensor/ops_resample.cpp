// SPDX-License-Identifier: Apache-2.0
// Resampling of ops_nn.h: separable interpolation, one dimension after the other, and sampling at a
// grid.
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

/// Sum over taps of x[index[tap]] * weight[tap] along an axis.
Tensor weighted(const Tensor& x, const Axis& axis, const std::vector<std::vector<int64_t>>& index,
                const std::vector<std::vector<double>>& weight) {
  Shape shape = Shape::filled(x.dim(), 1);
  shape[axis.dim] = axis.out;
  Tensor total;
  for (size_t tap = 0; tap < index.size(); ++tap) {
    const Tensor picked =
        record(Op::index_select_, {x, index_tensor(index[tap], x.device())}, {axis.dim});
    const Tensor part = picked * reshaped(numbers(weight[tap], x), shape);
    total = total.defined() ? total + part : part;
  }
  return total;
}

Tensor nearest(const Tensor& x, const Axis& axis, bool exact) {
  std::vector<int64_t> index;
  // In float, as PyTorch computes it: the two must pick the same element at a tie.
  const auto scale = static_cast<float>(axis.scale);
  for (int64_t i = 0; i < axis.out; ++i) {
    const float at = exact ? (static_cast<float>(i) + 0.5f) * scale : static_cast<float>(i) * scale;
    index.push_back(std::min(static_cast<int64_t>(std::floor(at)), axis.in - 1));
  }
  return record(Op::index_select_, {x, index_tensor(index, x.device())}, {axis.dim});
}

Tensor linear_taps(const Tensor& x, const Axis& axis) {
  std::vector<std::vector<int64_t>> index(2);
  std::vector<std::vector<double>> weight(2);
  for (int64_t i = 0; i < axis.out; ++i) {
    const double at = std::max(axis.centre(i), 0.0);
    const int64_t low = std::min(static_cast<int64_t>(at), axis.in - 1);
    const double part = at - static_cast<double>(low);
    index[0].push_back(low);
    index[1].push_back(std::min(low + 1, axis.in - 1));
    weight[0].push_back(1 - part);
    weight[1].push_back(part);
  }
  return weighted(x, axis, index, weight);
}

/// R. Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = -0.75.
Tensor cubic_taps(const Tensor& x, const Axis& axis) {
  constexpr double a = -0.75;
  const auto near = [&](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  const auto far = [&](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  std::vector<std::vector<int64_t>> index(4);
  std::vector<std::vector<double>> weight(4);
  for (int64_t i = 0; i < axis.out; ++i) {
    const double at = axis.centre(i), low = std::floor(at), t = at - low;
    const double w[] = {far(t + 1), near(t), near(1 - t), far(2 - t)};
    for (int64_t tap = 0; tap < 4; ++tap) {
      index[static_cast<size_t>(tap)].push_back(
          std::clamp(static_cast<int64_t>(low) + tap - 1, int64_t{0}, axis.in - 1));
      weight[static_cast<size_t>(tap)].push_back(w[tap]);
    }
  }
  return weighted(x, axis, index, weight);
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

/// x in [-1, 1] as a position in pixels.
Tensor to_pixels(const Tensor& x, int64_t size, bool align_corners) {
  const auto n = static_cast<double>(size);
  return align_corners ? (x + 1) * ((n - 1) / 2) : ((x + 1) * n - 1) * 0.5;
}

/// Positions folded back at the borders, between low and high.
Tensor reflected(const Tensor& x, double low, double high) {
  const double span = high - low;
  if (span <= 0) return x * 0;
  const Tensor off = abs(x - low);
  const Tensor turns = floor(off / span), rest = off - turns * span;
  return where(eq(remainder(turns, 2), 0), rest + low, (rest - span) * -1 + low);
}

Tensor source_position(const Tensor& grid, int64_t size, const std::string& padding_mode,
                       bool align_corners) {
  Tensor x = to_pixels(grid, size, align_corners);
  const auto last = static_cast<double>(size - 1);
  if (padding_mode == "reflection")
    x = align_corners ? reflected(x, 0, last) : reflected(x, -0.5, last + 0.5);
  return padding_mode == "zeros" ? x : clamp(x, 0.0, last);
}

/// Pixels (y, x) of a flattened image [N, C, H*W], 0 outside; y and x [N, P] hold whole numbers.
Tensor pixels_at(const Tensor& flat, const Tensor& y, const Tensor& x, int64_t h, int64_t w) {
  const auto top = static_cast<double>(h - 1), right = static_cast<double>(w - 1);
  const Tensor inside =
      logical_and(logical_and(ge(y, 0), le(y, top)), logical_and(ge(x, 0), le(x, right)));
  const Tensor place = clamp(y, 0.0, top) * static_cast<double>(w) + clamp(x, 0.0, right);
  const Tensor index = to_dtype(where(inside, place, 0), DType::i64);
  Shape shape{flat.shape()[0], flat.shape()[1], index.shape()[1]};
  const Tensor picked = record(Op::gather_, {flat, expanded(unsqueeze(index, 1), shape)}, {2});
  return where(unsqueeze(inside, 1), picked, 0);
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
  Tensor x = by_nearest ? input : widened(input);
  for (const Axis& axis : axes) {
    if (by_nearest)
      x = nearest(x, axis, mode == "nearest-exact");
    else
      x = mode == "bicubic" ? cubic_taps(x, axis) : linear_taps(x, axis);
  }
  return to_dtype(x, input.dtype());
}

Tensor grid_sample(const Tensor& input, const Tensor& grid, const std::string& mode,
                   const std::string& padding_mode, bool align_corners) {
  DS_CHECK(input.dim() == 4 && grid.dim() == 4 && grid.shape()[3] == 2 &&
               grid.shape()[0] == input.shape()[0],
           ShapeError, "grid_sample: input ", input.type(), " and grid ", grid.type(),
           " must be [N, C, H, W] and [N, OH, OW, 2]");
  DS_CHECK(mode == "bilinear" || mode == "nearest", ValueError, "grid_sample: mode '", mode,
           "' is unknown; use bilinear or nearest");
  DS_CHECK(padding_mode == "zeros" || padding_mode == "border" || padding_mode == "reflection",
           ValueError, "grid_sample: padding_mode '", padding_mode,
           "' is unknown; use zeros, border or reflection");
  const int64_t n = input.shape()[0], c = input.shape()[1], h = input.shape()[2],
                w = input.shape()[3];
  DS_CHECK(h > 0 && w > 0, ShapeError, "grid_sample: input ", input.type(), " is empty");
  const int64_t points = grid.shape()[1] * grid.shape()[2];
  const Tensor flat = reshaped(input, {n, c, h * w});
  const Tensor x =
      source_position(reshaped(sliced(grid, 3, 0, 1), {n, points}), w, padding_mode, align_corners);
  const Tensor y =
      source_position(reshaped(sliced(grid, 3, 1, 1), {n, points}), h, padding_mode, align_corners);
  Tensor out;
  if (mode == "nearest") {
    out = pixels_at(flat, round(y), round(x), h, w);
  } else {
    const Tensor x0 = floor(x), y0 = floor(y), x1 = x0 + 1, y1 = y0 + 1;
    const Tensor right = x - x0, low = y - y0;
    const auto corner = [&](const Tensor& cy, const Tensor& cx, const Tensor& weight) {
      return pixels_at(flat, cy, cx, h, w) * unsqueeze(weight, 1);
    };
    out = corner(y0, x0, (1.0 - right) * (1.0 - low)) + corner(y0, x1, right * (1.0 - low)) +
          corner(y1, x0, (1.0 - right) * low) + corner(y1, x1, right * low);
  }
  return reshaped(out, {n, c, grid.shape()[1], grid.shape()[2]});
}

Tensor affine_grid(const Tensor& theta, const Shape& size, bool align_corners) {
  DS_CHECK(theta.dim() == 3 && theta.shape()[1] == 2 && theta.shape()[2] == 3 && size.rank() == 4 &&
               size[0] == theta.shape()[0],
           ShapeError, "affine_grid: theta ", theta.type(), " and size ", size,
           " must be [N, 2, 3] and [N, C, H, W]");
  const int64_t n = size[0], h = size[2], w = size[3];
  const auto steps = [&](int64_t count) {
    const double edge = count <= 1 ? 0
                        : align_corners
                            ? 1
                            : static_cast<double>(count - 1) / static_cast<double>(count);
    return linspace(-edge, edge, count, theta.dtype(), theta.device());
  };
  const Tensor x = reshaped(expanded(reshaped(steps(w), {1, w, 1}), {h, w, 1}), {h * w, 1});
  const Tensor y = reshaped(expanded(reshaped(steps(h), {h, 1, 1}), {h, w, 1}), {h * w, 1});
  const Tensor one = constant({h * w, 1}, 1, theta.dtype(), theta.device());
  return reshaped(matmul(joined({x, y, one}, 1), mT(theta)), {n, h, w, 2});
}

}  // namespace ds

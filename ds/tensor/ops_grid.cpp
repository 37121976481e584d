// SPDX-License-Identifier: Apache-2.0
// Sampling at a grid (ops_nn.h): positions in pixels, pixels gathered from the flattened image.
#include <vector>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_create.h"
#include "ds/tensor/ops_linalg.h"
#include "ds/tensor/ops_nn.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

/// What one call samples with; `sizes` are the spatial ones of the input.
struct Sampling {
  Tensor flat;  // [N, C, pixels]
  std::vector<int64_t> sizes;
  std::string padding;
  bool align_corners;
};

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

/// Positions brought inside where the padding asks for it.
Tensor padded(const Sampling& s, Tensor x, int64_t size) {
  const auto last = static_cast<double>(size - 1);
  if (s.padding == "reflection")
    x = s.align_corners ? reflected(x, 0, last) : reflected(x, -0.5, last + 0.5);
  return s.padding == "zeros" ? x : clamp(x, 0.0, last);
}

/// Pixels [N, C, P] at whole positions [N, P], one tensor a dimension; 0 outside.
Tensor pixels_at(const Sampling& s, const std::vector<Tensor>& at) {
  Tensor inside, place;
  for (size_t i = 0; i < at.size(); ++i) {
    const auto last = static_cast<double>(s.sizes[i] - 1);
    const Tensor fits = logical_and(ge(at[i], 0), le(at[i], last));
    const Tensor part = to_dtype(clamp(where(fits, at[i], 0), 0.0, last), DType::i64);
    inside = inside.defined() ? logical_and(inside, fits) : fits;
    place = place.defined() ? place * s.sizes[i] + part : part;
  }
  const Shape shape{s.flat.shape()[0], s.flat.shape()[1], place.shape()[1]};
  const Tensor picked = record(Op::gather_, {s.flat, expanded(unsqueeze(place, 1), shape)}, {2});
  return where(unsqueeze(inside, 1), picked, 0);
}

/// The weighted corners around each position.
Tensor linear(const Sampling& s, const std::vector<Tensor>& at) {
  const size_t rank = at.size();
  Tensor total;
  for (size_t corner = 0; corner < size_t{1} << rank; ++corner) {
    std::vector<Tensor> place(rank);
    Tensor weight;
    for (size_t i = 0; i < rank; ++i) {
      const bool high = (corner >> (rank - 1 - i)) & 1;
      const Tensor low = floor(at[i]), part = at[i] - low;
      place[i] = high ? low + 1 : low;
      const Tensor share = high ? part : 1.0 - part;
      weight = weight.defined() ? weight * share : share;
    }
    const Tensor term = pixels_at(s, place) * unsqueeze(weight, 1);
    total = total.defined() ? total + term : term;
  }
  return total;
}

/// The weights of the pixels -1, 0, 1 and 2 beside a position with fraction t; R. Keys (1981) with
/// a = -0.75, as in interpolate.
std::vector<Tensor> cubic_weights(const Tensor& t) {
  constexpr double a = -0.75;
  const auto near = [&](const Tensor& d) { return ((d * (a + 2)) - (a + 3)) * d * d + 1; };
  const auto far = [&](const Tensor& d) { return ((d * a - 5 * a) * d + 8 * a) * d - 4 * a; };
  return {far(t + 1), near(t), near(1.0 - t), far(2.0 - t)};
}

Tensor cubic(const Sampling& s, const std::vector<Tensor>& at) {
  const Tensor y0 = floor(at[0]), x0 = floor(at[1]);
  const std::vector<Tensor> wy = cubic_weights(at[0] - y0), wx = cubic_weights(at[1] - x0);
  Tensor total;
  for (int i = 0; i < 4; ++i) {
    const Tensor y = padded(s, y0 + (i - 1), s.sizes[0]);
    Tensor row;
    for (int j = 0; j < 4; ++j) {
      const Tensor x = padded(s, x0 + (j - 1), s.sizes[1]);
      const Tensor term = pixels_at(s, {y, x}) * unsqueeze(wx[static_cast<size_t>(j)], 1);
      row = row.defined() ? row + term : term;
    }
    const Tensor term = row * unsqueeze(wy[static_cast<size_t>(i)], 1);
    total = total.defined() ? total + term : term;
  }
  return total;
}

void check_grid(const Tensor& input, const Tensor& grid, const std::string& mode,
                const std::string& padding_mode) {
  const int spatial = input.dim() - 2;
  DS_CHECK((spatial == 2 || spatial == 3) && grid.dim() == input.dim() &&
               grid.shape()[grid.dim() - 1] == spatial && grid.shape()[0] == input.shape()[0],
           ShapeError, "grid_sample: input ", input.type(), " and grid ", grid.type(),
           " must be [N, C, H, W] and [N, OH, OW, 2], or [N, C, D, H, W] and [N, OD, OH, OW, 3]");
  DS_CHECK(input.dtype() == grid.dtype() && is_floating(input.dtype()), DTypeError,
           "grid_sample: input is ", input.type(), ", grid is ", grid.type(),
           "; both must have one floating dtype");
  DS_CHECK(mode == "bilinear" || mode == "nearest" || mode == "bicubic", ValueError,
           "grid_sample: mode '", mode, "' is unknown; use bilinear, nearest or bicubic");
  DS_CHECK(mode != "bicubic" || spatial == 2, ShapeError,
           "grid_sample: mode 'bicubic' needs a 4-d input, not ", input.type());
  DS_CHECK(padding_mode == "zeros" || padding_mode == "border" || padding_mode == "reflection",
           ValueError, "grid_sample: padding_mode '", padding_mode,
           "' is unknown; use zeros, border or reflection");
  for (int i = 2; i < input.dim(); ++i)
    DS_CHECK(input.shape()[i] > 0, ShapeError, "grid_sample: input ", input.type(), " is empty");
}

}  // namespace

Tensor grid_sample(const Tensor& input, const Tensor& grid, const std::string& mode,
                   const std::string& padding_mode, bool align_corners) {
  check_grid(input, grid, mode, padding_mode);
  const int spatial = input.dim() - 2;
  const int64_t n = input.shape()[0], c = input.shape()[1];
  Sampling s{{}, {}, padding_mode, align_corners};
  int64_t pixels = 1, points = 1;
  Shape out{n, c};
  for (int i = 0; i < spatial; ++i) {
    s.sizes.push_back(input.shape()[i + 2]);
    pixels *= s.sizes.back();
    out.push_back(grid.shape()[i + 1]);
    points *= grid.shape()[i + 1];
  }
  s.flat = reshaped(input, {n, c, pixels});
  std::vector<Tensor> at;
  for (int i = 0; i < spatial; ++i) {  // the grid names the last dimension first
    const Tensor part = reshaped(sliced(grid, spatial + 1, spatial - 1 - i, 1), {n, points});
    const int64_t size = s.sizes[static_cast<size_t>(i)];
    const Tensor place = to_pixels(part, size, align_corners);
    at.push_back(mode == "bicubic" ? place : padded(s, place, size));
  }
  if (mode == "bicubic") return reshaped(cubic(s, at), out);
  if (mode == "bilinear") return reshaped(linear(s, at), out);
  for (Tensor& place : at) place = round(place);
  return reshaped(pixels_at(s, at), out);
}

Tensor affine_grid(const Tensor& theta, const Shape& size, bool align_corners) {
  const int spatial = size.rank() - 2;
  DS_CHECK((spatial == 2 || spatial == 3) && theta.dim() == 3 && theta.shape()[1] == spatial &&
               theta.shape()[2] == spatial + 1 && size[0] == theta.shape()[0],
           ShapeError, "affine_grid: theta ", theta.type(), " and size ", size,
           " must be [N, 2, 3] and [N, C, H, W], or [N, 3, 4] and [N, C, D, H, W]");
  DS_CHECK(is_floating(theta.dtype()), DTypeError, "affine_grid: theta is ", theta.type(),
           "; it must be floating");
  Shape plane, out{size[0]};
  int64_t points = 1;
  for (int i = 0; i < spatial; ++i) {
    DS_CHECK(size[i + 2] > 0, ShapeError, "affine_grid: size ", size, " is empty");
    plane.push_back(size[i + 2]);
    out.push_back(size[i + 2]);
    points *= size[i + 2];
  }
  out.push_back(spatial);
  std::vector<Tensor> columns;
  for (int i = spatial - 1; i >= 0; --i) {
    const auto count = static_cast<double>(plane[i]);
    const double edge = count <= 1 ? 0 : align_corners ? 1 : (count - 1) / count;
    Shape along = Shape::filled(spatial, 1);
    along[i] = plane[i];
    const Tensor steps = linspace(-edge, edge, plane[i], theta.dtype(), theta.device());
    columns.push_back(reshaped(expanded(reshaped(steps, along), plane), {points, 1}));
  }
  columns.push_back(constant({points, 1}, 1, theta.dtype(), theta.device()));
  return reshaped(matmul(joined(columns, 1), mT(theta)), out);
}

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
// Numerical derivatives of ops_reduce.h: the parabola through a point and its neighbours (B.
// Fornberg, "Generation of finite difference formulas on arbitrarily spaced grids", 1988).
#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

/// The derivative along dimension d; `steps` [n - 1] are the distances of neighbours.
Tensor derivative(const Tensor& x, int d, const Tensor& steps, int64_t edge_order) {
  const int64_t n = x.shape()[d];
  DS_CHECK(n > edge_order, ShapeError, "gradient: dimension ", d, " of ", x.type(), " needs ",
           edge_order + 1, " points");
  Shape along = Shape::filled(x.dim(), 1);
  const auto step = [&](int64_t first, int64_t count) {
    along[d] = count;
    return reshaped(sliced(steps, 0, first, count), along);
  };
  const auto points = [&](int64_t first, int64_t count) { return sliced(x, d, first, count); };
  const auto end = [&](int64_t at, int64_t inwards) {
    const int64_t near = inwards > 0 ? at : at - 1, far = near + inwards;
    const Tensor slope = (points(near + 1, 1) - points(near, 1)) / step(near, 1);
    if (edge_order == 1) return slope;
    const Tensor next = (points(far + 1, 1) - points(far, 1)) / step(far, 1);
    const Tensor a = step(near, 1), b = step(far, 1);
    return slope + (slope - next) * a / (a + b);
  };
  if (n == 2) return joined({end(0, 1), end(1, -1)}, d);
  const Tensor a = step(0, n - 2), b = step(1, n - 2);
  const Tensor before = (points(1, n - 2) - points(0, n - 2)) / a;
  const Tensor after = (points(2, n - 2) - points(1, n - 2)) / b;
  return joined({end(0, 1), (before * b + after * a) / (a + b), end(n - 1, -1)}, d);
}

/// The dimensions asked for, in their order.
Shape checked(const Tensor& input, const Dims& dim, int64_t edge_order) {
  DS_CHECK(edge_order == 1 || edge_order == 2, ValueError, "gradient: edge_order ", edge_order,
           " must be 1 or 2");
  dim.over(input.dim(), "gradient");
  return dim.all() ? all_dims(input.dim()) : dim.given();
}

}  // namespace

std::vector<Tensor> gradient(const Tensor& input, const std::vector<double>& spacing,
                             const Dims& dim, int64_t edge_order) {
  const Tensor x = to_floating(input);
  const Shape dims = checked(input, dim, edge_order);
  DS_CHECK(spacing.size() == 1 || static_cast<int>(spacing.size()) == dims.rank(), ValueError,
           "gradient: ", spacing.size(), " spacings for ", dims.rank(), " dimensions");
  std::vector<Tensor> out;
  for (int i = 0; i < dims.rank(); ++i) {
    const int d = normalize_dim(dims[i], x.dim(), "gradient");
    const double step = spacing[spacing.size() == 1 ? 0 : static_cast<size_t>(i)];
    const int64_t count = std::max<int64_t>(x.shape()[d] - 1, 0);
    out.push_back(derivative(x, d, constant({count}, step, x.dtype(), x.device()), edge_order));
  }
  return out;
}

std::vector<Tensor> gradient(const Tensor& input, const std::vector<Tensor>& coordinates,
                             const Dims& dim, int64_t edge_order) {
  const Tensor x = to_floating(input);
  const Shape dims = checked(input, dim, edge_order);
  DS_CHECK(static_cast<int>(coordinates.size()) == dims.rank(), ValueError,
           "gradient: ", coordinates.size(), " tensors of coordinates for ", dims.rank(),
           " dimensions");
  std::vector<Tensor> out;
  for (int i = 0; i < dims.rank(); ++i) {
    const int d = normalize_dim(dims[i], x.dim(), "gradient");
    const Tensor& at = coordinates[static_cast<size_t>(i)];
    DS_CHECK(at.dim() == 1 && at.numel() == x.shape()[d], ShapeError, "gradient: coordinates ",
             at.type(), " for dimension ", d, " of ", input.type());
    out.push_back(derivative(x, d, diff(to_dtype(at, x.dtype())), edge_order));
  }
  return out;
}

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
// Functions of torch.nn.functional on images and sequences: convolution, pooling, normalisation,
// resampling, attention. Spatial dimensions follow [N, C]; N may be missing where PyTorch allows
// it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ds/tensor/arguments.h"
#include "ds/tensor/record.h"

namespace ds {

using OptionalTensor = std::optional<Tensor>;

// --- convolution ---------------------------------------------------------------------------------
/// [N, IC, L] * [OC, IC/groups, k] + [OC] -> [N, OC, OL].
Tensor conv1d(const Tensor& input, const Tensor& weight, const OptionalTensor& bias = std::nullopt,
              const PerDim& stride = 1, const ConvPadding& padding = 0, const PerDim& dilation = 1,
              int64_t groups = 1);
/// [N, IC, H, W] * [OC, IC/groups, kh, kw] + [OC] -> [N, OC, OH, OW].
Tensor conv2d(const Tensor& input, const Tensor& weight, const OptionalTensor& bias = std::nullopt,
              const PerDim& stride = 1, const ConvPadding& padding = 0, const PerDim& dilation = 1,
              int64_t groups = 1);
/// [N, IC, D, H, W] * [OC, IC/groups, kd, kh, kw] + [OC] -> [N, OC, OD, OH, OW].
Tensor conv3d(const Tensor& input, const Tensor& weight, const OptionalTensor& bias = std::nullopt,
              const PerDim& stride = 1, const ConvPadding& padding = 0, const PerDim& dilation = 1,
              int64_t groups = 1);
/// The gradient of conv1d as a layer: [N, IC, L], weight [IC, OC/groups, k].
Tensor conv_transpose1d(const Tensor& input, const Tensor& weight,
                        const OptionalTensor& bias = std::nullopt, const PerDim& stride = 1,
                        const PerDim& padding = 0, const PerDim& output_padding = 0,
                        int64_t groups = 1, const PerDim& dilation = 1);
/// The gradient of conv2d as a layer: [N, IC, H, W], weight [IC, OC/groups, kh, kw].
Tensor conv_transpose2d(const Tensor& input, const Tensor& weight,
                        const OptionalTensor& bias = std::nullopt, const PerDim& stride = 1,
                        const PerDim& padding = 0, const PerDim& output_padding = 0,
                        int64_t groups = 1, const PerDim& dilation = 1);
/// The gradient of conv3d as a layer: [N, IC, D, H, W], weight [IC, OC/groups, kd, kh, kw].
Tensor conv_transpose3d(const Tensor& input, const Tensor& weight,
                        const OptionalTensor& bias = std::nullopt, const PerDim& stride = 1,
                        const PerDim& padding = 0, const PerDim& output_padding = 0,
                        int64_t groups = 1, const PerDim& dilation = 1);

// --- pooling; stride defaults to kernel_size; ceil_mode lets the last window hang over -----------
/// Largest values of windows and their index (i64) in the flattened spatial plane, 1 dimension.
std::pair<Tensor, Tensor> max_pool1d_with_indices(const Tensor& input, const PerDim& kernel_size,
                                                  const PerDim& stride = {},
                                                  const PerDim& padding = 0,
                                                  const PerDim& dilation = 1,
                                                  bool ceil_mode = false);
/// Largest values of windows and their index (i64) in the flattened spatial plane, 2 dimensions.
std::pair<Tensor, Tensor> max_pool2d_with_indices(const Tensor& input, const PerDim& kernel_size,
                                                  const PerDim& stride = {},
                                                  const PerDim& padding = 0,
                                                  const PerDim& dilation = 1,
                                                  bool ceil_mode = false);
/// Largest values of windows and their index (i64) in the flattened spatial plane, 3 dimensions.
std::pair<Tensor, Tensor> max_pool3d_with_indices(const Tensor& input, const PerDim& kernel_size,
                                                  const PerDim& stride = {},
                                                  const PerDim& padding = 0,
                                                  const PerDim& dilation = 1,
                                                  bool ceil_mode = false);
/// Largest values of windows of [N, C, L].
Tensor max_pool1d(const Tensor& input, const PerDim& kernel_size, const PerDim& stride = {},
                  const PerDim& padding = 0, const PerDim& dilation = 1, bool ceil_mode = false);
/// Largest values of windows of [N, C, H, W].
Tensor max_pool2d(const Tensor& input, const PerDim& kernel_size, const PerDim& stride = {},
                  const PerDim& padding = 0, const PerDim& dilation = 1, bool ceil_mode = false);
/// Largest values of windows of [N, C, D, H, W].
Tensor max_pool3d(const Tensor& input, const PerDim& kernel_size, const PerDim& stride = {},
                  const PerDim& padding = 0, const PerDim& dilation = 1, bool ceil_mode = false);
/// Means of windows of [N, C, L].
Tensor avg_pool1d(const Tensor& input, const PerDim& kernel_size, const PerDim& stride = {},
                  const PerDim& padding = 0, bool ceil_mode = false, bool count_include_pad = true);
/// Means of windows of [N, C, H, W]; divisor_override replaces the count.
Tensor avg_pool2d(const Tensor& input, const PerDim& kernel_size, const PerDim& stride = {},
                  const PerDim& padding = 0, bool ceil_mode = false, bool count_include_pad = true,
                  std::optional<int64_t> divisor_override = std::nullopt);
/// Means of windows of [N, C, D, H, W]; divisor_override replaces the count.
Tensor avg_pool3d(const Tensor& input, const PerDim& kernel_size, const PerDim& stride = {},
                  const PerDim& padding = 0, bool ceil_mode = false, bool count_include_pad = true,
                  std::optional<int64_t> divisor_override = std::nullopt);
/// (sum x^p)^(1/p) of windows of [N, C, L].
Tensor lp_pool1d(const Tensor& input, double norm_type, const PerDim& kernel_size,
                 const PerDim& stride = {}, bool ceil_mode = false);
/// (sum x^p)^(1/p) of windows of [N, C, H, W].
Tensor lp_pool2d(const Tensor& input, double norm_type, const PerDim& kernel_size,
                 const PerDim& stride = {}, bool ceil_mode = false);
/// (sum x^p)^(1/p) of windows of [N, C, D, H, W].
Tensor lp_pool3d(const Tensor& input, double norm_type, const PerDim& kernel_size,
                 const PerDim& stride = {}, bool ceil_mode = false);
/// Means over output_size nearly equal windows of [N, C, L].
Tensor adaptive_avg_pool1d(const Tensor& input, const PerDim& output_size);
/// Means over output_size nearly equal windows of [N, C, H, W]; -1 keeps a size.
Tensor adaptive_avg_pool2d(const Tensor& input, const PerDim& output_size);
/// Means over output_size nearly equal windows of [N, C, D, H, W]; -1 keeps a size.
Tensor adaptive_avg_pool3d(const Tensor& input, const PerDim& output_size);
/// Largest values of nearly equal windows and their indices (i64), over n spatial dimensions.
std::pair<Tensor, Tensor> adaptive_max_pool1d(const Tensor& input, const PerDim& output_size);
/// As adaptive_max_pool1d over [N, C, H, W].
std::pair<Tensor, Tensor> adaptive_max_pool2d(const Tensor& input, const PerDim& output_size);
/// As adaptive_max_pool1d over [N, C, D, H, W].
std::pair<Tensor, Tensor> adaptive_max_pool3d(const Tensor& input, const PerDim& output_size);
/// Values of max_pool1d put back at their indices, zeros elsewhere.
Tensor max_unpool1d(const Tensor& input, const Tensor& indices, const PerDim& kernel_size,
                    const PerDim& stride = {}, const PerDim& padding = 0,
                    const std::optional<Shape>& output_size = std::nullopt);
/// Values of max_pool2d put back at their indices, zeros elsewhere.
Tensor max_unpool2d(const Tensor& input, const Tensor& indices, const PerDim& kernel_size,
                    const PerDim& stride = {}, const PerDim& padding = 0,
                    const std::optional<Shape>& output_size = std::nullopt);
/// Values of max_pool3d put back at their indices, zeros elsewhere.
Tensor max_unpool3d(const Tensor& input, const Tensor& indices, const PerDim& kernel_size,
                    const PerDim& stride = {}, const PerDim& padding = 0,
                    const std::optional<Shape>& output_size = std::nullopt);

// --- normalisation; weight and bias scale and shift ----------------------------------------------
/// [N, C, ...] normalised per channel: by the batch's statistics when training (running_mean and
/// running_var, if given, are then updated in place with `momentum`), else by the running ones.
Tensor batch_norm(const Tensor& input, const OptionalTensor& running_mean,
                  const OptionalTensor& running_var, const OptionalTensor& weight = std::nullopt,
                  const OptionalTensor& bias = std::nullopt, bool training = false,
                  double momentum = 0.1, double eps = 1e-5);
/// Normalised over the last dimensions, whose sizes are normalized_shape.
Tensor layer_norm(const Tensor& input, const Shape& normalized_shape,
                  const OptionalTensor& weight = std::nullopt,
                  const OptionalTensor& bias = std::nullopt, double eps = 1e-5);
/// Divided by the root of the mean square over the last dimensions; eps defaults to the dtype's.
Tensor rms_norm(const Tensor& input, const Shape& normalized_shape,
                const OptionalTensor& weight = std::nullopt,
                std::optional<double> eps = std::nullopt);
/// [N, C, ...] normalised per sample and group of channels.
Tensor group_norm(const Tensor& input, int64_t num_groups,
                  const OptionalTensor& weight = std::nullopt,
                  const OptionalTensor& bias = std::nullopt, double eps = 1e-5);
/// [N, C, ...] normalised per sample and channel, or by running statistics.
Tensor instance_norm(const Tensor& input, const OptionalTensor& running_mean = std::nullopt,
                     const OptionalTensor& running_var = std::nullopt,
                     const OptionalTensor& weight = std::nullopt,
                     const OptionalTensor& bias = std::nullopt, bool use_input_stats = true,
                     double momentum = 0.1, double eps = 1e-5);
/// x / (k + alpha * mean of squares over `size` neighbouring channels)^beta.
Tensor local_response_norm(const Tensor& input, int64_t size, double alpha = 1e-4,
                           double beta = 0.75, double k = 1.0);
/// x / max(p-norm along dim, eps).
Tensor normalize(const Tensor& input, double p = 2.0, const Dims& dim = 1, double eps = 1e-12);
/// input with each slice along dim scaled down to a p-norm of at most maxnorm.
Tensor renorm(const Tensor& input, double p, int64_t dim, double maxnorm);

// --- resampling ----------------------------------------------------------------------------------
/// [N, C, ...] resized to size or by scale_factor (one number, or one per dimension); mode nearest,
/// nearest-exact, linear, bilinear, bicubic, trilinear or area.
Tensor interpolate(const Tensor& input, const std::optional<PerDim>& size,
                   const std::vector<double>& scale_factor = {},
                   const std::string& mode = "nearest",
                   std::optional<bool> align_corners = std::nullopt,
                   bool recompute_scale_factor = false);
/// [N, C, H, W] sampled at grid [N, OH, OW, 2] of (x, y) in [-1, 1], or [N, C, D, H, W] at grid
/// [N, OD, OH, OW, 3] of (x, y, z); mode bilinear, nearest or (4-d input) bicubic; padding_mode
/// zeros, border or reflection.
Tensor grid_sample(const Tensor& input, const Tensor& grid, const std::string& mode = "bilinear",
                   const std::string& padding_mode = "zeros", bool align_corners = false);
/// Sampling grid [N, H, W, 2] of affine maps theta [N, 2, 3] for an output size [N, C, H, W], or
/// [N, D, H, W, 3] of theta [N, 3, 4] for [N, C, D, H, W].
Tensor affine_grid(const Tensor& theta, const Shape& size, bool align_corners = false);

// --- attention -----------------------------------------------------------------------------------
/// softmax(query key^T * scale + mask) value: query [..., H, Tq, D], key [..., Hk, Tk, D], value
/// [..., Hk, Tk, Dv] -> [..., H, Tq, Dv]. attn_mask is bool (true attends) or added; scale defaults
/// to 1/sqrt(D); enable_gqa lets Hk divide H.
Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const OptionalTensor& attn_mask = std::nullopt,
                                    double dropout_p = 0.0, bool is_causal = false,
                                    std::optional<double> scale = std::nullopt,
                                    bool enable_gqa = false);

}  // namespace ds

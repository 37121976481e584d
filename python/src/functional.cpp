// SPDX-License-Identifier: Apache-2.0
// deepseek.nn.functional.
#include "bindings.h"
#include "casters.h"
#include "ds/base/error.h"
#include "ds/tensor/ops.h"

using nb::literals::operator""_a;

namespace {

using ds::OptionalTensor;
using ds::PerDim;
using ds::Tensor;

/// Lengths as a tensor or a sequence.
Tensor lengths(const nb::object& given) {
  Tensor tensor;
  if (nb::try_cast(given, tensor)) return tensor;
  return ds::tensor(nb::cast<std::vector<int64_t>>(given));
}

void check_max_norm(const std::optional<double>& max_norm, double) {
  DS_CHECK(!max_norm, NotImplementedError,
           "embedding: max_norm is not available; call renorm on the weight instead");
}

/// The reduction that PyTorch's deprecated size_average and reduce never reach here.
template <class F, class... Args>
void def(nb::module_& m, const char* name, F f, const Args&... args) {
  m.def(name, f, args..., header_doc(name));
}

/// The result, written into the input too where PyTorch's `inplace` asks for it.
Tensor written(const Tensor& input, const Tensor& result, bool inplace) {
  return inplace ? ds::assign(input, result) : result;
}

/// name_(input, ...): name(input, ...) written into the input.
void bind_inplace(nb::module_& m) {
  for (const char* name : {"relu", "elu", "celu", "selu", "leaky_relu", "hardtanh", "threshold"}) {
    const nb::object function = m.attr(name);
    const std::string spelled = std::string(name) + "_";
    m.def(spelled.c_str(),
          [function](nb::object input, const nb::args& args, const nb::kwargs& kwargs) {
            const nb::object result = function(input, *args, **kwargs);
            ds::assign(nb::cast<Tensor>(input), nb::cast<Tensor>(result));
            return input;
          });
  }
}

void bind_activations(nb::module_& m) {
  const auto none = nb::none();
  def(
      m, "relu", [](const Tensor& x, bool inplace) { return written(x, ds::relu(x), inplace); },
      "input"_a, "inplace"_a = false);
  def(
      m, "relu6", [](const Tensor& x, bool inplace) { return written(x, ds::relu6(x), inplace); },
      "input"_a, "inplace"_a = false);
  def(
      m, "silu", [](const Tensor& x, bool inplace) { return written(x, ds::silu(x), inplace); },
      "input"_a, "inplace"_a = false);
  def(
      m, "mish", [](const Tensor& x, bool inplace) { return written(x, ds::mish(x), inplace); },
      "input"_a, "inplace"_a = false);
  def(
      m, "selu", [](const Tensor& x, bool inplace) { return written(x, ds::selu(x), inplace); },
      "input"_a, "inplace"_a = false);
  def(
      m, "hardswish",
      [](const Tensor& x, bool inplace) { return written(x, ds::hardswish(x), inplace); },
      "input"_a, "inplace"_a = false);
  def(
      m, "hardsigmoid",
      [](const Tensor& x, bool inplace) { return written(x, ds::hardsigmoid(x), inplace); },
      "input"_a, "inplace"_a = false);
  def(
      m, "leaky_relu",
      [](const Tensor& x, double s, bool inplace) {
        return written(x, ds::leaky_relu(x, s), inplace);
      },
      "input"_a, "negative_slope"_a = 0.01, "inplace"_a = false);
  def(
      m, "elu",
      [](const Tensor& x, double a, bool inplace) { return written(x, ds::elu(x, a), inplace); },
      "input"_a, "alpha"_a = 1.0, "inplace"_a = false);
  def(
      m, "celu",
      [](const Tensor& x, double a, bool inplace) { return written(x, ds::celu(x, a), inplace); },
      "input"_a, "alpha"_a = 1.0, "inplace"_a = false);
  def(
      m, "hardtanh",
      [](const Tensor& x, double lo, double hi, bool inplace) {
        return written(x, ds::hardtanh(x, lo, hi), inplace);
      },
      "input"_a, "min_val"_a = -1.0, "max_val"_a = 1.0, "inplace"_a = false);
  def(
      m, "threshold",
      [](const Tensor& x, double t, double v, bool inplace) {
        return written(x, ds::threshold(x, t, v), inplace);
      },
      "input"_a, "threshold"_a, "value"_a, "inplace"_a = false);
  def(m, "prelu", &ds::prelu, "input"_a, "weight"_a);
  def(m, "rrelu", &ds::rrelu, "input"_a, "lower"_a = 1.0 / 8, "upper"_a = 1.0 / 3,
      "training"_a = false);
  def(m, "gelu", &ds::gelu, "input"_a, "approximate"_a = "none");
  def(m, "softplus", &ds::softplus, "input"_a, "beta"_a = 1.0, "threshold"_a = 20.0);
  def(m, "softsign", &ds::softsign, "input"_a);
  def(m, "hardshrink", &ds::hardshrink, "input"_a, "lambd"_a = 0.5);
  def(m, "softshrink", &ds::softshrink, "input"_a, "lambd"_a = 0.5);
  def(m, "tanhshrink", &ds::tanhshrink, "input"_a);
  def(m, "logsigmoid", &ds::logsigmoid, "input"_a);
  def(m, "glu", &ds::glu, "input"_a, "dim"_a = -1);
  def(m, "softmax", &ds::softmax, "input"_a, "dim"_a, "dtype"_a = none);
  def(m, "log_softmax", &ds::log_softmax, "input"_a, "dim"_a, "dtype"_a = none);
  def(m, "softmin", &ds::softmin, "input"_a, "dim"_a, "dtype"_a = none);
  def(
      m, "gumbel_softmax",
      [](const Tensor& x, double tau, bool hard, int64_t dim) {
        return ds::gumbel_softmax(x, tau, hard, dim);
      },
      "logits"_a, "tau"_a = 1.0, "hard"_a = false, "dim"_a = -1);
  m.def(
      "tanh", [](const Tensor& x) { return ds::tanh(x); }, "input"_a);
  m.def(
      "sigmoid", [](const Tensor& x) { return ds::sigmoid(x); }, "input"_a);
}

void bind_windows(nb::module_& m) {
  const auto none = nb::none();
#define DS_CONV(N)                                                                               \
  def(m, "conv" #N "d", &ds::conv##N##d, "input"_a, "weight"_a, "bias"_a = none, "stride"_a = 1, \
      "padding"_a = 0, "dilation"_a = 1, "groups"_a = 1);                                        \
  def(m, "conv_transpose" #N "d", &ds::conv_transpose##N##d, "input"_a, "weight"_a,              \
      "bias"_a = none, "stride"_a = 1, "padding"_a = 0, "output_padding"_a = 0, "groups"_a = 1,  \
      "dilation"_a = 1);                                                                         \
  def(                                                                                           \
      m, "max_pool" #N "d",                                                                      \
      [](const Tensor& x, const PerDim& k, const PerDim& s, const PerDim& p, const PerDim& dil,  \
         bool ceil, bool indices) -> nb::object {                                                \
        if (indices) return nb::cast(ds::max_pool##N##d##_with_indices(x, k, s, p, dil, ceil));  \
        return nb::cast(ds::max_pool##N##d(x, k, s, p, dil, ceil));                              \
      },                                                                                         \
      "input"_a, "kernel_size"_a, "stride"_a = none, "padding"_a = 0, "dilation"_a = 1,          \
      "ceil_mode"_a = false, "return_indices"_a = false);                                        \
  def(m, "max_pool" #N "d_with_indices", &ds::max_pool##N##d_with_indices, "input"_a,            \
      "kernel_size"_a, "stride"_a = none, "padding"_a = 0, "dilation"_a = 1,                     \
      "ceil_mode"_a = false);                                                                    \
  def(m, "adaptive_max_pool" #N "d_with_indices", &ds::adaptive_max_pool##N##d, "input"_a,       \
      "output_size"_a);                                                                          \
  def(m, "lp_pool" #N "d", &ds::lp_pool##N##d, "input"_a, "norm_type"_a, "kernel_size"_a,        \
      "stride"_a = none, "ceil_mode"_a = false);                                                 \
  def(m, "adaptive_avg_pool" #N "d", &ds::adaptive_avg_pool##N##d, "input"_a, "output_size"_a);  \
  def(                                                                                           \
      m, "adaptive_max_pool" #N "d",                                                             \
      [](const Tensor& x, const PerDim& size, bool indices) -> nb::object {                      \
        auto both = ds::adaptive_max_pool##N##d(x, size);                                        \
        return indices ? nb::cast(both) : nb::cast(both.first);                                  \
      },                                                                                         \
      "input"_a, "output_size"_a, "return_indices"_a = false);                                   \
  def(m, "max_unpool" #N "d", &ds::max_unpool##N##d, "input"_a, "indices"_a, "kernel_size"_a,    \
      "stride"_a = none, "padding"_a = 0, "output_size"_a = none);
  DS_CONV(1)
  DS_CONV(2)
  DS_CONV(3)
#undef DS_CONV
  def(m, "avg_pool1d", &ds::avg_pool1d, "input"_a, "kernel_size"_a, "stride"_a = none,
      "padding"_a = 0, "ceil_mode"_a = false, "count_include_pad"_a = true);
  def(m, "avg_pool2d", &ds::avg_pool2d, "input"_a, "kernel_size"_a, "stride"_a = none,
      "padding"_a = 0, "ceil_mode"_a = false, "count_include_pad"_a = true,
      "divisor_override"_a = none);
  def(m, "avg_pool3d", &ds::avg_pool3d, "input"_a, "kernel_size"_a, "stride"_a = none,
      "padding"_a = 0, "ceil_mode"_a = false, "count_include_pad"_a = true,
      "divisor_override"_a = none);
}

void bind_norms(nb::module_& m) {
  const auto none = nb::none();
  def(m, "batch_norm", &ds::batch_norm, "input"_a, "running_mean"_a.none(), "running_var"_a.none(),
      "weight"_a = none, "bias"_a = none, "training"_a = false, "momentum"_a = 0.1, "eps"_a = 1e-5);
  def(m, "layer_norm", &ds::layer_norm, "input"_a, "normalized_shape"_a, "weight"_a = none,
      "bias"_a = none, "eps"_a = 1e-5);
  def(m, "rms_norm", &ds::rms_norm, "input"_a, "normalized_shape"_a, "weight"_a = none,
      "eps"_a = none);
  def(m, "group_norm", &ds::group_norm, "input"_a, "num_groups"_a, "weight"_a = none,
      "bias"_a = none, "eps"_a = 1e-5);
  def(m, "instance_norm", &ds::instance_norm, "input"_a, "running_mean"_a = none,
      "running_var"_a = none, "weight"_a = none, "bias"_a = none, "use_input_stats"_a = true,
      "momentum"_a = 0.1, "eps"_a = 1e-5);
  def(m, "local_response_norm", &ds::local_response_norm, "input"_a, "size"_a, "alpha"_a = 1e-4,
      "beta"_a = 0.75, "k"_a = 1.0);
  def(m, "normalize", &ds::normalize, "input"_a, "p"_a = 2.0, "dim"_a = 1, "eps"_a = 1e-12);
  def(
      m, "dropout",
      [](const Tensor& x, double p, bool training, bool inplace) {
        return written(x, ds::dropout(x, p, training), inplace);
      },
      "input"_a, "p"_a = 0.5, "training"_a = true, "inplace"_a = false);
  def(m, "dropout1d", &ds::dropout1d, "input"_a, "p"_a = 0.5, "training"_a = true);
  def(m, "dropout2d", &ds::dropout2d, "input"_a, "p"_a = 0.5, "training"_a = true);
  def(m, "dropout3d", &ds::dropout3d, "input"_a, "p"_a = 0.5, "training"_a = true);
  def(m, "alpha_dropout", &ds::alpha_dropout, "input"_a, "p"_a = 0.5, "training"_a = false);
  def(m, "feature_alpha_dropout", &ds::feature_alpha_dropout, "input"_a, "p"_a = 0.5,
      "training"_a = false);
}

void bind_vision(nb::module_& m) {
  const auto none = nb::none();
  def(
      m, "interpolate",
      [](const Tensor& x, const std::optional<PerDim>& size, nb::object scale,
         const std::string& mode, std::optional<bool> align, bool recompute) {
        std::vector<double> factors;
        if (nb::isinstance<nb::float_>(scale) || nb::isinstance<nb::int_>(scale))
          factors = {nb::cast<double>(scale)};
        else if (!scale.is_none())
          factors = nb::cast<std::vector<double>>(scale);
        return ds::interpolate(x, size, factors, mode, align, recompute);
      },
      "input"_a, "size"_a = none, "scale_factor"_a = none, "mode"_a = "nearest",
      "align_corners"_a = none, "recompute_scale_factor"_a = false);
  def(
      m, "grid_sample",
      [](const Tensor& x, const Tensor& grid, const std::string& mode, const std::string& padding,
         std::optional<bool> align) {
        return ds::grid_sample(x, grid, mode, padding, align.value_or(false));
      },
      "input"_a, "grid"_a, "mode"_a = "bilinear", "padding_mode"_a = "zeros",
      "align_corners"_a = none);
  def(m, "affine_grid", &ds::affine_grid, "theta"_a, "size"_a, "align_corners"_a = false);
  def(m, "pixel_shuffle", &ds::pixel_shuffle, "input"_a, "upscale_factor"_a);
  def(m, "pixel_unshuffle", &ds::pixel_unshuffle, "input"_a, "downscale_factor"_a);
  def(m, "channel_shuffle", &ds::channel_shuffle, "input"_a, "groups"_a);
  def(m, "unfold", &ds::im2col, "input"_a, "kernel_size"_a, "dilation"_a = 1, "padding"_a = 0,
      "stride"_a = 1);
  def(m, "fold", &ds::col2im, "input"_a, "output_size"_a, "kernel_size"_a, "dilation"_a = 1,
      "padding"_a = 0, "stride"_a = 1);
  def(
      m, "pad",
      [](const Tensor& x, const ds::Shape& pad, const std::string& mode,
         std::optional<double> value) { return ds::pad(x, pad, mode, value.value_or(0)); },
      "input"_a, "pad"_a, "mode"_a = "constant", "value"_a = none);
  def(m, "scaled_dot_product_attention", &ds::scaled_dot_product_attention, "query"_a, "key"_a,
      "value"_a, "attn_mask"_a = none, "dropout_p"_a = 0.0, "is_causal"_a = false, "scale"_a = none,
      "enable_gqa"_a = false);
  def(m, "linear", &ds::linear, "input"_a, "weight"_a, "bias"_a = none);
  def(m, "bilinear", &ds::bilinear, "input1"_a, "input2"_a, "weight"_a, "bias"_a = none);
  def(
      m, "embedding",
      [](const Tensor& x, const Tensor& w, std::optional<int64_t> padding,
         std::optional<double> max_norm, double norm_type, bool by_frequency, bool) {
        check_max_norm(max_norm, norm_type);
        return ds::embedding(x, w, padding, by_frequency);
      },
      "input"_a, "weight"_a, "padding_idx"_a = none, "max_norm"_a = none, "norm_type"_a = 2.0,
      "scale_grad_by_freq"_a = false, "sparse"_a = false);
  def(
      m, "embedding_bag",
      [](const Tensor& x, const Tensor& w, const OptionalTensor& offsets,
         std::optional<double> max_norm, double norm_type, bool, const std::string& mode, bool,
         const OptionalTensor& weights, bool include_last, std::optional<int64_t> padding) {
        check_max_norm(max_norm, norm_type);
        return ds::embedding_bag(x, w, offsets, mode, weights, include_last, padding);
      },
      "input"_a, "weight"_a, "offsets"_a = none, "max_norm"_a = none, "norm_type"_a = 2.0,
      "scale_grad_by_freq"_a = false, "mode"_a = "mean", "sparse"_a = false,
      "per_sample_weights"_a = none, "include_last_offset"_a = false, "padding_idx"_a = none);
  def(m, "one_hot", &ds::one_hot, "tensor"_a, "num_classes"_a = -1);
  def(m, "cosine_similarity", &ds::cosine_similarity, "x1"_a, "x2"_a, "dim"_a = 1, "eps"_a = 1e-8);
  def(m, "pairwise_distance", &ds::pairwise_distance, "x1"_a, "x2"_a, "p"_a = 2.0, "eps"_a = 1e-6,
      "keepdim"_a = false);
  def(m, "pdist", &ds::pdist, "input"_a, "p"_a = 2.0);
}

void bind_losses(nb::module_& m) {
  const auto none = nb::none();
  const auto reduction = nb::arg("reduction") = "mean";
  def(m, "cross_entropy", &ds::cross_entropy, "input"_a, "target"_a, "weight"_a = none,
      "ignore_index"_a = -100, reduction, "label_smoothing"_a = 0.0);
  def(m, "nll_loss", &ds::nll_loss, "input"_a, "target"_a, "weight"_a = none,
      "ignore_index"_a = -100, reduction);
  def(m, "mse_loss", &ds::mse_loss, "input"_a, "target"_a, reduction);
  def(m, "l1_loss", &ds::l1_loss, "input"_a, "target"_a, reduction);
  def(m, "smooth_l1_loss", &ds::smooth_l1_loss, "input"_a, "target"_a, reduction, "beta"_a = 1.0);
  def(m, "huber_loss", &ds::huber_loss, "input"_a, "target"_a, reduction, "delta"_a = 1.0);
  def(m, "binary_cross_entropy", &ds::binary_cross_entropy, "input"_a, "target"_a,
      "weight"_a = none, reduction);
  def(m, "binary_cross_entropy_with_logits", &ds::binary_cross_entropy_with_logits, "input"_a,
      "target"_a, "weight"_a = none, reduction, "pos_weight"_a = none);
  def(m, "kl_div", &ds::kl_div, "input"_a, "target"_a, reduction, "log_target"_a = false);
  def(m, "cosine_embedding_loss", &ds::cosine_embedding_loss, "input1"_a, "input2"_a, "target"_a,
      "margin"_a = 0.0, reduction);
  def(m, "margin_ranking_loss", &ds::margin_ranking_loss, "input1"_a, "input2"_a, "target"_a,
      "margin"_a = 0.0, reduction);
  def(m, "hinge_embedding_loss", &ds::hinge_embedding_loss, "input"_a, "target"_a, "margin"_a = 1.0,
      reduction);
  def(m, "triplet_margin_loss", &ds::triplet_margin_loss, "anchor"_a, "positive"_a, "negative"_a,
      "margin"_a = 1.0, "p"_a = 2.0, "eps"_a = 1e-6, "swap"_a = false, reduction);
  def(m, "poisson_nll_loss", &ds::poisson_nll_loss, "input"_a, "target"_a, "log_input"_a = true,
      "full"_a = false, "eps"_a = 1e-8, reduction);
  def(m, "gaussian_nll_loss", &ds::gaussian_nll_loss, "input"_a, "target"_a, "var"_a,
      "full"_a = false, "eps"_a = 1e-6, reduction);
  def(m, "multi_margin_loss", &ds::multi_margin_loss, "input"_a, "target"_a, "p"_a = 1,
      "margin"_a = 1.0, "weight"_a = none, reduction);
  def(m, "multilabel_margin_loss", &ds::multilabel_margin_loss, "input"_a, "target"_a, reduction);
  def(m, "multilabel_soft_margin_loss", &ds::multilabel_soft_margin_loss, "input"_a, "target"_a,
      "weight"_a = none, reduction);
  def(m, "soft_margin_loss", &ds::soft_margin_loss, "input"_a, "target"_a, reduction);
  def(
      m, "ctc_loss",
      [](const Tensor& log_probs, const Tensor& targets, nb::object input_lengths,
         nb::object target_lengths, int64_t blank, const std::string& reduce, bool zero_infinity) {
        return ds::ctc_loss(log_probs, targets, lengths(input_lengths), lengths(target_lengths),
                            blank, reduce, zero_infinity);
      },
      "log_probs"_a, "targets"_a, "input_lengths"_a, "target_lengths"_a, "blank"_a = 0, reduction,
      "zero_infinity"_a = false);
}

}  // namespace

void bind_functional(nb::module_& m) {
  nb::module_ f = m.def_submodule("_functional");
  bind_activations(f);
  bind_windows(f);
  bind_norms(f);
  bind_vision(f);
  bind_losses(f);
  bind_inplace(f);
  f.attr("upsample") = f.attr("interpolate");
}

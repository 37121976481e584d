// SPDX-License-Identifier: Apache-2.0
// Initialisation of parameters in place, as torch.nn.init: names, defaults and formulas are its
// own. Each function fills `tensor` without recording gradients and returns it.
#pragma once

#include <string>

#include "ds/tensor/tensor.h"

namespace ds::nn::init {

Tensor uniform_(const Tensor& tensor, double a = 0.0, double b = 1.0);
Tensor normal_(const Tensor& tensor, double mean = 0.0, double std = 1.0);
/// Normal, cut to [a, b] by the inverse distribution function.
Tensor trunc_normal_(const Tensor& tensor, double mean = 0.0, double std = 1.0, double a = -2.0,
                     double b = 2.0);
Tensor constant_(const Tensor& tensor, double value);
Tensor zeros_(const Tensor& tensor);
Tensor ones_(const Tensor& tensor);
/// Identity matrix; ShapeError unless 2-d.
Tensor eye_(const Tensor& tensor);
/// Identity convolution; ShapeError unless 3-d to 5-d.
Tensor dirac_(const Tensor& tensor, int64_t groups = 1);
/// Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
/// 2010.
Tensor xavier_uniform_(const Tensor& tensor, double gain = 1.0);
Tensor xavier_normal_(const Tensor& tensor, double gain = 1.0);
/// He et al., "Delving Deep into Rectifiers", 2015. mode is fan_in or fan_out.
Tensor kaiming_uniform_(const Tensor& tensor, double a = 0.0, const std::string& mode = "fan_in",
                        const std::string& nonlinearity = "leaky_relu");
Tensor kaiming_normal_(const Tensor& tensor, double a = 0.0, const std::string& mode = "fan_in",
                       const std::string& nonlinearity = "leaky_relu");
/// Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
/// networks", 2013; ShapeError below 2-d.
Tensor orthogonal_(const Tensor& tensor, double gain = 1.0);
/// Each column of a 2-d tensor gets a share `sparsity` of zeros.
Tensor sparse_(const Tensor& tensor, double sparsity, double std = 0.01);

/// Recommended gain of a nonlinearity; ValueError for an unknown name.
double calculate_gain(const std::string& nonlinearity, double param = 0.01);

struct Fans {
  int64_t in;
  int64_t out;
};
/// Inputs and outputs of one unit; ShapeError below 2-d.
Fans fans(const Tensor& tensor);

}  // namespace ds::nn::init

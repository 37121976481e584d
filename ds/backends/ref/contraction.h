// SPDX-License-Identifier: Apache-2.0
// The kernels of matrix product and convolution.
#pragma once

#include "ds/backends/ref/kernel.h"

namespace ds::ref {

void matmul(const KernelArgs& args);
void convolution(const KernelArgs& args);
void conv_diff_src(const KernelArgs& args);
void conv_diff_weights(const KernelArgs& args);

}  // namespace ds::ref

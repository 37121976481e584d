// SPDX-License-Identifier: Apache-2.0
// Tensors as text, in PyTorch's form.
#pragma once

#include <iosfwd>
#include <string>

#include "ds/tensor/tensor.h"

namespace ds {

struct PrintOptions {
  int precision = 4;
  int64_t threshold = 1000;  // more elements are summarised
  int64_t edgeitems = 3;     // elements shown at each end when summarised
  int linewidth = 80;
  int sci_mode = -1;  // 1 scientific, 0 fixed, -1 by magnitude
};
PrintOptions& print_options();

/// "tensor([[1., 2.], [3., 4.]])" with dtype, requires_grad or grad_fn where they are not the
/// default. Computes the tensor.
std::string to_text(const Tensor& tensor);
std::ostream& operator<<(std::ostream& out, const Tensor& tensor);

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
// IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist/), plain or compressed by gzip.
#pragma once

#include <string>

#include "ds/tensor/tensor.h"

namespace ds::io {

/// FileFormatError when the header does not describe the file exactly.
Tensor load_idx(const std::string& path);

}  // namespace ds::io

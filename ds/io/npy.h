// SPDX-License-Identifier: Apache-2.0
// NumPy's .npy and .npz files (numpy/lib/format.py, versions 1 to 3).
#pragma once

#include <string>

#include "ds/io/safetensors.h"

namespace ds::io {

/// FileFormatError for a damaged file, for Python objects and for big-endian numbers; unsigned
/// integers beyond u8 are refused.
Tensor load_npy(const std::string& path);
/// All arrays of an .npz archive by name.
NamedTensors load_npz(const std::string& path);
/// Writes one array in C order; DTypeError for bf16, which NumPy does not have.
void save_npy(const Tensor& tensor, const std::string& path);

}  // namespace ds::io

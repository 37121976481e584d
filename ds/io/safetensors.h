// SPDX-License-Identifier: Apache-2.0
// The safetensors format: a length, a JSON header, the elements.
// https://github.com/huggingface/safetensors
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ds/tensor/tensor.h"

namespace ds::io {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;
using Metadata = std::map<std::string, std::string>;

struct Safetensors {
  NamedTensors tensors;  // by position in the file
  Metadata metadata;
};

/// Tensors that share the mapped file's memory until they are written to. FileFormatError for a
/// header that does not describe the file exactly; IOError when it cannot be read.
Safetensors load_safetensors(const std::string& path);
/// Writes a file of that name in one piece. Values are computed first. ValueError for a name given
/// twice.
void save_safetensors(const NamedTensors& tensors, const std::string& path,
                      const Metadata& metadata = {});

}  // namespace ds::io

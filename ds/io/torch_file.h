// SPDX-License-Identifier: Apache-2.0
// Files that torch.save wrote (.pt, .pth, .bin): the ZIP format and the one before PyTorch 1.6.
#pragma once

#include <string>

#include "ds/io/safetensors.h"
#include "ds/io/tree.h"

namespace ds::io {

/// The saved object, read without executing anything. FileFormatError for a file that is damaged or
/// holds more than plain data and tensors.
Tree load_torch(const std::string& path);
/// The tensors of a saved state dict by name. A dict that holds one under "state_dict", "model" or
/// "model_state_dict" is looked into. FileFormatError when there is none.
NamedTensors load_torch_state_dict(const std::string& path);

}  // namespace ds::io

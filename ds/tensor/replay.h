// SPDX-License-Identifier: Apache-2.0
// Replay: what one call of user code recorded, applied again as one node. A Capture watches the
// call; what it then knows is whether recording it again would give the same graph, as far as
// tensors tell. What else the call depends on (plain values, modes) its owner has to compare.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ds/ir/function.h"
#include "ds/tensor/tensor.h"

namespace ds {

/// What a replay binds: an argument, or a tensor that the call reads besides them, such as a
/// parameter. The value is looked up in each call, so what an optimizer or load_state_dict wrote is
/// seen.
struct ReplayInput {
  int argument;  // its position, or -1
  std::weak_ptr<TensorImpl> tensor;
  Type type;
};

class Replay {
 public:
  /// Outputs for arguments of the types and devices that were captured. Nothing when the call has
  /// to be recorded: a tensor it reads is gone, has another type or device, or needs a gradient.
  std::optional<std::vector<Tensor>> run(const std::vector<Tensor>& arguments) const;

 private:
  friend class Capture;
  FunctionPtr function_;  // null when all outputs are arguments
  std::vector<ReplayInput> inputs_;
  std::vector<int> outputs_;  // of the function; -1 - i for argument i itself
  Device device_;
};
using ReplayPtr = std::shared_ptr<const Replay>;

class Sources;

/// Watches what this thread does while it lives: tensors read and written, values asked for,
/// random numbers drawn.
class Capture {
 public:
  Capture();
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  /// Ends watching. The replay of what was recorded from `arguments` to `outputs`, or null and why
  /// the call has to be recorded each time.
  std::pair<ReplayPtr, std::string> finish(const std::vector<Tensor>& arguments,
                                           const std::vector<Tensor>& outputs);

  // Called from where it happens.
  static void note_read(TensorImpl& impl);
  static void note_write(TensorImpl& impl);
  static void refuse(const char* reason);

 private:
  struct Read {
    std::weak_ptr<TensorImpl> tensor;
    bool through_view;  // it is the root of what was read
  };
  struct Write {
    std::weak_ptr<TensorImpl> root;
    bool old;  // it held a value from before the call
  };
  std::string check(const std::vector<Tensor>& arguments, const std::vector<Tensor>& outputs) const;
  bool collect(const std::vector<Tensor>& arguments, Sources& sources) const;

  uint64_t start_;  // nodes of the call have larger ids
  bool watching_ = true;
  const char* refused_ = nullptr;
  std::vector<Read> reads_;
  std::vector<Write> writes_;
};

/// A Capture of this thread lives and has not finished.
bool capturing();

}  // namespace ds

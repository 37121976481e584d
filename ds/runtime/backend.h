// SPDX-License-Identifier: Apache-2.0
// What a backend is: it says what it supports, compiles graphs and owns memory. It lives in its own
// link target under ds/backends/ and registers itself (DS_REGISTER_BACKEND), so that one can be
// added, also from a shared object outside this repository, without touching the rest.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "ds/ir/graph.h"
#include "ds/ir/target_info.h"
#include "ds/runtime/arena.h"
#include "ds/runtime/buffer.h"

namespace ds {

/// Yes, or the reason why not.
struct Support {
  bool yes = true;
  std::string reason;
  static Support no(std::string why) { return {false, std::move(why)}; }
};

struct CompileOptions {
  /// (output, input): the output may be computed into the input's memory, whose value nobody reads
  /// after the program. The caller passes the same pointer for both; the program must read the
  /// input for the last time before it writes the output. Types are equal, layouts too.
  std::vector<std::pair<int, int>> donations;
  /// One per graph input; null is row-major.
  std::vector<LayoutPtr> input_layouts;
  /// One per graph output: the backend may leave it in a layout of its own choice.
  std::vector<bool> any_output_layout;
  /// Where the arena would be larger, a backend that can keeps what waits for long in a file
  /// meanwhile (ds/runtime/offload.h). 0 is no limit.
  size_t arena_limit = 0;
  /// One per graph input, or empty: its memory is a file's. The backend reads it ahead and gives it
  /// back to the file behind its last use.
  std::vector<bool> offloaded;
};

/// A copy of an input in another layout. Whoever runs the program keeps it with the input, so that
/// the next run with the same input finds it there.
struct InputCopy {
  int input;
  LayoutPtr layout;
};

/// What one step of a program does, for profiles and explanations.
struct StepInfo {
  std::string kernel;  // "dnnl:jit:avx2 conv fwd", "ref:sort"
  const Node* node;    // the node it computes; alive as long as the executable
  double flops = 0;
  double bytes = 0;  // read and written
};

/// Told to an executable while it runs.
///
/// When a step raises, the engine works out what depends on it (`lost`) and calls run() again to go
/// on behind that step, so that an error only reaches the values it concerns.
struct RunContext {
  void* arena = nullptr;       // arena_bytes() of memory, aligned to kAlignment
  const Node* node = nullptr;  // the executable keeps the node it is running here, for errors
  size_t step = 0;             // where to start; the executable keeps the running step here
  std::unordered_set<const Node*> lost;  // nodes whose steps are left out
  std::vector<bool> lost_outputs;        // outputs that must not be written; empty for none
  /// One per input_copies() of the executable: its memory, and whether the copy is there already.
  std::vector<void*> copies;
  std::vector<bool> copied;
  /// When not null, seconds of each step are added here (one entry per step).
  std::vector<double>* step_seconds = nullptr;
};

/// A compiled graph. run() may be called many times, never twice at once. A graph output may be a
/// graph input or a constant, and one value may be an output twice: each output gets its copy.
class Executable {
 public:
  virtual ~Executable() = default;
  virtual void run(std::span<const void* const> inputs, std::span<void* const> outputs,
                   RunContext& context) = 0;
  /// Temporaries and workspace, and when each is in use.
  virtual const ArenaUse& arena() const = 0;
  size_t arena_bytes() const { return arena().plan.bytes; }
  /// Bytes that wait in a file at one time, because of CompileOptions::arena_limit.
  virtual size_t spilled_bytes() const { return 0; }
  virtual const std::vector<InputCopy>& input_copies() const {
    static const std::vector<InputCopy> none;
    return none;
  }
  /// Layout that output i is left in; null is row-major.
  virtual LayoutPtr output_layout(int) const { return nullptr; }
  virtual const std::vector<StepInfo>& steps() const = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;
  /// Larger is preferred by device "auto"; negative is never chosen by itself.
  virtual int priority() const = 0;
  virtual TargetInfo target() const = 0;
  virtual Support supports(const Node& node) const = 0;
  virtual std::unique_ptr<Executable> compile(const Graph& graph,
                                              const CompileOptions& options) = 0;
  virtual std::shared_ptr<void> alloc(size_t bytes) = 0;
  /// Writes the row-major elements of a finished buffer to host memory.
  virtual void to_host(const Buffer& src, void* dst) = 0;
  /// Host memory can be used in place (NumPy, mapped files).
  virtual bool host_memory() const = 0;
};

/// Registers `Type` when its object file is linked.
#define DS_REGISTER_BACKEND(Type)     \
  namespace {                         \
  const bool g_registered = [] {      \
    ::ds::register_backend(new Type); \
    return true;                      \
  }();                                \
  }

}  // namespace ds

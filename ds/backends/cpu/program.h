// SPDX-License-Identifier: Apache-2.0
// Program: the steps of a compiled graph over memory slots.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ds/backends/cpu/view.h"
#include "ds/runtime/backend.h"

namespace ds::cpu {

/// The memory of all slots during a run.
class Frame {
 public:
  explicit Frame(size_t slots) : bases_(slots, nullptr) {}
  void set(int slot, const void* base) {
    bases_[static_cast<size_t>(slot)] = static_cast<char*>(const_cast<void*>(base));
  }
  /// The element at the view's offset.
  void* at(const View& view) const {
    return bases_[static_cast<size_t>(view.slot)] +
           view.offset * static_cast<int64_t>(dtype_size(view.dtype));
  }
  template <class T>
  T* at(const View& view) const {
    return static_cast<T*>(at(view));
  }
  void* base(int slot) const { return bases_[static_cast<size_t>(slot)]; }

 private:
  std::vector<char*> bases_;
};

class TileStep;

struct Step {
  StepInfo info;
  std::vector<int> reads, writes;  // slots
  /// (read, written): slots that may share memory. An elementwise step reads the one only at the
  /// element of the other that it writes, and before it does.
  std::vector<std::pair<int, int>> in_place;
  /// Says so of two views where they lie alike. The step reads `read`'s slot nowhere else.
  void allow_in_place(const View& read, const View& written);
  bool may_share(int read, int written) const {
    return std::find(in_place.begin(), in_place.end(), std::pair(read, written)) != in_place.end();
  }
  std::function<void(const Frame&)> run;
  std::shared_ptr<TileStep> tiles;  // of an elementwise step
  std::vector<Step> parts;          // what a batch is made of; run() runs them all
  /// Of the program's copies of inputs: the step is left out where all of them are there.
  std::vector<int> for_copies;
};

enum class SlotKind { input, output, temporary, constant, copy };

struct Slot {
  SlotKind kind;
  int index = 0;  // of the input, output or copy of an input
  size_t bytes = 0;
  std::vector<char> constant;  // its value
};

/// What lowering produces; finish() makes it executable.
struct ProgramParts {
  std::vector<Slot> slots;
  std::vector<Step> steps;
  std::vector<NodePtr> nodes;      // kept alive for the steps
  std::vector<LayoutPtr> layouts;  // of the outputs; null is row-major
  std::vector<InputCopy> copies;   // of inputs
};

/// Plans the arena of the temporaries and returns the executable.
std::unique_ptr<Executable> finish(ProgramParts parts, const CompileOptions& options);

}  // namespace ds::cpu

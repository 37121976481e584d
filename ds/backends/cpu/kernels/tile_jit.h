// SPDX-License-Identifier: Apache-2.0
// Machine code for straight-line tile programs on x86-64 with AVX-512: a chain of arithmetic passes
// through registers once, where kernels called one by one write every intermediate to the
// first-level cache. 16-bit operands are converted on the way, which makes chains in BF16 as fast
// as memory allows.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "ds/backends/cpu/kernels/tile.h"

namespace ds::cpu {

/// A straight line of ops. Values are numbered: the inputs first, then one for each op.
struct JitProgram {
  struct Input {
    DType dtype = DType::f32;
    bool splat = false;  ///< kSplatSize equal floats that stand for all elements
  };
  struct Op {
    TileOp op;
    std::array<int, 3> args;
  };
  struct Output {
    int value;
    DType dtype;
  };
  std::vector<Input> inputs;
  std::vector<Op> ops;
  std::vector<Output> outputs;
};

/// pointers: of the inputs, then of the outputs; n elements each, densely. An output may be the
/// same memory as an input of the same size.
using JitFn = void (*)(void* const* pointers, size_t n);

/// The op has machine code, if this processor and the chosen instruction set are AVX-512.
bool jit_has(TileOp op);
/// Elements of this dtype can be read and written.
bool jit_has(DType dtype);
/// The code, kept for the life of the process and shared by equal programs; null where more values
/// are alive at once than there are registers.
JitFn jit_compile(const JitProgram& program);

}  // namespace ds::cpu

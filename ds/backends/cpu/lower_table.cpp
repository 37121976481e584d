// SPDX-License-Identifier: Apache-2.0
// Which function lowers which op.
#include "ds/backends/cpu/lowering.h"

namespace ds::cpu {

LowerFn lower_function(Op op) {
  switch (op) {
    case Op::matmul_: return lower_matmul;
    case Op::convolution_:
    case Op::conv_diff_src_:
    case Op::conv_diff_weights_: return lower_convolution;
    case Op::fused_: return lower_fused;
    default: break;
  }
  switch (op_info(op).op_class) {
    case OpClass::source: return lower_source;
    case OpClass::movement: return lower_movement;
    case OpClass::unary:
    case OpClass::test:
    case OpClass::binary:
    case OpClass::compare:
    case OpClass::select: return lower_elementwise;
    default: return nullptr;
  }
}

}  // namespace ds::cpu

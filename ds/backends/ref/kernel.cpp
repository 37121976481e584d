// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/ref/kernel.h"

#include "ds/backends/ref/families.h"

namespace ds::ref {

Kernel kernel_for(Op op) {
  switch (op_info(op).op_class) {
    case OpClass::source:
      if (op == Op::input_) return nullptr;
      return op == Op::iota_ ? &iota_kernel : &constant_kernel;
    case OpClass::unary: return op == Op::cast_ ? &cast_kernel : &unary_kernel;
    case OpClass::test: return &unary_kernel;
    case OpClass::binary:
    case OpClass::compare: return &binary_kernel;
    case OpClass::select: return op == Op::clamp_ ? &clamp_kernel : &where_kernel;
    case OpClass::reduce: return reduce_kernel(op);
    case OpClass::scan: return scan_kernel(op);
    case OpClass::movement: return movement_kernel(op);
    case OpClass::index: {
      const Kernel found = sort_kernel(op);
      return found ? found : index_kernel(op);
    }
    case OpClass::random: return random_kernel(op);
    case OpClass::contraction: return contraction_kernel(op);
    case OpClass::pool: return pool_kernel(op);
    case OpClass::norm: return norm_kernel(op);
    case OpClass::softmax: return softmax_kernel(op);
    case OpClass::attention: return attention_kernel(op);
    case OpClass::recurrent: return recurrent_kernel(op);
    case OpClass::linalg: return linalg_kernel(op);
    case OpClass::marker: return nullptr;
    case OpClass::compound: break;
  }
  return &fused_kernel;
}

}  // namespace ds::ref

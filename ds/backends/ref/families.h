// SPDX-License-Identifier: Apache-2.0
// The kernels of each family, for the table in kernel.cpp.
#pragma once

#include "ds/backends/ref/kernel.h"

namespace ds::ref {

// elementwise.cpp
void constant_kernel(const KernelArgs& args);
void iota_kernel(const KernelArgs& args);
void unary_kernel(const KernelArgs& args);
void cast_kernel(const KernelArgs& args);
void binary_kernel(const KernelArgs& args);
void where_kernel(const KernelArgs& args);
void clamp_kernel(const KernelArgs& args);
void fused_kernel(const KernelArgs& args);  // fused.cpp

// The kernel of an op of the family, null when it is of another.
Kernel reduce_kernel(Op op);       // reduce.cpp
Kernel scan_kernel(Op op);         // scan.cpp
Kernel movement_kernel(Op op);     // movement.cpp
Kernel index_kernel(Op op);        // index.cpp
Kernel sort_kernel(Op op);         // sort.cpp
Kernel random_kernel(Op op);       // random.cpp
Kernel contraction_kernel(Op op);  // matmul.cpp, convolution.cpp
Kernel pool_kernel(Op op);         // pool.cpp
Kernel norm_kernel(Op op);         // norm.cpp
Kernel softmax_kernel(Op op);      // softmax.cpp
Kernel attention_kernel(Op op);    // attention.cpp
Kernel recurrent_kernel(Op op);    // recurrent.cpp
Kernel linalg_kernel(Op op);       // linalg.cpp

}  // namespace ds::ref

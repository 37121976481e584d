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
    case Op::sum_:
    case Op::mean_:
    case Op::prod_:
    case Op::amax_:
    case Op::amin_:
    case Op::any_:
    case Op::all_: return lower_reduce;
    case Op::argmax_:
    case Op::argmin_: return lower_arg_reduce;
    case Op::softmax_:
    case Op::softmax_backward_:
    case Op::log_softmax_:
    case Op::log_softmax_backward_: return lower_softmax;
    case Op::softmax_cross_entropy_:
    case Op::softmax_cross_entropy_backward_: return lower_cross_entropy;
    case Op::resample_:
    case Op::resample_backward_: return lower_resample;
    case Op::batch_norm_:
    case Op::batch_norm_backward_: return lower_batch_norm;
    case Op::group_norm_:
    case Op::group_norm_backward_: return lower_group_norm;
    case Op::layer_norm_:
    case Op::rms_norm_: return lower_layer_norm;
    case Op::layer_norm_backward_:
    case Op::rms_norm_backward_: return lower_layer_norm_backward;
    case Op::max_pool_:
    case Op::avg_pool_:
    case Op::adaptive_avg_pool_:
    case Op::adaptive_max_pool_: return lower_pool;
    case Op::max_pool_backward_:
    case Op::avg_pool_backward_:
    case Op::adaptive_avg_pool_backward_: return lower_pool_backward;
    case Op::recurrent_:
    case Op::recurrent_backward_: return lower_recurrent;
    case Op::attention_: return lower_attention;
    case Op::attention_backward_: return lower_attention_backward;
    case Op::gather_:
    case Op::scatter_:
    case Op::index_select_:
    case Op::index_add_:
    case Op::index_copy_:
    case Op::nonzero_:
    case Op::searchsorted_: return lower_index;
    case Op::sort_:
    case Op::topk_: return lower_sort;
    case Op::random_uniform_:
    case Op::random_normal_:
    case Op::random_bits_: return lower_random;
    case Op::dropout_: return lower_elementwise;
    default: break;
  }
  switch (op_info(op).op_class) {
    case OpClass::source: return lower_source;
    case OpClass::movement: return lower_movement;
    case OpClass::scan: return lower_scan;
    case OpClass::unary:
    case OpClass::test:
    case OpClass::binary:
    case OpClass::compare:
    case OpClass::select: return lower_elementwise;
    default: return nullptr;
  }
}

}  // namespace ds::cpu

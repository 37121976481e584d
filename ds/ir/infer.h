// SPDX-License-Identifier: Apache-2.0
// Type rules: output dtypes and shapes of every op, with the errors a user sees.
// A rule is named in the op's row; infer_<family>.cpp holds it.
#pragma once

#include "ds/ir/node.h"

namespace ds {

/// What a type rule sees.
struct InferContext {
  Op op;
  const Values& inputs;
  const Attrs& attrs;

  std::string_view name() const { return op_name(op); }
  const Type& type(int i) const { return inputs[static_cast<size_t>(i)].type(); }
  const Shape& shape(int i) const { return type(i).shape; }
  DType dtype(int i) const { return type(i).dtype; }
  /// Attributes by position in the row.
  int64_t int_at(int i) const { return std::get<int64_t>(attrs[static_cast<size_t>(i)]); }
  double float_at(int i) const { return std::get<double>(attrs[static_cast<size_t>(i)]); }
  bool bool_at(int i) const { return std::get<bool>(attrs[static_cast<size_t>(i)]); }
  DType dtype_at(int i) const { return std::get<DType>(attrs[static_cast<size_t>(i)]); }
  const Shape& ints_at(int i) const { return std::get<Shape>(attrs[static_cast<size_t>(i)]); }
  const std::string& str_at(int i) const {
    return std::get<std::string>(attrs[static_cast<size_t>(i)]);
  }
};

using InferRule = std::vector<Type> (*)(const InferContext&);

// Every rule of ops.def.
#define DS_INFER_RULE(rule) std::vector<Type> infer_##rule(const InferContext& c);
DS_INFER_RULE(input)
DS_INFER_RULE(constant)
DS_INFER_RULE(iota)
DS_INFER_RULE(same)
DS_INFER_RULE(same_float)
DS_INFER_RULE(same_integral)
DS_INFER_RULE(same_pair)
DS_INFER_RULE(cast)
DS_INFER_RULE(test)
DS_INFER_RULE(binary)
DS_INFER_RULE(binary_float)
DS_INFER_RULE(binary_integral)
DS_INFER_RULE(compare)
DS_INFER_RULE(where)
DS_INFER_RULE(clamp)
DS_INFER_RULE(reduce)
DS_INFER_RULE(reduce_float)
DS_INFER_RULE(reduce_nonempty)
DS_INFER_RULE(reduce_bool)
DS_INFER_RULE(reduce_arg)
DS_INFER_RULE(values_indices)
DS_INFER_RULE(reshape)
DS_INFER_RULE(permute)
DS_INFER_RULE(expand)
DS_INFER_RULE(slice)
DS_INFER_RULE(slice_scatter)
DS_INFER_RULE(as_strided)
DS_INFER_RULE(as_strided_scatter)
DS_INFER_RULE(as_strided_add)
DS_INFER_RULE(pad)
DS_INFER_RULE(cat)
DS_INFER_RULE(gather)
DS_INFER_RULE(scatter)
DS_INFER_RULE(index_select)
DS_INFER_RULE(resample)
DS_INFER_RULE(resample_backward)
DS_INFER_RULE(index_write)
DS_INFER_RULE(topk)
DS_INFER_RULE(nonzero)
DS_INFER_RULE(searchsorted)
DS_INFER_RULE(random_uniform)
DS_INFER_RULE(random_normal)
DS_INFER_RULE(random_bits)
DS_INFER_RULE(dropout)
DS_INFER_RULE(matmul)
DS_INFER_RULE(convolution)
DS_INFER_RULE(conv_diff_src)
DS_INFER_RULE(conv_diff_weights)
DS_INFER_RULE(max_pool)
DS_INFER_RULE(max_pool_backward)
DS_INFER_RULE(avg_pool)
DS_INFER_RULE(avg_pool_backward)
DS_INFER_RULE(adaptive_pool)
DS_INFER_RULE(adaptive_avg_pool_backward)
DS_INFER_RULE(adaptive_max_pool)
DS_INFER_RULE(batch_norm)
DS_INFER_RULE(batch_norm_backward)
DS_INFER_RULE(group_norm)
DS_INFER_RULE(group_norm_backward)
DS_INFER_RULE(layer_norm)
DS_INFER_RULE(layer_norm_backward)
DS_INFER_RULE(rms_norm)
DS_INFER_RULE(rms_norm_backward)
DS_INFER_RULE(softmax_cross_entropy)
DS_INFER_RULE(softmax_cross_entropy_backward)
DS_INFER_RULE(attention)
DS_INFER_RULE(attention_backward)
DS_INFER_RULE(recurrent)
DS_INFER_RULE(recurrent_backward)
DS_INFER_RULE(square_matrix)
DS_INFER_RULE(solve)
DS_INFER_RULE(slogdet)
DS_INFER_RULE(qr)
DS_INFER_RULE(svd)
DS_INFER_RULE(eigh)
DS_INFER_RULE(custom_gradient)
DS_INFER_RULE(fused)
#undef DS_INFER_RULE

/// Size of a convolution or pooling output along one dimension; may be <= 0 when it does not fit.
inline int64_t window_output(int64_t size, int64_t kernel, int64_t stride, int64_t padding,
                             int64_t padding_hi, int64_t dilation) {
  const int64_t room = size + padding + padding_hi - dilation * (kernel - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

}  // namespace ds

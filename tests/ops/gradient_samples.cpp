// SPDX-License-Identifier: Apache-2.0
#include "tests/ops/gradient_samples.h"

namespace ds::testing {

Operand index_operand(const Shape& shape, std::vector<double> values) {
  return {shape, 0, 0, std::move(values), DType::i64};
}
Operand bool_operand(const Shape& shape, std::vector<double> values) {
  return {shape, 0, 0, std::move(values), DType::bool_};
}

const Samples& gradient_samples() {
  static const Samples samples = [] {
    Samples all;
    add_elementwise_samples(all);
    add_reduce_samples(all);
    add_movement_samples(all);
    add_index_samples(all);
    add_contraction_samples(all);
    add_pool_samples(all);
    add_norm_samples(all);
    add_softmax_samples(all);
    add_recurrent_samples(all);
    add_attention_samples(all);
    add_linalg_samples(all);
    return all;
  }();
  return samples;
}

}  // namespace ds::testing

// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/segmentation.h"

#include "ds/base/error.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {

Tensor resized_pictures(const Tensor& pictures, int64_t height, int64_t width) {
  return interpolate(pictures, PerDim{height, width}, {}, "bilinear", false);
}

Tensor semantic_loss(const Tensor& logits, const Tensor& labels, int64_t ignored) {
  DS_CHECK(labels.dim() == 3 && labels.size(0) == logits.size(0), ShapeError, "labels ",
           labels.type(), " must be [", logits.size(0),
           ", height, width], a class for every pixel");
  const Tensor resized = resized_pictures(logits, labels.size(1), labels.size(2));
  if (logits.size(1) > 1)
    return cross_entropy(resized, to_dtype(labels, DType::i64), std::nullopt, ignored);
  const Tensor counted = to_dtype(logical_and(ge(labels, 0), ne(labels, ignored)), resized.dtype());
  const Tensor loss = binary_cross_entropy_with_logits(
      select(resized, 1, 0), to_dtype(labels, resized.dtype()), std::nullopt, "none");
  return mean(loss * counted);
}

}  // namespace ds::hub

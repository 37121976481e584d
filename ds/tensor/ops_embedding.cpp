// SPDX-License-Identifier: Apache-2.0
// Embedding lookups of ops_index.h.
#include <limits>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_index.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// padding_idx as a row number; -1 without one.
int64_t padding_row(const Tensor& weight, std::optional<int64_t> padding_idx, const char* op) {
  if (!padding_idx) return -1;
  const int64_t rows = weight.shape()[0];
  DS_CHECK(*padding_idx >= -rows && *padding_idx < rows, IndexError, op, ": padding_idx ",
           *padding_idx, " is out of range for ", rows, " embeddings");
  return *padding_idx < 0 ? *padding_idx + rows : *padding_idx;
}

void check_weight(const Tensor& weight, const char* op) {
  DS_CHECK(weight.dim() == 2, ShapeError, op, ": weight ", weight.type(), " must be [num, dim]");
}

/// x in value; its gradient is multiplied by `factor`.
Tensor with_scaled_gradient(const Tensor& x, const Tensor& factor) {
  const Tensor fixed = x.detach();
  return fixed + (x - fixed) * factor;
}

}  // namespace

Tensor embedding(const Tensor& input, const Tensor& weight, std::optional<int64_t> padding_idx,
                 bool scale_grad_by_freq) {
  check_weight(weight, "embedding");
  const int64_t padding = padding_row(weight, padding_idx, "embedding");
  const Tensor index = as_index(input, "embedding");
  Tensor rows = record(Op::index_select_, {weight, index}, {0});
  if (!grad_enabled() || !weight.requires_grad()) return rows;
  if (scale_grad_by_freq) {
    const Device device = weight.device();
    const Tensor flat = reshaped(index, {index.numel()});
    const Tensor counts = index_add(constant({weight.shape()[0]}, 0, weight.dtype(), device), 0,
                                    flat, constant({index.numel()}, 1, weight.dtype(), device));
    const Tensor frequency = record(Op::index_select_, {counts, index}, {0});
    rows = with_scaled_gradient(rows, unsqueeze(reciprocal(frequency), -1));
  }
  if (padding >= 0) rows = where(unsqueeze(eq(index, padding), -1), rows.detach(), rows);
  return rows;
}

Tensor embedding_bag(const Tensor& input, const Tensor& weight,
                     const std::optional<Tensor>& offsets, const std::string& mode,
                     const std::optional<Tensor>& per_sample_weights, bool include_last_offset,
                     std::optional<int64_t> padding_idx) {
  check_weight(weight, "embedding_bag");
  DS_CHECK(mode == "sum" || mode == "mean" || mode == "max", ValueError, "embedding_bag: mode '",
           mode, "' is unknown; use sum, mean or max");
  DS_CHECK(input.dim() == 1 || input.dim() == 2, ShapeError, "embedding_bag: input ", input.type(),
           " must be 1-d with offsets or 2-d");
  DS_CHECK(present(offsets) == (input.dim() == 1), ValueError,
           "embedding_bag: offsets go with a 1-d input, and only with it; the input is ",
           input.type());
  DS_CHECK(!present(per_sample_weights) || mode == "sum", ValueError,
           "embedding_bag: per_sample_weights need mode 'sum', not '", mode, "'");
  const Device device = weight.device();
  const int64_t n = input.numel(), dim = weight.shape()[1];
  const Tensor index = reshaped(as_index(input, "embedding_bag"), {n});
  int64_t bags;
  Tensor bag;  // of each index
  if (input.dim() == 2) {
    bags = input.shape()[0];
    bag =
        reshaped(expanded(reshaped(iota(bags, DType::i64, device), {bags, 1}), input.shape()), {n});
  } else {
    bags = offsets->numel() - (include_last_offset ? 1 : 0);
    DS_CHECK(offsets->dim() == 1 && bags >= 0, ShapeError, "embedding_bag: offsets ",
             offsets->type(), " must be 1-d");
    const Tensor starts = sliced(as_index(*offsets, "embedding_bag"), 0, 0, bags);
    bag = searchsorted(starts, iota(n, DType::i64, device), true) - 1;
  }
  const int64_t padding = padding_row(weight, padding_idx, "embedding_bag");
  const Tensor counted = padding < 0 ? constant({n}, 1, DType::bool_, device) : ne(index, padding);
  const Tensor mark = unsqueeze(counted, -1);
  Tensor rows = record(Op::index_select_, {weight, index}, {0});
  if (present(per_sample_weights)) {
    DS_CHECK(per_sample_weights->shape() == input.shape(), ShapeError,
             "embedding_bag: per_sample_weights ", per_sample_weights->type(),
             " must have the shape of input ", input.type());
    rows = rows * unsqueeze(reshaped(*per_sample_weights, {n}), -1);
  }
  const Tensor ones = to_dtype(counted, weight.dtype());
  const Tensor count =
      unsqueeze(index_add(constant({bags}, 0, weight.dtype(), device), 0, bag, ones), -1);
  if (mode == "max") {
    const Tensor lowest = constant({bags, dim}, -kInfinity, weight.dtype(), device);
    const Tensor marked = where(mark, rows, -kInfinity);
    const Tensor largest =
        record(Op::scatter_, {lowest, expanded(unsqueeze(bag, -1), rows.shape()), marked},
               {0, std::string("amax")});
    return where(eq(count, 0), 0, largest);
  }
  if (padding >= 0) rows = where(mark, rows, 0);
  const Tensor total =
      record(Op::index_add_, {constant({bags, dim}, 0, weight.dtype(), device), bag, rows}, {0});
  return mode == "sum" ? total : total / maximum(count, Operand(1));
}

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
// Sets of ops_reduce.h: sort, find where neighbours differ, keep one of each run. Slices are sorted
// by a stable sort of every column, the last one first.
#include <algorithm>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_create.h"
#include "ds/tensor/ops_index.h"
#include "ds/tensor/ops_reduce.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

/// Places (i64, 1-d) of the first row of each run of equal neighbours, and the run of each row.
struct Runs {
  Tensor starts;
  Tensor number;
};

Runs runs(const Tensor& rows) {
  const int64_t count = rows.shape()[0];
  if (count == 0) return {index_tensor({}, rows.device()), index_tensor({}, rows.device())};
  const Tensor changed = any(ne(sliced(rows, 0, 1, count - 1), sliced(rows, 0, 0, count - 1)), 1);
  const Tensor is_start = joined({constant({1}, 1, DType::bool_, rows.device()), changed}, 0);
  return {reshape(nonzero(is_start), {-1}), cumsum(is_start, 0) - 1};
}

Tensor run_lengths(const Tensor& starts, int64_t size) {
  const Tensor end = full({1}, size, DType::i64, starts.device());
  return diff(joined({starts, end}, 0));
}

Tensor rows_at(const Tensor& rows, const Tensor& index) {
  return record(Op::index_select_, {rows, index}, {0});
}

/// The order (i64) that sorts rows lexicographically.
Tensor sorting(const Tensor& rows) {
  Tensor order = iota(rows.shape()[0], DType::i64, rows.device());
  for (int64_t column = rows.shape()[1] - 1; column >= 0; --column) {
    const Tensor keys = rows_at(reshaped(sliced(rows, 1, column, 1), {rows.shape()[0]}), order);
    order = rows_at(order, record_all(Op::sort_, {keys}, {0, false})[1]);
  }
  return order;
}

/// The input as rows to compare: its elements, or the slices along dim.
Tensor rows_of(const Tensor& input, std::optional<int64_t> dim, const char* op) {
  const Tensor x = input.detach();
  if (!dim) return reshaped(x, {x.numel(), 1});
  const int d = normalize_dim(*dim, std::max(input.dim(), 1), op);
  if (input.dim() == 0) return reshaped(x, {1, 1});
  const int64_t count = x.shape()[d];
  DS_CHECK(count == 0 || x.numel() > 0, ShapeError, op, ": the slices of ", input.type(),
           " along dimension ", *dim, " are empty");
  return reshaped(movedim(x, d, 0), {count, count == 0 ? 0 : x.numel() / count});
}

/// Rows back in input's shape, with another size along dim.
Tensor from_rows(const Tensor& rows, const Tensor& input, std::optional<int64_t> dim) {
  if (!dim || input.dim() == 0) return reshaped(rows, {rows.numel()});
  const int d = normalize_dim(*dim, input.dim(), "unique");
  Shape shape = input.shape();
  shape.erase(d);
  shape.insert(0, rows.shape()[0]);
  return movedim(reshaped(rows, shape), 0, d);
}

}  // namespace

UniqueResult unique(const Tensor& input, bool, bool return_inverse, bool return_counts,
                    std::optional<int64_t> dim) {
  const Tensor rows = rows_of(input, dim, "unique");
  const Tensor order = sorting(rows);
  const Tensor sorted = rows_at(rows, order);
  const Runs r = runs(sorted);
  UniqueResult out;
  out.values = from_rows(rows_at(sorted, r.starts), input, dim);
  if (return_inverse) {
    const Tensor inverse = scatter(zeros_like(r.number), 0, order, r.number);
    out.inverse = dim ? inverse : reshaped(inverse, input.shape());
  }
  if (return_counts) out.counts = run_lengths(r.starts, rows.shape()[0]);
  return out;
}

UniqueResult unique_consecutive(const Tensor& input, bool return_inverse, bool return_counts,
                                std::optional<int64_t> dim) {
  const Tensor rows = rows_of(input, dim, "unique_consecutive");
  const Runs r = runs(rows);
  UniqueResult out;
  out.values = from_rows(rows_at(rows, r.starts), input, dim);
  if (return_inverse) out.inverse = dim ? r.number : reshaped(r.number, input.shape());
  if (return_counts) out.counts = run_lengths(r.starts, rows.shape()[0]);
  return out;
}

}  // namespace ds

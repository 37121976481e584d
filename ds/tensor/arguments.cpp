// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/arguments.h"

#include <algorithm>

#include "ds/base/error.h"

namespace ds {

Shape Dims::over(int rank, const char* op) const {
  Shape out;
  if (all()) {
    for (int i = 0; i < rank; ++i) out.push_back(i);
    return out;
  }
  for (int64_t dim : dims_) {
    const int normal = normalize_dim(dim, rank, op);
    if (rank > 0) out.push_back(normal);
  }
  std::sort(out.begin(), out.end());
  DS_CHECK(std::adjacent_find(out.begin(), out.end()) == out.end(), ValueError, op,
           ": a dimension appears twice in dim=", dims_);
  return out;
}

Shape PerDim::over(int count, const char* op, const char* what, int64_t least) const {
  Shape out = values_;
  if (values_.rank() == 1) out = Shape::filled(count, values_[0]);
  DS_CHECK(out.rank() == count, ValueError, op, ": ", what, "=", values_, " must have 1 or ", count,
           " numbers");
  for (int64_t value : out)
    DS_CHECK(value >= least, ValueError, op, ": ", what, "=", values_, " must be at least ", least);
  return out;
}

}  // namespace ds

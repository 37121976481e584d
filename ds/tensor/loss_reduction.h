// SPDX-License-Identifier: Apache-2.0
// The reduction that every loss ends with.
#pragma once

#include <string>

#include "ds/base/error.h"
#include "ds/tensor/ops_reduce.h"

namespace ds {

inline void check_reduction(const std::string& reduction, const char* op) {
  DS_CHECK(reduction == "mean" || reduction == "sum" || reduction == "none", ValueError, op,
           ": reduction '", reduction, "' is unknown; use mean, sum or none");
}

/// loss itself for "none", else its mean or sum. ValueError naming `op` for another word.
inline Tensor reduced(const Tensor& loss, const std::string& reduction, const char* op) {
  check_reduction(reduction, op);
  return reduction == "none" ? loss : reduction == "sum" ? sum(loss) : mean(loss);
}

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
// Which nodes belong to a backward pass: what memory reports and recomputation ask for.
//
// The mark is the top bit of a node's place (ds/base/location.h), so every rewrite that keeps a
// node's place keeps its mark.
#pragma once

#include "ds/base/location.h"
#include "ds/ir/node.h"

namespace ds {

inline constexpr uint32_t kBackwardBit = 1u << 31;

/// `place` as the place of a node of a backward pass.
inline uint32_t backward_place(uint32_t place) { return place | kBackwardBit; }

/// The node was made by differentiation.
inline bool in_backward(const Node& node) { return (node.location() & kBackwardBit) != 0; }

}  // namespace ds

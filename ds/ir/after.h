// SPDX-License-Identifier: Apache-2.0
// A value that must not be read before another is computed: what keeps recomputed work apart from
// the first computation, with which it would be merged, and late, where it saves memory.
#pragma once

#include <functional>

#include "ds/ir/node.h"

namespace ds {

/// Makes a node's output 0: make() of ds/ir/build.h, or an Interner's.
using MakeValue = std::function<Value(Op, Values, Attrs)>;

/// `x`, not before `gate`: an empty part of `gate` written into `x`, which backends that describe
/// memory by views do without a copy. x itself when it is 0-d or empty. No gradient flows to
/// `gate`.
Value make_after(const Value& x, const Value& gate, const MakeValue& make);

}  // namespace ds

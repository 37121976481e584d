// SPDX-License-Identifier: Apache-2.0
// Computes the cross entropy of many classes, its gradient and the products that read it for some
// rows at a time.
//
// Why: a language model's logits, one for each word of the vocabulary at each token, are often the
// largest value of a step, and so is their gradient; both are read once, by the loss and by two
// products. In slices only a few rows of them exist at a time. The logits themselves are sliced
// too, when nothing else reads them and the gradient of the loss does not depend on the loss.
// Guarantees: the same values, but sums over rows (the gradients of weights and bias) are added in
// another order, in f32 for half types. It does not depend on the memory budget, so that a budget
// changes no bit.
#pragma once

#include "ds/ir/graph.h"

namespace ds {

Graph slice_loss(const Graph& graph, Interner& interner);

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
// Walks ds/ir/ops.def: an op without a gradient, a reference kernel, samples or a doc fails here by
// name.
#include <doctest/doctest.h>

#include <set>

#include "ds/backends/ref/kernel.h"
#include "ds/grad/rules.h"
#include "tests/ops/gradient_samples.h"
#include "tests/unit/ir/samples.h"

namespace ds::testing {
namespace {

template <class List>
std::set<Op> ops_of(const List& samples) {
  std::set<Op> ops;
  for (const auto& sample : samples) ops.insert(sample.op);
  return ops;
}

TEST_CASE("every op is complete") {
  const std::set<Op> sampled = ops_of(test::samples());
  const std::set<Op> differentiated = ops_of(gradient_samples());
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    const OpInfo& info = op_info(op);
    const std::string name(info.name);
    CAPTURE(name);
    const bool marker = info.op_class == OpClass::marker;
    const GradEntry* entry = grad_entry(op);
    // Markers are differentiate()'s own business; they compute nothing.
    const int gradients = (entry != nullptr) + info.has(kNoGrad) + (marker && !info.has(kNoGrad));
    CHECK_MESSAGE(gradients == 1, name, " needs a rule in ds/grad or kNoGrad in its row, not both");
    CHECK_MESSAGE((ref::kernel_for(op) != nullptr) == (!marker && op != Op::input_), name,
                  " needs a kernel in ds/backends/ref");
    const bool has_body = op == Op::fused_;  // tests/unit/tensor/function_test.cpp
    CHECK_MESSAGE(sampled.count(op) == (has_body ? 0 : 1), name,
                  " needs a sample in tests/unit/ir/samples.cpp");
    CHECK_MESSAGE(differentiated.count(op) == (entry && !has_body ? 1 : 0), name,
                  " needs a sample in tests/ops/gradient_samples_*.cpp");
    CHECK_MESSAGE((info.doc.size() > 3 && info.doc.back() == '.'), name, " needs a sentence");
  }
}

TEST_CASE("a rule names only inputs and outputs that there are") {
  for (int i = 0; i < kOpCount; ++i) {
    const OpInfo& info = op_info(static_cast<Op>(i));
    const GradEntry* entry = grad_entry(static_cast<Op>(i));
    if (!entry) continue;
    CAPTURE(info.name);
    CHECK((entry->rule != nullptr));
    if (info.max_inputs < 32) CHECK((entry->saved_inputs >> info.max_inputs) == 0);
    if (info.outputs < 32) CHECK((entry->saved_outputs >> info.outputs) == 0);
  }
}

}  // namespace
}  // namespace ds::testing

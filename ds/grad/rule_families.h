// SPDX-License-Identifier: Apache-2.0
// The families of rules: each rules_<family>.cpp fills its rows of the gradient table.
#pragma once

#include <array>

#include "ds/grad/rules.h"

namespace ds {

using GradTable = std::array<GradEntry, static_cast<size_t>(kOpCount)>;

inline void add_rule(GradTable& table, Op op, GradRule rule, uint32_t saved_inputs = 0,
                     uint32_t saved_outputs = 0) {
  table[static_cast<size_t>(op)] = {rule, saved_inputs, saved_outputs};
}

void add_unary_rules(GradTable& table);
void add_binary_rules(GradTable& table);
void add_reduce_rules(GradTable& table);
void add_scan_rules(GradTable& table);
void add_movement_rules(GradTable& table);
void add_index_rules(GradTable& table);
void add_contraction_rules(GradTable& table);
void add_pool_rules(GradTable& table);
void add_norm_rules(GradTable& table);
void add_softmax_rules(GradTable& table);
void add_attention_rules(GradTable& table);
void add_recurrent_rules(GradTable& table);
void add_linalg_rules(GradTable& table);
void add_factorization_rules(GradTable& table);
void add_function_rules(GradTable& table);

}  // namespace ds

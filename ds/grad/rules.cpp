// SPDX-License-Identifier: Apache-2.0
#include "ds/grad/rules.h"

#include "ds/base/error.h"
#include "ds/grad/differentiate.h"
#include "ds/grad/rule_families.h"

namespace ds {
namespace {

GradTable make_table() {
  GradTable table{};
  add_unary_rules(table);
  add_binary_rules(table);
  add_reduce_rules(table);
  add_scan_rules(table);
  add_movement_rules(table);
  add_index_rules(table);
  add_contraction_rules(table);
  add_pool_rules(table);
  add_norm_rules(table);
  add_softmax_rules(table);
  add_attention_rules(table);
  add_recurrent_rules(table);
  add_linalg_rules(table);
  add_factorization_rules(table);
  add_function_rules(table);
  return table;
}

}  // namespace

const GradEntry* grad_entry(Op op) {
  static const GradTable table = make_table();
  const GradEntry& entry = table[static_cast<size_t>(op)];
  return entry.rule ? &entry : nullptr;
}

Values differentiate_by_decomposition(const GradContext& c,
                                      const std::function<Values(const GradContext& c)>& compose) {
  Values roots;
  Values root_grads;
  const Values outputs = compose(c);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!c.grads[i] || !outputs[i] || !outputs[i].requires_grad()) continue;
    roots.push_back(outputs[i]);
    root_grads.push_back(c.grads[i]);
  }
  // An input that stands twice gets its whole gradient at the first place: the caller adds them up.
  const Values& inputs = c.node->inputs();
  Values targets;
  std::vector<size_t> places;
  for (size_t i = 0; i < inputs.size(); ++i) {
    bool wanted = inputs[i].requires_grad();
    for (const Value& target : targets) wanted = wanted && !(target == inputs[i]);
    if (!wanted) continue;
    targets.push_back(inputs[i]);
    places.push_back(i);
  }
  DifferentiateOptions options;
  options.create_graph = true;
  options.stop_at_targets = true;
  const Gradients found = differentiate(roots, root_grads, targets, options);
  Values result(inputs.size());
  for (size_t i = 0; i < places.size(); ++i) result[places[i]] = found.targets[i];
  return result;
}

}  // namespace ds

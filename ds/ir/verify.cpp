// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <unordered_map>

#include "ds/base/error.h"
#include "ds/base/hash.h"
#include "ds/ir/build.h"
#include "ds/ir/graph.h"

namespace ds {
namespace {

std::string place(const Node& node, size_t position) {
  return str("node ", position, " (", op_name(node.op()), " : ", node.type(), ")");
}

void verify_fused(const Node& node, const std::string& where) {
  const auto body = node.body();
  DS_ASSERT(body, where, " has no body");
  DS_ASSERT(body->inputs.size() == node.inputs().size(), where, ": its body takes ",
            body->inputs.size(), " inputs, it has ", node.inputs().size());
  for (size_t i = 0; i < body->inputs.size(); ++i)
    DS_ASSERT(body->inputs[i]->type() == node.inputs()[i].type(), where, ": input ", i, " is ",
              node.inputs()[i].type(), ", its body takes ", body->inputs[i]->type());
  DS_ASSERT(static_cast<int>(body->outputs.size()) == node.outputs(), where, ": its body gives ",
            body->outputs.size(), " outputs");
  for (int i = 0; i < node.outputs(); ++i)
    DS_ASSERT(body->outputs[static_cast<size_t>(i)].type() == node.type(i), where, ": output ", i,
              " is ", node.type(i), ", its body gives ",
              body->outputs[static_cast<size_t>(i)].type());
  verify_graph(*body);
}

void verify_types(const Node& node, const std::string& where) {
  std::vector<Type> types;
  try {
    types = infer_types(node.op(), node.inputs(), node.attrs());
  } catch (const Error& error) {
    DS_ASSERT(false, where, " breaks its rule: ", error.what());
  }
  DS_ASSERT(static_cast<int>(types.size()) == node.outputs(), where, " has ", node.outputs(),
            " outputs, its rule gives ", types.size());
  for (int i = 0; i < node.outputs(); ++i)
    DS_ASSERT(types[static_cast<size_t>(i)] == node.type(i), where, ": output ", i, " is ",
              node.type(i), ", its rule gives ", types[static_cast<size_t>(i)]);
}

bool same_operation(const Node& a, const Node& b) {
  return a.op() == b.op() && a.inputs() == b.inputs() &&
         std::equal(a.attrs().begin(), a.attrs().end(), b.attrs().begin(), b.attrs().end(),
                    same_attr);
}

uint64_t operation_hash(const Node& node) {
  uint64_t hash = node.static_hash();
  for (const Attr& attr : node.attrs()) hash = hash_combine(hash, hash_attr(attr));
  for (const Value& input : node.inputs())
    hash = hash_combine(hash, input.node->id() * 64 + static_cast<uint64_t>(input.index));
  return hash;
}

}  // namespace

void verify_graph(const Graph& graph) {
  for (size_t i = 0; i < graph.inputs.size(); ++i)
    DS_ASSERT(graph.inputs[i]->op() == Op::input_ &&
                  graph.inputs[i]->attr_int("index") == static_cast<int64_t>(i),
              "graph input ", i, " is not the input node of that index");
  std::unordered_multimap<uint64_t, const Node*> seen;
  size_t position = 0;
  for (const NodePtr& node : graph.topological()) {
    const std::string where = place(*node, position++);
    if (node->op() == Op::input_)
      DS_ASSERT(std::find(graph.inputs.begin(), graph.inputs.end(), node) != graph.inputs.end(),
                where, " is not declared as an input of the graph");
    for (const Value& input : node->inputs())
      DS_ASSERT(input.index >= 0 && input.index < input.node->outputs(), where,
                " reads an output that ", op_name(input.node->op()), " does not have");
    if (node->op() == Op::fused_) {
      verify_fused(*node, where);
      continue;
    }
    verify_types(*node, where);
    const uint64_t hash = operation_hash(*node);
    const auto [first, last] = seen.equal_range(hash);
    for (auto it = first; it != last; ++it)
      DS_ASSERT(!same_operation(*it->second, *node), where, " is there twice: not interned");
    seen.emplace(hash, node.get());
  }
  for (const Value& output : graph.outputs)
    DS_ASSERT(output.node && output.index >= 0 && output.index < output.node->outputs(),
              "a graph output does not exist");
}

}  // namespace ds

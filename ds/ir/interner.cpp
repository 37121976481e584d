// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "ds/base/hash.h"
#include "ds/base/location.h"
#include "ds/ir/build.h"
#include "ds/ir/graph.h"

namespace ds {
namespace {

uint64_t node_hash(Op op, const Values& inputs, const Attrs& attrs) {
  uint64_t hash = static_cast<uint64_t>(op);
  for (const Attr& attr : attrs) hash = hash_combine(hash, hash_attr(attr));
  for (const Value& input : inputs)
    hash = hash_combine(
        hash, std::bit_cast<uintptr_t>(input.node.get()) * 64 + static_cast<uint64_t>(input.index));
  return hash;
}

bool same_node(const Node& node, Op op, const Values& inputs, const Attrs& attrs) {
  if (node.op() != op || node.inputs() != inputs || node.attrs().size() != attrs.size())
    return false;
  for (size_t i = 0; i < attrs.size(); ++i)
    if (!same_attr(node.attrs()[i], attrs[i])) return false;
  return true;
}

}  // namespace

NodePtr Interner::node(Op op, Values inputs, Attrs attrs) {
  const uint64_t hash = node_hash(op, inputs, attrs);
  const auto [first, last] = nodes_.equal_range(hash);
  for (auto it = first; it != last; ++it)
    if (same_node(*it->second, op, inputs, attrs)) return it->second;
  NodePtr made = make_node(op, std::move(inputs), std::move(attrs));
  nodes_.emplace(hash, made);
  return made;
}

NodePtr Interner::fused(Values inputs, std::shared_ptr<const Graph> body) {
  std::vector<Type> types;
  for (const Value& output : body->outputs) types.push_back(output.type());
  auto node =
      std::make_shared<const Node>(Op::fused_, std::move(inputs), Attrs{}, std::move(types));
  node->attach(std::move(body));
  return node;
}

NodePtr Interner::rebuild(const Node& old, Values inputs) {
  const LocationScope place(old.location());
  if (old.op() == Op::fused_) return fused(std::move(inputs), old.body());
  return node(old.op(), std::move(inputs), old.attrs());
}

}  // namespace ds

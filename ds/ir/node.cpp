// SPDX-License-Identifier: Apache-2.0
#include "ds/ir/node.h"

#include <atomic>
#include <ostream>

#include "ds/base/error.h"
#include "ds/base/hash.h"
#include "ds/base/location.h"

namespace ds {
namespace {

std::atomic<uint64_t> g_next_id{1};

bool any_requires_grad(Op op, const Values& inputs) {
  if (op == Op::variable_ || op == Op::released_) return true;
  if (op_info(op).has(kNoGrad)) return false;
  for (const Value& input : inputs)
    if (input.requires_grad()) return true;
  return false;
}

bool is_constant(Op op) { return op == Op::constant_ || op == Op::constant_int_; }

uint64_t hash_static(Op op, const Attrs& attrs, const std::vector<Type>& types) {
  uint64_t hash = static_cast<uint64_t>(op) + 1;
  for (size_t i = is_constant(op) ? 1 : 0; i < attrs.size(); ++i)
    hash = hash_combine(hash, hash_attr(attrs[i]));
  for (const Type& type : types) {
    hash = hash_combine(hash, static_cast<uint64_t>(type.dtype) * 31 + type.shape.size());
    for (int64_t size : type.shape) hash = hash_combine(hash, static_cast<uint64_t>(size));
  }
  return hash;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Type& type) {
  return out << type.dtype << type.shape;
}

Node::Node(Op op, Values inputs, Attrs attrs, std::vector<Type> types)
    : op_(op),
      requires_grad_(any_requires_grad(op, inputs)),
      location_(current_location()),
      id_(g_next_id.fetch_add(1, std::memory_order_relaxed)),
      static_hash_(hash_static(op, attrs, types)),
      inputs_(std::move(inputs)),
      attrs_(std::move(attrs)),
      types_(std::move(types)) {}

// Long chains are taken apart in a loop: the default recursion would overflow the stack.
Node::~Node() {
  for (const PayloadPtr& payload : realized_)
    if (payload) --payload->holders;
  thread_local std::vector<NodePtr>* pending = nullptr;
  if (pending) {
    for (Value& input : inputs_) pending->push_back(std::move(input.node));
    return;
  }
  std::vector<NodePtr> own;
  pending = &own;
  for (Value& input : inputs_) own.push_back(std::move(input.node));
  while (!own.empty()) {
    const NodePtr last = std::move(own.back());
    own.pop_back();
  }
  pending = nullptr;
}

const Attr& Node::attr(std::string_view name, AttrKind kind) const {
  const std::vector<AttrSpec>& specs = info().attrs;
  for (size_t i = 0; i < specs.size(); ++i)
    if (specs[i].name == name && specs[i].kind == kind) return attrs_[i];
  throw_internal(__FILE__, __LINE__, "attribute", str(op_name(op_), " has no attribute ", name));
}

int64_t Node::attr_int(std::string_view name) const {
  return std::get<int64_t>(attr(name, AttrKind::int_));
}
double Node::attr_float(std::string_view name) const {
  return std::get<double>(attr(name, AttrKind::float_));
}
bool Node::attr_bool(std::string_view name) const {
  return std::get<bool>(attr(name, AttrKind::bool_));
}
DType Node::attr_dtype(std::string_view name) const {
  return std::get<DType>(attr(name, AttrKind::dtype));
}
const Shape& Node::attr_ints(std::string_view name) const {
  return std::get<Shape>(attr(name, AttrKind::ints));
}
const std::string& Node::attr_str(std::string_view name) const {
  return std::get<std::string>(attr(name, AttrKind::str));
}

Value strip_markers(Value value) {
  while (value.node->info().op_class == OpClass::marker) value = Value(value.node->input(0));
  return value;
}

const PayloadPtr& Node::realized(int output) const {
  static const PayloadPtr none;
  return realized_.empty() ? none : realized_[static_cast<size_t>(output)];
}

void Node::set_realized(int output, PayloadPtr payload) const {
  if (realized_.empty()) realized_.resize(types_.size());
  PayloadPtr& slot = realized_[static_cast<size_t>(output)];
  if (slot) --slot->holders;
  slot = std::move(payload);
  if (slot) ++slot->holders;
}

}  // namespace ds

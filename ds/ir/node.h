// SPDX-License-Identifier: Apache-2.0
// Node: one recorded operation, immutable; Value: one of its outputs.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "ds/ir/attrs.h"
#include "ds/ir/op.h"

namespace ds {

class Node;
using NodePtr = std::shared_ptr<const Node>;
struct Graph;

/// Dtype and shape of a value.
struct Type {
  DType dtype = DType::f32;
  Shape shape;
  bool operator==(const Type& other) const { return dtype == other.dtype && shape == other.shape; }
};
/// Prints as f32[2,3].
std::ostream& operator<<(std::ostream& out, const Type& type);

/// What a computed value holds; the runtime's Buffer derives from it. The IR never looks inside.
class Payload {
 public:
  virtual ~Payload() = default;
  /// Nodes that are realized with this payload.
  std::atomic<int> holders{0};
};
using PayloadPtr = std::shared_ptr<Payload>;

/// One output of a node.
struct Value {
  NodePtr node;
  int index = 0;

  explicit operator bool() const { return node != nullptr; }
  bool operator==(const Value& other) const { return node == other.node && index == other.index; }
  const Type& type() const;
  DType dtype() const { return type().dtype; }
  const Shape& shape() const { return type().shape; }
  bool requires_grad() const;
};
using Values = std::vector<Value>;

/// The value that a chain of marker nodes (variable, stop_gradient, ...) stands for.
Value strip_markers(Value value);

/// An operation with its inputs, attributes and the types of its outputs. Everything that defines
/// it is fixed when it is made (make_node, ds/ir/build.h). The mutable fields are caches:
/// `realized` the computed outputs, `visit` scratch of the engine, both under the engine's lock.
class Node {
 public:
  Node(Op op, Values inputs, Attrs attrs, std::vector<Type> types);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  Op op() const { return op_; }
  const OpInfo& info() const { return op_info(op_); }
  const Values& inputs() const { return inputs_; }
  const Value& input(int i) const { return inputs_[static_cast<size_t>(i)]; }
  const Attrs& attrs() const { return attrs_; }
  int outputs() const { return static_cast<int>(types_.size()); }
  const Type& type(int output = 0) const { return types_[static_cast<size_t>(output)]; }

  /// An attribute by name; InternalError when the op has none of that name and kind.
  int64_t attr_int(std::string_view name) const;
  double attr_float(std::string_view name) const;
  bool attr_bool(std::string_view name) const;
  DType attr_dtype(std::string_view name) const;
  const Shape& attr_ints(std::string_view name) const;
  const std::string& attr_str(std::string_view name) const;

  /// Grows by one with every node made, so inputs have smaller ids than their users.
  uint64_t id() const { return id_; }
  /// Gradients may flow to some input.
  bool requires_grad() const { return requires_grad_; }
  /// Where user code recorded it: a key of ds/base/location.h; 0 when unknown.
  uint32_t location() const { return location_; }
  /// Hash of op, attributes and output types, without inputs and without a constant's value.
  uint64_t static_hash() const { return static_hash_; }

  /// Body of a fused node.
  std::shared_ptr<const Graph> body() const {
    return std::static_pointer_cast<const Graph>(attachment_);
  }
  /// What lives as long as the node: the body of a fused node, the function of a custom_gradient.
  const std::shared_ptr<const void>& attachment() const { return attachment_; }
  void attach(std::shared_ptr<const void> attachment) const { attachment_ = std::move(attachment); }

  /// The computed output, or null.
  const PayloadPtr& realized(int output) const;
  void set_realized(int output, PayloadPtr payload) const;

  mutable uint64_t visit_epoch = 0;
  mutable uint32_t visit_index = 0;

 private:
  const Attr& attr(std::string_view name, AttrKind kind) const;

  Op op_;
  bool requires_grad_ = false;
  uint32_t location_ = 0;
  uint64_t id_;
  uint64_t static_hash_;
  Values inputs_;
  Attrs attrs_;
  std::vector<Type> types_;
  mutable std::vector<PayloadPtr> realized_;
  mutable std::shared_ptr<const void> attachment_;
};

inline const Type& Value::type() const { return node->type(index); }
inline bool Value::requires_grad() const { return node->requires_grad() && is_floating(dtype()); }

}  // namespace ds

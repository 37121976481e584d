// SPDX-License-Identifier: Apache-2.0
// Tensor: a handle on a value that is recorded now and computed when it is needed.
//
// Semantics are PyTorch's: views alias their base, in-place writes show through every view, leaves
// with requires_grad collect `.grad`. Operations are free functions in ds/tensor/ops_<family>.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ds/ir/node.h"
#include "ds/runtime/device.h"

namespace ds {

struct TensorImpl;

class Tensor {
 public:
  /// An undefined tensor; only defined(), assignment and destruction are allowed.
  Tensor() = default;
  explicit Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}
  /// A new tensor that holds a graph value.
  Tensor(Value value, Device device);

  /// Copies row-major elements from host memory.
  static Tensor from_host(const void* data, const Type& type, Device device = default_device());
  /// Uses host memory in place when the device can, else copies. `memory` keeps its owner alive.
  /// Where `shared`, others see what is written to it, so updates in place get other memory.
  static Tensor from_memory(std::shared_ptr<void> memory, const Type& type,
                            Device device = default_device(), bool shared = true);
  /// A 0-d tensor whose number is an input of the plan, never a constant: a learning rate, a scale.
  static Tensor input_scalar(double value, DType dtype = DType::f32,
                             Device device = default_device());

  bool defined() const { return impl_ != nullptr; }
  DType dtype() const { return type().dtype; }
  const Shape& shape() const { return type().shape; }
  const Type& type() const;
  Device device() const;
  int dim() const { return shape().rank(); }
  /// Size of a dimension, negative counts from the end; IndexError when out of range.
  int64_t size(int64_t dim) const;
  int64_t numel() const { return shape().numel(); }

  // --- values: these compute ---
  /// The one element as a number; ValueError when there is not exactly one.
  double item() const;
  int64_t item_int() const;
  /// Row-major elements, converted to T (float, double, int64_t, int32_t, uint8_t, bool).
  template <class T>
  std::vector<T> to_vector() const;
  /// Writes numel() row-major elements of dtype() to dst.
  void copy_to_host(void* dst) const;
  /// The finished row-major memory itself where the backend's memory is the host's; the tensor's
  /// elements may be at strides (in elements) from it. Null when a copy is needed.
  struct HostView {
    std::shared_ptr<void> memory;
    void* data;
    Shape strides;
  };
  std::optional<HostView> host_view() const;
  /// Computes the value now, without waiting for the result.
  const Tensor& evaluate() const;

  // --- autograd ---
  bool requires_grad() const;
  /// StateError on a non-leaf set to false, DTypeError on a non-floating tensor set to true.
  Tensor& requires_grad_(bool on = true);
  bool is_leaf() const;
  /// The accumulated gradient; undefined when there is none.
  Tensor grad() const;
  void set_grad(const Tensor& grad);
  /// Keeps `.grad` on a non-leaf.
  void retain_grad();
  /// Adds d(this)/d(leaf) times `gradient` (1 for a scalar) to the grad of every leaf. StateError
  /// when nothing requires grad or the graph was used before without retain_graph; ShapeError when
  /// this is not a scalar and no gradient is given.
  void backward(const Tensor& gradient = {}, bool retain_graph = false,
                bool create_graph = false) const;
  /// `hook(grad)` runs when the gradient of this tensor is known; a defined result replaces it.
  /// Returns a key for remove_hook.
  uint64_t register_hook(std::function<Tensor(const Tensor&)> hook);
  void remove_hook(uint64_t key);
  /// Shares the value, without history.
  Tensor detach() const;
  /// Name of the operation that made a non-leaf, such as "mul"; empty for a leaf.
  std::string grad_op() const;
  /// Marks a module's parameter, which Python shows as nn.Parameter.
  bool is_parameter() const;
  void set_parameter(bool on);
  /// Takes the value of `other`, its dtype, shape and device included, without history; the handle
  /// and its flags stay, views of it do not follow. What `tensor.data = other` does.
  void set_data(const Tensor& other) const;
  /// Counts in-place writes to the storage.
  uint64_t version() const;

  // --- the door for operations ---
  /// The current value as the graph sees it.
  Value value() const;
  /// Replaces the elements, seen by every view and base. Types must be equal. StateError for a leaf
  /// that requires grad while gradients are recorded.
  void assign(const Value& value) const;
  const std::shared_ptr<TensorImpl>& impl() const { return impl_; }
  /// Same storage.
  bool shares_storage(const Tensor& other) const;
  bool is_view() const;

 private:
  std::shared_ptr<TensorImpl> impl_;
};

/// Gradients are recorded on this thread; true at the start.
bool grad_enabled();
void set_grad_enabled(bool on);

/// Sets the grad mode while it lives: `GradMode no_grad(false);`
class GradMode {
 public:
  explicit GradMode(bool on) : outer_(grad_enabled()) { set_grad_enabled(on); }
  ~GradMode() { set_grad_enabled(outer_); }
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool outer_;
};

/// d(sum of outputs times grad_outputs)/d(inputs), as torch.autograd.grad. An undefined tensor
/// stands for "does not depend"; StateError for it unless allow_unused.
std::vector<Tensor> gradients(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                              const std::vector<Tensor>& grad_outputs = {},
                              bool retain_graph = false, bool create_graph = false,
                              bool allow_unused = false);

/// Computes several values in one plan, without waiting.
void evaluate(const std::vector<Tensor>& tensors);

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
// Recording: how an operation over tensors becomes a node. Operations check what is theirs to check
// (argument values), promote dtypes, then call record().
#pragma once

#include <optional>

#include "ds/tensor/tensor.h"

namespace ds {

/// One output. Applies autocast by the op's traits, drops gradient paths when grad mode is off,
/// checks that the devices agree (DeviceError) and the types fit (the op's rule).
Tensor record(Op op, const std::vector<Tensor>& inputs, Attrs attrs = {});
/// All outputs.
std::vector<Tensor> record_all(Op op, const std::vector<Tensor>& inputs, Attrs attrs = {});
/// A view of `base` by one step: reshape, permute, expand, slice, as_strided.
Tensor record_view(Op op, const Tensor& base, Attrs attrs);
/// Writes `value` (converted to x's dtype and expanded to its shape) into x; returns x.
const Tensor& assign(const Tensor& x, const Tensor& value);

/// Which contractions autocast runs in a 16-bit dtype; the rest keep the dtype they are given,
/// except sensitive functions (exp, norms of vectors, losses), which run in f32.
struct Autocast {
  DType dtype = DType::bf16;
  bool convolution = true;
  bool matmul = true;
  bool attention = true;
};

/// Autocast of this thread; nothing when off.
const std::optional<Autocast>& autocast();
void set_autocast(const std::optional<Autocast>& autocast);

class AutocastScope {
 public:
  explicit AutocastScope(const std::optional<Autocast>& wanted) : outer_(autocast()) {
    set_autocast(wanted);
  }
  ~AutocastScope() { set_autocast(outer_); }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  std::optional<Autocast> outer_;
};

/// An operand: a tensor or a number. A number is "weak": it takes the tensor's dtype unless its
/// kind (bool < integer < float) is higher, as in PyTorch.
class Operand {
 public:
  /// The number 0.
  Operand() = default;
  Operand(const Tensor& tensor) : tensor_(tensor) {}
  Operand(double number) : number_(number), kind_(Kind::float_) {}
  Operand(float number) : Operand(static_cast<double>(number)) {}
  Operand(int64_t number) : integer_(number), kind_(Kind::int_) {}
  Operand(int number) : Operand(static_cast<int64_t>(number)) {}
  Operand(bool number) : integer_(number), kind_(Kind::bool_) {}

  bool is_number() const { return !tensor_.defined(); }
  const Tensor& tensor() const { return tensor_; }
  bool is_float() const { return kind_ == Kind::float_; }
  bool is_bool() const { return kind_ == Kind::bool_; }
  double as_double() const { return is_float() ? number_ : static_cast<double>(integer_); }
  /// The number as a 0-d constant of a dtype.
  Tensor constant(DType dtype, Device device) const;

 private:
  enum class Kind { bool_, int_, float_ };
  Tensor tensor_;
  double number_ = 0;
  int64_t integer_ = 0;
  Kind kind_ = Kind::int_;
};

/// Common dtype of operands by PyTorch's rule: dimensioned tensors, then 0-d tensors, then numbers,
/// a later category counting only when its kind is higher.
DType result_dtype(const std::vector<Operand>& operands);
/// The operand as a tensor of `dtype`, on the device of `like`.
Tensor as_tensor(const Operand& operand, DType dtype, Device device);
/// Device of the first operand that is a tensor; the default device when all are numbers.
Device operand_device(const std::vector<Operand>& operands);
/// `x` in another dtype, differentiable; x itself when it has it.
Tensor to_dtype(const Tensor& x, DType dtype);
/// `x` on another device, without history; x itself when it is there. Computes x.
Tensor to_device(const Tensor& x, Device device);
/// f32 (the default dtype) for integers and bool, else x's own: what sqrt and mean compute in.
Tensor to_floating(const Tensor& x);
DType default_dtype();
void set_default_dtype(DType dtype);

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/record.h"

#include <algorithm>

#include "ds/base/error.h"
#include "ds/base/options.h"
#include "ds/ir/build.h"
#include "ds/tensor/tensor_impl.h"

namespace ds {
namespace {

thread_local bool t_grad_enabled = true;
thread_local std::optional<Autocast> t_autocast;
DType g_default_dtype = DType::f32;

bool runs_low(const Autocast& autocast, OpClass op_class, Op op) {
  if (op_class == OpClass::attention) return autocast.attention;
  return op == Op::matmul_ ? autocast.matmul : autocast.convolution;
}

/// The dtype autocast wants the floating inputs of an op in; nothing when it does not care.
std::optional<DType> autocast_target(Op op) {
  if (!t_autocast) return std::nullopt;
  const OpInfo& info = op_info(op);
  if (info.has(kAutocastLow) && runs_low(*t_autocast, info.op_class, op)) return t_autocast->dtype;
  if (info.has(kAutocastF32)) return DType::f32;
  return std::nullopt;
}

/// f32 when inputs of an op that does not care are of several floating dtypes: 16-bit values meet
/// f32 ones, and the wider type wins as in promotion.
std::optional<DType> common_target(Op op, const std::vector<Tensor>& inputs) {
  const OpInfo& info = op_info(op);
  if (!info.has(kAutocastLow) || inputs.size() < 2) return std::nullopt;
  for (const Tensor& input : inputs)
    if (input.dtype() != inputs[0].dtype() && is_floating(input.dtype()) &&
        is_floating(inputs[0].dtype()))
      return promote(input.dtype(), inputs[0].dtype());
  return std::nullopt;
}

Value input_value(const Tensor& tensor, std::optional<DType> target) {
  Value value = tensor.value();
  if (!t_grad_enabled) value = detached(value);
  const bool castable = value.dtype() == DType::f32 || is_half(value.dtype());
  return target && castable ? make_cast(value, *target) : value;
}

/// Category of an operand in promotion: 0 dimensioned tensor, 1 0-d tensor, 2 number.
int category(const Operand& operand) {
  if (operand.is_number()) return 2;
  return operand.tensor().dim() == 0 ? 1 : 0;
}

int kind_rank(DType dtype) { return is_floating(dtype) ? 2 : is_integer(dtype) ? 1 : 0; }

}  // namespace

bool grad_enabled() { return t_grad_enabled; }
void set_grad_enabled(bool on) { t_grad_enabled = on; }
const std::optional<Autocast>& autocast() { return t_autocast; }
void set_autocast(const std::optional<Autocast>& autocast) { t_autocast = autocast; }
DType default_dtype() { return g_default_dtype; }
void set_default_dtype(DType dtype) {
  DS_CHECK(is_floating(dtype), DTypeError, "set_default_dtype: ", dtype,
           " is not a floating dtype");
  g_default_dtype = dtype;
}

std::vector<Tensor> record_all(Op op, const std::vector<Tensor>& inputs, Attrs attrs) {
  std::optional<DType> target = autocast_target(op);
  if (t_autocast && !target) target = common_target(op, inputs);
  Values values;
  values.reserve(inputs.size());
  Device device = inputs.empty() ? default_device() : inputs[0].device();
  for (const Tensor& input : inputs) {
    DS_CHECK(input.device() == device, DeviceError, op_name(op), ": inputs are on ",
             device_name(device), " and ", device_name(input.device()), "; move them with to()");
    values.push_back(input_value(input, target));
  }
  const NodePtr node = make_node(op, std::move(values), std::move(attrs));
  std::vector<Tensor> outputs;
  for (int i = 0; i < node->outputs(); ++i) outputs.emplace_back(Value{node, i}, device);
  if (options().eager) {
    ds::evaluate(outputs);
    for (const Tensor& output : outputs) buffer_of(strip_markers(output.value()))->wait();
  }
  bound_growth();
  return outputs;
}

Tensor record(Op op, const std::vector<Tensor>& inputs, Attrs attrs) {
  return std::move(record_all(op, inputs, std::move(attrs))[0]);
}

Tensor record_view(Op op, const Tensor& base, Attrs attrs) {
  const Tensor from = !t_grad_enabled && base.requires_grad() ? base.detach() : base;
  Value parent = from.value();
  Value value = make(op, {parent}, attrs);
  return Tensor(std::make_shared<TensorImpl>(from.impl(), op, std::move(attrs), std::move(value),
                                             std::move(parent)));
}

const Tensor& assign(const Tensor& x, const Tensor& value) {
  const Tensor converted = to_dtype(value, x.dtype());
  DS_CHECK(broadcast_shapes(x.shape(), value.shape(), "in-place write") == x.shape(), ShapeError,
           "in-place write: a value ", value.type(), " does not fit into ", x.type());
  Value next = make_expand(converted.value(), x.shape());
  x.assign(t_grad_enabled ? next : detached(next));
  return x;
}

Tensor Operand::constant(DType dtype, Device device) const {
  if (kind_ != Kind::float_ && !is_floating(dtype))
    return {make(Op::constant_int_, {}, {integer_, dtype}), device};
  return {make_constant(as_double(), dtype), device};
}

DType result_dtype(const std::vector<Operand>& operands) {
  std::optional<DType> by_category[3];
  for (const Operand& operand : operands) {
    std::optional<DType>& slot = by_category[category(operand)];
    const DType dtype = !operand.is_number() ? operand.tensor().dtype()
                        : operand.is_float() ? default_dtype()
                        : operand.is_bool()  ? DType::bool_
                                             : DType::i64;
    slot = slot ? promote(*slot, dtype) : dtype;
  }
  std::optional<DType> result;
  for (const std::optional<DType>& dtype : by_category) {
    if (!dtype) continue;
    if (!result)
      result = dtype;
    else if (kind_rank(*dtype) > kind_rank(*result))
      result = promote(*result, *dtype);
  }
  return *result;
}

Tensor as_tensor(const Operand& operand, DType dtype, Device device) {
  return operand.is_number() ? operand.constant(dtype, device) : to_dtype(operand.tensor(), dtype);
}

Device operand_device(const std::vector<Operand>& operands) {
  for (const Operand& operand : operands)
    if (!operand.is_number()) return operand.tensor().device();
  return default_device();
}

Tensor to_dtype(const Tensor& x, DType dtype) {
  return x.dtype() == dtype ? x : record(Op::cast_, {x}, {dtype});
}

Tensor to_device(const Tensor& x, Device device) {
  if (x.device() == device) return x;
  std::vector<char> bytes(std::max<size_t>(type_bytes(x.type()), 1));
  x.copy_to_host(bytes.data());
  return Tensor::from_host(bytes.data(), x.type(), device);
}

Tensor to_floating(const Tensor& x) {
  return is_floating(x.dtype()) ? x : to_dtype(x, default_dtype());
}

}  // namespace ds

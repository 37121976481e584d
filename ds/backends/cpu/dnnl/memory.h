// SPDX-License-Identifier: Apache-2.0
// How the oneDNN wrappers describe memory: strided tensors, and opaque packed layouts for weights.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ds/runtime/buffer.h"

namespace ds::cpu {

/// A strided tensor in memory. Strides count elements; 0 repeats a dimension.
struct TensorDesc {
  DType dtype = DType::f32;
  Shape dims;
  Shape strides;
};

/// True for dtypes that oneDNN has convolution and matmul in: f32, bf16, f16.
bool dnnl_dtype(DType dtype);
/// Row-major strides for `dims`.
TensorDesc row_major(DType dtype, const Shape& dims);
/// Strides for [N, C, spatial...] with the channels innermost.
TensorDesc channels_last(DType dtype, const Shape& dims);
/// True when a tensor [N, C, spatial...] lies channels-last without gaps. Dimensions of size 1 have
/// no say; a tensor that is also row-major counts.
bool is_channels_last(const TensorDesc& desc);
bool is_row_major(const TensorDesc& desc);

/// A layout that a oneDNN kernel wants its weights in: an opaque descriptor that can be hashed and
/// compared, so that packed weights can persist between programs of one process.
class PackedLayout final : public Layout {
 public:
  struct Desc;  // oneDNN's memory descriptor
  explicit PackedLayout(std::shared_ptr<const Desc> desc);
  size_t nbytes() const override { return bytes_; }
  uint64_t hash() const override { return hash_; }
  bool equals(const Layout& other) const override;
  std::string text() const override { return text_; }
  const Desc& desc() const { return *desc_; }

 private:
  std::shared_ptr<const Desc> desc_;
  size_t bytes_;
  uint64_t hash_;
  std::string text_;
};
using PackedLayoutPtr = std::shared_ptr<const PackedLayout>;

/// An operation applied to the result of a convolution or matmul before it is stored. relu and clip
/// turn NaN into a number; the processor's flag of invalid operations is raised then
/// (ds/backends/cpu/invalid_flag.h).
struct PostOp {
  enum class Kind {
    add_dst,
    scale,
    add,
    mul,
    gelu,
    gelu_tanh,
    tanh,
    sigmoid,
    silu,
    hardswish,
    relu,
    clip
  };
  Kind kind;
  float alpha = 1;          // scale: the factor; clip: the least result
  float beta = 0;           // clip: the greatest result
  TensorDesc operand = {};  // add, mul: broadcastable to the result, given to execute()
};

}  // namespace ds::cpu

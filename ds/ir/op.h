// SPDX-License-Identifier: Apache-2.0
// The operations of the graph and the facts of their rows in ops.def.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace ds {

enum class Op : uint8_t {
#define DS_OP(name, ...) name##_,
#include "ds/ir/ops.def"
#undef DS_OP
};
inline constexpr int kOpCount = 0
#define DS_OP(...) +1
#include "ds/ir/ops.def"
#undef DS_OP
    ;

enum class OpClass : uint8_t {
  source,
  unary,
  test,
  binary,
  compare,
  select,
  reduce,
  scan,
  movement,
  index,
  random,
  contraction,
  pool,
  norm,
  softmax,
  attention,
  recurrent,
  linalg,
  marker,
  compound
};

/// Traits of an op, combined as bits.
enum OpTrait : uint32_t {
  kFusable = 1,       // elementwise, may join a fused chain
  kCommutative = 2,   // binary with f(a, b) == f(b, a)
  kNoGrad = 4,        // no gradient flows through
  kAutocastLow = 8,   // runs in the 16-bit type inside autocast
  kAutocastF32 = 16,  // runs in f32 inside autocast
};

inline constexpr int kMany = 1 << 20;

enum class AttrKind : uint8_t { int_, float_, bool_, dtype, ints, str };
struct AttrSpec {
  std::string_view name;
  AttrKind kind;
};

struct OpInfo {
  std::string_view name;
  int min_inputs;
  int max_inputs;
  int outputs;
  OpClass op_class;
  uint32_t traits;
  std::vector<AttrSpec> attrs;
  std::string_view doc;
  bool has(OpTrait trait) const { return (traits & trait) != 0; }
};

/// The row of an op.
const OpInfo& op_info(Op op);
inline std::string_view op_name(Op op) { return op_info(op).name; }
/// The op of a name; ValueError when there is none.
Op parse_op(std::string_view name);

}  // namespace ds

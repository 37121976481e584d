// SPDX-License-Identifier: Apache-2.0
// Vector kernels over tiles: short runs of f32 that stay in the first-level cache. A fused
// elementwise chain is a list of these, so fusion needs no compiler on the user's machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ds/ir/dtype.h"

namespace ds::cpu {

/// Most elements of one tile.
inline constexpr size_t kTileSize = 1024;
/// Floats an operand must hold when it is a splat: as many as the widest vector has lanes.
inline constexpr size_t kSplatSize = 16;

// Truth values in tiles are 0 and 1; operands of logical ops and conditions are true when nonzero
// (NaN included).
// clang-format off
#define DS_TILE_UNARY_OPS(X) \
  X(copy) X(neg) X(abs) X(sign) X(exp) X(exp2) X(expm1) X(log) X(log2) X(log10) X(log1p) X(sqrt) \
  X(rsqrt) X(reciprocal) X(square) X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) X(sinh) X(cosh) \
  X(tanh) X(asinh) X(acosh) X(atanh) X(erf) X(erfc) X(erfinv) X(lgamma) X(digamma) X(trigamma) \
  X(sigmoid) X(relu) X(gelu) X(gelu_tanh) X(silu) X(gelu_slope) X(gelu_tanh_slope) X(silu_slope) \
  X(softplus) X(floor) X(ceil) X(round) X(trunc) X(isnan) X(isinf) X(isfinite) \
  X(logical_not) X(to_bool) X(round_f16) X(round_bf16)
#define DS_TILE_BINARY_OPS(X) \
  X(add) X(sub) X(mul) X(div) X(pow) X(maximum) X(minimum) X(fmod) X(remainder) X(floor_divide) \
  X(trunc_divide) X(atan2) X(copysign) X(nextafter) X(eq) X(ne) X(lt) X(le) X(gt) X(ge) \
  X(logical_and) X(logical_or) X(logical_xor)
#define DS_TILE_TERNARY_OPS(X) X(where) X(fma) X(clamp)
// clang-format on

/// Named as the graph ops they compute, with PyTorch's results for special values. Beyond those:
/// to_bool is x != 0, round_f16 and round_bf16 round to the 16-bit format, fma is a * b + c, and
/// clamp is min(max(a, b), c) with NaN kept.
enum class TileOp : uint8_t {
#define DS_TILE_ENUMERATOR(name) name,
  DS_TILE_UNARY_OPS(DS_TILE_ENUMERATOR) DS_TILE_BINARY_OPS(DS_TILE_ENUMERATOR)
      DS_TILE_TERNARY_OPS(DS_TILE_ENUMERATOR)
#undef DS_TILE_ENUMERATOR
};
#define DS_TILE_COUNT(name) +1
inline constexpr int kTileUnaryOps = 0 DS_TILE_UNARY_OPS(DS_TILE_COUNT);
inline constexpr int kTileBinaryOps = 0 DS_TILE_BINARY_OPS(DS_TILE_COUNT);
inline constexpr int kTileTernaryOps = 0 DS_TILE_TERNARY_OPS(DS_TILE_COUNT);
inline constexpr int kTileOps = kTileUnaryOps + kTileBinaryOps + kTileTernaryOps;
#undef DS_TILE_COUNT

/// 1, 2 or 3.
int tile_arity(TileOp op);
/// "add"; the spelling of the enumerator.
std::string_view tile_name(TileOp op);

/// out[i] = op(a[i], b[i], c[i]) for i < n, any n; operands beyond the arity are not read and may
/// be null. Bit 0, 1, 2 of `splat` says that a, b, c is one value repeated kSplatSize times that
/// stands for all n. out may be one of the operands that is not a splat.
using TileFn = void (*)(const float* a, const float* b, const float* c, float* out, size_t n,
                        unsigned splat);

/// The kernel of an op for this processor.
TileFn tile_fn(TileOp op);

void tile_unary(TileOp op, const float* a, float* out, size_t n);
void tile_binary(TileOp op, const float* a, const float* b, float* out, size_t n);
void tile_ternary(TileOp op, const float* a, const float* b, const float* c, float* out, size_t n);

/// out[i] = src[i * stride] as f32, for any dtype (bool gives 0 or 1; f64, i32 and i64 round).
/// stride counts elements and may be 0 or negative.
void tile_load(DType dtype, const void* src, int64_t stride, float* out, size_t n);

/// dst[i * stride] = src[i] converted: halves round to nearest even, integers truncate towards zero
/// (values outside i64 saturate, NaN gives 0, narrower integers keep the low bits), bool is
/// src[i] != 0.
void tile_store(DType dtype, const float* src, void* dst, int64_t stride, size_t n);

}  // namespace ds::cpu

// SPDX-License-Identifier: Apache-2.0
// Pooling backward: gradients are summed in f32, in diff_src itself or, for 16-bit types, in a
// buffer of a sample's block of channels.
#include <algorithm>

#include "ds/backends/cpu/kernels/pool.h"
#include "ds/backends/cpu/kernels/tile.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::cpu {
namespace {

/// A piece of work: `width` neighbouring elements at each position of a plane. Channels first it is
/// one channel (width 1); channels last a block of channels of one sample.
struct Piece {
  int64_t src, dst;  ///< offset of the piece's first element
  int64_t step;      ///< elements between positions
  int64_t width;
};

/// body(piece, sums) for every piece, where sums is zeroed f32 memory with element j of position p
/// at p * pitch + j; it is stored to diff_src afterwards.
template <class Body>
void each_piece(DType dtype, const PoolShape& s, void* diff_src, Body body) {
  constexpr int64_t kChannels = 64;
  const int64_t area = s.src_area(), dst_area = s.dst_area();
  if (s.n * s.c * area == 0) return;
  const int64_t blocks = s.channels_last ? (s.c + kChannels - 1) / kChannels : s.c;
  const int64_t size = static_cast<int64_t>(dtype_size(dtype));
  parallel_for(s.n * blocks, s.channels_last ? 1 : std::max<int64_t>(1, 8192 / area),
               [&](int64_t begin, int64_t end) {
                 std::vector<float> sums;
                 for (int64_t u = begin; u < end; ++u) {
                   const int64_t sample = u / blocks, block = u % blocks;
                   Piece piece;
                   if (s.channels_last) {
                     piece = {sample * area * s.c + block * kChannels,
                              sample * dst_area * s.c + block * kChannels, s.c,
                              std::min(kChannels, s.c - block * kChannels)};
                   } else {
                     piece = {u * area, u * dst_area, 1, 1};
                   }
                   sums.assign(static_cast<size_t>(area * piece.width), 0.0f);
                   body(piece, sums.data());
                   char* to = static_cast<char*>(diff_src) + piece.src * size;
                   if (piece.step == piece.width) {
                     tile_store(dtype, sums.data(), to, 1, sums.size());
                     continue;
                   }
                   for (int64_t p = 0; p < area; ++p) {
                     tile_store(dtype, sums.data() + p * piece.width, to + p * piece.step * size, 1,
                                static_cast<size_t>(piece.width));
                   }
                 }
               });
}

/// The gradient of one output position, as floats in `buffer`.
void load_position(DType dtype, const void* diff_dst, const Piece& piece, int64_t position,
                   float* buffer) {
  const int64_t offset = piece.dst + position * piece.step;
  tile_load(dtype,
            static_cast<const char*>(diff_dst) + offset * static_cast<int64_t>(dtype_size(dtype)),
            1, buffer, static_cast<size_t>(piece.width));
}

}  // namespace

void max_pool_backward(DType dtype, const void* diff_dst, const int64_t* indices,
                       const PoolShape& shape, void* diff_src) {
  const int64_t area = shape.src_area(), dst_area = shape.dst_area();
  each_piece(dtype, shape, diff_src, [&](const Piece& piece, float* sums) {
    const auto add = [&](int64_t at, int64_t lane, float value) {
      const int64_t to = indices[at];
      DS_CHECK(to >= 0 && to < area, IndexError, "max_pool_backward: index ", to, " at element ",
               at, " is out of range for a plane of ", area, " elements");
      sums[to * piece.width + lane] += value;
    };
    if (piece.width == 1 && piece.step == 1) {
      float buffer[256];
      for (int64_t o = 0; o < dst_area; o += 256) {
        const int64_t len = std::min<int64_t>(256, dst_area - o);
        tile_load(dtype,
                  static_cast<const char*>(diff_dst) +
                      (piece.dst + o) * static_cast<int64_t>(dtype_size(dtype)),
                  1, buffer, static_cast<size_t>(len));
        for (int64_t i = 0; i < len; ++i) add(piece.dst + o + i, 0, buffer[i]);
      }
      return;
    }
    float diff[64];
    for (int64_t o = 0; o < dst_area; ++o) {
      load_position(dtype, diff_dst, piece, o, diff);
      for (int64_t i = 0; i < piece.width; ++i) add(piece.dst + o * piece.step + i, i, diff[i]);
    }
  });
}

void avg_pool_backward(DType dtype, const void* diff_dst, const PoolShape& shape, PoolMean mean,
                       void* diff_src) {
  const auto divisor = [&](const PoolWindow& z, const PoolWindow& y, const PoolWindow& x) {
    if (mean.divisor != 0) return static_cast<float>(mean.divisor);
    if (mean.count_include_pad) return static_cast<float>(z.padded * y.padded * x.padded);
    return static_cast<float>(std::max<int64_t>(1, z.count() * y.count() * x.count()));
  };
  const auto width = static_cast<int64_t>(shape.windows[2].size());
  each_piece(dtype, shape, diff_src, [&](const Piece& piece, float* sums) {
    if (piece.width == 1 && piece.step == 1) {  // a plane, row by row
      std::vector<float> row(static_cast<size_t>(width));
      int64_t o = piece.dst;
      for (const PoolWindow& z : shape.windows[0]) {
        for (const PoolWindow& y : shape.windows[1]) {
          tile_load(
              dtype,
              static_cast<const char*>(diff_dst) + o * static_cast<int64_t>(dtype_size(dtype)), 1,
              row.data(), row.size());
          o += width;
          for (int64_t i = 0; i < width; ++i)
            row[static_cast<size_t>(i)] /= divisor(z, y, shape.windows[2][static_cast<size_t>(i)]);
          for (int64_t d = z.begin; d < z.end; d += z.step) {
            for (int64_t h = y.begin; h < y.end; h += y.step) {
              float* to = sums + (d * shape.src[1] + h) * shape.src[2];
              for (int64_t i = 0; i < width; ++i) {
                const PoolWindow& x = shape.windows[2][static_cast<size_t>(i)];
                for (int64_t w = x.begin; w < x.end; w += x.step)
                  to[w] += row[static_cast<size_t>(i)];
              }
            }
          }
        }
      }
      return;
    }
    float share[64];
    int64_t o = 0;
    for (const PoolWindow& z : shape.windows[0]) {
      for (const PoolWindow& y : shape.windows[1]) {
        for (const PoolWindow& x : shape.windows[2]) {
          load_position(dtype, diff_dst, piece, o++, share);
          const float by = divisor(z, y, x);
          for (int64_t i = 0; i < piece.width; ++i) share[i] /= by;
          for (int64_t d = z.begin; d < z.end; d += z.step) {
            for (int64_t h = y.begin; h < y.end; h += y.step) {
              const int64_t row = (d * shape.src[1] + h) * shape.src[2];
              for (int64_t w = x.begin; w < x.end; w += x.step) {
                float* to = sums + (row + w) * piece.width;
                for (int64_t i = 0; i < piece.width; ++i) to[i] += share[i];
              }
            }
          }
        }
      }
    }
  });
}

}  // namespace ds::cpu

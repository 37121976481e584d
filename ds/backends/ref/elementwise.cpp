// SPDX-License-Identifier: Apache-2.0
// Sources and elementwise ops: tiles are widened, computed and narrowed.
#include <cstring>

#include "ds/backends/ref/elementwise_math.h"
#include "ds/backends/ref/families.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

/// Runs `f` on tiles of all inputs, broadcast to the output: f(n, tiles, out).
template <class W, int kInputs, class F>
void map_tiles(const KernelArgs& args, const Walk& walk, F f) {
  std::array<Load<W>, kInputs> load;
  for (int i = 0; i < kInputs; ++i) load[i] = loader<W>(args.in_dtype(i));
  const Store<W> store = storer<W>(args.out_dtype());
  parallel_for(args.out_shape().numel(), kGrain, [&](int64_t begin, int64_t end) {
    std::array<std::array<W, kTile>, kInputs> tiles;
    std::array<W, kTile> out;
    for (int64_t at = begin; at < end; at += kTile) {
      const int64_t n = std::min(kTile, end - at);
      walk.run(at, at + n, [&](const auto& offsets, const auto& steps, int64_t run, int64_t done) {
        for (int i = 0; i < kInputs; ++i)
          load[i](args.in(i), offsets[i], steps[i], run, tiles[i].data() + done);
      });
      f(n, tiles, out.data());
      store(args.out(), at, 1, n, out.data());
    }
  });
}

template <class W>
void run_unary(const KernelArgs& args, UnaryRun<W> f) {
  const Walk walk(args.out_shape(), {contiguous_strides(args.out_shape())});
  map_tiles<W, 1>(args, walk, [f](int64_t n, const auto& in, W* out) { f(n, in[0].data(), out); });
}

template <class W>
void run_binary(const KernelArgs& args, BinaryRun<W> f) {
  const Shape& shape = args.out_shape();
  const Walk walk(shape, {broadcast_strides(args.in_shape(0), shape),
                          broadcast_strides(args.in_shape(1), shape)});
  map_tiles<W, 2>(args, walk, [f](int64_t n, const auto& in, W* out) {
    f(n, in[0].data(), in[1].data(), out);
  });
}

/// min(max(x, low), high) by the functions of two operands.
template <class W>
void run_clamp(const KernelArgs& args, BinaryRun<W> larger, BinaryRun<W> smaller) {
  const Shape& shape = args.out_shape();
  const Walk walk(shape, {broadcast_strides(args.in_shape(0), shape),
                          broadcast_strides(args.in_shape(1), shape),
                          broadcast_strides(args.in_shape(2), shape)});
  map_tiles<W, 3>(args, walk, [=](int64_t n, const auto& in, W* out) {
    larger(n, in[0].data(), in[1].data(), out);
    smaller(n, out, in[2].data(), out);
  });
}

/// Chooses by bytes and not by value: -0 and the payload of a NaN pass unchanged.
template <class Word>
void run_where(const KernelArgs& args) {
  const Shape& shape = args.out_shape();
  const Walk walk(shape, {broadcast_strides(args.in_shape(0), shape),
                          broadcast_strides(args.in_shape(1), shape),
                          broadcast_strides(args.in_shape(2), shape)});
  const auto* condition = static_cast<const bool*>(args.in(0));
  const auto* yes = static_cast<const Word*>(args.in(1));
  const auto* no = static_cast<const Word*>(args.in(2));
  auto* out = static_cast<Word*>(args.out());
  parallel_for(shape.numel(), kGrain, [&](int64_t begin, int64_t end) {
    walk.run(begin, end, [&](const auto& at, const auto& step, int64_t n, int64_t done) {
      for (int64_t i = 0; i < n; ++i)
        out[begin + done + i] =
            condition[at[0] + i * step[0]] ? yes[at[1] + i * step[1]] : no[at[2] + i * step[2]];
    });
  });
}

}  // namespace

void constant_kernel(const KernelArgs& args) {
  if (args.node.op() == Op::constant_int_) {
    const int64_t value = args.node.attr_int("value");
    storer<int64_t>(args.out_dtype())(args.out(), 0, 1, 1, &value);
  } else {
    const double value = args.node.attr_float("value");
    storer<double>(args.out_dtype())(args.out(), 0, 1, 1, &value);
  }
}

void iota_kernel(const KernelArgs& args) {
  const Store<int64_t> store = storer<int64_t>(args.out_dtype());
  const int64_t size = args.out_shape().numel();
  for (int64_t i = 0; i < size; ++i) store(args.out(), i, 1, 1, &i);
}

void unary_kernel(const KernelArgs& args) {
  const Op op = args.node.op();
  if (is_floating(args.in_dtype(0)))
    run_unary<double>(args, unary_float(op));
  else
    run_unary<int64_t>(args, unary_int(op, args.in_dtype(0)));
}

void cast_kernel(const KernelArgs& args) {
  if (args.in_dtype(0) == args.out_dtype()) {
    const size_t bytes =
        static_cast<size_t>(args.out_shape().numel()) * dtype_size(args.out_dtype());
    if (bytes > 0) std::memcpy(args.out(), args.in(0), bytes);
    return;
  }
  dispatch_wide(args.in_dtype(0), [&](auto wide) {
    using W = decltype(wide);
    run_unary<W>(args, [](int64_t n, const W* a, W* out) { std::copy(a, a + n, out); });
  });
}

void binary_kernel(const KernelArgs& args) {
  const Op op = args.node.op();
  const DType dtype = args.in_dtype(0);
  if (is_floating(dtype))
    run_binary<double>(args, binary_float(op, dtype));
  else
    run_binary<int64_t>(args, binary_int(op, dtype));
}

void clamp_kernel(const KernelArgs& args) {
  const DType dtype = args.in_dtype(0);
  if (is_floating(dtype))
    run_clamp<double>(args, binary_float(Op::maximum_, dtype), binary_float(Op::minimum_, dtype));
  else
    run_clamp<int64_t>(args, binary_int(Op::maximum_, dtype), binary_int(Op::minimum_, dtype));
}

void where_kernel(const KernelArgs& args) {
  switch (dtype_size(args.out_dtype())) {
    case 1: return run_where<uint8_t>(args);
    case 2: return run_where<uint16_t>(args);
    case 4: return run_where<uint32_t>(args);
    default: return run_where<uint64_t>(args);
  }
}

}  // namespace ds::ref

// SPDX-License-Identifier: Apache-2.0
// Random ops. ds/base/philox.h defines every number.
#include "ds/backends/ref/families.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/parallel.h"
#include "ds/base/philox.h"

namespace ds::ref {
namespace {

PhiloxStream stream_of(const KernelArgs& args, int state_input) {
  return {static_cast<const int64_t*>(args.in(state_input)), args.node.attr_int("call")};
}

/// Calls f(i, block, place of element i in the block) for all elements.
template <int64_t kPerBlock, class F>
void for_each_element(const PhiloxStream& stream, int64_t count, F f) {
  const int64_t blocks = (count + kPerBlock - 1) / kPerBlock;
  parallel_for(blocks, kGrain / 16, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const PhiloxBlock block = stream.block(static_cast<uint64_t>(b));
      const int64_t last = std::min(count, (b + 1) * kPerBlock);
      for (int64_t i = b * kPerBlock; i < last; ++i)
        f(i, block, static_cast<size_t>(i - b * kPerBlock));
    }
  });
}

uint64_t bits_at(const PhiloxBlock& block, size_t place) {
  return philox_join(block[2 * place], block[2 * place + 1]);
}

template <class T, class Convert>
void fill_uniform(const KernelArgs& args, Convert convert) {
  T* out = static_cast<T*>(args.out());
  for_each_element<kPhiloxPerBlock32>(stream_of(args, 0), args.out_shape().numel(),
                                      [&](int64_t i, const PhiloxBlock& block, size_t place) {
                                        out[i] = T(convert(block[place]));
                                      });
}

void random_uniform(const KernelArgs& args) {
  switch (args.out_dtype()) {
    case DType::f16: return fill_uniform<f16>(args, philox_uniform_f16);
    case DType::bf16: return fill_uniform<bf16>(args, philox_uniform_bf16);
    case DType::f32: return fill_uniform<float>(args, philox_uniform_f32);
    default: break;
  }
  auto* out = static_cast<double*>(args.out());
  for_each_element<kPhiloxPerBlock64>(stream_of(args, 0), args.out_shape().numel(),
                                      [&](int64_t i, const PhiloxBlock& block, size_t place) {
                                        out[i] = philox_uniform_f64(bits_at(block, place));
                                      });
}

template <class T>
void fill_normal(const KernelArgs& args) {
  T* out = static_cast<T*>(args.out());
  for_each_element<kPhiloxPerBlock32>(
      stream_of(args, 0), args.out_shape().numel(),
      [&](int64_t i, const PhiloxBlock& block, size_t place) {
        const size_t pair = place / 2 * 2;
        const NormalPair normal = philox_normal_32(block[pair], block[pair + 1]);
        out[i] = narrow<T>(place == pair ? normal.first : normal.second);
      });
}

void random_normal(const KernelArgs& args) {
  switch (args.out_dtype()) {
    case DType::f16: return fill_normal<f16>(args);
    case DType::bf16: return fill_normal<bf16>(args);
    case DType::f32: return fill_normal<float>(args);
    default: break;
  }
  auto* out = static_cast<double*>(args.out());
  for_each_element<kPhiloxPerBlock64>(stream_of(args, 0), args.out_shape().numel(),
                                      [&](int64_t i, const PhiloxBlock& block, size_t place) {
                                        const NormalPair normal =
                                            philox_normal_64(bits_at(block, 0), bits_at(block, 1));
                                        out[i] = place == 0 ? normal.first : normal.second;
                                      });
}

void random_bits(const KernelArgs& args) {
  auto* out = static_cast<int64_t*>(args.out());
  for_each_element<kPhiloxPerBlock64>(stream_of(args, 0), args.out_shape().numel(),
                                      [&](int64_t i, const PhiloxBlock& block, size_t place) {
                                        out[i] = philox_bits(bits_at(block, place));
                                      });
}

/// A dropped element is 0 whatever it was, NaN included.
void dropout(const KernelArgs& args) {
  const double p = args.node.attr_float("p");
  const uint32_t threshold = philox_dropout_threshold(p);
  const double scale = 1 / (1 - p);  // never used when p is 1
  dispatch(args.out_dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T* src = static_cast<const T*>(args.in(0));
    T* out = static_cast<T*>(args.out());
    for_each_element<kPhiloxPerBlock32>(stream_of(args, 1), args.out_shape().numel(),
                                        [&](int64_t i, const PhiloxBlock& block, size_t place) {
                                          const bool keep = block[place] >> 8 >= threshold;
                                          out[i] =
                                              keep ? narrow<T>(widen<double>(src[i]) * scale) : T{};
                                        });
  });
}

}  // namespace

Kernel random_kernel(Op op) {
  switch (op) {
    case Op::random_uniform_: return &random_uniform;
    case Op::random_normal_: return &random_normal;
    case Op::random_bits_: return &random_bits;
    case Op::dropout_: return &dropout;
    default: return nullptr;
  }
}

}  // namespace ds::ref

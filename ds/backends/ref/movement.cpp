// SPDX-License-Identifier: Apache-2.0
// Ops that only move elements. All are copies between two strided views; elements are copied as
// words of their size, whatever they mean.
#include <cstring>

#include "ds/backends/ref/families.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

/// A view of some memory in elements.
struct View {
  Shape strides;
  int64_t offset = 0;
};

template <class Word>
void copy_words(const Shape& shape, const void* src, const View& from, void* dst, const View& to,
                bool parallel) {
  const Walk walk(shape, {from.strides, to.strides});
  const Word* read = static_cast<const Word*>(src) + from.offset;
  Word* write = static_cast<Word*>(dst) + to.offset;
  const auto copy = [&](int64_t begin, int64_t end) {
    walk.run(begin, end, [&](const auto& at, const auto& step, int64_t n, int64_t) {
      const Word* a = read + at[0];
      Word* b = write + at[1];
      if (step[0] == 1 && step[1] == 1) {
        std::memcpy(b, a, static_cast<size_t>(n) * sizeof(Word));
      } else {
        for (int64_t i = 0; i < n; ++i) b[i * step[1]] = a[i * step[0]];
      }
    });
  };
  if (parallel)
    parallel_for(shape.numel(), kGrain, copy);
  else
    copy(0, shape.numel());
}

/// Copies every element of `shape`. Not parallel where elements of `to` overlap: the last one in
/// row-major order stays.
void copy_view(DType dtype, const Shape& shape, const void* src, const View& from, void* dst,
               const View& to, bool parallel = true) {
  switch (dtype_size(dtype)) {
    case 1: return copy_words<uint8_t>(shape, src, from, dst, to, parallel);
    case 2: return copy_words<uint16_t>(shape, src, from, dst, to, parallel);
    case 4: return copy_words<uint32_t>(shape, src, from, dst, to, parallel);
    default: return copy_words<uint64_t>(shape, src, from, dst, to, parallel);
  }
}

/// The output is a view of the input.
void gather_view(const KernelArgs& args, const View& from) {
  copy_view(args.out_dtype(), args.out_shape(), args.in(0), from, args.out(),
            {contiguous_strides(args.out_shape()), 0});
}

void copy_whole(const KernelArgs& args) {
  const Shape flat{args.out_shape().numel()};
  copy_view(args.out_dtype(), flat, args.in(0), {{1}, 0}, args.out(), {{1}, 0});
}

void permute(const KernelArgs& args) {
  const Shape dense = contiguous_strides(args.in_shape(0));
  View from;
  for (int64_t d : args.node.attr_ints("dims")) from.strides.push_back(dense[static_cast<int>(d)]);
  gather_view(args, from);
}

void expand(const KernelArgs& args) {
  gather_view(args, {broadcast_strides(args.in_shape(0), args.out_shape()), 0});
}

/// Every steps[i]-th element from starts[i] of a dense tensor.
View slice_view(const Shape& shape, const Shape& starts, const Shape& steps) {
  View view{contiguous_strides(shape), 0};
  for (int d = 0; d < shape.rank(); ++d) {
    view.offset += starts[d] * view.strides[d];
    view.strides[d] *= steps[d];
  }
  return view;
}

void slice(const KernelArgs& args) {
  gather_view(args, slice_view(args.in_shape(0), args.node.attr_ints("starts"),
                               args.node.attr_ints("steps")));
}

void slice_scatter(const KernelArgs& args) {
  copy_whole(args);
  const Shape& part = args.in_shape(1);
  copy_view(
      args.out_dtype(), part, args.in(1), {contiguous_strides(part), 0}, args.out(),
      slice_view(args.out_shape(), args.node.attr_ints("starts"), args.node.attr_ints("steps")));
}

View attr_view(const Node& node) { return {node.attr_ints("strides"), node.attr_int("offset")}; }

void as_strided(const KernelArgs& args) { gather_view(args, attr_view(args.node)); }

void as_strided_scatter(const KernelArgs& args) {
  copy_whole(args);
  const Shape& part = args.in_shape(1);
  copy_view(args.out_dtype(), part, args.in(1), {contiguous_strides(part), 0}, args.out(),
            attr_view(args.node), /*parallel=*/false);
}

void as_strided_add(const KernelArgs& args) {
  dispatch_wide(args.out_dtype(), [&](auto wide) {
    using W = decltype(wide);
    const View to = attr_view(args.node);
    const Shape& part = args.in_shape(0);
    const std::vector<W> src = load_all<W>(args.in(0), args.in_dtype(0), part.numel());
    std::vector<W> sum(static_cast<size_t>(args.out_shape().numel()));
    W* base = sum.data() + to.offset;
    Walk(part, {to.strides})
        .run(0, part.numel(), [&](const auto& at, const auto& step, int64_t n, int64_t done) {
          for (int64_t i = 0; i < n; ++i) {
            W& slot = base[at[0] + i * step[0]];
            slot = plus(slot, src[static_cast<size_t>(done + i)]);
          }
        });
    store_all(sum, args.out_dtype(), args.out());
  });
}

void flip(const KernelArgs& args) {
  const Shape& shape = args.out_shape();
  View from{contiguous_strides(shape), 0};
  for (int64_t dim : args.node.attr_ints("dims")) {
    const int d = static_cast<int>(dim);
    from.offset += (shape[d] - 1) * from.strides[d];
    from.strides[d] = -from.strides[d];
  }
  gather_view(args, from);
}

void pad(const KernelArgs& args) {
  const Shape& shape = args.out_shape();
  uint64_t value = 0;  // one element in its own bytes
  const double number = args.node.attr_float("value");
  storer<double>(args.out_dtype())(&value, 0, 1, 1, &number);
  const Shape still = Shape::filled(shape.rank(), 0);
  copy_view(args.out_dtype(), shape, &value, {still, 0}, args.out(),
            {contiguous_strides(shape), 0});
  const Shape& src = args.in_shape(0);
  copy_view(args.out_dtype(), src, args.in(0), {contiguous_strides(src), 0}, args.out(),
            slice_view(shape, args.node.attr_ints("low"), Shape::filled(shape.rank(), 1)));
}

void cat(const KernelArgs& args) {
  const int dim = static_cast<int>(args.node.attr_int("dim"));
  View to{contiguous_strides(args.out_shape()), 0};
  for (int i = 0; i < static_cast<int>(args.inputs.size()); ++i) {
    const Shape& part = args.in_shape(i);
    copy_view(args.out_dtype(), part, args.in(i), {contiguous_strides(part), 0}, args.out(), to);
    to.offset += part[dim] * to.strides[dim];
  }
}

}  // namespace

Kernel movement_kernel(Op op) {
  switch (op) {
    case Op::reshape_: return &copy_whole;
    case Op::permute_: return &permute;
    case Op::expand_: return &expand;
    case Op::slice_: return &slice;
    case Op::slice_scatter_: return &slice_scatter;
    case Op::as_strided_: return &as_strided;
    case Op::as_strided_scatter_: return &as_strided_scatter;
    case Op::as_strided_add_: return &as_strided_add;
    case Op::flip_: return &flip;
    case Op::pad_: return &pad;
    case Op::cat_: return &cat;
    default: return nullptr;
  }
}

}  // namespace ds::ref

// SPDX-License-Identifier: Apache-2.0
// Gather, scatter and their kin. Indices are checked before anything is written.
#include <algorithm>
#include <cstring>

#include "ds/backends/ref/families.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

void check_indices(const KernelArgs& args, const int64_t* index, int64_t n, int64_t dim,
                   int64_t size) {
  for (int64_t i = 0; i < n; ++i)
    DS_CHECK(index[i] >= 0 && index[i] < size, IndexError, op_name(args.node.op()), ": index ",
             index[i], " is out of range for dimension ", dim, " of size ", size);
}

const int64_t* index_input(const KernelArgs& args) {
  return static_cast<const int64_t*>(args.in(1));
}

int64_t size_along(const Shape& shape, int64_t dim) {
  return shape.empty() ? 1 : shape[static_cast<int>(dim)];
}

/// Where the element at [i][index[i][j]] lies: calls f(position in index, offset in a dense tensor
/// of `shape`) for all elements of the index. One visit per index element, in order.
template <class F>
void for_each_target(const Shape& index_shape, const int64_t* index, const Shape& shape,
                     int64_t dim, int64_t begin, int64_t end, F f) {
  Shape strides = contiguous_strides(shape);
  int64_t along = 1;
  if (!strides.empty()) {
    along = strides[static_cast<int>(dim)];
    strides[static_cast<int>(dim)] = 0;
  }
  Walk(index_shape, {strides})
      .run(begin, end, [&](const auto& at, const auto& step, int64_t n, int64_t done) {
        for (int64_t i = 0; i < n; ++i) {
          const int64_t position = begin + done + i;
          f(position, at[0] + i * step[0] + index[position] * along);
        }
      });
}

template <class Word>
void gather_words(const KernelArgs& args) {
  const int64_t dim = args.node.attr_int("dim");
  const auto* src = static_cast<const Word*>(args.in(0));
  auto* out = static_cast<Word*>(args.out());
  parallel_for(args.out_shape().numel(), kGrain, [&](int64_t begin, int64_t end) {
    for_each_target(args.in_shape(1), index_input(args), args.in_shape(0), dim, begin, end,
                    [&](int64_t i, int64_t from) { out[i] = src[from]; });
  });
}

void gather(const KernelArgs& args) {
  const int64_t dim = args.node.attr_int("dim");
  check_indices(args, index_input(args), args.in_shape(1).numel(), dim,
                size_along(args.in_shape(0), dim));
  switch (dtype_size(args.out_dtype())) {
    case 1: return gather_words<uint8_t>(args);
    case 2: return gather_words<uint16_t>(args);
    case 4: return gather_words<uint32_t>(args);
    default: return gather_words<uint64_t>(args);
  }
}

template <class W>
W combine(char reduce, W old, W value) {
  switch (reduce) {
    case 'a': return plus(old, value);
    case 'm': return times(old, value);
    case '>': return beats_max(value, old) ? value : old;
    case '<': return beats_min(value, old) ? value : old;
    default: return value;
  }
}

char reduce_code(const std::string& reduce) {
  if (reduce == "add") return 'a';
  if (reduce == "mul") return 'm';
  if (reduce == "amax") return '>';
  if (reduce == "amin") return '<';
  DS_ASSERT(reduce == "set", reduce);
  return '=';
}

void scatter(const KernelArgs& args) {
  const int64_t dim = args.node.attr_int("dim");
  const Shape& shape = args.out_shape();
  const Shape& index_shape = args.in_shape(1);
  check_indices(args, index_input(args), index_shape.numel(), dim, size_along(shape, dim));
  const char reduce = reduce_code(args.node.attr_str("reduce"));
  dispatch_wide(args.out_dtype(), [&](auto wide) {
    using W = decltype(wide);
    // src may be larger than index: only its leading part counts.
    std::vector<W> src(static_cast<size_t>(index_shape.numel()));
    const Load<W> load = loader<W>(args.in_dtype(2));
    Walk(index_shape, {contiguous_strides(args.in_shape(2))})
        .run(0, index_shape.numel(), [&](const auto& at, const auto& step, int64_t n, int64_t i) {
          load(args.in(2), at[0], step[0], n, src.data() + i);
        });
    std::vector<W> out = load_all<W>(args.in(0), args.in_dtype(0), shape.numel());
    for_each_target(index_shape, index_input(args), shape, dim, 0, index_shape.numel(),
                    [&](int64_t i, int64_t to) {
                      W& slot = out[static_cast<size_t>(to)];
                      slot = combine(reduce, slot, src[static_cast<size_t>(i)]);
                    });
    store_all(out, args.out_dtype(), args.out());
  });
}

/// Bytes of one slice row: what is contiguous behind the dimension.
size_t row_bytes(const Lanes& lanes, DType dtype) {
  return static_cast<size_t>(lanes.inner) * dtype_size(dtype);
}

void index_select(const KernelArgs& args) {
  const int64_t dim = args.node.attr_int("dim");
  const Lanes lanes(args.in_shape(0), dim);
  const int64_t* index = index_input(args);
  const int64_t count = args.in_shape(1).numel();
  check_indices(args, index, count, dim, lanes.size);
  const size_t bytes = row_bytes(lanes, args.out_dtype());
  if (bytes == 0) return;
  const auto* src = static_cast<const char*>(args.in(0));
  auto* out = static_cast<char*>(args.out());
  parallel_for(lanes.outer * count, grain_for(lanes.inner), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t from = i / count * lanes.size + index[i % count];
      std::memcpy(out + static_cast<size_t>(i) * bytes, src + static_cast<size_t>(from) * bytes,
                  bytes);
    }
  });
}

/// f(source element, output element, weight) for every tap of resample or resample_backward, whose
/// sources have `shape`.
template <class F>
void for_each_tap(const KernelArgs& args, const Shape& shape, F f) {
  const int64_t dim = args.node.attr_int("dim");
  const Lanes lanes(shape, dim);
  const int64_t taps = args.in_shape(1)[0], count = args.in_shape(1)[1];
  const int64_t* index = index_input(args);
  check_indices(args, index, taps * count, dim, lanes.size);
  const std::vector<double> weight = load_all<double>(args.in(2), args.in_dtype(2), taps * count);
  for (int64_t outer = 0; outer < lanes.outer; ++outer)
    for (int64_t i = 0; i < count; ++i)
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int64_t from = (outer * lanes.size + index[tap * count + i]) * lanes.inner;
        const int64_t to = (outer * count + i) * lanes.inner;
        const double w = weight[static_cast<size_t>(tap * count + i)];
        for (int64_t k = 0; k < lanes.inner; ++k)
          f(static_cast<size_t>(from + k), static_cast<size_t>(to + k), w);
      }
}

void resample(const KernelArgs& args) {
  const std::vector<double> src =
      load_all<double>(args.in(0), args.in_dtype(0), args.in_shape(0).numel());
  std::vector<double> out(static_cast<size_t>(args.out_shape().numel()));
  for_each_tap(args, args.in_shape(0),
               [&](size_t from, size_t to, double w) { out[to] += w * src[from]; });
  store_all(out, args.out_dtype(), args.out());
}

void resample_backward(const KernelArgs& args) {
  const std::vector<double> diff =
      load_all<double>(args.in(0), args.in_dtype(0), args.in_shape(0).numel());
  std::vector<double> out(static_cast<size_t>(args.out_shape().numel()));
  for_each_tap(args, args.out_shape(),
               [&](size_t from, size_t to, double w) { out[from] += w * diff[to]; });
  store_all(out, args.out_dtype(), args.out());
}

void copy_first_input(const KernelArgs& args) {
  const size_t bytes = static_cast<size_t>(args.out_shape().numel()) * dtype_size(args.out_dtype());
  if (bytes > 0) std::memcpy(args.out(), args.in(0), bytes);
}

void index_copy(const KernelArgs& args) {
  const int64_t dim = args.node.attr_int("dim");
  const Lanes lanes(args.out_shape(), dim);
  const int64_t* index = index_input(args);
  const int64_t count = args.in_shape(1).numel();
  check_indices(args, index, count, dim, lanes.size);
  copy_first_input(args);
  const size_t bytes = row_bytes(lanes, args.out_dtype());
  const auto* src = static_cast<const char*>(args.in(2));
  auto* out = static_cast<char*>(args.out());
  if (bytes == 0) return;
  for (int64_t i = 0; i < lanes.outer * count; ++i) {
    const int64_t to = i / count * lanes.size + index[i % count];
    std::memcpy(out + static_cast<size_t>(to) * bytes, src + static_cast<size_t>(i) * bytes, bytes);
  }
}

/// Positions grouped by the index they hold: those of group k are order[start[k]..start[k + 1]).
struct Groups {
  std::vector<int64_t> order;
  std::vector<int64_t> start;
};

/// Only indices that occur get a group.
Groups group_by_index(const int64_t* index, int64_t count) {
  Groups groups;
  groups.order.resize(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) groups.order[static_cast<size_t>(i)] = i;
  std::stable_sort(groups.order.begin(), groups.order.end(),
                   [&](int64_t a, int64_t b) { return index[a] < index[b]; });
  for (int64_t i = 0; i < count; ++i)
    if (i == 0 || index[groups.order[static_cast<size_t>(i)]] !=
                      index[groups.order[static_cast<size_t>(i - 1)]])
      groups.start.push_back(i);
  groups.start.push_back(count);
  return groups;
}

/// One slice at a time: all that is added to it is summed in wide numbers and rounded once. Memory
/// is one slice and not the whole output, which may be a large embedding table.
void index_add(const KernelArgs& args) {
  const int64_t dim = args.node.attr_int("dim");
  const Lanes lanes(args.out_shape(), dim);
  const int64_t* index = index_input(args);
  const int64_t count = args.in_shape(1).numel();
  check_indices(args, index, count, dim, lanes.size);
  copy_first_input(args);
  if (count == 0 || lanes.inner == 0) return;
  const Groups groups = group_by_index(index, count);
  const int64_t slices = static_cast<int64_t>(groups.start.size()) - 1;
  dispatch_wide(args.out_dtype(), [&](auto wide) {
    using W = decltype(wide);
    const Load<W> load = loader<W>(args.out_dtype());
    const Store<W> store = storer<W>(args.out_dtype());
    parallel_for(lanes.outer * slices, grain_for(lanes.inner), [&](int64_t begin, int64_t end) {
      std::vector<W> sum(static_cast<size_t>(lanes.inner)), row(sum.size());
      for (int64_t i = begin; i < end; ++i) {
        const int64_t outer = i / slices, slice = i % slices;
        const int64_t first = groups.start[static_cast<size_t>(slice)];
        const int64_t last = groups.start[static_cast<size_t>(slice) + 1];
        const int64_t target = index[groups.order[static_cast<size_t>(first)]];
        const int64_t to = (outer * lanes.size + target) * lanes.inner;
        load(args.in(0), to, 1, lanes.inner, sum.data());
        for (int64_t j = first; j < last; ++j) {
          const int64_t from = (outer * count + groups.order[static_cast<size_t>(j)]) * lanes.inner;
          load(args.in(2), from, 1, lanes.inner, row.data());
          for (size_t k = 0; k < row.size(); ++k) sum[k] = plus(sum[k], row[k]);
        }
        store(args.out(), to, 1, lanes.inner, sum.data());
      }
    });
  });
}

void nonzero(const KernelArgs& args) {
  const Shape& shape = args.in_shape(0);
  const int64_t count = args.node.attr_int("count");
  const int rank = shape.rank();
  auto* out = static_cast<int64_t*>(args.out());
  int64_t found = 0;
  dispatch(args.in_dtype(0), [&](auto tag) {
    using T = decltype(tag);
    const T* src = static_cast<const T*>(args.in(0));
    const int64_t total = shape.numel();
    for (int64_t i = 0; i < total && found < count; ++i) {
      if (widen<double>(src[i]) == 0) continue;
      int64_t rest = i;
      for (int d = rank - 1; d >= 0; --d) {
        out[found * rank + d] = rest % shape[d];
        rest /= shape[d];
      }
      ++found;
    }
  });
  DS_ASSERT(found == count, "nonzero: ", found, " elements, not ", count);
}

void searchsorted(const KernelArgs& args) {
  const bool right = args.node.attr_bool("right");
  const Shape& sorted_shape = args.in_shape(0);
  const Shape& shape = args.out_shape();
  auto* out = static_cast<int64_t*>(args.out());
  const int64_t length = sorted_shape.back();
  // A 1-d sequence serves all values, otherwise rows go with rows.
  const int64_t per_row = sorted_shape.rank() == 1 || shape.empty() ? shape.numel() : shape.back();
  dispatch_wide(args.in_dtype(0), [&](auto wide) {
    using W = decltype(wide);
    const std::vector<W> sorted = load_all<W>(args.in(0), args.in_dtype(0), sorted_shape.numel());
    const std::vector<W> values = load_all<W>(args.in(1), args.in_dtype(1), shape.numel());
    // NaN is larger than all numbers, as where it was sorted.
    const auto less = [](W a, W b) { return a < b || (is_nan(b) && !is_nan(a)); };
    for (size_t i = 0; i < values.size(); ++i) {
      const auto begin = sorted.begin() + static_cast<int64_t>(i) / per_row * length;
      const auto end = begin + length;
      const auto at = right ? std::upper_bound(begin, end, values[i], less)
                            : std::lower_bound(begin, end, values[i], less);
      out[i] = at - begin;
    }
  });
}

}  // namespace

Kernel index_kernel(Op op) {
  switch (op) {
    case Op::gather_: return &gather;
    case Op::scatter_: return &scatter;
    case Op::index_select_: return &index_select;
    case Op::index_add_: return &index_add;
    case Op::resample_: return &resample;
    case Op::resample_backward_: return &resample_backward;
    case Op::index_copy_: return &index_copy;
    case Op::nonzero_: return &nonzero;
    case Op::searchsorted_: return &searchsorted;
    default: return nullptr;
  }
}

}  // namespace ds::ref

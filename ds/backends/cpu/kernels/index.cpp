// SPDX-License-Identifier: Apache-2.0
// Index kernels that move elements: rows are copied whole, single elements by their size.
#include "ds/backends/cpu/kernels/index.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "ds/backends/cpu/kernels/numbers.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::cpu {
namespace {

constexpr int64_t kGrainBytes = 32 << 10;  // less is not worth a second thread
constexpr int64_t kGrainIndices = 8192;

int64_t grain_of(int64_t bytes) {
  return std::max<int64_t>(1, kGrainBytes / std::max<int64_t>(1, bytes));
}

/// dst[i] = the row of src that rows[i] names, rows of `bytes` bytes. A single element is moved as
/// one: calling memcpy for it would take longer.
void copy_rows(char* dst, const char* src, int64_t bytes, const int64_t* rows, int64_t n) {
  const auto run = [&](auto size) {
    for (int64_t i = 0; i < n; ++i)
      std::memcpy(dst + i * bytes, src + rows[i] * bytes, static_cast<size_t>(size));
  };
  switch (bytes) {
    case 1: return run(std::integral_constant<size_t, 1>{});
    case 2: return run(std::integral_constant<size_t, 2>{});
    case 4: return run(std::integral_constant<size_t, 4>{});
    case 8: return run(std::integral_constant<size_t, 8>{});
    case 16: return run(std::integral_constant<size_t, 16>{});
    default: return run(static_cast<size_t>(bytes));
  }
}

/// The rows of an index (all its dimensions but the last) and where each begins in another tensor
/// of that rank when the coordinate along dim is 0.
struct Rows {
  Shape outer, strides;  // of the other tensor
  int64_t cols = 1;
  int64_t step = 1;   // in the other tensor, from one column to the next
  int64_t along = 1;  // in the other tensor, from one index to the next

  Rows(const Shape& index, const Shape& other, int dim) {
    strides = contiguous_strides(other);
    if (index.empty()) return;
    along = strides[dim];
    strides[dim] = 0;
    outer = index;
    outer.pop_back();
    cols = index.back();
    step = strides.back();
  }
  int64_t offset(int64_t row) const {
    int64_t sum = 0;
    for (int d = outer.rank() - 1; d >= 0; --d) {
      sum += row % outer[d] * strides[d];
      row /= outer[d];
    }
    return sum;
  }
};

bool in_range(const int64_t* index, int64_t n, int64_t size) {
  bool good = true;
  for (int64_t i = 0; i < n; ++i)
    good &= static_cast<uint64_t>(index[i]) < static_cast<uint64_t>(size);
  return good;
}

Indices indices_of(const int64_t* index, const Shape& shape, int dim, const Shape& other) {
  return {index, shape.numel(), dim, other.empty() ? 1 : other[dim]};
}

template <class T, class Combine>
void scatter_part(const Rows& to, const Rows& from, const Indices& index, const T* src, T* dst,
                  int64_t row_begin, int64_t row_end, int64_t col_begin, int64_t col_end,
                  Combine combine) {
  const int64_t cols = col_end - col_begin;
  // Short rows are checked together.
  const int64_t group = cols < to.cols ? 1 : std::max<int64_t>(1, kGrainIndices / cols);
  for (int64_t row = row_begin; row < row_end; ++row) {
    const T* values = src + from.offset(row);
    T* base = dst + to.offset(row);
    const int64_t* at = index.data + row * to.cols;
    if ((row - row_begin) % group == 0) {
      const int64_t n = cols * std::min(group, row_end - row);
      if (!in_range(at + col_begin, n, index.size)) index.check("scatter");
    }
    if (to.step == 0 && to.along == 1) {  // along the last dimension
      for (int64_t c = col_begin; c < col_end; ++c) base[at[c]] = combine(base[at[c]], values[c]);
      continue;
    }
    for (int64_t c = col_begin; c < col_end; ++c) {
      T& slot = base[c * to.step + at[c] * to.along];
      slot = combine(slot, values[c]);
    }
  }
}

/// Threads share out what can never meet in one element: the coordinates before dim, or else the
/// columns. So every element sees its values in the order of the index.
template <class T, class Combine>
void scatter_with(const int64_t* numbers, const Shape& index_shape, int dim, const void* from,
                  const Shape& src_shape, void* to, const Shape& dst_shape, Combine combine) {
  const Indices index = indices_of(numbers, index_shape, dim, dst_shape);
  const Rows target(index_shape, dst_shape, dim);
  Rows source(index_shape, src_shape, dim);
  if (!index_shape.empty()) source.strides = contiguous_strides(src_shape);
  const T* src = static_cast<const T*>(from);
  T* dst = static_cast<T*>(to);
  const int64_t total = index_shape.numel();
  if (total == 0) return;
  const int last = std::max(0, index_shape.rank() - 1);
  int64_t before = 1;
  for (int d = 0; d < dim && d < index_shape.rank(); ++d) before *= index_shape[d];
  const int64_t rows = total / target.cols;
  if (dim == last || before >= num_threads()) {
    const int64_t each = rows / before;
    parallel_for(before, std::max<int64_t>(1, kGrainIndices / (total / before)),
                 [&](int64_t begin, int64_t end) {
                   scatter_part(target, source, index, src, dst, begin * each, end * each, 0,
                                target.cols, combine);
                 });
  } else {
    parallel_for(target.cols, std::max<int64_t>(16, kGrainIndices / rows),
                 [&](int64_t begin, int64_t end) {
                   scatter_part(target, source, index, src, dst, 0, rows, begin, end, combine);
                 });
  }
}

/// Coordinates of the elements from `begin` on, counted up instead of divided out.
class Coordinates {
 public:
  Coordinates(const Shape& shape, int64_t begin) : shape_(shape), at_(shape) {
    for (int d = shape.rank() - 1; d >= 0; --d) {
      at_[d] = begin % shape[d];
      begin /= shape[d];
    }
  }
  void next() {
    for (int d = shape_.rank() - 1; d >= 0; --d) {
      if (++at_[d] < shape_[d]) return;
      at_[d] = 0;
    }
  }
  int64_t* write(int64_t* dst) const { return std::copy(at_.begin(), at_.end(), dst); }

 private:
  const Shape& shape_;
  Shape at_;
};

/// Writes the coordinates of the first `count` nonzero elements from `i` on.
template <class T>
void write_block(const T* src, const Shape& shape, int64_t i, int64_t count, int64_t* to) {
  const int rank = shape.rank();
  Coordinates at(shape, i);
  if (rank == 0 || rank > 2) {
    for (; count > 0; ++i, at.next()) {
      if (!is_true(src[i])) continue;
      to = at.write(to);
      --count;
    }
    return;
  }
  // Written always and kept where it counts: whether it does cannot be predicted.
  const int64_t cols = shape.back();
  int64_t row = i / cols, col = i % cols;
  for (const int64_t* end = to + count * rank; to < end; ++i) {
    to[0] = row;
    to[rank - 1] = col;
    to += is_true(src[i]) ? rank : 0;
    if (++col == cols) {
      col = 0;
      ++row;
    }
  }
}

template <class T>
void write_nonzero(const T* src, const Shape& shape, int64_t count, int64_t* dst) {
  constexpr int64_t kBlock = 1 << 14;
  const int64_t total = shape.numel(), blocks = (total + kBlock - 1) / kBlock;
  std::vector<int64_t> start(static_cast<size_t>(blocks) + 1, 0);
  parallel_for(blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      start[static_cast<size_t>(b) + 1] =
          std::count_if(src + b * kBlock, src + std::min(total, (b + 1) * kBlock),
                        [](T value) { return is_true(value); });
  });
  for (size_t b = 1; b < start.size(); ++b) start[b] += start[b - 1];
  DS_ASSERT(start.back() >= count, "nonzero: ", start.back(), " elements, not ", count);
  parallel_for(blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t found = start[static_cast<size_t>(b)];
      // A later block may begin behind the last one wanted.
      const int64_t most = std::min(count, start[static_cast<size_t>(b) + 1]) - found;
      if (most > 0) write_block(src, shape, b * kBlock, most, dst + found * shape.rank());
    }
  });
}

/// Elements of the row that `before` holds for, which come first. The loop has no branch in it,
/// since which part is next cannot be predicted.
template <class T, class Before>
int64_t count_before(const T* row, int64_t length, Before before) {
  const T* at = row;
  while (length > 0) {
    const int64_t half = length / 2;
    const bool beyond = before(at[half]);
    at += beyond ? half + 1 : 0;
    length = beyond ? length - half - 1 : half;
  }
  return at - row;
}

template <class T>
void search_rows(const T* sorted, int64_t length, const T* values, int64_t count, int64_t per_row,
                 bool right, int64_t* dst) {
  parallel_for(count, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* row = sorted + i / per_row * length;
      const auto value = number(values[i]);
      if (is_nan(values[i]))
        dst[i] = right ? length : count_before(row, length, [](T x) { return !is_nan(x); });
      else if (right)
        dst[i] = count_before(row, length, [=](T x) { return number(x) <= value; });
      else
        dst[i] = count_before(row, length, [=](T x) { return number(x) < value; });
    }
  });
}

}  // namespace

void Indices::check(std::string_view op) const {
  std::atomic<bool> good{true};
  parallel_for(count, 1 << 16, [&](int64_t begin, int64_t end) {
    if (!in_range(data + begin, end - begin, size)) good = false;
  });
  if (good) return;
  const int64_t* bad =
      std::find_if(data, data + count, [this](int64_t i) { return !in_range(&i, 1, size); });
  throw IndexError(
      str(op, ": index ", *bad, " is out of range for dimension ", dim, " of size ", size));
}

void index_select(const Indices& index, int64_t outer, int64_t inner, size_t element,
                  const void* src, void* dst) {
  index.check("index_select");
  const int64_t bytes = inner * static_cast<int64_t>(element);
  if (bytes == 0) return;
  const auto* from = static_cast<const char*>(src);
  auto* to = static_cast<char*>(dst);
  parallel_for(outer * index.count, grain_of(bytes), [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t o = begin / index.count, first = begin % index.count;
      const int64_t n = std::min(index.count - first, end - begin);
      copy_rows(to + begin * bytes, from + o * index.size * bytes, bytes, index.data + first, n);
      begin += n;
    }
  });
}

void index_copy(const Indices& index, int64_t outer, int64_t inner, size_t element, Base base,
                const void* src, void* dst) {
  index.check("index_copy");
  const int64_t bytes = inner * static_cast<int64_t>(element);
  const auto *from = static_cast<const char*>(src), *old = static_cast<const char*>(base.data);
  auto* to = static_cast<char*>(dst);
  if (old == to) {  // few rows of a large base, such as a token's in a decoder's memory
    parallel_for(outer, grain_of(index.count * bytes), [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o)
        for (int64_t i = 0; i < index.count; ++i)
          std::memcpy(to + (o * index.size + index.data[i]) * bytes,
                      from + (o * index.count + i) * bytes, static_cast<size_t>(bytes));
    });
    return;
  }
  std::vector<int64_t> writer(static_cast<size_t>(index.size), -1);
  for (int64_t i = 0; i < index.count; ++i) writer[static_cast<size_t>(index.data[i])] = i;
  with_word(element, [&](auto tag) {
    using T = decltype(tag);
    parallel_for(outer * index.size, grain_of(bytes), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = writer[static_cast<size_t>(i % index.size)];
        char* target = to + i * bytes;
        if (row >= 0) {
          std::memcpy(target, from + (i / index.size * index.count + row) * bytes,
                      static_cast<size_t>(bytes));
        } else if (base.uniform) {
          std::fill_n(reinterpret_cast<T*>(target), inner, *reinterpret_cast<const T*>(old));
        } else {
          std::memcpy(target, old + i * bytes, static_cast<size_t>(bytes));
        }
      }
    });
  });
}

void gather(const int64_t* index, const Shape& index_shape, int dim, size_t element,
            const void* src, const Shape& src_shape, void* dst) {
  const Indices all = indices_of(index, index_shape, dim, src_shape);
  const Rows rows(index_shape, src_shape, dim);
  with_word(element, [&](auto tag) {
    using T = decltype(tag);
    parallel_for(index_shape.numel(), kGrainIndices, [&](int64_t begin, int64_t end) {
      while (begin < end) {
        const int64_t row = begin / rows.cols, col = begin % rows.cols;
        const int64_t n = std::min({rows.cols - col, end - begin, kGrainIndices});
        if (!in_range(index + begin, n, all.size)) all.check("gather");
        const T* from = static_cast<const T*>(src) + rows.offset(row) + col * rows.step;
        T* to = static_cast<T*>(dst) + begin;
        const int64_t* at = index + begin;
        if (rows.step == 0 && rows.along == 1)  // along the last dimension
          for (int64_t i = 0; i < n; ++i) to[i] = from[at[i]];
        else
          for (int64_t i = 0; i < n; ++i) to[i] = from[i * rows.step + at[i] * rows.along];
        begin += n;
      }
    });
  });
}

void scatter(ScatterOp op, const int64_t* index, const Shape& index_shape, int dim, DType dtype,
             const void* src, const Shape& src_shape, void* dst, const Shape& dst_shape) {
  if (op == ScatterOp::set) {
    with_word(dtype_size(dtype), [&](auto tag) {
      using T = decltype(tag);
      scatter_with<T>(index, index_shape, dim, src, src_shape, dst, dst_shape,
                      [](T, T value) { return value; });
    });
    return;
  }
  dispatch_number(dtype, [&](auto tag) {
    using T = decltype(tag);
    const auto run = [&](auto combine) {
      scatter_with<T>(index, index_shape, dim, src, src_shape, dst, dst_shape, combine);
    };
    switch (op) {
      case ScatterOp::add: return run([](T old, T value) { return plus(old, value); });
      case ScatterOp::mul: return run([](T old, T value) { return times(old, value); });
      case ScatterOp::amax:
        return run([](T old, T value) { return beats_max(value, old) ? value : old; });
      default: return run([](T old, T value) { return beats_min(value, old) ? value : old; });
    }
  });
}

void nonzero(DType dtype, const void* src, const Shape& shape, int64_t count, int64_t* dst) {
  dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (std::is_same_v<T, bool>)
      write_nonzero(static_cast<const uint8_t*>(src), shape, count, dst);
    else
      write_nonzero(static_cast<const T*>(src), shape, count, dst);
  });
}

void searchsorted(DType dtype, const void* sorted, int64_t length, const void* values,
                  int64_t count, int64_t per_row, bool right, int64_t* dst) {
  dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    search_rows(static_cast<const T*>(sorted), length, static_cast<const T*>(values), count,
                per_row, right, dst);
  });
}

}  // namespace ds::cpu

// SPDX-License-Identifier: Apache-2.0
// x[...]: integers, slices, ... and None make views; tensors gather through one index over the
// dimensions they pick, merged into one.
#include "ds/tensor/ops_index.h"

#include <utility>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_shape.h"

namespace ds {
namespace {

bool is_mask(const Tensor& x) { return x.dtype() == DType::bool_ || x.dtype() == DType::u8; }

/// x[...] split into its view and the tensors that pick along dimensions of that view.
struct Selection {
  Tensor view;
  std::vector<std::pair<int, Tensor>> picks;  // ascending dimensions; i64, negative allowed
};

int consumed(const Index& index) {
  switch (index.kind()) {
    case Index::Kind::ellipsis:
    case Index::Kind::new_axis: return 0;
    case Index::Kind::tensor: return is_mask(index.tensor()) ? index.tensor().dim() : 1;
    default: return 1;
  }
}

/// Adds the coordinates of a mask's true elements; the view gains a dimension for a 0-d mask.
void pick_mask(Selection& s, const Tensor& mask, int& dim) {
  const Shape& shape = s.view.shape();
  for (int i = 0; i < mask.dim(); ++i)
    DS_CHECK(mask.shape()[i] == shape[dim + i], IndexError, "index: the mask ", mask.type(),
             " does not fit ", s.view.type(), " (", mask.shape()[i], " against ", shape[dim + i],
             " at dimension ", dim + i, ")");
  if (mask.dim() == 0) {
    s.view = unsqueeze(s.view, dim);
    const int64_t count = mask.item() != 0;
    s.picks.emplace_back(dim++, constant({count}, 0, DType::i64, mask.device()));
    return;
  }
  for (const Tensor& coordinates : where(mask)) s.picks.emplace_back(dim++, coordinates);
}

void pick_tensor(Selection& s, const Tensor& index, bool alone, int& dim) {
  DS_CHECK(is_mask(index) || is_integer(index.dtype()), IndexError, "index: a tensor index is ",
           index.type(), "; use integers or bool");
  if (is_mask(index)) {
    pick_mask(s, index, dim);
  } else if (index.dim() == 0 && !alone) {
    s.view = select(s.view, dim, index.item_int());  // counts as an integer, as in PyTorch
  } else {
    s.picks.emplace_back(dim++, to_dtype(index, DType::i64));
  }
}

Selection select_all(const Tensor& input, const std::vector<Index>& indices) {
  int given = 0, tensors = 0;
  bool ellipsis = false;
  for (const Index& index : indices) {
    given += consumed(index);
    tensors += index.kind() == Index::Kind::tensor;
    DS_CHECK(!ellipsis || index.kind() != Index::Kind::ellipsis, IndexError,
             "index: only one ellipsis is allowed");
    ellipsis = ellipsis || index.kind() == Index::Kind::ellipsis;
  }
  DS_CHECK(given <= input.dim(), IndexError, "index: ", given, " indices for ", input.type(),
           ", which has ", input.dim(), " dimensions");
  Selection s{input, {}};
  int dim = 0;
  for (const Index& index : indices) {
    switch (index.kind()) {
      case Index::Kind::integer: s.view = select(s.view, dim, index.integer()); break;
      case Index::Kind::slice:
        s.view = slice(s.view, dim, index.slice().start, index.slice().end, index.slice().step);
        ++dim;
        break;
      case Index::Kind::ellipsis: dim += input.dim() - given; break;
      case Index::Kind::new_axis: s.view = unsqueeze(s.view, dim++); break;
      case Index::Kind::tensor: pick_tensor(s, index.tensor(), tensors == 1, dim); break;
    }
  }
  return s;
}

/// The picks as one index along one dimension: picked dimensions are brought together (to the front
/// unless they are neighbours, as in NumPy) and merged.
struct Merged {
  Tensor index;    // i64 of the picks' broadcast shape, non-negative or out of range
  Shape order;     // permutation of the view
  Shape permuted;  // its shape
  Shape merged;    // with the picked dimensions in one
  int dim = 0;     // that one
};

Merged merge(const Selection& s) {
  Merged m;
  const int first = s.picks.front().first, count = static_cast<int>(s.picks.size());
  const bool neighbours = s.picks.back().first - first == count - 1;
  m.dim = neighbours ? first : 0;
  Shape picked, rest = all_dims(s.view.dim()), index_shape;
  for (auto it = s.picks.rbegin(); it != s.picks.rend(); ++it) rest.erase(it->first);
  for (const auto& [dim, index] : s.picks) {
    picked.push_back(dim);
    index_shape = broadcast_shapes(index_shape, index.shape(), "index");
  }
  for (int i = 0; i < m.dim; ++i) m.order.push_back(rest[i]);
  for (int64_t dim : picked) m.order.push_back(dim);
  for (int i = m.dim; i < rest.rank(); ++i) m.order.push_back(rest[i]);
  int64_t total = 1;
  for (int64_t dim : picked) total *= s.view.shape()[static_cast<int>(dim)];
  for (int i = 0; i < m.order.rank(); ++i) {
    m.permuted.push_back(s.view.shape()[static_cast<int>(m.order[i])]);
    if (i == m.dim)
      m.merged.push_back(total);
    else if (i < m.dim || i >= m.dim + count)
      m.merged.push_back(m.permuted.back());
  }
  const Device device = s.view.device();
  const Tensor outside = constant({}, static_cast<double>(total), DType::i64, device);
  for (const auto& [dim, index] : s.picks) {
    const int64_t size = s.view.shape()[dim];
    Tensor part = wrapped_index(expanded(index, index_shape), size);
    // Several parts could make up for each other; one index out of range must be found as such.
    Tensor bad;
    if (count > 1) bad = logical_or(lt(part, 0), ge(part, size));
    m.index = m.index.defined() ? m.index * size + part : part;
    if (bad.defined()) m.index = where(logical_or(bad, ge(m.index, total)), outside, m.index);
  }
  return m;
}

Tensor merged_view(const Tensor& view, const Merged& m) {
  return reshaped(permuted(view, m.order), m.merged);
}

/// `value` without leading dimensions of size 1 that `rank` has no place for.
Tensor without_leading_ones(const Tensor& value, int rank) {
  Shape shape = value.shape();
  while (shape.rank() > rank && shape[0] == 1) shape.erase(0);
  return reshaped(value, shape);
}

/// x[mask] = number: a select, whose shape does not depend on how many elements are marked.
bool put_where(const Selection& s, const Tensor& mask, int dim, const Tensor& value,
               bool accumulate) {
  if (value.numel() != 1 || mask.dim() == 0) return false;
  Shape shape = mask.shape();
  for (int i = dim + mask.dim(); i < s.view.dim(); ++i) shape.push_back(1);
  const Tensor marked = reshaped(ne(mask, 0), shape);
  const Tensor number = reshaped(value, {});
  assign(s.view, where(marked, accumulate ? s.view + number : number, s.view));
  return true;
}

/// The position of the only tensor index when it is a mask among full slices; -1 otherwise.
int only_mask(const std::vector<Index>& indices, const Tensor& input) {
  int dim = 0, found = -1, given = 0;
  for (const Index& index : indices) given += consumed(index);
  for (const Index& index : indices) {
    if (index.kind() == Index::Kind::tensor) {
      if (found >= 0 || !is_mask(index.tensor())) return -1;
      found = dim;
    } else if (index.kind() == Index::Kind::ellipsis) {
      dim += input.dim() - given;
      continue;
    } else if (index.kind() != Index::Kind::slice || index.slice().start || index.slice().end ||
               index.slice().step != 1) {
      return -1;
    }
    dim += consumed(index);
  }
  return found;
}

}  // namespace

Tensor index(const Tensor& input, const std::vector<Index>& indices) {
  const Selection s = select_all(input, indices);
  if (s.picks.empty()) {
    // A new tensor object even for x[...] and x[()].
    return s.view.impl() == input.impl() ? record_view(Op::reshape_, input, {input.shape()})
                                         : s.view;
  }
  const Merged m = merge(s);
  return record(Op::index_select_, {merged_view(s.view, m), m.index}, {m.dim});
}

void index_put(const Tensor& input, const std::vector<Index>& indices, const Operand& value,
               bool accumulate) {
  const Tensor given = as_tensor(value, input.dtype(), input.device());
  if (const int dim = only_mask(indices, input); dim >= 0) {
    Tensor mask;
    for (const Index& index : indices)
      if (index.kind() == Index::Kind::tensor) mask = index.tensor();
    const Shape& shape = input.shape();
    bool fits = dim + mask.dim() <= shape.rank();
    for (int i = 0; fits && i < mask.dim(); ++i) fits = mask.shape()[i] == shape[dim + i];
    if (fits && put_where({input, {}}, mask, dim, given, accumulate)) return;
  }
  const Selection s = select_all(input, indices);
  if (s.picks.empty()) {
    const Tensor src = without_leading_ones(given, s.view.dim());
    assign(s.view, accumulate ? s.view + src : src);
    return;
  }
  const Merged m = merge(s);
  Shape shape, flat;
  for (int i = 0; i < m.merged.rank(); ++i) {
    if (i == m.dim)
      for (int64_t size : m.index.shape()) shape.push_back(size);
    else
      shape.push_back(m.merged[i]);
    flat.push_back(i == m.dim ? m.index.numel() : m.merged[i]);
  }
  const Tensor src = reshaped(expand(without_leading_ones(given, shape.rank()), shape), flat);
  const Tensor index = reshaped(m.index, {m.index.numel()});
  const Tensor written = record(accumulate ? Op::index_add_ : Op::index_copy_,
                                {merged_view(s.view, m), index, src}, {m.dim});
  Shape back = Shape::filled(m.order.rank(), 0);
  for (int i = 0; i < m.order.rank(); ++i) back[static_cast<int>(m.order[i])] = i;
  assign(s.view, permuted(reshaped(written, m.permuted), back));
}

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
#include "ds/ir/after.h"

namespace ds {

Value make_after(const Value& x, const Value& gate, const MakeValue& make) {
  if (x.shape().rank() == 0 || x.shape().numel() == 0) return x;
  Value empty = gate.requires_grad() ? make(Op::stop_gradient_, {gate}, {}) : gate;
  if (empty.shape().rank() == 0) empty = make(Op::reshape_, {empty}, {Shape{1}});
  Shape none = empty.shape(), part = x.shape();
  none[0] = part[0] = 0;
  const Shape starts = Shape::filled(none.rank(), 0), steps = Shape::filled(none.rank(), 1);
  empty = make(Op::slice_, {empty}, {starts, none, steps});
  if (empty.shape() != part) empty = make(Op::reshape_, {empty}, {part});
  if (empty.dtype() != x.dtype()) empty = make(Op::cast_, {empty}, {x.dtype()});
  return make(Op::slice_scatter_, {x, empty},
              {Shape::filled(part.rank(), 0), Shape::filled(part.rank(), 1)});
}

}  // namespace ds

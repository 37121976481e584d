// SPDX-License-Identifier: Apache-2.0
// The one way to make nodes: checks inputs and attributes, infers the output types.
#pragma once

#include "ds/ir/node.h"

namespace ds {

/// A new node. Raises ShapeError, DTypeError, ValueError or IndexError, naming the op, when the
/// inputs or attributes do not fit its row in ops.def.
NodePtr make_node(Op op, Values inputs, Attrs attrs = {});
/// Output 0 of a new node.
Value make(Op op, Values inputs, Attrs attrs = {});

/// Output types of an op by its rule; the same errors as make_node.
std::vector<Type> infer_types(Op op, const Values& inputs, const Attrs& attrs);

// Values that rules and passes need often.
Value make_constant(double value, DType dtype);
/// The constant expanded to a shape.
Value make_full(const Shape& shape, double value, DType dtype);
Value make_cast(const Value& x, DType dtype);            // x itself when it has that dtype
Value make_reshape(const Value& x, const Shape& shape);  // x itself when it has that shape
Value make_permute(const Value& x, const Shape& dims);
Value make_transpose(const Value& x);                   // last two dimensions swapped
Value make_expand(const Value& x, const Shape& shape);  // x itself when it has that shape
Value make_sum(const Value& x, const Shape& dims, bool keepdim);
/// Sums broadcast dimensions away so that the result has `shape`: the gradient of broadcasting.
Value make_sum_to(const Value& x, const Shape& shape);

inline Value operator+(const Value& a, const Value& b) { return make(Op::add_, {a, b}); }
inline Value operator-(const Value& a, const Value& b) { return make(Op::sub_, {a, b}); }
inline Value operator*(const Value& a, const Value& b) { return make(Op::mul_, {a, b}); }
inline Value operator/(const Value& a, const Value& b) { return make(Op::div_, {a, b}); }
inline Value operator-(const Value& a) { return make(Op::neg_, {a}); }
// A number takes the dtype of the value beside it.
inline Value operator+(const Value& a, double b) { return a + make_constant(b, a.dtype()); }
inline Value operator-(const Value& a, double b) { return a - make_constant(b, a.dtype()); }
inline Value operator*(const Value& a, double b) { return a * make_constant(b, a.dtype()); }
inline Value operator/(const Value& a, double b) { return a / make_constant(b, a.dtype()); }
inline Value operator-(double a, const Value& b) { return make_constant(a, b.dtype()) - b; }
inline Value operator/(double a, const Value& b) { return make_constant(a, b.dtype()) / b; }

}  // namespace ds

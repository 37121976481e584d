// SPDX-License-Identifier: Apache-2.0
// Costs of nodes against sums written out by hand.
#include "ds/ir/cost.h"

#include <doctest/doctest.h>

#include "ds/ir/graph.h"

namespace ds {
namespace {

TEST_CASE("costs count products twice and every operand once") {
  Interner in;
  int64_t count = 0;
  const auto input = [&](const Shape& shape) {
    return Value{in.node(Op::input_, {}, {count++, DType::f32, shape}), 0};
  };
  const Value a = input({5, 2, 3}), b = input({3, 4});
  const Cost product = node_cost(*in.make(Op::matmul_, {a, b}).node);
  CHECK(product.flops == 2.0 * 5 * 2 * 4 * 3);
  CHECK(product.bytes == 4.0 * (5 * 2 * 3 + 3 * 4 + 5 * 2 * 4));

  const Shape one{1, 1}, none{0, 0}, same{1, 1};
  const Value image = input({2, 6, 8, 8}), kernel = input({10, 3, 3, 3});
  const Value conv = in.make(Op::convolution_, {image, kernel}, {one, same, same, one, int64_t{2}});
  CHECK(node_cost(*conv.node).flops == 2.0 * (2 * 10 * 8 * 8) * (3 * 3 * 3));
  const Value back = in.make(Op::conv_diff_weights_, {image, conv},
                             {Shape{3, 3}, one, same, same, one, int64_t{2}});
  CHECK(node_cost(*back.node).flops == 2.0 * (2 * 10 * 8 * 8) * (3 * 3 * 3));

  const Value q = input({2, 3, 4, 8}), k = input({2, 3, 5, 8}), v = input({2, 3, 5, 6});
  const Value out = in.make(Op::attention_, {q, k, v}, {false, 1.0, 0.0, int64_t{0}});
  CHECK(node_cost(*out.node).flops == 2.0 * 2 * 3 * 4 * 5 * (8 + 6));

  CHECK(node_cost(*in.make(Op::exp_, {b}).node).flops == 12);
  CHECK(node_cost(*in.make(Op::exp_, {b}).node).bytes == 2 * 12 * 4);
  CHECK(node_cost(*in.make(Op::mul_, {b, b}).node).bytes == 2 * 12 * 4);
  const Value number = in.make(Op::expand_,
                               {in.make(Op::reshape_,
                                        {
                                            input({}),
                                        },
                                        {Shape{1, 1}})},
                               {Shape{3, 4}});
  CHECK(node_cost(*in.make(Op::mul_, {b, number}).node).bytes == 2 * 12 * 4 + 4);
  const Value turned = in.make(Op::permute_, {b}, {Shape{1, 0}});
  CHECK(is_view(*turned.node));
  CHECK(node_cost(*turned.node).bytes == 0);
}

}  // namespace
}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
// Reductions and softmax in programs: dims in any place of any memory order, against plain loops.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "tests/unit/cpu/program.h"

using namespace ds;
using ds::test::Program;

namespace {

std::vector<float> numbers(size_t n) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
  return values;
}

/// out[kept] = sum of src over the dims whose bit is set in `mask`; src is [2, 3, 4, 5].
std::vector<double> sums(const std::vector<float>& src, unsigned mask) {
  const size_t dims[] = {2, 3, 4, 5};
  std::vector<double> out;
  for (size_t i = 0; i < src.size(); ++i) {
    size_t rest = i, index[4], at = 0;
    for (int d = 3; d >= 0; --d) {
      index[d] = rest % dims[d];
      rest /= dims[d];
    }
    for (unsigned d = 0; d < 4; ++d)
      if (!(mask >> d & 1u)) at = at * dims[d] + index[d];
    if (out.size() <= at) out.resize(at + 1);
    out[at] += src[i];
  }
  return out;
}

}  // namespace

TEST_CASE("sums over every set of dims, in every memory order") {
  const auto src = numbers(120);
  std::vector<float> squares(src);
  for (float& x : squares) x *= x;
  const Shape orders[] = {{0, 1, 2, 3}, {0, 2, 3, 1}, {3, 1, 0, 2}};
  for (const Shape& order : orders)
    for (unsigned mask = 0; mask < 16; ++mask) {
      // The value is brought into the memory order by a copy, and read back in its own.
      Program p;
      const Value x = p.input({2, 3, 4, 5});
      Shape back = Shape::filled(4, 0), dims;
      for (int i = 0; i < 4; ++i) back[static_cast<int>(order[i])] = i;
      const Value moved = p.make(Op::reshape_, {p.make(Op::permute_, {x}, {order})}, {Shape{120}});
      Shape moved_dims;
      for (const int64_t d : order) moved_dims.push_back(x.shape()[static_cast<int>(d)]);
      const Value y = p.make(Op::permute_, {p.make(Op::reshape_, {moved}, {moved_dims})}, {back});
      for (int d = 0; d < 4; ++d)
        if (mask >> d & 1u) dims.push_back(d);
      const auto want = sums(src, mask), want_squares = sums(squares, mask);
      p.compile({p.make(Op::sum_, {y}, {dims, false}), p.make(Op::mean_, {y}, {dims, true}),
                 p.make(Op::sum_, {p.make(Op::square_, {y})}, {dims, false})});
      std::vector<float> sum(want.size()), mean(want.size()), of_squares(want.size());
      p.run({src.data()}, {sum.data(), mean.data(), of_squares.data()});
      const double count = 120.0 / static_cast<double>(want.size());
      for (size_t i = 0; i < want.size(); ++i) {
        CHECK(sum[i] == doctest::Approx(want[i]).epsilon(1e-5));
        CHECK(mean[i] == doctest::Approx(want[i] / count).epsilon(1e-5));
        CHECK(of_squares[i] == doctest::Approx(want_squares[i]).epsilon(1e-5));
      }
    }
}

TEST_CASE("a sum takes up the squares that nothing else reads") {
  const std::vector<float> src = numbers(3000);
  double want = 0;
  for (const float x : src) want += double{x} * x;
  for (const bool read : {false, true}) {
    Program p;
    const Value squares = p.make(Op::square_, {p.input({3000})});
    Values outputs = {p.make(Op::sum_, {squares}, {Shape{0}, false})};
    if (read) outputs.push_back(squares);
    p.compile(outputs);
    CHECK((p.kernels() == std::vector<std::string>{"cpu:sum of squares"}) == !read);
    float sum = 0;
    std::vector<float> squared(3000);
    std::vector<void*> to = {&sum};
    if (read) to.push_back(squared.data());
    p.run({src.data()}, to);
    CHECK(sum == doctest::Approx(want).epsilon(1e-6));
    if (read) CHECK(squared[7] == src[7] * src[7]);
  }
}

TEST_CASE("reductions of empty and repeated values") {
  Program p;
  const Value empty = p.input({0, 3}), one = p.input({1});
  const Value many = p.make(Op::expand_, {one}, {Shape{4, 5}});
  p.compile({p.make(Op::sum_, {empty}, {Shape{0}, false}),
             p.make(Op::sum_, {many}, {Shape{0}, false}),
             p.make(Op::amax_, {many}, {Shape{0, 1}, false})});
  const float x = 2;
  std::vector<float> a(3, 9), b(5), c(1);
  p.run({nullptr, &x}, {a.data(), b.data(), c.data()});
  CHECK(a == std::vector<float>(3, 0));
  CHECK(b == std::vector<float>(5, 8));
  CHECK(c[0] == 2);
}

TEST_CASE("softmax along an outer dim, argmax and cross-entropy") {
  Program p;
  const Value x = p.input({3, 4}), labels = p.input({3}, DType::i64);
  const NodePtr loss =
      p.interner().node(Op::softmax_cross_entropy_, {x, labels}, {int64_t{-100}, 0.0});
  p.compile({p.make(Op::softmax_, {x}, {int64_t{0}}),
             p.make(Op::argmax_, {x}, {int64_t{1}, false}),
             {loss, 0}});
  const auto src = numbers(12);
  const int64_t label[] = {1, 3, 0};
  std::vector<float> soft(12), losses(3);
  int64_t best[3];
  p.run({src.data(), label}, {soft.data(), best, losses.data()});
  for (size_t c = 0; c < 4; ++c) {
    double sum = 0;
    for (size_t r = 0; r < 3; ++r) sum += std::exp(src[r * 4 + c]);
    for (size_t r = 0; r < 3; ++r)
      CHECK(soft[r * 4 + c] == doctest::Approx(std::exp(src[r * 4 + c]) / sum));
  }
  for (size_t r = 0; r < 3; ++r) {
    double sum = 0;
    size_t arg = 0;
    for (size_t c = 0; c < 4; ++c) {
      sum += std::exp(src[r * 4 + c]);
      if (src[r * 4 + c] > src[r * 4 + arg]) arg = c;
    }
    CHECK(best[r] == static_cast<int64_t>(arg));
    CHECK(losses[r] == doctest::Approx(std::log(sum) - src[r * 4 + static_cast<size_t>(label[r])]));
  }
}

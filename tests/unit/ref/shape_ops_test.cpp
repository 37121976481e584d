// SPDX-License-Identifier: Apache-2.0
// Reductions, scans, movement, indexing and sorting on small arrays worked out by hand.
#include "ds/base/error.h"
#include "testing.h"

namespace ds::ref {
namespace {

const double kNan = std::nan("");
constexpr double kInf = std::numeric_limits<double>::infinity();

TEST_CASE("sum over every set of dimensions") {
  const Array x = ramp({2, 3, 4});
  const auto sum = [&](const Shape& dims) { return run(Op::sum_, {x}, {dims, false}); };
  CHECK(sum({0, 1, 2}) == List{276});
  CHECK(sum({2}) == List{6, 22, 38, 54, 70, 86});
  CHECK(sum({0}) == List{12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34});
  CHECK(sum({1}) == List{12, 15, 18, 21, 48, 51, 54, 57});
  CHECK(sum({0, 2}) == List{60, 92, 124});
  CHECK(sum({}) == x.numbers());
}

TEST_CASE("large reductions are split among threads without loss") {
  const Shape shape{40, 3, 500};
  const Array x = ramp(shape);
  const List out = run(Op::sum_, {x}, {Shape{0}, true});
  for (size_t i = 0; i < out.size(); ++i)
    REQUIRE(out[i] == 40.0 * static_cast<double>(i) + 1500.0 * 780);
}

TEST_CASE("half sums do not lose small terms") {
  const Array x = array(DType::f16, {4096}, List(4096, 1.0));
  CHECK(run(Op::sum_, {x}, {Shape{0}, false}) == List{4096});
}

TEST_CASE("empty and special reductions") {
  const Array empty = f32s({0, 2}, {});
  CHECK(run(Op::sum_, {empty}, {Shape{0}, false}) == List{0, 0});
  CHECK(run(Op::prod_, {empty}, {Shape{0}, false}) == List{1, 1});
  CHECK(std::isnan(run(Op::mean_, {empty}, {Shape{0}, false})[0]));
  const Array x = f32s({2, 3}, {1, kNan, 3, -kInf, -kInf, -kInf});
  const List largest = run(Op::amax_, {x}, {Shape{1}, false});
  CHECK(std::isnan(largest[0]));
  CHECK(largest[1] == -kInf);
  CHECK(run(Op::argmax_, {x}, {int64_t{1}, false}) == List{1, 0});
  CHECK(run(Op::argmin_, {f32s({2, 2}, {3, 1, 2, 1})}, {int64_t{0}, false}) == List{1, 0});
  CHECK(run(Op::any_, {f32s({2, 2}, {0, 0, 0, kNan})}, {Shape{1}, false}) == List{0, 1});
  CHECK(run(Op::all_, {bools({2, 2}, {1, 1, 0, 1})}, {Shape{1}, false}) == List{1, 0});
  CHECK(run(Op::amin_, {array(DType::u8, {3}, {7, 0, 255})}, {Shape{0}, false}) == List{0});
}

TEST_CASE("scans") {
  const Array x = f32s({2, 3}, {1, 2, 3, 4, 5, 6});
  CHECK(run(Op::cumsum_, {x}, {int64_t{1}}) == List{1, 3, 6, 4, 9, 15});
  CHECK(run(Op::cumprod_, {x}, {int64_t{0}}) == List{1, 2, 3, 4, 10, 18});
  const auto best = run_all(Op::cummax_, {f32s({5}, {1, 3, 3, kNan, 4})}, {int64_t{0}});
  CHECK(best[1].numbers() == List{0, 1, 2, 3, 3});
  CHECK(std::isnan(best[0].numbers()[4]));
  const List lse = run(Op::logcumsumexp_, {f64s({3}, {-kInf, 0, 1000})}, {int64_t{0}});
  CHECK(lse == List{-kInf, 0, 1000});
}

TEST_CASE("movement") {
  const Array x = ramp({2, 3});
  CHECK(run(Op::permute_, {x}, {Shape{1, 0}}) == List{0, 3, 1, 4, 2, 5});
  CHECK(run(Op::expand_, {f32s({2, 1}, {1, 2})}, {Shape{2, 2, 3}}) ==
        List{1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2});
  CHECK(run(Op::slice_, {ramp({3, 4})}, {Shape{1, 0}, Shape{2, 2}, Shape{1, 3}}) ==
        List{4, 7, 8, 11});
  CHECK(run(Op::slice_scatter_, {x, f64s({2, 1}, {-1, -2})}, {Shape{0, 1}, Shape{1, 1}}) ==
        List{0, -1, 2, 3, -2, 5});
  CHECK(run(Op::as_strided_, {x}, {Shape{2, 2}, Shape{1, 2}, int64_t{1}}) == List{1, 3, 2, 4});
  CHECK(run(Op::as_strided_add_, {f32s({3, 2}, {1, 2, 3, 4, 5, 6})},
            {Shape{4}, Shape{1, 1}, int64_t{0}}) == List{1, 5, 9, 6});
  CHECK(run(Op::as_strided_scatter_, {x, f64s({2}, {8, 9})}, {Shape{3}, int64_t{1}}) ==
        List{0, 8, 2, 3, 9, 5});
  CHECK(run(Op::flip_, {x}, {Shape{1}}) == List{2, 1, 0, 5, 4, 3});
  CHECK(run(Op::pad_, {x}, {Shape{1, 0}, Shape{0, 2}, 9.0}) ==
        List{9, 9, 9, 9, 9, 0, 1, 2, 9, 9, 3, 4, 5, 9, 9});
  CHECK(run(Op::cat_, {x, f64s({2, 1}, {7, 8})}, {int64_t{1}}) == List{0, 1, 2, 7, 3, 4, 5, 8});
}

TEST_CASE("permutations of three and more dimensions") {
  const Shape shape{3, 5, 7, 2};
  const Array x = ramp(shape);
  const List out = run(Op::permute_, {x}, {Shape{2, 0, 3, 1}});
  size_t at = 0;
  for (int c = 0; c < 7; ++c)
    for (int a = 0; a < 3; ++a)
      for (int d = 0; d < 2; ++d)
        for (int b = 0; b < 5; ++b) REQUIRE(out[at++] == ((a * 5 + b) * 7 + c) * 2 + d);
}

TEST_CASE("gather and scatter") {
  const Array x = f32s({2, 3}, {1, 2, 3, 4, 5, 6});
  const Array index = i64s({2, 2}, {2, 0, 1, 1});
  CHECK(run(Op::gather_, {x, index}, {int64_t{1}}) == List{3, 1, 5, 5});
  const Array src = f32s({2, 2}, {10, 20, 30, 40});
  const auto scatter = [&](const char* reduce) {
    return run(Op::scatter_, {x, index, src}, {int64_t{1}, std::string(reduce)});
  };
  CHECK(scatter("set") == List{20, 2, 10, 4, 40, 6});
  CHECK(scatter("add") == List{21, 2, 13, 4, 75, 6});
  CHECK(scatter("mul") == List{20, 2, 30, 4, 6000, 6});
  CHECK(scatter("amax") == List{20, 2, 10, 4, 40, 6});
  CHECK(scatter("amin") == List{1, 2, 3, 4, 5, 6});
}

TEST_CASE("slices by index") {
  const Array x = f32s({3, 2}, {1, 2, 3, 4, 5, 6});
  CHECK(run(Op::index_select_, {x, i64s({2, 2}, {2, 0, 0, 1})}, {int64_t{0}}) ==
        List{5, 6, 1, 2, 1, 2, 3, 4});
  CHECK(run(Op::index_select_, {x, i64s({1}, {1})}, {int64_t{1}}) == List{2, 4, 6});
  const Array rows = f32s({3, 2}, {10, 20, 30, 40, 50, 60});
  CHECK(run(Op::index_add_, {x, i64s({3}, {2, 0, 2}), rows}, {int64_t{0}}) ==
        List{31, 42, 3, 4, 65, 86});
  CHECK(run(Op::index_copy_, {x, i64s({3}, {2, 0, 2}), rows}, {int64_t{0}}) ==
        List{30, 40, 3, 4, 50, 60});
  CHECK_THROWS_WITH_AS(run(Op::index_select_, {ramp({10}), i64s({1}, {12})}, {int64_t{0}}),
                       "index_select: index 12 is out of range for dimension 0 of size 10",
                       IndexError);
  CHECK_THROWS_AS(run(Op::gather_, {ramp({3}), i64s({1}, {-1})}, {int64_t{0}}), IndexError);
}

TEST_CASE("sort and topk") {
  const Array x = f32s({6}, {2, kNan, 1, 2, -kInf, kInf});
  const auto up = run_all(Op::sort_, {x}, {int64_t{0}, false});
  CHECK(up[1].numbers() == List{4, 2, 0, 3, 5, 1});
  const auto down = run_all(Op::sort_, {x}, {int64_t{0}, true});
  CHECK(down[1].numbers() == List{1, 5, 0, 3, 2, 4});
  const auto top = run_all(Op::topk_, {x}, {int64_t{3}, int64_t{0}, true});
  CHECK(top[1].numbers() == List{1, 5, 0});
  const auto low =
      run_all(Op::topk_, {f32s({2, 3}, {3, 1, 2, 4, 6, 5})}, {int64_t{1}, int64_t{0}, false});
  CHECK(low[0].numbers() == List{3, 1, 2});
}

TEST_CASE("nonzero and searchsorted") {
  CHECK(run(Op::nonzero_, {f32s({2, 3}, {0, 1, 0, kNan, 0, 2})}, {int64_t{3}}) ==
        List{0, 1, 1, 0, 1, 2});
  const Array sorted = f32s({4}, {1, 2, 2, 3});
  const Array values = f32s({4}, {0, 2, 3, 4});
  CHECK(run(Op::searchsorted_, {sorted, values}, {false}) == List{0, 1, 3, 4});
  CHECK(run(Op::searchsorted_, {sorted, values}, {true}) == List{0, 3, 4, 4});
  CHECK(run(Op::searchsorted_, {f32s({2, 2}, {1, 3, 5, 7}), f32s({2, 1}, {2, 6})}, {false}) ==
        List{1, 1});
}

}  // namespace
}  // namespace ds::ref

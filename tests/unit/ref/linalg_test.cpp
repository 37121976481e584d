// SPDX-License-Identifier: Apache-2.0
// Linear algebra against values of PyTorch 2.13 (LAPACK) in double, and against its identities.
#include "ds/base/error.h"
#include "testing.h"

namespace ds::ref {
namespace {

constexpr double kClose = 1e-11;  // the values below have 12 digits

/// The matrix [rows, n] times [n, cols].
List product(const Array& a, const Array& b) { return run(Op::matmul_, {a, b}); }
Array transposed(const Array& a) { return run_all(Op::permute_, {a}, {Shape{1, 0}})[0]; }

/// A positive definite matrix: A A^T + 1.
Array definite() {
  const Array a = noise({3, 3}, 15);
  List s = product(a, transposed(a));
  for (size_t i = 0; i < 9; i += 4) s[i] += 1;
  return f64s({3, 3}, s);
}

TEST_CASE("cholesky") {
  const List lower = {
      1.41979044453, 0, 0, -0.234923453124, 1.32800586281, 0, 0.146370569023, -0.557344640672,
      1.27619031887};
  CHECK(distance(run(Op::cholesky_, {definite()}, {false}), lower) < kClose);
  const List upper = transposed(f64s({3, 3}, lower)).numbers();
  CHECK(distance(run(Op::cholesky_, {definite()}, {true}), upper) < kClose);
  CHECK_THROWS_WITH_AS(run(Op::cholesky_, {f32s({2, 2}, {1, 0, 0, -1})}, {false}),
                       "cholesky: matrix 0 of f32[2,2] is not positive definite", ValueError);
  CHECK_THROWS_AS(run(Op::cholesky_, {f32s({1, 1}, {std::nan("")})}, {false}), ValueError);
}

TEST_CASE("triangular solves") {
  const Array l = f64s({2, 2}, {2, 9, 1, 4}), b = f64s({2, 1}, {6, 11});
  const auto solve = [&](bool upper, bool transpose, bool unit) {
    return run(Op::triangular_solve_, {l, b}, {upper, transpose, unit});
  };
  CHECK(solve(false, false, false) == List{3, 2});
  CHECK(solve(true, false, false) == List{(6 - 9 * 2.75) / 2, 2.75});
  CHECK(solve(false, true, false) == List{(6 - 2.75) / 2, 2.75});
  CHECK(solve(true, true, false) == List{3, -4});
  CHECK(solve(false, false, true) == List{6, 5});
}

TEST_CASE("solve, inverse and determinant") {
  const Array a = noise({3, 3}, 15), b = noise({3, 2}, 16);
  CHECK(distance(run(Op::solve_, {a, b}), {-0.133698232163, 0.0971369600809, 0.637924767773,
                                           0.705926901714, 0.929605287192, -0.382315541158}) <
        kClose);
  CHECK(distance(run(Op::inverse_, {a}),
                 {-0.840815571694, -1.00161551686, 0.0182188928352, -0.043512449396, -2.2373528777,
                  -2.03932972808, -0.70520639569, -0.128665013117, -0.703736920545}) < kClose);
  const auto det = run_all(Op::slogdet_, {a});
  CHECK(det[0].numbers() == List{-1});
  CHECK(distance(det[1].numbers(), {-0.932830550519}) < kClose);
  const Array singular = f64s({2, 2, 2}, {1, 0, 0, 1, 1, 2, 2, 4});
  CHECK_THROWS_WITH_AS(run(Op::inverse_, {singular}), "inverse: matrix 1 of f64[2,2,2] is singular",
                       ValueError);
  const auto zero = run_all(Op::slogdet_, {singular});
  CHECK(zero[0].numbers() == List{1, 0});
  CHECK(zero[1].numbers()[1] == -INFINITY);
}

TEST_CASE("qr has LAPACK's signs") {
  const auto tall = run_all(Op::qr_, {noise({4, 3}, 17)});
  CHECK(distance(tall[0].numbers(),
                 {-0.687407559443, 0.00560176622836, -0.229332344583, -0.541859157422,
                  -0.327958308786, -0.390781787472, 0.457718756458, -0.622186851359,
                  -0.574682452598, 0.156054608152, 0.710841395749, -0.681495670554}) < kClose);
  CHECK(distance(tall[1].numbers(), {0.748736746721, -0.930683196419, -0.115943039892, 0,
                                     0.232626303748, 0.365806819479, 0, 0, 0.709017313373}) <
        kClose);
  const auto wide = run_all(Op::qr_, {noise({2, 3}, 18)});
  CHECK(distance(wide[0].numbers(),
                 {-0.84020665136, -0.542266339552, -0.542266339552, 0.84020665136}) < kClose);
  CHECK(distance(wide[1].numbers(), {0.611649765086, -0.561410006349, 1.05260186896, 0,
                                     -0.646857285097, -0.318973089376}) < kClose);
  CHECK(run(Op::qr_, {f32s({2, 2}, {1, 0, 0, 1})}) == List{1, 0, 0, 1});
}

TEST_CASE("svd and eigh") {
  for (const Shape& shape : {Shape{4, 3}, Shape{3, 4}, Shape{40, 25}}) {
    const Array a = noise(shape, 17);
    const auto factors = run_all(Op::svd_, {a});
    const Array us = run_all(Op::mul_, {factors[0], factors[1]})[0];
    CHECK(distance(product(us, factors[2]), a.numbers()) < 1e-13);
    if (shape == Shape{4, 3})
      CHECK(distance(factors[1].numbers(), {1.22860035577, 0.777617254047, 0.12926122978}) <
            kClose);
  }
  const Array s = definite();
  const auto eigen = run_all(Op::eigh_, {s});
  CHECK(distance(eigen[0].numbers(), {1.0982940744, 1.85487593186, 2.84214262254}) < kClose);
  const Array scaled = run_all(Op::mul_, {eigen[1], eigen[0]})[0];
  CHECK(distance(product(scaled, transposed(eigen[1])), s.numbers()) < 1e-13);
  CHECK_THROWS_AS(run_all(Op::svd_, {f32s({1, 1}, {INFINITY})}), ValueError);
}

}  // namespace
}  // namespace ds::ref

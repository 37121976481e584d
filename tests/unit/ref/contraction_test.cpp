// SPDX-License-Identifier: Apache-2.0
// Matrix products and convolutions against their definitions, written as the plainest loops.
#include "testing.h"

namespace ds::ref {
namespace {

double dot(const List& a, const List& b) {
  REQUIRE(a.size() == b.size());
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

TEST_CASE("matmul of sizes around the blocks") {
  for (const auto& [m, n, k] :
       {std::array<int64_t, 3>{1, 1, 1}, {3, 5, 7}, {64, 64, 256}, {65, 67, 259}, {2, 130, 0}}) {
    const Array a = noise({m, k}, 1), b = noise({k, n}, 2);
    const List x = a.numbers(), y = b.numbers();
    List expected(static_cast<size_t>(m * n));
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j)
        for (int64_t p = 0; p < k; ++p)
          expected[static_cast<size_t>(i * n + j)] +=
              x[static_cast<size_t>(i * k + p)] * y[static_cast<size_t>(p * n + j)];
    CHECK(distance(run(Op::matmul_, {a, b}), expected) < 1e-12);
  }
}

TEST_CASE("matmul broadcasts its batch") {
  const Array a = ramp({2, 1, 1, 2}), b = ramp({3, 2, 1});
  // Rows (0,1) and (2,3) with columns (0,1), (2,3), (4,5).
  CHECK(run(Op::matmul_, {a, b}) == List{1, 3, 5, 3, 13, 23});
}

TEST_CASE("matmul of integers wraps and of halves rounds once") {
  const Array a = i64s({1, 2}, {0x1p62, 1}), b = i64s({2, 1}, {4, 3});
  CHECK(run(Op::matmul_, {a, b}) == List{3});
  const Array ones = array(DType::bf16, {1, 300}, List(300, 1.0));
  const Array tall = array(DType::bf16, {300, 1}, List(300, 1.0));
  CHECK(run(Op::matmul_, {ones, tall}) == List{300});
}

struct Case {
  Shape src, weights, stride, padding, padding_hi, dilation;
  int64_t groups;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> list = {
      {{2, 3, 9}, {4, 3, 3}, {1}, {0}, {0}, {1}, 1},
      {{2, 4, 7, 6}, {6, 2, 3, 2}, {2, 1}, {1, 0}, {2, 1}, {1, 2}, 2},
      {{1, 3, 5, 5}, {3, 1, 5, 5}, {1, 1}, {2, 2}, {2, 2}, {1, 1}, 3},
      {{1, 2, 4, 5, 6}, {3, 2, 2, 3, 2}, {2, 3, 2}, {0, 2, 1}, {1, 0, 1}, {2, 1, 3}, 1},
      {{1, 1, 4}, {1, 1, 1}, {3}, {5}, {5}, {1}, 1},  // outputs that see padding only
  };
  return list;
}

Attrs attrs_of(const Case& c) { return {c.stride, c.padding, c.padding_hi, c.dilation, c.groups}; }
Attrs with_sizes(const Shape& sizes, const Case& c) {
  Attrs attrs = attrs_of(c);
  attrs.insert(attrs.begin(), sizes);
  return attrs;
}

/// Sizes and attributes with ones in front, so that three loops serve all ranks.
std::array<int64_t, 3> three(const Shape& s, int skip, int64_t fill) {
  std::array<int64_t, 3> out{fill, fill, fill};
  for (int i = skip; i < s.rank(); ++i) out[static_cast<size_t>(3 - s.rank() + i)] = s[i];
  return out;
}

List convolve(const Case& c, const List& src, const List& weights, const Shape& out) {
  const auto in = three(c.src, 2, 1), kernel = three(c.weights, 2, 1), dst = three(out, 2, 1);
  const auto stride = three(c.stride, 0, 1), pad = three(c.padding, 0, 0);
  const auto dilation = three(c.dilation, 0, 1);
  const int64_t ic = c.weights[1], oc = c.weights[0];
  List result;
  for (int64_t n = 0; n < out[0]; ++n)
    for (int64_t o = 0; o < oc; ++o)
      for (int64_t z = 0; z < dst[0]; ++z)
        for (int64_t y = 0; y < dst[1]; ++y)
          for (int64_t x = 0; x < dst[2]; ++x) {
            double sum = 0;
            for (int64_t i = 0; i < ic; ++i)
              for (int64_t kz = 0; kz < kernel[0]; ++kz)
                for (int64_t ky = 0; ky < kernel[1]; ++ky)
                  for (int64_t kx = 0; kx < kernel[2]; ++kx) {
                    const int64_t sz = z * stride[0] - pad[0] + kz * dilation[0];
                    const int64_t sy = y * stride[1] - pad[1] + ky * dilation[1];
                    const int64_t sx = x * stride[2] - pad[2] + kx * dilation[2];
                    if (sz < 0 || sy < 0 || sx < 0 || sz >= in[0] || sy >= in[1] || sx >= in[2])
                      continue;
                    const int64_t channel = o / (oc / c.groups) * ic + i;
                    const int64_t at =
                        (((n * c.src[1] + channel) * in[0] + sz) * in[1] + sy) * in[2] + sx;
                    const int64_t w =
                        (((o * ic + i) * kernel[0] + kz) * kernel[1] + ky) * kernel[2] + kx;
                    sum += src[static_cast<size_t>(at)] * weights[static_cast<size_t>(w)];
                  }
            result.push_back(sum);
          }
  return result;
}

TEST_CASE("convolution follows its definition") {
  for (const Case& c : cases()) {
    CAPTURE(attr_text(c.src));
    const Array src = noise(c.src, 3), weights = noise(c.weights, 4);
    const Array out = run_all(Op::convolution_, {src, weights}, attrs_of(c))[0];
    CHECK(distance(out.numbers(), convolve(c, src.numbers(), weights.numbers(), out.type.shape)) <
          1e-12);
  }
}

TEST_CASE("both gradients are the transposes of convolution") {
  // <conv(x, w), d> = <x, diff_src(d, w)> = <w, diff_weights(x, d)> for all x, w and d.
  for (const Case& c : cases()) {
    CAPTURE(attr_text(c.src));
    const Array src = noise(c.src, 3), weights = noise(c.weights, 4);
    const Array out = run_all(Op::convolution_, {src, weights}, attrs_of(c))[0];
    const Array diff = noise(out.type.shape, 5);
    const double expected = dot(out.numbers(), diff.numbers());
    const Shape spatial(c.src.begin() + 2, c.src.end());
    const Shape kernel(c.weights.begin() + 2, c.weights.end());
    const Array diff_src = run_all(Op::conv_diff_src_, {diff, weights}, with_sizes(spatial, c))[0];
    CHECK(diff_src.type.shape == c.src);
    CHECK(dot(src.numbers(), diff_src.numbers()) == doctest::Approx(expected).epsilon(1e-12));
    const Array diff_weights =
        run_all(Op::conv_diff_weights_, {src, diff}, with_sizes(kernel, c))[0];
    CHECK(diff_weights.type.shape == c.weights);
    CHECK(dot(weights.numbers(), diff_weights.numbers()) ==
          doctest::Approx(expected).epsilon(1e-12));
  }
}

TEST_CASE("a convolution in bf16 rounds its sums once") {
  const Array src = array(DType::bf16, {1, 300, 1}, List(300, 1.0));
  const Array weights = array(DType::bf16, {1, 300, 1}, List(300, 1.0));
  CHECK(run(Op::convolution_, {src, weights},
            {Shape{1}, Shape{0}, Shape{0}, Shape{1}, int64_t{1}}) == List{300});
}

}  // namespace
}  // namespace ds::ref

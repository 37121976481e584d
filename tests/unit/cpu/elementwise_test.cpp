// SPDX-License-Identifier: Apache-2.0
// Tile programs against plain loops over the same strided space.
#include "ds/backends/cpu/kernels/elementwise.h"

#include <cstring>
#include <numeric>

#include "ds/base/parallel.h"
#include "tests/unit/cpu/kernel_testing.h"

using namespace ds;
using namespace ds::cpu;
using namespace ds::cpu::testing;

namespace {

using Ints = std::vector<int64_t>;

Ints contiguous(const Ints& dims) {
  Ints strides(dims.size());
  int64_t step = 1;
  for (size_t d = dims.size(); d-- > 0;) {
    strides[d] = step;
    step *= dims[d];
  }
  return strides;
}

int64_t count(const Ints& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

/// Calls f(index) for every point.
template <class F>
void each(const Ints& dims, F f) {
  Ints index(dims.size(), 0);
  for (int64_t i = 0; i < count(dims); ++i) {
    f(index);
    for (size_t d = dims.size(); d-- > 0 && ++index[d] == dims[d];) index[d] = 0;
  }
}

int64_t offset(const Ints& index, const Ints& strides) {
  return std::inner_product(index.begin(), index.end(), strides.begin(), int64_t{0});
}

/// out = relu(a * b + 1), also as bool out2 = a > b.
void check_space(const Ints& dims, const Ints& sa, const Ints& sb, const Ints& so, size_t size) {
  CAPTURE(dims);
  const std::vector<float> a = random_floats(size, 1), b = random_floats(size, 2);
  TileProgram program;
  const int x = program.input(DType::f32), y = program.input(DType::f32);
  const int one = program.constant(1);
  program.output(program.apply(TileOp::relu, program.apply(TileOp::fma, x, y, one)), DType::f32);
  program.output(program.apply(TileOp::gt, x, y), DType::bool_);
  std::vector<float> out(size, 42);
  std::vector<uint8_t> greater(size, 42);
  const TileSource sources[] = {{a.data(), sa.data()}, {b.data(), sb.data()}};
  const TileTarget targets[] = {{out.data(), so.data()}, {greater.data(), so.data()}};
  run_tile_program(program, dims, sources, targets);
  std::vector<float> want(size, 42);
  std::vector<uint8_t> want_greater(size, 42);
  each(dims, [&](const Ints& index) {
    const float p = a[offset(index, sa)], q = b[offset(index, sb)];
    want[offset(index, so)] = std::max(0.0f, p * q + 1);
    want_greater[offset(index, so)] = p > q;
  });
  CHECK(max_error(out, want) < 1e-6);
  CHECK(greater == want_greater);
}

}  // namespace

TEST_CASE("contiguous, broadcast, transposed, sliced and reversed spaces") {
  for_each_target([&] {
    for (int64_t n : {0, 1, 7, 17, 1000, 100003}) {
      check_space({n}, {1}, {1}, {1}, static_cast<size_t>(n));
      check_space({n}, {1}, {0}, {1}, static_cast<size_t>(n) + 1);
    }
    check_space({}, {}, {}, {}, 1);
    check_space({37, 64}, {64, 1}, {0, 1}, {64, 1}, 37 * 64);        // bias over rows
    check_space({37, 64}, {64, 1}, {1, 0}, {64, 1}, 37 * 64);        // one value per row
    check_space({5, 7, 9}, {63, 9, 1}, {0, 1, 0}, {63, 9, 1}, 315);  // bias over channels
    check_space({64, 50}, {50, 1}, {1, 64}, {50, 1}, 3200);          // transposed operand
    check_space({64, 50}, {1, 64}, {1, 64}, {1, 64}, 3200);          // all transposed: collapses
    check_space({33, 700}, {1400, 2}, {700, 1}, {700, 1}, 33 * 1400);
    check_space({3, 4, 5, 6, 7}, {0, 0, 0, 7, 1}, {840, 210, 42, 7, 1}, {840, 210, 42, 7, 1}, 2520);
    check_space({2, 1, 3, 1, 2500}, {7500, 9, 2500, 3, 1}, {0, 0, 0, 0, 1},
                {7500, 7500, 2500, 2500, 1}, 15000);
    check_space({1000, 3}, {3, 1}, {1, 0}, {3, 1}, 3000);  // tiny rows
    check_space({10, 2, 2, 2, 2, 2, 2, 2}, contiguous({10, 2, 2, 2, 2, 2, 2, 2}),
                {1, 10, 20, 40, 80, 160, 320, 640}, contiguous({10, 2, 2, 2, 2, 2, 2, 2}), 1280);
  });
}

TEST_CASE("one operation on long rows and a number for each of them") {
  const Ints dims = {3, 40001}, whole = {40001, 1}, column = {1, 0};
  const std::vector<float> x = random_floats(3 * 40001, 1);
  const std::vector<bf16> y = {bf16(1.5f), bf16(-2.0f), bf16(0.25f)};
  for_each_target([&] {
    TileProgram program;
    const int a = program.input(DType::f32), b = program.input(DType::bf16);
    program.output(program.apply(TileOp::sub, b, a), DType::f32);
    std::vector<float> out(x.size(), 42);
    const TileSource sources[] = {{x.data(), whole.data()}, {y.data(), column.data()}};
    const TileTarget targets[] = {{out.data(), whole.data()}};
    run_tile_program(program, dims, sources, targets);
    for (size_t i = 0; i < x.size(); ++i)
      REQUIRE(out[i] == static_cast<float>(y[i / 40001]) - x[i]);
  });
}

TEST_CASE("negative strides") {
  const Ints dims = {6, 9};
  std::vector<float> src(54), out(54);
  std::iota(src.begin(), src.end(), 0.0f);
  TileProgram program;
  program.output(program.apply(TileOp::neg, program.input(DType::f32)), DType::f32);
  const Ints flipped = {-9, -1}, plain = {9, 1};
  const TileSource sources[] = {{src.data() + 53, flipped.data()}};
  const TileTarget targets[] = {{out.data(), plain.data()}};
  run_tile_program(program, dims, sources, targets);
  for (int i = 0; i < 54; ++i) CHECK(out[i] == -src[53 - i]);
}

TEST_CASE("adam updates its three tensors in place, like f64 arithmetic") {
  for (size_t n : {1, 17, 5000, 200001}) {
    std::vector<float> p = random_floats(n, 1), m = random_floats(n, 3),
                       v = random_floats(n, 4, 0, 2);
    const std::vector<float> g = random_floats(n, 2), p0 = p, m0 = m, v0 = v;
    const float step_count = 7;
    TileProgram a;
    const int rp = a.input(DType::f32), rg = a.input(DType::f32), rm = a.input(DType::f32),
              rv = a.input(DType::f32), rt = a.input(DType::f32);
    const int b1 = a.constant(0.9f), b2 = a.constant(0.999f), one = a.constant(1);
    const int m1 = a.apply(TileOp::add, a.apply(TileOp::mul, rm, b1),
                           a.apply(TileOp::mul, rg, a.apply(TileOp::sub, one, b1)));
    const int v1 =
        a.apply(TileOp::add, a.apply(TileOp::mul, rv, b2),
                a.apply(TileOp::mul, a.apply(TileOp::square, rg), a.apply(TileOp::sub, one, b2)));
    const int c1 = a.apply(TileOp::sub, one, a.apply(TileOp::pow, b1, rt));
    const int c2 = a.apply(TileOp::sub, one, a.apply(TileOp::pow, b2, rt));
    const int denominator = a.apply(
        TileOp::add, a.apply(TileOp::sqrt, a.apply(TileOp::div, v1, c2)), a.constant(1e-8f));
    const int update = a.apply(TileOp::div, a.apply(TileOp::div, m1, c1), denominator);
    const int p1 = a.apply(TileOp::sub, rp, a.apply(TileOp::mul, update, a.constant(0.01f)));
    a.output(p1, DType::f32);
    a.output(m1, DType::f32);
    a.output(v1, DType::f32);
    const Ints dims = {static_cast<int64_t>(n)}, unit = {1}, zero = {0};
    const TileSource sources[] = {{p.data(), unit.data()},
                                  {g.data(), unit.data()},
                                  {m.data(), unit.data()},
                                  {v.data(), unit.data()},
                                  {&step_count, zero.data()}};
    const TileTarget targets[] = {
        {p.data(), unit.data()}, {m.data(), unit.data()}, {v.data(), unit.data()}};
    run_tile_program(a, dims, sources, targets);
    std::vector<double> wp(n), wm(n), wv(n);
    for (size_t i = 0; i < n; ++i) {
      wm[i] = 0.9 * m0[i] + 0.1 * g[i];
      wv[i] = 0.999 * v0[i] + 0.001 * g[i] * g[i];
      const double mh = wm[i] / (1 - std::pow(0.9, 7)), vh = wv[i] / (1 - std::pow(0.999, 7));
      wp[i] = p0[i] - 0.01 * mh / (std::sqrt(vh) + 1e-8);
    }
    CHECK(max_error(p, wp) < 1e-4);
    CHECK(max_error(m, wm) < 1e-6);
    CHECK(max_error(v, wv) < 1e-6);
  }
}

TEST_CASE("in place where a source is read after its memory is an output, and swaps") {
  const size_t n = 3001;
  std::vector<float> x = random_floats(n, 1), y = random_floats(n, 2), z(n);
  const std::vector<float> x0 = x, y0 = y;
  TileProgram program;
  const int a = program.input(DType::f32), b = program.input(DType::f32);
  const int sum = program.apply(TileOp::add, a, b);
  const int product = program.apply(TileOp::mul, a, sum);
  program.output(sum, DType::f32);  // into x, which product still reads
  program.output(a, DType::f32);    // x's old value into y
  program.output(product, DType::f32);
  const Ints dims = {static_cast<int64_t>(n)}, unit = {1};
  const TileSource sources[] = {{x.data(), unit.data()}, {y.data(), unit.data()}};
  const TileTarget targets[] = {
      {x.data(), unit.data()}, {y.data(), unit.data()}, {z.data(), unit.data()}};
  run_tile_program(program, dims, sources, targets);
  for (size_t i = 0; i < n; ++i) {
    CHECK(x[i] == x0[i] + y0[i]);
    CHECK(y[i] == x0[i]);
    CHECK(z[i] == x0[i] * (x0[i] + y0[i]));
  }
}

TEST_CASE("mixed dtypes, one value to several outputs, constants as outputs, unused inputs") {
  const size_t n = 2049;
  const std::vector<bf16> a = as<bf16>(random_floats(n, 1));
  const std::vector<f16> b = as<f16>(random_floats(n, 2));
  const std::vector<int64_t> c(n, 3);
  TileProgram program;
  const int x = program.input(DType::bf16), y = program.input(DType::f16),
            unused = program.input(DType::i64);
  CHECK(unused == 2);
  const int sum = program.apply(TileOp::add, x, y);
  program.output(sum, DType::f32);
  program.output(sum, DType::bf16);
  program.output(program.constant(2.5f), DType::f16);
  program.output(x, DType::f32);
  std::vector<float> wide(n), copy(n);
  std::vector<bf16> half(n);
  std::vector<f16> filled(n);
  const Ints dims = {static_cast<int64_t>(n)}, unit = {1};
  const TileSource sources[] = {
      {a.data(), unit.data()}, {b.data(), unit.data()}, {c.data(), unit.data()}};
  const TileTarget targets[] = {{wide.data(), unit.data()},
                                {half.data(), unit.data()},
                                {filled.data(), unit.data()},
                                {copy.data(), unit.data()}};
  run_tile_program(program, dims, sources, targets);
  for (size_t i = 0; i < n; ++i) {
    const float want = float(a[i]) + float(b[i]);
    CHECK(wide[i] == want);
    CHECK(half[i].bits == bf16(want).bits);
    CHECK(float(filled[i]) == 2.5f);
    CHECK(copy[i] == float(a[i]));
  }
}

TEST_CASE("a long chain keeps every value apart and does not depend on the thread count") {
  const size_t n = 50001;
  const std::vector<float> x = random_floats(n, 5, 0.5f, 2);
  TileProgram program;
  std::vector<int> values = {program.input(DType::f32)};
  for (int i = 0; i < 40; ++i) {
    const int a = values[values.size() - 1], b = values[values.size() / 2];
    values.push_back(program.apply(i % 3 ? TileOp::add : TileOp::mul, a, b));
    values.push_back(program.apply(TileOp::mul, values.back(), program.constant(0.4f)));
  }
  for (int back : {1, 5, 9}) program.output(values[values.size() - back], DType::f32);
  const Ints dims = {static_cast<int64_t>(n)}, unit = {1};
  const TileSource sources[] = {{x.data(), unit.data()}};
  std::vector<std::vector<float>> outs[2];
  for (int run = 0; run < 2; ++run) {
    const int threads = num_threads();
    if (run == 1) set_num_threads(1);
    outs[run].assign(3, std::vector<float>(n));
    const TileTarget targets[] = {{outs[run][0].data(), unit.data()},
                                  {outs[run][1].data(), unit.data()},
                                  {outs[run][2].data(), unit.data()}};
    run_tile_program(program, dims, sources, targets);
    set_num_threads(threads);
  }
  CHECK(outs[0] == outs[1]);
  for (size_t i = 0; i < n; i += 101) {
    std::vector<float> v = {x[i]};
    for (int k = 0; k < 40; ++k) {
      const float a = v[v.size() - 1], b = v[v.size() / 2];
      v.push_back(k % 3 ? a + b : a * b);
      v.push_back(v.back() * 0.4f);
    }
    CHECK(outs[0][0][i] == v[v.size() - 1]);
    CHECK(outs[0][1][i] == v[v.size() - 5]);
    CHECK(outs[0][2][i] == v[v.size() - 9]);
  }
}

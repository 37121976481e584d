// SPDX-License-Identifier: Apache-2.0
// Programs of the cpu backend: layouts, aliases, donation and memory, against plain loops.
#include "tests/unit/cpu/program.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

using namespace ds;
using ds::test::Program;

namespace {

std::vector<float> count(int64_t n, float start = 0) {
  std::vector<float> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), start);
  return values;
}

Shape ones(int rank) { return Shape::filled(rank, 1); }

}  // namespace

TEST_CASE("movement ops are aliases and cost no step but the output's copy") {
  Program p;
  const Value x = p.input({2, 3, 4});
  const Value t = p.make(Op::permute_, {x}, {Shape{2, 0, 1}});
  const Value s = p.make(Op::slice_, {t}, {Shape{1, 0, 0}, Shape{2, 2, 3}, Shape{2, 1, 1}});
  p.compile({s});
  CHECK(p.kernels() == std::vector<std::string>{"cpu:copy"});
  const auto src = count(24);
  std::vector<float> out(12);
  p.run({src.data()}, {out.data()});
  for (size_t i = 0; i < 2; ++i)
    for (size_t j = 0; j < 2; ++j)
      for (size_t k = 0; k < 3; ++k)
        CHECK(out[i * 6 + j * 3 + k] == src[j * 12 + k * 4 + 1 + 2 * i]);
}

TEST_CASE("reshape of a transposed value copies, and every later op sees the right order") {
  Program p;
  const Value x = p.input({3, 5});
  const Value t = p.make(Op::permute_, {x}, {Shape{1, 0}});
  const Value r = p.make(Op::reshape_, {t}, {Shape{15}});
  p.compile({p.make(Op::neg_, {r})});
  const auto src = count(15);
  std::vector<float> out(15);
  p.run({src.data()}, {out.data()});
  for (size_t i = 0; i < 15; ++i) CHECK(out[i] == -src[i % 3 * 5 + i / 3]);
}

TEST_CASE("cat, pad, flip and slice_scatter") {
  Program p;
  const Value x = p.input({2, 3}), y = p.input({2, 2});
  const Value cat = p.make(Op::cat_, {x, y}, {int64_t{1}});
  const Value pad = p.make(Op::pad_, {cat}, {Shape{1, 0}, Shape{0, 2}, -1.0});
  const Value flip = p.make(Op::flip_, {cat}, {Shape{1}});
  const Value put = p.make(Op::slice_scatter_, {x, y}, {Shape{0, 0}, Shape{1, 2}});
  p.compile({cat, pad, flip, put});
  const auto a = count(6), b = count(4, 100);
  std::vector<float> c(10), d(21), e(10), f(6);
  p.run({a.data(), b.data()}, {c.data(), d.data(), e.data(), f.data()});
  CHECK(c == std::vector<float>{0, 1, 2, 100, 101, 3, 4, 5, 102, 103});
  CHECK(d == std::vector<float>{-1,  -1, -1, -1, -1, -1, -1,  0,   1,  2, 100,
                                101, -1, -1, 3,  4,  5,  102, 103, -1, -1});
  CHECK(e == std::vector<float>{101, 100, 2, 1, 0, 103, 102, 5, 4, 3});
  CHECK(f == std::vector<float>{100, 1, 101, 102, 4, 103});
}

TEST_CASE("elementwise ops broadcast and convert") {
  Program p;
  const Value x = p.input({2, 3}), y = p.input({3}), m = p.input({2, 1}, DType::bool_);
  const Value sum = p.make(Op::add_, {x, y});
  const Value half = p.make(Op::cast_, {sum}, {DType::f16});
  const Value back = p.make(Op::cast_, {half}, {DType::f32});
  const Value picked = p.make(Op::where_, {m, back, x});
  const Value big = p.make(Op::gt_, {picked, y});
  p.compile({picked, big});
  const auto a = count(6, 0.1f), b = count(3, 1000.06f);
  const bool mask[] = {true, false};
  std::vector<float> out(6);
  bool greater[6];
  p.run({a.data(), b.data(), mask}, {out.data(), greater});
  for (size_t i = 0; i < 6; ++i) {
    const float want = i < 3 ? static_cast<float>(f16(a[i] + b[i % 3])) : a[i];
    CHECK(out[i] == want);
    CHECK(greater[i] == (want > b[i % 3]));
  }
}

TEST_CASE("a fused node is one step with several outputs") {
  Program p;
  const Value x = p.input({40, 50}), b = p.input({50});
  Graph body;
  for (int i = 0; i < 2; ++i)
    body.inputs.push_back(p.interner().node(
        Op::input_, {}, {int64_t{i}, DType::f32, i == 0 ? Shape{40, 50} : Shape{50}}));
  const Value bx{body.inputs[0], 0}, bb{body.inputs[1], 0};
  const Value sum = p.make(Op::add_, {bx, bb}), y = p.make(Op::tanh_, {sum});
  body.outputs = {y, p.make(Op::mul_, {y, bx})};
  const NodePtr node = p.fused({x, b}, body);
  p.compile({{node, 0}, {node, 1}});
  CHECK(p.kernels().size() == 1);
  CHECK(p.arena_bytes() == 0);
  auto a = count(2000), c = count(50, -20);
  for (float& v : a) v /= 1000;
  std::vector<float> out0(2000), out1(2000);
  p.run({a.data(), c.data()}, {out0.data(), out1.data()});
  for (size_t i = 0; i < 2000; ++i) {
    const float want = std::tanh(a[i] + c[i % 50]);
    CHECK(out0[i] == doctest::Approx(want).epsilon(1e-5));
    CHECK(out1[i] == doctest::Approx(want * a[i]).epsilon(1e-5));
  }
}

TEST_CASE("donated outputs take over their input's memory") {
  Program p;
  const Value x = p.input({8}), y = p.input({8});
  SUBCASE("updated in place without a copy") {
    p.compile({p.make(Op::sub_, {x, y})}, {{{0, 0}}, {}, {}, 0, {}});
    CHECK(p.kernels() == std::vector<std::string>{"cpu:tiles sub"});
    auto a = count(8);
    const auto b = count(8, 3);
    p.run({a.data(), b.data()}, {a.data()});
    CHECK(a == std::vector<float>(8, -3));
  }
  SUBCASE("a later reader still sees the old value") {
    const Value next = p.make(Op::add_, {x, y});
    const Value both = p.make(Op::mul_, {p.make(Op::neg_, {next}), x});
    p.compile({next, both}, {{{0, 0}}, {}, {}, 0, {}});
    auto a = count(8);
    const auto b = count(8, 3), old = a;
    std::vector<float> out(8);
    p.run({a.data(), b.data()}, {a.data(), out.data()});
    for (size_t i = 0; i < 8; ++i) {
      CHECK(a[i] == old[i] + b[i]);
      CHECK(out[i] == -(old[i] + b[i]) * old[i]);
    }
  }
  SUBCASE("read in another order than written") {
    const Value flipped = p.make(Op::flip_, {x}, {Shape{0}});
    p.compile({p.make(Op::add_, {x, flipped})}, {{{0, 0}}, {}, {}, 0, {}});
    auto a = count(8);
    const auto b = count(8);
    p.run({a.data(), b.data()}, {a.data()});
    CHECK(a == std::vector<float>(8, 7));
  }
  SUBCASE("two values change places") {
    p.compile({p.make(Op::reshape_, {y}, {Shape{2, 4}}), p.make(Op::reshape_, {x}, {Shape{2, 4}})},
              {{{0, 0}, {1, 1}}, {}, {}, 0, {}});
    auto a = count(8), b = count(8, 100);
    p.run({a.data(), b.data()}, {a.data(), b.data()});
    CHECK(a == count(8, 100));
    CHECK(b == count(8));
  }
}

TEST_CASE("channels-last goes from a convolution through elementwise ops to the next") {
  Program p;
  const Value x = p.input({2, 3, 6, 6}), w = p.input({8, 3, 3, 3}), v = p.input({4, 8, 1, 1});
  const Attrs attrs{ones(2), ones(2), ones(2), ones(2), int64_t{1}};
  const Attrs plain{ones(2), Shape{0, 0}, Shape{0, 0}, ones(2), int64_t{1}};
  const Value y = p.make(Op::relu_, {p.make(Op::convolution_, {x, w}, attrs)});
  p.compile({p.make(Op::convolution_, {y, v}, plain)});
  // One to channels-last at the start, one to row-major at the end.
  const auto kernels = p.kernels();
  CHECK(std::count(kernels.begin(), kernels.end(), "cpu:copy") == 2);
  std::vector<float> a(2 * 3 * 36), b(8 * 27, 0.5f), c(32, 0.25f), out(2 * 4 * 36);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 7) - 3;
  p.run({a.data(), b.data(), c.data()}, {out.data()});
  for (int n = 0; n < 2; ++n)
    for (int h = 0; h < 6; ++h)
      for (int q = 0; q < 6; ++q) {
        float sum = 0;
        for (int ch = 0; ch < 3; ++ch)
          for (int i = std::max(0, h - 1); i <= std::min(5, h + 1); ++i)
            for (int j = std::max(0, q - 1); j <= std::min(5, q + 1); ++j)
              sum += a[static_cast<size_t>(((n * 3 + ch) * 6 + i) * 6 + j)];
        const float want = 8 * 0.25f * std::max(0.0f, 0.5f * sum);
        CHECK(out[static_cast<size_t>((n * 4 * 6 + h) * 6 + q)] == doctest::Approx(want));
      }
}

TEST_CASE("matmul of transposed, broadcast and f64 operands") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    Program p;
    const Value x = p.input({2, 1, 3, 4}, dtype), y = p.input({5, 6, 4}, dtype);
    const Value t = p.make(Op::permute_, {y}, {Shape{0, 2, 1}});
    p.compile({p.make(Op::matmul_, {x, t})});
    std::vector<float> a = count(24), b = count(120), out(2 * 5 * 18);
    std::vector<double> a64(a.begin(), a.end()), b64(b.begin(), b.end()), out64(out.size());
    if (dtype == DType::f32)
      p.run({a.data(), b.data()}, {out.data()});
    else
      p.run({a64.data(), b64.data()}, {out64.data()});
    for (size_t i = 0; i < 2; ++i)
      for (size_t j = 0; j < 5; ++j)
        for (size_t m = 0; m < 3; ++m)
          for (size_t n = 0; n < 6; ++n) {
            double sum = 0;
            for (size_t k = 0; k < 4; ++k) sum += a[i * 12 + m * 4 + k] * b[j * 24 + n * 4 + k];
            const size_t at = ((i * 5 + j) * 3 + m) * 6 + n;
            CHECK((dtype == DType::f32 ? out[at] : out64[at]) == sum);
          }
  }
}

TEST_CASE("what is put together lies as its largest part does") {
  Program p;  // a class token, one for all images, before each image's patches
  const Value token = p.input({1, 1, 8}), patches = p.input({2, 3, 8});
  const Value each = p.make(Op::expand_, {token}, {Shape{2, 1, 8}});
  p.compile({p.make(Op::cat_, {each, patches}, {int64_t{1}})});
  CHECK(p.kernels() == std::vector<std::string>{"cpu:copy", "cpu:copy"});  // into the output
  Program q;
  const Value one = q.input({1, 1, 8}), repeated = q.make(Op::expand_, {one}, {Shape{2, 4, 8}});
  const Shape zeros{0, 0, 0}, more{0, 1, 0};
  q.compile({q.make(Op::pad_, {repeated}, {zeros, more, 0.0})});
  CHECK(q.kernels() == std::vector<std::string>{"cpu:fill", "cpu:copy"});
}

TEST_CASE("packed weights are used again when they are there already") {
  Program p;
  const Value x = p.input({1, 16, 6, 6}), w = p.input({32, 16, 3, 3});
  const Attrs attrs{ones(2), ones(2), ones(2), ones(2), int64_t{1}};
  p.compile({p.make(Op::convolution_, {x, w}, attrs)});
  const std::vector<InputCopy>& wanted = p.executable().input_copies();
  REQUIRE(wanted.size() == 1);  // every processor's kernel wants its own layout here
  CHECK(wanted[0].input == 1);
  std::vector<float> src(16 * 36, 1), weights(32 * 16 * 9, 0.5f), twice(weights.size(), 1.0f);
  std::vector<float> first(32 * 36), same(first.size()), changed(first.size());
  const auto arena = allocate_host(p.arena_bytes()),
             copy = allocate_host(wanted[0].layout->nbytes());
  const auto run = [&](const std::vector<float>& given, bool copied, std::vector<float>& dst) {
    const void* inputs[] = {src.data(), given.data()};
    void* outputs[] = {dst.data()};
    RunContext context;
    context.arena = arena.get();
    context.copies = {copy.get()};
    context.copied = {copied};
    p.executable().run(inputs, outputs, context);
  };
  run(weights, false, first);
  run(twice, true, same);  // weights are not read
  run(twice, false, changed);
  CHECK(first[0] == 16 * 4 * 0.5f);
  CHECK(same == first);
  for (size_t i = 0; i < first.size(); ++i) REQUIRE(changed[i] == 2 * first[i]);

  CompileOptions updated;  // weights that the program overwrites are packed each time
  updated.donations = {{1, 1}};
  Program step;
  const Value y = step.input({1, 16, 6, 6}), v = step.input({32, 16, 3, 3});
  step.compile({step.make(Op::convolution_, {y, v}, attrs), step.make(Op::neg_, {v})}, updated);
  CHECK(step.executable().input_copies().empty());
}

TEST_CASE("a weight in 16 bits is kept with the weight that it is a cast of") {
  Program p;
  const Value x = p.input({3, 8}, DType::bf16), w = p.input({4, 8});
  const auto product = [](Program& program, const Value& lhs, const Value& weight) {
    const Value half = program.make(Op::cast_, {weight}, {DType::bf16});
    return program.make(Op::matmul_, {lhs, program.make(Op::permute_, {half}, {Shape{1, 0}})});
  };
  p.compile({product(p, x, w)});
  const std::vector<InputCopy>& wanted = p.executable().input_copies();
  REQUIRE(!wanted.empty());
  for (const InputCopy& copy : wanted) CHECK(copy.input == 1);
  CHECK(wanted[0].layout->nbytes() == 32 * sizeof(bf16));
  const std::vector<bf16> src(24, bf16(1.0F));
  const std::vector<float> weights(32, 0.5F), twice(32, 1.0F);
  const auto arena = allocate_host(p.arena_bytes());
  std::vector<std::shared_ptr<void>> copies;
  for (const InputCopy& copy : wanted) copies.push_back(allocate_host(copy.layout->nbytes()));
  const auto run = [&](const std::vector<float>& given, bool copied) {
    std::vector<bf16> dst(12);
    const void* inputs[] = {src.data(), given.data()};
    void* outputs[] = {dst.data()};
    RunContext context;
    context.arena = arena.get();
    for (const auto& copy : copies) context.copies.push_back(copy.get());
    context.copied.assign(copies.size(), copied);
    p.executable().run(inputs, outputs, context);
    return static_cast<float>(dst[0]);
  };
  CHECK(run(weights, false) == 4);
  CHECK(run(twice, true) == 4);  // weights are not read
  CHECK(run(twice, false) == 8);

  CompileOptions updated;
  updated.donations = {{1, 1}};
  Program step;
  const Value y = step.input({3, 8}, DType::bf16), v = step.input({4, 8});
  step.compile({product(step, y, v), step.make(Op::neg_, {v})}, updated);
  CHECK(step.executable().input_copies().empty());
}

TEST_CASE("matmul and convolution in 16 bits run on any processor") {
  for (const DType dtype : {DType::f16, DType::bf16}) {
    Program p;
    const Value x = p.input({4, 8}, dtype), y = p.input({8, 4}, dtype);
    const Value z = p.make(Op::matmul_, {x, y});
    p.compile({p.make(Op::cast_, {z}, {DType::f32})});
    const std::vector<f16> halves(32, f16(0.5f));
    const std::vector<bf16> brains(32, bf16(0.5f));
    const void* data = dtype == DType::f16 ? static_cast<const void*>(halves.data())
                                           : static_cast<const void*>(brains.data());
    std::vector<float> out(16);
    p.run({data, data}, {out.data()});
    CHECK(out == std::vector<float>(16, 2.0f));
  }
}

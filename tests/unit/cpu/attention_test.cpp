// SPDX-License-Identifier: Apache-2.0
// Attention and its gradient on the cpu backend against the reference backend, which adds in f64.
#include <algorithm>

#include "ds/backends/cpu/kernels/tile.h"
#include "ds/base/parallel.h"
#include "tests/unit/cpu/kernel_testing.h"
#include "tests/unit/cpu/program.h"

using namespace ds;
using namespace ds::cpu::testing;
using ds::test::Program;

namespace {

struct Case {
  int64_t batch, heads, kv_heads, queries, keys, dim, v_dim;
  bool causal = false;
  Shape mask = {};  // no mask when empty
  bool mask_is_bool = true;
  bool permuted = false;  // heads lie as [B, T, H, D], as projections leave them
  DType dtype = DType::f32;
  double scale = 0.3;
  double dropout = 0;
};

using Bytes = std::vector<char>;
using Floats = std::vector<float>;

/// out, logsumexp, diff_q, diff_k and diff_v as a program of one device.
class AttentionProgram {
 public:
  AttentionProgram(const Case& c, const char* device) : case_(c) {
    const Value diff = heads(c.heads, c.queries, c.v_dim);
    Values in{heads(c.heads, c.queries, c.dim), heads(c.kv_heads, c.keys, c.dim),
              heads(c.kv_heads, c.keys, c.v_dim)};
    if (!c.mask.empty()) in.push_back(input(c.mask, c.mask_is_bool ? DType::bool_ : c.dtype));
    if (c.dropout > 0) in.push_back(input({2}, DType::i64));
    const Attrs attrs{c.causal, c.scale, c.dropout, int64_t{5}};
    const NodePtr forward = p_.interner().node(Op::attention_, in, attrs);
    Values more{diff, in[0], in[1], in[2], {forward, 0}, {forward, 1}};
    more.insert(more.end(), in.begin() + 3, in.end());
    const NodePtr backward = p_.interner().node(Op::attention_backward_, more, attrs);
    outputs_ = {back({forward, 0}),
                {forward, 1},
                back({backward, 0}),
                back({backward, 1}),
                back({backward, 2})};
    p_.compile(outputs_, {}, device);
  }

  std::vector<Floats> run(const std::vector<Bytes>& inputs) {
    std::vector<Bytes> found;
    std::vector<const void*> src;
    std::vector<void*> dst;
    for (const Bytes& bytes : inputs) src.push_back(bytes.data());
    for (const Value& value : outputs_)
      found.emplace_back(static_cast<size_t>(value.shape().numel()) * dtype_size(value.dtype()));
    for (Bytes& bytes : found) dst.push_back(bytes.data());
    p_.run(src, dst);
    std::vector<Floats> result;
    for (size_t i = 0; i < found.size(); ++i) {
      result.emplace_back(static_cast<size_t>(outputs_[i].shape().numel()));
      cpu::tile_load(outputs_[i].dtype(), found[i].data(), 1, result[i].data(), result[i].size());
    }
    return result;
  }

  /// Inputs in the order diff_out, q, k, v, mask, state of the generator; bools are true four times
  /// of five.
  std::vector<Bytes> random_inputs(unsigned seed) const {
    std::vector<Bytes> all;
    for (const Type& type : inputs_) {
      if (type.dtype == DType::i64) {
        const int64_t state[2] = {seed, int64_t{1} << 33};
        const auto* bytes = reinterpret_cast<const char*>(state);
        all.emplace_back(bytes, bytes + sizeof(state));
        continue;
      }
      Floats values = random_floats(static_cast<size_t>(type.shape.numel()), ++seed);
      if (type.dtype == DType::bool_)
        for (float& v : values) v = v > -1.2f ? 1.0f : 0.0f;
      all.emplace_back(values.size() * dtype_size(type.dtype));
      cpu::tile_store(type.dtype, values.data(), all.back().data(), 1, values.size());
    }
    return all;
  }
  std::vector<std::string> kernels() const { return p_.kernels(); }

 private:
  Value input(const Shape& dims, DType dtype) {
    inputs_.push_back({dtype, dims});
    return p_.input(dims, dtype);
  }
  Value heads(int64_t count, int64_t rows, int64_t dim) {
    if (!case_.permuted) return input({case_.batch, count, rows, dim}, case_.dtype);
    return back(input({case_.batch, rows, count, dim}, case_.dtype));
  }
  /// Exchanges heads and rows where the case says so.
  Value back(const Value& x) {
    return case_.permuted ? p_.make(Op::permute_, {x}, {Shape{0, 2, 1, 3}}) : x;
  }

  Case case_;
  Program p_;
  std::vector<Type> inputs_;
  Values outputs_;
};

const char* const kNames[] = {"out", "logsumexp", "diff_q", "diff_k", "diff_v"};

void compare(const std::vector<Floats>& got, const std::vector<Floats>& want, double tolerance) {
  for (size_t i = 0; i < want.size(); ++i) {
    CAPTURE(kNames[i]);
    CHECK(max_error(got[i], want[i]) <= tolerance);
  }
}

void check(const Case& c) {
  CAPTURE(c.queries);
  CAPTURE(c.keys);
  CAPTURE(c.dim);
  CAPTURE(c.v_dim);
  CAPTURE(c.causal);
  CAPTURE(c.dtype);
  CAPTURE(c.mask);
  AttentionProgram reference(c, "ref"), program(c, "cpu");
  const std::vector<Bytes> inputs = reference.random_inputs(7);
  const std::vector<Floats> want = reference.run(inputs);
  // Halves round q, k, v and out before the gradient sees them: a few units of the last place.
  const double tolerance = c.dtype == DType::f32 ? 2e-5 : 16 * rounding(c.dtype);
  for_each_target([&] { compare(program.run(inputs), want, tolerance); });
}

}  // namespace

TEST_CASE("attention of all sizes around the tiles, in both memory orders") {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const bool permuted : {false, true})
      for (const bool causal : {false, true})
        for (const auto& [queries, keys] : std::vector<std::pair<int64_t, int64_t>>{{1, 1},
                                                                                    {1, 300},
                                                                                    {5, 3},
                                                                                    {3, 5},
                                                                                    {16, 16},
                                                                                    {17, 33},
                                                                                    {70, 70},
                                                                                    {70, 290},
                                                                                    {290, 70}})
          check({.batch = 2,
                 .heads = 2,
                 .kv_heads = 2,
                 .queries = queries,
                 .keys = keys,
                 .dim = 8,
                 .v_dim = 8,
                 .causal = causal,
                 .permuted = permuted,
                 .dtype = dtype});
}

TEST_CASE("attention of odd and unequal head sizes, with shared keys, in every dtype") {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    for (const auto& [dim, v_dim] :
         std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {7, 13}, {64, 64}, {33, 5}, {12, 100}})
      check({.batch = 1,
             .heads = 4,
             .kv_heads = 2,
             .queries = 37,
             .keys = 41,
             .dim = dim,
             .v_dim = v_dim,
             .causal = dim == 7,
             .permuted = true,
             .dtype = dtype});
}

TEST_CASE("attention with masks that repeat along any dimension") {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const bool is_bool : {true, false})
      for (const Shape& mask : {Shape{2, 3, 35, 260}, Shape{2, 1, 1, 260}, Shape{35, 260},
                                Shape{1, 3, 35, 1}, Shape{260}, Shape{1, 1, 1, 1}})
        for (const bool causal : {false, true})
          check({.batch = 2,
                 .heads = 3,
                 .kv_heads = 3,
                 .queries = 35,
                 .keys = 260,
                 .dim = 10,
                 .v_dim = 18,
                 .causal = causal,
                 .mask = mask,
                 .mask_is_bool = is_bool,
                 .dtype = dtype});
}

TEST_CASE("attention drops the weights that the reference backend drops") {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    for (const double dropout : {0.1, 0.7, 1.0})
      for (const int64_t keys : {int64_t{5}, int64_t{40}, int64_t{291}})
        for (const bool masked : {false, true})
          check({.batch = 2,
                 .heads = 4,
                 .kv_heads = 2,
                 .queries = 70,
                 .keys = keys,
                 .dim = 8,
                 .v_dim = 6,
                 .causal = !masked,
                 .mask = masked ? Shape{2, 1, 70, keys} : Shape{},
                 .permuted = masked,
                 .dtype = dtype,
                 .dropout = dropout});
}

TEST_CASE("attention reads permuted heads in place and leaves its result so") {
  const Case c{.batch = 2,
               .heads = 3,
               .kv_heads = 3,
               .queries = 20,
               .keys = 20,
               .dim = 16,
               .v_dim = 16,
               .permuted = true};
  for (const std::string& kernel : AttentionProgram(c, "cpu").kernels())
    CHECK(kernel != "cpu:copy");
}

TEST_CASE("a query without keys gets 0, -inf and no gradient") {
  const Case c{.batch = 1,
               .heads = 1,
               .kv_heads = 1,
               .queries = 3,
               .keys = 4,
               .dim = 2,
               .v_dim = 2,
               .mask = {3, 4}};
  AttentionProgram program(c, "cpu");
  std::vector<Bytes> inputs = program.random_inputs(1);
  inputs[4] = {1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1};
  const std::vector<Floats> want = AttentionProgram(c, "ref").run(inputs);
  for_each_target([&] {
    const std::vector<Floats> got = program.run(inputs);
    compare(got, want, 2e-5);
    CHECK(got[0][2] == 0);
    CHECK(got[1][1] == -kInf);
    CHECK(got[2][3] == 0);
  });
}

TEST_CASE("attention of huge, infinite and NaN scores") {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const float special : {kNan, kInf, -kInf, 1e30f, -3e38f})
      for (const bool in_mask : {false, true}) {
        // Products of pairs are scaled afterwards, and so overflow as PyTorch's do.
        if (dtype == DType::bf16 && special == -3e38f) continue;
        CAPTURE(special);
        CAPTURE(in_mask);
        const Case c{.batch = 1,
                     .heads = 1,
                     .kv_heads = 1,
                     .queries = 2,
                     .keys = 300,
                     .dim = 2,
                     .v_dim = 2,
                     .mask = {2, 300},
                     .mask_is_bool = false,
                     .dtype = dtype};
        AttentionProgram program(c, "cpu");
        std::vector<Bytes> inputs = program.random_inputs(3);
        // The first query alone meets it, at keys of both tiles.
        char* at = inputs[in_mask ? 4 : 1].data();
        for (const size_t key : in_mask ? std::vector<size_t>{1, 280} : std::vector<size_t>{0})
          cpu::tile_store(dtype, &special, at + key * dtype_size(dtype), 1, 1);
        const std::vector<Floats> want = AttentionProgram(c, "ref").run(inputs);
        for_each_target([&] {
          const std::vector<Floats> got = program.run(inputs);
          const double tolerance = dtype == DType::f32 ? 1e-5 : 16 * rounding(dtype);
          for (size_t i = 0; i < want[0].size(); ++i) {
            CHECK(std::isnan(got[0][i]) == std::isnan(want[0][i]));
            if (!std::isnan(want[0][i])) CHECK(std::fabs(got[0][i] - want[0][i]) < tolerance);
          }
        });
      }
}

TEST_CASE("a mask of the lowest number hides all keys alike") {
  // As transformers does it: unlike -inf, all scores round to one value and the weights are equal.
  const Case c{.batch = 1,
               .heads = 1,
               .kv_heads = 1,
               .queries = 1,
               .keys = 4,
               .dim = 2,
               .v_dim = 1,
               .mask = {4},
               .mask_is_bool = false};
  AttentionProgram program(c, "cpu");
  std::vector<Bytes> inputs = program.random_inputs(5);
  std::fill_n(reinterpret_cast<float*>(inputs[4].data()), 4, -3.4028235e38f);
  const float* v = reinterpret_cast<const float*>(inputs[3].data());
  for_each_target([&] {
    CHECK(program.run(inputs)[0][0] == doctest::Approx((v[0] + v[1] + v[2] + v[3]) / 4));
  });
}

TEST_CASE("attention over nothing") {
  const Case c{
      .batch = 1, .heads = 1, .kv_heads = 1, .queries = 2, .keys = 0, .dim = 2, .v_dim = 2};
  AttentionProgram program(c, "cpu");
  const std::vector<Floats> got = program.run(program.random_inputs(1));
  CHECK(got[0] == Floats(4, 0.0f));
  CHECK(got[1] == Floats(2, -kInf));
}

TEST_CASE("attention gives the same bits with any number of threads") {
  const Case c{.batch = 2,
               .heads = 4,
               .kv_heads = 2,
               .queries = 130,
               .keys = 130,
               .dim = 16,
               .v_dim = 16,
               .causal = true,
               .dropout = 0.2};
  AttentionProgram program(c, "cpu");
  const std::vector<Bytes> inputs = program.random_inputs(9);
  const int before = num_threads();
  set_num_threads(1);
  const std::vector<Floats> one = program.run(inputs);
  set_num_threads(3);
  CHECK(program.run(inputs) == one);
  set_num_threads(before);
}

TEST_CASE("attention in f64 is left to the reference backend") {
  const Case c{.batch = 1,
               .heads = 1,
               .kv_heads = 1,
               .queries = 2,
               .keys = 2,
               .dim = 2,
               .v_dim = 2,
               .dtype = DType::f64};
  CHECK(AttentionProgram(c, "cpu").kernels() ==
        std::vector<std::string>{"ref:attention", "ref:attention_backward"});
}

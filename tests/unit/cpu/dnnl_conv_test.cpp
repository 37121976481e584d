// SPDX-License-Identifier: Apache-2.0
// The oneDNN convolution wrapper against plain loops.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "ds/backends/cpu/conv_weights.h"
#include "ds/backends/cpu/dnnl/conv.h"
#include "ds/backends/cpu/dnnl/reorder.h"

using namespace ds;
using namespace ds::cpu;

namespace {

struct Case {
  const char* name;
  Shape src;     // [N, IC, spatial...]
  Shape kernel;  // spatial
  int64_t oc;
  Shape stride, padding, padding_hi, dilation;
  int64_t groups = 1;
};

const std::vector<Case> kCases = {
    {"1x1", {2, 8, 5, 7}, {1, 1}, 16, {1, 1}, {0, 0}, {0, 0}, {1, 1}},
    {"3x3", {2, 16, 9, 8}, {3, 3}, 8, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {"3x3/2 with asymmetric padding", {2, 8, 9, 8}, {3, 3}, 8, {2, 2}, {0, 1}, {1, 2}, {1, 1}},
    {"odd channels", {1, 3, 11, 11}, {5, 3}, 7, {2, 1}, {2, 0}, {2, 0}, {1, 1}},
    {"dilated", {1, 8, 12, 12}, {3, 3}, 8, {1, 1}, {2, 3}, {2, 3}, {2, 3}},
    {"groups", {2, 12, 6, 6}, {3, 3}, 6, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 3},
    {"depthwise", {2, 16, 6, 6}, {3, 3}, 16, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 16},
    {"1d", {3, 4, 20}, {5}, 6, {2}, {2}, {1}, {1}},
    {"3d", {1, 4, 5, 6, 4}, {3, 2, 1}, 8, {1, 2, 1}, {1, 0, 0}, {1, 1, 0}, {1, 1, 1}},
};

std::vector<float> numbers(int64_t count, unsigned seed) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<int>(seed >> 16) % 201 - 100) / 64.0f;
  }
  return values;
}

Shape dst_dims(const Case& c) {
  Shape dims{c.src[0], c.oc};
  for (int i = 0; i < c.kernel.rank(); ++i) {
    const int64_t room =
        c.src[i + 2] + c.padding[i] + c.padding_hi[i] - c.dilation[i] * (c.kernel[i] - 1) - 1;
    dims.push_back(room / c.stride[i] + 1);
  }
  return dims;
}

Shape weights_dims(const Case& c) {
  Shape dims{c.oc, c.src[1] / c.groups};
  for (const int64_t k : c.kernel) dims.push_back(k);
  return dims;
}

int64_t offset(const Shape& index, const Shape& strides) {
  return std::inner_product(index.begin(), index.end(), strides.begin(), int64_t{0});
}

/// Next index in row-major order; false after the last.
bool next(Shape& index, const Shape& dims) {
  for (int i = dims.rank() - 1; i >= 0; --i) {
    if (++index[i] < dims[i]) return true;
    index[i] = 0;
  }
  return false;
}

/// Calls f(offset in src, in weights, in dst) for every product of the convolution; all row-major.
template <class F>
void each_product(const Case& c, F&& f) {
  const Shape dst = dst_dims(c), weights = weights_dims(c);
  const Shape src_strides = contiguous_strides(c.src), dst_strides = contiguous_strides(dst),
              weights_strides = contiguous_strides(weights);
  Shape d = Shape::filled(dst.rank(), 0);
  do {
    Shape w = Shape::filled(weights.rank(), 0);
    w[0] = d[1];
    Shape inner(weights.begin() + 1, weights.end()), k = Shape::filled(inner.rank(), 0);
    do {
      for (int i = 0; i < k.rank(); ++i) w[i + 1] = k[i];
      Shape s = d;
      s[1] = d[1] / (c.oc / c.groups) * weights[1] + k[0];
      bool inside = true;
      for (int i = 0; i < c.kernel.rank(); ++i) {
        s[i + 2] = d[i + 2] * c.stride[i] - c.padding[i] + k[i + 1] * c.dilation[i];
        inside = inside && s[i + 2] >= 0 && s[i + 2] < c.src[i + 2];
      }
      if (inside) f(offset(s, src_strides), offset(w, weights_strides), offset(d, dst_strides));
    } while (next(k, inner));
  } while (next(d, dst));
}

/// Row-major values into the strides of `desc`, or back.
std::vector<float> arrange(const std::vector<float>& values, const TensorDesc& desc, bool back) {
  std::vector<float> out(values.size());
  const Shape plain = contiguous_strides(desc.dims);
  Shape index = Shape::filled(desc.dims.rank(), 0);
  do {
    const auto a = static_cast<size_t>(offset(index, plain));
    const auto b = static_cast<size_t>(offset(index, desc.strides));
    out[back ? a : b] = values[back ? b : a];
  } while (next(index, desc.dims));
  return out;
}

ConvSpec make_spec(const Case& c, ConvKind kind, bool last, bool pack) {
  ConvSpec spec;
  spec.kind = kind;
  spec.src = last ? channels_last(DType::f32, c.src) : row_major(DType::f32, c.src);
  spec.dst = last ? channels_last(DType::f32, dst_dims(c)) : row_major(DType::f32, dst_dims(c));
  spec.weights = weights_dims(c);
  spec.stride = c.stride;
  spec.padding = c.padding;
  spec.padding_hi = c.padding_hi;
  spec.dilation = c.dilation;
  spec.groups = c.groups;
  spec.pack_weights = pack;
  return spec;
}

std::vector<float> packed(const ConvPlan& plan, const std::vector<float>& weights, bool pack) {
  if (!plan.weights_layout()) return weights;
  const ReorderPlan reorder(pack ? ReorderPlan::Direction::pack : ReorderPlan::Direction::unpack,
                            DType::f32, plan.weights_layout());
  std::vector<float> out(pack ? plan.weights_layout()->nbytes() / sizeof(float) : weights.size());
  std::vector<char> scratch(reorder.scratchpad_bytes() + 1);
  reorder.execute(weights.data(), out.data(), scratch.data());
  return out;
}

void check_close(const std::vector<float>& got, const std::vector<double>& want) {
  REQUIRE(got.size() >= want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    const bool close = std::abs(got[i] - want[i]) <= 1e-4 * (1 + std::abs(want[i]));
    if (!close) FAIL("element ", i, ": ", got[i], " is not ", want[i]);
  }
}

void check_case(const Case& c, bool last, bool pack) {
  CAPTURE(c.name);
  CAPTURE(last);
  CAPTURE(pack);
  const auto src = numbers(c.src.numel(), 1), weights = numbers(weights_dims(c).numel(), 2),
             dst = numbers(dst_dims(c).numel(), 3), bias = numbers(c.oc, 4);
  std::vector<double> want_dst(dst.size()), want_src(src.size()), want_weights(weights.size());
  const int64_t plane = dst_dims(c).numel() / c.src[0] / c.oc;
  std::vector<double> want_bias(bias.size());
  for (size_t i = 0; i < dst.size(); ++i) {
    const size_t channel = i / static_cast<size_t>(plane) % bias.size();
    want_dst[i] = bias[channel];
    want_bias[channel] += dst[i];
  }
  each_product(c, [&](int64_t s, int64_t w, int64_t d) {
    const auto si = static_cast<size_t>(s), wi = static_cast<size_t>(w),
               di = static_cast<size_t>(d);
    want_dst[di] += double(src[si]) * weights[wi];
    want_src[si] += double(dst[di]) * weights[wi];
    want_weights[wi] += double(dst[di]) * src[si];
  });
  std::string why;
  ConvSpec spec = make_spec(c, ConvKind::forward, last, pack);
  spec.bias = true;
  if (const auto plan = ConvPlan::make(spec, &why)) {
    std::vector<char> scratch(plan->scratchpad_bytes() + 1);
    const auto x = arrange(src, spec.src, false), w = packed(*plan, weights, true);
    std::vector<float> y(dst.size());
    plan->execute({x.data(), w.data(), bias.data(), y.data(), {}}, scratch.data());
    check_close(arrange(y, spec.dst, true), want_dst);
  } else {
    CHECK_MESSAGE(!pack, why);
  }
  spec = make_spec(c, ConvKind::backward_data, last, pack);
  if (const auto plan = ConvPlan::make(spec, &why)) {
    std::vector<char> scratch(plan->scratchpad_bytes() + 1);
    const auto y = arrange(dst, spec.dst, false), w = packed(*plan, weights, true);
    std::vector<float> x(src.size());
    plan->execute({x.data(), w.data(), nullptr, y.data(), {}}, scratch.data());
    check_close(arrange(x, spec.src, true), want_src);
  } else {
    CHECK_MESSAGE(!pack, why);
  }
  spec = make_spec(c, ConvKind::backward_weights, last, pack);
  spec.bias = true;
  if (const auto plan = ConvPlan::make(spec, &why)) {
    std::vector<char> scratch(plan->scratchpad_bytes() + 1);
    const auto y = arrange(dst, spec.dst, false), x = arrange(src, spec.src, false);
    std::vector<float> w(plan->weights_layout() ? plan->weights_layout()->nbytes() / sizeof(float)
                                                : weights.size());
    std::vector<float> b(bias.size());
    plan->execute({x.data(), w.data(), b.data(), y.data(), {}}, scratch.data());
    if (plan->weights_layout()) {
      std::vector<float> plain(weights.size());
      const ReorderPlan reorder(ReorderPlan::Direction::unpack, DType::f32, plan->weights_layout());
      std::vector<char> more(reorder.scratchpad_bytes() + 1);
      reorder.execute(w.data(), plain.data(), more.data());
      w = plain;
    }
    check_close(w, want_weights);
    check_close(b, want_bias);
  } else {
    CHECK_MESSAGE(!pack, why);
  }
}

}  // namespace

TEST_CASE("convolution and its gradients equal plain loops") {
  for (const Case& c : kCases) {
    for (const bool last : {true, false})
      for (const bool pack : {true, false}) check_case(c, last, pack);
  }
}

TEST_CASE("our own kernel of the weights' gradient equals plain loops") {
  std::vector<Case> cases = kCases;
  // Several blocks and a partial one; lines longer than a block; blocks of several images; columns
  // enough to be divided among threads.
  cases.push_back({"blocks", {3, 24, 95, 97}, {3, 3}, 4, {1, 1}, {1, 1}, {1, 1}, {1, 1}});
  cases.push_back({"long lines", {2, 17, 1, 700}, {1, 5}, 13, {1, 2}, {0, 3}, {1, 2}, {1, 1}});
  cases.push_back({"few channels", {1, 3, 40, 301}, {7, 7}, 9, {2, 2}, {3, 3}, {1, 1}, {1, 1}});
  cases.push_back({"small images", {9, 40, 5, 5}, {3, 3}, 200, {1, 1}, {1, 1}, {1, 1}, {1, 1}});
  cases.push_back({"one long line", {2, 70, 33, 19}, {1, 1}, 30, {1, 1}, {0, 0}, {1, 1}, {1, 1}});
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const ConvSpec spec = make_spec(c, ConvKind::backward_weights, true, true);
    const auto plan = ConvWeightsPlan::make(spec);
    CHECK((plan != nullptr) == (c.groups == 1));
    if (!plan) continue;
    const auto src = numbers(c.src.numel(), 1), dst = numbers(dst_dims(c).numel(), 3);
    std::vector<double> want(static_cast<size_t>(weights_dims(c).numel()));
    each_product(c, [&](int64_t s, int64_t w, int64_t d) {
      want[static_cast<size_t>(w)] +=
          double(dst[static_cast<size_t>(d)]) * src[static_cast<size_t>(s)];
    });
    const auto x = arrange(src, spec.src, false), y = arrange(dst, spec.dst, false);
    std::vector<float> got(want.size());
    std::vector<char> scratch(plan->scratchpad_bytes() + 1);
    plan->execute(x.data(), y.data(), got.data(), scratch.data());
    check_close(got, want);
  }
}

TEST_CASE("convolution post-ops: add a tensor, then gelu") {
  const Case& c = kCases[1];
  ConvSpec spec = make_spec(c, ConvKind::forward, true, true);
  spec.post_ops = {{PostOp::Kind::add, 1, 0, spec.dst}, {PostOp::Kind::gelu}};
  const auto plan = ConvPlan::make(spec);
  REQUIRE(plan);
  const auto src = numbers(c.src.numel(), 1), weights = numbers(weights_dims(c).numel(), 2),
             other = numbers(dst_dims(c).numel(), 3);
  std::vector<double> want(other.begin(), other.end());
  each_product(c, [&](int64_t s, int64_t w, int64_t d) {
    want[static_cast<size_t>(d)] +=
        double(src[static_cast<size_t>(s)]) * weights[static_cast<size_t>(w)];
  });
  for (double& x : want) x = 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
  std::vector<char> scratch(plan->scratchpad_bytes() + 1);
  const auto x = arrange(src, spec.src, false), w = packed(*plan, weights, true),
             z = arrange(other, spec.dst, false);
  std::vector<float> y(other.size());
  plan->execute({x.data(), w.data(), nullptr, y.data(), {z.data()}}, scratch.data());
  check_close(arrange(y, spec.dst, true), want);
}

TEST_CASE("packed layouts compare by what they are") {
  const auto layout = [](const Case& c, ConvKind kind) {
    return ConvPlan::make(make_spec(c, kind, true, true))->weights_layout();
  };
  const auto a = layout(kCases[1], ConvKind::forward), b = layout(kCases[1], ConvKind::forward);
  const auto other = layout(kCases[4], ConvKind::forward);
  REQUIRE(a);
  REQUIRE(other);
  CHECK(a->equals(*b));
  CHECK(a->hash() == b->hash());
  CHECK(!a->equals(*other));
  CHECK(a->nbytes() >= weights_dims(kCases[1]).numel() * sizeof(float));
  CHECK(a->text().starts_with("dnnl"));
}

TEST_CASE("a convolution without a kernel is refused with a reason") {
  ConvSpec spec = make_spec(kCases[0], ConvKind::forward, true, true);
  spec.src.dtype = spec.dst.dtype = spec.weights_dtype = DType::f64;
  std::string why;
  CHECK(!ConvPlan::make(spec, &why));
  CHECK(why.find("convolution: src f64[2,8,5,7]") != std::string::npos);
}

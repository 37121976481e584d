// SPDX-License-Identifier: Apache-2.0
// Gradient samples of normalisation, softmax, attention and linear algebra. Backward ops get the
// statistics that their forward op computes, as in real use.
#include "tests/ops/gradient_samples.h"

namespace ds::testing {
namespace {

Value output(const NodePtr& node, int i) { return {node, i}; }
Value matmul(const Value& a, const Value& b) { return make(Op::matmul_, {a, b}); }

Value identity_matrix(int64_t n, double scale, DType dtype) {
  const Value row = make(Op::iota_, {}, {n, DType::i64});
  return make_cast(make(Op::eq_, {make_reshape(row, {n, 1}), row}), dtype) * scale;
}

// x -> x x^T + I: symmetric and positive definite.
Values positive_definite(const Values& x) {
  const Value a = x[0];
  return {matmul(a, make_transpose(a)) + identity_matrix(a.shape().back(), 1.0, a.dtype())};
}

// x -> x + x^T.
Values symmetric(const Values& x) { return {x[0] + make_transpose(x[0])}; }

// The first operand moved away from singular matrices.
Values well_conditioned(const Values& x) {
  Values result = x;
  result[0] = x[0] + identity_matrix(x[0].shape().back(), 5.0, x[0].dtype());
  return result;
}

}  // namespace

void add_norm_samples(Samples& samples) {
  const double eps = 0.1;
  for (const Shape& src : {Shape{4, 3}, Shape{2, 3, 2}, Shape{2, 2, 2, 2}}) {
    const Shape params{src[1]};
    samples.push_back({Op::batch_norm_, {{src}, {params}, {params}}, {eps}});
    const auto prelude = [eps](const Values& x) -> Values {
      const NodePtr forward = make_node(Op::batch_norm_, {x[1], x[2], x[2]}, {eps});
      return {x[0], x[1], x[2], output(forward, 1), output(forward, 2)};
    };
    samples.push_back({Op::batch_norm_backward_, {{src}, {src}, {params}}, {eps}, prelude});
  }
  for (int64_t groups : {1, 2, 4}) {
    const Shape src{2, 4, 3}, params{4};
    samples.push_back({Op::group_norm_, {{src}, {params}, {params}}, {groups, eps}});
    const auto prelude = [=](const Values& x) -> Values {
      const NodePtr forward = make_node(Op::group_norm_, {x[1], x[2], x[2]}, {groups, eps});
      return {x[0], x[1], x[2], output(forward, 1), output(forward, 2)};
    };
    samples.push_back({Op::group_norm_backward_, {{src}, {src}, {params}}, {groups, eps}, prelude});
  }
  for (int64_t ndims : {1, 2}) {
    const Shape src{2, 3, 4};
    const Shape params(src.end() - ndims, src.end());
    samples.push_back({Op::layer_norm_, {{src}, {params}, {params}}, {ndims, eps}});
    const auto layer = [=](const Values& x) -> Values {
      const NodePtr forward = make_node(Op::layer_norm_, {x[1], x[2], x[2]}, {ndims, eps});
      return {x[0], x[1], x[2], output(forward, 1), output(forward, 2)};
    };
    samples.push_back({Op::layer_norm_backward_, {{src}, {src}, {params}}, {ndims}, layer});
    samples.push_back({Op::rms_norm_, {{src}, {params}}, {ndims, eps}});
    const auto rms = [=](const Values& x) -> Values {
      const NodePtr forward = make_node(Op::rms_norm_, {x[1], x[2]}, {ndims, eps});
      return {x[0], x[1], x[2], output(forward, 1)};
    };
    samples.push_back({Op::rms_norm_backward_, {{src}, {src}, {params}}, {ndims}, rms});
  }
}

void add_softmax_samples(Samples& samples) {
  for (Op op : {Op::softmax_, Op::log_softmax_}) {
    samples.push_back({op, {{{3, 4}}}, {int64_t{1}}});
    samples.push_back({op, {{{3, 4}}}, {int64_t{0}}});
    samples.push_back({op, {{{0, 4}}}, {int64_t{1}}});
  }
  for (Op op : {Op::softmax_backward_, Op::log_softmax_backward_})
    for (int64_t dim : {0, 1}) samples.push_back({op, {{{3, 4}}, {{3, 4}}}, {dim}});
  const Operand labels = index_operand({4}, {1, 0, 4, 2});
  for (double smoothing : {0.0, 0.2}) {
    const Attrs attrs{int64_t{2}, smoothing};
    samples.push_back({Op::softmax_cross_entropy_, {{{4, 5}}, labels}, attrs});
    const auto prelude = [attrs](const Values& x) -> Values {
      const NodePtr forward = make_node(Op::softmax_cross_entropy_, {x[1], x[2]}, attrs);
      return {x[0], x[1], x[2], output(forward, 1)};
    };
    samples.push_back(
        {Op::softmax_cross_entropy_backward_, {{{4}}, {{4, 5}}, labels}, attrs, prelude});
  }
}

void add_recurrent_samples(Samples& samples) {
  struct Case {
    const char* kind;
    int64_t gates, out;
  };
  const int64_t hidden = 2;
  for (const Case& at :
       {Case{"lstm", 4, 2}, Case{"lstm", 4, 1}, Case{"gru", 3, 2}, Case{"rnn_tanh", 1, 2}})
    for (const bool reverse : {false, true})
      for (const bool packed : {false, true}) {
        const bool lstm = at.gates == 4, gru = at.gates == 3;
        const auto wide = [&](int64_t width) {
          return packed ? Shape{4, width} : Shape{3, 2, width};
        };
        const Shape h0{2, at.out}, c0{2, hidden}, weight{at.gates * hidden, at.out};
        const Attrs attrs{std::string(at.kind), reverse};
        // What a node takes beside gates, h0 and weight.
        std::vector<Operand> more;
        if (lstm) more.push_back({c0});
        if (gru) more.push_back({{hidden}});
        if (lstm && at.out != hidden) more.push_back({{at.out, hidden}});
        if (packed) more.push_back(index_operand({3}, {2, 1, 1}));
        std::vector<Operand> forward{{wide(at.gates * hidden)}, {h0}, {weight}};
        forward.insert(forward.end(), more.begin(), more.end());
        samples.push_back({Op::recurrent_, forward, attrs});
        for (const bool with_cell : {false, true}) {
          if (with_cell && !lstm) continue;
          std::vector<Operand> backward{{wide(at.out)}};
          backward.insert(backward.end(), forward.begin(), forward.end());
          if (with_cell) backward.push_back({wide(hidden)});
          const auto prelude = [=](const Values& x) -> Values {
            const auto end = x.end() - (with_cell ? 1 : 0);
            const NodePtr node = make_node(Op::recurrent_, Values(x.begin() + 1, end), attrs);
            Values inputs{x[0], output(node, 0), x[2], output(node, 2), output(node, 1), x[3]};
            // A gru's bias is in what the forward op saved.
            inputs.insert(inputs.end(), x.begin() + (gru ? 5 : 4), x.end());
            return inputs;
          };
          samples.push_back({Op::recurrent_backward_, backward, attrs, prelude});
        }
      }
}

void add_attention_samples(Samples& samples) {
  struct Case {
    int64_t heads, kv_heads;
    bool causal;
    std::vector<Operand> mask;  // none or one
    double dropout = 0;
  };
  const Operand visible = bool_operand({1, 1, 3, 4}, {1, 1, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1});
  const Case cases[] = {
      {2, 2, false, {}},        {4, 2, false, {}},
      {1, 1, true, {}},         {2, 1, true, {{{2, 3, 4}}}},
      {2, 2, false, {visible}}, {2, 2, false, {{{1, 1, 1, 4}}}},
      {4, 2, true, {}, 0.3},    {2, 1, false, {{{2, 3, 4}}}, 0.6},
  };
  for (const Case& at : cases) {
    const Shape q{1, at.heads, 3, 2};
    const Shape k{1, at.kv_heads, 4, 2};
    const Shape v{1, at.kv_heads, 4, 3};
    const Attrs attrs{at.causal, 0.6, at.dropout, int64_t{1}};
    std::vector<Operand> forward{{q}, {k}, {v}};
    std::vector<Operand> backward{{{1, at.heads, 3, 3}}, {q}, {k}, {v}};
    std::vector<Operand> more = at.mask;
    if (at.dropout > 0) more.push_back(index_operand({2}, {7, 3}));
    forward.insert(forward.end(), more.begin(), more.end());
    backward.insert(backward.end(), more.begin(), more.end());
    samples.push_back({Op::attention_, forward, attrs});
    const auto prelude = [attrs](const Values& x) -> Values {
      const NodePtr node = make_node(Op::attention_, Values(x.begin() + 1, x.end()), attrs);
      Values inputs{x[0], x[1], x[2], x[3], output(node, 0), output(node, 1)};
      inputs.insert(inputs.end(), x.begin() + 4, x.end());
      return inputs;
    };
    samples.push_back({Op::attention_backward_, backward, attrs, prelude});
  }
}

void add_linalg_samples(Samples& samples) {
  for (bool upper : {false, true}) {
    samples.push_back({Op::cholesky_, {{{3, 3}}}, {upper}, positive_definite});
    for (bool transpose : {false, true})
      for (bool unitriangular : {false, true})
        samples.push_back({Op::triangular_solve_,
                           {{{3, 3}}, {{3, 2}}},
                           {upper, transpose, unitriangular},
                           well_conditioned});
  }
  samples.push_back({Op::cholesky_, {{{2, 2, 2}}}, {false}, positive_definite});
  samples.push_back({Op::solve_, {{{3, 3}}, {{3, 2}}}, {}, well_conditioned});
  samples.push_back({Op::solve_, {{{2, 2, 2}}, {{2, 2, 1}}}, {}, well_conditioned});
  for (const Shape& square : {Shape{3, 3}, Shape{2, 2, 2}}) {
    samples.push_back({Op::inverse_, {{square}}, {}, well_conditioned});
    samples.push_back({Op::slogdet_, {{square}}, {}, well_conditioned});
    samples.push_back({Op::eigh_, {{square}}, {}, symmetric});
  }
  for (const Shape& shape : {Shape{3, 3}, Shape{4, 2}, Shape{2, 4}, Shape{2, 3, 2}}) {
    samples.push_back({Op::qr_, {{shape}}});
    samples.push_back({Op::svd_, {{shape}}});
  }
}

}  // namespace ds::testing

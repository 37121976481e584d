// SPDX-License-Identifier: Apache-2.0
#include "samples.h"

namespace ds::test {
namespace {

Type f(const Shape& shape) { return {DType::f32, shape}; }
Type i(const Shape& shape) { return {DType::i64, shape}; }
Type b(const Shape& shape) { return {DType::bool_, shape}; }
Shape s(std::initializer_list<int64_t> sizes) { return Shape(sizes); }
constexpr int64_t n(int64_t number) { return number; }

/// Elementwise ops follow from their class alone.
void add_elementwise(std::vector<Sample>& all) {
  for (int k = 0; k < kOpCount; ++k) {
    const Op op = static_cast<Op>(k);
    switch (op_info(op).op_class) {
      case OpClass::unary:
        if (op == Op::cast_) break;
        if (op == Op::bitwise_not_)
          all.push_back({op, {i({2, 3})}, {}, "i64[2,3]"});
        else
          all.push_back({op, {f({2, 3})}, {}, "f32[2,3]"});
        break;
      case OpClass::test: all.push_back({op, {f({2, 3})}, {}, "bool[2,3]"}); break;
      case OpClass::compare: all.push_back({op, {f({2, 1}), f({3})}, {}, "bool[2,3]"}); break;
      case OpClass::binary:
        if (op == Op::bitwise_and_ || op == Op::bitwise_or_ || op == Op::bitwise_xor_ ||
            op == Op::left_shift_ || op == Op::right_shift_)
          all.push_back({op, {i({2, 1}), i({3})}, {}, "i64[2,3]"});
        else
          all.push_back({op, {f({2, 1}), f({3})}, {}, "f32[2,3]"});
        break;
      default: break;
    }
  }
}

void add_reductions(std::vector<Sample>& all) {
  for (Op op : {Op::sum_, Op::mean_, Op::prod_, Op::amax_, Op::amin_})
    all.push_back({op, {f({2, 3, 4})}, {s({0, 2}), false}, "f32[3]"});
  for (Op op : {Op::any_, Op::all_}) all.push_back({op, {f({2, 3})}, {s({1}), true}, "bool[2,1]"});
  for (Op op : {Op::argmax_, Op::argmin_})
    all.push_back({op, {f({2, 3})}, {n(1), false}, "i64[2]"});
  for (Op op : {Op::cumsum_, Op::cumprod_, Op::logcumsumexp_, Op::softmax_, Op::log_softmax_})
    all.push_back({op, {f({2, 3})}, {n(1)}, "f32[2,3]"});
  for (Op op : {Op::cummax_, Op::cummin_})
    all.push_back({op, {f({2, 3})}, {n(0)}, "f32[2,3] i64[2,3]"});
  for (Op op : {Op::softmax_backward_, Op::log_softmax_backward_})
    all.push_back({op, {f({2, 3}), f({2, 3})}, {n(1)}, "f32[2,3]"});
}

const std::vector<Sample> kMovement{
    {Op::input_, {}, {n(0), DType::bf16, s({2, 3})}, "bf16[2,3]"},
    {Op::constant_, {}, {0.1, DType::f64}, "f64[]"},
    {Op::constant_int_, {}, {n(9007199254740993), DType::i64}, "i64[]"},
    {Op::iota_, {}, {n(5), DType::i64}, "i64[5]"},
    {Op::cast_, {f({2, 3})}, {DType::f16}, "f16[2,3]"},
    {Op::where_, {b({2, 1}), f({3}), f({})}, {}, "f32[2,3]"},
    {Op::clamp_, {f({2, 1}), f({3}), f({})}, {}, "f32[2,3]"},
    {Op::reshape_, {f({2, 3})}, {s({3, 2, 1})}, "f32[3,2,1]"},
    {Op::permute_, {f({2, 3, 4})}, {s({2, 0, 1})}, "f32[4,2,3]"},
    {Op::expand_, {f({3, 1})}, {s({2, 3, 4})}, "f32[2,3,4]"},
    {Op::slice_, {f({5, 4})}, {s({1, 0}), s({2, 4}), s({3, 1})}, "f32[2,4]"},
    {Op::slice_scatter_, {f({5, 4}), f({2, 4})}, {s({1, 0}), s({3, 1})}, "f32[5,4]"},
    {Op::as_strided_, {f({4, 4})}, {s({2, 3}), s({5, 1}), n(2)}, "f32[2,3]"},
    {Op::as_strided_scatter_, {f({4, 4}), f({2, 3})}, {s({5, 1}), n(2)}, "f32[4,4]"},
    {Op::as_strided_add_, {f({2, 3})}, {s({4, 4}), s({5, 1}), n(2)}, "f32[4,4]"},
    {Op::flip_, {f({2, 3})}, {s({0, 1})}, "f32[2,3]"},
    {Op::pad_, {f({2, 3})}, {s({1, 0}), s({0, 2}), -0.5}, "f32[3,5]"},
    {Op::cat_, {f({2, 3}), f({2, 1}), f({2, 0})}, {n(1)}, "f32[2,4]"},
    {Op::gather_, {f({4, 3}), i({2, 3})}, {n(0)}, "f32[2,3]"},
    {Op::scatter_, {f({4, 3}), i({2, 3}), f({2, 3})}, {n(0), std::string("add")}, "f32[4,3]"},
    {Op::resample_, {f({4, 3}), i({2, 5}), f({2, 5})}, {n(1)}, "f32[4,5]"},
    {Op::resample_backward_, {f({4, 5}), i({2, 5}), f({2, 5})}, {n(1), n(3)}, "f32[4,3]"},
    {Op::index_select_, {f({4, 3}), i({2, 5})}, {n(0)}, "f32[2,5,3]"},
    {Op::index_add_, {f({4, 3}), i({2}), f({2, 3})}, {n(0)}, "f32[4,3]"},
    {Op::index_copy_, {f({4, 3}), i({2}), f({2, 3})}, {n(0)}, "f32[4,3]"},
    {Op::sort_, {f({4, 3})}, {n(1), true}, "f32[4,3] i64[4,3]"},
    {Op::topk_, {f({4, 3})}, {n(2), n(1), true}, "f32[4,2] i64[4,2]"},
    {Op::nonzero_, {f({4, 3})}, {n(5)}, "i64[5,2]"},
    {Op::searchsorted_, {f({4, 3}), f({4, 2})}, {true}, "i64[4,2]"},
    {Op::random_uniform_, {i({2})}, {s({3, 4}), DType::f32, n(7)}, "f32[3,4]"},
    {Op::random_normal_, {i({2})}, {s({3, 4}), DType::f64, n(7)}, "f64[3,4]"},
    {Op::random_bits_, {i({2})}, {s({3, 4}), n(7)}, "i64[3,4]"},
    {Op::dropout_, {f({3, 4}), i({2})}, {0.1, n(7)}, "f32[3,4]"},
    {Op::variable_, {f({3})}, {n(1)}, "f32[3]"},
    {Op::stop_gradient_, {f({3})}, {}, "f32[3]"},
    {Op::released_, {f({3})}, {}, "f32[3]"},
    {Op::hook_, {f({3})}, {n(1)}, "f32[3]"},
    {Op::custom_gradient_, {f({3}), f({2})}, {}, "f32[3]"},
};

const std::vector<Sample> kDense{
    {Op::matmul_, {f({5, 1, 2, 3}), f({4, 3, 6})}, {}, "f32[5,4,2,6]"},
    {Op::convolution_,
     {f({2, 4, 8, 9}), f({6, 2, 3, 3})},
     {s({2, 1}), s({1, 1}), s({1, 1}), s({1, 2}), n(2)},
     "f32[2,6,4,7]"},
    {Op::conv_diff_src_,
     {f({2, 6, 4, 7}), f({6, 2, 3, 3})},
     {s({8, 9}), s({2, 1}), s({1, 1}), s({1, 1}), s({1, 2}), n(2)},
     "f32[2,4,8,9]"},
    {Op::conv_diff_weights_,
     {f({2, 4, 8, 9}), f({2, 6, 4, 7})},
     {s({3, 3}), s({2, 1}), s({1, 1}), s({1, 1}), s({1, 2}), n(2)},
     "f32[6,2,3,3]"},
    {Op::max_pool_,
     {f({2, 3, 8})},
     {s({3}), s({2}), s({1}), s({1}), s({1})},
     "f32[2,3,4] i64[2,3,4]"},
    {Op::max_pool_backward_, {f({2, 3, 4}), i({2, 3, 4})}, {s({8})}, "f32[2,3,8]"},
    {Op::avg_pool_, {f({2, 3, 8})}, {s({3}), s({2}), s({1}), s({1}), true, n(0)}, "f32[2,3,4]"},
    {Op::avg_pool_backward_,
     {f({2, 3, 4})},
     {s({8}), s({3}), s({2}), s({1}), s({1}), true, n(0)},
     "f32[2,3,8]"},
    {Op::adaptive_avg_pool_, {f({2, 3, 8})}, {s({3})}, "f32[2,3,3]"},
    {Op::adaptive_avg_pool_backward_, {f({2, 3, 3})}, {s({8})}, "f32[2,3,8]"},
    {Op::adaptive_max_pool_, {f({2, 3, 8})}, {s({3})}, "f32[2,3,3] i64[2,3,3]"},
    {Op::batch_norm_,
     {{DType::f16, {4, 3, 2}}, f({3}), f({3})},
     {1e-5},
     "f16[4,3,2] f32[3] f32[3]"},
    {Op::batch_norm_backward_,
     {f({4, 3}), f({4, 3}), f({3}), f({3}), f({3})},
     {1e-5},
     "f32[4,3] f32[3] f32[3]"},
    {Op::group_norm_,
     {{DType::f16, {4, 6, 2}}, f({6}), f({6})},
     {n(3), 1e-5},
     "f16[4,6,2] f32[4,3] f32[4,3]"},
    {Op::group_norm_backward_,
     {f({4, 6}), f({4, 6}), f({6}), f({4, 2}), f({4, 2})},
     {n(2), 1e-5},
     "f32[4,6] f32[6] f32[6]"},
    {Op::layer_norm_, {f({4, 3}), f({3}), f({3})}, {n(1), 1e-5}, "f32[4,3] f32[4] f32[4]"},
    {Op::layer_norm_backward_,
     {f({4, 3}), f({4, 3}), f({3}), f({4}), f({4})},
     {n(1)},
     "f32[4,3] f32[3] f32[3]"},
    {Op::rms_norm_, {f({4, 3}), f({3})}, {n(1), 1e-5}, "f32[4,3] f32[4]"},
    {Op::rms_norm_backward_, {f({4, 3}), f({4, 3}), f({3}), f({4})}, {n(1)}, "f32[4,3] f32[3]"},
    {Op::softmax_cross_entropy_, {f({4, 3}), i({4})}, {n(-100), 0.1}, "f32[4] f32[4]"},
    {Op::softmax_cross_entropy_backward_,
     {f({4}), f({4, 3}), i({4}), f({4})},
     {n(-100), 0.1},
     "f32[4,3]"},
    {Op::recurrent_,
     {f({5, 2, 12}), f({2, 3}), f({12, 3}), f({2, 3})},
     {std::string("lstm"), true},
     "f32[5,2,3] f32[5,2,3] f32[5,2,12]"},
    {Op::recurrent_,
     {f({9, 12}), f({2, 2}), f({12, 2}), f({2, 3}), f({2, 3}), i({5})},
     {std::string("lstm"), false},
     "f32[9,2] f32[9,3] f32[9,12]"},
    {Op::recurrent_,
     {f({5, 2, 9}), f({2, 3}), f({9, 3}), f({3})},
     {std::string("gru"), false},
     "f32[5,2,3] f32[5,2,3] f32[5,2,9]"},
    {Op::recurrent_,
     {f({5, 2, 3}), f({2, 3}), f({3, 3})},
     {std::string("rnn_relu"), false},
     "f32[5,2,3] f32[5,2,0] f32[5,2,0]"},
    {Op::recurrent_backward_,
     {f({5, 2, 3}), f({5, 2, 3}), f({2, 3}), f({5, 2, 12}), f({5, 2, 3}), f({12, 3}), f({2, 3}),
      f({5, 2, 3})},
     {std::string("lstm"), false},
     "f32[5,2,12] f32[2,3] f32[2,3] f32[5,2,3] f32[5,2,0]"},
    {Op::recurrent_backward_,
     {f({5, 2, 3}), f({5, 2, 3}), f({2, 3}), f({5, 2, 9}), f({5, 2, 3}), f({9, 3})},
     {std::string("gru"), true},
     "f32[5,2,9] f32[2,3] f32[2,0] f32[5,2,3] f32[5,2,3]"},
    {Op::attention_,
     {f({2, 4, 5, 8}), f({2, 2, 6, 8}), f({2, 2, 6, 7}), b({5, 6}), {DType::i64, {2}}},
     {false, 0.5, 0.1, int64_t{1}},
     "f32[2,4,5,7] f32[2,4,5]"},
    {Op::attention_backward_,
     {f({2, 4, 5, 7}), f({2, 4, 5, 8}), f({2, 2, 6, 8}), f({2, 2, 6, 7}), f({2, 4, 5, 7}),
      f({2, 4, 5})},
     {true, 0.5, 0.0, int64_t{0}},
     "f32[2,4,5,8] f32[2,2,6,8] f32[2,2,6,7]"},
    {Op::cholesky_, {f({2, 3, 3})}, {false}, "f32[2,3,3]"},
    {Op::triangular_solve_, {f({3, 3}), f({3, 2})}, {true, false, false}, "f32[3,2]"},
    {Op::solve_, {f({3, 3}), f({3, 2})}, {}, "f32[3,2]"},
    {Op::inverse_, {f({3, 3})}, {}, "f32[3,3]"},
    {Op::slogdet_, {f({2, 3, 3})}, {}, "f32[2] f32[2]"},
    {Op::qr_, {f({4, 3})}, {}, "f32[4,3] f32[3,3]"},
    {Op::svd_, {f({4, 3})}, {}, "f32[4,3] f32[3] f32[3,3]"},
    {Op::eigh_, {f({3, 3})}, {}, "f32[3] f32[3,3]"},
};

}  // namespace

const std::vector<Sample>& samples() {
  static const std::vector<Sample> all = [] {
    std::vector<Sample> list = kMovement;
    list.insert(list.end(), kDense.begin(), kDense.end());
    add_elementwise(list);
    add_reductions(list);
    return list;
  }();
  return all;
}

}  // namespace ds::test

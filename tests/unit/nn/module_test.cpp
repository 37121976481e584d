// SPDX-License-Identifier: Apache-2.0
// The module tree: names, registration, hooks, conversion, state, replaced children.
#include "ds/nn/module.h"

#include <doctest/doctest.h>

#include "ds/base/error.h"
#include "ds/nn/layers_activation.h"
#include "ds/nn/layers_attention.h"
#include "ds/nn/layers_core.h"
#include "ds/nn/layers_norm.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/record.h"

using namespace ds;
using namespace ds::nn;

namespace {

class Net : public Module {
 public:
  Net() {
    register_parameter("scale", ones({3}));
    register_buffer("mean", zeros({2}));
    register_buffer("cache", zeros({1}), false);
    add<Linear>("fc", 2, 3);
    add<BatchNorm1d>("norm", 3);
  }
  std::string type_name() const override { return "Net"; }
  Tensor forward(const Tensor& x) override {
    return mul((*child("norm"))((*child("fc"))(x)), parameter("scale"));
  }
};

template <class T>
std::vector<std::string> names(const Named<T>& list) {
  std::vector<std::string> out;
  for (const auto& entry : list) out.push_back(entry.first);
  return out;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("names follow the order of registration, own tensors first") {
  const auto net = std::make_shared<Net>();
  CHECK(names(net->named_parameters()) ==
        Names{"scale", "fc.weight", "fc.bias", "norm.weight", "norm.bias"});
  CHECK(names(net->named_buffers()) == Names{"mean", "cache", "norm.running_mean",
                                             "norm.running_var", "norm.num_batches_tracked"});
  CHECK(names(net->state_dict()) == Names{"scale", "mean", "fc.weight", "fc.bias", "norm.weight",
                                          "norm.bias", "norm.running_mean", "norm.running_var",
                                          "norm.num_batches_tracked"});
  CHECK(names(net->named_modules("net")) == Names{"net", "net.fc", "net.norm"});
  CHECK(net->get_submodule("fc") == net->child("fc"));
  CHECK(net->repr() ==
        "Net(\n  (fc): Linear(in_features=2, out_features=3, bias=True)\n  (norm): BatchNorm1d(3, "
        "eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)\n)");
}

TEST_CASE("a name is taken once and has no dot") {
  Net net;
  CHECK_THROWS_AS(net.register_parameter("fc", ones({1})), ValueError);
  CHECK_THROWS_AS(net.register_buffer("a.b", ones({1})), ValueError);
  CHECK_THROWS_AS(net.register_module("", nullptr), ValueError);
  CHECK_THROWS_AS(net.parameter("fc"), KeyError);
  net.remove("fc");
  CHECK_FALSE(net.has_child("fc"));
  CHECK_THROWS_AS(net.remove("fc"), KeyError);
}

TEST_CASE("a shared parameter is listed once") {
  auto net = std::make_shared<Sequential>();
  const auto first = std::make_shared<Linear>(2, 2), second = std::make_shared<Linear>(2, 2);
  second->set_parameter("weight", first->parameter("weight"));
  net->append(first).append(second).append(first);
  CHECK(names(net->named_parameters()) == Names{"0.weight", "0.bias", "1.bias"});
  CHECK(net->state_dict().size() == 6);
}

TEST_CASE("hooks replace input and output until they are removed") {
  Linear layer(1, 1, false);
  layer.parameter("weight").set_data(full({1, 1}, 3.0, DType::f32));
  const Tensor x = ones({1, 1});
  CHECK(layer(x).item() == 3.0);
  const auto before =
      layer.register_forward_pre_hook([](Module&, const Tensor& in) { return mul(in, 2.0); });
  const auto after = layer.register_forward_hook(
      [](Module&, const Tensor& in, const Tensor& out) { return add(in, out); });
  CHECK(layer(x).item() == 8.0);  // 2 * 3 + 2
  layer.remove_hook(before);
  CHECK(layer(x).item() == 4.0);
  layer.remove_hook(after);
  CHECK(layer(x).item() == 3.0);
}

TEST_CASE("conversion keeps the handles of parameters") {
  Net net;
  const Tensor scale = net.parameter("scale");
  net.to(DType::f64);
  CHECK(scale.dtype() == DType::f64);
  CHECK(scale.impl() == net.parameter("scale").impl());
  CHECK(scale.requires_grad());
  CHECK(net.child("norm")->buffer("num_batches_tracked").dtype() == DType::i64);
  CHECK_THROWS_AS(net.to(DType::i32), DTypeError);
}

TEST_CASE("loading reports what does not fit and changes nothing then") {
  Net net, other;
  StateDict state = net.state_dict();
  state[2].second = zeros({9, 9});
  CHECK_THROWS_AS(other.load_state_dict(state), ShapeError);
  state.erase(state.begin() + 2);
  state.emplace_back("odd", zeros({1}));
  CHECK_THROWS_AS(other.load_state_dict(state), KeyError);
  const LoadResult result = other.load_state_dict(state, false);
  CHECK(result.missing == Names{"fc.weight"});
  CHECK(result.unexpected == Names{"odd"});
  other.load_state_dict(net.state_dict());
  CHECK(other.child("fc")->parameter("weight").to_vector<float>() ==
        net.child("fc")->parameter("weight").to_vector<float>());
}

TEST_CASE("training mode reaches every child") {
  Net net;
  net.eval();
  CHECK_FALSE(net.child("norm")->is_training());
  const Tensor x = ones({2, 2});
  net(x);
  CHECK(net.child("norm")->buffer("num_batches_tracked").item_int() == 0);
  net.train();
  net(x);
  CHECK(net.child("norm")->buffer("num_batches_tracked").item_int() == 1);
}

TEST_CASE("a replaced child is used, or named when it does not fit") {
  TransformerOptions options{4, 2};
  options.dim_feedforward = 8;
  options.dropout = 0;
  TransformerEncoderLayer layer(options);
  const Tensor x = ones({3, 1, 4});
  int calls = 0;
  const auto replaced = std::make_shared<Linear>(4, 8);
  replaced->register_forward_hook([&](Module&, const Tensor&, const Tensor&) {
    ++calls;
    return Tensor();
  });
  layer.set_child("linear1", replaced);
  CHECK(layer(x).shape() == Shape{3, 1, 4});
  CHECK(calls == 1);
  layer.set_child("self_attn", std::make_shared<ReLU>());
  CHECK_THROWS_AS(layer(x), StateError);
}

TEST_CASE("an in-place activation writes its input") {
  ReLU relu;
  relu.inplace = true;
  const Tensor x = add(zeros({2}), -1.0);
  CHECK(relu(x).to_vector<float>() == std::vector<float>{0, 0});
  CHECK(x.to_vector<float>() == std::vector<float>{0, 0});
  CHECK(relu.repr() == "ReLU(inplace=True)");
}

// SPDX-License-Identifier: Apache-2.0
// LoRA adapters of layers from C++; Python's tests compare them with peft.
#include "ds/hub/lora.h"

#include <doctest/doctest.h>

#include "ds/base/error.h"
#include "ds/nn/layers_core.h"
#include "ds/nn/layers_norm.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

using namespace ds;

namespace {

double distance(const Tensor& a, const Tensor& b) { return amax(abs(a - b)).item(); }

TEST_CASE("an adapter adds the product of its matrices") {
  const auto base = std::make_shared<nn::Linear>(6, 5);
  hub::LoraLayer layer(base);
  layer.add_adapter("a", {.r = 2, .alpha = 6, .start = hub::LoraStart::random});
  const Tensor x = randn({3, 6});
  CHECK(distance(layer(x), (*base)(x)) == 0);
  layer.set_active({"a", "absent"});
  const Tensor a = layer.child("lora_A")->child("a")->parameter("weight");
  const Tensor b = layer.child("lora_B")->child("a")->parameter("weight");
  const Tensor expected = (*base)(x) + matmul(matmul(x, t(a)), t(b)) * 3.0;
  CHECK(distance(layer(x), expected) < 1e-5);
  layer.merge({"a"}, true);
  CHECK(distance((*base)(x), expected) < 1e-5);
  CHECK_THROWS_AS(layer.delete_adapter("a"), StateError);
  layer.unmerge();
  CHECK(distance(layer(x), expected) < 1e-5);
  layer.set_enabled(false);
  CHECK(distance(layer(x), (*base)(x)) == 0);
}

TEST_CASE("LoRA refuses what it can not do") {
  CHECK_THROWS_AS(hub::LoraLayer(std::make_shared<nn::LayerNorm>(Shape{4})), NotImplementedError);
  hub::LoraLayer layer(std::make_shared<nn::Embedding>(6, 5));
  hub::LoraOptions none;
  none.r = 0;
  CHECK_THROWS_AS(layer.add_adapter("a", none), ValueError);
  layer.add_adapter("a", {});
  CHECK_THROWS_AS(layer.add_adapter("a", hub::LoraOptions()), ValueError);
  CHECK_THROWS_AS(layer.delete_adapter("b"), KeyError);
}

}  // namespace

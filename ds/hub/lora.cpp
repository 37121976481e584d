// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/lora.h"

#include <algorithm>
#include <cmath>

#include "ds/base/error.h"
#include "ds/hub/transformer_block.h"
#include "ds/nn/init.h"
#include "ds/nn/layers_conv.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

std::pair<nn::ModulePtr, nn::ModulePtr> matrices(const nn::Module& base, int64_t r) {
  if (const auto* conv = dynamic_cast<const nn::Conv2d*>(&base)) {
    nn::ConvOptions down = conv->options(), up{r, down.out_channels, 1};
    down.out_channels = r;
    down.bias = up.bias = false;
    return {std::make_shared<nn::Conv2d>(down), std::make_shared<nn::Conv2d>(up)};
  }
  const Tensor weight = base.parameter("weight");
  const int input = lora_kind(base) == "linear" ? 1 : 0;
  return {std::make_shared<nn::Linear>(weight.size(input), r, false),
          std::make_shared<nn::Linear>(r, weight.size(1 - input), false)};
}

}  // namespace

std::string lora_kind(const nn::Module& layer) {
  if (dynamic_cast<const nn::Linear*>(&layer)) return "linear";
  if (dynamic_cast<const Conv1D*>(&layer)) return "transposed";
  if (dynamic_cast<const nn::Embedding*>(&layer)) return "table";
  if (dynamic_cast<const nn::Conv2d*>(&layer)) return "conv";
  return "";
}

LoraLayer::LoraLayer(nn::ModulePtr base_layer) {
  DS_CHECK(base_layer, ValueError, "LoRA: there is no layer to adapt");
  const std::string kind = lora_kind(*base_layer);
  DS_CHECK(!kind.empty(), NotImplementedError, "LoRA: a ", base_layer->type_name(),
           " can not be adapted; target Linear, Conv1D, Embedding or Conv2d layers");
  if (const auto* conv = dynamic_cast<const nn::Conv2d*>(base_layer.get())) {
    const nn::ConvOptions& o = conv->options();
    const Shape dilation = o.dilation.over(2, "LoRA", "dilation", 1);
    DS_CHECK(o.groups == 1 && dilation == (Shape{1, 1}) && o.padding_mode == "zeros",
             NotImplementedError,
             "LoRA: a Conv2d with groups, dilation or another padding_mode than zeros can not be "
             "adapted; leave it out with exclude_modules");
  }
  set_training(base_layer->is_training());
  register_module("base_layer", std::move(base_layer));
  add<nn::ModuleDict>("lora_dropout");
  if (kind == "table") {
    add<Group>("lora_embedding_A");
    add<Group>("lora_embedding_B");
  } else {
    add<nn::ModuleDict>("lora_A");
    add<nn::ModuleDict>("lora_B");
  }
}

bool LoraLayer::has_adapter(const std::string& name) const {
  return std::any_of(scaling_.begin(), scaling_.end(),
                     [&](const auto& entry) { return entry.first == name; });
}

double LoraLayer::scaling(const std::string& name) const {
  for (const auto& [own, value] : scaling_)
    if (own == name) return value;
  DS_CHECK(false, KeyError, "LoRA: the layer has no adapter '", name, "'");
}

void LoraLayer::add_adapter(const std::string& name, const LoraOptions& o) {
  DS_CHECK(!has_adapter(name), ValueError, "LoRA: there is an adapter '", name, "' already");
  DS_CHECK(o.r >= 1, ValueError, "LoRA: r is ", o.r, "; it must be at least 1");
  const auto r = static_cast<double>(o.r);
  const nn::Module& base = *child("base_layer");
  const Tensor weight = base.parameter("weight");
  const nn::ModulePtr dropout = o.dropout > 0
                                    ? nn::ModulePtr(std::make_shared<nn::Dropout>(o.dropout))
                                    : std::make_shared<nn::Identity>();
  child("lora_dropout")->register_module(name, dropout);
  dropout->train(is_training());
  const bool half = weight.dtype() == DType::f16 || weight.dtype() == DType::bf16;
  const DType dtype = half && o.keep_float32 ? DType::f32 : weight.dtype();
  if (lora_kind(base) == "table") {
    // The table is what is zero, B what is drawn.
    const auto drawn = [&](int64_t rows, int64_t columns, bool zero) {
      Tensor t = empty({rows, columns}, dtype, weight.device());
      return zero ? nn::init::zeros_(t) : nn::init::normal_(t);
    };
    child("lora_embedding_A")
        ->register_parameter(name, drawn(o.r, weight.size(0), o.start != LoraStart::random));
    child("lora_embedding_B")->register_parameter(name, drawn(weight.size(1), o.r, false));
  } else {
    const auto [down, up] = matrices(base, o.r);
    if (o.start == LoraStart::gaussian) nn::init::normal_(down->parameter("weight"), 0, 1 / r);
    if (o.start != LoraStart::random) nn::init::zeros_(up->parameter("weight"));
    for (const auto& [part, matrix] : {std::pair{"lora_A", down}, std::pair{"lora_B", up}}) {
      matrix->to(dtype);
      matrix->to(weight.device());
      child(part)->register_module(name, matrix);
    }
  }
  scaling_.emplace_back(name, o.alpha / (o.rslora ? std::sqrt(r) : r));
}

void LoraLayer::delete_adapter(const std::string& name) {
  scaling(name);
  DS_CHECK(std::find(merged_.begin(), merged_.end(), name) == merged_.end(), StateError,
           "LoRA: adapter '", name, "' is merged into the weights; unmerge it first");
  for (const auto& [part, module] : named_children())
    if (part != "base_layer") module->remove(name);
  std::erase_if(scaling_, [&](const auto& entry) { return entry.first == name; });
}

Tensor LoraLayer::adapted(const std::string& name, const Tensor& x) const {
  const double scale = scaling(name);
  if (has_child("lora_embedding_A")) {
    const auto& base = child_as<nn::Embedding>("base_layer");
    const Tensor table = t(child("lora_embedding_A")->parameter(name));
    const Tensor rows = embedding(x, table, base.padding_idx);
    return matmul(rows, t(child("lora_embedding_B")->parameter(name))) * scale;
  }
  const nn::ModulePtr down = child("lora_A")->child(name);
  const Tensor in = to_dtype(x, down->parameter("weight").dtype());
  // Scaled where it is narrow.
  const Tensor narrow = (*down)((*child("lora_dropout")->child(name))(in)) * scale;
  return (*child("lora_B")->child(name))(narrow);
}

Tensor LoraLayer::forward(const Tensor& x) {
  if (!enabled_ && !merged_.empty()) unmerge();
  Tensor out = (*child("base_layer"))(x);
  if (!enabled_ || !merged_.empty()) return out;
  const DType dtype = out.dtype();
  for (const std::string& name : active_)
    if (has_adapter(name)) out = out + adapted(name, x);
  return to_dtype(out, dtype);
}

Tensor LoraLayer::delta_weight(const std::string& name) const {
  const double scale = scaling(name);
  if (has_child("lora_embedding_A"))
    return t(matmul(child("lora_embedding_B")->parameter(name),
                    child("lora_embedding_A")->parameter(name))) *
           scale;
  const Tensor a = child("lora_A")->child(name)->parameter("weight");
  const Tensor b = child("lora_B")->child(name)->parameter("weight");
  if (a.dim() == 2) {
    const Tensor product = matmul(b, a) * scale;
    return lora_kind(*child("base_layer")) == "transposed" ? t(product) : product;
  }
  const Tensor product = matmul(flatten(b, 1), flatten(a, 1)) * scale;
  return reshape(product, {b.size(0), a.size(1), a.size(2), a.size(3)});
}

void LoraLayer::merge(const std::vector<std::string>& names, bool safe) {
  touch();
  const GradMode no_grad(false);
  const Tensor weight = child("base_layer")->parameter("weight");
  for (const std::string& name : names) {
    if (!has_adapter(name) || std::find(merged_.begin(), merged_.end(), name) != merged_.end())
      continue;
    const Tensor sum = weight + to_dtype(delta_weight(name), weight.dtype());
    DS_CHECK(!safe || all(isfinite(sum)).item_int() != 0, ValueError, "LoRA: with adapter '", name,
             "' the weights are not finite; nothing was merged into this layer");
    weight.assign(sum.value());
    merged_.push_back(name);
  }
}

void LoraLayer::unmerge() {
  touch();
  const GradMode no_grad(false);
  const Tensor weight = child("base_layer")->parameter("weight");
  for (; !merged_.empty(); merged_.pop_back()) {
    const Tensor delta = to_dtype(delta_weight(merged_.back()), weight.dtype());
    weight.assign((weight - delta).value());
  }
}

}  // namespace ds::hub

// SPDX-License-Identifier: Apache-2.0
// LoRA (Hu et al., 2021): a layer that stays as it is, beside products of two small matrices that
// are trained in its place. Names of children and parameters are those of PEFT.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ds/nn/module.h"

namespace ds::hub {

enum class LoraStart {
  standard,  // A drawn as a layer's weight, B zero: the adapter changes nothing yet
  gaussian,  // A normal with deviation 1/r, B zero
  random,    // both drawn
};

struct LoraOptions {
  int64_t r = 8;
  double alpha = 8, dropout = 0;
  bool rslora = false;  // scaled by alpha / sqrt(r) instead of alpha / r
  LoraStart start = LoraStart::standard;
  bool keep_float32 = true;  // where the layer has 16 bits
};

/// How a layer that can be adapted maps its input: linear, transposed (Conv1D), table (Embedding)
/// or conv (Conv2d); empty for another layer.
std::string lora_kind(const nn::Module& layer);

/// A Linear, Conv1D, Embedding or Conv2d with adapters by name; input and output are the layer's.
class LoraLayer : public nn::Module {
 public:
  /// NotImplementedError for another layer.
  explicit LoraLayer(nn::ModulePtr base_layer);
  std::string type_name() const override { return "LoraLayer"; }
  Tensor forward(const Tensor& x) override;

  /// ValueError for a name that is taken and for numbers out of range.
  void add_adapter(const std::string& name, const LoraOptions& options);
  void delete_adapter(const std::string& name);
  bool has_adapter(const std::string& name) const;
  /// Adapters that add to the output; those this layer lacks are ignored.
  void set_active(std::vector<std::string> names) {
    active_ = std::move(names);
    touch();
  }
  /// Switched off, the layer alone answers.
  void set_enabled(bool on) {
    enabled_ = on;
    touch();
  }
  double scaling(const std::string& name) const;

  /// What an adapter adds to the layer's weight.
  Tensor delta_weight(const std::string& name) const;
  /// Adds adapters to the weight, which then answers alone; those this layer lacks and those that
  /// are in it are left out. With `safe`, ValueError when the sum is not finite.
  void merge(const std::vector<std::string>& names, bool safe);
  void unmerge();
  const std::vector<std::string>& merged() const { return merged_; }

 private:
  Tensor adapted(const std::string& name, const Tensor& x) const;

  std::vector<std::pair<std::string, double>> scaling_;
  std::vector<std::string> active_, merged_;
  bool enabled_ = true;
};

}  // namespace ds::hub

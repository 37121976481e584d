// SPDX-License-Identifier: Apache-2.0
// The block that transformers repeat: self-attention and a feed-forward network, each beside a
// shortcut. Families differ in names, in where they normalise and in how they store projections;
// a row of names and a few options describe one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ds/hub/key_value_cache.h"
#include "ds/nn/layers_core.h"
#include "ds/nn/layers_norm.h"

namespace ds::hub {

/// What a forward pass returns: tensors by name, in transformers' order; undefined ones were not
/// asked for.
struct Output {
  nn::Named<Tensor> values;
  std::vector<Tensor> hidden_states;     // of the embeddings and of every layer, when asked for
  std::vector<Tensor> attentions;        // of every layer [B, heads, T, S], when asked for
  std::vector<Tensor> cross_attentions;  // the same for what a decoder sees of an encoder
  /// Of models with experts: what the tokens gave every expert of a layer, [B * T, experts]; empty
  /// when they were not asked for.
  std::optional<std::vector<Tensor>> router_logits = {};
  /// Hidden states of patches as images [N, C, H, W] (transformers: reshaped_hidden_states).
  std::vector<Tensor> pictures;
};

/// Groups children under one part of a dotted name.
class Group : public nn::Module {
 public:
  std::string type_name() const override { return "Group"; }
};

/// Linear whose weight is stored [in_features, out_features], as in GPT-2.
class Conv1D : public nn::Module {
 public:
  Conv1D(int64_t in_features, int64_t out_features);
  std::string type_name() const override { return "Conv1D"; }
  std::string extra_repr() const override;
  Tensor forward(const Tensor& x) override;

  int64_t in_features, out_features;
};

/// Registers a module under a dotted name below `root`; groups in between are made as needed.
void add_at(nn::Module& root, const std::string& name, nn::ModulePtr module);
/// x through the module at a dotted name.
Tensor call_at(nn::Module& root, const std::string& name, const Tensor& x);
/// One of transformers' activations; ValueError lists them for another name.
Tensor activate(const std::string& name, const Tensor& x);
/// The input was given.
inline bool present(const std::optional<Tensor>& input) { return input && input->defined(); }
/// i64 positions of the tokens of `input` [B, T, ...]: of the cache's step, else those given, else
/// 0 to T - 1.
Tensor positions_of(const Tensor& input, const KeyValueCache* cache,
                    const std::optional<Tensor>& given);
/// What attention may look at: a mask [B, S] or [B, T, S] of numbers, 0 is left out, as bool
/// [B, 1, T, S]; nothing without one.
std::optional<Tensor> attention_mask(const std::optional<Tensor>& mask);
/// The mean loss of predicting every next token: logits [..., T, vocab_size] for labels i64
/// [..., T], the input itself, -100 where there is nothing to predict.
Tensor next_token_loss(const Tensor& logits, const Tensor& labels);
/// Weights normal with deviation `range`, biases 0, norms 1 and 0: transformers' start.
void init_weights(nn::Module& root, double range);
/// The tensor of an input; ValueError names the missing one.
const Tensor& given(const char* model, const char* name, const std::optional<Tensor>& input);
/// [B, S] of an input; ValueError when S is 0 or more than `limit`.
Shape checked_length(const char* model, const Tensor& ids, int64_t limit);

/// Dotted names below a block; qkv replaces query, key and value where they are one projection.
struct BlockNames {
  const char *query = nullptr, *key = nullptr, *value = nullptr, *qkv = nullptr;
  const char *out = nullptr, *attention_norm = nullptr;
  const char *up = nullptr, *down = nullptr, *mlp_norm = nullptr;
  const char *attention_scale = nullptr, *mlp_scale = nullptr;  // of LayerScales, where there are
};

struct BlockOptions {
  int64_t hidden_size = 0, heads = 1, intermediate_size = 0;
  std::string activation = "gelu";
  double dropout = 0, attention_dropout = 0, eps = 1e-12;
  bool pre_norm = false;             // normalise before attention and network, not after the sums
  bool causal = false;               // a token sees those before it
  bool transposed = false;           // projections are Conv1D
  std::optional<double> scale = {};  // of the scores; 1/sqrt(head size) by default
  std::optional<double> layer_scale = {};  // start of the LayerScales behind both parts
  double drop_path = 0;                    // of both parts, while training
  bool mlp_dropout = true;                 // also behind the network
  bool qkv_bias = true;                    // of query, key and value
};

/// x kept between -cap and cap: cap * tanh(x / cap).
Tensor soft_cap(const Tensor& x, double cap);
/// [B, T, heads * D] -> [B, T, heads, D].
Tensor split_heads(const Tensor& x, int64_t heads);

/// What a layer shares with the rest of a pass.
struct AttentionPlace {
  KeyValueCache* cache = nullptr;  // of a decoder: remembers keys and values
  size_t layer = 0;
  std::vector<Tensor>* weights = nullptr;  // takes how much every token looks at every other
  std::vector<Tensor>* routers = nullptr;  // takes what every token gives the experts
};
/// Queries q [B, T, heads, D] on k, v [B, T, kv_heads, D], which are remembered where there is a
/// cache, -> [B, T, heads * D]. With a cache its mask is meant, causality included.
struct Attention {
  std::optional<Tensor> mask = {};  // bool, true is seen, broadcast to [B, heads, T, S]
  bool causal = false;
  double dropout = 0;
  std::optional<double> scale = {};  // of the scores; 1/sqrt(D) by default
  AttentionPlace place = {};
  std::optional<Tensor> bias = {};     // added to the scores, broadcast to [B, heads, T, S]
  std::optional<int64_t> window = {};  // causal: tokens back, itself included, that are seen
  std::optional<double> cap = {};      // scores are kept below it, softly

  Tensor operator()(const Tensor& q, Tensor k, Tensor v) const;
};

/// x [B, T, hidden_size] -> the same shape.
class TransformerBlock : public nn::Module {
 public:
  TransformerBlock(const BlockNames& names, const BlockOptions& options);
  std::string type_name() const override { return "TransformerBlock"; }
  Tensor forward(const Tensor& x) override { return forward(x, {}); }
  /// mask: bool, true is seen, broadcast to [B, heads, T, T].
  Tensor forward(const Tensor& x, const std::optional<Tensor>& mask, AttentionPlace place = {});

 private:
  Tensor attend(const Tensor& x, const std::optional<Tensor>& mask, AttentionPlace place);
  Tensor feed_forward(const Tensor& x);
  /// What is added to the shortcut: scaled, and left out at random.
  Tensor branch(const char* scale, const Tensor& y);

  BlockNames names_;
  BlockOptions options_;
};

}  // namespace ds::hub

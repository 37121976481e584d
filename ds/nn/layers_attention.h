// SPDX-License-Identifier: Apache-2.0
// Multi-head attention and transformer layers (Vaswani et al., "Attention Is All You Need", 2017);
// arguments, defaults and parameter names as torch.nn.
#pragma once

#include <optional>
#include <utility>

#include "ds/nn/layers_core.h"
#include "ds/nn/layers_norm.h"

namespace ds::nn {

using Mask = std::optional<Tensor>;

/// The last projection of MultiheadAttention, named as in PyTorch.
class OutputProjection : public Linear {
 public:
  using Linear::Linear;
  std::string type_name() const override { return "NonDynamicallyQuantizableLinear"; }
};

struct AttentionOptions {
  int64_t embed_dim;
  int64_t num_heads;
  double dropout = 0.0;
  bool bias = true;
  bool add_bias_kv = false;
  bool add_zero_attn = false;
  std::optional<int64_t> kdim = {};
  std::optional<int64_t> vdim = {};
  bool batch_first = false;
};

class MultiheadAttention : public Module {
 public:
  explicit MultiheadAttention(AttentionOptions options);
  std::string type_name() const override { return "MultiheadAttention"; }
  using Module::forward;
  /// query [T, N, E], key and value [S, N, E] ([N, T, E] with batch_first, or without N) -> output
  /// like query, and the attention weights [N, T, S] ([N, H, T, S] when not averaged), undefined
  /// without need_weights. key_padding_mask [N, S] and attn_mask [T, S] or [N*H, T, S]: bool, true
  /// is left out, or added to the scores.
  std::pair<Tensor, Tensor> forward(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const Mask& key_padding_mask = {}, bool need_weights = true,
                                    const Mask& attn_mask = {}, bool average_attn_weights = true,
                                    bool is_causal = false);
  const AttentionOptions& options() const { return options_; }
  AttentionOptions& options() { return options_; }

 private:
  Tensor project(const Tensor& x, int part) const;
  Mask merged_mask(const Mask& key_padding, const Mask& attn, int64_t batch, int64_t tq, int64_t tk,
                   const Tensor& like) const;

  AttentionOptions options_;
};

struct TransformerOptions {
  int64_t d_model;
  int64_t nhead;
  int64_t dim_feedforward = 2048;
  double dropout = 0.1;
  std::string activation = "relu";  // relu or gelu
  double layer_norm_eps = 1e-5;
  bool batch_first = false;
  bool norm_first = false;
  bool bias = true;
};

class TransformerEncoderLayer : public Module {
 public:
  explicit TransformerEncoderLayer(TransformerOptions options);
  std::string type_name() const override { return "TransformerEncoderLayer"; }
  Tensor forward(const Tensor& src) override { return forward(src, {}); }
  Tensor forward(const Tensor& src, const Mask& src_mask, const Mask& src_key_padding_mask = {},
                 bool is_causal = false);
  const TransformerOptions& options() const { return options_; }

 private:
  Tensor feed_forward(const Tensor& x);

  TransformerOptions options_;
};

class TransformerDecoderLayer : public Module {
 public:
  explicit TransformerDecoderLayer(TransformerOptions options);
  std::string type_name() const override { return "TransformerDecoderLayer"; }
  using Module::forward;
  Tensor forward(const Tensor& tgt, const Tensor& memory, const Mask& tgt_mask = {},
                 const Mask& memory_mask = {}, const Mask& tgt_key_padding_mask = {},
                 const Mask& memory_key_padding_mask = {}, bool tgt_is_causal = false,
                 bool memory_is_causal = false);
  const TransformerOptions& options() const { return options_; }

 private:
  Tensor feed_forward(const Tensor& x);

  TransformerOptions options_;
};

/// A row of layers with an optional last norm.
class TransformerEncoder : public Module {
 public:
  /// Empty: children "layers" and "norm" are registered by the caller.
  TransformerEncoder() = default;
  explicit TransformerEncoder(const std::vector<ModulePtr>& layers, ModulePtr norm = {});
  TransformerEncoder(const TransformerOptions& options, int64_t num_layers, ModulePtr norm = {});
  std::string type_name() const override { return "TransformerEncoder"; }
  Tensor forward(const Tensor& src) override { return forward(src, {}); }
  Tensor forward(const Tensor& src, const Mask& mask, const Mask& src_key_padding_mask = {},
                 bool is_causal = false);
};

class TransformerDecoder : public Module {
 public:
  /// Empty: children "layers" and "norm" are registered by the caller.
  TransformerDecoder() = default;
  explicit TransformerDecoder(const std::vector<ModulePtr>& layers, ModulePtr norm = {});
  TransformerDecoder(const TransformerOptions& options, int64_t num_layers, ModulePtr norm = {});
  std::string type_name() const override { return "TransformerDecoder"; }
  using Module::forward;
  Tensor forward(const Tensor& tgt, const Tensor& memory, const Mask& tgt_mask = {},
                 const Mask& memory_mask = {}, const Mask& tgt_key_padding_mask = {},
                 const Mask& memory_key_padding_mask = {}, bool tgt_is_causal = false,
                 bool memory_is_causal = false);
};

/// Encoder and decoder.
class Transformer : public Module {
 public:
  Transformer(TransformerOptions options, int64_t num_encoder_layers = 6,
              int64_t num_decoder_layers = 6);
  std::string type_name() const override { return "Transformer"; }
  using Module::forward;
  Tensor forward(const Tensor& src, const Tensor& tgt, const Mask& src_mask = {},
                 const Mask& tgt_mask = {}, const Mask& memory_mask = {},
                 const Mask& src_key_padding_mask = {}, const Mask& tgt_key_padding_mask = {},
                 const Mask& memory_key_padding_mask = {});
  /// [size, size] with -inf above the diagonal.
  static Tensor generate_square_subsequent_mask(int64_t size);
  const TransformerOptions& options() const { return options_; }

 private:
  TransformerOptions options_;
};

}  // namespace ds::nn

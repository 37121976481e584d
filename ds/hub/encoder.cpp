// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/encoder.h"

#include "ds/base/error.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {

/// What tells one family from another: names, and a few habits.
struct EncoderFamily {
  const char* model_type;
  const char* class_prefix;
  const char* layers;
  BlockNames block;
  bool token_types, pooler, positions_after_padding;
  // A dense layer below the classifier of sequences (none: the pooler's output is classified).
  const char *sequence_dense, *sequence_activation, *sequence_out;
  // The head that predicts tokens; its bias is the decoder's own where mlm_bias_of is null.
  const char *mlm_dense, *mlm_norm, *mlm_decoder, *mlm_bias_of;
  bool question_dropout;
};

namespace {

constexpr BlockNames kBertBlock{.query = "attention.self.query",
                                .key = "attention.self.key",
                                .value = "attention.self.value",
                                .out = "attention.output.dense",
                                .attention_norm = "attention.output.LayerNorm",
                                .up = "intermediate.dense",
                                .down = "output.dense",
                                .mlp_norm = "output.LayerNorm"};
constexpr BlockNames kDistilBlock{.query = "attention.q_lin",
                                  .key = "attention.k_lin",
                                  .value = "attention.v_lin",
                                  .out = "attention.out_lin",
                                  .attention_norm = "sa_layer_norm",
                                  .up = "ffn.lin1",
                                  .down = "ffn.lin2",
                                  .mlp_norm = "output_layer_norm"};

constexpr EncoderFamily kFamilies[] = {
    {"bert", "Bert", "encoder.layer", kBertBlock, true, true, false, nullptr, nullptr, "classifier",
     "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm",
     "cls.predictions.decoder", "cls.predictions", false},
    {"roberta", "Roberta", "encoder.layer", kBertBlock, true, true, true, "classifier.dense",
     "tanh", "classifier.out_proj", "lm_head.dense", "lm_head.layer_norm", "lm_head.decoder",
     "lm_head", false},
    {"distilbert", "DistilBert", "transformer.layer", kDistilBlock, false, false, false,
     "pre_classifier", "relu", "classifier", "vocab_transform", "vocab_layer_norm",
     "vocab_projector", nullptr, true},
};

const EncoderFamily& family_of(const EncoderConfig& config) {
  for (const EncoderFamily& family : kFamilies)
    if (config.model_type == family.model_type) return family;
  DS_CHECK(false, ValueError, "config: the encoder '", config.model_type,
           "' is unknown; use bert, roberta or distilbert");
}

void check(const EncoderConfig& c) {
  DS_CHECK(c.vocab_size > 0 && c.hidden_size > 0 && c.num_hidden_layers >= 0 && c.num_labels > 0 &&
               c.max_position_embeddings > 0,
           ValueError, "config: vocab_size ", c.vocab_size, ", hidden_size ", c.hidden_size,
           ", max_position_embeddings ", c.max_position_embeddings, " and num_labels ",
           c.num_labels, " must be positive, num_hidden_layers ", c.num_hidden_layers,
           " not negative");
  DS_CHECK(!c.pad_token_id || *c.pad_token_id < c.vocab_size, ValueError, "config: pad_token_id ",
           c.pad_token_id.value_or(0), " is not below vocab_size ", c.vocab_size);
}

void add_embeddings(nn::Module& root, const EncoderConfig& c, const EncoderFamily& family) {
  const auto table = [&](const char* name, int64_t rows, std::optional<int64_t> padding = {}) {
    add_at(root, std::string("embeddings.") + name,
           std::make_shared<nn::Embedding>(rows, c.hidden_size, padding));
  };
  table("word_embeddings", c.vocab_size, c.pad_token_id);
  const bool padded = family.positions_after_padding;
  table("position_embeddings", c.max_position_embeddings, padded ? c.pad_token_id : std::nullopt);
  if (family.token_types) table("token_type_embeddings", c.type_vocab_size);
  add_at(root, "embeddings.LayerNorm",
         std::make_shared<nn::LayerNorm>(Shape{c.hidden_size}, c.layer_norm_eps));
}

/// The module at a dotted name; get_submodule() cannot be asked while its module is being made.
nn::ModulePtr below(const nn::Module& root, const std::string& name) {
  const size_t dot = name.find('.');
  if (dot == std::string::npos) return root.child(name);
  return below(*root.child(name.substr(0, dot)), name.substr(dot + 1));
}

}  // namespace

EncoderModel::EncoderModel(const EncoderConfig& config, bool pooling)
    : config_(config), family_(family_of(config)) {
  check(config);
  add_embeddings(*this, config, family_);
  const BlockOptions options{.hidden_size = config.hidden_size,
                             .heads = config.num_attention_heads,
                             .intermediate_size = config.intermediate_size,
                             .activation = config.hidden_act,
                             .dropout = config.hidden_dropout_prob,
                             .attention_dropout = config.attention_probs_dropout_prob,
                             .eps = config.layer_norm_eps};
  const auto layers = std::make_shared<nn::ModuleList>();
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    layers->append(std::make_shared<TransformerBlock>(family_.block, options));
  add_at(*this, family_.layers, layers);
  if (pooling && family_.pooler)
    add_at(*this, "pooler.dense",
           std::make_shared<nn::Linear>(config.hidden_size, config.hidden_size));
  init_weights(*this, config.initializer_range);
}

std::string EncoderModel::type_name() const { return std::string(family_.class_prefix) + "Model"; }

Tensor EncoderModel::positions(const EncoderInput& input, const Tensor& like) const {
  if (present(input.position_ids)) return *input.position_ids;
  const int64_t tokens = like.size(1);
  const Tensor row = unsqueeze(arange(tokens, DType::i64, like.device()), 0);
  if (!family_.positions_after_padding) return row;
  const int64_t pad = config_.pad_token_id.value_or(0);
  if (!present(input.input_ids)) return row + (pad + 1);
  const Tensor real = to_dtype(ne(*input.input_ids, pad), DType::i64);
  return cumsum(real, 1) * real + pad;
}

Tensor EncoderModel::embed(const EncoderInput& input) {
  const std::string name = type_name();
  const bool embedded = present(input.inputs_embeds);
  const Tensor& first = embedded
                            ? *input.inputs_embeds
                            : given(name.c_str(), "input_ids or inputs_embeds", input.input_ids);
  // RoBERTa's positions start behind that of padding.
  const int64_t skipped =
      family_.positions_after_padding ? config_.pad_token_id.value_or(0) + 1 : 0;
  const Shape shape =
      checked_length(name.c_str(), first, config_.max_position_embeddings - skipped);
  Tensor x = embedded ? first : call_at(*this, "embeddings.word_embeddings", first);
  if (family_.token_types) {
    const Tensor types = present(input.token_type_ids)
                             ? *input.token_type_ids
                             : zeros({1, shape[1]}, DType::i64, first.device());
    x = x + call_at(*this, "embeddings.token_type_embeddings", types);
  }
  x = x + call_at(*this, "embeddings.position_embeddings", positions(input, first));
  x = call_at(*this, "embeddings.LayerNorm", x);
  return dropout(x, config_.hidden_dropout_prob, is_training());
}

Output EncoderModel::forward(const EncoderInput& input) {
  Output out;
  Tensor x = embed(input);
  const std::optional<Tensor> mask = attention_mask(input.attention_mask);
  const nn::ModulePtr layers = get_submodule(family_.layers);
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    if (input.output_hidden_states) out.hidden_states.push_back(x);
    x = layers->child_as<TransformerBlock>(std::to_string(i)).forward(x, mask);
  }
  if (input.output_hidden_states) out.hidden_states.push_back(x);
  out.values.emplace_back("last_hidden_state", x);
  Tensor pooled;
  if (has_child("pooler")) pooled = tanh(call_at(*this, "pooler.dense", select(x, 1, 0)));
  if (family_.pooler) out.values.emplace_back("pooler_output", pooled);
  return out;
}

EncoderWithHead::EncoderWithHead(const EncoderConfig& config, EncoderTask task)
    : config_(config), task_(task), family_(family_of(config)) {
  const bool sequence = task == EncoderTask::sequence;
  const auto body =
      add<EncoderModel>(family_.model_type, config, sequence && !family_.sequence_dense);
  const int64_t h = config.hidden_size;
  const auto dense = [&](const char* name, int64_t out) {
    const auto layer = std::make_shared<nn::Linear>(h, out);
    add_at(*this, name, layer);
    init_weights(*layer, config.initializer_range);
    return layer;
  };
  if (sequence) {
    if (family_.sequence_dense) dense(family_.sequence_dense, h);
    dense(family_.sequence_out, config.num_labels);
  } else if (task == EncoderTask::token) {
    dense("classifier", config.num_labels);
  } else if (task == EncoderTask::question_answering) {
    dense("qa_outputs", 2);
  } else {
    dense(family_.mlm_dense, h);
    add_at(*this, family_.mlm_norm,
           std::make_shared<nn::LayerNorm>(Shape{h}, config.layer_norm_eps));
    const auto decoder = dense(family_.mlm_decoder, config.vocab_size);
    if (family_.mlm_bias_of)
      below(*this, family_.mlm_bias_of)->register_parameter("bias", decoder->parameter("bias"));
    if (config.tie_word_embeddings)
      decoder->set_parameter(
          "weight", body->get_submodule("embeddings.word_embeddings")->parameter("weight"));
  }
}

std::string EncoderWithHead::type_name() const {
  static constexpr const char* kTasks[] = {"MaskedLM", "SequenceClassification",
                                           "TokenClassification", "QuestionAnswering"};
  return std::string(family_.class_prefix) + "For" + kTasks[static_cast<int>(task_)];
}

Tensor EncoderWithHead::masked_lm_logits(const Tensor& hidden) {
  // RoBERTa's head always uses gelu.
  const std::string act = config_.model_type == "roberta" ? "gelu" : config_.hidden_act;
  const Tensor x = activate(act, call_at(*this, family_.mlm_dense, hidden));
  return call_at(*this, family_.mlm_decoder, call_at(*this, family_.mlm_norm, x));
}

Tensor EncoderWithHead::sequence_logits(const Output& body) {
  const double p = config_.classifier_dropout.value_or(config_.hidden_dropout_prob);
  if (!family_.sequence_dense)
    return call_at(*this, family_.sequence_out, dropout(body.values[1].second, p, is_training()));
  Tensor x = select(body.values[0].second, 1, 0);
  // RoBERTa also drops out below the dense layer.
  if (config_.model_type == "roberta") x = dropout(x, p, is_training());
  x = activate(family_.sequence_activation, call_at(*this, family_.sequence_dense, x));
  return call_at(*this, family_.sequence_out, dropout(x, p, is_training()));
}

Tensor EncoderWithHead::sequence_loss(const Tensor& logits, const Tensor& labels) const {
  const bool classes = labels.dtype() == DType::i64 || labels.dtype() == DType::i32;
  const std::string guess = config_.num_labels == 1 ? "regression"
                            : classes               ? "single_label_classification"
                                                    : "multi_label_classification";
  const std::string problem = config_.problem_type.empty() ? guess : config_.problem_type;
  if (problem == "single_label_classification")
    return cross_entropy(logits, to_dtype(reshape(labels, {labels.numel()}), DType::i64));
  const Tensor target = to_dtype(reshape(labels, logits.shape()), logits.dtype());
  if (problem == "regression") return mse_loss(logits, target);
  DS_CHECK(problem == "multi_label_classification", ValueError, "config: problem_type '", problem,
           "' is unknown; use regression, single_label_classification or "
           "multi_label_classification");
  return binary_cross_entropy_with_logits(logits, target);
}

Output EncoderWithHead::forward(const EncoderInput& input, const std::optional<Tensor>& labels,
                                const std::optional<Tensor>& end_positions) {
  Output body = child_as<EncoderModel>(family_.model_type).forward(input);
  const Tensor hidden = body.values[0].second;
  Output out;
  out.hidden_states = std::move(body.hidden_states);
  Tensor loss;
  if (task_ == EncoderTask::question_answering) {
    const double p = family_.question_dropout ? config_.classifier_dropout.value_or(0.1) : 0.0;
    const Tensor both = call_at(*this, "qa_outputs", dropout(hidden, p, is_training()));
    const Tensor start = select(both, -1, 0), end = select(both, -1, 1);
    if (present(labels) && present(end_positions)) {
      const int64_t outside = start.size(1);
      const auto part = [&](const Tensor& logits, const Tensor& at) {
        return cross_entropy(logits, clamp(reshape(at, {at.numel()}), 0, outside), std::nullopt,
                             outside);
      };
      loss = (part(start, *labels) + part(end, *end_positions)) / 2;
    }
    out.values = {{"loss", loss}, {"start_logits", start}, {"end_logits", end}};
    return out;
  }
  Tensor logits;
  if (task_ == EncoderTask::masked_lm) {
    logits = masked_lm_logits(hidden);
  } else if (task_ == EncoderTask::sequence) {
    logits = sequence_logits(body);
  } else {
    const double p = config_.classifier_dropout.value_or(config_.hidden_dropout_prob);
    logits = call_at(*this, "classifier", dropout(hidden, p, is_training()));
  }
  if (present(labels))
    loss = task_ == EncoderTask::sequence ? sequence_loss(logits, *labels)
                                          : cross_entropy(reshape(logits, {-1, logits.size(-1)}),
                                                          reshape(*labels, {labels->numel()}));
  out.values = {{"loss", loss}, {"logits", logits}};
  return out;
}

}  // namespace ds::hub

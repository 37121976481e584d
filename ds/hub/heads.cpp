// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/heads.h"

#include "ds/base/error.h"
#include "ds/hub/experts.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

/// What a classifier looks at; `last` is the last token that is no padding, `chosen` that of
/// Labels::choice_tokens.
enum class Look { pooled, first, last, every, chosen };
enum class Drop { none, hidden, classifier, summary };

/// A linear layer behind dropout, and perhaps a dense layer below it.
struct Classifier {
  const char* out = nullptr;  // no such head without it
  Look look = Look::pooled;
  Drop drop = Drop::classifier;
  const char *dense = nullptr, *activation = nullptr;  // the configuration's where it is null
  bool drops_below_dense = false, bias = true;
  const char* body = nullptr;  // where it is not the family's
  const char* norm = nullptr;  // behind the activation
};

/// What predicts words: dense, activation (the configuration's where it is null), norm, decoder;
/// or the decoder alone.
struct Predictor {
  const char *decoder = nullptr, *dense = nullptr, *norm = nullptr;
  const char* bias_of = nullptr;  // also holds the decoder's bias
  const char* activation = nullptr;
  bool bias = false;  // of a decoder alone
};

}  // namespace

/// The names that a family of models has for its heads.
struct HeadFamily {
  const char* model_type;
  const char* prefix;            // of classes
  const char* body;              // the child below the head
  bool masked = false;           // words are predicted from both sides
  const char* causal = nullptr;  // the class that predicts the next word
  Predictor words = {};
  Classifier sequence = {}, token = {}, question = {}, choice = {}, pair = {};
  const char* pair_logits = nullptr;  // of pretraining
  bool next_sentence = false;         // pairs have a class of their own, and two classes
  Classifier replaced = {};           // of tokens that were replaced
};

namespace {

constexpr Classifier kAnswer{"qa_outputs", Look::every, Drop::none};
constexpr Classifier kTokens{"classifier", Look::every};
constexpr Classifier kPooled{"classifier"};
constexpr Classifier kScore{.out = "score", .look = Look::last, .drop = Drop::none, .bias = false};
constexpr Classifier kTokenScore{"score", Look::every};
constexpr Classifier kAnswerAbove{
    .out = "qa_outputs", .look = Look::every, .drop = Drop::none, .body = "transformer"};
constexpr Classifier kDistil{"classifier", Look::first, Drop::classifier, "pre_classifier", "relu"};
constexpr Classifier kFirst{"classifier", Look::first, Drop::classifier, "pooler.dense", "gelu"};
/// ModernBERT's, which looks at one token or at every one.
constexpr Classifier modern(Look look) {
  return {.out = "classifier", .look = look, .dense = "head.dense", .norm = "head.norm"};
}
constexpr Predictor kHead{"lm_head"};
constexpr Predictor kHeadWithBias{.decoder = "lm_head", .bias = true};

/// Llama and its kin.
constexpr HeadFamily decoder(const char* model_type, const char* prefix, const Classifier& token,
                             const Classifier& question, const Classifier& sequence = kScore) {
  return {.model_type = model_type,
          .prefix = prefix,
          .body = "model",
          .causal = "ForCausalLM",
          .words = kHead,
          .sequence = sequence,
          .token = token,
          .question = question};
}

/// GPT-2's successors, which find answers too.
constexpr HeadFamily gpt(const char* model_type, const char* prefix, const char* body,
                         const Classifier& token, const Predictor& words = kHead) {
  return {.model_type = model_type,
          .prefix = prefix,
          .body = body,
          .causal = "ForCausalLM",
          .words = words,
          .sequence = kScore,
          .token = token,
          .question = kAnswer};
}

constexpr HeadFamily roberta(const char* model_type, const char* prefix,
                             const char* body = "roberta", const char* causal = "ForCausalLM") {
  return {.model_type = model_type,
          .prefix = prefix,
          .body = body,
          .masked = true,
          .causal = causal,
          .words = {"lm_head.decoder", "lm_head.dense", "lm_head.layer_norm", "lm_head", "gelu"},
          .sequence = {"classifier.out_proj", Look::first, Drop::classifier, "classifier.dense",
                       "tanh", true},
          .token = kTokens,
          .question = kAnswer,
          .choice = {"classifier", Look::pooled, Drop::hidden}};
}

constexpr HeadFamily kFamilies[] = {
    {.model_type = "bert",
     .prefix = "Bert",
     .body = "bert",
     .masked = true,
     .causal = "LMHeadModel",
     .words = {"cls.predictions.decoder", "cls.predictions.transform.dense",
               "cls.predictions.transform.LayerNorm", "cls.predictions"},
     .sequence = kPooled,
     .token = kTokens,
     .question = kAnswer,
     .choice = kPooled,
     .pair = {"cls.seq_relationship", Look::pooled, Drop::none},
     .pair_logits = "seq_relationship_logits",
     .next_sentence = true},
    roberta("roberta", "Roberta"),
    roberta("xlm-roberta", "XLMRoberta"),
    roberta("camembert", "Camembert"),
    roberta("mpnet", "MPNet", "mpnet", nullptr),
    {.model_type = "electra",
     .prefix = "Electra",
     .body = "electra",
     .masked = true,
     .causal = "ForCausalLM",
     .words = {"generator_lm_head", "generator_predictions.dense",
               "generator_predictions.LayerNorm", nullptr, "gelu"},
     .sequence = {"classifier.out_proj", Look::first, Drop::classifier, "classifier.dense", "gelu",
                  true},
     .token = kTokens,
     .question = kAnswer,
     .choice = {"classifier", Look::first, Drop::classifier, "sequence_summary.summary", "gelu"},
     .replaced = {"discriminator_predictions.dense_prediction", Look::every, Drop::none,
                  "discriminator_predictions.dense"}},
    {.model_type = "deberta-v2",
     .prefix = "DebertaV2",
     .body = "deberta",
     .masked = true,
     .words = {"cls.predictions.decoder", "cls.predictions.transform.dense",
               "cls.predictions.transform.LayerNorm", "cls.predictions"},
     .sequence = kFirst,
     .token = {"classifier", Look::every, Drop::hidden},
     .question = kAnswer,
     .choice = kFirst},
    {.model_type = "modernbert",
     .prefix = "ModernBert",
     .body = "model",
     .masked = true,
     .words = {"decoder", "head.dense", "head.norm"},
     .sequence = modern(Look::first),
     .token = modern(Look::every),
     .question = modern(Look::every),
     .choice = modern(Look::first)},
    {.model_type = "distilbert",
     .prefix = "DistilBert",
     .body = "distilbert",
     .masked = true,
     .words = {"vocab_projector", "vocab_transform", "vocab_layer_norm"},
     .sequence = kDistil,
     .token = kTokens,
     .question = {"qa_outputs", Look::every},
     .choice = kDistil},
    {.model_type = "albert",
     .prefix = "Albert",
     .body = "albert",
     .masked = true,
     .words = {"predictions.decoder", "predictions.dense", "predictions.LayerNorm", "predictions"},
     .sequence = kPooled,
     .token = kTokens,
     .question = kAnswer,
     .choice = kPooled,
     .pair = {"sop_classifier.classifier"},
     .pair_logits = "sop_logits"},
    {.model_type = "gpt2",
     .prefix = "GPT2",
     .body = "transformer",
     .causal = "LMHeadModel",
     .words = kHead,
     .sequence = kScore,
     .token = kTokens,
     .question = kAnswer,
     .choice = {"multiple_choice_head.summary", Look::chosen, Drop::summary}},
    decoder("llama", "Llama", kTokenScore, kAnswerAbove),
    decoder("mistral", "Mistral", kTokenScore, kAnswer),
    decoder("qwen2", "Qwen2", kTokenScore, kAnswerAbove),
    decoder("qwen3", "Qwen3", kTokenScore, kAnswerAbove),
    decoder("qwen2_moe", "Qwen2Moe", kTokenScore, kAnswer),
    decoder("qwen3_moe", "Qwen3Moe", kTokenScore, kAnswerAbove),
    decoder("mixtral", "Mixtral", kTokenScore, kAnswer),
    decoder("gemma", "Gemma", kTokenScore, {}),
    decoder("gemma2", "Gemma2", kTokenScore, {}),
    decoder("gemma3_text", "Gemma3Text", {}, {}),
    decoder("phi3", "Phi3", kTokenScore, {}),
    decoder("olmo2", "Olmo2", {}, {}),
    decoder("olmoe", "Olmoe", {}, {}, {}),
    decoder("granite", "Granite", {}, {}, {}),
    decoder("smollm3", "SmolLM3", kTokenScore, kAnswerAbove),
    decoder("deepseek_v2", "DeepseekV2", {}, {}),
    decoder("deepseek_v3", "DeepseekV3", kTokenScore, {}),
    gpt("gpt_neox", "GPTNeoX", "gpt_neox", kTokens),
    gpt("gptj", "GPTJ", "transformer", {}, kHeadWithBias),
    gpt("gpt_neo", "GPTNeo", "transformer", kTokens),
    gpt("bloom", "Bloom", "transformer", kTokens),
    gpt("falcon", "Falcon", "transformer", kTokens),
    decoder("opt", "OPT", {}, kAnswer),
    {.model_type = "phi",
     .prefix = "Phi",
     .body = "model",
     .causal = "ForCausalLM",
     .words = kHeadWithBias,
     .sequence = kScore,
     .token = kTokenScore},
    decoder("stablelm", "StableLm", kTokenScore, {}),
    decoder("starcoder2", "Starcoder2", kTokenScore, {}),
    decoder("olmo", "Olmo", {}, {}),
    {.model_type = "t5", .prefix = "T5", .body = "transformer", .token = kTokens},
};

const HeadFamily* find_family(const std::string& model_type) {
  for (const HeadFamily& family : kFamilies)
    if (model_type == family.model_type) return &family;
  return nullptr;
}

/// The classifier of a task, null where it predicts words alone.
const Classifier* classifier_of(const HeadFamily& family, Task task) {
  switch (task) {
    case Task::pretraining:
    case Task::next_sentence: return &family.pair;
    case Task::sequence: return &family.sequence;
    case Task::token: return &family.token;
    case Task::replaced_tokens: return &family.replaced;
    case Task::question_answering: return &family.question;
    case Task::multiple_choice:
    case Task::double_heads: return &family.choice;
    case Task::masked_lm:
    case Task::causal_lm: return nullptr;
  }
  return nullptr;
}

bool predicts_words(Task task) {
  return task == Task::masked_lm || task == Task::causal_lm || task == Task::pretraining ||
         task == Task::double_heads;
}

/// Texts come with their choices.
bool has_choices(Task task) { return task == Task::multiple_choice || task == Task::double_heads; }

/// What follows the family's name in the class of a head; null where there is none.
const char* class_of(const HeadFamily& family, Task task) {
  const Classifier* classifier = classifier_of(family, task);
  if (classifier && !classifier->out) return nullptr;
  switch (task) {
    case Task::masked_lm: return family.masked ? "ForMaskedLM" : nullptr;
    case Task::causal_lm: return family.causal;
    case Task::pretraining:
    case Task::replaced_tokens: return "ForPreTraining";
    case Task::next_sentence: return family.next_sentence ? "ForNextSentencePrediction" : nullptr;
    case Task::sequence: return "ForSequenceClassification";
    case Task::token: return "ForTokenClassification";
    case Task::question_answering: return "ForQuestionAnswering";
    case Task::multiple_choice:
      return classifier->look == Look::chosen ? nullptr : "ForMultipleChoice";
    case Task::double_heads: return classifier->look == Look::chosen ? "DoubleHeadsModel" : nullptr;
  }
  return nullptr;
}

/// The child below the head of a task.
const char* body_of(const HeadFamily& family, Task task) {
  const Classifier* classifier = classifier_of(family, task);
  return classifier && classifier->body ? classifier->body : family.body;
}

double chance(const HeadSetting& setting, Drop drop) {
  switch (drop) {
    case Drop::hidden: return setting.dropout;
    case Drop::classifier: return setting.classifier_dropout;
    case Drop::summary: return setting.summary_dropout;
    case Drop::none: return 0.0;
  }
  return 0.0;
}

/// The module at a dotted name; get_submodule() cannot be asked while its module is being made.
nn::ModulePtr below(const nn::Module& root, const std::string& name) {
  const size_t dot = name.find('.');
  if (dot == std::string::npos) return root.child(name);
  return below(*root.child(name.substr(0, dot)), name.substr(dot + 1));
}

/// [B, choices, T, ...] -> [B * choices, T, ...].
std::optional<Tensor> by_choice(const std::optional<Tensor>& x) {
  if (!present(x)) return std::nullopt;
  DS_CHECK(x->dim() >= 3, ShapeError, "the input ", x->type(),
           " must start with [batch, choices, tokens]");
  return flatten(*x, 0, 1);
}

TextInput by_choice(const TextInput& input) {
  TextInput flat = input;
  for (auto member : {&TextInput::input_ids, &TextInput::attention_mask, &TextInput::token_type_ids,
                      &TextInput::position_ids, &TextInput::inputs_embeds})
    flat.*member = by_choice(input.*member);
  return flat;
}

int64_t choices_of(const TextInput& input) {
  return (present(input.input_ids) ? *input.input_ids : *input.inputs_embeds).size(1);
}

/// x [B, T, H] at the tokens i64 [B] -> [B, H].
Tensor at_tokens(const Tensor& x, const Tensor& tokens) {
  const int64_t batch = x.size(0), size = x.size(2);
  return select(gather(x, 1, expand(reshape(tokens, {batch, 1, 1}), {batch, 1, size})), 1, 0);
}

/// The last token of every text that is no padding, i64 [B].
Tensor last_tokens(const HeadSetting& setting, const TextInput& input, const Tensor& hidden) {
  const Tensor place = arange(hidden.size(1), DType::i64, hidden.device());
  DS_CHECK(setting.pad_token_id || hidden.size(0) == 1, ValueError,
           "config: pad_token_id is not set, so the last token of ", hidden.size(0),
           " texts is not known; set it, or give one text at a time");
  if (!setting.pad_token_id || !present(input.input_ids))
    return full({hidden.size(0)}, hidden.size(1) - 1, DType::i64, hidden.device());
  const Tensor real = to_dtype(ne(*input.input_ids, *setting.pad_token_id), DType::i64);
  return argmax(place * real, -1);
}

/// The mean of every text's tokens that are no padding, of x [B, T, H].
Tensor mean_of(const Tensor& x, const TextInput& input) {
  if (!present(input.attention_mask)) return mean(x, {1});
  const Tensor real = unsqueeze(to_dtype(*input.attention_mask, x.dtype()), -1);
  return sum(x * real, {1}) / sum(real, {1});
}

/// x [B, T, H] at the tokens to keep.
Tensor kept(const Tensor& x, const LogitsToKeep& keep) {
  if (const Tensor* where = std::get_if<Tensor>(&keep)) {
    const bool marks = where->dtype() == DType::bool_;
    DS_CHECK(where->dim() == 1 || where->dim() == 2, ShapeError, "logits_to_keep: ", where->type(),
             " must be a number, [positions] or [batch, positions]");
    if (where->dim() == 1) return index(x, {Slice{}, *where});
    return marks ? index(x, {*where}) : take_along_dim(x, unsqueeze(*where, -1), 1);
  }
  const int64_t last = std::get<int64_t>(keep);
  DS_CHECK(last >= 0, ValueError, "logits_to_keep: ", last, " is negative; 0 keeps all tokens");
  return last == 0 || last >= x.size(1) ? x : narrow(x, 1, x.size(1) - last, last);
}

Tensor mean_loss(const Tensor& logits, const Tensor& labels) {
  return cross_entropy(reshape(logits, {-1, logits.size(-1)}),
                       to_dtype(reshape(labels, {labels.numel()}), DType::i64));
}

}  // namespace

std::vector<HeadClass> heads_of(const std::string& model_type) {
  std::vector<HeadClass> all;
  const HeadFamily* family = find_family(model_type);
  if (!family) return all;
  for (int i = 0; i <= static_cast<int>(Task::replaced_tokens); ++i) {
    const Task task = static_cast<Task>(i);
    if (const char* name = class_of(*family, task))
      all.push_back({task, name, body_of(*family, task)});
  }
  return all;
}

bool looks_at_pooled(const std::string& model_type, Task task) {
  const HeadFamily* family = find_family(model_type);
  const Classifier* classifier = family ? classifier_of(*family, task) : nullptr;
  return classifier && classifier->out && classifier->look == Look::pooled;
}

Tensor classification_loss(const HeadConfig& config, const Tensor& logits, const Tensor& labels) {
  const bool classes = labels.dtype() == DType::i64 || labels.dtype() == DType::i32;
  const std::string guess = config.num_labels == 1 ? "regression"
                            : classes              ? "single_label_classification"
                                                   : "multi_label_classification";
  const std::string problem = config.problem_type.empty() ? guess : config.problem_type;
  if (problem == "single_label_classification") return mean_loss(logits, labels);
  const Tensor target = to_dtype(reshape(labels, logits.shape()), logits.dtype());
  if (problem == "regression") return mse_loss(logits, target);
  DS_CHECK(problem == "multi_label_classification", ValueError, "config: problem_type '", problem,
           "' is unknown; use regression, single_label_classification or "
           "multi_label_classification");
  return binary_cross_entropy_with_logits(logits, target);
}

Tensor span_loss(const Tensor& start_logits, const Tensor& end_logits, const Tensor& start,
                 const Tensor& end) {
  const int64_t outside = start_logits.size(1);
  const auto part = [&](const Tensor& logits, const Tensor& at) {
    return cross_entropy(logits, clamp(reshape(at, {at.numel()}), 0, outside), std::nullopt,
                         outside);
  };
  return (part(start_logits, start) + part(end_logits, end)) / 2;
}

TextModelWithHead::TextModelWithHead(const std::shared_ptr<TextModel>& body, Task task)
    : setting_(body->head_setting()), task_(task), family_(find_family(setting_.model_type)) {
  DS_CHECK(family_ && class_of(*family_, task), ValueError, "a '", setting_.model_type,
           "' model has no such head");
  DS_CHECK(setting_.labels.num_labels > 0, ValueError, "config: num_labels ",
           setting_.labels.num_labels, " must be positive");
  const HeadSetting& s = setting_;
  register_module(body_of(*family_, task), body);
  const auto dense = [&](const char* name, int64_t in, int64_t out, bool bias = true) {
    const auto layer = std::make_shared<nn::Linear>(in, out, bias);
    add_at(*this, name, layer);
    init_weights(*layer, s.initializer_range);
    return layer;
  };
  const auto norm = [&](const char* name, int64_t size) {
    add_at(*this, name, std::make_shared<nn::LayerNorm>(Shape{size}, s.eps, true, s.norm_bias));
  };
  if (predicts_words(task)) {
    const Predictor& p = family_->words;
    if (p.dense) {
      dense(p.dense, s.hidden_size, s.embedding_size, s.dense_bias);
      norm(p.norm, s.embedding_size);
    }
    const bool bias = (p.dense && s.decoder_bias) || p.bias;
    const auto decoder = dense(p.decoder, s.embedding_size, s.vocab_size, bias);
    if (p.bias_of) below(*this, p.bias_of)->register_parameter("bias", decoder->parameter("bias"));
    if (s.tied) decoder->set_parameter("weight", below(*body, s.table)->parameter("weight"));
  }
  if (const Classifier* c = classifier_of(*family_, task)) {
    if (c->dense) dense(c->dense, s.hidden_size, s.hidden_size, s.dense_bias);
    if (c->norm) norm(c->norm, s.hidden_size);
    const bool two =
        task == Task::question_answering || (c == &family_->pair && family_->next_sentence);
    const bool one = has_choices(task) || task == Task::replaced_tokens;
    dense(c->out, s.hidden_size, one ? 1 : two ? 2 : s.labels.num_labels, c->bias);
  }
}

std::string TextModelWithHead::type_name() const {
  return std::string(family_->prefix) + class_of(*family_, task_);
}

TextModel& TextModelWithHead::body() { return child_as<TextModel>(body_of(*family_, task_)); }

Tensor TextModelWithHead::words(const Tensor& hidden) {
  const Predictor& p = family_->words;
  if (!p.dense) {
    Tensor logits = call_at(*this, p.decoder, hidden);
    if (setting_.logits_scaling != 1) logits = logits / setting_.logits_scaling;
    return setting_.logits_cap ? soft_cap(logits, *setting_.logits_cap) : logits;
  }
  const std::string act = p.activation ? p.activation : setting_.activation;
  const Tensor x = activate(act, call_at(*this, p.dense, hidden));
  return call_at(*this, p.decoder, call_at(*this, p.norm, x));
}

Tensor TextModelWithHead::look(const Output& states, const TextInput& input, const Labels& labels) {
  const Tensor& hidden = states.values[0].second;
  switch (classifier_of(*family_, task_)->look) {
    case Look::pooled: return states.values[1].second;
    case Look::first:
      return setting_.mean_of_tokens ? mean_of(hidden, input) : select(hidden, 1, 0);
    case Look::last: return at_tokens(hidden, last_tokens(setting_, input, hidden));
    case Look::chosen:
      if (!present(labels.choice_tokens)) return select(hidden, 1, -1);
      return at_tokens(hidden, *labels.choice_tokens);
    case Look::every: return hidden;
  }
  return hidden;
}

Tensor TextModelWithHead::classify(const Output& states, const TextInput& input,
                                   const Labels& labels) {
  const Classifier& c = *classifier_of(*family_, task_);
  const double p = chance(setting_, c.drop);
  Tensor x = look(states, input, labels);
  if (c.dense) {
    if (c.drops_below_dense) x = dropout(x, p, is_training());
    x = activate(c.activation ? c.activation : setting_.activation, call_at(*this, c.dense, x));
  }
  if (c.norm) x = call_at(*this, c.norm, x);
  return call_at(*this, c.out, dropout(x, p, is_training()));
}

void TextModelWithHead::check(const Labels& labels) const {
  const auto unused = [&](const std::optional<Tensor>& given, const char* name, bool used) {
    DS_CHECK(used || !present(given), ValueError, type_name(), ": there is no use for ", name,
             "; leave it out");
  };
  const bool question = task_ == Task::question_answering, both = task_ == Task::double_heads;
  unused(labels.labels, "labels; give start_positions and end_positions", !question);
  unused(labels.start_positions, "start_positions", question);
  unused(labels.end_positions, "end_positions", question);
  unused(labels.pair_labels, "next_sentence_label or sentence_order_label",
         task_ == Task::pretraining);
  unused(labels.choice_labels, "mc_labels", both);
  unused(labels.choice_tokens, "mc_token_ids", both);
}

nn::Named<Tensor> TextModelWithHead::results(const Output& states, const TextInput& input,
                                             const Labels& given, const LogitsToKeep& keep) {
  const Tensor& hidden = states.values[0].second;
  const bool labelled = present(given.labels);
  Tensor loss, logits = predicts_words(task_) ? words(kept(hidden, keep)) : Tensor();
  switch (task_) {
    case Task::masked_lm:
      if (labelled) loss = mean_loss(logits, *given.labels);
      break;
    case Task::causal_lm:
      if (labelled) loss = next_token_loss(logits, *given.labels);
      if (setting_.balanced_experts > 0) {
        Tensor balance;
        if (states.router_logits && !states.router_logits->empty())
          balance = balancing_loss(*states.router_logits, setting_.balanced_experts,
                                   input.attention_mask);
        if (labelled && balance.defined()) loss = loss + balance * setting_.balance_weight;
        return {{"loss", loss}, {"aux_loss", balance}, {"logits", logits}};
      }
      break;
    case Task::pretraining: {
      const Tensor pairs = classify(states, input, given);
      if (labelled && present(given.pair_labels))
        loss = mean_loss(logits, *given.labels) + mean_loss(pairs, *given.pair_labels);
      return {{"loss", loss}, {"prediction_logits", logits}, {family_->pair_logits, pairs}};
    }
    case Task::question_answering: {
      const Tensor both = classify(states, input, given);
      const Tensor start = select(both, -1, 0), end = select(both, -1, 1);
      if (present(given.start_positions) && present(given.end_positions))
        loss = span_loss(start, end, *given.start_positions, *given.end_positions);
      return {{"loss", loss}, {"start_logits", start}, {"end_logits", end}};
    }
    case Task::sequence:
      logits = classify(states, input, given);
      if (labelled) loss = classification_loss(setting_.labels, logits, *given.labels);
      break;
    case Task::multiple_choice:
      logits = reshape(classify(states, input, given), {-1, choices_of(input)});
      if (labelled) loss = mean_loss(logits, *given.labels);
      break;
    case Task::double_heads: {
      const int64_t choices = choices_of(input);
      const Tensor chosen = reshape(classify(states, input, given), {-1, choices});
      Tensor choice_loss;
      if (labelled) loss = next_token_loss(logits, flatten(*given.labels, 0, 1));
      if (present(given.choice_labels)) choice_loss = mean_loss(chosen, *given.choice_labels);
      const Shape& flat = logits.shape();
      return {{"loss", loss},
              {"mc_loss", choice_loss},
              {"logits", reshape(logits, {flat[0] / choices, choices, flat[1], flat[2]})},
              {"mc_logits", chosen}};
    }
    case Task::replaced_tokens:
      logits = select(classify(states, input, given), -1, 0);
      if (labelled) {
        const Tensor target = to_dtype(*given.labels, logits.dtype());
        const Tensor losses =
            binary_cross_entropy_with_logits(logits, target, std::nullopt, "none");
        const Tensor real = present(input.attention_mask)
                                ? to_dtype(eq(*input.attention_mask, 1), logits.dtype())
                                : ones_like(logits);
        loss = sum(losses * real) / sum(real);
      }
      break;
    case Task::token:
    case Task::next_sentence:
      logits = classify(states, input, given);
      if (labelled) loss = mean_loss(logits, *given.labels);
      break;
  }
  return {{"loss", loss}, {"logits", logits}};
}

Output TextModelWithHead::forward(const TextInput& input, const Labels& labels,
                                  const LogitsToKeep& keep) {
  check(labels);
  const bool choices = has_choices(task_);
  if (choices && !present(input.inputs_embeds))
    given(type_name().c_str(), "input_ids or inputs_embeds", input.input_ids);
  Output out = body().forward(choices ? by_choice(input) : input);
  out.values = results(out, input, labels, keep);
  if (task_ != Task::causal_lm) out.router_logits.reset();
  return out;
}

Output CausalLM::forward_cached(const Tensor& tokens, const std::optional<Tensor>& attention_mask,
                                KeyValueCache& cache, bool output_hidden_states,
                                const LogitsToKeep& keep) {
  Output out =
      run_cached([this](const TextInput& input) { return body().forward(input); }, type_name(),
                 max_positions(), tokens, attention_mask, cache, output_hidden_states);
  const GradMode no_grad(false);
  out.values = results(out, {}, {}, keep);
  return out;
}

Tensor CausalLM::next_logits(const Tensor& tokens, KeyValueCache& cache) {
  TextInput input;
  input.input_ids = tokens;
  input.cache = &cache;
  return words(select(body().forward(input).values[0].second, 1, -1));
}

}  // namespace ds::hub

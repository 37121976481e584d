// SPDX-License-Identifier: Apache-2.0
// Heads above models of text. A table of tasks and a row of names for every family make all of
// transformers' classes ...ForSequenceClassification and so on.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ds/hub/generate.h"
#include "ds/hub/text_model.h"

namespace ds::hub {

enum class Task {
  masked_lm,           // ForMaskedLM
  causal_lm,           // ForCausalLM
  pretraining,         // ForPreTraining: masked words, and how two texts belong together
  next_sentence,       // ForNextSentencePrediction
  sequence,            // ForSequenceClassification
  token,               // ForTokenClassification
  question_answering,  // ForQuestionAnswering
  multiple_choice,     // ForMultipleChoice
  double_heads,        // DoubleHeadsModel: next words and the right choice
  replaced_tokens,     // ForPreTraining of ELECTRA: whether each token was replaced
};

/// A head of a family: what follows the family's name in its class (ForCausalLM is LMHeadModel in
/// some), and the name of the model below it.
struct HeadClass {
  Task task;
  std::string name, body;
};
/// The heads of a family; none for an unknown one.
std::vector<HeadClass> heads_of(const std::string& model_type);
/// The head looks at pooler_output.
bool looks_at_pooled(const std::string& model_type, Task task);

/// What is to be predicted; a loss needs all of its task's. -100 marks what is not counted.
struct Labels {
  /// i64 [B] of classes (f32 for other problem types), of choices and of next_sentence; [B, T] of
  /// words and tokens, those of causal_lm and double_heads being the input itself; of
  /// replaced_tokens 0 and 1, counted where attention_mask is 1.
  std::optional<Tensor> labels;
  std::optional<Tensor> pair_labels;                     // i64 [B] of pretraining
  std::optional<Tensor> start_positions, end_positions;  // i64 [B] of question_answering
  std::optional<Tensor> choice_labels;                   // i64 [B] of double_heads
  std::optional<Tensor> choice_tokens;  // i64 [B, choices]: the token to judge by; the last
};

/// mean loss of classes: by problem_type.
Tensor classification_loss(const HeadConfig& config, const Tensor& logits, const Tensor& labels);
/// Mean of the losses of where an answer starts and ends; positions outside are not counted.
Tensor span_loss(const Tensor& start_logits, const Tensor& end_logits, const Tensor& start,
                 const Tensor& end);

/// The tokens whose next words are predicted: so many last ones, 0 for all; or i64 positions [K] or
/// [B, K]; or bool [B, T], which makes logits [those marked, vocab_size].
using LogitsToKeep = std::variant<int64_t, Tensor>;

struct HeadFamily;

/// A model of text below the head of a task: its loss, where there are labels, then its logits.
/// Texts of multiple_choice and double_heads are [B, choices, T].
class TextModelWithHead : public nn::Module {
 public:
  /// ValueError when the family has no such head.
  TextModelWithHead(const std::shared_ptr<TextModel>& body, Task task);
  std::string type_name() const override;
  using nn::Module::forward;
  /// ValueError for labels that the task has no use for. keep: of causal_lm.
  Output forward(const TextInput& input, const Labels& labels = {}, const LogitsToKeep& keep = 0);
  Task task() const { return task_; }

 protected:
  TextModel& body();
  Tensor words(const Tensor& hidden);
  nn::Named<Tensor> results(const Output& states, const TextInput& input, const Labels& labels,
                            const LogitsToKeep& keep);
  const HeadSetting& setting() const { return setting_; }

 private:
  Tensor look(const Output& states, const TextInput& input, const Labels& labels);
  Tensor classify(const Output& states, const TextInput& input, const Labels& labels);
  void check(const Labels& labels) const;

  HeadSetting setting_;
  Task task_;
  const HeadFamily* family_;
};

/// Predicts the next token: logits [B, T, vocab_size]. With labels and output_router_logits the
/// loss includes the one that balances experts, where a family has it, which is aux_loss alone.
class CausalLM : public TextModelWithHead, public GenerativeModel {
 public:
  explicit CausalLM(const std::shared_ptr<TextModel>& body)
      : TextModelWithHead(body, Task::causal_lm) {}
  /// Logits of tokens i64 [B, T] that follow those of the cache, where they are remembered; no
  /// gradients are recorded. attention_mask: [B, earlier ones and T], 0 where there is padding.
  /// ValueError for another batch and for more tokens than the model has positions for.
  Output forward_cached(const Tensor& tokens, const std::optional<Tensor>& attention_mask,
                        KeyValueCache& cache, bool output_hidden_states = false,
                        const LogitsToKeep& keep = 0);
  Tensor next_logits(const Tensor& tokens, KeyValueCache& cache) override;
  std::optional<int64_t> max_positions() const override { return setting().max_positions; }
  std::optional<int64_t> short_positions() const override { return setting().short_positions; }
};

}  // namespace ds::hub

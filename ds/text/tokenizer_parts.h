// SPDX-License-Identifier: Apache-2.0
// What a tokenizer is made of, and the readers of the files that describe it.
#pragma once

#include <string>
#include <string_view>

#include "ds/text/added_tokens.h"
#include "ds/text/decoder.h"
#include "ds/text/normalizer.h"
#include "ds/text/post_processor.h"
#include "ds/text/pre_tokenizer.h"
#include "ds/text/tokenizer.h"
#include "ds/text/word_model.h"

namespace ds::text {

struct TokenizerParts {
  NormalizerPtr normalizer;       // may be absent
  PreTokenizerPtr pre_tokenizer;  // may be absent
  WordModelPtr model;
  AddedTokens added;
  PostProcessor post_processor;
  DecoderPtr decoder;  // may be absent
  std::string pad_token;
  int64_t pad_id = -1;  // before pad_token, where a file names a number
  EncodeOptions options;

  Id find(const std::string& token) const {
    const Id id = added.find(token);
    return id == kNoId ? model->vocabulary().find(token) : id;
  }
  /// Makes tokens of the vocabulary special, as far as they are in it.
  void add_special(std::initializer_list<const char*> tokens);
};

/// A tokenizer.json.
TokenizerParts read_tokenizer_json(std::string_view text, const std::string& path);

struct VocabularySettings {
  bool lowercase = true;  // of a vocab.txt
  bool chinese_chars = true;
  bool add_prefix_space = false;  // of a vocab.json
};
/// A vocab.txt of BERT: a token a line.
TokenizerParts read_bert_vocabulary(std::string_view text, const std::string& path,
                                    const VocabularySettings& settings);
/// vocab.json and merges.txt of GPT-2 or RoBERTa.
TokenizerParts read_byte_level(std::string_view vocabulary, std::string_view merges,
                               const std::string& path, const VocabularySettings& settings);
/// A model of SentencePiece: Unigram or BPE. T5's inputs end with </s>, ALBERT's are within [CLS]
/// and [SEP], and those of BPE begin with <s>, as far as the model has these.
TokenizerParts read_sentence_piece(std::string_view bytes, const std::string& path);

}  // namespace ds::text

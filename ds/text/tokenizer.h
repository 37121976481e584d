// SPDX-License-Identifier: Apache-2.0
// Texts to numbers of tokens and back, with the ids of the tokenizers library:
//   const auto tokenizer = ds::text::Tokenizer::from_folder("my_model");
//   const auto batch = ds::text::to_tensors(tokenizer.encode_batch(texts, {.padding = ...}));
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ds/tensor/tensor.h"

namespace ds::text {

enum class Padding { none, longest, max_length };
enum class Truncation { longest_first, only_first, only_second };

struct EncodeOptions {
  bool add_special_tokens = true;
  int64_t max_length = 0;  // tokens that are kept, special ones included; 0 for all
  Truncation truncation = Truncation::longest_first;
  bool truncate_left = false;
  bool overflow = false;  // also make windows over what was cut
  int64_t stride = 0;     // tokens that a window shares with the one before
  Padding padding = Padding::none;
  bool pad_left = false;
  int64_t pad_to_multiple_of = 1;
  int64_t pad_length = 0;  // of Padding::max_length; 0 for max_length
  int64_t pad_type_id = 0;
  bool offsets = false;  // also find where in the text each token is
};

/// One text, or two, as tokens. All lists are of the same length, but offsets, which are there when
/// they were asked for.
struct Encoding {
  std::vector<int64_t> ids, type_ids, attention_mask, special_tokens_mask;
  std::vector<int64_t> sequence_ids;                   // 0 or 1 for a text, -1 for no text
  std::vector<std::pair<uint32_t, uint32_t>> offsets;  // bytes of the UTF-8 text; 0, 0 of no text
  std::vector<Encoding> overflowing;  // the windows that EncodeOptions::overflow asks for
};

struct TokenizerParts;

/// A tokenizer, which many threads may use.
class Tokenizer {
 public:
  /// From one file: a tokenizer.json, a model of SentencePiece (*.model), or a vocabulary of BERT
  /// (*.txt). IOError when it cannot be read, FileFormatError when it is damaged,
  /// NotImplementedError for a part that is not there.
  static Tokenizer from_file(const std::string& path);
  /// From a folder with tokenizer.json, else vocab.json and merges.txt, spiece.model or
  /// tokenizer.model, or vocab.txt; tokenizer_config.json names the token for padding.
  static Tokenizer from_folder(const std::string& folder);

  /// ValueError when a text is not UTF-8, max_length leaves no place for special tokens, or stride
  /// none for new ones. Without options: those that the files name, see options().
  Encoding encode(std::string_view text, const EncodeOptions& options) const;
  Encoding encode(std::string_view text) const { return encode(text, options_); }
  Encoding encode_pair(std::string_view text, std::string_view second,
                       const EncodeOptions& options) const;
  Encoding encode_pair(std::string_view text, std::string_view second) const {
    return encode_pair(text, second, options_);
  }
  /// All texts, each with the one of `second` that has its number, in parallel.
  std::vector<Encoding> encode_batch(const std::vector<std::string>& texts,
                                     const EncodeOptions& options,
                                     const std::vector<std::string>& second = {}) const;
  std::vector<Encoding> encode_batch(const std::vector<std::string>& texts) const {
    return encode_batch(texts, options_);
  }

  /// What "padding" and "truncation" of a tokenizer.json say, and the sides that
  /// tokenizer_config.json names.
  const EncodeOptions& options() const { return options_; }
  void set_options(const EncodeOptions& options) { options_ = options; }

  /// The text of ids; ids that are no token are left out.
  std::string decode(const std::vector<int64_t>& ids, bool skip_special_tokens = true) const;

  /// -1 for an unknown token.
  int64_t token_to_id(const std::string& token) const;
  /// "" for an unknown id.
  std::string id_to_token(int64_t id) const;
  /// One more than the largest id: the rows an embedding needs.
  int64_t size() const;

  /// -1 while there is none.
  int64_t pad_id() const { return pad_id_; }
  /// ValueError for an unknown token.
  void set_pad_token(const std::string& token);

 private:
  explicit Tokenizer(TokenizerParts parts);

  std::shared_ptr<const TokenizerParts> parts_;
  EncodeOptions options_;
  int64_t pad_id_ = -1;
};

/// Encodings of one length as tensors i64 [rows, tokens], under the names that models take. The
/// windows of a text are rows behind its own.
struct EncodedBatch {
  Tensor input_ids, token_type_ids, attention_mask;
  std::vector<int64_t> text_of_row;
};
/// ValueError when lengths differ; encode with padding.
EncodedBatch to_tensors(const std::vector<Encoding>& encodings);

}  // namespace ds::text

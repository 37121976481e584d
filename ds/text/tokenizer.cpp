// SPDX-License-Identifier: Apache-2.0
#include "ds/text/tokenizer.h"

#include <algorithm>
#include <mutex>

#include "ds/base/error.h"
#include "ds/base/parallel.h"
#include "ds/tensor/ops_create.h"
#include "ds/text/assemble.h"
#include "ds/text/tokenizer_parts.h"

namespace ds::text {
namespace {

// Texts of one piece of work share what a model remembers.
constexpr int64_t kTextsAtOnce = 64;
constexpr size_t kMaxText = size_t{1} << 30;

Text part_of(const Text& text, Range range) {
  Rewriter out(text);
  out.keep(range.begin, range.end);
  return out.done();
}

class Encoder {
 public:
  Encoder(const TokenizerParts& parts, bool offsets) : parts_(parts), offsets_(offsets) {
    tracked_ = offsets || (parts.pre_tokenizer && parts.pre_tokenizer->needs_origin());
  }

  TextTokens tokens_of(std::string_view text) {
    check_utf8(text, "tokenizer: the text");
    DS_CHECK(text.size() < kMaxText, ValueError, "tokenizer: a text of ", text.size(),
             " bytes is too long; cut it into paragraphs");
    TextTokens found;
    parts_.added.cut(text, false, [&](Range range, Id id) {
      if (id != kNoId) return note(found, id, range);
      Text part =
          Text::of(text.substr(range.begin, range.end - range.begin), range.begin, tracked_);
      if (parts_.normalizer) parts_.normalizer->run(part);
      parts_.added.cut(part.bytes, true, [&](Range inner, Id added) {
        if (added != kNoId) return note(found, added, part.origin_of(inner.begin, inner.end));
        const bool whole = inner.end - inner.begin == part.bytes.size();
        words(whole ? std::move(part) : part_of(part, inner), found);
      });
    });
    if (offsets_ && parts_.post_processor.trim_offsets) trim(found);
    return found;
  }

 private:
  void note(TextTokens& found, Id id, Range origin) const {
    found.ids.push_back(id);
    if (offsets_) found.origin.push_back(origin);
  }

  void words(Text text, TextTokens& found) {
    const Range whole{0, static_cast<uint32_t>(text.bytes.size())};
    Words words{std::move(text), {whole}};
    if (parts_.pre_tokenizer) parts_.pre_tokenizer->run(words);
    tokens_.clear();
    for (const Range& range : words.ranges)
      if (range.begin < range.end)
        parts_.model->tokenize(words.text.bytes, range, memory_, tokens_);
    for (const Token& token : tokens_)
      note(found, token.id,
           offsets_ ? words.text.origin_of(token.range.begin, token.range.end) : Range{});
  }

  /// Leaves spaces at the ends of byte-level tokens out of their offsets.
  void trim(TextTokens& found) const {
    static constexpr std::string_view kSpace = "\u0120";
    const bool keep_first = parts_.post_processor.keep_first_space;
    const auto shortened = [](Range range, uint32_t before, uint32_t behind) {
      range.begin = std::min(range.begin + before, range.end);
      if (range.end >= behind) range.end = std::max(range.end - behind, range.begin);
      return range;
    };
    found.if_first = found.origin;
    for (size_t i = 0; i < found.ids.size(); ++i) {
      const std::string* token = parts_.model->vocabulary().token(found.ids[i]);
      if (token == nullptr || parts_.added.token(found.ids[i])) continue;
      std::string_view left = *token;
      uint32_t before = 0, behind = 0;
      for (; left.starts_with(kSpace); left.remove_prefix(kSpace.size())) ++before;
      left = *token;
      for (; left.ends_with(kSpace); left.remove_suffix(kSpace.size())) ++behind;
      Range& range = found.origin[i];
      found.if_first[i] = shortened(range, keep_first && before == 1 ? 0 : before, behind);
      range = range.begin == 0 ? found.if_first[i] : shortened(range, before, behind);
    }
  }

  const TokenizerParts& parts_;
  bool offsets_, tracked_;
  WordMemory memory_;
  std::vector<Token> tokens_;
};

void check(const EncodeOptions& options, int64_t pad_id) {
  DS_CHECK(options.max_length >= 0, ValueError, "tokenizer: max_length is ", options.max_length,
           "; use 0 for no limit");
  DS_CHECK(options.pad_to_multiple_of >= 1, ValueError, "tokenizer: pad_to_multiple_of is ",
           options.pad_to_multiple_of, "; use at least 1");
  DS_CHECK(options.stride >= 0 && options.pad_length >= 0, ValueError, "tokenizer: stride is ",
           options.stride, " and pad_length ", options.pad_length, "; use at least 0");
  DS_CHECK(options.padding != Padding::max_length || options.max_length + options.pad_length > 0,
           ValueError, "tokenizer: padding to max_length needs one");
  DS_CHECK(options.padding == Padding::none || pad_id >= 0, ValueError,
           "tokenizer: there is no padding token; call set_pad_token()");
}

}  // namespace

Tokenizer::Tokenizer(TokenizerParts parts)
    : parts_(std::make_shared<const TokenizerParts>(std::move(parts))),
      options_(parts_->options),
      pad_id_(parts_->pad_id) {
  if (pad_id_ < 0 && !parts_->pad_token.empty()) pad_id_ = parts_->find(parts_->pad_token);
}

std::vector<Encoding> Tokenizer::encode_batch(const std::vector<std::string>& texts,
                                              const EncodeOptions& options,
                                              const std::vector<std::string>& second) const {
  check(options, pad_id_);
  DS_CHECK(second.empty() || second.size() == texts.size(), ValueError, "tokenizer: ", texts.size(),
           " texts and ", second.size(), " second texts");
  const bool is_pair = !second.empty();
  std::vector<Encoding> made(texts.size());
  parallel_for(static_cast<int64_t>(texts.size()), kTextsAtOnce, [&](int64_t begin, int64_t end) {
    Encoder encoder(*parts_, options.offsets);
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      std::vector<TextTokens> parts{encoder.tokens_of(texts[i])};
      if (is_pair) parts.push_back(encoder.tokens_of(second[i]));
      made[i] = assemble(parts, parts_->post_processor, options);
    }
  });
  pad_all(made, pad_id_, options);
  return made;
}

Encoding Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  return std::move(encode_batch({std::string(text)}, options)[0]);
}

Encoding Tokenizer::encode_pair(std::string_view text, std::string_view second,
                                const EncodeOptions& options) const {
  return std::move(encode_batch({std::string(text)}, options, {std::string(second)})[0]);
}

std::string Tokenizer::decode(const std::vector<int64_t>& ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  for (const int64_t id : ids) {
    if (id < 0 || id >= size()) continue;
    std::string token = id_to_token(id);
    const AddedToken* added = parts_->added.token(parts_->added.find(token));
    if (token.empty() || (added && added->special && skip_special_tokens)) continue;
    tokens.push_back(std::move(token));
  }
  if (parts_->decoder && !tokens.empty()) parts_->decoder->run(tokens);
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i)
    text += (i > 0 && !parts_->decoder ? " " : "") + tokens[i];
  return text;
}

int64_t Tokenizer::token_to_id(const std::string& token) const { return parts_->find(token); }

std::string Tokenizer::id_to_token(int64_t id) const {
  if (id < 0 || id >= size()) return "";
  if (const AddedToken* added = parts_->added.token(static_cast<Id>(id))) return added->text;
  const std::string* token = parts_->model->vocabulary().token(static_cast<Id>(id));
  return token ? *token : "";
}

int64_t Tokenizer::size() const {
  int64_t size = parts_->model->vocabulary().end_id();
  for (const AddedToken& token : parts_->added.tokens())
    size = std::max<int64_t>(size, int64_t{token.id} + 1);
  return size;
}

void Tokenizer::set_pad_token(const std::string& token) {
  const int64_t id = token_to_id(token);
  DS_CHECK(id >= 0, ValueError, "tokenizer: '", token, "' is not in the vocabulary");
  pad_id_ = id;
}

EncodedBatch to_tensors(const std::vector<Encoding>& encodings) {
  std::vector<const Encoding*> rows;
  EncodedBatch batch;
  for (size_t i = 0; i < encodings.size(); ++i) {
    rows.push_back(&encodings[i]);
    for (const Encoding& window : encodings[i].overflowing) rows.push_back(&window);
    batch.text_of_row.resize(rows.size(), static_cast<int64_t>(i));
  }
  const size_t length = rows.empty() ? 0 : rows[0]->ids.size();
  const Shape shape{static_cast<int64_t>(rows.size()), static_cast<int64_t>(length)};
  const auto tensor = [&](std::vector<int64_t> Encoding::*list) {
    std::vector<int64_t> all;
    for (const Encoding* row : rows) {
      DS_CHECK(row->ids.size() == length, ValueError, "tokenizer: texts of ", length, " and ",
               row->ids.size(), " tokens make no tensor; encode them with padding");
      all.insert(all.end(), (row->*list).begin(), (row->*list).end());
    }
    return ds::tensor(all, shape);
  };
  batch.input_ids = tensor(&Encoding::ids);
  batch.token_type_ids = tensor(&Encoding::type_ids);
  batch.attention_mask = tensor(&Encoding::attention_mask);
  return batch;
}

}  // namespace ds::text

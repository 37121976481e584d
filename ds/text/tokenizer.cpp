// SPDX-License-Identifier: Apache-2.0
#include "ds/text/tokenizer.h"

#include <algorithm>
#include <mutex>

#include "ds/base/error.h"
#include "ds/base/parallel.h"
#include "ds/tensor/ops_create.h"
#include "ds/text/tokenizer_parts.h"

namespace ds::text {
namespace {

// Texts of one piece of work share what a model remembers.
constexpr int64_t kTextsAtOnce = 64;
constexpr size_t kMaxText = size_t{1} << 30;

/// The tokens of one text, before special ones.
struct Sequence {
  std::vector<Id> ids;
  std::vector<Range> origin;  // when it is asked for

  void keep(size_t count, bool left) {
    if (ids.size() <= count) return;
    const auto drop = static_cast<int64_t>(ids.size() - count);
    if (left) {
      ids.erase(ids.begin(), ids.begin() + drop);
      if (!origin.empty()) origin.erase(origin.begin(), origin.begin() + drop);
    } else {
      ids.resize(count);
      if (!origin.empty()) origin.resize(count);
    }
  }
};

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

  Sequence sequence(std::string_view text) {
    check_utf8(text, "tokenizer: the text");
    DS_CHECK(text.size() < kMaxText, ValueError, "tokenizer: a text of ", text.size(),
             " bytes is too long; cut it into paragraphs");
    Sequence found;
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
  void note(Sequence& found, Id id, Range origin) const {
    found.ids.push_back(id);
    if (offsets_) found.origin.push_back(origin);
  }

  void words(Text text, Sequence& found) {
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
  void trim(Sequence& found) const {
    static constexpr std::string_view kSpace = "\u0120";
    for (size_t i = 0; i < found.ids.size(); ++i) {
      const std::string* token = parts_.model->vocabulary().token(found.ids[i]);
      if (token == nullptr || parts_.added.token(found.ids[i])) continue;
      std::string_view left = *token;
      uint32_t before = 0, behind = 0;
      for (; left.starts_with(kSpace); left.remove_prefix(kSpace.size())) ++before;
      left = *token;
      for (; left.ends_with(kSpace); left.remove_suffix(kSpace.size())) ++behind;
      Range& range = found.origin[i];
      const bool first = i == 0 || range.begin == 0;
      if (first && parts_.post_processor.keep_first_space && before == 1) before = 0;
      range.begin = std::min(range.begin + before, range.end);
      if (range.end >= behind) range.end = std::max(range.end - behind, range.begin);
    }
  }

  const TokenizerParts& parts_;
  bool offsets_, tracked_;
  WordMemory memory_;
  std::vector<Token> tokens_;
};

/// Shortens texts to `limit` tokens together.
void truncate(std::vector<Sequence>& texts, int64_t limit, const EncodeOptions& options) {
  size_t total = 0;
  for (const Sequence& text : texts) total += text.ids.size();
  const auto most = static_cast<size_t>(limit);
  if (total <= most) return;
  if (texts.size() == 1 || options.truncation != Truncation::longest_first) {
    const size_t which = options.truncation == Truncation::only_second ? 1 : 0;
    DS_CHECK(which < texts.size(), ValueError,
             "tokenizer: truncation is only_second, but there is one text");
    const size_t length = texts[which].ids.size();
    const bool alone = texts.size() == 1;
    DS_CHECK(alone || length > total - most, ValueError, "tokenizer: ", total - most,
             " tokens have to go, but the text to shorten has ", length);
    texts[which].keep(length - (total - most), options.truncate_left);
    return;
  }
  size_t shorter = texts[0].ids.size(), longer = texts[1].ids.size();
  const bool swapped = shorter > longer;
  if (swapped) std::swap(shorter, longer);
  longer = shorter > most ? shorter : std::max(shorter, most - shorter);
  if (shorter + longer > most) {
    shorter = most / 2;
    longer = shorter + most % 2;
  }
  texts[0].keep(swapped ? longer : shorter, options.truncate_left);
  texts[1].keep(swapped ? shorter : longer, options.truncate_left);
}

Encoding assemble(const std::vector<Sequence>& texts, const PostProcessor& post,
                  const EncodeOptions& options) {
  Encoding made;
  const auto put = [&](Id id, int64_t type, bool special, Range range) {
    made.ids.push_back(id);
    made.type_ids.push_back(type);
    made.special_tokens_mask.push_back(special);
    if (options.offsets) made.offsets.emplace_back(range.begin, range.end);
  };
  for (const TemplatePart& part : post.parts(texts.size() == 2)) {
    if (part.sequence < 0) {
      for (const Id id : part.ids)
        if (options.add_special_tokens) put(id, part.type, true, {});
      continue;
    }
    const Sequence& text = texts[static_cast<size_t>(part.sequence)];
    for (size_t i = 0; i < text.ids.size(); ++i)
      put(text.ids[i], part.type, false, options.offsets ? text.origin[i] : Range{});
  }
  made.attention_mask.assign(made.ids.size(), 1);
  return made;
}

template <class T>
void pad_list(std::vector<T>& list, size_t length, T value, bool left) {
  list.insert(left ? list.begin() : list.end(), length - list.size(), value);
}

void pad(Encoding& encoding, size_t length, int64_t pad_id, const EncodeOptions& options) {
  if (encoding.ids.size() >= length) return;
  const bool left = options.pad_left;
  pad_list(encoding.ids, length, pad_id, left);
  pad_list<int64_t>(encoding.type_ids, length, 0, left);
  pad_list<int64_t>(encoding.attention_mask, length, 0, left);
  pad_list<int64_t>(encoding.special_tokens_mask, length, 1, left);
  if (options.offsets) pad_list(encoding.offsets, length, {0u, 0u}, left);
}

void check(const EncodeOptions& options, int64_t pad_id) {
  DS_CHECK(options.max_length >= 0, ValueError, "tokenizer: max_length is ", options.max_length,
           "; use 0 for no limit");
  DS_CHECK(options.pad_to_multiple_of >= 1, ValueError, "tokenizer: pad_to_multiple_of is ",
           options.pad_to_multiple_of, "; use at least 1");
  DS_CHECK(options.padding != Padding::max_length || options.max_length > 0, ValueError,
           "tokenizer: padding to max_length needs one");
  DS_CHECK(options.padding == Padding::none || pad_id >= 0, ValueError,
           "tokenizer: there is no padding token; call set_pad_token()");
}

}  // namespace

Tokenizer::Tokenizer(TokenizerParts parts)
    : parts_(std::make_shared<const TokenizerParts>(std::move(parts))) {
  if (!parts_->pad_token.empty()) pad_id_ = parts_->find(parts_->pad_token);
}

std::vector<Encoding> Tokenizer::encode_batch(const std::vector<std::string>& texts,
                                              const EncodeOptions& options,
                                              const std::vector<std::string>& second) const {
  check(options, pad_id_);
  DS_CHECK(second.empty() || second.size() == texts.size(), ValueError, "tokenizer: ", texts.size(),
           " texts and ", second.size(), " second texts");
  const bool is_pair = !second.empty();
  const int64_t special = options.add_special_tokens ? parts_->post_processor.added(is_pair) : 0;
  DS_CHECK(options.max_length == 0 || options.max_length >= special, ValueError,
           "tokenizer: max_length is ", options.max_length, ", the special tokens alone are ",
           special);
  std::vector<Encoding> made(texts.size());
  parallel_for(static_cast<int64_t>(texts.size()), kTextsAtOnce, [&](int64_t begin, int64_t end) {
    Encoder encoder(*parts_, options.offsets);
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      std::vector<Sequence> parts{encoder.sequence(texts[i])};
      if (is_pair) parts.push_back(encoder.sequence(second[i]));
      if (options.max_length > 0) truncate(parts, options.max_length - special, options);
      made[i] = assemble(parts, parts_->post_processor, options);
    }
  });
  if (options.padding == Padding::none) return made;
  size_t length = 0;
  for (const Encoding& encoding : made) length = std::max(length, encoding.ids.size());
  if (options.padding == Padding::max_length) length = static_cast<size_t>(options.max_length);
  const auto multiple = static_cast<size_t>(options.pad_to_multiple_of);
  length = (length + multiple - 1) / multiple * multiple;
  for (Encoding& encoding : made) pad(encoding, length, pad_id_, options);
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
  const size_t length = encodings.empty() ? 0 : encodings[0].ids.size();
  const Shape shape{static_cast<int64_t>(encodings.size()), static_cast<int64_t>(length)};
  const auto tensor = [&](std::vector<int64_t> Encoding::*list) {
    std::vector<int64_t> all;
    for (const Encoding& encoding : encodings) {
      DS_CHECK(encoding.ids.size() == length, ValueError, "tokenizer: texts of ", length, " and ",
               encoding.ids.size(), " tokens make no tensor; encode them with padding");
      all.insert(all.end(), (encoding.*list).begin(), (encoding.*list).end());
    }
    return ds::tensor(all, shape);
  };
  return {tensor(&Encoding::ids), tensor(&Encoding::type_ids), tensor(&Encoding::attention_mask)};
}

}  // namespace ds::text

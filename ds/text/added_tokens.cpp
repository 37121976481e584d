// SPDX-License-Identifier: Apache-2.0
#include "ds/text/added_tokens.h"

#include <algorithm>

namespace ds::text {
namespace {

bool word_ends(std::string_view text, size_t at) {
  return at > 0 && is_word(previous_char(text, at));
}
bool word_begins(std::string_view text, size_t at) {
  return at < text.size() && is_word(next_char(text, at));
}

}  // namespace

AddedToken read_added_token(const Json& json) {
  AddedToken token;
  token.text = text_field(json, "content");
  token.id = id_of(field(json, "id"), "an added token");
  token.special = bool_field(json, "special", false);
  token.single_word = bool_field(json, "single_word", false);
  token.left_strip = bool_field(json, "lstrip", false);
  token.right_strip = bool_field(json, "rstrip", false);
  token.normalized = bool_field(json, "normalized", !token.special);
  return token;
}

void AddedTokens::add(AddedToken token, const Normalizer* normalizer) {
  if (token.text.empty()) return;
  Text written = Text::of(token.text, 0, false);
  if (token.normalized && normalizer) normalizer->run(written);
  const auto [place, fresh] = by_text_.try_emplace(token.text, tokens_.size());
  const size_t index = place->second;
  by_id_[token.id] = index;
  Tree& tree = token.normalized ? normalized_ : plain_;
  if (!written.bytes.empty()) {
    tree.prefixes.add(written.bytes, static_cast<uint32_t>(index));
    tree.starts[static_cast<unsigned char>(written.bytes[0])] = true;
  }
  if (fresh)
    tokens_.push_back(std::move(token));
  else
    tokens_[index] = std::move(token);
}

Id AddedTokens::find(const std::string& text) const {
  const auto found = by_text_.find(text);
  return found == by_text_.end() ? kNoId : tokens_[found->second].id;
}

const AddedToken* AddedTokens::token(Id id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

void AddedTokens::cut(std::string_view text, bool normalized, const Part& part) const {
  const Tree& tree = normalized ? normalized_ : plain_;
  const auto range = [](size_t begin, size_t end) {
    return Range{static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
  };
  size_t done = 0;
  for (size_t i = 0; i < text.size();) {
    size_t length = 0;
    uint32_t index = 0;
    if (tree.starts[static_cast<unsigned char>(text[i])])
      tree.prefixes.prefixes(text.substr(i), [&](size_t size, uint32_t value) {
        length = size;
        index = value;
      });
    if (length == 0) {
      ++i;
      continue;
    }
    const AddedToken& token = tokens_[index];
    size_t begin = i, end = i + length;
    i = end;
    if (token.single_word && (word_ends(text, begin) || word_begins(text, end))) continue;
    for (size_t k = begin; token.left_strip && k > done && is_space(previous_char(text, k));)
      begin = k;
    for (size_t k = end; token.right_strip && k < text.size() && is_space(next_char(text, k));)
      end = k;
    begin = std::max(begin, done);
    if (done < begin) part(range(done, begin), kNoId);
    part(range(begin, end), token.id);
    done = end;
    i = std::max(i, end);
  }
  if (done < text.size()) part(range(done, text.size()), kNoId);
}

}  // namespace ds::text

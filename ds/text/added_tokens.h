// SPDX-License-Identifier: Apache-2.0
// Tokens that are found in a text before any model sees it: special ones and added words.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "ds/text/json.h"
#include "ds/text/normalizer.h"
#include "ds/text/vocabulary.h"

namespace ds::text {

struct AddedToken {
  std::string text;
  Id id = kNoId;
  bool special = true;
  bool single_word = false;  // only between characters that are no part of words
  bool left_strip = false, right_strip = false;  // takes the spaces beside it
  bool normalized = false;                       // looked for in normalised text
};
AddedToken read_added_token(const Json& json);

class AddedTokens {
 public:
  /// Replaces one of the same text.
  void add(AddedToken token, const Normalizer* normalizer);
  Id find(const std::string& text) const;
  /// nullptr for the id of no added token.
  const AddedToken* token(Id id) const;
  const std::vector<AddedToken>& tokens() const { return tokens_; }

  /// Cuts a text at its added tokens: part(range, id), where id is kNoId for what lies between.
  using Part = std::function<void(Range, Id)>;
  void cut(std::string_view text, bool normalized, const Part& part) const;

 private:
  struct Tree {
    PrefixTree prefixes;
    bool starts[256] = {};
  };

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, size_t> by_text_;
  std::unordered_map<Id, size_t> by_id_;
  Tree plain_, normalized_;
};

}  // namespace ds::text

// SPDX-License-Identifier: Apache-2.0
// The regular expressions by which GPT-2, Llama 3, Qwen2 and their kin cut text into words, as
// loops.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ds/text/piece.h"

namespace ds::text {

struct GptRules {
  bool gpt2 = true;  // words and numbers take a space with them, no more
  int digits = 0;    // most digits of a number, 0 for any count
};

/// The expression of GPT-2.
extern const char* const kGpt2Expression;
/// The rules of an expression that is written exactly as one of the known ones.
std::optional<GptRules> gpt_rules(const std::string& expression);

/// Appends the words of bytes `range` of a text.
void gpt_split(std::string_view text, Range range, const GptRules& rules,
               std::vector<Range>& words);

}  // namespace ds::text

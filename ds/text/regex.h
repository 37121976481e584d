// SPDX-License-Identifier: Apache-2.0
// What a text is split by: a literal string or a regular expression.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ds/text/json.h"
#include "ds/text/piece.h"

namespace ds::text {

class Pattern {
 public:
  /// ValueError for an expression that does not compile.
  static Pattern regex(const std::string& expression);
  static Pattern literal(std::string text);

  /// The places that match, from left to right, none empty. ValueError when an expression takes
  /// too long.
  std::vector<Range> find(std::string_view text) const;

 private:
  struct Compiled;
  std::string literal_;
  std::shared_ptr<const Compiled> compiled_;
};

/// {"String": text} or {"Regex": expression}.
Pattern read_pattern(const Json& json);

}  // namespace ds::text

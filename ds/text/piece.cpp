// SPDX-License-Identifier: Apache-2.0
#include "ds/text/piece.h"

namespace ds::text {

Text Text::of(std::string_view part, uint32_t offset, bool tracked) {
  Text text{std::string(part), {}, tracked};
  if (!tracked) return text;
  text.origin.reserve(part.size());
  for (size_t i = 0; i < part.size();) {
    const auto begin = static_cast<uint32_t>(i);
    next_char(part, i);
    text.origin.resize(i, {offset + begin, offset + static_cast<uint32_t>(i)});
  }
  return text;
}

void Rewriter::keep(size_t begin, size_t end) {
  to_.bytes.append(from_.bytes, begin, end - begin);
  if (to_.tracked)
    to_.origin.insert(to_.origin.end(), from_.origin.begin() + static_cast<int64_t>(begin),
                      from_.origin.begin() + static_cast<int64_t>(end));
}

}  // namespace ds::text

// SPDX-License-Identifier: Apache-2.0
#include "ds/text/assemble.h"

#include <algorithm>

#include "ds/base/error.h"

namespace ds::text {
namespace {

/// How many tokens of each text stay when all may have `most`.
std::vector<size_t> lengths_within(const std::vector<TextTokens>& texts, size_t most,
                                   Truncation strategy) {
  std::vector<size_t> lengths;
  size_t total = 0;
  for (const TextTokens& text : texts) {
    lengths.push_back(text.ids.size());
    total += text.ids.size();
  }
  if (total <= most) return lengths;
  if (most == 0) return std::vector<size_t>(texts.size(), 0);
  if (texts.size() == 1 || strategy != Truncation::longest_first) {
    const size_t which = strategy == Truncation::only_second ? 1 : 0;
    DS_CHECK(which < texts.size(), ValueError,
             "tokenizer: truncation is only_second, but there is one text");
    size_t& length = lengths[which];
    DS_CHECK(length > total - most, ValueError, "tokenizer: ", total - most,
             " tokens have to go, but the text to shorten has ", length);
    length -= total - most;
    return lengths;
  }
  size_t &shorter = lengths[lengths[0] > lengths[1]], &longer = lengths[lengths[0] <= lengths[1]];
  longer = shorter > most ? shorter : std::max(shorter, most - shorter);
  if (shorter + longer > most) {
    shorter = most / 2;
    longer = shorter + most % 2;
  }
  return lengths;
}

/// What of a text goes into an input, and then into the windows over the rest of it.
std::vector<Range> windows(size_t length, size_t keep, const EncodeOptions& options) {
  const auto range = [](size_t begin, size_t end) {
    return Range{static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
  };
  if (keep >= length) return {range(0, length)};
  if (keep == 0) return {range(0, 0), range(0, length)};
  const auto stride = static_cast<size_t>(options.stride);
  DS_CHECK(stride < keep, ValueError, "tokenizer: stride is ", stride, ", but only ", keep,
           " tokens of a text fit beside the rest; use a smaller stride or a larger max_length");
  std::vector<Range> made;
  for (size_t start = 0;; start += keep - stride) {
    const size_t end = std::min(start + keep, length);
    made.push_back(options.truncate_left ? range(length - end, length - start) : range(start, end));
    if (end == length || !options.overflow) return made;
  }
}

Encoding join(const std::vector<TextTokens>& texts, const std::vector<Range>& kept,
              const PostProcessor& post, const EncodeOptions& options) {
  Encoding made;
  const auto put = [&](Id id, int64_t type, int sequence, Range range) {
    made.ids.push_back(id);
    made.type_ids.push_back(type);
    made.special_tokens_mask.push_back(sequence < 0);
    made.sequence_ids.push_back(sequence);
    if (options.offsets) made.offsets.emplace_back(range.begin, range.end);
  };
  for (const TemplatePart& part : post.parts(texts.size() == 2)) {
    if (part.sequence < 0) {
      for (const Id id : part.ids)
        if (options.add_special_tokens) put(id, part.type, -1, {});
      continue;
    }
    const auto which = static_cast<size_t>(part.sequence);
    const TextTokens& text = texts[which];
    for (size_t i = kept[which].begin; i < kept[which].end; ++i) {
      const bool first = i == kept[which].begin && !text.if_first.empty();
      const Range range = first ? text.if_first[i] : options.offsets ? text.origin[i] : Range{};
      put(text.ids[i], part.type, part.sequence, range);
    }
  }
  made.attention_mask.assign(made.ids.size(), 1);
  return made;
}

template <class T>
void pad_list(std::vector<T>& list, size_t length, T value, bool left) {
  list.insert(left ? list.begin() : list.end(), length - list.size(), value);
}

void pad(Encoding& encoding, size_t length, int64_t pad_id, const EncodeOptions& options) {
  for (Encoding& window : encoding.overflowing) pad(window, length, pad_id, options);
  if (encoding.ids.size() >= length) return;
  const bool left = options.pad_left;
  pad_list(encoding.ids, length, pad_id, left);
  pad_list(encoding.type_ids, length, options.pad_type_id, left);
  pad_list<int64_t>(encoding.attention_mask, length, 0, left);
  pad_list<int64_t>(encoding.special_tokens_mask, length, 1, left);
  pad_list<int64_t>(encoding.sequence_ids, length, -1, left);
  if (options.offsets) pad_list(encoding.offsets, length, {0u, 0u}, left);
}

}  // namespace

Encoding assemble(const std::vector<TextTokens>& texts, const PostProcessor& post,
                  const EncodeOptions& options) {
  std::vector<std::vector<Range>> kept;
  if (options.max_length == 0) {
    for (const TextTokens& text : texts)
      kept.push_back(windows(text.ids.size(), text.ids.size(), options));
  } else {
    const int64_t special = options.add_special_tokens ? post.added(texts.size() == 2) : 0;
    DS_CHECK(options.max_length >= special, ValueError, "tokenizer: max_length is ",
             options.max_length, ", the special tokens alone are ", special);
    const std::vector<size_t> lengths = lengths_within(
        texts, static_cast<size_t>(options.max_length - special), options.truncation);
    for (size_t i = 0; i < texts.size(); ++i)
      kept.push_back(windows(texts[i].ids.size(), lengths[i], options));
  }
  std::vector<Range> chosen;
  for (const std::vector<Range>& ranges : kept) chosen.push_back(ranges[0]);
  Encoding made = join(texts, chosen, post, options);
  if (!options.overflow) return made;
  // The windows of the first text, each with all of the second; then those of the second alone.
  const size_t first = kept[0].size(), second = kept.size() == 2 ? kept[1].size() : 1;
  for (size_t k = 0; k < first * second; ++k) {
    const size_t a = (k / second + 1) % first, b = k % second;
    if (a == 0 && b == 0) continue;
    chosen[0] = kept[0][a];
    if (kept.size() == 2) chosen[1] = kept[1][b];
    made.overflowing.push_back(join(texts, chosen, post, options));
  }
  return made;
}

void pad_all(std::vector<Encoding>& encodings, int64_t pad_id, const EncodeOptions& options) {
  if (options.padding == Padding::none) return;
  size_t length = 0;
  for (const Encoding& encoding : encodings) length = std::max(length, encoding.ids.size());
  if (options.padding == Padding::max_length)
    length = static_cast<size_t>(options.pad_length > 0 ? options.pad_length : options.max_length);
  const auto multiple = static_cast<size_t>(options.pad_to_multiple_of);
  length = (length + multiple - 1) / multiple * multiple;
  for (Encoding& encoding : encodings) pad(encoding, length, pad_id, options);
}

}  // namespace ds::text

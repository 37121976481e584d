// SPDX-License-Identifier: Apache-2.0
// Tokenizers from the files that models come with.
#include <filesystem>
#include <limits>

#include "ds/io/file.h"
#include "ds/text/tokenizer.h"
#include "ds/text/tokenizer_parts.h"

namespace ds::text {
namespace {

namespace fs = std::filesystem;

/// Says which file an error of its contents is about.
template <class Read>
auto reading(const std::string& path, const Read& read) {
  try {
    return read();
  } catch (const Error&) {
    rethrow_with_context(std::current_exception(), " (in " + path + ")");
  } catch (const nlohmann::json::exception& e) {
    throw FileFormatError(str(path, ": ", e.what()));
  }
}

TokenizerParts read_file(const std::string& path, const VocabularySettings& settings) {
  const std::string text = io::read_text(path);
  return reading(path, [&] {
    if (path.ends_with(".json")) return read_tokenizer_json(text, path);
    if (path.ends_with(".model")) return read_sentence_piece(text, path);
    DS_CHECK(path.ends_with(".txt"), ValueError,
             "tokenizer: a tokenizer.json, a *.model or a vocab.txt is expected");
    return read_bert_vocabulary(text, path, settings);
  });
}

/// A special token is written as text or as {"content": text}.
std::string special_token(const Json& settings, const char* name) {
  const Json& value = field(settings, name);
  return value.is_object() ? text_field(value, "content", "") : text_field(settings, name, "");
}

/// More tokens than any model takes; a file that asks for more is hostile.
constexpr int64_t kMaxPadding = 1 << 24;

int64_t count_field(const Json& object, const char* name, int64_t absent, int64_t most) {
  const int64_t value = int_field(object, name, absent);
  DS_CHECK(value >= 0 && value <= most, FileFormatError, "tokenizer: '", name, "' is ", value,
           ", 0 to ", most, " is expected");
  return value;
}

bool is_left(const Json& object, const char* name) {
  const std::string side = text_field(object, name, "Right");
  DS_CHECK(side == "Left" || side == "left" || side == "Right" || side == "right", FileFormatError,
           "tokenizer: '", name, "' is '", side, "', left or right is expected");
  return side == "Left" || side == "left";
}

/// The "truncation" of a tokenizer.json.
void read_truncation(const Json& json, EncodeOptions& options) {
  if (json.is_null()) return;
  options.max_length = count_field(json, "max_length", 512, std::numeric_limits<int64_t>::max());
  options.stride = count_field(json, "stride", 0, std::numeric_limits<int64_t>::max());
  options.truncate_left = is_left(json, "direction");
  const std::string strategy = text_field(json, "strategy", "LongestFirst");
  if (strategy == "OnlyFirst")
    options.truncation = Truncation::only_first;
  else if (strategy == "OnlySecond")
    options.truncation = Truncation::only_second;
  else
    DS_CHECK(strategy == "LongestFirst", FileFormatError, "tokenizer: truncation '", strategy,
             "' is unknown");
}

/// The "padding" of a tokenizer.json.
void read_padding(const Json& json, TokenizerParts& parts) {
  if (json.is_null()) return;
  EncodeOptions& options = parts.options;
  const Json& strategy = field(json, "strategy");
  if (strategy.is_object()) {
    options.padding = Padding::max_length;
    options.pad_length = count_field(strategy, "Fixed", 0, kMaxPadding);
    DS_CHECK(options.pad_length > 0, FileFormatError, "tokenizer: padding to no length");
  } else {
    DS_CHECK(text_field(json, "strategy", "BatchLongest") == "BatchLongest", FileFormatError,
             "tokenizer: a padding strategy is unknown");
    options.padding = Padding::longest;
  }
  options.pad_left = is_left(json, "direction");
  options.pad_to_multiple_of =
      std::max<int64_t>(1, count_field(json, "pad_to_multiple_of", 1, kMaxPadding));
  options.pad_type_id = count_field(json, "pad_type_id", 0, kMaxPadding);
  parts.pad_token = text_field(json, "pad_token", "");
  parts.pad_id = field(json, "pad_id").is_null() ? 0 : id_of(field(json, "pad_id"), "padding");
}

}  // namespace

void TokenizerParts::add_special(std::initializer_list<const char*> tokens) {
  for (const char* token : tokens) {
    const Id id = model->vocabulary().find(token);
    if (id != kNoId) added.add({token, id}, nullptr);
  }
}

TokenizerParts read_tokenizer_json(std::string_view text, const std::string& path) {
  const Json json = parse_json(text, path);
  TokenizerParts parts;
  parts.model = read_word_model(field(json, "model"));
  parts.normalizer = read_normalizer(field(json, "normalizer"));
  parts.pre_tokenizer = read_pre_tokenizer(field(json, "pre_tokenizer"));
  parts.post_processor = read_post_processor(field(json, "post_processor"));
  parts.decoder = read_decoder(field(json, "decoder"));
  if (!field(json, "added_tokens").is_null())
    for (const Json& token : list_field(json, "added_tokens"))
      parts.added.add(read_added_token(token), parts.normalizer.get());
  read_truncation(field(json, "truncation"), parts.options);
  read_padding(field(json, "padding"), parts);
  for (const char* usual : {"[PAD]", "<pad>"})
    if (parts.pad_token.empty() && parts.added.find(usual) != kNoId) parts.pad_token = usual;
  return parts;
}

TokenizerParts read_bert_vocabulary(std::string_view text, const std::string& path,
                                    const VocabularySettings& settings) {
  DS_CHECK(is_utf8(text), FileFormatError, path, ": not UTF-8");
  Vocabulary vocabulary;
  Id id = 0;
  for (size_t begin = 0; begin < text.size(); ++id) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    vocabulary.add(line, id);
    begin = end + 1;
  }
  TokenizerParts parts;
  parts.model = word_piece(std::move(vocabulary));
  BertNormalizerOptions options;
  options.lowercase = options.strip_accents = settings.lowercase;
  options.handle_chinese_chars = settings.chinese_chars;
  parts.normalizer = bert_normalizer(options);
  parts.pre_tokenizer = bert_pre_tokenizer();
  parts.decoder = word_piece_decoder();
  parts.add_special({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"});
  parts.pad_token = "[PAD]";
  const Id cls = parts.find("[CLS]"), sep = parts.find("[SEP]");
  if (cls != kNoId && sep != kNoId) parts.post_processor = bert_post_processor(cls, sep);
  return parts;
}

TokenizerParts read_byte_level(std::string_view vocabulary, std::string_view merges,
                               const std::string& path, const VocabularySettings& settings) {
  TokenizerParts parts;
  parts.model = bpe(read_vocabulary(parse_json(vocabulary, path)), read_merges(merges, path), {});
  parts.pre_tokenizer = byte_level_pre_tokenizer(settings.add_prefix_space, true);
  parts.decoder = byte_level_decoder();
  parts.add_special({"<|endoftext|>", "<s>", "</s>", "<unk>", "<pad>"});
  const Id cls = parts.find("<s>"), sep = parts.find("</s>");
  if (cls == kNoId || sep == kNoId) return parts;
  // RoBERTa's: <s> A </s>, and <s> A </s></s> B </s>.
  const Id mask = parts.find("<mask>");
  if (mask != kNoId) parts.added.add({"<mask>", mask, true, false, true}, nullptr);
  parts.post_processor.single = {{-1, {cls}, 0}, {0, {}, 0}, {-1, {sep}, 0}};
  parts.post_processor.pair = {
      {-1, {cls}, 0}, {0, {}, 0}, {-1, {sep, sep}, 0}, {1, {}, 0}, {-1, {sep}, 0}};
  parts.post_processor.trim_offsets = true;
  parts.pad_token = "<pad>";
  return parts;
}

Tokenizer Tokenizer::from_file(const std::string& path) { return Tokenizer(read_file(path, {})); }

Tokenizer Tokenizer::from_folder(const std::string& folder) {
  const auto path = [&](const char* name) { return (fs::path(folder) / name).string(); };
  const auto there = [&](const char* name) { return fs::is_regular_file(path(name)); };
  VocabularySettings settings;
  std::string pad_token;
  Json sides = Json::object();
  if (there("tokenizer_config.json")) {
    const std::string file = path("tokenizer_config.json");
    reading(file, [&] {
      const Json json = parse_json(io::read_text(file), file);
      settings.lowercase = bool_field(json, "do_lower_case", true);
      settings.chinese_chars = bool_field(json, "tokenize_chinese_chars", true);
      settings.add_prefix_space = bool_field(json, "add_prefix_space", false);
      pad_token = special_token(json, "pad_token");
      for (const char* side : {"padding_side", "truncation_side"})
        if (!field(json, side).is_null()) sides[side] = is_left(json, side);
    });
  }
  const auto read = [&] {
    if (there("tokenizer.json")) return read_file(path("tokenizer.json"), settings);
    if (there("vocab.json") && there("merges.txt"))
      return reading(path("vocab.json"), [&] {
        return read_byte_level(io::read_text(path("vocab.json")), io::read_text(path("merges.txt")),
                               path("vocab.json"), settings);
      });
    for (const char* name : {"spiece.model", "tokenizer.model", "vocab.txt"})
      if (there(name)) return read_file(path(name), settings);
    throw IOError(str("tokenizer: ", folder,
                      " has no tokenizer.json, no vocab.json with merges.txt, no spiece.model, no "
                      "tokenizer.model and no vocab.txt"));
  };
  TokenizerParts parts = read();
  if (!pad_token.empty() && parts.find(pad_token) != kNoId) {
    parts.pad_token = pad_token;
    parts.pad_id = -1;
  }
  parts.options.pad_left = bool_field(sides, "padding_side", parts.options.pad_left);
  parts.options.truncate_left = bool_field(sides, "truncation_side", parts.options.truncate_left);
  return Tokenizer(std::move(parts));
}

}  // namespace ds::text

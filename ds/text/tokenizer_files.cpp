// SPDX-License-Identifier: Apache-2.0
// Tokenizers from the files that models come with.
#include <filesystem>

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
  const Json& padding = field(json, "padding");
  if (!padding.is_null()) parts.pad_token = text_field(padding, "pad_token", "");
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
  if (there("tokenizer_config.json")) {
    const std::string file = path("tokenizer_config.json");
    reading(file, [&] {
      const Json json = parse_json(io::read_text(file), file);
      settings.lowercase = bool_field(json, "do_lower_case", true);
      settings.chinese_chars = bool_field(json, "tokenize_chinese_chars", true);
      settings.add_prefix_space = bool_field(json, "add_prefix_space", false);
      pad_token = special_token(json, "pad_token");
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
  if (!pad_token.empty() && parts.find(pad_token) != kNoId) parts.pad_token = pad_token;
  return Tokenizer(std::move(parts));
}

}  // namespace ds::text

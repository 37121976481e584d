// SPDX-License-Identifier: Apache-2.0
// The readers of tokenizers on damaged files: whatever comes of one encodes and decodes, or raises
// a typed error.
#include <cstring>

#include "ds/text/tokenizer.h"
#include "tests/fuzz/damage.h"

namespace ds::text {
namespace {

using fuzzing::Contents;
using fuzzing::fuzz;

Contents bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

void use(const Tokenizer& tokenizer) {
  EncodeOptions options;
  options.offsets = true;
  for (const char* text :
       {"", "hello World! it's 2024", "na\u00efve \u6df1\u5ea6 \U0001F917 [MASK]"}) {
    tokenizer.decode(tokenizer.encode(text, options).ids);
    tokenizer.encode_pair(text, "second");
    EncodeOptions windows = tokenizer.options();
    windows.overflow = true;
    tokenizer.encode_pair(text, "second", windows);
  }
}

/// A value of a JSON text becomes another one, so that the text stays JSON more often than not.
Contents other_value(Contents bytes, std::mt19937& draw) {
  static constexpr const char* kValues[] = {"null", "-1",   "1e999",      "\"\"",        "[]",
                                            "{}",   "true", "4294967296", "\"\\u0000\"", "[[[]]]"};
  const auto end = [](unsigned char c) { return c == ',' || c == '}' || c == ']'; };
  for (int tries = 0; tries < 50; ++tries) {
    const size_t place = draw() % bytes.size();
    const auto from = std::find(bytes.begin() + static_cast<long>(place), bytes.end(), ':');
    if (from == bytes.end()) continue;
    const auto to = std::find_if(from + 1, bytes.end(), end);
    const std::string value = kValues[draw() % std::size(kValues)];
    const auto at = bytes.erase(from + 1, to);
    bytes.insert(at, value.begin(), value.end());
    break;
  }
  return bytes;
}

const char* const kWordPiece = R"({"version": "1.0",
 "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 1},
 "padding": {"strategy": "BatchLongest", "direction": "Right", "pad_id": 0, "pad_type_id": 0,
  "pad_token": "[PAD]"},
 "added_tokens": [{"id": 0, "content": "[PAD]", "special": true, "normalized": false,
   "single_word": false, "lstrip": false, "rstrip": false},
  {"id": 4, "content": "[MASK]", "special": true, "normalized": false, "lstrip": true}],
 "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
  "strip_accents": null, "lowercase": true},
 "pre_tokenizer": {"type": "BertPreTokenizer"},
 "post_processor": {"type": "TemplateProcessing",
  "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
  "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
  "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}}},
 "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
 "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
  "max_input_chars_per_word": 100, "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3,
  "[MASK]": 4, "hello": 5, "wor": 6, "##ld": 7, "!": 8}}})";

const char* const kBpe = R"({"added_tokens": [],
 "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Strip",
  "strip_left": true, "strip_right": false}, {"type": "Replace", "pattern": {"Regex": " {2,}"},
  "content": " "}]},
 "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern":
  {"Regex": "\\p{N}{1,3}| ?\\p{L}+"}, "behavior": "Isolated", "invert": false},
  {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}]},
 "post_processor": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true},
 "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"},
  {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
 "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
  "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
  "vocab": {"<unk>": 0, "h": 1, "e": 2, "l": 3, "o": 4, "he": 5, "ll": 6, "<0x41>": 7, "hell": 8},
  "merges": [["h", "e"], ["l", "l"], ["he", "ll"]]}})";

const char* const kUnigram = R"({"added_tokens": [{"id": 1, "content": "</s>", "special": true}],
 "normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAABhAGIA"},
 "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
 "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
 "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": false, "vocab": [["<unk>", 0.0],
  ["</s>", 0.0], ["▁", -2.5], ["▁hello", -3.0], ["w", -4.0], ["or", -4.5], ["ld", -5.0]]}})";

/// A field of a message of Protocol Buffers.
std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}
std::string field(int number, int value) {
  return {static_cast<char>(number << 3), static_cast<char>(value)};
}

/// A small model of SentencePiece: type 1 is Unigram, 2 is BPE.
std::string sentence_piece(int type) {
  struct Piece {
    const char* text;
    float score;
    int kind;
  };
  std::string model;
  for (const Piece& piece : {Piece{"<unk>", 0, 2},
                             {"<s>", 0, 3},
                             {"</s>", 0, 3},
                             {"<0x41>", 0, 6},
                             {"\u2581", -1, 1},
                             {"h", -2, 1},
                             {"e", -3, 1},
                             {"he", -1, 1}}) {
    std::string score(sizeof(float), '\0');
    std::memcpy(score.data(), &piece.score, sizeof(float));
    model += field(
        1, field(1, piece.text) + static_cast<char>(2 << 3 | 5) + score + field(3, piece.kind));
  }
  return model + field(2, field(3, type)) +
         field(3, field(1, "identity") + field(3, 1) + field(4, 1) + field(5, 1));
}

void read_file(const std::string& path) { use(Tokenizer::from_file(path)); }

}  // namespace

TEST_CASE("damaged tokenizer.json files are refused") {
  for (const char* sound : {kWordPiece, kBpe, kUnigram}) {
    CAPTURE(sound);
    fuzz("tokenizer.json", bytes_of(sound), 400, read_file);
    fuzz("tokenizer.json", bytes_of(sound), 1200, read_file, other_value);
  }
}

TEST_CASE("damaged models of SentencePiece are refused") {
  for (const int type : {1, 2}) {
    CAPTURE(type);
    fuzz("spiece.model", bytes_of(sentence_piece(type)), 1500, read_file);
  }
}

TEST_CASE("damaged vocabularies and merges are refused") {
  fuzz("vocab.txt", bytes_of("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nwor\n##ld\n"), 500,
       read_file);
  const std::string vocabulary = R"({"<s>": 0, "</s>": 1, "h": 2, "e": 3, "l": 4, "he": 5})";
  const auto folder = fuzzing::fs::temp_directory_path() / "ds_fuzz_byte_level";
  fuzzing::fs::create_directories(folder);
  const auto read = [&](const std::string& path) {
    const char* name = path.ends_with("vocab.json") ? "vocab.json" : "merges.txt";
    fuzzing::write(folder / "vocab.json", bytes_of(vocabulary));
    fuzzing::write(folder / "merges.txt", bytes_of("#version: 0.2\nh e\n"));
    fuzzing::write(folder / name, fuzzing::contents_of(path));
    use(Tokenizer::from_folder(folder.string()));
  };
  fuzz("vocab.json", bytes_of(vocabulary), 500, read);
  fuzz("merges.txt", bytes_of("#version: 0.2\nh e\n"), 500, read);
  fuzzing::fs::remove_all(folder);
}

TEST_CASE("the files that the others are made of are sound") {
  const auto path = fuzzing::fs::temp_directory_path() / "ds_fuzz_sound.json";
  for (const char* sound : {kWordPiece, kBpe}) {
    fuzzing::write(path, bytes_of(sound));
    CHECK(Tokenizer::from_file(path.string()).encode("hello").ids.size() > 0);
  }
  fuzzing::fs::remove(path);
  const auto model = fuzzing::fs::temp_directory_path() / "ds_fuzz_sound.model";
  for (const int type : {1, 2}) {
    fuzzing::write(model, bytes_of(sentence_piece(type)));
    CHECK(Tokenizer::from_file(model.string()).encode("he").ids.size() > 0);
  }
  fuzzing::fs::remove(model);
}

}  // namespace ds::text

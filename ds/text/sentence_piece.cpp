// SPDX-License-Identifier: Apache-2.0
// Models of SentencePiece, which are messages of Protocol Buffers.
// https://github.com/google/sentencepiece, sentencepiece_model.proto;
// https://protobuf.dev/programming-guides/encoding
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "ds/text/charsmap.h"
#include "ds/text/tokenizer_parts.h"

namespace ds::text {
namespace {

constexpr std::string_view kSpace = "\u2581";

/// One field of a message: a number, or the bytes of a text or an inner message.
struct Field {
  uint64_t number = 0;  // of the field
  uint64_t value = 0;
  std::string_view bytes;
};

/// Fields of a message, in order.
class Message {
 public:
  Message(std::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  bool next(Field& field) {
    if (at_ == bytes_.size()) return false;
    const uint64_t tag = varint();
    field = {tag >> 3, 0, {}};
    switch (tag & 7) {
      case 0: field.value = varint(); break;
      case 1: field.bytes = take(8); break;
      case 2: field.bytes = take(varint()); break;
      case 5: {
        field.bytes = take(4);
        uint32_t bits;
        std::memcpy(&bits, field.bytes.data(), 4);
        field.value = bits;
        break;
      }
      default: throw FileFormatError(path_ + ": no model of SentencePiece");
    }
    return true;
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    throw FileFormatError(path_ + ": a number of the model does not end");
  }
  std::string_view take(uint64_t count) {
    DS_CHECK(count <= bytes_.size() - at_, FileFormatError, path_,
             ": the model of SentencePiece is cut off");
    const std::string_view taken = bytes_.substr(at_, count);
    at_ += count;
    return taken;
  }

  std::string_view bytes_;
  const std::string& path_;
  size_t at_ = 0;
};

enum PieceType : uint64_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };
enum ModelType : uint64_t { kUnigram = 1, kBpe = 2 };

struct Piece {
  std::string text;
  float score = 0;
  uint64_t type = kNormal;
};

struct Model {
  std::vector<Piece> pieces;
  uint64_t type = kUnigram;
  bool byte_fallback = false, suffix_spaces = false;
  std::string charsmap;
  bool dummy_prefix = true, remove_spaces = true, escape_spaces = true;
};

Piece read_piece(std::string_view bytes, const std::string& path) {
  Piece piece;
  Message message(bytes, path);
  for (Field field; message.next(field);) {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 2) piece.score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    if (field.number == 3) piece.type = field.value;
  }
  DS_CHECK(is_utf8(piece.text) && std::isfinite(piece.score), FileFormatError, path,
           ": a piece is not UTF-8 or has no finite score");
  return piece;
}

void read_settings(std::string_view bytes, const std::string& path, bool trainer, Model& model) {
  Message message(bytes, path);
  for (Field field; message.next(field);) {
    const bool on = field.value != 0;
    if (trainer) {
      if (field.number == 3) model.type = field.value;
      if (field.number == 24) model.suffix_spaces = on;
      if (field.number == 35) model.byte_fallback = on;
    } else {
      if (field.number == 2) model.charsmap = field.bytes;
      if (field.number == 3) model.dummy_prefix = on;
      if (field.number == 4) model.remove_spaces = on;
      if (field.number == 5) model.escape_spaces = on;
    }
  }
}

Model read_model(std::string_view bytes, const std::string& path) {
  Model model;
  Message message(bytes, path);
  for (Field field; message.next(field);) {
    if (field.number == 1) model.pieces.push_back(read_piece(field.bytes, path));
    if (field.number == 2 || field.number == 3)
      read_settings(field.bytes, path, field.number == 2, model);
  }
  DS_CHECK(!model.pieces.empty(), FileFormatError, path, ": no model of SentencePiece");
  DS_CHECK(model.type == kUnigram || model.type == kBpe, NotImplementedError, path,
           ": SentencePiece's models of words and of characters are not available; train a "
           "unigram or BPE model");
  DS_CHECK(!model.suffix_spaces, NotImplementedError, path,
           ": SentencePiece's spaces behind words are not available");
  return model;
}

/// What SentencePiece does to a text: its table, single spaces, a space in front, spaces as marks.
class SentencePieceNormalizer : public Normalizer {
 public:
  explicit SentencePieceNormalizer(const Model& model)
      : map_(model.charsmap),
        prefix_(model.dummy_prefix),
        single_(model.remove_spaces),
        mark_(model.escape_spaces ? kSpace : " ") {
    for (const Piece& piece : model.pieces)
      if (piece.type == kUserDefined) kept_.add(piece.text, 0);
  }

  void run(Text& text) const override {
    Rewriter out(text);
    const std::string_view bytes = text.bytes;
    size_t i = 0;
    while (single_ && i < bytes.size() && next(bytes, i).second == " ") i += next(bytes, i).first;
    if (i == bytes.size()) {
      text = out.done();
      return;
    }
    if (prefix_) out.put(mark_, i, i + 1);
    bool after_space = single_;
    while (i < bytes.size()) {
      const auto [length, became] = next(bytes, i);
      std::string_view fresh = became;
      while (after_space && fresh.starts_with(' ')) fresh.remove_prefix(1);
      if (!fresh.empty()) {
        put(fresh, i, i + length, out);
        after_space = fresh.ends_with(' ') && single_;
      }
      i += length;
    }
    text = out.done();
    while (single_ && text.bytes.ends_with(mark_))
      text.bytes.resize(text.bytes.size() - mark_.size());
    if (text.tracked) text.origin.resize(text.bytes.size());
  }

 private:
  /// How many bytes at `i` are replaced, and by what.
  std::pair<size_t, std::string_view> next(std::string_view bytes, size_t i) const {
    const std::string_view rest = bytes.substr(i);
    size_t length = 0;
    kept_.prefixes(rest, [&](size_t size, uint32_t) { length = size; });
    if (length > 0) return {length, rest.substr(0, length)};
    const Charsmap::Match match = map_.longest(rest);
    if (match.length > 0) return {match.length, match.text};
    next_char(rest, length);
    return {length, rest.substr(0, length)};
  }

  void put(std::string_view fresh, size_t begin, size_t end, Rewriter& out) const {
    for (size_t i = 0; i < fresh.size();) {
      if (fresh[i] == ' ') {
        out.put(mark_, begin, end);
        ++i;
        continue;
      }
      const size_t space = std::min(fresh.find(' ', i), fresh.size());
      out.put(fresh.substr(i, space - i), begin, end);
      i = space;
    }
  }

  Charsmap map_;
  bool prefix_, single_;
  std::string mark_;
  PrefixTree kept_;
};

WordModelPtr unigram_of(const Model& model) {
  float least = INFINITY, most = -INFINITY;
  for (const Piece& piece : model.pieces) {
    if (piece.type != kNormal) continue;
    least = std::min(least, piece.score);
    most = std::max(most, piece.score);
  }
  std::vector<UnigramPiece> pieces;
  UnigramOptions options;
  options.single_precision = true;
  options.byte_fallback = model.byte_fallback;
  options.worst = std::isfinite(least) ? least : 0;
  for (const Piece& piece : model.pieces) {
    double score = piece.score;
    // SentencePiece always takes a symbol of the user: no other way is better.
    if (piece.type == kUserDefined && std::isfinite(most))
      score = static_cast<double>(static_cast<float>(piece.text.size()) * most) - 0.1;
    if (piece.type == kUnknown) options.unknown = static_cast<Id>(pieces.size());
    options.usable.push_back(piece.type == kNormal || piece.type == kUserDefined);
    pieces.push_back({piece.text, score});
  }
  return unigram(pieces, options);
}

/// BPE of SentencePiece has no list of merges: two pieces merge when together they are a piece, the
/// one of the highest score first.
WordModelPtr bpe_of(const Model& model) {
  Vocabulary vocabulary, mergeable;
  std::vector<float> scores;
  BpeOptions options;
  options.byte_fallback = model.byte_fallback;
  options.fuse_unknown = true;
  for (const Piece& piece : model.pieces) {
    const auto id = static_cast<Id>(scores.size());
    vocabulary.add(piece.text, id);
    if (piece.type == kUnknown) options.unknown = piece.text;
    if (piece.type == kNormal) mergeable.add(piece.text, id);
    scores.push_back(piece.score);
  }
  std::vector<float> order;
  for (const auto& [text, id] : mergeable.tokens())
    order.push_back(scores[static_cast<size_t>(id)]);
  std::sort(order.begin(), order.end(), std::greater<>());
  std::vector<Merge> merges;
  for (const auto& [text, id] : mergeable.tokens()) {
    const float score = scores[static_cast<size_t>(id)];
    const auto rank = static_cast<uint32_t>(
        std::lower_bound(order.begin(), order.end(), score, std::greater<>()) - order.begin());
    for (size_t i = 0; i < text.size();) {
      next_char(text, i);
      if (i == text.size()) break;
      const std::string left = text.substr(0, i), right = text.substr(i);
      if (mergeable.find(left) != kNoId && mergeable.find(right) != kNoId)
        merges.push_back({left, right, rank});
    }
  }
  return bpe(std::move(vocabulary), merges, options);
}

/// The special tokens around texts that the families of models put there.
PostProcessor post_processor_of(const TokenizerParts& parts, uint64_t type) {
  const Id cls = parts.find("[CLS]"), sep = parts.find("[SEP]");
  if (cls != kNoId && sep != kNoId) return bert_post_processor(cls, sep);
  PostProcessor made;
  if (const Id end = parts.find("</s>"); type == kUnigram && end != kNoId) {
    made.single = {{0, {}, 0}, {-1, {end}, 0}};
    made.pair = {{0, {}, 0}, {-1, {end}, 0}, {1, {}, 0}, {-1, {end}, 0}};
  } else if (const Id begin = parts.find("<s>"); type == kBpe && begin != kNoId) {
    made.single = {{-1, {begin}, 0}, {0, {}, 0}};
    made.pair = {{-1, {begin}, 0}, {0, {}, 0}, {-1, {begin}, 1}, {1, {}, 1}};
  }
  return made;
}

}  // namespace

TokenizerParts read_sentence_piece(std::string_view bytes, const std::string& path) {
  const Model model = read_model(bytes, path);
  TokenizerParts parts;
  parts.model = model.type == kBpe ? bpe_of(model) : unigram_of(model);
  parts.normalizer = std::make_shared<SentencePieceNormalizer>(model);
  parts.decoder = sentence_piece_decoder(model.remove_spaces  ? LeadingSpaces::drop_all
                                         : model.dummy_prefix ? LeadingSpaces::drop_one
                                                              : LeadingSpaces::keep);
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Piece& piece = model.pieces[id];
    AddedToken token{piece.text, static_cast<Id>(id)};
    if (piece.type == kControl) parts.added.add(token, nullptr);
    if (piece.type != kUserDefined || model.type != kBpe) continue;
    token.special = false;
    token.normalized = true;
    parts.added.add(token, nullptr);
  }
  parts.pad_token = "<pad>";
  parts.post_processor = post_processor_of(parts, model.type);
  return parts;
}

}  // namespace ds::text

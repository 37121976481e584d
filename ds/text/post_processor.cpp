// SPDX-License-Identifier: Apache-2.0
#include "ds/text/post_processor.h"

namespace ds::text {
namespace {

/// ["[CLS]", 101] as in BertProcessing.
Id marker(const Json& json, const char* name) {
  const Json& value = list_field(json, name);
  DS_CHECK(value.size() == 2, FileFormatError, "tokenizer: '", name, "' is no token and id");
  return id_of(value[1], name);
}

std::vector<TemplatePart> read_template(const Json& json, const char* name, const Json& tokens) {
  std::vector<TemplatePart> parts;
  for (const Json& item : list_field(json, name)) {
    TemplatePart part;
    const bool special = !field(item, "SpecialToken").is_null();
    const Json& body = field(item, special ? "SpecialToken" : "Sequence");
    const std::string id = text_field(body, "id");
    part.type = int_field(body, "type_id", 0);
    DS_CHECK(part.type >= 0, FileFormatError, "tokenizer: a type_id is ", part.type);
    if (special) {
      for (const Json& one : list_field(field(tokens, id.c_str()), "ids"))
        part.ids.push_back(id_of(one, id.c_str()));
    } else {
      DS_CHECK(id == "A" || id == "B", FileFormatError, "tokenizer: a template names text '", id,
               "', only A and B are there");
      part.sequence = id == "B";
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

/// Every text once and in its order, which also is what truncation counts on.
void check_template(const std::vector<TemplatePart>& parts, int texts) {
  int seen = 0;
  for (const TemplatePart& part : parts) {
    if (part.sequence < 0) continue;
    DS_CHECK(part.sequence < texts, FileFormatError, "tokenizer: a template for ", texts,
             " texts names a second one");
    ++seen;
  }
  DS_CHECK(seen <= 2 * texts, FileFormatError, "tokenizer: a template repeats its texts");
}

}  // namespace

int64_t PostProcessor::added(bool is_pair) const {
  int64_t count = 0;
  for (const TemplatePart& part : parts(is_pair)) count += static_cast<int64_t>(part.ids.size());
  return count;
}

PostProcessor bert_post_processor(Id cls, Id sep) {
  PostProcessor made;
  made.single = {{-1, {cls}, 0}, {0, {}, 0}, {-1, {sep}, 0}};
  made.pair = {{-1, {cls}, 0}, {0, {}, 0}, {-1, {sep}, 0}, {1, {}, 1}, {-1, {sep}, 1}};
  return made;
}

PostProcessor read_post_processor(const Json& json, int depth) {
  PostProcessor made;
  if (json.is_null()) return made;
  check_depth(depth);
  const std::string type = text_field(json, "type");
  if (type == "BertProcessing")
    return bert_post_processor(marker(json, "cls"), marker(json, "sep"));
  if (type == "RobertaProcessing") {
    const Id cls = marker(json, "cls"), sep = marker(json, "sep");
    made.single = {{-1, {cls}, 0}, {0, {}, 0}, {-1, {sep}, 0}};
    made.pair = {{-1, {cls}, 0}, {0, {}, 0}, {-1, {sep, sep}, 0}, {1, {}, 0}, {-1, {sep}, 0}};
    made.trim_offsets = bool_field(json, "trim_offsets", true);
    made.keep_first_space = bool_field(json, "add_prefix_space", true);
    return made;
  }
  if (type == "ByteLevel") {
    made.trim_offsets = bool_field(json, "trim_offsets", true);
    made.keep_first_space = bool_field(json, "add_prefix_space", true);
    return made;
  }
  if (type == "TemplateProcessing") {
    made.single = read_template(json, "single", field(json, "special_tokens"));
    made.pair = read_template(json, "pair", field(json, "special_tokens"));
    check_template(made.single, 1);
    check_template(made.pair, 2);
    return made;
  }
  if (type == "Sequence") {
    for (const Json& step : list_field(json, "processors")) {
      PostProcessor next = read_post_processor(step, depth + 1);
      if (next.trim_offsets) {
        made.trim_offsets = true;
        made.keep_first_space = next.keep_first_space;
      }
      if (next.added(false) + next.added(true) == 0) continue;
      DS_CHECK(made.added(false) + made.added(true) == 0, NotImplementedError,
               "tokenizer: two post-processors that both add tokens are not available; join them");
      made.single = std::move(next.single);
      made.pair = std::move(next.pair);
    }
    return made;
  }
  throw NotImplementedError(str("tokenizer: the post-processor '", type,
                                "' is not available; use the package tokenizers for this file"));
}

}  // namespace ds::text

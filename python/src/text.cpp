// SPDX-License-Identifier: Apache-2.0
// The tokenizers of C++, in the submodule _text.
#include <nanobind/stl/pair.h>

#include <algorithm>

#include "ds/base/error.h"
#include "ds/text/tokenizer.h"
#include "functions.h"

namespace {

namespace text = ds::text;

template <class Enum>
Enum one_of(const std::string& value, std::initializer_list<std::pair<const char*, Enum>> rows) {
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return value == row.first; });
  if (found == rows.end()) throw ds::ValueError("tokenizer: '" + value + "' is unknown");
  return found->second;
}

nb::dict to_dict(const text::Encoding& encoding) {
  nb::dict made;
  made["input_ids"] = encoding.ids;
  made["token_type_ids"] = encoding.type_ids;
  made["attention_mask"] = encoding.attention_mask;
  made["special_tokens_mask"] = encoding.special_tokens_mask;
  made["sequence_ids"] = encoding.sequence_ids;
  made["offset_mapping"] = encoding.offsets;
  nb::list windows;
  for (const text::Encoding& window : encoding.overflowing) windows.append(to_dict(window));
  made["overflowing"] = windows;
  return made;
}

nb::object encode(const text::Tokenizer& tokenizer, const std::vector<std::string>& texts,
                  const text::EncodeOptions& options, const std::vector<std::string>& second,
                  bool ids_only) {
  std::vector<text::Encoding> found;
  {
    const Unlocked unlocked;
    found = tokenizer.encode_batch(texts, options, second);
  }
  nb::list made;
  for (const text::Encoding& encoding : found)
    made.append(ids_only ? nb::cast(encoding.ids) : nb::object(to_dict(encoding)));
  return made;
}

}  // namespace

void bind_text(nb::module_& module) {
  nb::module_ m = module.def_submodule("_text");
  nb::class_<text::Tokenizer>(m, "Tokenizer")
      .def_static("from_file", &text::Tokenizer::from_file, "path"_a)
      .def_static("from_folder", &text::Tokenizer::from_folder, "folder"_a)
      .def(
          "encode_batch",
          [](const text::Tokenizer& self, const std::vector<std::string>& texts,
             const std::vector<std::string>& second, bool add_special_tokens, int64_t max_length,
             const std::string& truncation, bool truncate_left, bool overflow, int64_t stride,
             const std::string& padding, bool pad_left, int64_t pad_to_multiple_of, bool offsets,
             bool ids_only) -> nb::object {
            text::EncodeOptions options;
            options.add_special_tokens = add_special_tokens;
            options.max_length = max_length;
            options.truncation = one_of<text::Truncation>(
                truncation, {{"longest_first", text::Truncation::longest_first},
                             {"only_first", text::Truncation::only_first},
                             {"only_second", text::Truncation::only_second}});
            options.truncate_left = truncate_left;
            options.overflow = overflow;
            options.stride = stride;
            options.padding =
                one_of<text::Padding>(padding, {{"do_not_pad", text::Padding::none},
                                                {"longest", text::Padding::longest},
                                                {"max_length", text::Padding::max_length}});
            options.pad_left = pad_left;
            options.pad_to_multiple_of = pad_to_multiple_of;
            options.offsets = offsets;
            return encode(self, texts, options, second, ids_only);
          },
          "texts"_a, "second"_a = std::vector<std::string>(), "add_special_tokens"_a = true,
          "max_length"_a = 0, "truncation"_a = "longest_first", "truncate_left"_a = false,
          "overflow"_a = false, "stride"_a = 0, "padding"_a = "do_not_pad", "pad_left"_a = false,
          "pad_to_multiple_of"_a = 1, "offsets"_a = false, "ids_only"_a = false)
      .def(
          "encode_as_saved",
          [](const text::Tokenizer& self, const std::vector<std::string>& texts,
             const std::vector<std::string>& second) {
            return encode(self, texts, self.options(), second, false);
          },
          "texts"_a, "second"_a = std::vector<std::string>())
      .def("decode", &text::Tokenizer::decode, "ids"_a, "skip_special_tokens"_a = true)
      .def("token_to_id", &text::Tokenizer::token_to_id, "token"_a)
      .def("id_to_token", &text::Tokenizer::id_to_token, "id"_a)
      .def("__len__", &text::Tokenizer::size)
      .def_prop_ro("pad_id", &text::Tokenizer::pad_id)
      .def("set_pad_token", &text::Tokenizer::set_pad_token, "token"_a);
}

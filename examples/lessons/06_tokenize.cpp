// SPDX-License-Identifier: Apache-2.0
// Lesson 6: texts to ids, and an answer back to the text it was found in.
#include <ds/ds.h>

#include <filesystem>
#include <fstream>
#include <iostream>

int main() {
  const auto path = std::filesystem::temp_directory_path() / "deepseek_lesson_06.txt";
  std::ofstream(path) << "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwho\nwrote\nit\n?\nthe\nbook\nis\n"
                         "old\nand\nlong\n.\nann\nlee\n";
  const auto tokenizer = ds::text::Tokenizer::from_file(path.string());
  std::filesystem::remove(path);

  // Texts of one batch get one length.
  ds::text::EncodeOptions options;
  options.padding = ds::text::Padding::longest;
  const auto batch =
      ds::text::to_tensors(tokenizer.encode_batch({"Who wrote it?", "Ann Lee"}, options));
  std::cout << batch.input_ids << "\n";
  if (batch.input_ids.size(1) != 6 || ds::sum(batch.attention_mask).item_int() != 10) return 1;

  // A context that is too long for the model is read through windows, which share two tokens.
  const std::string question = "who wrote it?",
                    context = "The book is old and long. Ann Lee wrote it.";
  options.max_length = 14;
  options.truncation = ds::text::Truncation::only_second;
  options.overflow = options.offsets = true;
  options.stride = 2;
  const auto found = tokenizer.encode_batch({question}, options, {context});
  const auto windows = ds::text::to_tensors(found);
  std::cout << windows.input_ids.size(0) << " windows\n";

  // Offsets say where in the context a token is.
  const auto& last = found[0].overflowing.back();
  const int64_t ann = tokenizer.token_to_id("ann");
  for (size_t i = 0; i + 1 < last.ids.size(); ++i) {
    if (last.ids[i] != ann || last.sequence_ids[i] != 1) continue;
    const auto begin = last.offsets[i].first, end = last.offsets[i + 1].second;
    std::cout << context.substr(begin, end - begin) << "\n";
    return context.substr(begin, end - begin) == "Ann Lee" && windows.text_of_row.back() == 0 ? 0
                                                                                              : 1;
  }
  return 1;
}

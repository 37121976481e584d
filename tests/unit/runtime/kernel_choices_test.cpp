// SPDX-License-Identifier: Apache-2.0
// The file of measured kernels: what is written is read, what is damaged is ignored, writers share.
#include "ds/runtime/kernel_choices.h"

#include <sys/stat.h>

#include <thread>

#include "ds/base/error.h"
#include "tests/fuzz/damage.h"
#include "tests/unit/io/testing.h"

using namespace ds;
using ds::io::TemporaryFolder;

namespace {

/// Tuning as it was, and no file, at the end of a test.
struct Restored {
  Tuning before = tuning();
  ~Restored() {
    set_tuning(before);
    open_choices("");
  }
};

const ChoiceTable kTable = {{"matmul f32[2,3]", "cpu:thin_matmul"}, {"matmul f32[8,8]", "dnnl:x"}};

}  // namespace

TEST_CASE("kernel choices: a file is read as it was written") {
  const TemporaryFolder folder;
  CHECK(read_choices(folder / "none").empty());
  write_choices(folder / "a", {});
  CHECK(read_choices(folder / "a").empty());
  write_choices(folder / "a", kTable);
  CHECK(read_choices(folder / "a") == kTable);
  CHECK_THROWS_AS(write_choices(folder / "no/such", kTable), IOError);
}

TEST_CASE("kernel choices: what is no such file is refused") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(read_choices("/tmp"), "cannot read /tmp: it is not a file", IOError);
  const std::string pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK_THROWS_AS(read_choices(pipe), IOError);  // and does not wait for a writer
  const auto refused = [&](const std::string& text) {
    std::ofstream(folder / "x", std::ios::binary) << text;
    CHECK_THROWS_AS(read_choices(folder / "x"), FileFormatError);
  };
  refused("");
  refused("end ");
  refused("something\n");
  refused(std::string(5 << 20, 'x'));
  write_choices(folder / "a", kTable);
  const fuzzing::Contents sound = fuzzing::contents_of(folder / "a");
  for (size_t i = 0; i < sound.size(); ++i) {  // one byte that differs, or the end missing
    fuzzing::Contents bytes = sound;
    bytes[i] ^= 1;
    refused({bytes.begin(), bytes.end()});
    refused({sound.begin(), sound.begin() + static_cast<long>(i)});
  }
}

TEST_CASE("kernel choices: damaged files are refused") {
  const TemporaryFolder folder;
  write_choices(folder / "a", kTable);
  fuzzing::fuzz("choices", fuzzing::contents_of(folder / "a"), 400, [](const std::string& path) {
    const ChoiceTable read = read_choices(path);
    CHECK((read.empty() || read == kTable));  // no file, or damage that cancels itself
  });
}

TEST_CASE("kernel choices: kept from process to process, unless tuning is off") {
  const TemporaryFolder folder;
  const Restored restored;
  const std::string path = folder / "made/x";
  set_tuning(Tuning::measure);
  open_choices(path);
  CHECK(chosen_kernel("a") == "");
  keep_choice({"a", "fast", "slow", 1, 2});
  CHECK(chosen_kernel("a") == "fast");
  REQUIRE(measured_choices().size() == 1);
  CHECK(measured_choices()[0].rule == "slow");
  open_choices(path);  // as another process does
  CHECK(chosen_kernel("a") == "fast");
  CHECK(measured_choices().empty());
  set_tuning(Tuning::off);
  CHECK(chosen_kernel("a") == "");
  set_tuning(Tuning::use);
  CHECK(chosen_kernel("a") == "fast");
  CHECK(choices_trouble() == "");
}

TEST_CASE("kernel choices: off and on again keeps those that have no file") {
  const Restored restored;
  set_tuning(Tuning::measure);
  open_choices("");
  keep_choice({"a", "fast", "slow", 1, 2});
  set_tuning(Tuning::off);
  CHECK(chosen_kernel("a") == "");
  set_tuning(Tuning::use);
  CHECK(chosen_kernel("a") == "fast");
}

TEST_CASE("kernel choices: a file of the present folder") {
  const TemporaryFolder folder;
  const Restored restored;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(std::string(folder / ""));
  set_tuning(Tuning::measure);
  open_choices("x");
  keep_choice({"a", "fast", "slow", 1, 2});
  std::filesystem::current_path(before);
  CHECK(choices_trouble() == "");
  CHECK(read_choices(folder / "x") == ChoiceTable{{"a", "fast"}});
}

TEST_CASE("kernel choices: a damaged file is ignored and replaced by what is measured next") {
  const TemporaryFolder folder;
  const Restored restored;
  std::ofstream(folder / "x") << "rubbish";
  set_tuning(Tuning::use);
  open_choices(folder / "x");
  CHECK(choices_trouble().find("damaged") != std::string::npos);
  CHECK(chosen_kernel("a") == "");
  keep_choice({"a", "fast", "slow", 1, 2});
  CHECK(read_choices(folder / "x") == ChoiceTable{{"a", "fast"}});
}

TEST_CASE("kernel choices: a file that cannot be written is said, and the choice still holds") {
  const Restored restored;
  set_tuning(Tuning::measure);
  open_choices("/proc/no/file");
  keep_choice({"a", "fast", "slow", 1, 2});
  CHECK(chosen_kernel("a") == "fast");
  CHECK(choices_trouble().find("/proc/no") != std::string::npos);
}

TEST_CASE("kernel choices: what another process wrote meanwhile is kept") {
  const TemporaryFolder folder;
  const Restored restored;
  set_tuning(Tuning::measure);
  open_choices(folder / "x");
  write_choices(folder / "x", {{"a", "theirs"}, {"b", "theirs"}});
  CHECK(keep_choice({"b", "ours", "slow", 1, 2}) == "theirs");
  CHECK(keep_choice({"c", "ours", "slow", 1, 2}) == "ours");
  CHECK(read_choices(folder / "x") == ChoiceTable{{"a", "theirs"}, {"b", "theirs"}, {"c", "ours"}});
  CHECK(chosen_kernel("b") == "theirs");
}

TEST_CASE("kernel choices: the name says the processor and the version") {
  const std::string path = choices_path();
  if (path.empty()) return;  // another test's, or no folder
  CHECK(path.find("/tuner/") != std::string::npos);
}

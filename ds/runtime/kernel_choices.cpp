// SPDX-License-Identifier: Apache-2.0
#include "ds/runtime/kernel_choices.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <mutex>
#include <string_view>

#include "ds/base/atomic_file.h"
#include "ds/base/cpu_features.h"
#include "ds/base/error.h"
#include "ds/base/hash.h"
#include "ds/base/options.h"
#include "ds/base/version.h"

namespace ds {
namespace {

namespace fs = std::filesystem;

// Thousands of shapes are a program that never repeats one. A line has about a hundred bytes.
constexpr size_t kMostChoices = 4096, kMostBytes = size_t{4} << 20;

std::string header() {
  return str("deepseek kernel choices 1, ", DS_VERSION, ", ", cpu_features().model);
}

std::string end_line(std::string_view text) {
  uint64_t hash = 0;
  for (const char c : text) hash = hash_combine(hash, static_cast<unsigned char>(c));
  std::ostringstream out;
  out << "end " << std::hex << std::setw(16) << std::setfill('0') << hash << '\n';
  return out.str();
}

std::string default_path() {
  std::string folder;
  const auto variable = [](const char* name) {
    const char* text = std::getenv(name);
    return std::string(text ? text : "");
  };
  if (const std::string cache = variable("DS_CACHE"); !cache.empty())
    folder = cache;
  else if (const std::string xdg = variable("XDG_CACHE_HOME"); !xdg.empty())
    folder = xdg + "/deepseek";
  else if (const std::string home = variable("HOME"); !home.empty())
    folder = home + "/.cache/deepseek";
  else
    return "";
  std::string name;
  for (const char c : cpu_features().model + " " + DS_VERSION) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte < 128 && (std::isalnum(byte) || c == '.');
    if (plain || (!name.empty() && name.back() != '-'))
      name += plain ? static_cast<char>(std::tolower(byte)) : '-';
  }
  return folder + "/tuner/" + name + ".txt";
}

/// Other processes that write the same file wait while it lives. Where a file system has no locks,
/// the last writer's choices are kept.
class FileLock {
 public:
  explicit FileLock(const std::string& path)
      : file_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    if (file_ >= 0) ::flock(file_, LOCK_EX);
  }
  ~FileLock() {
    if (file_ >= 0) ::close(file_);
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int file_;
};

struct State {
  State() { open(default_path()); }

  void open(const std::string& name) {
    path = name;
    trouble.clear();
    choices.clear();
    unread = how == Tuning::off;
    if (path.empty() || unread) return;
    try {
      choices = read_choices(path);
    } catch (const Error& error) {
      trouble = error.what();
    }
  }

  void save() {
    if (path.empty()) return;
    try {
      if (const fs::path folder = fs::path(path).parent_path(); !folder.empty())
        fs::create_directories(folder);
      const FileLock lock(path + ".lock");
      try {
        for (const auto& [problem, kernel] : read_choices(path)) choices[problem] = kernel;
      } catch (const FileFormatError&) {  // it is replaced
      }
      write_choices(path, choices);
    } catch (const Error& error) {
      trouble = error.what();
    } catch (const fs::filesystem_error& error) {
      trouble = str("cannot write ", path, ": ", error.code().message());
    }
  }

  std::mutex mutex;
  Tuning how = options().tune == "0"   ? Tuning::off
               : options().tune == "1" ? Tuning::measure
                                       : Tuning::use;
  std::string path, trouble;
  bool unread = false;
  ChoiceTable choices;
  std::vector<KernelChoice> measured;
};

State& state() {
  static auto* instance = new State;
  return *instance;
}

bool printable(std::string_view text) {
  for (const char c : text)
    if (c < ' ' || c > '~') return false;
  return !text.empty();
}

}  // namespace

Tuning tuning() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (s.how == Tuning::measure && s.choices.size() >= kMostChoices) return Tuning::use;
  return s.how;
}

void set_tuning(Tuning how) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.how = how;
  if (s.unread && how != Tuning::off) s.open(s.path);
}

std::string chosen_kernel(const std::string& problem) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const auto found = s.choices.find(problem);
  return s.how == Tuning::off || found == s.choices.end() ? "" : found->second;
}

std::string keep_choice(const KernelChoice& choice) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  DS_ASSERT(printable(choice.problem) && printable(choice.kernel), choice.problem);
  s.choices[choice.problem] = choice.kernel;
  s.measured.push_back(choice);
  s.save();
  return s.choices[choice.problem];
}

std::vector<KernelChoice> measured_choices() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  return s.measured;
}

std::string choices_path() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  return s.path;
}

void open_choices(const std::string& path) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.measured.clear();
  s.open(path);
}

std::string choices_trouble() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  return s.trouble;
}

ChoiceTable read_choices(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) return {};
  DS_CHECK(status.type() == fs::file_type::regular, IOError, "cannot read ", path,
           ": it is not a file");
  std::ifstream file(path, std::ios::binary);
  std::string text(kMostBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  DS_CHECK(file.eof() || file.good(), IOError, "cannot read ", path);
  text.resize(static_cast<size_t>(file.gcount()));
  DS_CHECK(text.size() <= kMostBytes, FileFormatError, path, ": damaged: larger than ", kMostBytes,
           " bytes; delete it");
  const size_t last = text.rfind("end ");
  DS_CHECK(last != std::string::npos && text.substr(last) == end_line({text.data(), last}),
           FileFormatError, path, ": damaged: its last line does not fit the rest; delete it");
  ChoiceTable choices;
  size_t at = text.find('\n') + 1;
  DS_CHECK(at <= last && text.substr(0, at) == header() + '\n', FileFormatError, path,
           ": written by another version or for another processor; delete it");
  while (at < last) {
    const size_t end = text.find('\n', at), tab = text.find('\t', at);
    DS_CHECK(tab < end && end < last, FileFormatError, path,
             ": damaged: a line is no problem and kernel; delete it");
    choices[text.substr(at, tab - at)] = text.substr(tab + 1, end - tab - 1);
    at = end + 1;
  }
  return choices;
}

void write_choices(const std::string& path, const ChoiceTable& choices) {
  std::string text = header() + '\n';
  for (const auto& [problem, kernel] : choices) text += problem + '\t' + kernel + '\n';
  AtomicFile file(path);
  file.write(text);
  file.write(end_line(text));
  file.commit();
}

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
#include "ds/base/options.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace ds {
namespace {

void parse(bool& value, const std::string& text) { value = text == "1" || text == "true"; }
void parse(std::string& value, const std::string& text) { value = text; }

Options from_environment() {
  Options options;
  options.for_each([](auto& value, const char* name, const char*) {
    if (const char* text = std::getenv(name)) parse(value, text);
  });
  return options;
}

}  // namespace

Options& options() {
  static Options instance = from_environment();
  return instance;
}

bool log_enabled(const std::string& topic) {
  std::stringstream topics(options().log);
  for (std::string name; std::getline(topics, name, ',');)
    if (name == topic) return true;
  return false;
}

void log_line(const std::string& topic, const std::string& text) {
  std::fprintf(stderr, "[ds:%s] %s\n", topic.c_str(), text.c_str());
}

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
// Which of several kernels is the fastest for a problem on this machine: measured when the user
// asks for it, kept in a file, read by every later process. Without the file, rules decide.
//
// A choice changes the last bits of results, so none is ever made unasked, and one that is made
// stays: the same file and the same seed give the same bits.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace ds {

enum class Tuning {
  off,      // rules decide, whatever the file says
  use,      // the file's choices hold, rules decide the rest
  measure,  // what the file does not say is measured and added to it
};

/// The present way: at first DS_TUNE, where 0 is off, 1 is measure, and anything else is use.
Tuning tuning();
/// For what is planned from now on; set_kernel_tuning() of the engine also forgets plans.
void set_tuning(Tuning how);

/// What was measured for a problem.
struct KernelChoice {
  std::string problem;  // operation, types, how operands lie, threads, instruction set
  std::string kernel;   // the one to take
  std::string rule;     // the one that the rule takes
  double seconds = 0;   // of `kernel`
  double rule_seconds = 0;
};

/// The kernel chosen for a problem; empty when there is none or tuning is off. It may be one that
/// the caller does not know: the file's writer was another program.
std::string chosen_kernel(const std::string& problem);
/// Remembers a choice and writes the file. What the file says already stays as it is there; returns
/// the kernel that is kept.
std::string keep_choice(const KernelChoice& choice);
/// What this process has measured, in order.
std::vector<KernelChoice> measured_choices();

/// The file: in the folder tuner of DS_CACHE, else of deepseek in the user's cache folder, by the
/// processor's name and this version. Empty where the system names no such folder.
std::string choices_path();
/// From now on that file; an empty path keeps choices in memory only.
void open_choices(const std::string& path);
/// Why the file was ignored, or could not be written; empty when all is well.
std::string choices_trouble();

using ChoiceTable = std::map<std::string, std::string>;  // kernel by problem

/// The choices in a file, none when there is no such file. FileFormatError for a file that is
/// damaged, of another version or of another processor; IOError when it cannot be read.
ChoiceTable read_choices(const std::string& path);
/// Replaces the file at once. IOError.
void write_choices(const std::string& path, const ChoiceTable& choices);

}  // namespace ds

// SPDX-License-Identifier: Apache-2.0
// Checkpoints of a training run: one safetensors file whose weights are named "model.<name>", so
// that any reader of the format finds them.
#include <filesystem>
#include <unordered_set>

#include "ds/base/error.h"
#include "ds/io/safetensors.h"
#include "ds/tensor/ops.h"
#include "ds/tensor/random.h"
#include "ds/train/trainer.h"

namespace ds::train {
namespace {

constexpr const char* kFormat = "deepseek-training-1";

Tensor numbers(const std::vector<double>& values) {
  return Tensor::from_host(values.data(), {DType::f64, {static_cast<int64_t>(values.size())}});
}

/// Tensors of a file by name; what is missing or of another form is an error that names the file.
class Entries {
 public:
  explicit Entries(const std::string& path) : path_(path), file_(io::load_safetensors(path)) {
    const auto format = file_.metadata.find("format");
    DS_CHECK(format != file_.metadata.end() && format->second == kFormat, FileFormatError, path,
             ": is no checkpoint of a training run");
  }
  const std::string& path() const { return path_; }
  const std::string& metadata(const std::string& name) { return file_.metadata[name]; }

  /// All names that begin with the prefix, without it.
  io::NamedTensors below(const std::string& prefix) const {
    io::NamedTensors found;
    for (const auto& [name, tensor] : file_.tensors)
      if (name.compare(0, prefix.size(), prefix) == 0)
        found.emplace_back(name.substr(prefix.size()), tensor);
    return found;
  }
  std::vector<double> doubles(const std::string& name, size_t count) const {
    for (const auto& [own, tensor] : file_.tensors)
      if (own == name) return doubles_of(name, tensor, count);
    DS_CHECK(false, FileFormatError, path_, ": has no entry '", name, "'");
    return {};
  }
  std::vector<double> doubles_of(const std::string& name, const Tensor& tensor,
                                 size_t count = 0) const {
    DS_CHECK(tensor.dtype() == DType::f64 && tensor.dim() == 1 && tensor.numel() > 0 &&
                 (count == 0 || tensor.numel() == static_cast<int64_t>(count)),
             FileFormatError, path_, ": entry '", name, "' is ", tensor.type(),
             ", a list of numbers was expected");
    return tensor.to_vector<double>();
  }
  /// "12.name" as 12 and "name".
  std::pair<size_t, std::string> indexed(const std::string& name, size_t limit) const {
    const size_t dot = name.find('.');
    const bool number = dot != std::string::npos && dot > 0 && dot < 10 &&
                        name.find_first_not_of("0123456789") == dot;
    DS_CHECK(number && std::stoul(name.substr(0, dot)) < limit, FileFormatError, path_,
             ": the optimizer's entry '", name, "' is of no parameter or group");
    return {std::stoul(name.substr(0, dot)), name.substr(dot + 1)};
  }

 private:
  std::string path_;
  io::Safetensors file_;
};

void save_optimizer(optim::Optimizer& optimizer, io::NamedTensors& tensors) {
  const optim::OptimizerState state = optimizer.state_dict();
  for (size_t g = 0; g < state.groups.size(); ++g)
    for (const auto& [name, value] : state.groups[g])
      tensors.emplace_back(str("optimizer.group.", g, ".", name), numbers({value}));
  for (size_t p = 0; p < state.params.size(); ++p) {
    for (const auto& [name, tensor] : state.params[p].tensors)
      tensors.emplace_back(str("optimizer.state.", p, ".", name), tensor);
    for (const auto& [name, value] : state.params[p].numbers)
      tensors.emplace_back(str("optimizer.number.", p, ".", name), numbers({value}));
  }
}

optim::OptimizerState read_optimizer(const optim::Optimizer& optimizer, const Entries& entries) {
  size_t params = 0;
  for (const optim::ParamGroup& group : optimizer.groups()) params += group.params.size();
  optim::OptimizerState state;
  state.groups.resize(optimizer.groups().size());
  state.params.resize(params);
  for (const auto& [name, tensor] : entries.below("optimizer.group.")) {
    const auto [index, key] = entries.indexed(name, state.groups.size());
    state.groups[index][key] = entries.doubles_of(name, tensor, 1)[0];
  }
  for (const auto& [name, tensor] : entries.below("optimizer.number.")) {
    const auto [index, key] = entries.indexed(name, params);
    state.params[index].numbers[key] = entries.doubles_of(name, tensor, 1)[0];
  }
  for (const auto& [name, tensor] : entries.below("optimizer.state.")) {
    const auto [index, key] = entries.indexed(name, params);
    state.params[index].tensors[key] = tensor;
  }
  return state;
}

}  // namespace

std::string MixedPrecisionTrainer::checkpoint_path() const {
  return (std::filesystem::path(options_.checkpoint_dir) / "last.safetensors").string();
}

bool MixedPrecisionTrainer::has_checkpoint() const {
  std::error_code error;
  return std::filesystem::exists(checkpoint_path(), error);
}

void MixedPrecisionTrainer::checkpoint() {
  // A run that has gone bad must not replace a good checkpoint.
  read_stats(0);
  if (options_.checkpoint_dir.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(options_.checkpoint_dir, error);
  DS_CHECK(!error, IOError, "MixedPrecisionTrainer: can not make the folder ",
           options_.checkpoint_dir, ": ", error.message());
  save_checkpoint(checkpoint_path());
}

std::pair<nn::StateDict, nn::StateDict> MixedPrecisionTrainer::split_state() const {
  std::unordered_set<const TensorImpl*> frozen;
  if (!options_.checkpoint_frozen)
    for (const Tensor& parameter : options_.model->parameters())
      if (!parameter.requires_grad()) frozen.insert(parameter.impl().get());
  std::pair<nn::StateDict, nn::StateDict> parts;
  for (auto& entry : options_.model->state_dict())
    (frozen.count(entry.second.impl().get()) ? parts.second : parts.first).push_back(entry);
  return parts;
}

void MixedPrecisionTrainer::save_checkpoint(const std::string& path) const {
  const GradMode no_grad(false);
  io::NamedTensors tensors;
  for (const auto& [name, tensor] : split_state().first)
    tensors.emplace_back("model." + name, tensor);
  save_optimizer(*options_.optimizer, tensors);
  for (const auto& [name, tensor] : scaler_.state_dict())
    tensors.emplace_back("scaler." + name, tensor);
  if (options_.scheduler)
    for (const auto& [name, values] : options_.scheduler->state_dict())
      tensors.emplace_back("scheduler." + name, numbers(values));
  for (size_t m = 0; m < options_.metrics.size(); ++m) {
    const std::vector<Tensor> state = options_.metrics[m]->state();
    for (size_t i = 0; i < state.size(); ++i)
      tensors.emplace_back(str("metric.", m, ".", i), state[i]);
  }
  for (size_t c = 0; c < options_.callbacks.size(); ++c)
    if (const std::vector<double> state = options_.callbacks[c]->state(); !state.empty())
      tensors.emplace_back(str("callback.", c), numbers(state));
  tensors.emplace_back("random", rng_state());
  const SourcePosition at = source_ ? source_->position() : position_;
  const int64_t source[3] = {static_cast<int64_t>(at.epoch), at.batch,
                             static_cast<int64_t>(at.seed)};
  tensors.emplace_back("source", Tensor::from_host(source, {DType::i64, {3}}));
  tensors.emplace_back("position", numbers({static_cast<double>(epoch_), trained_ ? 1.0 : 0.0,
                                            static_cast<double>(batch_), static_cast<double>(step_),
                                            static_cast<double>(samples_), loss_sum_,
                                            static_cast<double>(loss_samples_)}));
  io::save_safetensors(tensors, path,
                       {{"format", kFormat}, {"optimizer", options_.optimizer->type_name()}});
}

void MixedPrecisionTrainer::load_checkpoint(const std::string& path) {
  const GradMode no_grad(false);
  Entries entries(path);
  DS_CHECK(entries.metadata("optimizer") == options_.optimizer->type_name(), ValueError, path,
           ": is of a run with the optimizer ", entries.metadata("optimizer"), ", this one has ",
           options_.optimizer->type_name());
  const optim::OptimizerState optimizer = read_optimizer(*options_.optimizer, entries);
  const std::vector<double> position = entries.doubles("position", 7);
  const io::NamedTensors random = entries.below("random"), source = entries.below("source");
  DS_CHECK(source.size() == 1 && source[0].second.type() == (Type{DType::i64, {3}}),
           FileFormatError, path, ": does not hold the position in the data");
  DS_CHECK(random.size() == 1 && random[0].second.type() == rng_state().type(), FileFormatError,
           path, ": holds no state of the random numbers");
  optim::SchedulerState schedule;
  for (const auto& [name, tensor] : entries.below("scheduler."))
    schedule[name] = entries.doubles_of(name, tensor);
  DS_CHECK(schedule.empty() == !options_.scheduler, ValueError, path, ": is of a run with",
           schedule.empty() ? "out" : "", " a scheduler, unlike this one");
  const io::NamedTensors scaler = entries.below("scaler.");

  nn::StateDict weights = entries.below("model.");
  for (auto& entry : split_state().second) weights.push_back(std::move(entry));
  options_.model->load_state_dict(weights);
  options_.optimizer->load_state_dict(optimizer);
  if (options_.scheduler) options_.scheduler->load_state_dict(schedule);
  scaler_.load_state_dict(scaler);
  set_rng_state(clone(random[0].second));
  epoch_ = static_cast<int64_t>(position[0]);
  trained_ = position[1] != 0;
  const std::vector<int64_t> at = source[0].second.to_vector<int64_t>();
  position_ = {static_cast<uint64_t>(at[0]), at[1], static_cast<uint64_t>(at[2])};
  batch_ = static_cast<int64_t>(position[2]);
  step_ = static_cast<int64_t>(position[3]);
  samples_ = static_cast<int64_t>(position[4]);
  loss_sum_ = position[5];
  loss_samples_ = static_cast<int64_t>(position[6]);
  for (size_t m = 0; m < options_.metrics.size(); ++m) {
    std::vector<Tensor> state;
    for (const auto& [name, tensor] : entries.below(str("metric.", m, ".")))
      state.push_back(tensor);
    if (!state.empty()) options_.metrics[m]->set_state(state);
  }
  for (size_t c = 0; c < options_.callbacks.size(); ++c) {
    const std::string name = str("callback.", c);
    for (const auto& [rest, tensor] : entries.below(name))
      if (rest.empty()) options_.callbacks[c]->set_state(entries.doubles_of(name, tensor));
  }
  seen_skipped_ = scaler_.skipped_steps();
  pending_.clear();
  continues_ = true;
}

}  // namespace ds::train

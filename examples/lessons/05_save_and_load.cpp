// SPDX-License-Identifier: Apache-2.0
// Lesson 5: save, load, resume.
#include <ds/ds.h>

#include <filesystem>
#include <iostream>

namespace {

std::unique_ptr<ds::train::MixedPrecisionTrainer> make_trainer(const std::string& folder,
                                                               bool resume = false) {
  ds::manual_seed(0);
  ds::train::TrainerOptions options;
  options.model = ds::hub::resnet8();
  options.optimizer = std::make_shared<ds::optim::AdamW>(options.model->parameters(), 1e-3);
  options.checkpoint_dir = folder;
  options.resume = resume;
  options.progress = nullptr;
  return std::make_unique<ds::train::MixedPrecisionTrainer>(options);
}

ds::train::LoaderSource make_source() {
  ds::manual_seed(1);
  const ds::data::HostArray x(ds::randn({64, 1, 8, 8})), y(ds::randint(0, 10, {64}));
  return ds::train::LoaderSource(std::make_shared<ds::data::DataLoader>(
      std::make_shared<ds::data::ArrayDataset>(std::vector<ds::data::HostArray>{x, y}),
      ds::data::LoaderOptions{16, true, false, 0, 2, 3}));
}

void fit(ds::train::MixedPrecisionTrainer& trainer, int64_t epochs) {
  ds::train::LoaderSource source = make_source();
  trainer.fit(source, epochs);
}

}  // namespace

int main() {
  const std::string folder = std::filesystem::temp_directory_path() / "deepseek_lesson_05";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);

  // Weights in safetensors: any other reader of the format opens them.
  const auto model = ds::hub::resnet8(), other = ds::hub::resnet8();
  ds::io::save_safetensors(model->state_dict(), folder + "/weights.safetensors");
  other->load_state_dict(ds::io::load_safetensors(folder + "/weights.safetensors").tensors);
  model->eval();
  other->eval();
  const ds::Tensor x = ds::randn({2, 1, 8, 8});
  if (!ds::allclose((*model)(x), (*other)(x))) return 1;
  std::cout << "saved and loaded " << model->state_dict().size() << " tensors\n";

  // A checkpoint holds everything: two epochs in one go, or one, a stop, and one more.
  const auto straight = make_trainer(folder + "/a");
  fit(*straight, 2);
  fit(*make_trainer(folder + "/b"), 1);
  const auto resumed = make_trainer(folder + "/b", true);
  fit(*resumed, 2);
  const auto a = straight->model().parameters(), b = resumed->model().parameters();
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i].to_vector<float>() != b[i].to_vector<float>()) return 1;
  std::cout << "a resumed run ends with the same weights, bit for bit\n";
  std::filesystem::remove_all(folder);
  return 0;
}

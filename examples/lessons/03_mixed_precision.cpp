// SPDX-License-Identifier: Apache-2.0
// Lesson 3: a convolutional network trained with mixed precision by the trainer.
#include <ds/ds.h>

#include <iostream>

namespace nn = ds::nn;

namespace {

nn::ModulePtr make_model() {
  const auto conv = [](int64_t in, int64_t out, int64_t stride) {
    nn::ConvOptions options{in, out, 3};
    options.stride = stride;
    options.padding = 1;
    return std::make_shared<nn::Conv2d>(options);
  };
  return std::make_shared<nn::Sequential>(std::vector<nn::ModulePtr>{
      conv(1, 32, 1), std::make_shared<nn::BatchNorm2d>(32), std::make_shared<nn::ReLU>(),
      conv(32, 64, 2), std::make_shared<nn::BatchNorm2d>(64), std::make_shared<nn::ReLU>(),
      std::make_shared<nn::AdaptiveAvgPool2d>(2), std::make_shared<nn::Flatten>(),
      std::make_shared<nn::Linear>(256, 10)});
}

}  // namespace

int main() {
  ds::manual_seed(0);
  const ds::data::NamedDataset digits = ds::data::load_dataset("digits");
  const auto scale = ds::data::compose(
      {ds::data::to_float(digits.divisor), ds::data::normalize(digits.mean, digits.std)});
  const auto loader = [&](const ds::data::DatasetPtr& part, int64_t batch, bool shuffle) {
    return std::make_shared<ds::data::DataLoader>(
        std::make_shared<ds::data::TransformedDataset>(part, scale),
        ds::data::LoaderOptions{batch, shuffle, false, 1});
  };
  ds::train::LoaderSource train(loader(digits.train, 64, true));
  ds::train::LoaderSource test(loader(digits.test, 128, false));

  ds::train::TrainerOptions options;
  options.model = make_model();
  options.optimizer = std::make_shared<ds::optim::AdamW>(options.model->parameters(), 3e-3);
  options.fp16_layers = {"conv", "linear"};
  options.loss_scale = 128;
  options.metrics = {ds::train::accuracy()};
  options.max_grad_norm = 1;
  ds::train::MixedPrecisionTrainer trainer(options);
  std::cout << trainer.precision().text << "\n";
  const auto logs = trainer.fit(train, 4, &test);
  return logs.back().at("val_accuracy") > 0.95 ? 0 : 1;
}

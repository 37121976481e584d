// SPDX-License-Identifier: Apache-2.0
// Lesson 2: a network, an optimizer and a training loop of one's own, on handwritten digits.
#include <ds/ds.h>

#include <iostream>

namespace {

class Net : public ds::nn::Module {
 public:
  Net() {
    hidden_ = add<ds::nn::Linear>("hidden", 64, 128);
    out_ = add<ds::nn::Linear>("out", 128, 10);
  }
  std::string type_name() const override { return "Net"; }
  ds::Tensor forward(const ds::Tensor& x) override {
    return (*out_)(ds::relu((*hidden_)(ds::flatten(x, 1))));
  }

 private:
  std::shared_ptr<ds::nn::Linear> hidden_, out_;
};

}  // namespace

int main() {
  ds::manual_seed(0);
  Net net;
  ds::optim::Adam optimizer(net.parameters(), 3e-3);
  const ds::data::NamedDataset digits = ds::data::load_dataset("digits");
  const auto scale = ds::data::compose(
      {ds::data::to_float(digits.divisor), ds::data::normalize(digits.mean, digits.std)});
  ds::data::DataLoader loader(std::make_shared<ds::data::TransformedDataset>(digits.train, scale),
                              {64, true});
  ds::data::DataLoader held_out(std::make_shared<ds::data::TransformedDataset>(digits.test, scale),
                                {359});
  std::vector<ds::Tensor> batch, test;
  held_out.next(test);

  double accuracy = 0;
  for (int epoch = 0; epoch < 8; ++epoch) {
    ds::Tensor loss;
    while (loader.next(batch)) {
      loss = ds::cross_entropy(net(batch[0]), batch[1]);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
    }
    const ds::GradMode no_grad(false);
    const ds::Tensor right = ds::eq(ds::argmax(net(test[0]), 1), test[1]);
    accuracy = ds::mean(ds::to_dtype(right, ds::DType::f32)).item();
    std::cout << "epoch " << epoch + 1 << ": loss " << loss.item() << ", held-out accuracy "
              << accuracy << "\n";
  }
  // Forward, backward and update of a step are one plan, made once.
  std::cout << ds::engine_stats().plans << " plans for " << 8 * loader.size() << " steps\n";
  return accuracy > 0.95 ? 0 : 1;
}

// SPDX-License-Identifier: Apache-2.0
// Lesson 4: data of one's own: a data set, workers, and a table from a CSV file.
#include <ds/ds.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <numbers>

namespace {

/// Points on two interleaved spirals; which one is the label.
class Spirals : public ds::data::Dataset {
 public:
  explicit Spirals(int64_t count) : count_(count) {}
  int64_t size() const override { return count_; }
  ds::data::Sample get(int64_t index, ds::data::SampleRandom&) const override {
    // A sample is the same in every epoch: its random numbers depend on the index only.
    ds::data::SampleRandom draw(0, 0, static_cast<uint64_t>(index));
    ds::data::HostArray point({ds::DType::f32, {2}}), label({ds::DType::i64, {}});
    *label.as<int64_t>() = index % 2;
    const double angle = draw.uniform(0.5, 3.0) * std::numbers::pi;
    const double radius = angle / 10 * (index % 2 ? 1 : -1);
    point.as<float>()[0] = static_cast<float>(radius * std::cos(angle) + draw.uniform(-.02, .02));
    point.as<float>()[1] = static_cast<float>(radius * std::sin(angle) + draw.uniform(-.02, .02));
    return {point, label};
  }

 private:
  int64_t count_;
};

}  // namespace

int main() {
  namespace nn = ds::nn;
  ds::manual_seed(0);
  const auto parts = ds::data::random_split(std::make_shared<Spirals>(1200), {960, 240});
  ds::data::DataLoader loader(parts[0], {64, true, false, 2});
  nn::Sequential net({std::make_shared<nn::Linear>(2, 64), std::make_shared<nn::Tanh>(),
                      std::make_shared<nn::Linear>(64, 64), std::make_shared<nn::Tanh>(),
                      std::make_shared<nn::Linear>(64, 2)});
  ds::optim::AdamW optimizer(net.parameters(), 1e-2);
  std::vector<ds::Tensor> batch;
  for (int epoch = 0; epoch < 25; ++epoch) {
    while (loader.next(batch)) {
      const ds::Tensor loss = ds::cross_entropy(net(batch[0]), batch[1]);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
    }
  }
  ds::data::DataLoader held_out(parts[1], {240});
  held_out.next(batch);
  const ds::Tensor right = ds::eq(ds::argmax(net(batch[0]), 1), batch[1]);
  const double accuracy = ds::mean(ds::to_dtype(right, ds::DType::f32)).item();
  std::cout << "accuracy on held-out points: " << accuracy << "\n";
  if (accuracy < 0.9) return 1;

  // Tables of numbers: y = 3 a - 2 b + 1, by least squares.
  const std::string path = std::filesystem::temp_directory_path() / "deepseek_lesson_04.csv";
  std::ofstream(path) << "a,b,y\n1,0,4\n0,1,-1\n2,1,5\n3,5,0\n";
  const ds::Tensor values = ds::io::load_csv(path).values;
  std::filesystem::remove(path);
  const ds::Tensor a = ds::cat({ds::slice(values, 1, 0, 2), ds::ones({4, 1})}, 1);
  const ds::Tensor solution = ds::lstsq(a, ds::slice(values, 1, 2));
  std::cout << "coefficients " << ds::flatten(solution) << "\n";
  const ds::Tensor expected = ds::tensor({3, -2, 1}, std::nullopt, ds::DType::f32);
  return ds::allclose(ds::flatten(solution), expected, 1e-4, 1e-4) ? 0 : 1;
}

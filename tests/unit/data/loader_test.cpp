// SPDX-License-Identifier: Apache-2.0
#include "ds/data/loader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "ds/base/error.h"

namespace ds::data {
namespace {

DatasetPtr numbers(int64_t n) {
  HostArray values({DType::i64, {n}});
  std::iota(values.as<int64_t>(), values.as<int64_t>() + n, 0);
  return std::make_shared<ArrayDataset>(std::vector<HostArray>{values});
}

std::vector<int64_t> epoch_of(DataLoader& loader) {
  std::vector<int64_t> seen;
  std::vector<Tensor> batch;
  while (loader.next(batch))
    for (int64_t value : batch[0].to_vector<int64_t>()) seen.push_back(value);
  return seen;
}

std::vector<int64_t> range(int64_t n) {
  std::vector<int64_t> all(static_cast<size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

/// Fails at one index.
class Faulty final : public Dataset {
 public:
  int64_t size() const override { return 40; }
  Sample get(int64_t index, SampleRandom&) const override {
    DS_CHECK(index != 25, ValueError, "sample 25 is bad");
    return {HostArray({DType::u8, {4}})};
  }
};

/// Gives a random number that depends on the sample only.
class Drawing final : public Dataset {
 public:
  int64_t size() const override { return 30; }
  Sample get(int64_t, SampleRandom& random) const override {
    HostArray value({DType::i64, {}});
    *value.as<int64_t>() = random.below(1 << 30);
    return {value};
  }
};

}  // namespace

TEST_CASE("every sample once, in order, for any number of workers") {
  for (int workers : {0, 1, 3}) {
    CAPTURE(workers);
    DataLoader loader(numbers(23), {5, false, false, workers, 2, 0});
    CHECK(loader.size() == 5);
    for (int epoch = 0; epoch < 3; ++epoch) CHECK(epoch_of(loader) == range(23));
  }
  DataLoader dropping(numbers(23), {5, false, true, 2, 1, 0});
  CHECK(epoch_of(dropping).size() == 20);
}

TEST_CASE("shuffling: a permutation, another one each epoch, the same for the same seed") {
  DataLoader a(numbers(50), {8, true, false, 2, 2, 7}), b(numbers(50), {8, true, false, 0, 2, 7});
  const std::vector<int64_t> first = epoch_of(a), second = epoch_of(a);
  CHECK(first != second);
  CHECK(first == epoch_of(b));
  CHECK(second == epoch_of(b));
  std::vector<int64_t> sorted = first;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == range(50));
}

TEST_CASE("random samples do not depend on the number of workers") {
  const auto set = std::make_shared<Drawing>();
  DataLoader alone(set, {4, true, false, 0, 2, 3}), three(set, {4, true, false, 3, 2, 3});
  const std::vector<int64_t> first = epoch_of(alone);
  CHECK(first == epoch_of(three));
  CHECK(epoch_of(alone) != first);
}

TEST_CASE("a worker's error is raised at its place, and the loader goes on") {
  for (int workers : {0, 2}) {
    CAPTURE(workers);
    DataLoader loader(std::make_shared<Faulty>(), {10, false, false, workers, 2, 0});
    std::vector<Tensor> batch;
    CHECK(loader.next(batch));
    CHECK(loader.next(batch));
    CHECK_THROWS_WITH_AS(loader.next(batch), "sample 25 is bad", ValueError);
    CHECK(loader.next(batch));
    CHECK_FALSE(loader.next(batch));
  }
}

TEST_CASE("leaving an epoch early stops the workers") {
  for (int i = 0; i < 20; ++i) {
    DataLoader loader(numbers(1000), {2, true, false, 3, 4, 0});
    std::vector<Tensor> batch;
    loader.next(batch);
    if (i % 2) loader.reset();
  }
}

TEST_CASE("the state resumes at the next batch") {
  DataLoader loader(numbers(30), {4, true, false, 2, 2, 5});
  std::vector<Tensor> batch;
  epoch_of(loader);
  loader.next(batch);
  loader.next(batch);
  const LoaderState state = loader.state();
  CHECK(state.epoch == 1);
  CHECK(state.position == 2);
  const std::vector<int64_t> rest = epoch_of(loader);
  DataLoader other(numbers(30), {4, true, false, 0, 2, 5});
  other.load_state(state);
  CHECK(epoch_of(other) == rest);
  CHECK(epoch_of(other) == epoch_of(loader));
}

TEST_CASE("bad arguments") {
  CHECK_THROWS_AS(DataLoader(numbers(3), {0}), ValueError);
  CHECK_THROWS_AS(DataLoader(numbers(3), {1, false, false, -1}), ValueError);
  CHECK_THROWS_AS(Subset(numbers(3), {0, 3}), IndexError);
  CHECK_THROWS_AS(random_split(numbers(3), {1, 1}), ValueError);
  HostArray two({DType::f32, {2}}), three({DType::f32, {3}});
  CHECK_THROWS_AS(collate({{two}, {three}}), ShapeError);
  CHECK_THROWS_AS(ArrayDataset({two, three}), ShapeError);
  CHECK_THROWS_AS(load_dataset("no such set"), KeyError);
  CHECK_THROWS_AS(load_dataset("mnist", "/no/such/folder"), IOError);
}

TEST_CASE("splits and joins") {
  const auto parts = random_split(numbers(10), {7, 3}, 1);
  std::set<int64_t> all;
  SampleRandom random(0, 0, 0);
  for (const DatasetPtr& part : parts)
    for (int64_t i = 0; i < part->size(); ++i) all.insert(*part->get(i, random)[0].as<int64_t>());
  CHECK(all.size() == 10);
  const ConcatDataset both({numbers(3), numbers(4)});
  CHECK(both.size() == 7);
  CHECK(*both.get(2, random)[0].as<int64_t>() == 2);
  CHECK(*both.get(3, random)[0].as<int64_t>() == 0);
}

TEST_CASE("the digits that come with the library") {
  const NamedDataset digits = load_dataset("digits");
  CHECK(digits.train->size() == 1438);
  CHECK(digits.test->size() == 359);
  SampleRandom random(0, 0, 0);
  const Sample first = digits.train->get(0, random);
  CHECK(first[0].type() == Type{DType::u8, {1, 8, 8}});
  CHECK(*first[1].as<int64_t>() == 0);
  // The first image of scikit-learn's digits begins with 0 0 5 13.
  CHECK(first[0].as<uint8_t>()[2] == 5);
  CHECK(first[0].as<uint8_t>()[3] == 13);
}

TEST_CASE("transforms keep what they should") {
  HostArray image({DType::u8, {1, 3, 4}});
  std::iota(image.as<uint8_t>(), image.as<uint8_t>() + 12, uint8_t{0});
  SampleRandom random(1, 0, 0);
  const auto pixels = [](const HostArray& a) {
    return std::vector<int>(a.as<uint8_t>(), a.as<uint8_t>() + a.shape().numel());
  };
  CHECK(pixels((*random_horizontal_flip(1))(image, random)) ==
        std::vector<int>{3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8});
  CHECK(pixels((*random_horizontal_flip(0))(image, random)) == pixels(image));
  CHECK(pixels((*center_crop(1, 2))(image, random)) == std::vector<int>{5, 6});
  CHECK(pixels((*random_rotation(0))(image, random)) == pixels(image));
  CHECK(pixels((*resize(3, 4))(image, random)) == pixels(image));
  const HostArray scaled = (*compose({to_float(), normalize({0.5}, {0.25})}))(image, random);
  CHECK(scaled.as<float>()[11] == doctest::Approx((11 / 255.0 - 0.5) / 0.25));
  CHECK((*random_crop(3, 4, 2))(image, random).shape() == Shape{1, 3, 4});
  CHECK((*random_resized_crop(5, 6))(image, random).shape() == Shape{1, 5, 6});
  CHECK_THROWS_AS((*random_crop(9, 9))(image, random), ShapeError);
  CHECK_THROWS_AS(normalize({0}, {0}), ValueError);
}

}  // namespace ds::data

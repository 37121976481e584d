// SPDX-License-Identifier: Apache-2.0
#include "ds/data/dataset.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "ds/base/error.h"
#include "ds/io/image.h"

namespace ds::data {
namespace {

namespace fs = std::filesystem;

void check_index(int64_t index, int64_t size) {
  DS_CHECK(index >= 0 && index < size, IndexError, "dataset: index ", index,
           " is out of range for ", size, " samples");
}

bool is_image(const fs::path& path) {
  std::string end = path.extension().string();
  std::transform(end.begin(), end.end(), end.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return end == ".png" || end == ".jpg" || end == ".jpeg";
}

/// Sorted entries of a folder.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    entries.push_back(entry.path());
  DS_CHECK(!error, IOError, "cannot read the folder ", folder.string(), ": ", error.message());
  std::sort(entries.begin(), entries.end());
  return entries;
}

}  // namespace

ArrayDataset::ArrayDataset(std::vector<HostArray> arrays) : arrays_(std::move(arrays)), size_(0) {
  DS_CHECK(!arrays_.empty() && arrays_[0].shape().rank() > 0, ShapeError,
           "dataset: needs arrays with at least one dimension");
  size_ = arrays_[0].shape()[0];
  for (const HostArray& array : arrays_)
    DS_CHECK(array.shape().rank() > 0 && array.shape()[0] == size_, ShapeError, "dataset: arrays ",
             arrays_[0].type(), " and ", array.type(), " differ in their first size");
}

Sample ArrayDataset::get(int64_t index, SampleRandom&) const {
  check_index(index, size_);
  Sample sample;
  for (const HostArray& array : arrays_) sample.push_back(array.row(index));
  return sample;
}

Sample TransformedDataset::get(int64_t index, SampleRandom& random) const {
  Sample sample = base_->get(index, random);
  sample[0] = (*transform_)(sample[0], random);
  return sample;
}

Subset::Subset(DatasetPtr base, std::vector<int64_t> indices)
    : base_(std::move(base)), indices_(std::move(indices)) {
  for (const int64_t index : indices_) check_index(index, base_->size());
}

Sample Subset::get(int64_t index, SampleRandom& random) const {
  check_index(index, size());
  return base_->get(indices_[static_cast<size_t>(index)], random);
}

ConcatDataset::ConcatDataset(std::vector<DatasetPtr> parts) : parts_(std::move(parts)) {
  int64_t end = 0;
  for (const DatasetPtr& part : parts_) ends_.push_back(end += part->size());
}

Sample ConcatDataset::get(int64_t index, SampleRandom& random) const {
  check_index(index, size());
  const auto part = std::upper_bound(ends_.begin(), ends_.end(), index) - ends_.begin();
  const int64_t begin = part == 0 ? 0 : ends_[static_cast<size_t>(part - 1)];
  return parts_[static_cast<size_t>(part)]->get(index - begin, random);
}

ImageFolder::ImageFolder(const std::string& root) {
  for (const fs::path& folder : entries_of(root)) {
    if (!fs::is_directory(folder)) continue;
    const auto label = static_cast<int64_t>(classes_.size());
    classes_.push_back(folder.filename().string());
    for (const fs::path& file : entries_of(folder))
      if (is_image(file)) files_.emplace_back(file.string(), label);
  }
  DS_CHECK(!files_.empty(), ValueError, "image folder ", root, " holds no image; expected ", root,
           "/CLASS/NAME.png or .jpg");
}

Sample ImageFolder::get(int64_t index, SampleRandom&) const {
  check_index(index, size());
  const auto& [path, label] = files_[static_cast<size_t>(index)];
  const io::MappedFile file(path);
  const io::Image image = io::decode_image(file.bytes(), path);
  HostArray planes({DType::u8, {image.channels, image.height, image.width}});
  const int64_t plane = image.height * image.width;
  for (int64_t i = 0; i < plane; ++i)
    for (int64_t c = 0; c < image.channels; ++c)
      planes.as<uint8_t>()[c * plane + i] =
          image.pixels[static_cast<size_t>(i * image.channels + c)];
  HostArray target({DType::i64, {}});
  *target.as<int64_t>() = label;
  return {planes, target};
}

std::vector<int64_t> shuffled(int64_t n, uint64_t seed, uint64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  const int64_t state[2] = {static_cast<int64_t>(seed), static_cast<int64_t>(epoch)};
  const PhiloxStream stream(state, 0);
  for (size_t i = order.size(); i > 1; --i) {  // Fisher and Yates
    const PhiloxBlock block = stream.block(i);
    std::swap(order[i - 1], order[philox_join(block[0], block[1]) % i]);
  }
  return order;
}

std::vector<DatasetPtr> random_split(const DatasetPtr& dataset, const std::vector<int64_t>& sizes,
                                     uint64_t seed) {
  const int64_t total = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  DS_CHECK(total == dataset->size(), ValueError, "random_split: the sizes add up to ", total,
           ", the data set has ", dataset->size(), " samples");
  const std::vector<int64_t> order = shuffled(total, seed, 0);
  std::vector<DatasetPtr> parts;
  auto at = order.begin();
  for (const int64_t size : sizes) {
    DS_CHECK(size >= 0, ValueError, "random_split: a size is negative: ", size);
    parts.push_back(std::make_shared<Subset>(dataset, std::vector<int64_t>(at, at + size)));
    at += size;
  }
  return parts;
}

}  // namespace ds::data

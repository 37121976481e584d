// SPDX-License-Identifier: Apache-2.0
// Data sets: samples by index. get() is called by several threads at once.
#pragma once

#include <string>
#include <vector>

#include "ds/data/array.h"
#include "ds/data/transforms.h"

namespace ds::data {

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  /// `random` belongs to this sample and epoch. IndexError outside [0, size).
  virtual Sample get(int64_t index, SampleRandom& random) const = 0;
};
using DatasetPtr = std::shared_ptr<const Dataset>;

/// Rows of arrays with one first size.
class ArrayDataset final : public Dataset {
 public:
  /// ShapeError when the first sizes differ.
  explicit ArrayDataset(std::vector<HostArray> arrays);
  int64_t size() const override { return size_; }
  Sample get(int64_t index, SampleRandom& random) const override;
  const std::vector<HostArray>& arrays() const { return arrays_; }

 private:
  std::vector<HostArray> arrays_;
  int64_t size_;
};

/// Another data set's samples with the first part transformed.
class TransformedDataset final : public Dataset {
 public:
  TransformedDataset(DatasetPtr base, TransformPtr transform)
      : base_(std::move(base)), transform_(std::move(transform)) {}
  int64_t size() const override { return base_->size(); }
  Sample get(int64_t index, SampleRandom& random) const override;

 private:
  DatasetPtr base_;
  TransformPtr transform_;
};

/// Some samples of another data set.
class Subset final : public Dataset {
 public:
  /// IndexError when an index is outside.
  Subset(DatasetPtr base, std::vector<int64_t> indices);
  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  Sample get(int64_t index, SampleRandom& random) const override;

 private:
  DatasetPtr base_;
  std::vector<int64_t> indices_;
};

/// Data sets one after the other.
class ConcatDataset final : public Dataset {
 public:
  explicit ConcatDataset(std::vector<DatasetPtr> parts);
  int64_t size() const override { return ends_.empty() ? 0 : ends_.back(); }
  Sample get(int64_t index, SampleRandom& random) const override;

 private:
  std::vector<DatasetPtr> parts_;
  std::vector<int64_t> ends_;
};

/// Images in folders named after their class: root/cat/1.png. Classes are sorted by name.
class ImageFolder final : public Dataset {
 public:
  /// IOError when the folder cannot be read, ValueError when it holds no image.
  explicit ImageFolder(const std::string& root);
  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  /// u8 [3, height, width] and the class, i64.
  Sample get(int64_t index, SampleRandom& random) const override;
  const std::vector<std::string>& classes() const { return classes_; }

 private:
  std::vector<std::string> classes_;
  std::vector<std::pair<std::string, int64_t>> files_;
};

/// Disjoint parts of the given sizes, drawn by seed. ValueError unless the sizes add up.
std::vector<DatasetPtr> random_split(const DatasetPtr& dataset, const std::vector<int64_t>& sizes,
                                     uint64_t seed = 0);
/// 0 to n - 1 in an order drawn by seed and epoch.
std::vector<int64_t> shuffled(int64_t n, uint64_t seed, uint64_t epoch);

/// A training and a test set, and what their labels mean.
struct NamedDataset {
  DatasetPtr train, test;
  std::vector<std::string> classes;
  Shape image;                    // [channels, height, width]
  double divisor = 255;           // pixels are in [0, divisor]
  std::vector<double> mean, std;  // per channel of pixels / divisor
};

/// "digits" (comes with the library), "mnist" and "fashion_mnist" (IDX files in `folder`, else
/// where Debian's packages put them), "cifar10" (binary files in `folder`), "imagefolder:PATH" (or
/// a path to a folder with train/ and test/ or val/). KeyError for another name; IOError names the
/// files that are missing.
NamedDataset load_dataset(const std::string& name, const std::string& folder = "");

}  // namespace ds::data

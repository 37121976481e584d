// SPDX-License-Identifier: Apache-2.0
// Data sets by name.
#include <cstdlib>
#include <filesystem>

#include "ds/base/error.h"
#include "ds/data/dataset.h"
#include "ds/data/digits.h"
#include "ds/io/cifar.h"
#include "ds/io/idx.h"

namespace ds::data {
namespace {

namespace fs = std::filesystem;

DatasetPtr dataset_of(const Tensor& images, const Tensor& labels) {
  return std::make_shared<ArrayDataset>(
      std::vector<HostArray>{HostArray(images), HostArray(labels)});
}

std::vector<std::string> numerals() {
  std::vector<std::string> names;
  for (int i = 0; i < 10; ++i) names.push_back(std::to_string(i));
  return names;
}

/// Every fifth digit is held out, so that both parts have all writers.
NamedDataset digits() {
  const auto [images, labels] = load_digits();
  const auto all = std::make_shared<ArrayDataset>(std::vector<HostArray>{images, labels});
  std::vector<int64_t> train, test;
  for (int64_t i = 0; i < all->size(); ++i) (i % 5 == 4 ? test : train).push_back(i);
  return {std::make_shared<Subset>(all, train),
          std::make_shared<Subset>(all, test),
          numerals(),
          {1, 8, 8},
          16,
          {0.305},
          {0.376}};
}

/// The first of the places where a file lies, plain or compressed; IOError naming all of them.
std::string find_file(const std::vector<std::string>& folders, const std::string& file,
                      const std::string& what) {
  std::string tried;
  for (const std::string& folder : folders)
    for (const char* end : {"", ".gz"}) {
      const std::string path = folder + "/" + file + end;
      std::error_code error;
      if (fs::is_regular_file(path, error)) return path;
      tried += "\n  " + path;
    }
  throw IOError(
      str(what, ": a file is missing; looked for", tried, "\nPut it there or name its folder."));
}

Tensor idx(const std::vector<std::string>& folders, const std::string& file,
           const std::string& what) {
  return io::load_idx(find_file(folders, file, what));
}

DatasetPtr idx_pair(const std::vector<std::string>& folders, const std::string& part,
                    const std::string& what) {
  const Tensor images = idx(folders, part + "-images-idx3-ubyte", what);
  const Tensor labels = idx(folders, part + "-labels-idx1-ubyte", what);
  DS_CHECK(images.dim() == 3 && labels.dim() == 1 && images.dtype() == DType::u8 &&
               labels.dtype() == DType::u8,
           FileFormatError, what, ": images ", images.type(), " and labels ", labels.type(),
           " are not those of the MNIST family");
  HostArray pixels(images), targets({DType::i64, labels.shape()});
  const HostArray bytes(labels);
  for (int64_t i = 0; i < labels.numel(); ++i) targets.as<int64_t>()[i] = bytes.as<uint8_t>()[i];
  HostArray shaped({DType::u8, {images.shape()[0], 1, images.shape()[1], images.shape()[2]}});
  std::copy_n(pixels.data(), pixels.bytes(), shaped.data());
  return std::make_shared<ArrayDataset>(std::vector<HostArray>{shaped, targets});
}

NamedDataset mnist_family(const std::string& name, const std::string& folder) {
  std::vector<std::string> folders;
  if (!folder.empty())
    folders.push_back(folder);
  else if (name == "fashion_mnist")
    folders = {"/usr/share/datasets/fashion-mnist"};
  if (const char* cache = std::getenv("DS_DATA"); folder.empty() && cache)
    folders.push_back(std::string(cache) + "/" + name);
  if (const char* home = std::getenv("HOME"); folder.empty() && home)
    folders.push_back(std::string(home) + "/.cache/deepseek/datasets/" + name);
  NamedDataset set;
  set.train = idx_pair(folders, "train", name);
  set.test = idx_pair(folders, "t10k", name);
  set.image = {1, 28, 28};
  if (name == "mnist") {
    set.classes = numerals();
    set.mean = {0.1307};
    set.std = {0.3081};
  } else {
    set.classes = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                   "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
    set.mean = {0.2860};
    set.std = {0.3530};
  }
  return set;
}

NamedDataset cifar10(const std::string& folder) {
  std::vector<std::string> folders;
  if (!folder.empty())
    folders = {folder, folder + "/cifar-10-batches-bin"};
  else if (const char* home = std::getenv("HOME"))
    folders.push_back(std::string(home) + "/.cache/deepseek/datasets/cifar-10-batches-bin");
  std::vector<std::string> parts;
  for (int i = 1; i <= 5; ++i)
    parts.push_back(find_file(folders, str("data_batch_", i, ".bin"), "cifar10"));
  const auto [train, train_labels] = io::load_cifar(parts);
  const auto [test, test_labels] =
      io::load_cifar({find_file(folders, "test_batch.bin", "cifar10")});
  return {
      dataset_of(train, train_labels),
      dataset_of(test, test_labels),
      {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
      {3, 32, 32},
      255,
      {0.4914, 0.4822, 0.4465},
      {0.2470, 0.2435, 0.2616}};
}

NamedDataset image_folder(const std::string& path) {
  std::error_code error;
  DS_CHECK(fs::is_directory(path, error), IOError, "imagefolder: ", path, " is no folder");
  NamedDataset set;
  std::shared_ptr<ImageFolder> train;
  for (const char* name : {"/test", "/val", "/valid"})
    if (fs::is_directory(path + "/train", error) && fs::is_directory(path + name, error)) {
      train = std::make_shared<ImageFolder>(path + "/train");
      set.train = train;
      set.test = std::make_shared<ImageFolder>(path + name);
      break;
    }
  if (!train) {  // one folder: a fifth is held out
    train = std::make_shared<ImageFolder>(path);
    const int64_t held = std::max<int64_t>(train->size() / 5, 1);
    const auto parts = random_split(train, {train->size() - held, held}, 0);
    set.train = parts[0];
    set.test = parts[1];
  }
  set.classes = train->classes();
  set.image = {3, 0, 0};
  set.mean = {0.485, 0.456, 0.406};
  set.std = {0.229, 0.224, 0.225};
  return set;
}

}  // namespace

NamedDataset load_dataset(const std::string& name, const std::string& folder) {
  if (name == "digits") return digits();
  if (name == "mnist" || name == "fashion_mnist") return mnist_family(name, folder);
  if (name == "cifar10") return cifar10(folder);
  if (name.starts_with("imagefolder:")) return image_folder(name.substr(12));
  std::error_code error;
  if (fs::is_directory(name, error)) return image_folder(name);
  throw KeyError("dataset '" + name +
                 "' is unknown; use digits, mnist, fashion_mnist, cifar10 or imagefolder:PATH");
}

}  // namespace ds::data

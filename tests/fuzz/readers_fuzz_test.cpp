// SPDX-License-Identifier: Apache-2.0
// Every reader on thousands of damaged files: whatever the bytes, it returns or raises a typed
// error. Under the address sanitizer this also finds every read outside a file.
#include <doctest/doctest.h>

#include "ds/io/cifar.h"
#include "ds/io/csv.h"
#include "ds/io/idx.h"
#include "ds/io/image.h"
#include "ds/io/npy.h"
#include "ds/io/safetensors.h"
#include "ds/io/torch_file.h"
#include "tests/fuzz/damage.h"

namespace ds::io {
namespace {

using fuzzing::contents_of;
using fuzzing::fuzz;

const std::filesystem::path kFixtures = "tests/fixtures";

}  // namespace

TEST_CASE("damaged safetensors files are refused") {
  fuzz("safetensors", contents_of(kFixtures / "small.safetensors"), 500,
       [](const std::string& path) {
         for (const auto& [name, tensor] : load_safetensors(path).tensors)
           tensor.to_vector<float>();
       });
}

TEST_CASE("damaged files of torch.save are refused") {
  for (const char* file : {"state.pt", "state_legacy.pt", "nested.pt"}) {
    CAPTURE(file);
    fuzz(file, contents_of(kFixtures / file), 400,
         [](const std::string& path) { load_torch(path); });
  }
}

TEST_CASE("damaged .npy and .npz files are refused") {
  fuzz("npy", contents_of(kFixtures / "array.npy"), 150,
       [](const std::string& path) { load_npy(path).to_vector<float>(); });
  fuzz("npz", contents_of(kFixtures / "arrays.npz"), 150,
       [](const std::string& path) { load_npz(path); });
}

TEST_CASE("damaged images are refused") {
  for (const char* file : {"photo.jpg", "photo.png", "gray.png"}) {
    CAPTURE(file);
    fuzz(file, contents_of(kFixtures / file), 200,
         [](const std::string& path) { read_image(path); });
  }
}

TEST_CASE("damaged IDX, CIFAR and CSV files are refused") {
  fuzz("idx", contents_of(kFixtures / "images.idx"), 200,
       [](const std::string& path) { load_idx(path); });
  fuzz("idx.gz", contents_of(kFixtures / "images.idx.gz"), 200,
       [](const std::string& path) { load_idx(path); });
  fuzz("cifar", contents_of(kFixtures / "batch.bin"), 150,
       [](const std::string& path) { load_cifar({path}); });
  fuzz("csv", contents_of(kFixtures / "table.csv"), 200,
       [](const std::string& path) { load_csv(path); });
}

}  // namespace ds::io

// SPDX-License-Identifier: Apache-2.0
// Every reader on thousands of damaged files: whatever the bytes, it returns or raises a typed
// error. Under the address sanitizer this also finds every read outside a file.
#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>

#include "ds/base/error.h"
#include "ds/io/cifar.h"
#include "ds/io/csv.h"
#include "ds/io/idx.h"
#include "ds/io/image.h"
#include "ds/io/npy.h"
#include "ds/io/safetensors.h"
#include "ds/io/torch_file.h"

namespace ds::io {
namespace {

namespace fs = std::filesystem;

using Contents = std::vector<unsigned char>;

Contents contents_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const fs::path& path, const Contents& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<long>(bytes.size()));
}

/// One of the usual ways a file goes wrong.
Contents damaged(Contents bytes, std::mt19937& draw) {
  if (bytes.empty()) return bytes;
  const auto place = [&] { return draw() % bytes.size(); };
  switch (draw() % 5) {
    case 0: bytes.resize(place()); break;
    case 1:
      for (int i = 0; i < 3; ++i) bytes[place()] = static_cast<unsigned char>(draw());
      break;
    case 2: bytes[place()] ^= static_cast<unsigned char>(1u << (draw() % 8)); break;
    case 3: bytes.insert(bytes.begin() + static_cast<long>(place()), 1 + draw() % 9, 0xff); break;
    default:
      for (size_t i = place(), end = std::min(bytes.size(), i + 8); i < end; ++i) bytes[i] = 0xff;
  }
  return bytes;
}

template <class Read>
void fuzz(const std::string& name, const Contents& sound, int rounds, Read read) {
  const fs::path path = fs::temp_directory_path() / ("ds_fuzz_" + name);
  std::mt19937 draw(7);
  int accepted = 0, refused = 0;
  for (int i = 0; i < rounds; ++i) {
    Contents bytes = sound;
    for (unsigned k = 0; k <= draw() % 3; ++k) bytes = damaged(std::move(bytes), draw);
    write(path, bytes);
    try {
      read(path.string());
      ++accepted;
    } catch (const Error&) {
      ++refused;
    }
  }
  fs::remove(path);
  CHECK(accepted + refused == rounds);
  CHECK(refused > 0);
}

const fs::path kFixtures = "tests/fixtures";

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

// SPDX-License-Identifier: Apache-2.0
// Images, IDX, CIFAR and CSV.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "ds/base/error.h"
#include "ds/io/cifar.h"
#include "ds/io/csv.h"
#include "ds/io/idx.h"
#include "ds/io/image.h"
#include "tests/unit/io/testing.h"

namespace ds::io {
namespace {

/// The picture of make_fixtures.py at (c, y, x).
int sample(int c, int y, int x) {
  const int values[] = {x * 8, y * 10, (x + y) * 4};
  return values[c] % 256;
}

void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

}  // namespace

TEST_CASE("PNG is read exactly, JPEG nearly") {
  const Tensor png = read_image(fixture("photo.png"));
  REQUIRE(png.type() == Type{DType::u8, {3, 24, 32}});
  const std::vector<int32_t> exact = png.to_vector<int32_t>();
  const std::vector<int32_t> near = read_image(fixture("photo.jpg")).to_vector<int32_t>();
  REQUIRE(near.size() == exact.size());
  double off = 0;
  for (int c = 0; c < 3; ++c)
    for (int y = 0; y < 24; ++y)
      for (int x = 0; x < 32; ++x) {
        const auto i = static_cast<size_t>((c * 24 + y) * 32 + x);
        CHECK(exact[i] == sample(c, y, x));
        off += std::abs(near[i] - exact[i]);
      }
  CHECK(off / static_cast<double>(exact.size()) < 3);
}

TEST_CASE("colours are converted on demand") {
  CHECK(read_image(fixture("gray.png")).shape() == Shape{3, 24, 32});
  CHECK(read_image(fixture("gray.png"), ImageMode::unchanged).shape() == Shape{1, 24, 32});
  CHECK(read_image(fixture("photo.jpg"), ImageMode::gray).shape() == Shape{1, 24, 32});
}

TEST_CASE("a PNG that is written is read back") {
  const TemporaryFolder folder;
  const Tensor image = read_image(fixture("photo.png"));
  write_png(image, folder / "copy.png");
  CHECK(read_image(folder / "copy.png").to_vector<int32_t>() == image.to_vector<int32_t>());
  CHECK_THROWS_AS(write_png(Tensor::from_host("", {DType::u8, {3, 0, 2}}), folder / "x"),
                  ShapeError);
  CHECK_THROWS_AS(read_image(fixture("table.csv")), FileFormatError);
}

TEST_CASE("IDX: plain, compressed, and numbers of two bytes") {
  const Tensor plain = load_idx(fixture("images.idx"));
  CHECK(plain.type() == Type{DType::u8, {5, 4, 3}});
  CHECK(load_idx(fixture("images.idx.gz")).to_vector<int32_t>() == plain.to_vector<int32_t>());
  CHECK(load_idx(fixture("shorts.idx")).to_vector<int32_t>() == std::vector<int32_t>{256, -2});
}

TEST_CASE("CIFAR: labels and planes") {
  const auto [images, labels] = load_cifar({fixture("batch.bin"), fixture("batch.bin")});
  CHECK(images.type() == Type{DType::u8, {4, 3, 32, 32}});
  CHECK(labels.to_vector<int64_t>() == std::vector<int64_t>{3, 9, 3, 9});
  CHECK_THROWS_AS(load_cifar({fixture("images.idx")}), FileFormatError);
}

TEST_CASE("CSV: headers, quotes, empty fields, errors with their line") {
  const CsvTable table = load_csv(fixture("table.csv"));
  CHECK(table.columns == std::vector<std::string>{"width", "height, m", "x"});
  const std::vector<float> values = table.values.to_vector<float>();
  REQUIRE(values.size() == 6);
  CHECK(values[1] == 2.5f);
  CHECK(std::isnan(values[2]));
  CHECK(values[3] == -300.0f);
  CHECK(values[4] == 4.0f);
  const TemporaryFolder folder;
  write(folder / "a.tsv", "1\t2\n3\t4\n");
  CHECK(load_csv(folder / "a.tsv").values.shape() == Shape{2, 2});
  write(folder / "b.csv", "a,b\n1,2\n3\n");
  CHECK_THROWS_WITH_AS(load_csv(folder / "b.csv"), doctest::Contains("b.csv:3: 1 fields"),
                       FileFormatError);
  write(folder / "c.csv", "a,b\n1,2\n3,four\n");
  CHECK_THROWS_WITH_AS(load_csv(folder / "c.csv"), doctest::Contains("c.csv:3: column 'b'"),
                       FileFormatError);
}

}  // namespace ds::io

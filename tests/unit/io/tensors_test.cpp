// SPDX-License-Identifier: Apache-2.0
// Files of tensors that other libraries wrote, and our own.
#include <doctest/doctest.h>

#include <fstream>
#include <map>

#include "ds/base/error.h"
#include "ds/io/file.h"
#include "ds/io/npy.h"
#include "ds/io/safetensors.h"
#include "ds/io/torch_file.h"
#include "tests/unit/io/testing.h"

namespace ds::io {
namespace {

std::map<std::string, Tensor> by_name(const NamedTensors& tensors) {
  return {tensors.begin(), tensors.end()};
}

/// What make_fixtures.py saves as safetensors and as a state dict.
void check_tensors(const std::map<std::string, Tensor>& t) {
  REQUIRE(t.size() == 7);
  CHECK(t.at("weight").type() == Type{DType::f32, {2, 3}});
  CHECK(t.at("weight").to_vector<float>() == std::vector<float>{0, .25f, .5f, .75f, 1, 1.25f});
  CHECK(t.at("half").dtype() == DType::f16);
  CHECK(t.at("half").to_vector<float>() == std::vector<float>{1.5f, -2});
  CHECK(t.at("brain").type() == Type{DType::bf16, {2, 1}});
  CHECK(t.at("brain").to_vector<float>() == std::vector<float>{0.25f, 3});
  CHECK(t.at("count").type() == Type{DType::i64, {}});
  CHECK(t.at("count").item_int() == 7);
  CHECK(t.at("flags").to_vector<bool>() == std::vector<bool>{true, false});
  CHECK(t.at("bytes").to_vector<int32_t>() == std::vector<int32_t>{1, 2, 255});
  CHECK(t.at("empty").type() == Type{DType::f32, {0, 4}});
}

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string safetensors_bytes(const std::string& header, size_t data) {
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header + std::string(data, '\0');
}

}  // namespace

TEST_CASE("safetensors: a file of the safetensors package") {
  const Safetensors file = load_safetensors(fixture("small.safetensors"));
  check_tensors(by_name(file.tensors));
  CHECK(file.metadata.at("note") == "made by safetensors");
}

TEST_CASE("safetensors: what is written is read back, and writing leaves nothing else") {
  const TemporaryFolder folder;
  const Safetensors file = load_safetensors(fixture("small.safetensors"));
  save_safetensors(file.tensors, folder / "copy", {{"key", "value \"quoted\""}});
  const Safetensors copy = load_safetensors(folder / "copy");
  check_tensors(by_name(copy.tensors));
  CHECK(copy.metadata.at("key") == "value \"quoted\"");
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    files += entry.exists();
  CHECK(files == 1);
}

TEST_CASE("safetensors: loaded tensors are independent of the file") {
  const TemporaryFolder folder;
  save_safetensors({{"x", Tensor::from_host("\1\2\3", {DType::u8, {3}})}}, folder / "x");
  const Tensor x = load_safetensors(folder / "x").tensors[0].second;
  save_safetensors({{"x", Tensor::from_host("\7\7\7", {DType::u8, {3}})}}, folder / "x");
  CHECK(x.to_vector<int32_t>() == std::vector<int32_t>{1, 2, 3});
}

TEST_CASE("safetensors: headers that lie are refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "bad";
  const auto refused = [&](const std::string& header, size_t data) {
    write(path, safetensors_bytes(header, data));
    CHECK_THROWS_AS(load_safetensors(path), FileFormatError);
  };
  const std::string ok = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  write(path, safetensors_bytes(ok, 8));
  CHECK_NOTHROW(load_safetensors(path));
  refused(ok, 7);                                                            // truncated
  refused(ok, 9);                                                            // bytes of nobody
  refused(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8);   // too few bytes
  refused(R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})", 8);   // unknown dtype
  refused(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8);  // negative
  refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8);   // backwards
  refused(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}})",
          0);
  refused(
      R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
      6);
  refused(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
      1);
  refused("[]", 0);
  refused("{", 0);
  refused(std::string(5000, '['), 0);
  write(path, std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8));
  CHECK_THROWS_AS(load_safetensors(path), FileFormatError);
  write(path, "");
  CHECK_THROWS_AS(load_safetensors(path), FileFormatError);
}

TEST_CASE("files that cannot be opened or written name their path") {
  CHECK_THROWS_WITH_AS(load_safetensors("/no/such/file"),
                       "cannot open /no/such/file: No such file or directory", IOError);
  CHECK_THROWS_AS(load_safetensors("/tmp"), IOError);
  CHECK_THROWS_AS(save_safetensors({}, "/no/such/folder/file"), IOError);
  CHECK_THROWS_AS(save_safetensors({}, "/proc/file"), IOError);
}

TEST_CASE("a file that is not finished leaves the old one and no trace") {
  const TemporaryFolder folder;
  save_safetensors({{"x", Tensor::from_host("\1", {DType::u8, {1}})}}, folder / "x");
  {
    AtomicFile file(folder / "x");
    file.write("half");
  }
  CHECK(load_safetensors(folder / "x").tensors[0].second.item() == 1);
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    files += entry.exists();
  CHECK(files == 1);
}

TEST_CASE("torch.save: the ZIP and the legacy format") {
  check_tensors(by_name(load_torch_state_dict(fixture("state.pt"))));
  check_tensors(by_name(load_torch_state_dict(fixture("state_legacy.pt"))));
}

TEST_CASE("torch.save: strided tensors, parameters and nested data") {
  const auto state = by_name(load_torch_state_dict(fixture("nested.pt")));
  CHECK(state.at("a").to_vector<double>() ==
        std::vector<double>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11});
  CHECK(state.at("a").shape() == Shape{4, 3});
  CHECK(state.at("b").to_vector<double>() == std::vector<double>{4, 6, 8, 10});
  CHECK(state.at("c").to_vector<double>() == std::vector<double>{1, 1});
  const Tree tree = load_torch(fixture("nested.pt"));
  const auto& items = std::get<TreeDict>(tree.value).items;
  REQUIRE(items.size() == 5);
  CHECK(std::get<int64_t>(items[1].second.value) == 3);
  CHECK(std::get<double>(items[2].second.value) == 0.125);
  const auto& names = std::get<TreeList>(items[3].second.value);
  CHECK(std::get<std::string>(names.items[0].value) == "x");
  CHECK(std::get<TreeList>(names.items[1].value).tuple);
  CHECK(std::get<TreeList>(items[4].second.value).items.size() == 2);
}

TEST_CASE("torch.save: a pickle that asks for code is refused by name") {
  CHECK_THROWS_WITH_AS(load_torch(fixture("module.pt")),
                       doctest::Contains("torch.nn.modules.linear.Linear"), FileFormatError);
  const TemporaryFolder folder;
  // os.system("true"), in the legacy place of a pickle.
  write(folder / "evil.pt", std::string("\x80\x02"
                                        "cos\nsystem\nX\x04\0\0\0trueq\0\x85R.",
                                        27));
  CHECK_THROWS_WITH_AS(load_torch(folder / "evil.pt"), doctest::Contains("os.system"),
                       FileFormatError);
}

TEST_CASE("npy and npz: NumPy's files and ours") {
  const std::vector<float> c = load_npy(fixture("array.npy")).to_vector<float>();
  CHECK(c.size() == 12);
  CHECK(load_npy(fixture("fortran.npy")).to_vector<float>() == c);
  const auto arrays = by_name(load_npz(fixture("arrays.npz")));
  CHECK(arrays.at("first").to_vector<float>() == c);
  CHECK(arrays.at("second").to_vector<int64_t>() == std::vector<int64_t>{0, 1, 2, 3, 4});
  CHECK(arrays.at("third").item() == 2.5);
  const TemporaryFolder folder;
  save_npy(load_npy(fixture("array.npy")), folder / "copy.npy");
  CHECK(load_npy(folder / "copy.npy").to_vector<float>() == c);
  CHECK(load_npy(folder / "copy.npy").shape() == Shape{3, 4});
}

}  // namespace ds::io

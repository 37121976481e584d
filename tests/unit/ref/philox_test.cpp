// SPDX-License-Identifier: Apache-2.0
// Philox against Random123's published vectors, and the numbers the random ops make of it.
#include "ds/base/philox.h"

#include "testing.h"

namespace ds::ref {
namespace {

Array state() { return i64s({2}, {42, 7}); }

TEST_CASE("philox4x32-10 gives the known answers of Random123 1.14") {
  CHECK(philox4x32({0, 0, 0, 0}, 0, 0) ==
        PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff) ==
        PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
        PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("uniform numbers come from the block of seed, call and position") {
  const Shape shape{6};
  const List out = run(Op::random_uniform_, {state()}, {shape, DType::f32, int64_t{3}});
  const PhiloxBlock second = philox4x32({1, 0, 10, 0}, 42, 0);
  CHECK(out[4] == static_cast<double>(second[0] >> 8) * 0x1p-24);
  CHECK(out[5] == static_cast<double>(second[1] >> 8) * 0x1p-24);
  const List wide = run(Op::random_uniform_, {state()}, {shape, DType::f64, int64_t{3}});
  const uint64_t bits = philox_join(second[2], second[3]);
  CHECK(wide[3] == static_cast<double>(bits >> 11) * 0x1p-53);
}

TEST_CASE("uniform numbers stay below 1 in every dtype") {
  for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16}) {
    const List out = run(Op::random_uniform_, {state()}, {Shape{1000, 9}, dtype, int64_t{0}});
    double sum = 0;
    for (double x : out) {
      REQUIRE(x >= 0);
      REQUIRE(x < 1);
      sum += x;
    }
    CHECK(sum / 9000 == doctest::Approx(0.5).epsilon(0.02));
  }
}

TEST_CASE("normal numbers have mean 0 and variance 1") {
  for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
    const List out = run(Op::random_normal_, {state()}, {Shape{20001}, dtype, int64_t{0}});
    double sum = 0, squares = 0;
    for (double x : out) {
      sum += x;
      squares += x * x;
    }
    CHECK(std::fabs(sum / 20001) < 0.03);
    CHECK(squares / 20001 == doctest::Approx(1).epsilon(0.03));
  }
}

TEST_CASE("random bits are not negative and calls differ") {
  const Array a = run_all(Op::random_bits_, {state()}, {Shape{64}, int64_t{0}})[0];
  const Array b = run_all(Op::random_bits_, {state()}, {Shape{64}, int64_t{1}})[0];
  for (int i = 0; i < 64; ++i) CHECK(a.data<int64_t>()[i] >= 0);
  CHECK(a.bytes != b.bytes);
}

TEST_CASE("dropout keeps where the uniform number is at least p") {
  const Array ones = array(DType::f32, {1000}, List(1000, 1.0));
  const List uniform = run(Op::random_uniform_, {state()}, {Shape{1000}, DType::f32, int64_t{5}});
  const List out = run(Op::dropout_, {ones, state()}, {0.25, int64_t{5}});
  for (size_t i = 0; i < 1000; ++i)
    CHECK(out[i] == (uniform[i] >= 0.25 ? static_cast<double>(static_cast<float>(1 / 0.75)) : 0));
  for (double x : run(Op::dropout_, {ones, state()}, {1.0, int64_t{5}})) CHECK(x == 0);
  CHECK(run(Op::dropout_, {ones, state()}, {0.0, int64_t{5}}) == ones.numbers());
}

}  // namespace
}  // namespace ds::ref

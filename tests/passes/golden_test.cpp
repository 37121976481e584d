// SPDX-License-Identifier: Apache-2.0
// What each pass makes of a graph, in the text form.
#include <doctest/doctest.h>

#include "ds/ir/graph.h"
#include "ds/passes/expand_norm.h"
#include "ds/passes/fuse.h"
#include "ds/passes/join_sums.h"
#include "ds/passes/recompute.h"
#include "ds/passes/simplify.h"

namespace ds {
namespace {

struct Golden {
  const char* what;
  const char* before;
  const char* after;
};

TargetInfo fusing_target() {
  TargetInfo target;
  target.fuses = true;
  target.fusable_compute[static_cast<size_t>(DType::f32)] = true;
  for (DType dtype : {DType::f32, DType::bf16})
    target.fusable_storage[static_cast<size_t>(dtype)] = true;
  return target;
}

constexpr Golden kSimplify[] = {
    {"multiplication by one",
     "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "%1 = constant {value=1.0, dtype=f32} : f32[]\n"
     "%2 = expand(%1) {shape=[2,3]} : f32[2,3]\n"
     "%3 = mul(%0, %2) : f32[2,3]\n"
     "%4 = div(%3, %1) : f32[2,3]\n"
     "return %4\n",
     "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "return %0\n"},
    {"one that broadcasts its partner stays",
     "%0 = input {index=0, dtype=f32, shape=[3]} : f32[3]\n"
     "%1 = constant {value=1.0, dtype=f32} : f32[]\n"
     "%2 = expand(%1) {shape=[2,3]} : f32[2,3]\n"
     "%3 = mul(%0, %2) : f32[2,3]\n"
     "return %3\n",
     "%0 = input {index=0, dtype=f32, shape=[3]} : f32[3]\n"
     "%1 = constant {value=1.0, dtype=f32} : f32[]\n"
     "%2 = expand(%1) {shape=[2,3]} : f32[2,3]\n"
     "%3 = mul(%0, %2) : f32[2,3]\n"
     "return %3\n"},
    {"a clamp with its masks",
     "%0 = input {index=0, dtype=f32, shape=[4]} : f32[4]\n"
     "%1 = constant {value=0.0, dtype=f32} : f32[]\n"
     "%2 = constant {value=6.0, dtype=f32} : f32[]\n"
     "%3 = ge(%0, %2) : bool[4]\n"
     "%4 = where(%3, %2, %0) : f32[4]\n"
     "%5 = le(%0, %1) : bool[4]\n"
     "%6 = where(%5, %1, %4) : f32[4]\n"
     "return %6\n",
     "%0 = input {index=0, dtype=f32, shape=[4]} : f32[4]\n"
     "%1 = constant {value=6.0, dtype=f32} : f32[]\n"
     "%2 = minimum(%0, %1) : f32[4]\n"
     "%3 = constant {value=0.0, dtype=f32} : f32[]\n"
     "%4 = maximum(%2, %3) : f32[4]\n"
     "return %4\n"},
    {"limits that cross stay as they are",
     "%0 = input {index=0, dtype=f32, shape=[4]} : f32[4]\n"
     "%1 = constant {value=3.0, dtype=f32} : f32[]\n"
     "%2 = constant {value=1.0, dtype=f32} : f32[]\n"
     "%3 = minimum(%0, %2) : f32[4]\n"
     "%4 = le(%0, %1) : bool[4]\n"
     "%5 = where(%4, %1, %3) : f32[4]\n"
     "return %5\n",
     "%0 = input {index=0, dtype=f32, shape=[4]} : f32[4]\n"
     "%1 = constant {value=3.0, dtype=f32} : f32[]\n"
     "%2 = le(%0, %1) : bool[4]\n"
     "%3 = constant {value=1.0, dtype=f32} : f32[]\n"
     "%4 = minimum(%0, %3) : f32[4]\n"
     "%5 = where(%2, %1, %4) : f32[4]\n"
     "return %5\n"},
    {"the transpose of a product",
     "%0 = input {index=0, dtype=f32, shape=[8,3]} : f32[8,3]\n"
     "%1 = input {index=1, dtype=f32, shape=[8,5]} : f32[8,5]\n"
     "%2 = permute(%0) {dims=[1,0]} : f32[3,8]\n"
     "%3 = matmul(%2, %1) : f32[3,5]\n"
     "%4 = permute(%3) {dims=[1,0]} : f32[5,3]\n"
     "return %4\n",
     "%0 = input {index=0, dtype=f32, shape=[8,3]} : f32[8,3]\n"
     "%1 = input {index=1, dtype=f32, shape=[8,5]} : f32[8,5]\n"
     "%2 = permute(%1) {dims=[1,0]} : f32[5,8]\n"
     "%3 = matmul(%2, %0) : f32[5,3]\n"
     "return %3\n"},
    {"the transpose of a converted product",
     "%0 = input {index=0, dtype=bf16, shape=[8,3]} : bf16[8,3]\n"
     "%1 = input {index=1, dtype=bf16, shape=[8,5]} : bf16[8,5]\n"
     "%2 = permute(%0) {dims=[1,0]} : bf16[3,8]\n"
     "%3 = matmul(%2, %1) : bf16[3,5]\n"
     "%4 = cast(%3) {dtype=f32} : f32[3,5]\n"
     "%5 = permute(%4) {dims=[1,0]} : f32[5,3]\n"
     "return %5\n",
     "%0 = input {index=0, dtype=bf16, shape=[8,3]} : bf16[8,3]\n"
     "%1 = input {index=1, dtype=bf16, shape=[8,5]} : bf16[8,5]\n"
     "%2 = permute(%1) {dims=[1,0]} : bf16[5,8]\n"
     "%3 = matmul(%2, %0) : bf16[5,3]\n"
     "%4 = cast(%3) {dtype=f32} : f32[5,3]\n"
     "return %4\n"},
    {"a product that others read is not computed twice",
     "%0 = input {index=0, dtype=f32, shape=[3,3]} : f32[3,3]\n"
     "%1 = matmul(%0, %0) : f32[3,3]\n"
     "%2 = permute(%1) {dims=[1,0]} : f32[3,3]\n"
     "%3 = add(%1, %2) : f32[3,3]\n"
     "return %3\n",
     "%0 = input {index=0, dtype=f32, shape=[3,3]} : f32[3,3]\n"
     "%1 = matmul(%0, %0) : f32[3,3]\n"
     "%2 = permute(%1) {dims=[1,0]} : f32[3,3]\n"
     "%3 = add(%1, %2) : f32[3,3]\n"
     "return %3\n"},
    {"two negations, two transpositions, two reshapes",
     "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "%1 = neg(%0) : f32[2,3]\n"
     "%2 = neg(%1) : f32[2,3]\n"
     "%3 = permute(%2) {dims=[1,0]} : f32[3,2]\n"
     "%4 = permute(%3) {dims=[1,0]} : f32[2,3]\n"
     "%5 = reshape(%4) {shape=[6]} : f32[6]\n"
     "%6 = reshape(%5) {shape=[3,2]} : f32[3,2]\n"
     "return %6\n",
     "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "%1 = reshape(%0) {shape=[3,2]} : f32[3,2]\n"
     "return %1\n"},
    {"an operation broadcasts by itself",
     "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "%1 = input {index=1, dtype=f32, shape=[3]} : f32[3]\n"
     "%2 = expand(%1) {shape=[2,3]} : f32[2,3]\n"
     "%3 = add(%0, %2) : f32[2,3]\n"
     "return %3\n",
     "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "%1 = input {index=1, dtype=f32, shape=[3]} : f32[3]\n"
     "%2 = add(%0, %1) : f32[2,3]\n"
     "return %2\n"},
    {"one element is computed, then expanded",
     "%0 = input {index=0, dtype=f32, shape=[]} : f32[]\n"
     "%1 = expand(%0) {shape=[4]} : f32[4]\n"
     "%2 = exp(%1) : f32[4]\n"
     "return %2\n",
     "%0 = input {index=0, dtype=f32, shape=[]} : f32[]\n"
     "%1 = exp(%0) : f32[]\n"
     "%2 = expand(%1) {shape=[4]} : f32[4]\n"
     "return %2\n"},
    {"sums over size 1",
     "%0 = input {index=0, dtype=f32, shape=[4,1]} : f32[4,1]\n"
     "%1 = sum(%0) {dims=[1], keepdim=false} : f32[4]\n"
     "return %1\n",
     "%0 = input {index=0, dtype=f32, shape=[4,1]} : f32[4,1]\n"
     "%1 = reshape(%0) {shape=[4]} : f32[4]\n"
     "return %1\n"},
    {"a constant is cast where both dtypes hold it, or not",
     "%0 = constant {value=0.1, dtype=f64} : f64[]\n"
     "%1 = cast(%0) {dtype=f32} : f32[]\n"
     "%2 = constant {value=0.5, dtype=f64} : f64[]\n"
     "%3 = cast(%2) {dtype=f32} : f32[]\n"
     "return %1, %3\n",
     "%0 = constant {value=0.1, dtype=f64} : f64[]\n"
     "%1 = cast(%0) {dtype=f32} : f32[]\n"
     "%2 = constant {value=0.5, dtype=f32} : f32[]\n"
     "return %1, %2\n"},
};

constexpr Golden kFuse[] = {
    {"dropout joins a chain, its state does not set the shape",
     "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "%1 = input {index=1, dtype=i64, shape=[2]} : i64[2]\n"
     "%2 = relu(%0) : f32[2,3]\n"
     "%3 = dropout(%2, %1) {p=0.25, call=3} : f32[2,3]\n"
     "return %3\n",
     "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "%1 = input {index=1, dtype=i64, shape=[2]} : i64[2]\n"
     "%2 = fused(%0, %1) : f32[2,3] {\n"
     "  %0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "  %1 = input {index=1, dtype=i64, shape=[2]} : i64[2]\n"
     "  %2 = relu(%0) : f32[2,3]\n"
     "  %3 = dropout(%2, %1) {p=0.25, call=3} : f32[2,3]\n"
     "  return %3\n"
     "}\n"
     "return %2\n"},
    {"a chain becomes one sweep; what is used outside leaves it",
     "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "%1 = input {index=1, dtype=f32, shape=[3]} : f32[3]\n"
     "%2 = add(%0, %1) : f32[2,3]\n"
     "%3 = relu(%2) : f32[2,3]\n"
     "%4 = exp(%3) : f32[2,3]\n"
     "return %3, %4\n",
     "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "%1 = input {index=1, dtype=f32, shape=[3]} : f32[3]\n"
     "%2 = fused(%0, %1) : f32[2,3], f32[2,3] {\n"
     "  %0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "  %1 = input {index=1, dtype=f32, shape=[3]} : f32[3]\n"
     "  %2 = add(%0, %1) : f32[2,3]\n"
     "  %3 = relu(%2) : f32[2,3]\n"
     "  %4 = exp(%3) : f32[2,3]\n"
     "  return %3, %4\n"
     "}\n"
     "return %2, %2.1\n"},
    {"a reduction divides two sweeps",
     "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "%1 = exp(%0) : f32[2,3]\n"
     "%2 = neg(%1) : f32[2,3]\n"
     "%3 = sum(%2) {dims=[0,1], keepdim=false} : f32[]\n"
     "%4 = mul(%2, %3) : f32[2,3]\n"
     "%5 = relu(%4) : f32[2,3]\n"
     "return %5\n",
     "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "%1 = fused(%0) : f32[2,3] {\n"
     "  %0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "  %1 = exp(%0) : f32[2,3]\n"
     "  %2 = neg(%1) : f32[2,3]\n"
     "  return %2\n"
     "}\n"
     "%2 = sum(%1) {dims=[0,1], keepdim=false} : f32[]\n"
     "%3 = fused(%1, %2) : f32[2,3] {\n"
     "  %0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
     "  %1 = input {index=1, dtype=f32, shape=[]} : f32[]\n"
     "  %2 = mul(%0, %1) : f32[2,3]\n"
     "  %3 = relu(%2) : f32[2,3]\n"
     "  return %3\n"
     "}\n"
     "return %3\n"},
    {"16-bit storage is cast inside the sweep",
     "%0 = input {index=0, dtype=bf16, shape=[4]} : bf16[4]\n"
     "%1 = cast(%0) {dtype=f32} : f32[4]\n"
     "%2 = exp(%1) : f32[4]\n"
     "return %2\n",
     "%0 = input {index=0, dtype=bf16, shape=[4]} : bf16[4]\n"
     "%1 = fused(%0) : f32[4] {\n"
     "  %0 = input {index=0, dtype=bf16, shape=[4]} : bf16[4]\n"
     "  %1 = cast(%0) {dtype=f32} : f32[4]\n"
     "  %2 = exp(%1) : f32[4]\n"
     "  return %2\n"
     "}\n"
     "return %1\n"},
    {"other dtypes are left alone",
     "%0 = input {index=0, dtype=i64, shape=[4]} : i64[4]\n"
     "%1 = neg(%0) : i64[4]\n"
     "%2 = abs(%1) : i64[4]\n"
     "return %2\n",
     "%0 = input {index=0, dtype=i64, shape=[4]} : i64[4]\n"
     "%1 = neg(%0) : i64[4]\n"
     "%2 = abs(%1) : i64[4]\n"
     "return %2\n"},
};

// The statistics stay; y and diff_src become elementwise.
constexpr Golden kExpandNorm = {
    "batch normalisation and its gradient",
    "%0 = input {index=0, dtype=bf16, shape=[4,2,3,3]} : bf16[4,2,3,3]\n"
    "%1 = input {index=1, dtype=f32, shape=[2]} : f32[2]\n"
    "%2 = input {index=2, dtype=f32, shape=[2]} : f32[2]\n"
    "%3 = batch_norm(%0, %1, %2) {eps=1e-05} : bf16[4,2,3,3], f32[2], f32[2]\n"
    "%4 = batch_norm_backward(%3, %0, %1, %3.1, %3.2) {eps=1e-05} : bf16[4,2,3,3], f32[2], "
    "f32[2]\n"
    "return %4, %4.1\n",
    "%0 = input {index=0, dtype=bf16, shape=[4,2,3,3]} : bf16[4,2,3,3]\n"
    "%1 = input {index=1, dtype=f32, shape=[2]} : f32[2]\n"
    "%2 = input {index=2, dtype=f32, shape=[2]} : f32[2]\n"
    "%3 = cast(%0) {dtype=f32} : f32[4,2,3,3]\n"
    "%4 = batch_norm(%0, %1, %2) {eps=1e-05} : bf16[4,2,3,3], f32[2], f32[2]\n"
    "%5 = reshape(%4.1) {shape=[1,2,1,1]} : f32[1,2,1,1]\n"
    "%6 = sub(%3, %5) : f32[4,2,3,3]\n"
    "%7 = constant {value=1e-05, dtype=f32} : f32[]\n"
    "%8 = add(%4.2, %7) : f32[2]\n"
    "%9 = rsqrt(%8) : f32[2]\n"
    "%10 = mul(%1, %9) : f32[2]\n"
    "%11 = reshape(%10) {shape=[1,2,1,1]} : f32[1,2,1,1]\n"
    "%12 = mul(%6, %11) : f32[4,2,3,3]\n"
    "%13 = reshape(%2) {shape=[1,2,1,1]} : f32[1,2,1,1]\n"
    "%14 = add(%12, %13) : f32[4,2,3,3]\n"
    "%15 = cast(%14) {dtype=bf16} : bf16[4,2,3,3]\n"
    "%16 = cast(%15) {dtype=f32} : f32[4,2,3,3]\n"
    "%17 = batch_norm_backward(%15, %0, %1, %4.1, %4.2) {eps=1e-05} : bf16[4,2,3,3], f32[2], "
    "f32[2]\n"
    "%18 = mul(%9, %17.1) : f32[2]\n"
    "%19 = constant {value=-0.027777777777777776, dtype=f32} : f32[]\n"
    "%20 = mul(%18, %19) : f32[2]\n"
    "%21 = reshape(%20) {shape=[1,2,1,1]} : f32[1,2,1,1]\n"
    "%22 = mul(%3, %21) : f32[4,2,3,3]\n"
    "%23 = mul(%17.2, %19) : f32[2]\n"
    "%24 = mul(%4.1, %20) : f32[2]\n"
    "%25 = sub(%23, %24) : f32[2]\n"
    "%26 = reshape(%25) {shape=[1,2,1,1]} : f32[1,2,1,1]\n"
    "%27 = add(%22, %26) : f32[4,2,3,3]\n"
    "%28 = add(%16, %27) : f32[4,2,3,3]\n"
    "%29 = mul(%28, %11) : f32[4,2,3,3]\n"
    "%30 = cast(%29) {dtype=bf16} : bf16[4,2,3,3]\n"
    "return %30, %17.1\n"};

// x - mean and the cast of x are not stored from one sweep to the next; exp(x) is.
constexpr Golden kRecompute = {"cheap operations before and behind a reduction",
                               "%0 = input {index=0, dtype=bf16, shape=[4,8]} : bf16[4,8]\n"
                               "%1 = input {index=1, dtype=f32, shape=[8]} : f32[8]\n"
                               "%2 = cast(%0) {dtype=f32} : f32[4,8]\n"
                               "%3 = sub(%2, %1) : f32[4,8]\n"
                               "%4 = exp(%3) : f32[4,8]\n"
                               "%5 = sum(%4) {dims=[0,1], keepdim=false} : f32[]\n"
                               "%6 = mul(%3, %5) : f32[4,8]\n"
                               "%7 = mul(%6, %4) : f32[4,8]\n"
                               "return %7\n",
                               "%0 = input {index=0, dtype=bf16, shape=[4,8]} : bf16[4,8]\n"
                               "%1 = input {index=1, dtype=f32, shape=[8]} : f32[8]\n"
                               "%2 = fused(%0, %1) : f32[4,8] {\n"
                               "  %0 = input {index=0, dtype=bf16, shape=[4,8]} : bf16[4,8]\n"
                               "  %1 = input {index=1, dtype=f32, shape=[8]} : f32[8]\n"
                               "  %2 = cast(%0) {dtype=f32} : f32[4,8]\n"
                               "  %3 = sub(%2, %1) : f32[4,8]\n"
                               "  %4 = exp(%3) : f32[4,8]\n"
                               "  return %4\n"
                               "}\n"
                               "%3 = sum(%2) {dims=[0,1], keepdim=false} : f32[]\n"
                               "%4 = fused(%0, %1, %3, %2) : f32[4,8] {\n"
                               "  %0 = input {index=0, dtype=bf16, shape=[4,8]} : bf16[4,8]\n"
                               "  %1 = input {index=1, dtype=f32, shape=[8]} : f32[8]\n"
                               "  %2 = input {index=2, dtype=f32, shape=[]} : f32[]\n"
                               "  %3 = input {index=3, dtype=f32, shape=[4,8]} : f32[4,8]\n"
                               "  %4 = cast(%0) {dtype=f32} : f32[4,8]\n"
                               "  %5 = sub(%4, %1) : f32[4,8]\n"
                               "  %6 = mul(%5, %2) : f32[4,8]\n"
                               "  %7 = mul(%6, %3) : f32[4,8]\n"
                               "  return %7\n"
                               "}\n"
                               "return %4\n"};

TEST_CASE("recompute_cheap") {
  Interner interner;
  const Graph fused = fuse_elementwise(parse_graph(kRecompute.before), fusing_target(), interner);
  const Graph after = recompute_cheap(fused, interner);
  verify_graph(after);
  CHECK(print_graph(after) == kRecompute.after);
}

constexpr Golden kJoinSums[] = {
    {"parts of a split, with another addend between them",
     "%0 = input {index=0, dtype=f32, shape=[2,1]} : f32[2,1]\n"
     "%1 = input {index=1, dtype=f32, shape=[2,2]} : f32[2,2]\n"
     "%2 = input {index=2, dtype=f32, shape=[2,4]} : f32[2,4]\n"
     "%3 = pad(%0) {low=[0,2], high=[0,1], value=0.0} : f32[2,4]\n"
     "%4 = pad(%1) {low=[0,0], high=[0,2], value=0.0} : f32[2,4]\n"
     "%5 = add(%3, %2) : f32[2,4]\n"
     "%6 = add(%5, %4) : f32[2,4]\n"
     "return %6\n",
     "%0 = input {index=0, dtype=f32, shape=[2,1]} : f32[2,1]\n"
     "%1 = input {index=1, dtype=f32, shape=[2,2]} : f32[2,2]\n"
     "%2 = input {index=2, dtype=f32, shape=[2,4]} : f32[2,4]\n"
     "%3 = constant {value=0.0, dtype=f32} : f32[]\n"
     "%4 = expand(%3) {shape=[2,1]} : f32[2,1]\n"
     "%5 = cat(%1, %0, %4) {dim=1} : f32[2,4]\n"
     "%6 = add(%5, %2) : f32[2,4]\n"
     "return %6\n"},
    {"thin products of transposes",
     "%0 = input {index=0, dtype=f32, shape=[2,8]} : f32[2,8]\n"
     "%1 = input {index=1, dtype=f32, shape=[2,9]} : f32[2,9]\n"
     "%2 = input {index=2, dtype=f32, shape=[1,8]} : f32[1,8]\n"
     "%3 = input {index=3, dtype=f32, shape=[1,9]} : f32[1,9]\n"
     "%4 = permute(%0) {dims=[1,0]} : f32[8,2]\n"
     "%5 = matmul(%4, %1) : f32[8,9]\n"
     "%6 = permute(%2) {dims=[1,0]} : f32[8,1]\n"
     "%7 = matmul(%6, %3) : f32[8,9]\n"
     "%8 = add(%5, %7) : f32[8,9]\n"
     "return %8\n",
     "%0 = input {index=0, dtype=f32, shape=[2,8]} : f32[2,8]\n"
     "%1 = input {index=1, dtype=f32, shape=[2,9]} : f32[2,9]\n"
     "%2 = input {index=2, dtype=f32, shape=[1,8]} : f32[1,8]\n"
     "%3 = input {index=3, dtype=f32, shape=[1,9]} : f32[1,9]\n"
     "%4 = cat(%0, %2) {dim=0} : f32[3,8]\n"
     "%5 = permute(%4) {dims=[1,0]} : f32[8,3]\n"
     "%6 = cat(%1, %3) {dim=0} : f32[3,9]\n"
     "%7 = matmul(%5, %6) : f32[8,9]\n"
     "return %7\n"},
    {"thin products of what a permute leaves as it is",
     "%0 = input {index=0, dtype=f32, shape=[9,2]} : f32[9,2]\n"
     "%1 = input {index=1, dtype=f32, shape=[2,8]} : f32[2,8]\n"
     "%2 = input {index=2, dtype=f32, shape=[9,1]} : f32[9,1]\n"
     "%3 = input {index=3, dtype=f32, shape=[1,8]} : f32[1,8]\n"
     "%4 = permute(%1) {dims=[0,1]} : f32[2,8]\n"
     "%5 = matmul(%0, %4) : f32[9,8]\n"
     "%6 = permute(%3) {dims=[0,1]} : f32[1,8]\n"
     "%7 = matmul(%2, %6) : f32[9,8]\n"
     "%8 = add(%5, %7) : f32[9,8]\n"
     "return %8\n",
     "%0 = input {index=0, dtype=f32, shape=[9,2]} : f32[9,2]\n"
     "%1 = input {index=1, dtype=f32, shape=[2,8]} : f32[2,8]\n"
     "%2 = input {index=2, dtype=f32, shape=[9,1]} : f32[9,1]\n"
     "%3 = input {index=3, dtype=f32, shape=[1,8]} : f32[1,8]\n"
     "%4 = cat(%0, %2) {dim=1} : f32[9,3]\n"
     "%5 = permute(%1) {dims=[0,1]} : f32[2,8]\n"
     "%6 = permute(%3) {dims=[0,1]} : f32[1,8]\n"
     "%7 = cat(%5, %6) {dim=0} : f32[3,8]\n"
     "%8 = matmul(%4, %7) : f32[9,8]\n"
     "return %8\n"},
    {"rows added to zeros, the gradient of an embedding",
     "%0 = input {index=0, dtype=f32, shape=[4,2]} : f32[4,2]\n"
     "%1 = input {index=1, dtype=i64, shape=[3]} : i64[3]\n"
     "%2 = input {index=2, dtype=f32, shape=[3,2]} : f32[3,2]\n"
     "%3 = constant {value=0.0, dtype=f32} : f32[]\n"
     "%4 = expand(%3) {shape=[4,2]} : f32[4,2]\n"
     "%5 = index_add(%4, %1, %2) {dim=0} : f32[4,2]\n"
     "%6 = add(%5, %0) : f32[4,2]\n"
     "return %6\n",
     "%0 = input {index=0, dtype=f32, shape=[4,2]} : f32[4,2]\n"
     "%1 = input {index=1, dtype=i64, shape=[3]} : i64[3]\n"
     "%2 = input {index=2, dtype=f32, shape=[3,2]} : f32[3,2]\n"
     "%3 = index_add(%0, %1, %2) {dim=0} : f32[4,2]\n"
     "return %3\n"},
    {"thick products stay",
     "%0 = input {index=0, dtype=f32, shape=[4,4]} : f32[4,4]\n"
     "%1 = input {index=1, dtype=f32, shape=[4,4]} : f32[4,4]\n"
     "%2 = matmul(%0, %1) : f32[4,4]\n"
     "%3 = matmul(%1, %0) : f32[4,4]\n"
     "%4 = add(%2, %3) : f32[4,4]\n"
     "return %4\n",
     nullptr},
    {"what overlaps, is padded otherwise or is read by others stays",
     "%0 = input {index=0, dtype=f32, shape=[3]} : f32[3]\n"
     "%1 = pad(%0) {low=[1], high=[0], value=0.0} : f32[4]\n"
     "%2 = pad(%0) {low=[0], high=[1], value=0.0} : f32[4]\n"
     "%3 = add(%1, %2) : f32[4]\n"
     "%4 = pad(%0) {low=[0], high=[1], value=1.0} : f32[4]\n"
     "%5 = add(%3, %4) : f32[4]\n"
     "return %5, %3\n",
     nullptr},
};

TEST_CASE("join_sums") {
  for (const Golden& golden : kJoinSums) {
    CAPTURE(golden.what);
    Interner interner;
    const Graph after = join_sums(parse_graph(golden.before), interner);
    verify_graph(after);
    CHECK(print_graph(after) == std::string(golden.after ? golden.after : golden.before));
  }
}

TEST_CASE("expand_norm") {
  Interner interner;
  const Graph after = expand_norm(parse_graph(kExpandNorm.before), fusing_target(), interner);
  verify_graph(after);
  CHECK(print_graph(after) == kExpandNorm.after);
}

TEST_CASE("simplify") {
  for (const Golden& golden : kSimplify) {
    CAPTURE(golden.what);
    Interner interner;
    const Graph after = simplify(simplify(parse_graph(golden.before), interner), interner);
    verify_graph(after);
    CHECK(print_graph(after) == golden.after);
  }
}

TEST_CASE("fuse_elementwise") {
  for (const Golden& golden : kFuse) {
    CAPTURE(golden.what);
    Interner interner;
    const Graph after = fuse_elementwise(parse_graph(golden.before), fusing_target(), interner);
    verify_graph(after);
    CHECK(print_graph(after) == golden.after);
    CHECK(print_graph(fuse_elementwise(parse_graph(golden.before), TargetInfo{}, interner)) ==
          golden.before);
  }
}

}  // namespace
}  // namespace ds

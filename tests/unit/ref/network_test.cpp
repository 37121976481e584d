// SPDX-License-Identifier: Apache-2.0
// Pooling, normalisation, softmax and attention against values of PyTorch 2.13 in double.
#include "ds/base/error.h"
#include "testing.h"

namespace ds::ref {
namespace {

constexpr double kClose = 1e-11;  // the values below have 12 digits

const Shape kOnes{1, 1}, kTwos{2, 2}, kNone{0, 0};

TEST_CASE("max pooling") {
  const Array x = noise({1, 2, 5, 4}, 1);
  const auto out =
      run_all(Op::max_pool_, {x}, {Shape{3, 2}, kTwos, Shape{1, 0}, Shape{1, 0}, kOnes});
  CHECK(distance(out[0].numbers(),
                 {-0.260963320732, 0.549525856972, 0.673867225647, 0.961691856384, 0.721774101257,
                  0.961691856384, 0.414492726326, 0.165774106979, 0.966482996941, 0.861401796341,
                  0.988678574562, 0.750093817711}) < kClose);
  CHECK(out[1].numbers() == List{5, 6, 13, 15, 16, 15, 5, 6, 13, 10, 17, 18});
  const List dilated = run(Op::max_pool_, {x}, {kTwos, kOnes, kOnes, kOnes, kTwos});
  REQUIRE(dilated.size() == 40);
  CHECK(distance(List(dilated.begin(), dilated.begin() + 6),
                 {-0.260963320732, 0.549525856972, 0.112377047539, 0.549525856972, 0.278491973877,
                  0.00848400592804}) < kClose);
  // The gradient goes to the named positions, twice where windows share one.
  const List diff = run(Op::max_pool_backward_, {ramp({1, 2, 3, 2}, 1), out[1]}, {Shape{5, 4}});
  CHECK(diff[15] == 4 + 6);
  CHECK(diff[5] == 1);
  CHECK(diff[20 + 17] == 11);
  CHECK(diff[0] == 0);
}

TEST_CASE("max pooling lets NaN through and takes integers") {
  const double nan = std::nan("");
  const auto out = run_all(Op::max_pool_, {f32s({1, 1, 4}, {1, nan, 3, 4})},
                           {Shape{2}, Shape{2}, Shape{0}, Shape{0}, Shape{1}});
  CHECK(std::isnan(out[0].numbers()[0]));
  CHECK(out[1].numbers() == List{1, 3});
  CHECK(run(Op::max_pool_, {i64s({1, 1, 2}, {-5, -7})},
            {Shape{2}, Shape{1}, Shape{1}, Shape{1}, Shape{1}}) == List{-5, -5, -7});
}

TEST_CASE("average pooling with windows past the padding") {
  // ceil_mode: the last window of 4 columns with padding 1 needs one more on the right.
  const Array x = noise({1, 2, 5, 4}, 1);
  const auto pool = [&](bool include, int64_t divisor) {
    const List out = run(Op::avg_pool_, {x}, {kTwos, kTwos, kOnes, Shape{1, 2}, include, divisor});
    REQUIRE(out.size() == 18);
    return List(out.begin(), out.begin() + 6);
  };
  CHECK(distance(pool(true, 0), {-0.131772249937, -0.0632436871529, 0.102441608906, -0.466481596231,
                                 0.016989171505, -0.010716855526}) < kClose);
  CHECK(distance(pool(false, 0), {-0.527088999748, -0.126487374306, 0.409766435623, -0.932963192463,
                                  0.016989171505, -0.0214337110519}) < kClose);
  CHECK(distance(pool(false, 3), {-0.175696333249, -0.0843249162038, 0.136588811874,
                                  -0.621975461642, 0.0226522286733, -0.0142891407013}) < kClose);
}

TEST_CASE("the gradient of average pooling is its transpose") {
  const Array x = noise({1, 2, 5, 4}, 1), diff = noise({1, 2, 3, 3}, 2);
  const auto check = [&](const List& out, const List& back) {
    double forward = 0, backward = 0;
    for (size_t i = 0; i < out.size(); ++i) forward += out[i] * diff.numbers()[i];
    for (size_t i = 0; i < back.size(); ++i) backward += back[i] * x.numbers()[i];
    CHECK(forward == doctest::Approx(backward).epsilon(1e-12));
  };
  const Shape spatial{5, 4};
  for (const bool include : {true, false})
    check(run(Op::avg_pool_, {x}, {kTwos, kTwos, kOnes, Shape{1, 2}, include, int64_t{0}}),
          run(Op::avg_pool_backward_, {diff},
              {spatial, kTwos, kTwos, kOnes, Shape{1, 2}, include, int64_t{0}}));
  check(run(Op::adaptive_avg_pool_, {x}, {Shape{3, 3}}),
        run(Op::adaptive_avg_pool_backward_, {diff}, {spatial}));
}

TEST_CASE("adaptive pooling") {
  const Array x = noise({1, 2, 5, 4}, 1);
  const List mean = run(Op::adaptive_avg_pool_, {x}, {Shape{3, 3}});
  CHECK(distance(List(mean.begin(), mean.begin() + 3),
                 {-0.487105965614, 0.00889694690704, 0.270038336515}) < kClose);
  CHECK(distance(run(Op::adaptive_max_pool_, {x}, {Shape{2, 3}}),
                 {0.278491973877, 0.549525856972, 0.549525856972, 0.721774101257, 0.673867225647,
                  0.961691856384, 0.501809358597, 0.861401796341, 0.861401796341, 0.988678574562,
                  0.988678574562, 0.861401796341}) < kClose);
}

TEST_CASE("batch norm") {
  const Array x = noise({2, 3, 2}, 2), gamma = noise({3}, 3), beta = noise({3}, 4);
  const Array diff = noise({2, 3, 2}, 5);
  const auto out = run_all(Op::batch_norm_, {x, gamma, beta}, {1e-3});
  CHECK(distance(out[0].numbers(),
                 {-0.0717095574507, -1.01739466026, 0.12024555419, 0.37756120072, 0.878873290984,
                  -0.616885944626, 0.0598587214647, -1.06980931714, 0.276723656335, 0.356524943828,
                  0.846869648733, -0.641922314152}) < kClose);
  const auto back = run_all(Op::batch_norm_backward_, {diff, x, gamma, out[1], out[2]}, {1e-3});
  CHECK(distance(back[0].numbers(),
                 {0.640087398742, -1.15830031409, 0.0720411250759, 0.0494593877736, 0.797882399833,
                  0.255157695205, -0.506824635145, 1.02503755049, -0.203495991245, 0.0819954783957,
                  -0.818360779994, -0.234679315044}) < kClose);
  CHECK(distance(back[1].numbers(), {0.310120947608, 2.07474464647, 0.553267534716}) < kClose);
  CHECK(distance(back[2].numbers(), {-0.620394229889, 0.0328351259232, -1.39249897003}) < kClose);
}

TEST_CASE("layer norm and RMS norm") {
  const Array x = noise({2, 2, 2}, 2), gamma = noise({2, 2}, 3), beta = noise({2, 2}, 4);
  const Array diff = noise({2, 2, 2}, 5);
  const auto out = run_all(Op::layer_norm_, {x, gamma, beta}, {int64_t{2}, 1e-3});
  CHECK(distance(out[0].numbers(),
                 {-0.117291041903, 0.307280128223, -0.625859640116, 1.48375186719, -1.27999079366,
                  0.170652168522, -0.429225698561, 0.854785314631}) < kClose);
  const auto back =
      run_all(Op::layer_norm_backward_, {diff, x, gamma, out[1], out[2]}, {int64_t{2}});
  CHECK(distance(back[0].numbers(),
                 {0.783384767601, -0.189682669517, -0.622490550069, 0.0287884519848, 0.138312308569,
                  -0.00404813064157, 0.135886921314, -0.270151099241}) < kClose);
  CHECK(distance(back[1].numbers(),
                 {1.02825199447, 0.42118609644, 0.512192864367, 0.854856643121}) < kClose);
  CHECK(distance(back[2].numbers(),
                 {-0.0911713838577, 0.184895038605, -0.51602768898, 0.147498250008}) < kClose);

  const auto rms = run_all(Op::rms_norm_, {x, gamma}, {int64_t{2}, 1e-3});
  CHECK(distance(rms[0].numbers(),
                 {0.580391461666, -0.0170251233447, -0.975519769604, 0.566291292012,
                  -0.429582982181, -0.146134518494, -0.828152880793, -0.0581159249408}) < kClose);
  const auto rms_back = run_all(Op::rms_norm_backward_, {diff, x, gamma, rms[1]}, {int64_t{2}});
  CHECK(distance(rms_back[0].numbers(),
                 {0.919049928419, 0.15061825118, -0.402449809966, 0.512599915486, -0.385724657291,
                  -0.128570997604, -0.0609104061972, -0.592090744653}) < kClose);
  CHECK(distance(rms_back[1].numbers(),
                 {0.932470490265, 0.324689380024, 0.673173794505, 0.774777272685}) < kClose);
}

/// f64 elements times a factor.
Array scaled(const Array& x, double factor) {
  List values = x.numbers();
  for (double& v : values) v *= factor;
  return f64s(x.type.shape, values);
}

TEST_CASE("softmax and its logarithm") {
  const Array x = scaled(noise({2, 3}, 8), 3), diff = noise({2, 3}, 9);
  const Array y = run_all(Op::softmax_, {x}, {int64_t{0}})[0];
  CHECK(distance(y.numbers(), {0.0127552300874, 0.0137935821231, 0.137315599059, 0.987244769913,
                               0.986206417877, 0.862684400941}) < kClose);
  CHECK(distance(run(Op::softmax_backward_, {diff, y}, {int64_t{0}}),
                 {0.00600768958891, -0.00781845023502, 0.149426166034, -0.00600768958891,
                  0.00781845023502, -0.149426166034}) < kClose);
  const Array z = run_all(Op::log_softmax_, {x}, {int64_t{1}})[0];
  CHECK(distance(z.numbers(), {-0.978583874303, -2.38841194113, -0.630394520361, -0.293075016426,
                               -1.78221743433, -2.45609526961}) < kClose);
  CHECK(distance(run(Op::log_softmax_backward_, {diff, z}, {int64_t{1}}),
                 {-0.382852277392, -0.776492085887, 1.15934436328, 0.144112805948, 0.0221627872805,
                  -0.166275593228}) < kClose);
  CHECK(run(Op::softmax_, {f32s({2}, {1e30, 1e30})}, {int64_t{0}}) == List{0.5, 0.5});
}

TEST_CASE("cross entropy with an ignored row and label smoothing") {
  const Array x = scaled(noise({3, 4}, 6), 5), diff = noise({3}, 7);
  const Array labels = i64s({3}, {1, -100, 3});
  const Attrs attrs = {int64_t{-100}, 0.1};
  const auto out = run_all(Op::softmax_cross_entropy_, {x, labels}, attrs);
  CHECK(distance(out[0].numbers(), {1.8640209768, 0, 1.33385995533}) < kClose);
  const List back = run(Op::softmax_cross_entropy_backward_, {diff, x, labels, out[1]}, attrs);
  CHECK(distance(back, {0.012800790069, 0.393459312098, -0.243529587743, -0.162730514425, 0, 0, 0,
                        0, -0.00175986431194, 0.14519500919, -0.00305949174158, -0.140375653137}) <
        kClose);
  CHECK_THROWS_WITH_AS(run(Op::softmax_cross_entropy_, {x, i64s({3}, {0, 4, 0})}, attrs),
                       "softmax_cross_entropy: label 4 is out of range for 4 classes", IndexError);
}

struct AttentionValues {
  List out, diff_q, diff_k, diff_v;
};

void check_attention(bool causal, const std::vector<Array>& mask, const AttentionValues& expected) {
  const Array q = noise({1, 2, 3, 2}, 10), k = noise({1, 1, 3, 2}, 11), v = noise({1, 1, 3, 2}, 12);
  const Array diff = noise({1, 2, 3, 2}, 13);
  const Attrs attrs = {causal, 0.7, 0.0, int64_t{0}};
  std::vector<Array> inputs = {q, k, v};
  inputs.insert(inputs.end(), mask.begin(), mask.end());
  const auto out = run_all(Op::attention_, inputs, attrs);
  CHECK(distance(out[0].numbers(), expected.out) < kClose);
  std::vector<Array> backward = {diff, q, k, v, out[0], out[1]};
  backward.insert(backward.end(), mask.begin(), mask.end());
  const auto grads = run_all(Op::attention_backward_, backward, attrs);
  CHECK(distance(grads[0].numbers(), expected.diff_q) < kClose);
  CHECK(distance(grads[1].numbers(), expected.diff_k) < kClose);
  CHECK(distance(grads[2].numbers(), expected.diff_v) < kClose);
}

TEST_CASE("causal attention with shared keys") {
  check_attention(true, {},
                  {{-0.518562912941, -0.265975832939, -0.754934493678, -0.560391555524,
                    -0.671790591822, -0.444243911375, -0.518562912941, -0.265975832939,
                    -0.745996848547, -0.549259154407, -0.557947567089, -0.281331360465},
                   {0, 0, 0.00671646710934, -0.0121787548157, -0.0240184901726, -0.100982807147, 0,
                    0, 0.0186087162035, -0.0337425894281, 0.0415611202713, 0.092385060786},
                   {0.0241157236587, 0.132396994541, -0.0502257963218, -0.182938125533,
                    0.0261100726631, 0.0505411309923},
                   {-0.015329430497, -0.467020089931, -0.455002434002, -0.650565152069,
                    0.0171861220828, 0.0528251530793}});
}

TEST_CASE("attention with a bool mask; a row without keys gives 0") {
  check_attention(false, {bools({3, 3}, {1, 1, 0, 0, 0, 0, 1, 0, 1})},
                  {{-0.733101676819, -0.533197404131, 0, 0, -0.455317486607, -0.16397569592,
                    -0.710772906453, -0.505385511342, 0, 0, -0.383519455188, -0.0481821995872},
                   {0.00988666813543, -0.0179271788584, 0, 0, -0.0460900552789, -0.0553535322746,
                    -0.0161456223589, 0.0292763402032, 0, 0, 0.0393960737572, 0.0473141511117},
                   {0.0155547705595, 0.0258346796119, -0.0455798004044, -0.0718714496049,
                    0.0300250298449, 0.0460367699929},
                   {-0.269598671403, -0.0862067338312, 0.148593535355, 0.00265545072477,
                    -0.0157727417596, 0.0633760645243}});
}

TEST_CASE("attention with an additive mask") {
  check_attention(false, {noise({3, 3}, 14)},
                  {{-0.701869666483, -0.477335826628, -0.789732520463, -0.594341052298,
                    -0.661483485162, -0.426163775847, -0.498541919607, -0.188105087494,
                    -0.775540151713, -0.575168001212, -0.52217098791, -0.22673781466},
                   {-0.0199766458287, -0.0613567739834, -0.0109445673042, -0.0356869590918,
                    -0.0406693111547, -0.125798826004, 0.0715778596147, 0.148862100037,
                    -0.0268195319888, -0.0926460912542, 0.0494530763811, 0.103232940149},
                   {0.0392554631033, 0.0890620375309, -0.111682547518, -0.288508828731,
                    0.0724270844147, 0.1994467912},
                   {-0.259892524391, -0.236738615721, -0.535365017796, -0.829569430527,
                    0.34211179977, 0.0015479573279}});
}

}  // namespace
}  // namespace ds::ref

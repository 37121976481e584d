// SPDX-License-Identifier: Apache-2.0
// Text generation, in the submodule _hub.
#include "casters.h"
#include "ds/base/error.h"
#include "ds/hub/generate.h"
#include "hub.h"

namespace {

namespace hub = ds::hub;

void check_signals() {
  const nb::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

hub::EarlyStopping early_stopping_of(nb::handle value) {
  if (nb::isinstance<nb::bool_>(value))
    return nb::cast<bool>(value) ? hub::EarlyStopping::yes : hub::EarlyStopping::no;
  DS_CHECK(nb::isinstance<nb::str>(value) && nb::cast<std::string>(value) == "never", ValueError,
           "generate: early_stopping is ", nb::repr(value).c_str(),
           "; it must be False, True or 'never'");
  return hub::EarlyStopping::never;
}

hub::GenerationOptions options_of(const nb::dict& given) {
  hub::GenerationOptions o;
  const auto take = [&](const char* name, auto& field) {
    if (!given.contains(name)) return;
    try {
      field = nb::cast<std::decay_t<decltype(field)>>(given[name]);
    } catch (const nb::cast_error&) {
      throw ds::ValueError(ds::str("generate: ", name, " is ", nb::repr(given[name]).c_str(),
                                   ", which is no number of its kind"));
    }
  };
  take("max_new_tokens", o.max_new_tokens);
  take("min_new_tokens", o.min_new_tokens);
  take("eos_token_ids", o.eos_token_ids);
  take("pad_token_id", o.pad_token_id);
  take("do_sample", o.do_sample);
  take("temperature", o.temperature);
  take("top_k", o.top_k);
  take("top_p", o.top_p);
  take("repetition_penalty", o.repetition_penalty);
  take("no_repeat_ngram_size", o.no_repeat_ngram_size);
  take("seed", o.seed);
  take("num_beams", o.num_beams);
  take("num_return_sequences", o.num_return_sequences);
  take("length_penalty", o.length_penalty);
  if (given.contains("early_stopping"))
    o.early_stopping = early_stopping_of(given["early_stopping"]);
  o.poll = check_signals;
  return o;
}

/// A model's decoder of `encoder_inputs` (ids and mask), or the model itself without them; owned by
/// `holder` in the first case.
hub::GenerativeModel& decoder_of(nb::handle model, const nb::object& encoder_inputs,
                                 std::unique_ptr<hub::GenerativeModel>& holder) {
  ds::nn::Module& module = module_of(model);
  auto* reader = dynamic_cast<hub::EncoderDecoder*>(&module);
  if (reader) {
    const auto [ids, mask] =
        nb::cast<std::pair<ds::Tensor, std::optional<ds::Tensor>>>(encoder_inputs);
    holder = reader->encode(ids, mask);
    return *holder;
  }
  auto* generative = dynamic_cast<hub::GenerativeModel*>(&module);
  DS_CHECK(generative, ValueError, "generate: the model does not predict next tokens");
  return *generative;
}

/// stop(rows) gives a list of bools, on_tokens(tokens) nothing; either may be None.
ds::Tensor generate(nb::handle model, const ds::Tensor& input_ids,
                    const std::optional<ds::Tensor>& attention_mask, const nb::dict& given,
                    nb::object stop, nb::object on_tokens, nb::object encoder_inputs) {
  std::unique_ptr<hub::GenerativeModel> holder;
  hub::GenerativeModel& generative = decoder_of(model, encoder_inputs, holder);
  hub::GenerationOptions options = options_of(given);
  if (!stop.is_none())
    options.stop = [&](const hub::TokenRows& rows) {
      const nb::gil_scoped_acquire gil;
      return nb::cast<std::vector<bool>>(stop(nb::cast(rows)));
    };
  if (!on_tokens.is_none())
    options.on_tokens = [&](const std::vector<int64_t>& tokens) {
      const nb::gil_scoped_acquire gil;
      on_tokens(nb::cast(tokens));
    };
  const Unlocked unlocked;
  return hub::generate(generative, input_ids, attention_mask, options);
}

}  // namespace

void bind_generation(nb::module_& m) {
  m.def("generate", &generate, "model"_a, "input_ids"_a, "attention_mask"_a.none(), "options"_a,
        "stop"_a.none(), "on_tokens"_a.none(), "encoder_inputs"_a = nb::none());
}

// SPDX-License-Identifier: Apache-2.0
// Text generation, in the submodule _hub.
#include "casters.h"
#include "ds/base/error.h"
#include "ds/hub/heads.h"
#include "ds/hub/seq2seq.h"
#include "ds/tensor/ops.h"
#include "hub_config.h"

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
  take("min_p", o.min_p);
  take("bad_words_ids", o.bad_words_ids);
  take("suppress_tokens", o.suppress_tokens);
  take("begin_suppress_tokens", o.begin_suppress_tokens);
  take("forced_bos_token_id", o.forced_bos_token_id);
  take("forced_eos_token_ids", o.forced_eos_token_ids);
  take("seed", o.seed);
  take("num_beams", o.num_beams);
  take("num_return_sequences", o.num_return_sequences);
  take("length_penalty", o.length_penalty);
  if (given.contains("early_stopping"))
    o.early_stopping = early_stopping_of(given["early_stopping"]);
  o.poll = check_signals;
  return o;
}

/// A model's decoder of `encoder_inputs` (ids or what the encoder returned, a mask, and whether it
/// is the latter), or the model itself without them; owned by `holder` in the first case.
hub::GenerativeModel& decoder_of(nb::handle model, const nb::object& encoder_inputs,
                                 std::unique_ptr<hub::GenerativeModel>& holder) {
  ds::nn::Module& module = module_of(model);
  auto* reader = dynamic_cast<hub::EncoderDecoder*>(&module);
  if (reader) {
    const auto [inputs, mask, encoded] =
        nb::cast<std::tuple<ds::Tensor, std::optional<ds::Tensor>, bool>>(encoder_inputs);
    holder = encoded ? reader->decode(inputs, mask) : reader->encode(inputs, mask);
    return *holder;
  }
  auto* generative = dynamic_cast<hub::GenerativeModel*>(&module);
  DS_CHECK(generative, ValueError, "generate: the model does not predict next tokens");
  return *generative;
}

/// Calls from C++ that are given as a dict; what is absent is not called. stop(rows) gives a list
/// of bools, on_tokens(tokens) and on_scores(logits, scores) nothing, process(rows, scores) scores.
void take_calls(const nb::dict& calls, hub::GenerationOptions& options) {
  const auto call = [&](const char* name) {
    return calls.contains(name) ? nb::object(calls[name]) : nb::none();
  };
  if (const nb::object stop = call("stop"); !stop.is_none())
    options.stop = [stop](const hub::TokenRows& rows) {
      const nb::gil_scoped_acquire gil;
      return nb::cast<std::vector<bool>>(stop(nb::cast(rows)));
    };
  if (const nb::object on_tokens = call("on_tokens"); !on_tokens.is_none())
    options.on_tokens = [on_tokens](const std::vector<int64_t>& tokens) {
      const nb::gil_scoped_acquire gil;
      on_tokens(nb::cast(tokens));
    };
  if (const nb::object on_scores = call("on_scores"); !on_scores.is_none())
    options.on_scores = [on_scores](const ds::Tensor& logits, const ds::Tensor& scores) {
      const nb::gil_scoped_acquire gil;
      on_scores(logits, scores);
    };
  if (const nb::object process = call("process"); !process.is_none())
    options.process = [process](const hub::TokenRows& rows, const ds::Tensor& scores) {
      const nb::gil_scoped_acquire gil;
      return nb::cast<ds::Tensor>(process(nb::cast(rows), scores));
    };
}

/// (sequences, sequences_scores, beam_indices), the latter two of beam search.
nb::tuple generate(nb::handle model, const ds::Tensor& input_ids,
                   const std::optional<ds::Tensor>& attention_mask, const nb::dict& given,
                   const nb::dict& calls, nb::object encoder_inputs, Cache* cache) {
  std::unique_ptr<hub::GenerativeModel> holder;
  hub::GenerativeModel& generative = decoder_of(model, encoder_inputs, holder);
  hub::GenerationOptions options = options_of(given);
  take_calls(calls, options);
  if (cache) options.cache = cache->held;
  hub::Generated made;
  {
    const Unlocked unlocked;
    made = hub::generate_all(generative, input_ids, attention_mask, options);
  }
  if (cache) cache->held = made.cache;
  const auto optional = [](const ds::Tensor& tensor) {
    return tensor.defined() ? nb::cast(tensor) : nb::none();
  };
  return nb::make_tuple(made.sequences, optional(made.sequences_scores),
                        optional(made.beam_indices));
}

nb::object seq2seq_forward_cached(nb::handle model, const std::optional<ds::Tensor>& ids,
                                  const std::optional<ds::Tensor>& mask,
                                  const std::optional<ds::Tensor>& encoded,
                                  const ds::Tensor& decoder_ids,
                                  const std::optional<ds::Tensor>& decoder_mask, Cache& cache,
                                  bool hidden) {
  hub::Seq2SeqInput input;
  input.input_ids = ids;
  input.attention_mask = mask;
  input.encoded = encoded;
  input.decoder_input_ids = decoder_ids;
  input.decoder_attention_mask = decoder_mask;
  input.output_hidden_states = hidden;
  ds::nn::Module& module = module_of(model);
  hub::KeyValueCache& held = begun(cache, decoder_ids, decoder_mask);
  if (auto* writer = dynamic_cast<hub::Seq2SeqWriter*>(&module))
    return seq2seq_output(writer->write_cached(input, held), true);
  return seq2seq_output(dynamic_cast<hub::Seq2SeqModel&>(module).forward_cached(input, held), true);
}

}  // namespace

hub::KeyValueCache& begun(Cache& cache, const ds::Tensor& tokens,
                          const std::optional<ds::Tensor>& mask) {
  if (!cache.held) {
    const hub::TokenRows real = hub::to_rows(mask ? *mask : ds::ones_like(tokens));
    cache.held = std::make_shared<hub::KeyValueCache>(real, tokens.device());
  }
  return *cache.held;
}

void bind_generation(nb::module_& m) {
  nb::class_<Cache>(m, "Cache", "Keys and values that a decoder remembers of earlier tokens.")
      .def(nb::init<>())
      .def(
          "get_seq_length",
          [](const Cache& self, int) { return self.held ? self.held->length() : 0; },
          "layer_idx"_a = 0, "Tokens of every row that are remembered.")
      .def(
          "reorder",
          [](Cache& self, const std::vector<int64_t>& rows) {
            if (self.held) self.held->select_rows(rows);
          },
          "rows"_a, "Row i becomes what row rows[i] was.");
  m.def("generate", &generate, "model"_a, "input_ids"_a, "attention_mask"_a.none(), "options"_a,
        "calls"_a, "encoder_inputs"_a = nb::none(), "cache"_a.none() = nb::none());
  m.def("seq2seq_forward_cached", &seq2seq_forward_cached, "model"_a, "input_ids"_a.none(),
        "attention_mask"_a.none(), "encoded"_a.none(), "decoder_input_ids"_a,
        "decoder_attention_mask"_a.none(), "cache"_a, "output_hidden_states"_a = false);
}

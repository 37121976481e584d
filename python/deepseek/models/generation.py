# SPDX-License-Identifier: Apache-2.0
"""generate(): how to call it and what a generation_config.json holds."""

import json
import os
from pathlib import Path

import numpy as np

from .. import _core
from .._whole_file import write_text
from ._config import PretrainedConfig
from ._files import find_optional, read_json
from ._output import ModelOutput

DynamicCache = _core._hub.Cache

#: The keys generate() understands, as transformers names them, and seed.
_KEYS = (
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "do_sample",
    "num_beams",
    "early_stopping",
    "length_penalty",
    "num_return_sequences",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "stop_strings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "use_cache",
    "return_dict_in_generate",
    "output_scores",
    "output_logits",
    "seed",
)
#: Those that become other options of the C++ library, which takes the rest as they are.
_TURNED = {
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "stop_strings",
    "bos_token_id",
    "eos_token_id",
    "decoder_start_token_id",
    "forced_eos_token_id",
    "use_cache",
    "return_dict_in_generate",
    "output_scores",
    "output_logits",
}
_NATIVE = tuple(key for key in _KEYS if key not in _TURNED)
_FILE = "generation_config.json"


class GenerationConfig:
    """The settings of generate() as attributes; None where nothing is set. Keys this library does
    not know are kept, so that what it saves is what it read."""

    def __init__(self, **values):
        self.__dict__.update(dict.fromkeys(_KEYS))
        self.__dict__.update(values)

    def to_dict(self) -> dict:
        """All keys that are set."""
        return {key: value for key, value in self.__dict__.items() if value is not None}

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Writes generation_config.json into the folder."""
        text = json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_text(Path(folder) / _FILE, text)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, **hub) -> "GenerationConfig":
        """The generation_config.json of a folder or a hub; IOError when there is none."""
        path = find_optional(name, _FILE, **hub)
        if path is None:
            raise _core.IOError(f"{name} has no {_FILE}")
        return cls(**read_json(path))

    @classmethod
    def from_model_config(cls, config: PretrainedConfig) -> "GenerationConfig":
        """What a model's own configuration says about generation."""
        values = config.to_dict()
        return cls(**{key: values[key] for key in _KEYS if key in values and key != "use_cache"})

    def __eq__(self, other):
        return type(self) is type(other) and self.to_dict() == other.to_dict()

    def __repr__(self):
        return f"GenerationConfig {json.dumps(self.to_dict(), indent=2, sort_keys=True)}"


class _StopStrings:
    """True for rows whose last token completes one of some strings."""

    def __init__(self, strings, tokenizer):
        if tokenizer is None:
            raise _core.ValueError(
                "generate: stop_strings are found in text, so pass tokenizer= with them"
            )
        self.strings = [strings] if isinstance(strings, str) else list(strings)
        self.tokenizer = tokenizer
        # A token is a byte of text or more, but for special ones.
        self.tail = max(len(string.encode()) for string in self.strings) + 1

    def __call__(self, rows, scores=None) -> list[bool]:
        tails = [row[-self.tail :] for row in rows.tolist()]
        pairs = [(self.tokenizer.decode(t), self.tokenizer.decode(t[:-1])) for t in tails]
        return [
            any(after.count(string) > before.count(string) for string in self.strings)
            for after, before in pairs
        ]


class _Allowed:
    """Forbids what a function of (item of the batch, sequence) does not return."""

    def __init__(self, function, batch: int):
        self.function, self.batch = function, batch

    def __call__(self, rows, scores):
        each = len(rows) // self.batch
        allowed = [list(self.function(i // each, row)) for i, row in enumerate(rows)]
        if not all(allowed):
            raise _core.ValueError(
                "generate: prefix_allowed_tokens_fn returned no token, so a sequence can not go on"
            )
        mask = np.full(scores.shape, -np.inf, np.float32)
        for row, tokens in zip(mask, allowed, strict=True):
            row[tokens] = 0
        return scores + _core.tensor(mask)


def _list(value) -> list:
    return [value] if isinstance(value, int) else list(value)


def _several(functions) -> list:
    if functions is None:
        return []
    return [functions] if callable(functions) else list(functions)


def _keep(found, wanted, kept) -> None:
    logits, scores = found
    if wanted[0]:
        kept[1].append(scores)
    if wanted[1]:
        kept[0].append(logits)


class GenerationMixin:
    """generate() of models that predict the next token."""

    generation_config: GenerationConfig
    #: Inputs beside the named ones.
    _tensors = ("input_ids",)

    def _split_inputs(self, inputs, attention_mask, options: dict, settings: dict) -> tuple:
        """(the decoder's ids and mask, what the encoder reads)."""
        return inputs, attention_mask, None

    def _read_more(self, name, **hub) -> None:
        try:
            self.generation_config = GenerationConfig.from_pretrained(name, **hub)
        except _core.IOError:
            self.generation_config = GenerationConfig.from_model_config(self.config)

    def _write_more(self, folder) -> None:
        self.generation_config.save_pretrained(folder)

    def generate(
        self,
        inputs=None,
        generation_config: GenerationConfig | None = None,
        logits_processor=None,
        stopping_criteria=None,
        prefix_allowed_tokens_fn=None,
        streamer=None,
        tokenizer=None,
        attention_mask=None,
        past_key_values=None,
        **options,
    ):
        """Sequences [batch * num_return_sequences, length] that continue `inputs` (or input_ids)
        [batch, tokens], padded at the end. Texts of a batch are padded in front, and
        attention_mask is 0 there.

        Options are those of transformers; each is taken from the arguments, else from
        generation_config, else from the model's own, else it has transformers' default:
        max_new_tokens (20) or max_length, min_new_tokens or min_length, do_sample, temperature,
        top_k (50), top_p, min_p, repetition_penalty, no_repeat_ngram_size, bad_words_ids,
        suppress_tokens, begin_suppress_tokens, forced_bos_token_id, forced_eos_token_id, num_beams,
        length_penalty, early_stopping, num_return_sequences, eos_token_id (one or several),
        pad_token_id, stop_strings (with tokenizer). With `seed` sampling does not depend on
        ds.manual_seed.

        logits_processor: a function of (sequences, scores), or several, that return other scores
        [rows, vocabulary]. prefix_allowed_tokens_fn: a function of (item of the batch, sequence)
        that returns the tokens that may come next.
        stopping_criteria: a function of (sequences, None), or several, that return True for the
        rows that end. streamer: its put(tokens) is called with the prompt and every next token,
        then end(). past_key_values: a DynamicCache with the beginning of the sequences, which is
        not computed again.

        With return_dict_in_generate the result is a ModelOutput: sequences, past_key_values, with
        output_scores a tuple of what each step's tokens were chosen by and with output_logits of
        what the model said, and of beam search sequences_scores and beam_indices."""
        settings = self._settings(generation_config, options)
        inputs = self._inputs(inputs, options, settings)
        inputs, attention_mask, encoder_inputs = self._split_inputs(
            inputs, attention_mask, options, settings
        )
        stops, beams = _several(stopping_criteria), settings.get("num_beams", 1)
        if settings.get("stop_strings"):
            stops = [_StopStrings(settings["stop_strings"], tokenizer), *stops]
        changes = _several(logits_processor)
        if prefix_allowed_tokens_fn is not None:
            changes = [_Allowed(prefix_allowed_tokens_fn, inputs.shape[0]), *changes]
        calls: dict = {}
        if stops:
            calls["stop"] = _stopper(stops)
        if changes:
            calls["process"] = _processor(changes)
        if streamer is not None:
            calls["on_tokens"] = lambda tokens: streamer.put(_core.tensor(tokens))
            if beams == 1:
                streamer.put(inputs)
        scores, logits = [], []
        if settings.get("return_dict_in_generate"):
            wanted = settings.get("output_scores"), settings.get("output_logits")
            if any(wanted):
                calls["on_scores"] = lambda *found: _keep(found, wanted, (logits, scores))
            past_key_values = DynamicCache() if past_key_values is None else past_key_values
        try:
            sequences, sequences_scores, beam_indices = _core._hub.generate(
                self,
                inputs,
                attention_mask,
                self._native_options(settings, inputs.shape[1]),
                calls,
                encoder_inputs,
                past_key_values,
            )
        finally:  # who iterates over the streamer must not wait for ever
            if streamer is not None:
                streamer.end()
        if not settings.get("return_dict_in_generate"):
            return sequences
        return ModelOutput(
            sequences=sequences,
            sequences_scores=sequences_scores,
            scores=tuple(scores) or None,
            logits=tuple(logits) or None,
            beam_indices=beam_indices,
            past_key_values=past_key_values,
        )

    def compute_transition_scores(
        self, sequences, scores, beam_indices=None, normalize_logits: bool = False
    ):
        """The scores by which the tokens of generate() were chosen, [sequences, new tokens], from
        its sequences, scores and of beam search beam_indices; normalize_logits: as logarithms of
        probabilities. 0 behind the end of a beam."""
        steps = _core.stack(list(scores)).float()  # [steps, rows, vocabulary]
        steps = (steps.log_softmax(-1) if normalize_logits else steps).numpy()
        tokens = sequences.numpy()
        if beam_indices is None:
            rows = np.broadcast_to(np.arange(len(tokens))[:, None], (len(tokens), len(steps)))
        else:
            rows = beam_indices.numpy()
            rows = rows[:, : int((rows >= 0).sum(-1).max())]
        tokens = tokens[:, tokens.shape[1] - rows.shape[1] :]
        found = steps[np.arange(rows.shape[1]), np.maximum(rows, 0), tokens]
        return _core.tensor(np.where(rows < 0, np.float32(0), found))

    def _settings(self, config: GenerationConfig | None, options: dict) -> dict:
        unknown = sorted(set(options) - set(_KEYS) - set(self._tensors))
        if unknown:
            raise _core.ValueError(
                f"generate: {', '.join(unknown)} unknown; the options are {', '.join(_KEYS)}"
            )
        return {
            **self.generation_config.to_dict(),
            **(config.to_dict() if config else {}),
            **{key: value for key, value in options.items() if value is not None},
        }

    def _inputs(self, inputs, options: dict, settings: dict):
        input_ids = options.get("input_ids")
        if inputs is not None and input_ids is not None:
            raise _core.ValueError("generate: give inputs or input_ids, not both")
        inputs = input_ids if inputs is None else inputs
        if inputs is None:
            if settings.get("bos_token_id") is None:
                raise _core.ValueError("generate: give inputs, or bos_token_id to begin with")
            inputs = _core.tensor([[settings["bos_token_id"]]])
        return inputs

    def _native_options(self, settings: dict, prompt: int) -> dict:
        native = {key: settings[key] for key in _NATIVE if key in settings}
        native["eos_token_ids"] = _list(settings.get("eos_token_id", []))
        if "forced_eos_token_id" in settings:
            native["forced_eos_token_ids"] = _list(settings["forced_eos_token_id"])
        limit = getattr(self.config, "max_position_embeddings", None)
        if "max_new_tokens" in settings:
            native["max_new_tokens"] = settings["max_new_tokens"]
        elif "max_length" in settings:
            native["max_new_tokens"] = settings["max_length"] - prompt
            if native["max_new_tokens"] < 1:
                raise _core.ValueError(
                    f"generate: the prompt has {prompt} tokens already and max_length is "
                    f"{settings['max_length']}; raise it, or use max_new_tokens"
                )
        elif limit is not None:
            native["max_new_tokens"] = max(1, min(20, limit - prompt))
        native["min_new_tokens"] = settings.get(
            "min_new_tokens", max(0, settings.get("min_length", 0) - prompt)
        )
        return native


class EncoderDecoderMixin(GenerationMixin):
    """generate() of models that answer what an encoder reads; the sequences begin with
    decoder_input_ids, by default decoder_start_token_id. encoder_outputs, what the encoder has
    returned before, may be given instead of its inputs."""

    _tensors = ("input_ids", "decoder_input_ids", "decoder_attention_mask", "encoder_outputs")

    def _inputs(self, inputs, options: dict, settings: dict):
        encoded = options.get("encoder_outputs")
        if encoded is None:
            return super()._inputs(inputs, options, settings)
        if inputs is not None or options.get("input_ids") is not None:
            raise _core.ValueError("generate: give input_ids or encoder_outputs, not both")
        if isinstance(encoded, _core.Tensor):
            return encoded
        return encoded[0] if isinstance(encoded, tuple) else encoded.last_hidden_state

    def _split_inputs(self, inputs, attention_mask, options: dict, settings: dict) -> tuple:
        start = settings.get("decoder_start_token_id", settings.get("bos_token_id"))
        ids, mask = options.get("decoder_input_ids"), options.get("decoder_attention_mask")
        if ids is None:
            if start is None:
                raise _core.ValueError(
                    "generate: the decoder needs a token to begin with; give "
                    "decoder_start_token_id or decoder_input_ids"
                )
            ids = _core.tensor([[start]] * inputs.shape[0])
        if mask is None:
            mask = _core.ones(*ids.shape, dtype=_core.int64)
        encoded = options.get("encoder_outputs") is not None
        return ids, mask, (inputs, attention_mask, encoded)


def _processor(processors: list):
    """One function of lists of tokens and scores from several of tensors."""

    def process(rows: list[list[int]], scores):
        ids = _core.tensor(rows)
        for processor in processors:
            scores = processor(ids, scores)
            if not isinstance(scores, _core.Tensor):
                raise _core.ValueError(
                    f"generate: a logits processor returned {type(scores).__name__}, not a tensor"
                )
        return scores

    return process


def _stopper(criteria: list):
    """One function of lists of tokens from several of tensors."""

    def stop(rows: list[list[int]]) -> list[bool]:
        ids = _core.tensor(rows)
        done = [False] * len(rows)
        for criterion in criteria:
            found = criterion(ids, None)
            found = found.tolist() if hasattr(found, "tolist") else found
            found = [found] * len(rows) if isinstance(found, bool) else found
            done = [a or bool(b) for a, b in zip(done, found, strict=True)]
        return done

    return stop

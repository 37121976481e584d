# SPDX-License-Identifier: Apache-2.0
"""Pipelines of texts: entities in them, classes that are named at the call, and texts that answer
them."""

import numpy as np

from . import _core, models
from ._pipeline import Pipeline

_STRATEGIES = ("none", "simple", "first", "average", "max")


class TokenClassificationPipeline(Pipeline):
    """The entities of texts, a list of dicts for each: entity, score, index, word, start and end of
    every token; with another aggregation_strategy than "none" entity_group, score, word, start and
    end of neighbours of one class. "simple" joins tokens, the others whole words first, whose class
    is that of the first token, of the mean of all, or of the surest.

    ignore_labels: classes that are left out. stride: a text that is longer than the model is read
    in parts that share so many tokens; without it the rest is not read. is_split_into_words: texts
    are lists of words."""

    task = "token-classification"
    _auto = models.AutoModelForTokenClassification
    _options = {
        "aggregation_strategy": "none",
        "ignore_labels": ("O",),
        "stride": None,
        "is_split_into_words": False,
        "delimiter": " ",
    }

    def __call__(self, inputs, batch_size=None, **options):
        given = {**self._options, **self._defaults, **options}
        if given["is_split_into_words"] and not all(isinstance(row, list) for row in inputs):
            inputs = [inputs]
        return super().__call__(inputs, batch_size, **options)

    def _run(self, items, options):
        strategy = options["aggregation_strategy"]
        if strategy not in _STRATEGIES:
            raise _core.ValueError(
                f"pipeline '{self.task}': aggregation_strategy {strategy!r} is unknown; use "
                f"{', '.join(_STRATEGIES)}"
            )
        stride = options["stride"]
        if stride is not None and strategy == "none":
            raise _core.ValueError(
                f"pipeline '{self.task}': parts that share {stride} tokens (stride) need an "
                "aggregation_strategy"
            )
        words = options["is_split_into_words"]
        rows = self.tokenizer(
            items,
            is_split_into_words=words,
            truncation=bool(self.tokenizer.model_max_length),
            padding=len(items) > 1 or stride is not None,
            stride=stride or 0,
            return_overflowing_tokens=stride is not None,
            return_special_tokens_mask=True,
        )
        sample = rows.get("overflow_to_sample_mapping", range(len(items)))
        scores = self._token_scores(rows)
        found: list[list[dict]] = [[] for _ in items]
        for row, encoding in enumerate(rows.encodings):
            item = items[sample[row]]
            text, starts = (item, None) if not words else _joined(item, options["delimiter"])
            tokens = self._tokens(encoding, scores[row], text, starts)
            found[sample[row]] += self._entities(tokens, strategy, options["ignore_labels"])
        if stride is None:
            return found
        parts = [list(sample).count(i) for i in range(len(items))]
        return [
            _without_overlaps(row) if count > 1 else row
            for row, count in zip(found, parts, strict=True)
        ]

    def _token_scores(self, rows) -> list:
        """Probabilities of the classes of every token of every row."""
        names = [name for name in self.tokenizer.model_input_names if name in rows]
        scores: list = []
        for i in range(0, len(rows["input_ids"]), self.batch_size):
            part = {n: _core.tensor(rows[n][i : i + self.batch_size]) for n in names}
            scores += list(self.model(**part).logits.float().softmax(-1).numpy())
        return scores

    def _tokens(self, encoding, scores, text: str, starts) -> list[dict]:
        """What is known of each token that is not special."""
        prefixed = getattr(self.tokenizer.backend_tokenizer.model, "continuing_subword_prefix", "")
        tokens = []
        for i, special in enumerate(encoding.special_tokens_mask):
            if special:
                continue
            word, (start, end) = encoding.tokens[i], encoding.offsets[i]
            if starts is not None:
                start, end = (place + starts[encoding.word_ids[i]] for place in (start, end))
            if encoding.ids[i] == self.tokenizer.unk_token_id:
                word, inside = text[start:end], False
            elif prefixed:
                inside = len(word) != end - start
            else:  # no space before it
                inside = start > 0 and " " not in text[start - 1 : start + 1]
            tokens.append(
                {
                    "scores": scores[i],
                    "index": i,
                    "word": word,
                    "start": start,
                    "end": end,
                    "inside": inside,
                }
            )
        return tokens

    def _entities(self, tokens: list[dict], strategy: str, ignored) -> list[dict]:
        if strategy in ("none", "simple"):
            found = [self._named(**token) for token in tokens]
        else:
            words: list[list[dict]] = []
            for token in tokens:
                if words and token["inside"]:
                    words[-1].append(token)
                else:
                    words.append([token])
            found = [self._word(word, strategy) for word in words]
        if strategy == "none":
            return [entity for entity in found if entity["entity"] not in ignored]
        groups = [self._group(group) for group in _neighbours(found)]
        return [group for group in groups if group["entity_group"] not in ignored]

    def _named(self, scores, index, word, start, end, **_) -> dict:
        """The likeliest class of a token."""
        best = int(scores.argmax())
        return {
            "entity": self._label(best),
            "score": float(scores[best]),
            "index": index,
            "word": word,
            "start": start,
            "end": end,
        }

    def _text(self, tokens: list[dict]) -> str:
        return self.tokenizer.convert_tokens_to_string([token["word"] for token in tokens])

    def _word(self, tokens: list[dict], strategy: str) -> dict:
        """The class of a word from those of its tokens."""
        rows = np.stack([token["scores"] for token in tokens])
        if strategy == "first":
            scores = rows[0]
        elif strategy == "average":
            scores = rows.mean(axis=0)
        else:
            scores = rows[rows.max(axis=-1).argmax()]
        best = int(scores.argmax())
        return {
            "entity": self._label(best),
            "score": float(scores[best]),
            "word": self._text(tokens),
            "start": tokens[0]["start"],
            "end": tokens[-1]["end"],
        }

    def _group(self, entities: list[dict]) -> dict:
        return {
            "entity_group": entities[0]["entity"].split("-", 1)[-1],
            "score": float(np.mean([entity["score"] for entity in entities])),
            "word": self._text(entities),
            "start": entities[0]["start"],
            "end": entities[-1]["end"],
        }


def _joined(words: list[str], delimiter: str) -> tuple[str, list[int]]:
    """Words as one text, and where each begins."""
    starts, place = [], 0
    for word in words:
        starts.append(place)
        place += len(word) + len(delimiter)
    return delimiter.join(words), starts


def _neighbours(entities: list[dict]) -> list[list[dict]]:
    """Neighbours of one class; B- begins a new group, I- and names without either go on."""
    groups: list[list[dict]] = []
    for entity in entities:
        name = entity["entity"]
        tag = name[2:] if name[:2] in ("B-", "I-") else name
        if groups and groups[-1][0] == tag and not name.startswith("B-"):
            groups[-1][1].append(entity)
        else:
            groups.append((tag, [entity]))
    return [group for _, group in groups]


def _without_overlaps(entities: list[dict]) -> list[dict]:
    """Of entities that overlap, as parts of a text share tokens, the longest, or the surest."""
    kept: list[dict] = []
    for entity in sorted(entities, key=lambda e: e["start"]):
        if not kept or entity["start"] >= kept[-1]["end"]:
            kept.append(entity)
            continue
        sizes = [(e["end"] - e["start"], e["score"]) for e in (entity, kept[-1])]
        if sizes[0] > sizes[1]:
            kept[-1] = entity
    return kept


class ZeroShotClassificationPipeline(Pipeline):
    """Which of candidate_labels fits a text, by a model of entailment: {"sequence", "labels",
    "scores"}, best first. multi_label: each label is judged alone, and several may fit."""

    task = "zero-shot-classification"
    _auto = models.AutoModelForSequenceClassification
    _options = {
        "candidate_labels": None,
        "hypothesis_template": "This example is {}.",
        "multi_label": False,
    }

    def __call__(self, inputs, candidate_labels=None, batch_size=None, **options):
        if candidate_labels is not None:
            options["candidate_labels"] = candidate_labels
        return super().__call__(inputs, batch_size, **options)

    def _entailment(self) -> int:
        names = {i: self._label(i) for i in range(self.model.config.num_labels)}
        for index, name in names.items():
            if name.lower().startswith("entail"):
                return index
        raise _core.ValueError(
            f"pipeline '{self.task}': none of the model's labels {', '.join(names.values())} "
            "begins with 'entail'; it takes a model of entailment, whose config.id2label says so"
        )

    def _run(self, items, options):
        labels, template = options["candidate_labels"], options["hypothesis_template"]
        if isinstance(labels, str):
            labels = [label.strip() for label in labels.split(",") if label.strip()]
        if not labels:
            raise _core.ValueError(f"pipeline '{self.task}': give candidate_labels")
        if template.format(labels[0]) == template:
            raise _core.ValueError(
                f"pipeline '{self.task}': hypothesis_template {template!r} has no {{}} for the "
                "label"
            )
        yes = self._entailment()
        pairs = [
            {"text": item, "text_pair": template.format(label)}
            for item in items
            for label in labels
        ]
        rows: list = []
        for i in range(0, len(pairs), self.batch_size):
            batch = self._pairs(pairs[i : i + self.batch_size])
            rows += list(self.model(**batch).logits.float().numpy())
        logits = np.stack(rows).reshape(len(items), len(labels), -1)
        if options["multi_label"] or len(labels) == 1:
            no = -1 if yes == 0 else 0
            chances = _softmax(logits[..., [no, yes]])[..., 1]
        else:
            chances = _softmax(logits[..., yes])
        return [
            {
                "sequence": item,
                "labels": [labels[i] for i in order],
                "scores": row[order].tolist(),
            }
            for item, row, order in zip(items, chances, chances.argsort(-1)[:, ::-1], strict=True)
        ]

    def _pairs(self, pairs: list[dict]):
        if not self.tokenizer.model_max_length:
            return self._encoded(pairs)
        try:
            return self._encoded(pairs, truncation="only_first")
        except _core.ValueError as error:  # the label alone is too long
            if "too short" not in str(error):
                raise
            return self._encoded(pairs)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


class Text2TextGenerationPipeline(Pipeline):
    """What a model such as T5 writes for a text: [{"generated_text"}], one for each of
    num_return_sequences; of several texts a list of dicts. What config.task_specific_params says of
    the task, as a prefix of texts, is done. Other options are those of generate()."""

    task = "text2text-generation"
    _auto = models.AutoModelForSeq2SeqLM
    _options = {"truncation": False, "clean_up_tokenization_spaces": False}
    _key = "generated_text"

    def _checked(self, options):
        return options  # generate() checks its own

    def _run(self, items, options):
        own = getattr(self.model.config, "task_specific_params", None) or {}
        own = dict(own.get(self.task) or {})
        prefix = own.pop("prefix", "")
        if not all(isinstance(item, str) for item in items):
            raise _core.ValueError(f"pipeline '{self.task}': give texts")
        batch = self._encoded([prefix + item for item in items], truncation=options["truncation"])
        settings = {**own, **{k: v for k, v in options.items() if k not in self._options}}
        rows = self.model.generate(
            batch["input_ids"], attention_mask=batch["attention_mask"], **settings
        )
        texts = self.tokenizer.batch_decode(
            rows,
            skip_special_tokens=True,
            clean_up_tokenization_spaces=options["clean_up_tokenization_spaces"],
        )
        each = len(texts) // len(items)
        made = [{self._key: text} for text in texts]
        return [made[i * each : (i + 1) * each] for i in range(len(items))]

    def _shaped(self, results, single, options):
        if single:
            return results[0]
        return [row[0] for row in results] if all(len(row) == 1 for row in results) else results


class SummarizationPipeline(Text2TextGenerationPipeline):
    """Texts in few words: [{"summary_text"}]; as text2text-generation otherwise."""

    task, _key = "summarization", "summary_text"


class TranslationPipeline(Text2TextGenerationPipeline):
    """Texts in another language: [{"translation_text"}]; as text2text-generation otherwise. The
    task translation_en_to_de names the languages for config.task_specific_params."""

    task, _key = "translation", "translation_text"

# SPDX-License-Identifier: Apache-2.0
"""pipeline(task, model): texts and images in, labels and texts out, in transformers' shapes."""

import os
import re

import numpy as np

from . import _core, _questions, models
from ._pipeline import Pipeline
from ._text_pipelines import (
    SummarizationPipeline,
    Text2TextGenerationPipeline,
    TokenClassificationPipeline,
    TranslationPipeline,
    ZeroShotClassificationPipeline,
)
from .models._files import find_optional
from .models.image_processing import ImagePreparation

#: Options that go to the tokenizer.
_ENCODED = {"truncation": False, "max_length": None, "padding": None}
#: Arguments of transformers' pipeline() that change nothing here.
_WITHOUT_EFFECT = ("framework", "use_fast", "trust_remote_code")
#: Arguments that are those of from_pretrained().
_OF_LOADING = ("revision", "token", "device_map", "config")


class TextClassificationPipeline(Pipeline):
    """Labels of texts: {"label", "score"} of the best one, or with top_k a list of them (None: of
    all)."""

    task = "text-classification"
    _auto = models.AutoModelForSequenceClassification
    _options = {"top_k": "", "function_to_apply": None, **_ENCODED}

    def _run(self, items, options):
        batch = self._encoded(items, **{name: options[name] for name in _ENCODED})
        rows = self._scores(self.model(**batch).logits, options["function_to_apply"])
        if options["top_k"] == "":
            return [self._ranked(row, 1)[0] for row in rows]
        return [self._ranked(row, options["top_k"]) for row in rows]

    def _shaped(self, results, single, options):
        # A single text gives a list too, as transformers has it.
        if single and options["top_k"] == "":
            return results
        return results[0] if single else results


class FillMaskPipeline(Pipeline):
    """The likeliest tokens for the mask token of a text: score, token, token_str, sequence; a list
    for each where there are several."""

    task = "fill-mask"
    _auto = models.AutoModelForMaskedLM
    _options = {"top_k": 5, "targets": None}

    def _targets(self, targets) -> list[int] | None:
        if targets is None:
            return None
        words = [targets] if isinstance(targets, str) else list(targets)
        vocabulary = self.tokenizer.get_vocab()
        for word in words:
            if word not in vocabulary:
                raise _core.ValueError(
                    f"pipeline 'fill-mask': the target {word!r} is no token of the vocabulary"
                )
        return sorted({vocabulary[word] for word in words})

    def _run(self, items, options):
        if self.tokenizer.mask_token is None:
            raise _core.ValueError("pipeline 'fill-mask': the tokenizer has no mask token")
        batch = self._encoded(items)
        ids = batch["input_ids"].numpy()
        logits = self.model(**batch).logits
        results = []
        for row, text in enumerate(items):
            places = np.nonzero(ids[row] == self.tokenizer.mask_token_id)[0]
            if not len(places):
                raise _core.ValueError(
                    f"pipeline 'fill-mask': {text!r} has no {self.tokenizer.mask_token}"
                )
            found = [
                self._filled(logits[row, int(place)], ids[row], int(place), options)
                for place in places
            ]
            several = len(places) > 1
            for proposal in (p for proposals in found for p in proposals):
                # Where there are several masks, the others stay visible.
                proposal["sequence"] = self.tokenizer.decode(
                    proposal["sequence"], skip_special_tokens=not several
                )
            results.append(found if several else found[0])
        return results

    def _filled(self, logits, ids, place: int, options: dict) -> list[dict]:
        """Proposals for one mask, their sequences as ids without padding."""
        targets = self._targets(options["targets"])
        scores = logits.float().softmax(-1)
        kept = scores if targets is None else scores[_core.tensor(targets)]
        values, indices = kept.topk(min(options["top_k"], kept.shape[0]))
        proposals = []
        for score, index in zip(values.tolist(), indices.tolist(), strict=True):
            token = index if targets is None else targets[index]
            filled = ids.copy()
            filled[place] = token
            proposals.append(
                {
                    "score": score,
                    "token": token,
                    "token_str": self.tokenizer.decode([token]),
                    "sequence": filled[filled != self.tokenizer.pad_token_id].tolist(),
                }
            )
        return proposals


class FeatureExtractionPipeline(Pipeline):
    """The model's first output for each text, [1, tokens, features], without padding: nested
    lists, or with return_tensors tensors."""

    task = "feature-extraction"
    _auto = models.AutoModel
    _options = {"return_tensors": False, **_ENCODED}

    def _run(self, items, options):
        batch = self._encoded(items, **{name: options[name] for name in _ENCODED})
        states = self.model(**batch)[0]
        real = batch["attention_mask"].numpy() != 0
        results = []
        for row in range(len(items)):
            first, count = int(np.argmax(real[row])), int(real[row].sum())
            kept = states[row : row + 1, first : first + count]
            results.append(kept if options["return_tensors"] else kept.tolist())
        return results


class QuestionAnsweringPipeline(Pipeline):
    """Answers to questions from texts: {"score", "start", "end", "answer"}, with top_k above 1 a
    list of them. Called with question= and context=, or with dicts of both. A text that is longer
    than max_seq_len is read through windows that share doc_stride tokens.
    handle_impossible_answer: "" may be the answer. align_to_words: answers are whole words."""

    task = "question-answering"
    _auto = models.AutoModelForQuestionAnswering
    _options = {
        "top_k": 1,
        "doc_stride": None,
        "max_answer_len": 15,
        "max_seq_len": None,
        "handle_impossible_answer": False,
        "align_to_words": True,
    }

    def __call__(self, inputs=None, *, question=None, context=None, batch_size=None, **options):
        if inputs is None:
            if question is None or context is None:
                raise _core.ValueError(f"pipeline '{self.task}': give question= and context=")
            single = isinstance(question, str) and isinstance(context, str)
            texts = [[t] if isinstance(t, str) else list(t) for t in (question, context)]
            if not isinstance(question, str) and isinstance(context, str):
                texts[1] *= len(texts[0])
            if len(texts[0]) != len(texts[1]):
                raise _core.ValueError(
                    f"pipeline '{self.task}': {len(texts[0])} questions and {len(texts[1])} "
                    "contexts; give one context, or one for each question"
                )
            inputs = [{"question": q, "context": c} for q, c in zip(*texts, strict=True)]
            inputs = inputs[0] if single else inputs
        return super().__call__(inputs, batch_size, **options)

    def _run(self, items, options):
        for name in ("top_k", "max_answer_len"):
            if not isinstance(options[name], int) or options[name] < 1:
                raise _core.ValueError(
                    f"pipeline '{self.task}': {name} {options[name]!r} must be a positive integer"
                )
        for item in items:
            for name in ("question", "context"):
                if not isinstance(item, dict) or not isinstance(item.get(name), str):
                    raise _core.ValueError(
                        f"pipeline '{self.task}': {item!r} is no dict of texts named question and "
                        "context"
                    )
                if not item[name]:
                    raise _core.ValueError(f"pipeline '{self.task}': the {name} is empty")
        own = [n for n in (self.tokenizer.model_max_length, 384) if n]
        texts = ([item[name] for item in items] for name in ("question", "context"))
        limit = options["max_seq_len"] or min(own)
        padded = self.tokenizer.padding_side == "right"  # in front it would shift positions
        try:
            rows = _questions.windows(
                self.tokenizer, *texts, limit, options["doc_stride"], padding=padded
            )
        except _questions.QuestionTooLong as error:
            raise _core.ValueError(
                f"pipeline '{self.task}': {items[error.place]['question']!r}: {error} "
                "(max_seq_len, doc_stride)"
            ) from error
        sample = rows["overflow_to_sample_mapping"]
        logits = self._logits(rows, self.batch_size if padded else 1)
        answers: list[list[dict]] = [[] for _ in items]
        nothing = [1.0] * len(items)
        for row, encoding in enumerate(rows.encodings):
            item = sample[row]
            context = items[item]["context"]
            none = self._found(*logits[row], encoding, context, answers[item], options)
            nothing[item] = min(nothing[item], none)
        return [self._best(*found, options) for found in zip(answers, nothing, strict=True)]

    def _logits(self, rows, size: int) -> list:
        """Logits of starts and ends of every window."""
        names = [n for n in self.tokenizer.model_input_names if n in rows]
        found: list = []
        for i in range(0, len(rows["input_ids"]), size):
            output = self.model(**{n: _core.tensor(rows[n][i : i + size]) for n in names})
            found += zip(
                output.start_logits.float().numpy(), output.end_logits.float().numpy(), strict=True
            )
        return found

    def _found(self, start, end, encoding, context: str, answers: list, options) -> float:
        """Adds the answers of a window; returns the score of none."""
        allowed = _questions.in_context(self.tokenizer, encoding)
        allowed |= np.asarray(encoding.ids) == self.tokenizer.cls_token_id
        count, top_k = sum(encoding.attention_mask), options["top_k"]
        found, nothing = _questions.spans(
            start[:count],
            end[:count],
            allowed[:count],
            2 * top_k + 10 if options["align_to_words"] else top_k,
            options["max_answer_len"],
        )
        for s, e, score in found:
            begin, behind = self._characters(encoding, s, e, options)
            text = context[begin:behind]
            known = next((a for a in answers if a["answer"].lower() == text.lower()), None)
            if known:
                known["score"] += score
            else:
                answers.append({"score": score, "start": begin, "end": behind, "answer": text})
        return nothing

    def _characters(self, encoding, first: int, last: int, options) -> tuple[int, int]:
        """The characters of tokens, or of their words."""
        spans = [encoding.offsets[first], encoding.offsets[last]]
        if options["align_to_words"]:
            part = 1 if self.tokenizer.padding_side == "right" else 0
            words = [encoding.token_to_word(token) for token in (first, last)]
            if None not in words:
                whole = [encoding.word_to_chars(word, part) for word in words]
                spans = whole if None not in whole else spans
        return spans[0][0], spans[1][1]

    def _best(self, answers: list[dict], nothing: float, options):
        if options["handle_impossible_answer"]:
            answers.append({"score": nothing, "start": 0, "end": 0, "answer": ""})
        best = sorted(answers, key=lambda answer: -answer["score"])[: options["top_k"]]
        return best[0] if len(best) == 1 else best


def _is_chat(item) -> bool:
    return isinstance(item, list | tuple) and bool(item) and isinstance(item[0], dict)


class _Chat:
    """Messages as one input."""

    def __init__(self, messages):
        self.messages = list(messages)

    def with_answer(self, text: str) -> list[dict]:
        last = self.messages[-1]
        if last["role"] == "assistant":
            return [*self.messages[:-1], {**last, "content": last["content"] + text}]
        return [*self.messages, {"role": "assistant", "content": text}]


class TextGenerationPipeline(Pipeline):
    """What follows a text: [{"generated_text"}], one for each of num_return_sequences. Of a chat, a
    list of dicts with role and content, that is the chat with the assistant's answer; a last
    message of the assistant goes on. Other options are those of generate()."""

    task = "text-generation"
    _auto = models.AutoModelForCausalLM
    _options = {"return_full_text": True}

    def _checked(self, options):
        return options  # generate() checks its own

    def _run(self, items, options):
        settings = {k: v for k, v in options.items() if k != "return_full_text"}
        results = []
        for item in items:
            if isinstance(item, _Chat):
                begun = item.messages[-1].get("role") == "assistant"
                batch = self.tokenizer.apply_chat_template(
                    item.messages,
                    add_generation_prompt=not begun,
                    continue_final_message=begun,
                    return_tensors="ds",
                )
            else:
                batch = self._encoded([item])
            ids, mask = batch["input_ids"], batch["attention_mask"]
            first = getattr(self.model.config, "bos_token_id", None)
            if ids.shape[1] == 0 and first is not None:  # of no text the model writes a beginning
                ids, mask = _core.tensor([[first]]), None
            rows = self.model.generate(ids, attention_mask=mask, **settings)
            made = [self._new(item, ids[0], row) for row in rows]
            if options["return_full_text"]:
                made = [
                    item.with_answer(new) if isinstance(item, _Chat) else item + new for new in made
                ]
            results.append([{"generated_text": new} for new in made])
        return results

    def _new(self, item, ids, row) -> str:
        """The text of the new tokens of a row."""
        if isinstance(item, _Chat):
            return self.tokenizer.decode(row[len(ids) :], skip_special_tokens=True)
        known = len(self.tokenizer.decode(ids, skip_special_tokens=True))
        return self.tokenizer.decode(row, skip_special_tokens=True)[known:]

    def __call__(self, inputs, batch_size=None, **options):
        if _is_chat(inputs):
            inputs = _Chat(inputs)
        elif isinstance(inputs, list | tuple):
            inputs = [_Chat(item) if _is_chat(item) else item for item in inputs]
        return super().__call__(inputs, 1, **options)  # so that none is padded


def _stacked(model, prepare: ImagePreparation, items: list):
    """Images as a batch of the model's device and dtype."""
    images = _core.stack([prepare(item) for item in items])
    parameter = next(iter(model.parameters()))
    return images.to(parameter.device).to(parameter.dtype)


class ImageClassificationPipeline(Pipeline):
    """Labels of images: a list of {"label", "score"}, best first."""

    task = "image-classification"
    _auto = models.AutoModelForImageClassification
    _reads_text = False
    _options = {"top_k": 5, "function_to_apply": None}

    def __init__(self, model, tokenizer=None, batch_size: int = 8, **options):
        super().__init__(model, None, batch_size, **options)
        if not models.classifies_images(model):
            raise _core.ValueError(
                f"pipeline '{self.task}': {type(model).__name__} is no image model"
            )
        self.prepare = ImagePreparation.of_model(model)

    def _run(self, items, options):
        output = self.model(_stacked(self.model, self.prepare, items))
        logits = getattr(output, "logits", output)
        rows = self._scores(logits, options["function_to_apply"])
        return [self._ranked(row, options["top_k"]) for row in rows]


class ImageSegmentationPipeline(Pipeline):
    """What is where in images: for each a list of {"score", "label", "mask"}, a mask being a PIL
    image of the image's size, white where the label is. subtask: semantic."""

    task = "image-segmentation"
    _auto = models.AutoModelForSemanticSegmentation
    _reads_text = False
    _options = {"subtask": None}

    def __init__(self, model, tokenizer=None, batch_size: int = 8, **options):
        super().__init__(model, None, batch_size, **options)
        self.processor = models.ImageProcessor.of_model(model)
        self.prepare = self.processor.preparation

    def _run(self, items, options):
        if options["subtask"] not in (None, "semantic"):
            raise _core.ValueError(
                f"pipeline '{self.task}': subtask {options['subtask']!r} is unknown; use 'semantic'"
            )
        try:
            from PIL import Image
        except ImportError:
            raise _core.NotImplementedError(
                f"pipeline '{self.task}': masks are PIL images; pip install pillow"
            ) from None
        sides = [tuple(self.prepare._read(item).shape[1:]) for item in items]
        output = self.model(_stacked(self.model, self.prepare, items))
        found = self.processor.post_process_semantic_segmentation(output, sides)
        results = []
        for classes in (picture.numpy() for picture in found):
            masks = ((int(c), (classes == c).astype(np.uint8) * 255) for c in np.unique(classes))
            results.append(
                [
                    {"score": None, "label": self._label(c), "mask": Image.fromarray(mask)}
                    for c, mask in masks
                ]
            )
        return results


class ImageFeatureExtractionPipeline(Pipeline):
    """The model's first output for each image, or with pool its pooler_output: nested lists, or
    with return_tensors tensors."""

    task = "image-feature-extraction"
    _auto = models.AutoModel
    _reads_text = False
    _options = {"pool": False, "return_tensors": False}

    def __init__(self, model, tokenizer=None, batch_size: int = 8, **options):
        super().__init__(model, None, batch_size, **options)
        self.prepare = ImagePreparation.of_model(model)

    def _run(self, items, options):
        output = self.model(_stacked(self.model, self.prepare, items))
        if options["pool"] and getattr(output, "pooler_output", None) is None:
            raise _core.ValueError(
                f"pipeline '{self.task}': {type(self.model).__name__} has no pooler_output; leave "
                "pool out"
            )
        found = output.pooler_output if options["pool"] else output[0]
        rows = [found[i : i + 1] for i in range(len(items))]
        return rows if options["return_tensors"] else [row.tolist() for row in rows]


class ZeroShotImageClassificationPipeline(Pipeline):
    """Which of candidate_labels fits an image: a list of {"score", "label"}, best first."""

    task = "zero-shot-image-classification"
    _auto = models.AutoModel
    _options = {"candidate_labels": None, "hypothesis_template": "This is a photo of {}."}

    def __init__(self, model, tokenizer=None, batch_size: int = 8, **options):
        super().__init__(model, tokenizer, batch_size, **options)
        if not isinstance(model, models.CLIPModel | models.SiglipModel):
            raise _core.ValueError(
                f"pipeline '{self.task}': {type(model).__name__} is no CLIP model, nor SigLIP"
            )
        self.prepare = ImagePreparation.of_model(model)

    def _run(self, items, options):
        labels = options["candidate_labels"]
        if isinstance(labels, str):
            labels = [label.strip() for label in labels.split(",")]
        if not labels:
            raise _core.ValueError(f"pipeline '{self.task}': give candidate_labels")
        each = isinstance(self.model, models.SiglipModel)  # pairs are judged by themselves
        length = self.model.config.text_config.max_position_embeddings
        whole = {"padding": "max_length", "max_length": length, "truncation": True} if each else {}
        texts = self._encoded(
            [options["hypothesis_template"].format(label) for label in labels], **whole
        )
        given = {k: v for k, v in texts.items() if k in ("input_ids", "attention_mask")}
        output = self.model(pixel_values=_stacked(self.model, self.prepare, items), **given)
        logits = output.logits_per_image.float()
        rows = (logits.sigmoid() if each else logits.softmax(-1)).tolist()
        return [
            [
                {"score": score, "label": label}
                for score, label in sorted(zip(row, labels, strict=True), key=lambda pair: -pair[0])
            ]
            for row in rows
        ]


TASKS: dict[str, type[Pipeline]] = {
    kind.task: kind
    for kind in (
        TextClassificationPipeline,
        TokenClassificationPipeline,
        QuestionAnsweringPipeline,
        FillMaskPipeline,
        SummarizationPipeline,
        TranslationPipeline,
        Text2TextGenerationPipeline,
        TextGenerationPipeline,
        ZeroShotClassificationPipeline,
        FeatureExtractionPipeline,
        ImageClassificationPipeline,
        ImageSegmentationPipeline,
        ImageFeatureExtractionPipeline,
        ZeroShotImageClassificationPipeline,
    )
}
_ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}


def _has_tokenizer(name: str) -> bool:
    return any(find_optional(name, file) for file in ("tokenizer.json", "vocab.txt", "vocab.json"))


def _kind_of(task: str) -> type[Pipeline]:
    pair = re.fullmatch(r"translation_\w+_to_\w+", task)
    kind = TASKS.get("translation" if pair else _ALIASES.get(task, task))
    if kind is None:
        raise _core.ValueError(
            f"pipeline: the task {task!r} is unknown; use {', '.join([*TASKS, *_ALIASES])}"
        )
    return kind


def _device_of(device):
    """A device; numbers as in transformers: -1 is the processor, others are accelerators."""
    if isinstance(device, int) and not isinstance(device, bool):
        return "cpu" if device < 0 else f"cuda:{device}"
    return device


def pipeline(
    task: str,
    model=None,
    tokenizer=None,
    *,
    image_processor=None,
    device=None,
    dtype=None,
    torch_dtype=None,
    model_kwargs: dict | None = None,
    **options,
):
    """A callable for a task: text-classification (or sentiment-analysis), token-classification (or
    ner), question-answering, fill-mask, summarization, translation (or translation_en_to_de),
    text2text-generation, text-generation, zero-shot-classification, feature-extraction,
    image-classification, image-segmentation, image-feature-extraction,
    zero-shot-image-classification.

    model: its name on a hub, its folder, or the model itself, which then needs a tokenizer when it
    reads text. image_processor: an ImageProcessor, by default the model's. revision, token,
    device_map, config and model_kwargs are arguments of from_pretrained(). Others are options of
    the task's calls, and batch_size."""
    kind = _kind_of(task)
    dtype = torch_dtype if dtype is None else dtype
    loading = {name: options.pop(name) for name in _OF_LOADING if name in options}
    options = {name: value for name, value in options.items() if name not in _WITHOUT_EFFECT}
    if model is None:
        raise _core.ValueError(
            f"pipeline: give the model for '{task}', for example a name that `deepseek models "
            "list` shows"
        )
    name = str(model) if isinstance(model, str | os.PathLike) else model.name_or_path
    if isinstance(model, str | os.PathLike):
        loading.update(model_kwargs or {})
        model = kind._auto.from_pretrained(model, **{"dtype": dtype, **loading})
    elif dtype is not None:
        model = model.to(dtype)
    if device is not None:
        model = model.to(_device_of(device))
    if kind._reads_text:
        if tokenizer is None and not name:
            raise _core.ValueError(f"pipeline: give the tokenizer of the model for '{task}'")
        if tokenizer is None and hasattr(model, "peft_config") and not _has_tokenizer(name):
            tokenizer = model.name_or_path  # an adapter may have come without one
        if tokenizer is None or isinstance(tokenizer, str | os.PathLike):
            hub = {key: loading[key] for key in ("revision", "token") if key in loading}
            tokenizer = models.AutoTokenizer.from_pretrained(tokenizer or name, **hub)
    made = kind(model, tokenizer, **options)
    if image_processor is not None:
        made.prepare = image_processor.preparation
    if isinstance(made, TranslationPipeline):
        made.task = task
    return made

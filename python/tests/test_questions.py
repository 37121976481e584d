# SPDX-License-Identifier: Apache-2.0
"""Question answering: the pipeline, training and evaluation over texts that are longer than the
model, against transformers' models, tokenizers and choice of spans."""

import random

import deepseek as ds
import numpy as np
import pytest
import small_models
import torch
from deepseek import _questions
from deepseek.datasets import Dataset, load_dataset

transformers = pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

WORDS = [*small_models.WORDS, "##s", "##ly", ",", ".", "?", "who", "old"]
LIMIT = 32


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    model = small_models.make_model("BertForQuestionAnswering", vocab_size=len(WORDS))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "vocab.txt").write_text("\n".join(WORDS))
    return tmp_path / "model"


def text(rng, count):
    words = ["good", "bad", "film", "films", "Goodly", "badly,", "The", "was", "it.", "old", "a"]
    return " ".join(rng.choices(words, k=count))


RNG = random.Random(3)
CASES = [(text(RNG, 4) + "?", text(RNG, count)) for count in (2, 9, 20, 60)]


def expected_answers(folder, question, context, limit, stride, top_k, longest, words, empty):
    """Answers of transformers' model through transformers' windows and spans."""
    from transformers.pipelines.document_question_answering import select_starts_ends

    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"))
    model = transformers.BertForQuestionAnswering.from_pretrained(folder).eval()
    batch = tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=limit,
        stride=stride,
        return_overflowing_tokens=True,
    )
    answers, nothing = [], 1.0
    for row, encoding in enumerate(batch.encodings):
        inputs = {
            name: torch.tensor([batch[name][row]])
            for name in ("input_ids", "attention_mask", "token_type_ids")
        }
        with torch.no_grad():
            output = model(**inputs)
        mask = [[part != 1 and i > 0 for i, part in enumerate(encoding.sequence_ids)]]
        starts, ends, scores, nothing = select_starts_ends(
            output.start_logits.numpy(),
            output.end_logits.numpy(),
            np.asarray(mask, int),
            inputs["attention_mask"].numpy(),
            nothing,
            2 * top_k + 10 if words else top_k,
            empty,
            longest,
        )
        for s, e, score in zip(starts.tolist(), ends.tolist(), scores.tolist(), strict=True):
            begin, end = encoding.offsets[s][0], encoding.offsets[e][1]
            if words and s > 0:
                begin = encoding.word_to_chars(encoding.token_to_word(s), 1)[0]
                end = encoding.word_to_chars(encoding.token_to_word(e), 1)[1]
            same = [a for a in answers if a["answer"].lower() == context[begin:end].lower()]
            if same:
                same[0]["score"] += score
            else:
                answers.append(
                    {"score": score, "start": begin, "end": end, "answer": context[begin:end]}
                )
    if empty:
        answers.append({"score": nothing, "start": 0, "end": 0, "answer": ""})
    return sorted(answers, key=lambda a: -a["score"])[:top_k]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 3},
        {"top_k": 4, "handle_impossible_answer": True},
        {"top_k": 3, "align_to_words": False, "max_answer_len": 2},
        {"top_k": 5, "max_seq_len": 18, "doc_stride": 3},
    ],
    ids=str,
)
def test_pipeline(folder, options):
    mine = ds.pipeline("question-answering", folder, batch_size=3)
    mine.tokenizer.model_max_length = LIMIT
    limit = options.get("max_seq_len", LIMIT)
    found = mine([{"question": q, "context": c} for q, c in CASES], **options)
    for answers, (question, context) in zip(found, CASES, strict=True):
        expected = expected_answers(
            folder,
            question,
            context,
            limit,
            options.get("doc_stride", limit // 2),
            options.get("top_k", 1),
            options.get("max_answer_len", 15),
            options.get("align_to_words", True),
            options.get("handle_impossible_answer", False),
        )
        answers = answers if isinstance(answers, list) else [answers]
        assert [(a["answer"], a["start"], a["end"]) for a in answers] == [
            (a["answer"], a["start"], a["end"]) for a in expected
        ]
        assert [a["score"] for a in answers] == pytest.approx(
            [a["score"] for a in expected], rel=1e-4, abs=1e-6
        )
    small_models.same(mine(question=CASES[0][0], context=CASES[0][1], **options), found[0])


def test_pipeline_calls(folder):
    mine = ds.pipeline("question-answering", folder)
    mine.tokenizer.model_max_length = LIMIT
    question, context = CASES[2]
    one = mine(question=question, context=context)
    assert mine(question=[question, "who?"], context=context)[0]["answer"] == one["answer"]
    for arguments, error in (
        ({"question": question}, "give question= and context="),
        ({"question": [question], "context": ["a", "b"]}, "1 questions and 2 contexts"),
        ({"inputs": ["text"]}, "no dict of texts named question and context"),
        ({"question": "", "context": "a"}, "the question is empty"),
        ({"question": "a", "context": "b", "top_k": 0}, "top_k 0 must be"),
        ({"question": "a", "context": "b", "topk": 2}, "the option 'topk' is unknown"),
        ({"question": "a " * 40, "context": "b"}, "'a a .*leaves too little room"),
    ):
        with pytest.raises(ds.ValueError, match=error):
            mine(**arguments)


def test_a_tokenizer_that_pads_in_front(folder):
    """The context comes first; an answer is of the context alone."""
    mine = ds.pipeline("question-answering", folder, tokenizer=str(folder))
    mine.tokenizer.padding_side = "left"
    mine.tokenizer.model_max_length = LIMIT
    alone = [mine(question=q, context=c, top_k=3) for q, c in CASES]
    together = mine([{"question": q, "context": c} for q, c in CASES], top_k=3)
    for a, b, (_, context) in zip(alone, together, CASES, strict=True):
        for one, other in zip(a, b, strict=True):
            small_models.same(one, other)
            assert context[one["start"] : one["end"]] == one["answer"] != ""


def squad(count, length=40, seed=1):
    """Questions that are answered by the word behind the one asked for."""
    rng, rows = random.Random(seed), []
    for i in range(count):
        words = ["the" if rng.random() < 0.5 else "a" for _ in range(length)]
        place = rng.randrange(length - 2)
        answer = rng.choice(["good", "bad", "film", "old"])
        words[place : place + 2] = ["very", answer]
        start = len(" ".join([*words[: place + 1], ""]))
        answers = {"text": [answer], "answer_start": [start]}
        rows.append(
            {"id": str(i), "question": "who?", "context": " ".join(words), "answers": answers}
        )
    return rows


def trainer_of(folder, rows, tmp_path, **options):
    values = {"eval_strategy": "no", "save_strategy": "no", "disable_tqdm": True, **options}
    args = ds.TrainingArguments(tmp_path / "out", **values)
    model = ds.models.BertForQuestionAnswering.from_pretrained(folder)
    return ds.Trainer(model, args, train_dataset=rows, eval_dataset=rows)


def test_windows_of_training_data(folder, tmp_path):
    rows = squad(12)
    trainer = trainer_of(folder, rows, tmp_path, max_length=20, doc_stride=4)
    windows = trainer.get_train_dataloader().dataset
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"))
    expected = tokenizer(
        [row["question"] for row in rows],
        [row["context"] for row in rows],
        truncation="only_second",
        max_length=20,
        stride=4,
        return_overflowing_tokens=True,
    )
    sample, answered = expected.pop("overflow_to_sample_mapping"), set()
    assert len(windows) == len(sample) > 2 * len(rows)
    for i, place in enumerate(sample):
        got = windows[i]
        assert {name: got[name] for name in expected} == {n: v[i] for n, v in expected.items()}
        first, last = got["start_positions"], got["end_positions"]
        answer = rows[place]["answers"]["text"][0]
        if first:
            assert tokenizer.decode(got["input_ids"][first : last + 1]) == answer
            answered.add(place)
        else:
            assert last == 0 and answer not in tokenizer.decode(got["input_ids"]).split()
    assert answered == set(range(len(rows)))
    stream = ds.data.IterableDataset.__new__(type("Rows", (ds.data.IterableDataset,), {}))
    type(stream).__iter__ = lambda self: iter(rows)
    streamed = list(trainer._rows(stream, True))
    assert streamed == [windows[i] for i in range(len(windows))]


def test_training_finds_answers_in_raw_text(folder, tmp_path):
    rows = Dataset.from_list(squad(160, seed=2))
    trainer = trainer_of(
        folder,
        rows,
        tmp_path,
        max_length=20,
        doc_stride=4,
        num_train_epochs=12,
        learning_rate=1e-2,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=64,
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate(squad(40, seed=3))
    assert before["eval_exact_match"] < 50 < 90 < after["eval_exact_match"] <= after["eval_f1"]
    qa = ds.pipeline("question-answering", tmp_path / "out")
    row = squad(1, seed=5)[0]
    found = qa(question=row["question"], context=row["context"], max_seq_len=20, doc_stride=4)
    assert found["answer"] == row["answers"]["text"][0]
    assert found["start"] == row["answers"]["answer_start"][0]


def test_loss_equals_transformers(folder, tmp_path):
    trainer = trainer_of(folder, squad(3), tmp_path, max_length=20, doc_stride=4)
    batch = {
        name: value.numpy() for name, value in next(iter(trainer.get_eval_dataloader())).items()
    }
    model = transformers.BertForQuestionAnswering.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = model(**{name: torch.tensor(value) for name, value in batch.items()}).loss
    assert trainer.model.eval()(**{n: ds.tensor(v) for n, v in batch.items()}).loss.item() == (
        pytest.approx(expected.item(), rel=1e-4)
    )


def test_rows_of_a_csv_file_and_bad_rows(folder, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text(
        "question,context,answer\nwho?,the film was good,good\nwho?,a bad film,\n"
    )
    rows = load_dataset(tmp_path / "data")["train"]
    windows = trainer_of(folder, rows, tmp_path).get_train_dataloader().dataset
    assert [(w["start_positions"], w["end_positions"]) for w in windows] == [(7, 7), (0, 0)]
    for row, error in (
        ({"answer": "old"}, "the context of row 1 does not hold its answer 'old'"),
        ({"answer": "bad", "answer_start": 9}, "does not hold its answer 'bad' at character 9"),
        ({"question": "who " * 40}, "row 1: the question leaves too little room"),
    ):
        broken = [dict(rows[0]), {**rows[0], "context": "a bad film", "answer": "bad", **row}]
        trainer = trainer_of(folder, broken, tmp_path)
        with pytest.raises(ds.ValueError, match=error):
            trainer.train()


def test_measures_of_squad():
    """What the published script of SQuAD gives for these."""
    found = ["The Cat!", "a dog", "", "green house", "cat"]
    right = [["cat"], ["the dogs", "dog"], [], ["house"], []]
    assert _questions.squad_measures(found, right) == pytest.approx(
        {"exact_match": 100 * 3 / 5, "f1": 100 * (3 + 2 / 3) / 5}
    )

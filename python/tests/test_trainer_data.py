# SPDX-License-Identifier: Apache-2.0
"""What ds.Trainer makes of raw rows, and its collators, against transformers."""

import json

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek.datasets import load_dataset
from PIL import Image

transformers = pytest.importorskip("transformers")
pytest.importorskip("tokenizers")
import small_models  # noqa: E402
from deepseek import models  # noqa: E402
from deepseek._trainer.rows import takes_none  # noqa: E402


def trainer_for(tmp_path, head, rows, **options):
    folder = tmp_path / "model"
    if not folder.is_dir():
        small_models.save_model(folder, head)
    model = getattr(ds.models, head).from_pretrained(folder)
    values = {"num_train_epochs": 1, "save_strategy": "no", "disable_tqdm": True, **options}
    args = ds.TrainingArguments(tmp_path / "out", **values)
    return ds.Trainer(model, args, train_dataset=rows, eval_dataset=rows)


def batches(loader):
    return [{name: value.numpy() for name, value in batch.items()} for batch in loader]


@pytest.fixture
def tokenizer(tmp_path):
    """The fast tokenizer of transformers over the same words."""
    (tmp_path / "words.txt").write_text("\n".join(small_models.WORDS))
    return transformers.BertTokenizerFast(str(tmp_path / "words.txt"))


def csv(tmp_path, text):
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "train.csv").write_text(text)
    return load_dataset(tmp_path / "data")["train"]


def test_classified_texts_of_a_csv_file(tmp_path, tokenizer):
    """Words for labels, an empty text, a text longer than the model, quoted commas."""
    rows = csv(
        tmp_path,
        "id,text,label\n1,the film was good,pos\n2,,neg\n"
        f'3,"{"very " * 80}bad",neg\n4,"good, very good",pos\n',
    )
    trainer = trainer_for(tmp_path, "BertForSequenceClassification", rows)
    (batch,) = batches(trainer.get_eval_dataloader())
    assert batch["labels"].tolist() == [1, 0, 0, 1]
    assert trainer.model.config.id2label == {0: "neg", 1: "pos"}
    texts = [text or "" for text in rows["text"]]
    expected = tokenizer(texts, padding=True, truncation=True, max_length=32, return_tensors="np")
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert batch[name].tolist() == expected[name].tolist()
    assert trainer.train().global_step == 1


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("text,label\na,1\nb,\n", "row 1 has no label in column 'label'.*dataset.filter"),
        ("text,label\na,yes\nb,\n", "row 1 has no label"),
        ("text,label\na,0\nb,nan\n", "row 1 has no label"),
        (
            "text,label\na,0.5\nb,1\n",
            "holds 0.5, which is no class; load the model with num_labels=1",
        ),
        ("text,label\na,0\nb,2\n", "classes 0 to 2, the model 2; load it with num_labels=3"),
        ("text,label\na,-1\nb,0\n", "classes -1 to 0"),
        ("text,label\na,x\nb,y\nc,z\n", r"3 classes \(x, y, z\), the model 2"),
        ("text,grade\na,1\n", "no column of .*'grade'.* is a label; name one of them"),
        ("label,number\n1,2\n", "no column of .* holds text"),
        ("text,label\n", "is empty"),
    ],
)
def test_labels_that_are_missing_or_do_not_fit(tmp_path, text, error):
    trainer = trainer_for(tmp_path, "BertForSequenceClassification", csv(tmp_path, text))
    with pytest.raises(ds.ValueError, match=error):
        trainer.train()


def test_other_label_columns_and_regression(tmp_path):
    rows = [{"text": "good", "grade": "b"}, {"text": "bad", "grade": "a"}]
    trainer = trainer_for(tmp_path, "BertForSequenceClassification", rows, label_names=["grade"])
    assert batches(trainer.get_eval_dataloader())[0]["labels"].tolist() == [1, 0]
    trainer.train()
    with pytest.raises(ds.ValueError, match="the label 'c', the model knows a, b"):
        trainer.evaluate([{"text": "good", "grade": "c"}])
    trainer.args.label_names = ["mark"]
    with pytest.raises(ds.ValueError, match="no column 'mark'"):
        trainer.train()
    with pytest.warns(ds.models.LoadWarning):
        model = ds.models.BertForSequenceClassification.from_pretrained(
            tmp_path / "model",
            num_labels=1,
            problem_type="regression",
            ignore_mismatched_sizes=True,
        )
    numbers = [{"text": "good", "label": 1}, {"text": "bad", "label": 0.5}]
    trainer = ds.Trainer(model, trainer.args, train_dataset=numbers, eval_dataset=numbers)
    trainer.args.label_names = None
    assert batches(trainer.get_eval_dataloader())[0]["labels"].dtype == np.float32
    assert "eval_accuracy" not in trainer.evaluate()


def test_classes_have_the_names_of_the_data_set(tmp_path):
    class Named(list):
        features = {"label": type("ClassLabel", (), {"names": ["bad", "good"]})()}

    for row in ({"text": "good", "label": 1}, {"input_ids": [2, 5, 3], "label": 0}):
        trainer = trainer_for(tmp_path, "BertForSequenceClassification", Named([row]))
        trainer.train()
        assert trainer.model.config.id2label == {0: "bad", 1: "good"}


def test_text_without_a_tokenizer(tmp_path):
    config = ds.models.BertConfig(**small_models._BERT)
    model = ds.models.BertForSequenceClassification(config)
    trainer = ds.Trainer(model, train_dataset=[{"text": "good", "label": 1}])
    with pytest.raises(ds.ValueError, match="without a tokenizer; pass processing_class"):
        trainer.train()


def test_blocks_of_running_text(tmp_path):
    """As transformers' example for causal models: all texts in one line, cut into blocks."""
    folder = small_models.save_model(tmp_path / "model", "GPT2LMHeadModel")
    model = ds.models.GPT2LMHeadModel.from_pretrained(folder)
    tokenizer = ds.models.AutoTokenizer.from_pretrained(folder)
    rows = [{"text": "the film was very good"}, {"text": ""}, {"text": "a bad film it was"}] * 5
    args = ds.TrainingArguments(
        tmp_path / "out", max_length=8, per_device_eval_batch_size=99, disable_tqdm=True
    )
    trainer = ds.Trainer(
        model, args, train_dataset=rows, eval_dataset=rows, processing_class=tokenizer
    )
    (batch,) = batches(trainer.get_eval_dataloader())
    line = [i for row in rows for i in tokenizer(row["text"], add_special_tokens=False).input_ids]
    assert batch["input_ids"].tolist() == [line[i : i + 8] for i in range(0, len(line) - 7, 8)]
    assert batch["labels"].tolist() == batch["input_ids"].tolist()
    theirs = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    ids = torch.tensor(batch["input_ids"])
    assert trainer.evaluate()["eval_loss"] == pytest.approx(
        theirs(ids, labels=ids).loss.item(), 1e-5
    )
    with pytest.raises(ds.ValueError, match="fewer than two tokens"):
        trainer.evaluate([{"text": ""}])


def test_tagged_words(tmp_path, tokenizer):
    """The recipe of transformers' example: the first token of a word has its tag."""
    (tmp_path / "model").mkdir()
    small_models.save_model(tmp_path / "model", "BertForTokenClassification", num_labels=3)
    rows = [
        {"tokens": ["the", "filmgood", "was"], "ner_tags": ["O", "B", "O"]},
        {"tokens": ["very"] * 40, "ner_tags": ["I"] * 40},
    ]
    trainer = trainer_for(tmp_path, "BertForTokenClassification", rows)
    (batch,) = batches(trainer.get_eval_dataloader())
    assert trainer.model.config.id2label == {0: "B", 1: "I", 2: "O"}
    found = tokenizer(
        [row["tokens"] for row in rows],
        is_split_into_words=True,
        truncation=True,
        max_length=32,
        padding=True,
    )
    assert batch["input_ids"].tolist() == found["input_ids"]
    ids = {"B": 0, "I": 1, "O": 2}
    for row, (tags, labels) in enumerate(
        zip((r["ner_tags"] for r in rows), batch["labels"].tolist(), strict=True)
    ):
        words = found.word_ids(row)
        expected = [
            -100 if w is None or w == words[i - 1] else ids[tags[w]] for i, w in enumerate(words)
        ]
        assert labels == expected
    assert trainer.train().global_step == 1
    with pytest.raises(ds.ValueError, match="3 words and 1 tags"):
        trainer.evaluate([{"tokens": ["a", "b", "c"], "ner_tags": ["O"]}])
    with pytest.raises(ds.ValueError, match="lists of words are expected"):
        trainer.evaluate([{"text": "a"}])


def test_questions_and_answers(tmp_path):
    rows = [
        {
            "question": "was it good",
            "context": "the film was very bad",
            "answers": {"text": ["very bad"], "answer_start": [13]},
        },
        {
            "question": "a",
            "context": "good " * 60 + "bad",
            "answers": {"text": ["bad"], "answer_start": [300]},
        },
        {"question": "a", "context": "good", "answers": {"text": [], "answer_start": []}},
    ]
    trainer = trainer_for(tmp_path, "BertForQuestionAnswering", rows)
    (batch,) = batches(trainer.get_eval_dataloader())
    assert len(batch["input_ids"]) == 6  # the long text makes four windows
    words = np.array(small_models.WORDS)[batch["input_ids"][0]]
    first, last = batch["start_positions"][0], batch["end_positions"][0]
    assert words[first : last + 1].tolist() == ["very", "bad"]
    assert batch["start_positions"][1:].tolist() == [0, 0, 0, 27, 0]  # elsewhere, and none
    assert trainer.train().global_step == 1
    result = trainer.predict(rows)
    assert [p.shape for p in result.predictions] == [(6, 32), (6, 32)]
    assert result.label_ids[0].tolist() == batch["start_positions"].tolist()
    with pytest.raises(ds.ValueError, match="question, context and answers are expected"):
        trainer.evaluate([{"text": "a"}])


def test_texts_and_what_follows_from_them(tmp_path, tokenizer):
    rows = [
        {"text": "the film was bad", "summary": "bad"},
        {"text": "good", "summary": "very good"},
    ]
    trainer = trainer_for(tmp_path, "T5ForConditionalGeneration", rows)
    (batch,) = batches(trainer.get_eval_dataloader())
    expected = [tokenizer(row["summary"])["input_ids"] for row in rows]
    assert [[i for i in row if i != -100] for row in batch["labels"].tolist()] == expected
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path / "model").eval()
    loss = theirs(**{n: torch.tensor(v) for n, v in batch.items() if n != "token_type_ids"}).loss
    assert trainer.evaluate()["eval_loss"] == pytest.approx(loss.item(), rel=1e-5)
    trainer.train()
    with pytest.raises(ds.ValueError, match="two columns of text are needed"):
        trainer.evaluate([{"text": "a"}])


class Blobs(ds.data.Dataset):
    """Reddish and bluish noise, as transformed images and their classes."""

    classes = ["red", "blue"]

    def __len__(self):
        return 24

    def __getitem__(self, index):
        image = np.random.default_rng(index).random((3, 32, 32), dtype=np.float32)
        image[index % 2 * 2] += 1
        return ds.tensor(image), index % 2


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_image_models(tmp_path, kind):
    ds.manual_seed(0)
    if kind == "resnet":
        model = ds.models.ResNet([1, 1], num_classes=2, width=8)
    else:
        model = ds.models.vit_tiny_patch16_224(num_classes=2, img_size=32, depth=1, embed_dim=48)
    rows, blobs = [], Blobs()
    for i in range(len(blobs)):
        image, label = blobs[i]
        rows.append({"pixel_values": image.numpy(), "label": label})
    args = ds.TrainingArguments(
        tmp_path / "out",
        num_train_epochs=20,
        learning_rate=5e-3,
        label_smoothing_factor=0.1,
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = ds.Trainer(model, args, train_dataset=blobs, eval_dataset=rows)
    trainer.train()
    found = trainer.evaluate()
    assert found["eval_accuracy"] == 1.0
    assert model.config.id2label == {0: "red", 1: "blue"}
    again = ds.models.AutoModelForImageClassification.from_pretrained(tmp_path / "out")
    assert ds.Trainer(again, args, eval_dataset=rows).evaluate()["eval_loss"] == pytest.approx(
        found["eval_loss"], rel=1e-4
    )
    assert trainer.predict(rows).predictions.shape == (24, 2)
    with pytest.raises(ds.ValueError, match="a label is 5, the model has 2 classes"):
        trainer.evaluate([{"pixel_values": rows[0]["pixel_values"], "label": 5}])
    with pytest.raises(ds.ValueError, match="an image is expected in a column"):
        trainer.evaluate([{"text": "a", "label": 0}])


def test_pictures_are_prepared_as_the_model_says(tmp_path):
    model = ds.models.ResNet([1, 1], num_classes=2, width=8)
    model.config.pretrained_cfg["input_size"] = [3, 32, 32]
    array = np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)
    rows = [{"image": Image.fromarray(array), "label": 1}]
    trainer = ds.Trainer(model, ds.TrainingArguments(tmp_path), eval_dataset=rows)
    (batch,) = batches(trainer.get_eval_dataloader())
    expected = ds.pipelines.ImagePreparation.of_config(model.config)(rows[0]["image"]).numpy()
    np.testing.assert_array_equal(batch["pixel_values"][0], expected)


FEATURES = [
    {"input_ids": [2, 7, 8, 3], "attention_mask": [1, 1, 1, 1], "labels": [0, 1, 1, 0]},
    {"input_ids": [2, 9, 3], "attention_mask": [1, 1, 1], "labels": [1, 0, 1]},
]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("multiple", [None, 8])
def test_collators_equal_transformers(tmp_path, tokenizer, side, multiple):
    folder = small_models.save_model(tmp_path / "model", "BertForMaskedLM")
    own = ds.models.AutoTokenizer.from_pretrained(folder)
    own.padding_side = tokenizer.padding_side = side
    plain = [{k: v for k, v in row.items() if k != "labels"} | {"label": 1} for row in FEATURES]
    uneven = [FEATURES[0] | {"labels": [5, 6, 7, 8, 9, 10]}, FEATURES[1]]
    for name, rows, more in (
        ("DataCollatorWithPadding", plain, {}),
        ("DataCollatorForTokenClassification", FEATURES, {"label_pad_token_id": -7}),
        ("DataCollatorForSeq2Seq", uneven, {}),
        ("DataCollatorForLanguageModeling", plain, {"mlm": False}),
    ):
        if name == "DataCollatorForLanguageModeling":
            rows = [{k: v for k, v in row.items() if k != "label"} for row in rows]
        mine = getattr(ds, name)(own, pad_to_multiple_of=multiple, **more)(rows)
        theirs = getattr(transformers, name)(tokenizer, pad_to_multiple_of=multiple, **more)(rows)
        assert {k: v.tolist() for k, v in mine.items()} == {
            k: v.tolist() for k, v in theirs.items() if v is not None
        }, name
    fixed = {"padding": "max_length", "max_length": 12}
    mine = ds.DataCollatorWithPadding(own, **fixed)(plain)
    theirs = transformers.DataCollatorWithPadding(tokenizer, **fixed)(plain)
    assert mine["input_ids"].tolist() == theirs["input_ids"].tolist()
    with pytest.raises(ds.ValueError, match="needs max_length"):
        ds.DataCollatorWithPadding(own, padding="max_length")(plain)
    for kind in (ds.DataCollatorForSeq2Seq, ds.DataCollatorForTokenClassification):
        arrays = kind(own, return_tensors="np")(FEATURES)
        assert all(isinstance(values, np.ndarray) for values in arrays.values())
    with pytest.raises(ds.ValueError, match="'tf' is unknown; use 'ds' or 'np'"):
        ds.DataCollatorWithPadding(own, return_tensors="tf")(plain)


def test_default_collator_equals_transformers():
    rows = [
        {"label": 1, "x": np.ones(3, np.float32), "text": "a", "n": [1, 2]},
        {"label": 0, "x": np.zeros(3, np.float32), "text": "b", "n": [3, 4]},
    ]
    mine, theirs = ds.default_data_collator(rows), transformers.default_data_collator(rows)
    assert {k: v.tolist() for k, v in mine.items()} == {k: v.tolist() for k, v in theirs.items()}
    assert mine["labels"].dtype == ds.int64
    assert ds.DefaultDataCollator()(rows).keys() == mine.keys()
    arrays = ds.DefaultDataCollator(return_tensors="np")(rows)
    assert all(isinstance(values, np.ndarray) for values in arrays.values())


def test_masks_have_the_shares_that_were_asked_for(tmp_path, tokenizer):
    folder = small_models.save_model(tmp_path / "model", "BertForMaskedLM")
    own = ds.models.AutoTokenizer.from_pretrained(folder)
    rows = [
        {"input_ids": [2, *np.random.default_rng(i).integers(5, 16, 60), 3]} for i in range(200)
    ]
    shares = {"mlm_probability": 0.3, "mask_replace_prob": 0.6, "random_replace_prob": 0.3}
    collate = ds.DataCollatorForLanguageModeling(own, seed=3, **shares)
    batch = {name: value.numpy() for name, value in collate(rows).items()}
    ids = np.array([row["input_ids"] for row in rows])
    length = ids.shape[1]
    changed, labels = batch["input_ids"][:, :length], batch["labels"][:, :length]
    chosen = labels != -100
    assert (labels[chosen] == ids[chosen]).all() and (changed[~chosen] == ids[~chosen]).all()
    assert not chosen[:, [0, -1]].any()  # special tokens
    assert (batch["labels"][:, length:] == -100).all()
    body = chosen[:, 1:-1]
    assert body.mean() == pytest.approx(0.3, abs=0.02)
    masked = changed[chosen] == own.mask_token_id
    assert masked.mean() == pytest.approx(0.6 + 0.3 / 16, abs=0.03)
    assert (changed[chosen] == ids[chosen]).mean() == pytest.approx(0.1 + 0.3 / 16, abs=0.03)
    again = ds.DataCollatorForLanguageModeling(own, seed=3, **shares)(rows)
    assert (again["labels"].numpy() == batch["labels"]).all()
    theirs = transformers.DataCollatorForLanguageModeling(tokenizer, seed=3, **shares)
    other = theirs([{"input_ids": row["input_ids"]} for row in rows])["labels"].numpy()
    assert (other[:, :length] != -100).mean() == pytest.approx(chosen.mean(), abs=0.02)
    for changes, text in (
        ({"mlm_probability": 1.5}, "mlm_probability 1.5"),
        ({"mask_replace_prob": 0.9, "random_replace_prob": 0.2}, "must not be above 1"),
    ):
        with pytest.raises(ds.ValueError, match=text):
            ds.DataCollatorForLanguageModeling(own, **changes)
    with pytest.raises(ds.ValueError, match="has no mask token; pass mlm=False"):
        ds.DataCollatorForLanguageModeling(None)


@pytest.mark.parametrize("kind", ["np", "pt"])
def test_batches_of_other_libraries(tmp_path, kind):
    """What a collator of transformers makes is taken too."""
    rows = [{"input_ids": [2, 7, 8 - i, 3], "labels": i} for i in range(2)]
    trainer = trainer_for(tmp_path, "BertForSequenceClassification", rows)
    expected = trainer.evaluate()["eval_loss"]
    trainer.data_collator = lambda rows: transformers.default_data_collator(rows, kind)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)
    assert trainer.train().global_step == 1
    trainer.data_collator = lambda rows: [0]
    with pytest.raises(ds.ValueError, match="must be a dict of tensors, not a list"):
        trainer.train()


def test_pairs_of_a_loader(tmp_path):
    class Pairs(ds.Trainer):
        def get_train_dataloader(self):
            return ds.data.DataLoader(self.train_dataset, batch_size=8, shuffle=True, seed=1)

    ds.manual_seed(0)
    model = ds.models.ResNet([1, 1], num_classes=2, width=8)
    args = ds.TrainingArguments(tmp_path, max_steps=4, save_strategy="no", disable_tqdm=True)
    assert Pairs(model, args, train_dataset=Blobs()).train().global_step == 4


def test_a_data_set_of_pytorch_that_has_no_end(tmp_path):
    """A length and rows by number are all that is asked of it."""

    class Endless(torch.utils.data.Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            assert index < 6
            return {
                "input_ids": torch.tensor([2, 5, 6, 3]),
                "attention_mask": torch.ones(4, dtype=torch.long),
                "label": index % 2,
            }

    trainer = trainer_for(tmp_path, "BertForSequenceClassification", Endless())
    assert trainer.train().global_step == 1
    assert trainer.predict(Endless()).label_ids.tolist() == [0, 1] * 3


def test_rows_that_a_transform_makes(tmp_path):
    images = np.arange(6 * 8 * 8 * 3, dtype=np.uint8).reshape(6, 8, 8, 3)
    rows = ds.datasets.Dataset.from_dict({"image": images.tolist(), "class": [0, 1, 2] * 2})

    def change(batch):
        pixels = [np.asarray(i, np.float32).transpose(2, 0, 1) / 255 for i in batch["image"]]
        return {"pixel_values": pixels, "labels": batch["class"]}

    rows.set_transform(change)
    model = ds.models.ResNet([1, 1], num_classes=3, width=8)
    args = ds.TrainingArguments(tmp_path / "out", num_train_epochs=1, disable_tqdm=True)
    trainer = ds.Trainer(model, args, train_dataset=rows, eval_dataset=rows)
    batch = next(iter(trainer.get_eval_dataloader()))
    assert batch["pixel_values"].numpy() == pytest.approx(images.transpose(0, 3, 1, 2) / 255.0)
    assert batch["labels"].tolist() == [0, 1, 2] * 2
    assert trainer.train().global_step == 1


@pytest.mark.parametrize("options", [{}, {"max_new_tokens": 3}, {"num_beams": 3}])
def test_what_a_model_writes_is_evaluated(tmp_path, tokenizer, options):
    folder = small_models.save_model(tmp_path / "model", "T5ForConditionalGeneration")
    rows = [
        {"source": "the film was good", "target": "good"},
        {"source": "a very very bad film", "target": "very bad"},
        {"source": "not bad", "target": "good"},
    ]
    args = ds.Seq2SeqTrainingArguments(
        tmp_path / "out",
        predict_with_generate=True,
        generation_max_length=7,
        generation_num_beams=2,
        disable_tqdm=True,
    )
    seen = []
    trainer = ds.Seq2SeqTrainer(
        ds.models.T5ForConditionalGeneration.from_pretrained(folder),
        args,
        train_dataset=rows,
        eval_dataset=rows,
        compute_metrics=lambda p: seen.append(p) or {"width": p.predictions.shape[1]},
    )
    metrics = trainer.evaluate(**options)
    inputs = tokenizer([row["source"] for row in rows], padding=True, return_tensors="pt")
    inputs.pop("token_type_ids")
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(folder).eval()
    wanted = {"max_length": 7, "num_beams": 2, **options}
    if "max_new_tokens" in wanted:
        del wanted["max_length"]
    expected = theirs.generate(**inputs, **wanted)
    assert seen[0].predictions.tolist() == expected.tolist()
    assert metrics["eval_width"] == expected.shape[1] and np.isfinite(metrics["eval_loss"])
    assert trainer.predict(rows, **options).predictions.tolist() == expected.tolist()
    with pytest.raises(ds.ValueError, match="generation_num_beams 0"):
        ds.Seq2SeqTrainingArguments(tmp_path, generation_num_beams=0)


def test_metrics_are_shown_and_kept(tmp_path, capsys):
    trainer = trainer_for(tmp_path, "BertForSequenceClassification", small_models.classified(8))
    metrics = trainer.evaluate()
    trainer.save_metrics("eval", metrics)
    trainer.save_metrics("train", {"train_loss": 0.5})
    trainer.log_metrics("eval", {"eval_loss": 0.25, "epoch": 3})
    shown = capsys.readouterr().out
    assert shown.endswith("***** eval metrics *****\n  epoch     = 3\n  eval_loss = 0.2500\n")
    kept = json.loads((tmp_path / "out" / "all_results.json").read_text())
    assert kept == {**metrics, "train_loss": 0.5}
    assert json.loads((tmp_path / "out" / "eval_results.json").read_text()) == metrics


@pytest.mark.parametrize("labels", [[[1, 0, 1], [0, 0, 1]], [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]])
def test_several_labels_of_a_text(tmp_path, tokenizer, labels):
    rows = [{"text": "good", "labels": labels[0]}, {"text": "a bad film", "labels": labels[1]}]
    small_models.save_model(
        tmp_path / "model",
        "BertForSequenceClassification",
        num_labels=3,
        problem_type="multi_label_classification",
    )
    trainer = trainer_for(tmp_path, "BertForSequenceClassification", rows)
    theirs = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    batch = tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
    expected = theirs(**batch, labels=torch.tensor(labels, dtype=torch.float32)).loss.item()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-4)
    assert trainer.train().global_step == 1
    # A text of as many tokens as there are labels.
    (batch,) = batches(trainer.get_test_dataloader(rows[:1]))
    assert batch["labels"].tolist() == [[1.0, 0.0, 1.0]]


def test_choices_and_sentences_that_follow(tmp_path, tokenizer):
    """Against transformers' collator and models."""
    first = ["the film was"] * 3
    texts = [("good", "very bad", "it"), ("a", "an", "not good")]
    rows = []
    for label, choices in enumerate(texts):
        rows.append({**tokenizer(first, list(choices)), "label": label})
    folder = small_models.save_model(tmp_path / "choice", "BertForMultipleChoice")
    model = ds.models.BertForMultipleChoice.from_pretrained(folder)
    args = ds.TrainingArguments(tmp_path / "out", num_train_epochs=1, disable_tqdm=True)
    trainer = ds.Trainer(model, args, train_dataset=rows, eval_dataset=rows)
    collate = transformers.DataCollatorForMultipleChoice(tokenizer, pad_to_multiple_of=8)
    expected = collate([dict(row) for row in rows])
    (batch,) = batches(trainer.get_eval_dataloader())
    assert {k: v.tolist() for k, v in batch.items()} == {k: v.tolist() for k, v in expected.items()}
    theirs = transformers.BertForMultipleChoice.from_pretrained(folder).eval()
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] == pytest.approx(theirs(**expected).loss.item(), rel=1e-4)
    assert metrics["eval_steps_per_second"] > 0
    assert trainer.train().global_step == 1
    raw = [{"sent1": "the film was", "ending0": "good", "ending1": "bad", "label": 0}] * 2
    with pytest.raises(
        ds.ValueError, match="a list for each choice.*there are .'sent1', 'ending0'"
    ):
        trainer.evaluate(raw)
    with pytest.raises(ds.ValueError, match=r"rows have \[2, 3\] choices"):
        ds.DataCollatorForMultipleChoice()([rows[0], {"input_ids": [[1], [2]], "label": 0}])

    pairs = [{"a": "the film", "b": "was good", "label": 1}, {"a": "it", "b": "bad", "label": 0}]
    folder = small_models.save_model(tmp_path / "next", "BertForNextSentencePrediction")
    trainer = ds.Trainer(
        ds.models.BertForNextSentencePrediction.from_pretrained(folder), args, train_dataset=pairs,
        eval_dataset=pairs,
    )  # fmt: skip
    theirs = transformers.BertForNextSentencePrediction.from_pretrained(folder).eval()
    batch = tokenizer([p["a"] for p in pairs], [p["b"] for p in pairs], padding=True,
                      return_tensors="pt")  # fmt: skip
    loss = theirs(**batch, labels=torch.tensor([1, 0])).loss.item()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(loss, rel=1e-4)


def test_texts_by_language(tmp_path):
    flat = [{"en": "the film", "de": "a film"}, {"en": "good", "de": "not bad"}]
    nested = [{"id": i, "translation": row} for i, row in enumerate(flat)]
    loaders = [
        trainer_for(tmp_path, "T5ForConditionalGeneration", rows).get_eval_dataloader()
        for rows in (flat, nested)
    ]
    (a,), (b,) = map(batches, loaders)
    assert {k: v.tolist() for k, v in a.items()} == {k: v.tolist() for k, v in b.items()}


class Metric:
    """compute_metrics that forgets to return a dict."""

    def __call__(self, result):
        return 3.0


PLAIN = [{"input_ids": [2, 5, 3], "label": 1}, {"input_ids": [2, 6, 7, 3], "label": 0}]
WRONG = {
    "label above": ([{**row, "label": 5} for row in PLAIN], {}, "5 to 5, the model 2; load it"),
    "label below": ([{**row, "label": -1} for row in PLAIN], {}, "-1, the model 2; count from 0"),
    "no label": (
        ds.datasets.Dataset.from_list([{"input_ids": [2, 3], "mood": 1}]),
        {},
        "no loss for the inputs .*of the columns input_ids, mood.; name the column .*'labels'",
    ),
    "splits": ({"train": PLAIN, "test": PLAIN}, {}, "splits train, test; give one.*'train'"),
    "nothing": (None, {}, "train_dataset is missing"),
    "no rows": ([], {}, "train_dataset is empty"),
    "another tokenizer": (
        [{"input_ids": [2, 99, 3], "label": 0}],
        {},
        "token 99, the model's vocabulary 16 tokens; use the tokenizer that belongs",
    ),
    "collator": (
        PLAIN,
        {"data_collator": ds.default_data_collator},
        "rows of 'input_ids' have the shapes .3,., .4,.; pass data_collator=DataCollatorWithPad",
    ),
    "metric": (
        PLAIN,
        {"compute_metrics": Metric(), "eval_dataset": PLAIN},
        "compute_metrics returned a float; return a dict",
    ),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_what_is_wrong_with_data_is_told(tmp_path, name):
    rows, more, error = WRONG[name]
    folder = small_models.save_model(tmp_path / "model", "BertForSequenceClassification")
    model = ds.models.BertForSequenceClassification.from_pretrained(folder)
    args = ds.TrainingArguments(tmp_path, num_train_epochs=1, disable_tqdm=True)
    with pytest.raises(ds.ValueError, match=error):
        ds.Trainer(model, args, train_dataset=rows, **more).train()


def test_classes_that_are_stored_as_floats_are_classes(tmp_path):
    folder = small_models.save_model(tmp_path / "model", "BertForSequenceClassification")
    losses = []
    for kind in (int, float):
        rows = [{**row, "label": kind(row["label"])} for row in PLAIN]
        model = ds.models.BertForSequenceClassification.from_pretrained(folder)
        args = ds.TrainingArguments(tmp_path / "out", disable_tqdm=True)
        losses.append(ds.Trainer(model, args, eval_dataset=rows).evaluate()["eval_loss"])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"model": "bert-base-uncased"}, "model is a str; give a model"),
        ({"model": ds.models.BertForMaskedLM}, "model is a class; give a model"),
        ({"model": PLAIN}, "model is a list; give a model"),
        ({"model": ds.nn.Linear(1, 1), "args": {"output_dir": "x"}}, "args is a dict; give Train"),
    ],
)
def test_arguments_of_another_kind(given, error):
    with pytest.raises(TypeError, match=error):
        ds.Trainer(train_dataset=PLAIN, **given)


def test_an_evaluation_needs_data(tmp_path):
    trainer = ds.Trainer(ds.nn.Linear(1, 1), ds.TrainingArguments(tmp_path))
    with pytest.raises(ds.ValueError, match="data set to evaluate is missing; give it to Trainer"):
        trainer.evaluate()


def test_a_collator_of_ones_own_gets_rows_as_they_are(tmp_path):
    """With remove_unused_columns=False nothing is chosen, prepared or renamed."""
    folder = small_models.save_model(tmp_path / "model", "BertForSequenceClassification")
    tokenizer = models.AutoTokenizer.from_pretrained(folder)
    model = models.BertForSequenceClassification.from_pretrained(folder)
    seen = []

    def collate(rows):
        seen.extend(rows)
        batch = tokenizer([row["text"] for row in rows], padding=True, return_tensors="ds")
        return {**batch, "labels": ds.tensor([row["label"] for row in rows])}

    rows = [{"text": f"good film {i}", "label": i % 2, "note": "x"} for i in range(4)]
    args = ds.TrainingArguments(
        str(tmp_path / "run"), max_steps=1, remove_unused_columns=False, report_to="none"
    )
    ds.Trainer(model, args, train_dataset=rows, data_collator=collate).train()
    assert all(row.keys() == {"text", "label", "note"} for row in seen)


def test_columns_that_a_model_does_not_take_are_left_out(tmp_path):
    folder = small_models.save_model(tmp_path / "model", "T5ForConditionalGeneration")
    model = models.T5ForConditionalGeneration.from_pretrained(folder)
    row = {"input_ids": [5, 6], "token_type_ids": [0, 0], "labels": [7, 8], "document": "x"}
    args = ds.TrainingArguments(str(tmp_path / "run"), max_steps=1, report_to="none")
    trainer = ds.Trainer(model, args, train_dataset=[row] * 2, eval_dataset=[row])
    assert trainer.get_train_dataloader().dataset[0].keys() == {"input_ids", "labels"}
    trainer.train()
    bert = models.BertModel(models.BertConfig(hidden_size=8, num_hidden_layers=0, vocab_size=9))
    assert takes_none(bert, ["chosen", "rejected"])
    assert not takes_none(bert, ["chosen", "input_ids"])


def test_a_loss_of_ones_own_of_columns_that_the_model_does_not_take(tmp_path):
    """As preference optimisation has it: it is evaluated too."""
    folder = small_models.save_model(tmp_path / "model", "GPT2LMHeadModel")

    class Preferring(ds.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            better, worse = (model(inputs[n]).logits.mean() for n in ("chosen", "rejected"))
            loss = -ds.nn.functional.logsigmoid(better - worse)
            return (loss, {"margin": (better - worse).reshape(1)}) if return_outputs else loss

    data = [{"chosen": [5, 6, 7], "rejected": [8, 9, 10]}] * 8
    args = ds.TrainingArguments(
        str(tmp_path / "run"),
        num_train_epochs=4,
        remove_unused_columns=False,
        learning_rate=1e-2,
        report_to="none",
    )
    model = models.GPT2LMHeadModel.from_pretrained(folder)
    trainer = Preferring(model, args, train_dataset=data, eval_dataset=data)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before

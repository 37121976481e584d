# SPDX-License-Identifier: Apache-2.0
"""Searches for hyperparameters and model cards of ds.Trainer."""

import json

import deepseek as ds
import pytest

pytest.importorskip("transformers")
import small_models  # noqa: E402
from deepseek._trainer import search  # noqa: E402

ROWS = small_models.classified(16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_models.save_model(
        tmp_path_factory.mktemp("search"), "BertForSequenceClassification"
    )


def make(folder, tmp_path, model_init=None, **more):
    def new():
        return ds.models.BertForSequenceClassification.from_pretrained(folder)

    args = {"num_train_epochs": 1, "save_strategy": "no", "disable_tqdm": True}
    return ds.Trainer(
        args=ds.TrainingArguments(tmp_path / "runs", **args, **more.pop("args", {})),
        train_dataset=ROWS,
        eval_dataset=ROWS,
        model_init=model_init or new,
        **more,
    )


def rates(trial):
    return {"learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True)}


def test_the_best_run_can_be_trained_again(folder, tmp_path):
    trainer = make(folder, tmp_path)
    before = trainer.args.to_dict()
    best = trainer.hyperparameter_search(rates, n_trials=4, backend="random")
    assert trainer.args.to_dict() == before and not trainer.callback_handler.states()
    logs = {}
    for number in range(4):
        rate = search.Trial(number, trainer.args.seed)
        trainer.args.learning_rate = rates(rate)["learning_rate"]
        trainer.train()
        logs[str(number)] = trainer.evaluate()["eval_loss"]
        assert (tmp_path / "runs" / f"run-{number}" / "model.safetensors").is_file()
    assert best.objective == pytest.approx(min(logs.values())) == pytest.approx(logs[best.run_id])
    assert best.hyperparameters == rates(search.Trial(int(best.run_id), trainer.args.seed))


def test_objectives_directions_and_models_of_a_trial(folder, tmp_path, capsys):
    seen = []

    def new(trial):
        seen.append(trial and dict(trial.params))
        labels = trial.suggest_categorical("layers", [1]) if trial else 1
        assert labels == 1
        return ds.models.BertForSequenceClassification.from_pretrained(folder)

    trainer = make(
        folder,
        tmp_path,
        new,
        compute_metrics=lambda result: {"score": -float(trainer.args.learning_rate), "more": 1.0},
        args={"eval_strategy": "no"},
    )
    trainer.args.disable_tqdm = False
    best = trainer.hyperparameter_search(
        lambda trial: {
            "learning_rate": trial.suggest_categorical("learning_rate", [1e-3, 2e-3, 3e-3]),
            "layers": 1,
        },
        direction="maximize",
        n_trials=3,
        backend="random",
        hp_name=lambda trial: f"rate-{trial.params['learning_rate']}",
    )
    tried = [s["learning_rate"] for s in seen[1:]]
    assert seen[0] is None and len(tried) == 3 and best.hyperparameters["layers"] == 1
    assert best.objective == pytest.approx(1 - min(tried))
    assert (tmp_path / "runs" / f"rate-{min(tried)}").is_dir()
    assert "run 2: objective" in capsys.readouterr().err
    best = trainer.hyperparameter_search(
        lambda trial: {"per_device_train_batch_size": trial.suggest_int("size", 2, 16, log=True)},
        compute_objective=lambda metrics: metrics["eval_loss"],
        n_trials=1,
        backend="random",
    )
    assert best.objective > 0 and 2 <= best.hyperparameters["size"] <= 16


def test_random_trials_stay_in_their_ranges():
    for number in range(50):
        trial = search.Trial(number, 1)
        assert 1e-6 <= trial.suggest_float("a", 1e-6, 1e-4, log=True) <= 1e-4
        assert trial.suggest_float("b", 0.0, 1.0, step=0.25) in (0, 0.25, 0.5, 0.75, 1)
        assert trial.suggest_int("c", 3, 9, step=3) in (3, 6, 9)
        assert 1 <= trial.suggest_int("d", 1, 100, log=True) <= 100
        again = search.Trial(number, 1)
        assert again.suggest_float("a", 1e-6, 1e-4, log=True) == trial.params["a"]
    space = search.default_space(search.Trial(0, 0))
    assert space["per_device_train_batch_size"] in (4, 8, 16, 32, 64)
    for low, high, log in ((2, 1, False), (0, 1, True)):
        with pytest.raises(ds.ValueError, match="'x' from .* is no range"):
            search.Trial(0, 0).suggest_float("x", low, high, log=log)


def test_searches_that_make_no_sense(folder, tmp_path, monkeypatch):
    trainer = make(folder, tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    for arguments, error, text in (
        ({"backend": "optuna"}, ds.NotImplementedError, "pip install optuna, or pass backend"),
        ({"backend": "ray"}, ds.ValueError, "'ray' is unknown; use optuna, random"),
        ({"direction": "up"}, ds.ValueError, "'up' must be 'minimize' or 'maximize'"),
        ({"direction": "maximize"}, ds.ValueError, "compute_objective, or Trainer compute_metrics"),
        ({"n_trials": 0}, ds.ValueError, "n_trials 0"),
        ({"timeout": 3}, TypeError, "no option 'timeout'"),
        ({"hp_space": lambda trial: {"rate": 1}}, ds.ValueError, "'rate', which is no argument"),
        ({"hp_space": lambda trial: {"max_steps": 0}}, ds.ValueError, "max_steps 0"),
    ):
        with pytest.raises(error, match=text):
            trainer.hyperparameter_search(**arguments)
    trainer.eval_dataset = None
    with pytest.raises(ds.ValueError, match="eval_dataset to judge by"):
        trainer.hyperparameter_search(rates)
    model = ds.models.BertForSequenceClassification.from_pretrained(folder)
    with pytest.raises(ds.ValueError, match="function model_init instead of a model"):
        ds.Trainer(model, trainer.args, eval_dataset=ROWS).hyperparameter_search(rates)


def test_optuna_searches(folder, tmp_path):
    optuna = pytest.importorskip("optuna")
    trainer = make(folder, tmp_path)
    best = trainer.hyperparameter_search(
        rates, n_trials=3, backend="optuna", sampler=optuna.samplers.RandomSampler(seed=1)
    )
    assert best.hyperparameters.keys() == {"learning_rate"} and best.objective > 0


def test_a_model_card_is_one_that_hubs_read(folder, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    args = {"eval_strategy": "epoch", "learning_rate": 1e-2, "output_dir": tmp_path / "my-model"}
    trainer = ds.Trainer(
        ds.models.BertForSequenceClassification.from_pretrained(folder),
        ds.TrainingArguments(num_train_epochs=2, disable_tqdm=True, **args),
        train_dataset=ROWS,
        eval_dataset=ROWS,
        compute_metrics=lambda r: {"accuracy": float((r[0].argmax(-1) == r[1]).mean())},
    )
    trainer.train()
    trainer.create_model_card(
        language=["en", "no"],
        license="mit",
        tags='a "tag": 1',
        dataset="Films",
        dataset_tags="me/films",
        dataset_args="plain",
    )
    card = hub.ModelCard.load(tmp_path / "my-model" / "README.md")
    data = card.data.to_dict()
    assert data["language"] == ["en", "no"] and data["license"] == "mit"
    assert data["tags"] == ["generated_from_trainer", 'a "tag": 1']
    assert data["pipeline_tag"] == "text-classification" and data["datasets"] == ["me/films"]
    assert data["library_name"] == "transformers" and "base_model" not in data
    (result,) = card.data.eval_results
    last = [log for log in trainer.state.log_history if "eval_loss" in log][-1]
    assert (result.metric_type, result.metric_value) == ("accuracy", last["eval_accuracy"])
    assert (result.dataset_name, result.dataset_type, result.dataset_args) == (
        "Films",
        "me/films",
        "plain",
    )
    assert card.content.count(f"{last['eval_loss']:.4f}") >= 2  # above, and in the table
    for text in (
        "# my-model\n\nThis model is a fine-tuned version of a local model on the Films dataset.",
        "- learning_rate: 0.01\n- train_batch_size: 8\n",
        "| Training Loss | Epoch | Step | Validation Loss | Accuracy |",
    ):
        assert text in card.content
    trainer.create_model_card(finetuned_from="google/bert", model_name="other")
    card = hub.ModelCard.load(tmp_path / "my-model" / "README.md")
    assert card.data.base_model == "google/bert" and "# other\n" in card.content
    (tmp_path / "my-model" / "README.md").write_text("# Mine\n")
    with pytest.raises(ds.ValueError, match="README.md was not written by create_model_card"):
        trainer.create_model_card()
    assert json.loads((tmp_path / "my-model" / "config.json").read_text())["model_type"] == "bert"

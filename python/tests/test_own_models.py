# SPDX-License-Identifier: Apache-2.0
"""A user's own configuration, model and tokenizer behind the Auto classes, as in transformers."""

import json
import pickle

import deepseek as ds
import numpy as np
import pytest
import torch
from deepseek import models, nn
from deepseek.models import tokenization
from deepseek.models._config import CONFIGS
from deepseek.models.language import FAMILIES
from test_language_models import close

transformers = pytest.importorskip("transformers")


class TonesConfig(models.PretrainedConfig):
    model_type = "tones"

    def __init__(self, width=6, depth=2, **others):
        self.width, self.depth = width, depth
        super().__init__(**others)


class TonesModel(models.PreTrainedModel):
    config_class = TonesConfig
    base_model_prefix = "tones"

    def __init__(self, config):
        super().__init__(config)
        self.layers = nn.ModuleList(
            [nn.Linear(config.width, config.width) for _ in range(config.depth)]
        )
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            module.bias.fill_(0.25)

    def forward(self, x):
        for layer in self.layers:
            x = ds.tanh(layer(x))
        return models.ModelOutput(last_hidden_state=x)


class TonesForSequenceClassification(models.PreTrainedModel):
    config_class = TonesConfig
    base_model_prefix = "tones"

    def __init__(self, config):
        super().__init__(config)
        self.tones = TonesModel(config)
        self.classifier = nn.Linear(config.width, config.num_labels)

    def forward(self, x, labels=None):
        logits = self.classifier(self.tones(x).last_hidden_state)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return models.ModelOutput(loss=loss, logits=logits)


class OtherConfig(models.PretrainedConfig):
    model_type = "other"


@pytest.fixture
def registered():
    """The classes behind the Auto classes; what was there before comes back."""
    before = dict(CONFIGS), {kind: dict(family) for kind, family in FAMILIES.items()}
    models.AutoConfig.register("tones", TonesConfig)
    models.AutoModel.register(TonesConfig, TonesModel)
    models.AutoModelForSequenceClassification.register(TonesConfig, TonesForSequenceClassification)
    yield
    tokenization._OWN.clear()
    for table, old in zip((CONFIGS, FAMILIES), before, strict=True):
        table.clear()
        table.update(old)


def test_own_models_are_saved_and_found(registered, tmp_path):
    config = TonesConfig(width=5, num_labels=3)
    mine = TonesForSequenceClassification(config).eval()
    assert mine.tones.layers[1].bias.tolist() == [0.25] * 5
    mine.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "tones"
    x = ds.tensor(np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32))
    expected = mine(x)
    again, info = models.AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert type(again) is TonesForSequenceClassification and again.config == config
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    assert again(x).logits.tolist() == expected.logits.tolist() and not again.training
    with pytest.warns(models.LoadWarning, match="not in the model, ignored: classifier.bias"):
        base = models.AutoModel.from_pretrained(tmp_path)
    assert type(base) is TonesModel
    assert base.layers[1].weight.tolist() == mine.tones.layers[1].weight.tolist()
    found = models.AutoConfig.from_pretrained(tmp_path, depth=1)
    assert type(found) is TonesConfig and (found.width, found.depth) == (5, 1)
    made = models.AutoModel.from_config(TonesConfig(depth=3), dtype="bfloat16")
    assert len(made.layers) == 3 and made.dtype == ds.bfloat16
    with pytest.raises(ds.ValueError, match="no argument 'depht'"):
        models.AutoModel.from_pretrained(tmp_path, depht=2)
    with pytest.raises(ds.ValueError, match="a 'tones' model has no such head"):
        models.AutoModelForCausalLM.from_pretrained(tmp_path)
    loaded = pickle.loads(pickle.dumps(mine))
    assert loaded(x).logits.tolist() == expected.logits.tolist()


def test_the_same_classes_in_transformers_read_the_files(registered, tmp_path):
    """What is written under these names is what the same program writes with transformers."""

    class TheirConfig(transformers.PretrainedConfig):
        model_type = "tones"

        def __init__(self, width=6, depth=2, **others):
            self.width, self.depth = width, depth
            super().__init__(**others)

    class Their(transformers.PreTrainedModel):
        config_class = TheirConfig

        def __init__(self, config):
            super().__init__(config)
            self.layers = torch.nn.ModuleList(
                [torch.nn.Linear(config.width, config.width) for _ in range(config.depth)]
            )
            self.post_init()

        def forward(self, x):
            for layer in self.layers:
                x = torch.tanh(layer(x))
            return x

    x = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    theirs = Their(TheirConfig()).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    mine = models.AutoModel.from_pretrained(tmp_path / "theirs")
    close(mine(ds.tensor(x)).last_hidden_state, theirs(torch.tensor(x)))
    mine.save_pretrained(tmp_path / "mine")
    again = Their.from_pretrained(tmp_path / "mine")
    close(mine(ds.tensor(x)).last_hidden_state, again(torch.tensor(x)))


def test_own_models_are_trained(registered, tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {"x": rng.standard_normal(6).astype(np.float32) + 2 * (i % 2), "labels": i % 2}
        for i in range(32)
    ]
    args = ds.TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=8, learning_rate=2e-2, report_to="none"
    )
    model = models.AutoModelForSequenceClassification.from_config(TonesConfig())
    trainer = ds.Trainer(model=model, args=args, train_dataset=rows, eval_dataset=rows)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < 0.7 * before


def test_all_models_are_pretrained_models():
    for name in ("BertModel", "GPT2LMHeadModel", "ViTModel", "ResNetModel", "CLIPModel"):
        assert issubclass(getattr(models, name), models.PreTrainedModel), name
    config = models.BertConfig(
        vocab_size=9, hidden_size=4, num_hidden_layers=0, num_attention_heads=1, intermediate_size=4
    )
    bert = models.BertModel(config)
    assert isinstance(bert, models.PreTrainedModel) and not isinstance(bert, TonesModel)
    assert not isinstance(nn.Linear(1, 1), models.PreTrainedModel)
    assert not issubclass(TonesModel, TonesForSequenceClassification)


def test_names_that_are_taken(registered):
    with pytest.raises(ds.ValueError, match="TonesConfig.model_type is 'tones', not 'noise'"):
        models.AutoConfig.register("noise", TonesConfig)
    with pytest.raises(ds.ValueError, match="TonesModel.config_class is TonesConfig, not OtherCon"):
        models.AutoModel.register(OtherConfig, TonesModel)

    class Again(models.PretrainedConfig):
        model_type = "tones"

    class AgainModel(TonesModel):
        pass

    with pytest.raises(ds.ValueError, match="'tones' is that of TonesConfig"):
        models.AutoConfig.register("tones", Again)
    with pytest.raises(ds.ValueError, match="TonesConfig has TonesModel already"):
        models.AutoModel.register(TonesConfig, AgainModel)
    models.AutoConfig.register("tones", TonesConfig)  # the same again is nothing new
    models.AutoModel.register(TonesConfig, TonesModel)
    models.AutoModel.register(TonesConfig, AgainModel, exist_ok=True)
    assert type(models.AutoModel.from_config(TonesConfig())) is AgainModel
    with pytest.raises(ds.ValueError, match="'other' model has no such head"):
        models.AutoModel.from_config(OtherConfig())


def test_own_tokenizers_are_found(registered, tmp_path):
    class Letters:
        @classmethod
        def from_pretrained(cls, name, **arguments):
            return cls()

        def __call__(self, text):
            return {"input_ids": [ord(letter) - ord("a") for letter in text]}

    TonesConfig().save_pretrained(tmp_path / "tones")
    (tmp_path / "bert").mkdir()
    models.BertConfig().save_pretrained(tmp_path / "bert")
    (tmp_path / "bert" / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\n")
    models.AutoTokenizer.register(TonesConfig, Letters)
    made = models.AutoTokenizer.from_pretrained(tmp_path / "tones")
    assert type(made) is Letters and made("bad")["input_ids"] == [1, 0, 3]
    other = models.AutoTokenizer.from_pretrained(tmp_path / "bert")
    assert other("good")["input_ids"] == [2, 5, 3]
    with pytest.raises(ds.ValueError, match="give a tokenizer class"):
        models.AutoTokenizer.register(TonesConfig)
    with pytest.raises(ds.ValueError, match="TonesConfig has Letters already"):
        models.AutoTokenizer.register(TonesConfig, fast_tokenizer_class=str)

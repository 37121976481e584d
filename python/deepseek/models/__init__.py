# SPDX-License-Identifier: Apache-2.0
"""Models by name."""

from collections.abc import Callable

from .. import _core, nn
from ._config import (
    AutoConfig,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    T5Config,
)
from ._output import ModelOutput
from ._pretrained import LoadWarning, PreTrainedModel
from .auto import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from .generation import GenerationConfig
from .language import CLASSES
from .streamers import TextIteratorStreamer, TextStreamer
from .tokenization import AutoTokenizer, BatchEncoding, PreTrainedTokenizer

globals().update(CLASSES)
ResNet = _core._hub.ResNet
ResNetBlock = _core._hub.ResNetBlock
for _class in (ResNet, ResNetBlock):
    _class.__module__ = __name__  # where pickles find it


def resnet8(num_classes: int = 10, in_channels: int = 1) -> ResNet:
    """Three blocks for images of 8 to 40 pixels: 0.3 million parameters."""
    return ResNet(
        [1, 1, 1], num_classes=num_classes, in_channels=in_channels, width=32, small_input=True
    )


def resnet20(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """The network of He et al. (2016) for CIFAR, a little wider."""
    return ResNet(
        [3, 3, 3], num_classes=num_classes, in_channels=in_channels, width=16, small_input=True
    )


def resnet18(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-18."""
    return ResNet([2, 2, 2, 2], num_classes=num_classes, in_channels=in_channels)


def resnet34(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-34."""
    return ResNet([3, 4, 6, 3], num_classes=num_classes, in_channels=in_channels)


def resnet50(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-50."""
    return ResNet([3, 4, 6, 3], True, num_classes=num_classes, in_channels=in_channels)


def lenet(num_classes: int = 10, in_channels: int = 1) -> nn.Sequential:
    """Two convolutions and two linear layers, after LeCun et al. (1998), for 28 to 36 pixels."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(64 * 16, 128),
        nn.ReLU(),
        nn.Linear(128, num_classes),
    )


MODELS: dict[str, Callable[..., nn.Module]] = {
    f.__name__: f for f in (resnet8, resnet20, resnet18, resnet34, resnet50, lenet)
}


def create(name: str, num_classes: int, in_channels: int) -> nn.Module:
    """A model of MODELS with fresh weights; KeyError lists the names for another one."""
    if name not in MODELS:
        raise _core.KeyError(f"model '{name}' is unknown; use {', '.join(MODELS)}")
    return MODELS[name](num_classes=num_classes, in_channels=in_channels)


__all__ = [
    "AutoConfig",
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoModelForMaskedLM",
    "AutoModelForQuestionAnswering",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoTokenizer",
    "BatchEncoding",
    "BertConfig",
    "DistilBertConfig",
    "GPT2Config",
    "GenerationConfig",
    "LlamaConfig",
    "LoadWarning",
    "MODELS",
    "MistralConfig",
    "ModelOutput",
    "PreTrainedModel",
    "PreTrainedTokenizer",
    "PretrainedConfig",
    "Qwen2Config",
    "Qwen3Config",
    "ResNet",
    "ResNetBlock",
    "RobertaConfig",
    "T5Config",
    "TextIteratorStreamer",
    "TextStreamer",
    "create",
    "lenet",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet8",
    *CLASSES,
]

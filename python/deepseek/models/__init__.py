# SPDX-License-Identifier: Apache-2.0
"""Models by name."""

import difflib
from collections.abc import Callable

from .. import _core, nn
from . import image_bodies, vision
from ._config import (
    AlbertConfig,
    AutoConfig,
    BertConfig,
    CamembertConfig,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    MPNetConfig,
    MT5Config,
    PretrainedConfig,
    RobertaConfig,
    T5Config,
    XLMRobertaConfig,
)
from ._decoder_config import DECODERS
from ._encoder_config import ENCODERS
from ._gpt_config import NORMED
from ._output import ModelOutput
from ._pretrained import LoadWarning, PreTrainedModel
from ._seq2seq_config import BARTS
from .auto import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForMaskedImageModeling,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForNextSentencePrediction,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSemanticSegmentation,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    classifies_images,
)
from .beit import (
    BeitConfig,
    BeitForImageClassification,
    BeitForMaskedImageModeling,
    BeitForSemanticSegmentation,
    BeitModel,
)
from .clip import (
    CLIPConfig,
    CLIPForImageClassification,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
)
from .criteria import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)
from .encoding import BatchEncoding
from .generation import DynamicCache, GenerationConfig
from .image_processing import PROCESSORS, AutoImageProcessor, ImageProcessor
from .language import CLASSES
from .siglip import (
    SiglipConfig,
    SiglipForImageClassification,
    SiglipModel,
    SiglipTextConfig,
    SiglipTextModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)
from .streamers import TextIteratorStreamer, TextStreamer
from .tokenization import AutoTokenizer, PreTrainedTokenizer
from .vision import (
    VGG,
    ConvNeXt,
    DenseNet,
    EfficientNet,
    ImageConfig,
    ResNet,
    SwinTransformer,
    VisionTransformer,
)
from .vit import (
    DeiTConfig,
    DeiTForImageClassification,
    DeiTForImageClassificationWithTeacher,
    DeiTForMaskedImageModeling,
    DeiTModel,
    Dinov2Config,
    Dinov2ForImageClassification,
    Dinov2Model,
    ViTConfig,
    ViTForImageClassification,
    ViTForMaskedImageModeling,
    ViTModel,
)

_TEXT_CONFIGS = {
    config.__name__: config for config in (ENCODERS | DECODERS | NORMED | BARTS).values()
}
#: Names that tokenizers have in transformers; what one does its files say.
_TOKENIZERS = dict.fromkeys(
    (
        "PreTrainedTokenizerFast",
        *(
            f"{family}Tokenizer{kind}"
            for family in (
                *("Albert", "Bart", "Bert", "Bloom", "CLIP", "Camembert", "DebertaV2"),
                *("DistilBert", "Electra", "GPT2", "GPTNeoX", "Gemma", "Llama", "MPNet"),
                *("Pegasus", "Qwen2", "Roberta", "T5", "XLMRoberta"),
            )
            for kind in ("", "Fast")
        ),
    ),
    PreTrainedTokenizer,
)
globals().update(CLASSES)
globals().update(_TEXT_CONFIGS)
globals().update(image_bodies.CLASSES)
globals().update(_TOKENIZERS)
globals().update(PROCESSORS)
ResNetBlock = _core._hub.ResNetBlock
ResNetBlock.__module__ = __name__  # where pickles find it


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


#: Image classifiers by name: functions that take num_classes and in_channels.
MODELS: dict[str, Callable[..., nn.Module]] = {"lenet": lenet, **vision.MODELS}
globals().update(vision.MODELS)


def create(name: str, num_classes: int, in_channels: int) -> nn.Module:
    """A model of MODELS with fresh weights; KeyError lists similar names for another one."""
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=5, cutoff=0.4) or ["resnet18"]
        raise _core.KeyError(
            f"model '{name}' is unknown; `deepseek models list` shows all, such as "
            f"{', '.join(near)}"
        )
    return MODELS[name](num_classes=num_classes, in_channels=in_channels)


__all__ = [
    "AlbertConfig",
    "AutoConfig",
    "AutoImageProcessor",
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoModelForImageClassification",
    "AutoModelForMaskedImageModeling",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForNextSentencePrediction",
    "AutoModelForPreTraining",
    "AutoModelForQuestionAnswering",
    "AutoModelForSemanticSegmentation",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoTokenizer",
    "BatchEncoding",
    "BeitConfig",
    "BeitForImageClassification",
    "BeitForMaskedImageModeling",
    "BeitForSemanticSegmentation",
    "BeitModel",
    "BertConfig",
    "CLIPConfig",
    "CLIPForImageClassification",
    "CLIPModel",
    "CLIPTextConfig",
    "CLIPTextModel",
    "CLIPTextModelWithProjection",
    "CLIPVisionConfig",
    "CLIPVisionModel",
    "CLIPVisionModelWithProjection",
    "CamembertConfig",
    "ConvNeXt",
    "DenseNet",
    "DeiTConfig",
    "DeiTForImageClassification",
    "DeiTForImageClassificationWithTeacher",
    "DeiTForMaskedImageModeling",
    "DeiTModel",
    "Dinov2Config",
    "Dinov2ForImageClassification",
    "Dinov2Model",
    "DistilBertConfig",
    "DynamicCache",
    "ElectraConfig",
    "EfficientNet",
    "GPT2Config",
    "GenerationConfig",
    "ImageConfig",
    "ImageProcessor",
    "LoadWarning",
    "LogitsProcessor",
    "LogitsProcessorList",
    "MODELS",
    "MPNetConfig",
    "MT5Config",
    "ModelOutput",
    "PreTrainedModel",
    "PreTrainedTokenizer",
    "PretrainedConfig",
    "ResNet",
    "ResNetBlock",
    "RobertaConfig",
    "SiglipConfig",
    "SiglipForImageClassification",
    "SiglipModel",
    "SiglipTextConfig",
    "SiglipTextModel",
    "SiglipVisionConfig",
    "SiglipVisionModel",
    "StoppingCriteria",
    "StoppingCriteriaList",
    "SwinTransformer",
    "T5Config",
    "TextIteratorStreamer",
    "TextStreamer",
    "VGG",
    "ViTConfig",
    "ViTForImageClassification",
    "ViTForMaskedImageModeling",
    "ViTModel",
    "VisionTransformer",
    "XLMRobertaConfig",
    "create",
    "lenet",
    *CLASSES,
    *_TEXT_CONFIGS,
    *image_bodies.CLASSES,
    *_TOKENIZERS,
    *PROCESSORS,
    *vision.MODELS,
]

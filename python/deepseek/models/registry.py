# SPDX-License-Identifier: Apache-2.0
"""Names of pretrained models: which repository of a hub holds the weights of deepseek/NAME."""

import difflib
from typing import NamedTuple

from .. import _core
from .registry_images import IMAGES


class Source(NamedTuple):
    """Where weights come from and under which licence; None where the repository names none."""

    repository: str
    licence: str | None


SOURCES: dict[str, Source] = {
    **{name: Source(f"timm/{name}.{tag}", licence) for name, (tag, licence) in IMAGES.items()},
    "vit-base-patch16-224": Source("google/vit-base-patch16-224", "apache-2.0"),
    "vit-base-patch16-384": Source("google/vit-base-patch16-384", "apache-2.0"),
    "vit-large-patch16-224": Source("google/vit-large-patch16-224", "apache-2.0"),
    "deit-base-distilled-patch16-224": Source(
        "facebook/deit-base-distilled-patch16-224", "apache-2.0"
    ),
    **{
        f"dinov2-{size}": Source(f"facebook/dinov2-{size}", "apache-2.0")
        for size in ("small", "base", "large", "giant")
    },
    "beit-base-patch16-224": Source("microsoft/beit-base-patch16-224", "apache-2.0"),
    "beit-base-patch16-384": Source("microsoft/beit-base-patch16-384", "apache-2.0"),
    "beit-large-patch16-224": Source("microsoft/beit-large-patch16-224", "apache-2.0"),
    **{
        f"mobilenet_v2_{width}_{side}": Source(f"google/mobilenet_v2_{width}_{side}", "other")
        for width, side in (("0.35", 96), ("0.75", 160), ("1.0", 224), ("1.4", 224))
    },
    **{f"efficientnet-b{i}": Source(f"google/efficientnet-b{i}", "apache-2.0") for i in range(8)},
    **{
        f"segformer-b{i}-finetuned-ade-{side}-{side}": Source(
            f"nvidia/segformer-b{i}-finetuned-ade-{side}-{side}", "other"
        )
        for i, side in ((0, 512), (1, 512), (2, 512), (3, 512), (4, 512), (5, 640))
    },
    "clip-vit-base-patch32": Source("openai/clip-vit-base-patch32", None),
    "clip-vit-base-patch16": Source("openai/clip-vit-base-patch16", None),
    "clip-vit-large-patch14": Source("openai/clip-vit-large-patch14", None),
    **{
        f"siglip-{size}": Source(f"google/siglip-{size}", "apache-2.0")
        for size in (
            "base-patch16-224",
            "base-patch16-256",
            "base-patch16-384",
            "base-patch16-512",
            "large-patch16-256",
            "large-patch16-384",
            "so400m-patch14-384",
        )
    },
    "bert-base-uncased": Source("google-bert/bert-base-uncased", "apache-2.0"),
    "bert-base-cased": Source("google-bert/bert-base-cased", "apache-2.0"),
    "bert-base-chinese": Source("google-bert/bert-base-chinese", "apache-2.0"),
    "bert-base-multilingual-cased": Source(
        "google-bert/bert-base-multilingual-cased", "apache-2.0"
    ),
    "bert-base-multilingual-uncased": Source(
        "google-bert/bert-base-multilingual-uncased", "apache-2.0"
    ),
    "bert-base-german-cased": Source("google-bert/bert-base-german-cased", "mit"),
    "bert-large-uncased": Source("google-bert/bert-large-uncased", "apache-2.0"),
    "bert-large-cased": Source("google-bert/bert-large-cased", "apache-2.0"),
    "roberta-base": Source("FacebookAI/roberta-base", "mit"),
    "roberta-large": Source("FacebookAI/roberta-large", "mit"),
    "distilbert-base-uncased": Source("distilbert/distilbert-base-uncased", "apache-2.0"),
    "distilbert-base-cased": Source("distilbert/distilbert-base-cased", "apache-2.0"),
    "distilbert-base-multilingual-cased": Source(
        "distilbert/distilbert-base-multilingual-cased", "apache-2.0"
    ),
    **{
        f"albert-{size}-{version}": Source(f"albert/albert-{size}-{version}", "apache-2.0")
        for size in ("base", "large", "xlarge", "xxlarge")
        for version in ("v1", "v2")
    },
    "distilroberta-base": Source("distilbert/distilroberta-base", "apache-2.0"),
    "xlm-roberta-base": Source("FacebookAI/xlm-roberta-base", "mit"),
    "xlm-roberta-large": Source("FacebookAI/xlm-roberta-large", "mit"),
    "mpnet-base": Source("microsoft/mpnet-base", None),
    "all-mpnet-base-v2": Source("sentence-transformers/all-mpnet-base-v2", "apache-2.0"),
    **{
        f"deberta-v3-{size}": Source(f"microsoft/deberta-v3-{size}", "mit")
        for size in ("xsmall", "small", "base", "large")
    },
    **{
        f"modernbert-{size}": Source(f"answerdotai/ModernBERT-{size}", "apache-2.0")
        for size in ("base", "large")
    },
    "camembert-base": Source("almanach/camembert-base", "mit"),
    **{
        f"electra-{size}-{part}": Source(f"google/electra-{size}-{part}", "apache-2.0")
        for size in ("small", "base", "large")
        for part in ("discriminator", "generator")
    },
    "all-minilm-l6-v2": Source("sentence-transformers/all-MiniLM-L6-v2", "apache-2.0"),
    "gpt2": Source("openai-community/gpt2", "mit"),
    "gpt2-medium": Source("openai-community/gpt2-medium", "mit"),
    "gpt2-large": Source("openai-community/gpt2-large", "mit"),
    "gpt2-xl": Source("openai-community/gpt2-xl", "mit"),
    "distilgpt2": Source("distilbert/distilgpt2", "apache-2.0"),
    "gpt-neo-125m": Source("EleutherAI/gpt-neo-125m", "mit"),
    "gpt-neo-1.3b": Source("EleutherAI/gpt-neo-1.3B", "mit"),
    "gpt-neo-2.7b": Source("EleutherAI/gpt-neo-2.7B", "mit"),
    "gpt-j-6b": Source("EleutherAI/gpt-j-6b", "apache-2.0"),
    "gpt-neox-20b": Source("EleutherAI/gpt-neox-20b", "apache-2.0"),
    **{
        f"pythia-{size}": Source(f"EleutherAI/pythia-{size}", "apache-2.0")
        for size in ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
    },
    **{
        f"opt-{size}": Source(f"facebook/opt-{size}", "other")
        for size in ("125m", "350m", "1.3b", "2.7b", "6.7b")
    },
    **{
        f"bloom-{size}": Source(f"bigscience/bloom-{size}", "bigscience-bloom-rail-1.0")
        for size in ("560m", "1b1", "1b7", "3b", "7b1")
    },
    "falcon-7b": Source("tiiuae/falcon-7b", "apache-2.0"),
    "falcon-7b-instruct": Source("tiiuae/falcon-7b-instruct", "apache-2.0"),
    "falcon-40b": Source("tiiuae/falcon-40b", "apache-2.0"),
    "phi-1": Source("microsoft/phi-1", "mit"),
    "phi-1_5": Source("microsoft/phi-1_5", "mit"),
    "phi-2": Source("microsoft/phi-2", "mit"),
    "stablelm-3b-4e1t": Source("stabilityai/stablelm-3b-4e1t", "cc-by-sa-4.0"),
    "stablelm-2-1_6b": Source("stabilityai/stablelm-2-1_6b", "other"),
    "starcoder2-3b": Source("bigcode/starcoder2-3b", "bigcode-openrail-m"),
    "starcoder2-7b": Source("bigcode/starcoder2-7b", "bigcode-openrail-m"),
    "starcoder2-15b": Source("bigcode/starcoder2-15b", "bigcode-openrail-m"),
    "olmo-1b": Source("allenai/OLMo-1B-hf", "apache-2.0"),
    "olmo-7b": Source("allenai/OLMo-7B-hf", "apache-2.0"),
    "mt5-small": Source("google/mt5-small", "apache-2.0"),
    "mt5-base": Source("google/mt5-base", "apache-2.0"),
    "mt5-large": Source("google/mt5-large", "apache-2.0"),
    "t5-small": Source("google-t5/t5-small", "apache-2.0"),
    "t5-base": Source("google-t5/t5-base", "apache-2.0"),
    "t5-large": Source("google-t5/t5-large", "apache-2.0"),
    "t5-v1_1-small": Source("google/t5-v1_1-small", "apache-2.0"),
    "t5-v1_1-base": Source("google/t5-v1_1-base", "apache-2.0"),
    "flan-t5-small": Source("google/flan-t5-small", "apache-2.0"),
    "flan-t5-base": Source("google/flan-t5-base", "apache-2.0"),
    "flan-t5-large": Source("google/flan-t5-large", "apache-2.0"),
    "bart-base": Source("facebook/bart-base", "apache-2.0"),
    "bart-large": Source("facebook/bart-large", "apache-2.0"),
    "bart-large-cnn": Source("facebook/bart-large-cnn", "mit"),
    "bart-large-xsum": Source("facebook/bart-large-xsum", "mit"),
    "bart-large-mnli": Source("facebook/bart-large-mnli", "mit"),
    "distilbart-cnn-12-6": Source("sshleifer/distilbart-cnn-12-6", "apache-2.0"),
    "mbart-large-cc25": Source("facebook/mbart-large-cc25", None),
    "mbart-large-50-many-to-many-mmt": Source("facebook/mbart-large-50-many-to-many-mmt", None),
    "pegasus-large": Source("google/pegasus-large", None),
    "pegasus-xsum": Source("google/pegasus-xsum", None),
    "pegasus-cnn_dailymail": Source("google/pegasus-cnn_dailymail", None),
    "tinyllama-1.1b-chat": Source("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "apache-2.0"),
    "smollm2-135m": Source("HuggingFaceTB/SmolLM2-135M", "apache-2.0"),
    "smollm2-360m": Source("HuggingFaceTB/SmolLM2-360M", "apache-2.0"),
    "smollm2-1.7b": Source("HuggingFaceTB/SmolLM2-1.7B", "apache-2.0"),
    "llama-3.2-1b": Source("meta-llama/Llama-3.2-1B", "llama3.2"),
    "llama-3.1-8b": Source("meta-llama/Llama-3.1-8B", "llama3.1"),
    "smollm3-3b": Source("HuggingFaceTB/SmolLM3-3B", "apache-2.0"),
    "mistral-7b-v0.1": Source("mistralai/Mistral-7B-v0.1", "apache-2.0"),
    "mixtral-8x7b-v0.1": Source("mistralai/Mixtral-8x7B-v0.1", "apache-2.0"),
    "mixtral-8x7b-instruct-v0.1": Source("mistralai/Mixtral-8x7B-Instruct-v0.1", "apache-2.0"),
    "qwen2-0.5b": Source("Qwen/Qwen2-0.5B", "apache-2.0"),
    "qwen2-1.5b": Source("Qwen/Qwen2-1.5B", "apache-2.0"),
    "qwen2-7b": Source("Qwen/Qwen2-7B", "apache-2.0"),
    "qwen2.5-0.5b": Source("Qwen/Qwen2.5-0.5B", "apache-2.0"),
    "qwen2.5-7b": Source("Qwen/Qwen2.5-7B", "apache-2.0"),
    "qwen3-0.6b": Source("Qwen/Qwen3-0.6B", "apache-2.0"),
    "qwen3-1.7b": Source("Qwen/Qwen3-1.7B", "apache-2.0"),
    "qwen3-4b": Source("Qwen/Qwen3-4B", "apache-2.0"),
    "qwen3-8b": Source("Qwen/Qwen3-8B", "apache-2.0"),
    "qwen3-30b-a3b": Source("Qwen/Qwen3-30B-A3B", "apache-2.0"),
    "gemma-2b": Source("google/gemma-2b", "gemma"),
    "gemma-7b": Source("google/gemma-7b", "gemma"),
    "gemma-2-2b": Source("google/gemma-2-2b", "gemma"),
    "gemma-2-9b": Source("google/gemma-2-9b", "gemma"),
    "gemma-3-270m": Source("google/gemma-3-270m", "gemma"),
    "gemma-3-1b-pt": Source("google/gemma-3-1b-pt", "gemma"),
    "phi-3-mini-4k-instruct": Source("microsoft/Phi-3-mini-4k-instruct", "mit"),
    "phi-4": Source("microsoft/phi-4", "mit"),
    "phi-4-mini-instruct": Source("microsoft/Phi-4-mini-instruct", "mit"),
    "olmo-2-1b": Source("allenai/OLMo-2-0425-1B", "apache-2.0"),
    "olmo-2-7b": Source("allenai/OLMo-2-1124-7B", "apache-2.0"),
    "olmoe-1b-7b": Source("allenai/OLMoE-1B-7B-0924", "apache-2.0"),
    "granite-3.1-2b-base": Source("ibm-granite/granite-3.1-2b-base", "apache-2.0"),
    "granite-3.1-8b-base": Source("ibm-granite/granite-3.1-8b-base", "apache-2.0"),
    "deepseek-v2-lite": Source("deepseek-ai/DeepSeek-V2-Lite", "deepseek"),
    "deepseek-r1-distill-qwen-1.5b": Source("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "mit"),
    "deepseek-r1-distill-llama-8b": Source("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "mit"),
}


def repository_of(name: str) -> str:
    """The repository of deepseek/NAME; any other name is one. KeyError lists the known names."""
    owner, _, model = name.partition("/")
    if owner != "deepseek" or not model:
        return name
    if model.lower() not in SOURCES:
        near = difflib.get_close_matches(model.lower(), SOURCES, n=5, cutoff=0.4)
        raise _core.KeyError(
            f"the model '{name}' is unknown; `deepseek models list` shows the known ones"
            + (f", such as {', '.join(near)}" if near else "")
            + "; or use the name of its repository"
        )
    return SOURCES[model.lower()].repository

# SPDX-License-Identifier: Apache-2.0
"""What is known of each model: family, size, source and published recipe. `deepseek models` and the
pages of docs/models show it. A fact without a source is left out."""

import functools
from typing import NamedTuple

from .. import _core
from . import clip, language, siglip, vision  # noqa: F401: the first and third add families
from ._card_sizes import COUNTED, LANGUAGE
from ._config import CONFIGS
from .registry import SOURCES, Source

IMAGES, PIXELS, TOKENS, NEXT, PAIRS, STATES, BOTH = (
    "image-classification",
    "image-segmentation",
    "fill-mask",
    "text-generation",
    "text2text-generation",
    "feature-extraction",
    "zero-shot-image-classification",
)


#: Public data to try fine-tuning on, by task.
DATA = {
    IMAGES: "Imagenette or Food-101, as a folder of images for every class",
    PIXELS: "ADE20K (scenes of 150 classes), as images and pictures of classes",
    TOKENS: "SST-2 of GLUE (reviews of films, two classes), as train.csv and test.csv",
    NEXT: "WikiText-2 (articles of Wikipedia), as text files",
    PAIRS: "XSum (news and their summaries), as train.csv and test.csv",
    STATES: "STS Benchmark (pairs of sentences and how alike they are)",
    BOTH: "Flickr30k (pictures and their captions)",
}
#: Public data of models that translate.
TRANSLATIONS = "WMT16 (sentences in two languages), as train.csv and test.csv"


class Family(NamedTuple):
    """Models of one design. `recipe` are hyperparameters as the paper gives them; for language
    models those of fine-tuning. `data` is public data to try it on, where DATA's of the task does
    not fit."""

    title: str
    prefixes: tuple[str, ...]
    task: str
    paper: str
    recipe: str = ""
    data: str = ""

    def data_to_try(self) -> str:
        """Public data to adapt a model to."""
        return self.data or DATA[self.task]


FAMILIES = (
    Family(
        "ResNet",
        ("resnet",),
        IMAGES,
        "He et al., Deep Residual Learning for Image Recognition, 2016 (arXiv:1512.03385)",
        "SGD, momentum 0.9, weight decay 1e-4, batch 256, learning rate 0.1 divided by 10 when the "
        "error stops falling (section 3.4)",
    ),
    Family(
        "ResNeXt",
        ("resnext",),
        IMAGES,
        "Xie et al., Aggregated Residual Transformations for Deep Neural Networks, 2017 "
        "(arXiv:1611.05431)",
        "SGD, momentum 0.9, weight decay 1e-4, batch 256, learning rate 0.1 divided by 10 three "
        "times (section 4)",
    ),
    Family(
        "Wide ResNet",
        ("wide_resnet",),
        IMAGES,
        "Zagoruyko and Komodakis, Wide Residual Networks, 2016 (arXiv:1605.07146)",
    ),
    Family(
        "ResNet-D",
        tuple(f"resnet{depth}d" for depth in (18, 26, 34, 50, 101, 152, 200)),
        IMAGES,
        "He et al., Bag of Tricks for Image Classification with Convolutional Neural Networks, "
        "2019 (arXiv:1812.01187)",
    ),
    Family(
        "SE-ResNet and SE-ResNeXt",
        ("seresnet", "seresnext"),
        IMAGES,
        "Hu et al., Squeeze-and-Excitation Networks, 2018 (arXiv:1709.01507)",
    ),
    Family(
        "VGG",
        ("vgg",),
        IMAGES,
        "Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image "
        "Recognition, 2015 (arXiv:1409.1556)",
        "SGD, momentum 0.9, weight decay 5e-4, dropout 0.5, batch 256, learning rate 0.01 divided "
        "by 10 when the accuracy stops rising (section 3.1)",
    ),
    Family(
        "DenseNet",
        ("densenet",),
        IMAGES,
        "Huang et al., Densely Connected Convolutional Networks, 2017 (arXiv:1608.06993)",
        "SGD, momentum 0.9, weight decay 1e-4, batch 256, 90 epochs, learning rate 0.1 divided by "
        "10 at epochs 30 and 60 (section 4.2)",
    ),
    Family(
        "MobileNetV2",
        ("mobilenetv2", "mobilenet_v2"),
        IMAGES,
        "Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018 "
        "(arXiv:1801.04381)",
        "RMSprop, decay and momentum 0.9, weight decay 4e-5, batch 96, learning rate 0.045 times "
        "0.98 each epoch (section 6.1)",
    ),
    Family(
        "MobileNetV3",
        ("mobilenetv3", "tf_mobilenetv3"),
        IMAGES,
        "Howard et al., Searching for MobileNetV3, 2019 (arXiv:1905.02244)",
        "RMSprop, momentum 0.9, weight decay 1e-5, batch 4096, learning rate 0.1 times 0.99 every "
        "3 epochs (section 6.1)",
    ),
    Family(
        "EfficientNet",
        ("efficientnet_b", "tf_efficientnet_b", "efficientnet-b"),
        IMAGES,
        "Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, "
        "2019 (arXiv:1905.11946)",
        "RMSprop, decay and momentum 0.9, weight decay 1e-5, learning rate 0.256 times 0.97 every "
        "2.4 epochs (section 5.2)",
    ),
    Family(
        "EfficientNet-Lite",
        ("efficientnet_lite", "tf_efficientnet_lite"),
        IMAGES,
        "EfficientNet without squeeze-and-excitation, with ReLU6, for mobile devices",
    ),
    Family(
        "EfficientNetV2",
        ("tf_efficientnetv2",),
        IMAGES,
        "Tan and Le, EfficientNetV2: Smaller Models and Faster Training, 2021 (arXiv:2104.00298)",
        "RMSprop, decay and momentum 0.9, weight decay 1e-5, batch 4096, 350 epochs, learning rate "
        "0.256 times 0.97 every 2.4 epochs (section 5.1)",
    ),
    Family(
        "ConvNeXt",
        ("convnext_",),
        IMAGES,
        "Liu et al., A ConvNet for the 2020s, 2022 (arXiv:2201.03545)",
        "AdamW, weight decay 0.05, batch 4096, 300 epochs, learning rate 4e-3 with 20 epochs of "
        "warm-up and cosine decay (section 2.1)",
    ),
    Family(
        "ConvNeXt V2",
        ("convnextv2_",),
        IMAGES,
        "Woo et al., ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders, 2023 "
        "(arXiv:2301.00808)",
    ),
    Family(
        "ViT",
        ("vit_", "vit-"),
        IMAGES,
        "Dosovitskiy et al., An Image is Worth 16x16 Words, 2020 (arXiv:2010.11929)",
        "fine-tuning on ImageNet: SGD, momentum 0.9, batch 512, 20000 steps, cosine decay, no "
        "weight decay, gradient norm at most 1, learning rate the best of 0.003, 0.01, 0.03 and "
        "0.06 (appendix B.1.1)",
    ),
    Family(
        "ViT of CLIP",
        tuple(
            f"vit_{size}_patch{patch}_clip"
            for size in ("base", "large", "huge")
            for patch in (14, 16, 32)
        ),
        IMAGES,
        "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, "
        "2021 (arXiv:2103.00020), fine-tuned on ImageNet",
    ),
    Family(
        "DINOv2",
        tuple(
            f"vit_{size}_patch14_{kind}"
            for size in ("small", "base", "large")
            for kind in ("dinov2", "reg4_dinov2")
        )
        + ("dinov2-",),
        STATES,
        "Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, 2023 "
        "(arXiv:2304.07193)",
        data=DATA[IMAGES],
    ),
    Family(
        "DeiT",
        ("deit_", "deit-"),
        IMAGES,
        "Touvron et al., Training data-efficient image transformers, 2020 (arXiv:2012.12877)",
        "AdamW, weight decay 0.05, batch 1024, 300 epochs, learning rate 1e-3 with 5 epochs of "
        "warm-up and cosine decay, label smoothing 0.1, stochastic depth 0.1, mixup 0.8, cutmix 1 "
        "(table 9)",
    ),
    Family(
        "BEiT",
        ("beit-",),
        IMAGES,
        "Bao et al., BEiT: BERT Pre-Training of Image Transformers, 2021 (arXiv:2106.08254)",
    ),
    Family(
        "DeiT III",
        ("deit3_",),
        IMAGES,
        "Touvron et al., DeiT III: Revenge of the ViT, 2022 (arXiv:2204.07118)",
    ),
    Family(
        "Swin Transformer",
        ("swin_",),
        IMAGES,
        "Liu et al., Swin Transformer, 2021 (arXiv:2103.14030)",
        "AdamW, weight decay 0.05, batch 1024, 300 epochs, learning rate 1e-3 with 20 epochs of "
        "warm-up and cosine decay (section 4.1)",
    ),
    Family(
        "SegFormer",
        ("segformer-",),
        PIXELS,
        "Xie et al., SegFormer: Simple and Efficient Design for Semantic Segmentation with "
        "Transformers, 2021 (arXiv:2105.15203)",
        "AdamW, learning rate 6e-5 that falls linearly, batch 16, 160000 steps (section 4.1)",
    ),
    Family(
        "SigLIP",
        ("siglip-",),
        BOTH,
        "Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023 (arXiv:2303.15343)",
    ),
    Family(
        "CLIP",
        ("clip-",),
        BOTH,
        "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, "
        "2021 (arXiv:2103.00020)",
    ),
    Family(
        "BERT",
        ("bert-",),
        TOKENS,
        "Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, 2018 "
        "(arXiv:1810.04805)",
        "batch 16 or 32, Adam with learning rate 5e-5, 3e-5 or 2e-5, 2 to 4 epochs, dropout 0.1 "
        "(appendix A.3)",
    ),
    Family(
        "RoBERTa",
        ("roberta-",),
        TOKENS,
        "Liu et al., RoBERTa: A Robustly Optimized BERT Pretraining Approach, 2019 "
        "(arXiv:1907.11692)",
        "batch 16 or 32, learning rate 1e-5, 2e-5 or 3e-5 with 6 % of warm-up and linear decay, "
        "weight decay 0.1, at most 10 epochs (table 10)",
    ),
    Family(
        "XLM-RoBERTa",
        ("xlm-roberta-",),
        TOKENS,
        "Conneau et al., Unsupervised Cross-lingual Representation Learning at Scale, 2019 "
        "(arXiv:1911.02116)",
    ),
    Family(
        "CamemBERT",
        ("camembert-",),
        TOKENS,
        "Martin et al., CamemBERT: a Tasty French Language Model, 2019 (arXiv:1911.03894)",
    ),
    Family(
        "MPNet",
        ("mpnet-", "all-mpnet-"),
        STATES,
        "Song et al., MPNet: Masked and Permuted Pre-training for Language Understanding, 2020 "
        "(arXiv:2004.09297)",
    ),
    Family(
        "DeBERTa",
        ("deberta-",),
        TOKENS,
        "He et al., DeBERTaV3: Improving DeBERTa using ELECTRA-Style Pre-Training with "
        "Gradient-Disentangled Embedding Sharing, 2021 (arXiv:2111.09543)",
    ),
    Family(
        "ModernBERT",
        ("modernbert-",),
        TOKENS,
        "Warner et al., Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder for Fast, "
        "Memory Efficient, and Long Context Finetuning and Inference, 2024 (arXiv:2412.13663)",
    ),
    Family(
        "ELECTRA",
        ("electra-",),
        TOKENS,
        "Clark et al., ELECTRA: Pre-training Text Encoders as Discriminators Rather Than "
        "Generators, 2020 (arXiv:2003.10555)",
    ),
    Family(
        "DistilBERT",
        ("distilbert-", "distilroberta-"),
        TOKENS,
        "Sanh et al., DistilBERT, a distilled version of BERT, 2019 (arXiv:1910.01108)",
    ),
    Family(
        "ALBERT",
        ("albert-",),
        TOKENS,
        "Lan et al., ALBERT: A Lite BERT for Self-supervised Learning of Language Representations, "
        "2019 (arXiv:1909.11942)",
    ),
    Family(
        "MiniLM sentence encoder",
        ("all-minilm-",),
        STATES,
        "Reimers and Gurevych, Sentence-BERT, 2019 (arXiv:1908.10084); Wang et al., MiniLM, 2020 "
        "(arXiv:2002.10957)",
    ),
    Family(
        "GPT-2",
        ("gpt2", "distilgpt2"),
        NEXT,
        "Radford et al., Language Models are Unsupervised Multitask Learners, 2019",
    ),
    Family(
        "GPT-Neo",
        ("gpt-neo-",),
        NEXT,
        "Black et al., GPT-Neo: Large Scale Autoregressive Language Modeling with "
        "Mesh-Tensorflow, 2021 (doi:10.5281/zenodo.5297715)",
    ),
    Family("GPT-J", ("gpt-j-",), NEXT, "Wang and Komatsuzaki, GPT-J-6B, 2021"),
    Family(
        "GPT-NeoX",
        ("gpt-neox-",),
        NEXT,
        "Black et al., GPT-NeoX-20B: An Open-Source Autoregressive Language Model, 2022 "
        "(arXiv:2204.06745)",
    ),
    Family(
        "Pythia",
        ("pythia-",),
        NEXT,
        "Biderman et al., Pythia: A Suite for Analyzing Large Language Models Across Training and "
        "Scaling, 2023 (arXiv:2304.01373)",
    ),
    Family(
        "OPT",
        ("opt-",),
        NEXT,
        "Zhang et al., OPT: Open Pre-trained Transformer Language Models, 2022 (arXiv:2205.01068)",
    ),
    Family(
        "BLOOM",
        ("bloom-",),
        NEXT,
        "BigScience Workshop, BLOOM: A 176B-Parameter Open-Access Multilingual Language Model, "
        "2022 (arXiv:2211.05100)",
    ),
    Family(
        "Falcon",
        ("falcon-",),
        NEXT,
        "Almazrouei et al., The Falcon Series of Open Language Models, 2023 (arXiv:2311.16867)",
    ),
    Family(
        "StableLM",
        ("stablelm-",),
        NEXT,
        "Bellagente et al., Stable LM 2 1.6B Technical Report, 2024 (arXiv:2402.17834)",
    ),
    Family(
        "Llama and its kin",
        ("llama-", "tinyllama-", "smollm2-", "smollm3-", "deepseek-r1-distill-llama"),
        NEXT,
        "Touvron et al., LLaMA: Open and Efficient Foundation Language Models, 2023 "
        "(arXiv:2302.13971)",
    ),
    Family("Mistral", ("mistral-",), NEXT, "Jiang et al., Mistral 7B, 2023 (arXiv:2310.06825)"),
    Family(
        "Mixtral",
        ("mixtral-",),
        NEXT,
        "Jiang et al., Mixtral of Experts, 2024 (arXiv:2401.04088)",
    ),
    Family(
        "Gemma",
        ("gemma-",),
        NEXT,
        "Gemma Team, Gemma: Open Models Based on Gemini Research and Technology, 2024 "
        "(arXiv:2403.08295)",
    ),
    Family(
        "Gemma 2",
        ("gemma-2-",),
        NEXT,
        "Gemma Team, Gemma 2: Improving Open Language Models at a Practical Size, 2024 "
        "(arXiv:2408.00118)",
    ),
    Family(
        "Gemma 3",
        ("gemma-3-",),
        NEXT,
        "Gemma Team, Gemma 3 Technical Report, 2025 (arXiv:2503.19786)",
    ),
    Family(
        "Phi-1 and Phi-2",
        ("phi-1", "phi-2"),
        NEXT,
        "Li et al., Textbooks Are All You Need II: phi-1.5 technical report, 2023 "
        "(arXiv:2309.05463)",
    ),
    Family(
        "Phi",
        ("phi-",),
        NEXT,
        "Abdin et al., Phi-3 Technical Report: A Highly Capable Language Model Locally on Your "
        "Phone, 2024 (arXiv:2404.14219)",
    ),
    Family(
        "StarCoder2",
        ("starcoder2-",),
        NEXT,
        "Lozhkov et al., StarCoder 2 and The Stack v2: The Next Generation, 2024 "
        "(arXiv:2402.19173)",
    ),
    Family(
        "OLMo",
        ("olmo-",),
        NEXT,
        "Groeneveld et al., OLMo: Accelerating the Science of Language Models, 2024 "
        "(arXiv:2402.00838)",
    ),
    Family(
        "OLMo 2",
        ("olmo-2-",),
        NEXT,
        "OLMo Team, 2 OLMo 2 Furious, 2024 (arXiv:2501.00656)",
    ),
    Family(
        "OLMoE",
        ("olmoe-",),
        NEXT,
        "Muennighoff et al., OLMoE: Open Mixture-of-Experts Language Models, 2024 "
        "(arXiv:2409.02060)",
    ),
    Family(
        "Granite",
        ("granite-",),
        NEXT,
        "IBM Granite Team, Granite 3.0 Language Models, 2024",
    ),
    Family(
        "Qwen2",
        ("qwen2", "deepseek-r1-distill-qwen"),
        NEXT,
        "Yang et al., Qwen2 Technical Report, 2024 (arXiv:2407.10671)",
    ),
    Family(
        "Qwen3",
        ("qwen3",),
        NEXT,
        "Yang et al., Qwen3 Technical Report, 2025 (arXiv:2505.09388)",
    ),
    Family(
        "DeepSeek-V2",
        ("deepseek-v2",),
        NEXT,
        "DeepSeek-AI, DeepSeek-V2: A Strong, Economical, and Efficient Mixture-of-Experts Language "
        "Model, 2024 (arXiv:2405.04434)",
    ),
    Family(
        "T5",
        ("t5-", "flan-t5-"),
        PAIRS,
        "Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text "
        "Transformer, 2019 (arXiv:1910.10683)",
        "Adafactor, learning rate 1e-3, batch of 2^16 tokens, 2^18 steps (section 3.1.2)",
    ),
    Family(
        "mT5",
        ("mt5-",),
        PAIRS,
        "Xue et al., mT5: A Massively Multilingual Pre-trained Text-to-Text Transformer, 2020 "
        "(arXiv:2010.11934)",
    ),
    Family(
        "BART",
        ("bart-", "distilbart-"),
        PAIRS,
        "Lewis et al., BART: Denoising Sequence-to-Sequence Pre-training for Natural Language "
        "Generation, Translation, and Comprehension, 2019 (arXiv:1910.13461)",
    ),
    Family(
        "mBART",
        ("mbart-",),
        PAIRS,
        "Liu et al., Multilingual Denoising Pre-training for Neural Machine Translation, 2020 "
        "(arXiv:2001.08210)",
        data=TRANSLATIONS,
    ),
    Family(
        "PEGASUS",
        ("pegasus-",),
        PAIRS,
        "Zhang et al., PEGASUS: Pre-training with Extracted Gap-sentences for Abstractive "
        "Summarization, 2019 (arXiv:1912.08777)",
    ),
)

#: What the paper of its family reports for weights that its authors published.
REPORTED = {
    "deit_tiny_patch16_224": "72.2 % top-1 on ImageNet",
    "deit_base_patch16_224": "81.8 % top-1 on ImageNet",
    "deit_tiny_distilled_patch16_224": "74.5 % top-1 on ImageNet",
    "deit_small_distilled_patch16_224": "81.2 % top-1 on ImageNet",
    "deit_base_distilled_patch16_224": "83.4 % top-1 on ImageNet",
    "swin_tiny_patch4_window7_224": "81.3 % top-1 on ImageNet",
    "bert-base-uncased": "79.6 mean score on GLUE's test sets, fine-tuned",
    "bert-large-uncased": "82.1 mean score on GLUE's test sets, fine-tuned",
    "distilbert-base-uncased": "77.0 mean score on GLUE's development sets, fine-tuned",
}


class Card(NamedTuple):
    """A model. `parameters` is None where only its config.json says it, `source` where there are
    no weights."""

    name: str
    family: Family
    source: Source | None
    parameters: int | None

    def bytes(self, precision: str) -> int | None:
        """Of the parameters in fp32, bf16, fp16 or int8."""
        width = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}[precision]
        return None if self.parameters is None else width * self.parameters


def names() -> list[str]:
    """All models by family and name."""
    every = {*SOURCES, *vision.MODELS}
    order = {family.title: i for i, family in enumerate(FAMILIES)}
    return sorted(every, key=lambda name: (order[family_of(name).title], name))


def family_of(name: str) -> Family:
    """The family whose prefix fits best; KeyError when none does."""
    fits = [(len(p), f) for f in FAMILIES for p in f.prefixes if name.startswith(p)]
    if not fits:
        raise _core.KeyError(f"the model '{name}' belongs to no family of models.cards.FAMILIES")
    return max(fits, key=lambda fit: fit[0])[1]


@functools.cache
def parameters_of(name: str) -> int | None:
    """The number of parameters; values are never drawn, so that no memory is needed."""
    random = _core.get_rng_state()
    if name in vision.MODELS:
        model = vision.MODELS[name]()
    elif name in LANGUAGE:
        kind, changes = LANGUAGE[name]
        made = language.FAMILIES[kind][COUNTED.get(kind, "Model")]
        model = made(CONFIGS[kind](**changes))
    else:
        return None
    _core.set_rng_state(random)
    return sum(parameter.numel() for parameter in model.parameters())


def card(name: str) -> Card:
    """The card of a model, with or without deepseek/ before its name. KeyError lists similar
    names."""
    from .registry import repository_of

    short = name.removeprefix("deepseek/").lower()
    if short not in SOURCES and short not in vision.MODELS:
        repository_of(f"deepseek/{short}")  # raises
    return Card(short, family_of(short), SOURCES.get(short), parameters_of(short))

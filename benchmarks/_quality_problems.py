"""The quality problems: settings were chosen on validation data only."""

from __future__ import annotations

import _quality_files as files
from _quality_problem import Problem

PROBLEMS: dict[str, Problem] = {
    "sequential-mnist": Problem(
        data="sequential MNIST",
        split="55,000 / 5,000 to choose by / 10,000 official test",
        model="GRU 128",
        figure="accuracy",
        shown="accuracy, %",
        published="GRU 96.2 (Bai et al. 2018, arXiv:1803.01271)",
        needed=96.5,
        scale=100,
        minutes=15,
        prepare=files.sequential_mnist,
        commands=(
            "train classify {data}/train.parquet --validation {data}/valid.parquet --out {run}"
            " --cell gru --hidden 128 --epochs 10 --batch 64 --lr 0.002 --seed {seed}",
            "evaluate {run} {data}/test.parquet",
        ),
    ),
    "imdb": Problem(
        data="IMDB, whole reviews",
        split="official 25,000 (a tenth to choose by) / 25,000",
        model="bidirectional LSTM 64, max pooling",
        figure="accuracy",
        shown="accuracy, %",
        published="LSTM 86.5 (Dai & Le 2015, arXiv:1511.01432)",
        needed=88,
        scale=100,
        minutes=30,
        prepare=files.imdb,
        commands=(
            "train classify {data}/train.jsonl --out {run} --level words --hidden 64"
            " --bidirectional --pooling max --dropout 0.5 --epochs 4 --batch 32 --lr 0.002"
            " --set task.embedding_size=100 --set task.vocabulary_size=30000"
            " --set model.input_dropout=0.2 --seed {seed}",
            "evaluate {run} {data}/test.jsonl",
        ),
    ),
    "sst2": Problem(
        data="Stanford sentiment, two classes, sentences",
        split="official 6,920 (the phrases of their trees) / 872 / 1,821",
        model="bidirectional LSTM 128, max pooling",
        figure="accuracy",
        shown="accuracy, %",
        published="LSTM 84.9 with GloVe vectors (Tai et al. 2015, arXiv:1503.00075)",
        needed=82,
        scale=100,
        minutes=5,
        prepare=files.sst2,
        commands=(
            "train classify {data}/train.jsonl --validation {data}/dev.jsonl --out {run}"
            " --level words --hidden 128 --bidirectional --pooling max --dropout 0.5 --epochs 4"
            " --batch 64 --lr 0.003 --set task.embedding_size=300 --set model.input_dropout=0.5"
            " --set train.weight_decay=0.1 --seed {seed}",
            "evaluate {run} {data}/test.jsonl",
        ),
    ),
    "trec": Problem(
        data="TREC questions, six types",
        split="official 5,452 / 500; settings chosen on tenths held out",
        model="bidirectional LSTM 128, words and characters, max pooling",
        figure="accuracy",
        shown="accuracy, %",
        published="LSTM about 91 to 93",
        needed=91,
        scale=100,
        minutes=3,
        prepare=files.trec,
        commands=(
            "train classify {data}/train.jsonl --out {run} --level words --hidden 128"
            " --bidirectional --pooling max --dropout 0.5 --epochs 8 --lr 0.003"
            " --set task.embedding_size=300 --set model.input_dropout=0.5"
            " --set train.weight_decay=0.1 --set task.character_size=50"
            " --set task.character_dropout=0.1 --set task.word_dropout=0.25"
            " --set train.average=0.99 --set task.validation_fraction=0 --seed {seed}",
            "evaluate {run} {data}/test.jsonl",
        ),
    ),
    "snips-intent": Problem(
        data="SNIPS, intents",
        split="official 13,084 / 700 / 700",
        model="bidirectional LSTM 128, words and characters, max pooling",
        figure="accuracy",
        shown="accuracy, %",
        published="97.0 (Goo et al. 2018, slot-gated)",
        needed=97.5,
        scale=100,
        minutes=10,
        prepare=files.snips,
        commands=(
            "train classify {data}/intent-train.jsonl --validation {data}/intent-valid.jsonl"
            " --out {run} --level words --hidden 128 --bidirectional --pooling max --dropout 0.5"
            " --epochs 8 --lr 0.003 --set task.embedding_size=300 --set model.input_dropout=0.5"
            " --set train.weight_decay=0.1 --set task.character_size=50"
            " --set task.character_dropout=0.1 --set task.word_dropout=0.25"
            " --set train.average=0.995 --seed {seed}",
            "evaluate {run} {data}/intent-test.jsonl",
        ),
    ),
    "sms-spam": Problem(
        data="SMS spam",
        split="seeded, 80 % (a tenth to choose by) / 20 %",
        model="bidirectional LSTM 64 over subwords, max pooling",
        figure="f1_spam",
        shown="F1 of spam",
        published="none standard",
        needed=0.95,
        minutes=5,
        prepare=files.sms_spam,
        commands=(
            "train classify {data}/train.tsv --out {run} --level subwords --hidden 64"
            " --bidirectional --pooling max --dropout 0.5 --epochs 10"
            " --set task.vocabulary_size=2000 --set model.input_dropout=0.2 --seed {seed}",
            "evaluate {run} {data}/test.tsv",
        ),
    ),
    "japanese-vowels": Problem(
        data="Japanese vowels",
        split="the archive's 270 / 370; nothing to choose by",
        model="bidirectional LSTM 100, mean pooling",
        figure="accuracy",
        shown="accuracy, %",
        published="LSTM about 97",
        needed=98,
        scale=100,
        minutes=1,
        prepare=files.japanese_vowels,
        commands=(
            "train classify {data}/train.jsonl --out {run} --hidden 100 --bidirectional"
            " --pooling mean --batch 16 --epochs 60 --dropout 0.3"
            " --set task.validation_fraction=0 --seed {seed}",
            "evaluate {run} {data}/test.jsonl",
        ),
    ),
    "cmapss": Problem(
        data="C-MAPSS FD001, remaining life",
        split="engines 1-80 / 81-100 to choose by / 100 test engines, lives capped at 125",
        model="GRU 2 x 64 over 50 cycles",
        figure="rmse",
        shown="RMSE, cycles",
        published="LSTM 16.14 (Zheng et al. 2017), 13 to 16 elsewhere",
        needed=14.5,
        lower=True,
        minutes=10,
        prepare=files.cmapss,
        commands=(
            "train regress {data}/train.jsonl --validation {data}/valid.jsonl --out {run}"
            " --cell gru --hidden 64 --layers 2 --dropout 0.5 --epochs 12 --batch 128 --lr 0.001"
            " --set model.input_dropout=0.2 --seed {seed}",
            "evaluate {run} {data}/test.jsonl",
        ),
    ),
    "tiny-shakespeare": Problem(
        data="tiny-shakespeare, characters",
        split="first 90 % / last 10 %, which also chooses",
        model="LSTM 2 x 384",
        figure="loss",
        shown="nats a character",
        published="minLSTM 1.555 (Feng et al. 2024, arXiv:2410.01201)",
        needed=1.5,
        lower=True,
        minutes=30,
        prepare=files.tiny_shakespeare,
        commands=(
            "train language-model {data}/input.txt --out {run} --level characters --layers 2"
            " --hidden 384 --dropout 0.5 --batch 50 --bptt 64 --epochs 14 --lr 0.004"
            " --seed {seed}",
        ),
    ),
    "wikitext-2": Problem(
        data="WikiText-2, words",
        split="official, 2,088,628 / 217,646 / 245,569 tokens, a vocabulary of 33,278",
        model="LSTM 2 x 650, embeddings 400 shared with the output",
        figure="perplexity",
        shown="perplexity",
        published="plain LSTM 99.3 (Grave et al. 2017, arXiv:1612.04426)",
        needed=105,
        lower=True,
        minutes=120,
        prepare=files.wikitext_2,
        commands=(
            "train language-model {data}/train.txt --validation {data}/valid.txt --out {run}"
            " --level tokens --layers 2 --hidden 650 --dropout 0.5 --batch 40 --bptt 35"
            " --epochs 12 --lr 0.002 --precision bfloat16 --set task.embedding_size=400"
            " --set task.vocabulary_size=40000 --set model.input_dropout=0.3 --seed {seed}",
            "evaluate {run} {data}/test.txt",
        ),
    ),
    "chorales": Problem(
        data="Bach's chorales in quarter notes, 88 keys",
        split="Boulanger-Lewandowski's 229 / 76 to choose by / 77 pieces",
        model="LSTM 300",
        figure="loss",
        shown="nats a step",
        published="LSTM 8.45, GRU 8.43 (Bai et al. 2018, arXiv:1803.01271)",
        needed=8.40,
        lower=True,
        minutes=5,
        prepare=files.chorales,
        commands=(
            "train language-model {data}/train.jsonl --validation {data}/valid.jsonl --out {run}"
            " --level notes --cell lstm --hidden 300 --dropout 0.5 --batch 8 --epochs 60 --lr 0.01"
            " --set model.input_dropout=0.1 --set model.recurrent_dropout=0.5 --seed {seed}",
            "evaluate {run} {data}/test.jsonl",
        ),
    ),
    "nottingham": Problem(
        data="Nottingham's folk tunes, 88 keys",
        split="Boulanger-Lewandowski's 694 / 173 to choose by / 170 pieces",
        model="RNN 200, tanh",
        figure="loss",
        shown="nats a step",
        published="LSTM 3.29, GRU 3.46 (Bai et al. 2018, arXiv:1803.01271)",
        needed=3.20,
        lower=True,
        minutes=15,
        prepare=files.nottingham,
        commands=(
            "train language-model {data}/train.jsonl --validation {data}/valid.jsonl --out {run}"
            " --level notes --cell rnn --hidden 200 --batch 2 --epochs 16 --lr 0.003"
            " --seed {seed}",
            "evaluate {run} {data}/test.jsonl",
        ),
    ),
    "sunspots": Problem(
        data="monthly sunspots, 24 months ahead",
        split="the last 282 months are tested on",
        model="GRU 64",
        figure="mase",
        shown="MASE",
        published="persistence, seasonal-naive: the better has 1.237",
        needed=1.237,
        lower=True,
        minutes=5,
        prepare=files.sunspots,
        commands=(
            "train forecast {data}/train.csv --out {run} --horizon 24 --context 288 --cell gru"
            " --hidden 64 --batch 2 --epochs 60 --lr 0.005 --dropout 0.2"
            " --set train.weight_decay=0.1 --seed {seed}",
            "evaluate {run} {data}/all.csv --last 282",
        ),
    ),
    "oil-temperature": Problem(
        data="ETTh1, oil temperature alone, 24 hours ahead",
        split="12 months / 4 to choose by / 4 to test",
        model="GRU 64",
        figure="mase",
        shown="MASE",
        published="persistence, seasonal-naive: the better has 0.531",
        needed=0.531,
        lower=True,
        minutes=10,
        prepare=files.oil_temperature,
        commands=(
            "train forecast {data}/train.csv --out {run} --horizon 24 --context 96 --cell gru"
            " --hidden 64 --batch 32 --epochs 40 --dropout 0.3"
            " --set task.validation_fraction=0.25 --seed {seed}",
            "evaluate {run} {data}/all.csv --last 2880",
        ),
    ),
    "m4-hourly": Problem(
        data="M4 competition, 414 series of hours, 48 ahead",
        split="official; the last 48 hours of each training part choose",
        model="GRU 48, one for all series",
        figure="smape",
        shown="sMAPE",
        published="simple RNN 14.70, Naive2 18.38, the winner 9.33 (Makridakis et al. 2020)",
        needed=12.5,
        lower=True,
        minutes=30,
        prepare=files.m4_hourly,
        commands=(
            "train forecast {data}/train.jsonl --out {run} --horizon 48 --season 24 --lag 24"
            " --lag 48 --lag 168 --lag 336 --context 336 --log --cell gru --hidden 48 --batch 8"
            " --epochs 3 --lr 0.004 --set task.validation_fraction=0.001 --seed {seed}",
            "evaluate {run} {data}/all.jsonl --last 48",
        ),
    ),
    "m4-weekly": Problem(
        data="M4 competition, 359 series of weeks, 13 ahead",
        split="official; the last 13 weeks of each training part choose",
        model="GRU 32, one for all series",
        figure="smape",
        shown="sMAPE",
        published="simple RNN 15.22, Naive2 9.16, the winner 7.82 (Makridakis et al. 2020)",
        needed=8.7,
        lower=True,
        minutes=30,
        prepare=files.m4_weekly,
        commands=(
            "train forecast {data}/train.jsonl --out {run} --horizon 13 --lag 52 --lag 104"
            " --context 104 --log --cell gru --hidden 32 --batch 32 --epochs 8 --lr 0.004"
            " --set task.validation_fraction=0.001 --seed {seed}",
            "evaluate {run} {data}/all.jsonl --last 13",
        ),
    ),
    "exchange-rate": Problem(
        data="exchange rates of 8 currencies, 3 days ahead",
        split="60 % / 20 % to choose by / 20 % to test",
        model="GRU 16, one for all series",
        figure="rse",
        shown="RSE",
        published="GRU 0.0192 (Lai et al. 2018, arXiv:1703.07015); persistence has 0.0171",
        needed=0.019,
        lower=True,
        minutes=5,
        prepare=files.exchange_rate,
        commands=(
            "train forecast {data}/train.jsonl --out {run} --horizon 3 --context 30 --log"
            " --cell gru --hidden 16 --batch 64 --epochs 5 --set task.validation_fraction=0.25"
            " --seed {seed}",
            # the last fifth, 1,518 days, are the targets at the third step
            "evaluate {run} {data}/all.jsonl --last 1520",
        ),
    ),
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
    "snips-slots": Problem(
        data="SNIPS, slots",
        split="official 13,084 / 700 / 700",
        model="bidirectional LSTM 200, words and characters, CRF",
        figure="span_f1",
        shown="span F1, %",
        published="88.8 (Goo et al. 2018, slot-gated)",
        needed=91,
        scale=100,
        minutes=10,
        prepare=files.snips,
        commands=(
            "train tag {data}/slots-train.conll --validation {data}/slots-valid.conll --out {run}"
            " --hidden 200 --dropout 0.5 --crf --epochs 12 --lr 0.003"
            " --set task.word_dropout=0.1 --seed {seed}",
            "evaluate {run} {data}/slots-test.conll",
        ),
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
        data="CMU dictionary, spelling to sounds",
        split="seeded by word 85 % / 5 % / 10 %",
        model="LSTM 256, multiplicative attention, encoder of both directions",
        figure="accuracy",
        shown="words right, % (100 - WER)",
        published="WER 23 to 25 with 2 x 512 (g2p-seq2seq), 21.7 (Toshniwal & Livescu 2016)",
        needed=75,
        scale=100,
        minutes=45,
        prepare=files.cmudict,
        commands=(
            "train translate {data}/train.tsv --validation {data}/valid.tsv --out {run}"
            " --source-level tokens --target-level tokens --cell lstm --hidden 256 --dropout 0.3"
            " --epochs 10 --lr 0.002 --batch 64 --set task.embedding_size=128 --seed {seed}",
            "evaluate {run} {data}/test.tsv",
        ),
    ),
    "inflection": Problem(
        data="SIGMORPHON 2016, German inflection",
        split="official 12,490 / 1,597 / 15,332",
        model="GRU 200, multiplicative attention, encoder of both directions",
        figure="accuracy",
        shown="forms right, %",
        published="95.8 (Kann & Schütze 2016)",
        needed=94,
        scale=100,
        minutes=20,
        prepare=files.sigmorphon,
        commands=(
            "train translate {data}/train.tsv --validation {data}/dev.tsv --out {run}"
            " --source-level tokens --target-level tokens --hidden 200 --dropout 0.3 --epochs 20"
            " --lr 0.002 --batch 64 --set task.embedding_size=100 --seed {seed}",
            "evaluate {run} {data}/test.tsv",
        ),
    ),
    "spoken-digits": Problem(
        data="Free spoken digits",
        split="takes 10-49 / 5-9 to choose by / official test, takes 0-4",
        model="bidirectional GRU 128 over log-mel, mean pooling",
        figure="accuracy",
        shown="accuracy, %",
        published="about 97 to 99",
        needed=98.5,
        scale=100,
        minutes=5,
        prepare=files.spoken_digits,
        commands=(
            "train classify {data}/train --validation {data}/valid --out {run} --cell gru"
            " --hidden 128 --bidirectional --pooling mean --dropout 0.3 --epochs 15 --lr 0.002"
            " --set model.input_dropout=0.1 --seed {seed}",
            "evaluate {run} {data}/test",
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

"""Quality problems with one answer for a sequence: classes and numbers."""

from __future__ import annotations

import _quality_files as files
from _quality_problem import Problem

ONE_ANSWER: dict[str, Problem] = {
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
        split="official 5,452 / 500; settings chosen on parts of the training part",
        model="bidirectional LSTM 200, words and characters, attention",
        figure="accuracy",
        shown="accuracy, %",
        published="LSTM about 91 to 93",
        needed=91,
        scale=100,
        minutes=3,
        prepare=files.trec,
        commands=(
            "train classify {data}/train.jsonl --out {run} --level words --hidden 200"
            " --bidirectional --pooling attention --dropout 0.5 --epochs 12 --lr 0.003"
            " --set task.embedding_size=300 --set model.input_dropout=0.5"
            " --set train.weight_decay=0.1 --set task.character_size=100"
            " --set task.character_dropout=0.1 --set task.word_dropout=0.25"
            " --set train.average=0.99 --set task.validation_fraction=0 --seed {seed}",
            "evaluate {run} {data}/test.jsonl",
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
}

"""Quality problems of what comes next: texts, music and time series."""

from __future__ import annotations

import _quality_files as files
from _quality_problem import Problem

WHAT_COMES_NEXT: dict[str, Problem] = {
    "tiny-shakespeare": Problem(
        data="tiny-shakespeare, characters",
        split="first 90 % / last 10 %, which also chooses",
        model="LSTM 2 x 512",
        figure="loss",
        shown="nats a character",
        published="minLSTM 1.555 (Feng et al. 2024, arXiv:2410.01201)",
        needed=1.5,
        lower=True,
        minutes=30,
        prepare=files.tiny_shakespeare,
        commands=(
            "train language-model {data}/input.txt --out {run} --level characters --layers 2"
            " --hidden 512 --dropout 0.5 --batch 50 --bptt 64 --epochs 12 --lr 0.003"
            " --precision bfloat16 --set model.recurrent_dropout=0.2 --set train.average=0.998"
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
        needed=99,
        lower=True,
        minutes=120,
        prepare=files.wikitext_2,
        commands=(
            "train language-model {data}/train.txt --validation {data}/valid.txt --out {run}"
            " --level tokens --layers 2 --hidden 650 --dropout 0.4 --batch 20 --bptt 35"
            " --epochs 10 --lr 0.0015 --precision bfloat16 --set task.embedding_size=400"
            " --set task.vocabulary_size=40000 --set task.sampled_softmax=8000"
            " --set model.input_dropout=0.25 --seed {seed}",
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
        model="LSTM 300",
        figure="loss",
        shown="nats a step",
        published="LSTM 3.29, GRU 3.46 (Bai et al. 2018, arXiv:1803.01271)",
        needed=3.20,
        lower=True,
        minutes=15,
        prepare=files.nottingham,
        commands=(
            "train language-model {data}/train.jsonl --validation {data}/valid.jsonl --out {run}"
            " --level notes --cell lstm --hidden 300 --dropout 0.4 --batch 4 --epochs 70 --lr 0.005"
            " --set model.recurrent_dropout=0.4 --set train.average=0.999 --seed {seed}",
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
}

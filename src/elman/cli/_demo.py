"""elman demo: a language model of Python's own documentation, in about a minute."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._corpus import standard_library_texts
from ._output import say, show

_PROMPTS = ("The", "Return a", "If the")

# what trains in about a minute on two cores
OPTIONS: dict[str, Any] = {
    "level": "words",
    "vocabulary_size": 5_000,
    "cell": "lstm",
    "hidden_size": 160,
    "dropout": 0.2,
    "bptt": 24,
    "batch_size": 16,
    "epochs": 6,
    "lr": 6e-3,
}


def demo(
    out: Annotated[Path, typer.Option(help="The folder to keep the run in.")] = Path("elman-demo"),
    steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    texts = standard_library_texts()
    # a third of them, six times, is a minute's work, and teaches more than all of them twice
    texts = texts[: len(texts) // 3]
    words = sum(map(len, texts))
    if not as_json:
        say(f"Python's documentation and docstrings: {len(texts):,} texts, {words:,} characters.")
        say("Training a next-word LSTM on them; the last tenth is held out …")
    from elman.tasks import LanguageModel

    model = LanguageModel(**OPTIONS, max_steps=steps)
    model.fit(texts, run=out, progress=True)
    figures = {**_baselines(model, texts), "LSTM perplexity": model.results_["perplexity"]}
    if not as_json:
        _samples(model)
    show({**figures, "run": str(out)}, as_json=as_json, title="Held-out text, lower is better")
    if not as_json:
        say(f"Picture of the loss: {out / 'plots' / 'loss.png'}")
        say("Next:")
        say(f'  elman generate {out} --prompt "Return the" --temperature 0.7')
        say("  elman train language-model YOUR.txt --out runs/mine --level characters")
        say("  elman doctor")


def _samples(model: Any) -> None:
    for seed, prompt in enumerate(_PROMPTS):
        text = model.generate(prompt, length=40, temperature=0.7, top_p=0.9, seed=seed)
        say(f"  {' '.join(text.split())} …")


def _baselines(model: Any, texts: list[str]) -> dict[str, float]:
    """The perplexity of counting models on the same held-out tokens."""
    import numpy as np

    from elman.tasks import NGram

    vocabulary = model.vocabulary_
    ids = np.concatenate([part for text in texts for part in (vocabulary.encode(text), [1])])
    cut = len(ids) - round(len(ids) * model.validation_fraction)
    train, held = ids[:cut].tolist(), ids[cut:].tolist()
    size = len(vocabulary)
    return {
        "unigram perplexity": NGram(1, size).fit(train).perplexity(held),
        "trigram perplexity": NGram(3, size).fit(train).perplexity(held),
    }

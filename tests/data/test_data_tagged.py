"""CoNLL and CoNLL-U files, and spans of tags."""

import gzip
import itertools

import pytest

from elman.data import TagColumns, bio_rules, read_tagged, span_scores, spans_of

CONLLU = """# sent_id = 1
# text = I can't.
1\tI\tI\tPRON\tPRP\t_\t3\tnsubj\t_\t_
2-3\tcan't\t_\t_\t_\t_\t_\t_\t_\t_
2\tca\tcan\tAUX\tMD\t_\t0\troot\t_\t_
3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_
3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t_\t_
4\t.\t.\tPUNCT\t.\t_\t2\tpunct\t_\t_

1\tNew York\tNew York\tPROPN\tNNP\t_\t0\troot\t_\t_
"""


def written(folder, text, name="a.conll"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_conllu_gives_words_and_universal_tags(tmp_path):
    found = read_tagged(written(tmp_path, CONLLU, "a.conllu"))
    assert found.words == [["I", "ca", "n't", "."], ["New York"]]
    assert found.tags == [["PRON", "AUX", "PART", "PUNCT"], ["PROPN"]]
    assert found.lines == [[3, 5, 6, 8], [10]]


def test_other_columns_and_compression(tmp_path):
    path = tmp_path / "a.conllu.gz"
    path.write_bytes(gzip.compress(CONLLU.encode()))
    assert read_tagged(path, TagColumns(tag=5)).tags == [["PRP", "MD", "RB", "."], ["NNP"]]
    assert read_tagged(path, TagColumns(word=3), labelled=False).words[0][1] == "can"
    assert read_tagged(path, labelled=False).tags is None


@pytest.mark.parametrize("ends", ["\n", "\n\n", "\n \t\n\n", ""])
@pytest.mark.parametrize("between", [" ", "\t", "  "])
def test_conll_by_blanks_or_tabs_and_any_end(tmp_path, ends, between):
    text = f"-DOCSTART-{between}O\n\nEU{between}B-ORG\nsays{between}O\n\nno{between}O{ends}"
    found = read_tagged(written(tmp_path, text))
    assert found.words == [["EU", "says"], ["no"]]
    assert found.tags == [["B-ORG", "O"], ["O"]]


def test_what_is_written_is_read_again(tmp_path):
    words = [["a", "b c", "d"], ["é"]]
    tags = [["X", "Y", "X"], ["Z"]]
    lines = [
        "".join(f"{w}\t{t}\n" for w, t in zip(one, other, strict=True)) + "\n"
        for one, other in zip(words, tags, strict=True)
    ]
    found = read_tagged(written(tmp_path, "".join(lines)))
    assert (found.words, found.tags) == (words, tags)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.conll", "a X\nb\n", "line 2 has 1 columns, the line before it 2; give all lines"),
        ("a.conll", "a\n", r"line 1 has one column \('a'\); it needs a word and its tag"),
        ("a.conll", "a X\n\nb\t \n", "line 3: the tag is empty; mend the line"),
        ("a.conllu", "1\ta\ta\tX\n", "line 1 has 4 columns, CoNLL-U has 10, parted by tabs"),
        ("a.conll", "-DOCSTART- O\n\n", "there are no sentences in it"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, name, text, said):
    with pytest.raises(ValueError, match=said):
        read_tagged(written(tmp_path, text, name))


def test_a_column_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="line 1 has 2 columns, and the tag is to be in column 4"):
        read_tagged(written(tmp_path, "a X\n"), TagColumns(tag=4))
    with pytest.raises(ValueError, match="counted from 1"):
        TagColumns(tag=0)


def test_labels_stand_in_comments_above_the_sentences(tmp_path):
    by_intent = TagColumns(label="intent")
    found = read_tagged(
        written(
            tmp_path, "# id = 1\n# intent = Play a song\nplay O\n# B-X\n\n#intent=Stop\nstop O\n"
        ),
        by_intent,
    )
    assert found.words == [["play", "#"], ["stop"]]
    assert found.labels == ["Play a song", "Stop"]
    assert found.lines == [[3, 4], [7]]
    path = written(tmp_path, CONLLU.replace("\n\n1\tNew", "\n\n# sent_id = 2\n1\tNew"), "a.conllu")
    assert read_tagged(path, TagColumns(label="sent_id")).labels == ["1", "2"]
    # nothing is asked of sentences that are to be told of
    new = read_tagged(written(tmp_path, "# id = 3\nstop\n"), by_intent, labelled=False)
    assert (new.words, new.labels) == ([["stop"]], None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "# intent = A\na X\n\n# mood = B\nb X\n",
            "line 5: the sentence has no label; give it a line",
        ),
        (
            "# intent = A\n# intent = B\na X\n",
            "line 2: a second 'intent' of one sentence; keep one",
        ),
        ("# intent =\na X\n", "line 1: 'intent' is empty; mend the line"),
    ],
)
def test_a_sentence_without_a_label_is_named(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        read_tagged(written(tmp_path, text), TagColumns(label="intent"))
    with pytest.raises(ValueError, match="label='a b' cannot be the name of a comment"):
        TagColumns(label="a b")


def test_spans_agree_with_the_rules_by_enumeration():
    tags = ["B-A", "I-A", "B-B", "I-B", "O"]
    allowed, first = bio_rules(tags)
    for one in itertools.product(range(len(tags)), repeat=3):
        possible = first[one[0]] and all(allowed[a, b] for a, b in itertools.pairwise(one))
        named = [tags[i] for i in one]
        # a sequence can be if every span begins with B-
        begins = all(named[span.start].startswith("B-") for span in spans_of(named))
        assert possible == begins, named


def test_span_scores_count_whole_spans():
    true = [["B-A", "I-A", "O", "B-B"], ["O", "B-A"]]
    told = [["B-A", "I-A", "O", "B-A"], ["B-A", "I-A"]]
    found = span_scores(true, told)
    # of three spans one is right, three were told
    assert found == pytest.approx({"span_f1": 1 / 3, "span_precision": 1 / 3, "span_recall": 1 / 3})

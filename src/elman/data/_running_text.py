"""Running text of tokens."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# what has no blank before it, what has none behind it, and what has neither
_CLOSING = re.compile(r"[.,;:!?)\]}%…»”]+$|^'(s|m|d|t|re|ve|ll)$|^n't$", re.IGNORECASE)
_OPENING = re.compile(r"^[(\[{$£€«“„¿¡#]+$")
_JOINING = re.compile(r"^@(.+)@$")


def running_text(tokens: str) -> str:
    """The text that was cut into these tokens, as far as they tell: marks go to the word that they
    belong to, quotes are opened and closed in turn, `&quot;` and `@-@` of the Moses tokeniser are
    marks again.

    Args:
        tokens: with blanks between.

    Reference:
        Koehn et al. 2007, "Moses: open source toolkit for statistical machine translation", ACL
        (its detokenizer.perl).

    Example:
        >>> print(running_text("a man &apos;s sign says &quot; come in , please ! &quot; ."))
        a man's sign says "come in, please!".
    """
    text, glue, is_open = "", True, False
    for token in map(html.unescape, tokens.split()):
        joining = _JOINING.match(token)
        before = behind = False
        if joining:
            token, before, behind = joining[1], True, True
        elif token == '"':
            before, behind, is_open = is_open, not is_open, not is_open
        elif token == "'":
            # of a plural, or of feet
            before = True
        else:
            before, behind = bool(_CLOSING.match(token)), bool(_OPENING.match(token))
        text += token if glue or before else f" {token}"
        glue = behind
    return text


def running_texts(texts: Iterable[str]) -> list[str]:
    """The running text of each; with a capital at the start where no text has a capital at all, as
    their tokens were lower-cased.

    Example:
        >>> running_texts(["two dogs run .", "no , one ."])
        ['Two dogs run.', 'No, one.']
    """
    found = [running_text(one) for one in texts]
    if any(one != one.lower() for one in found):
        return found
    return [one[:1].upper() + one[1:] for one in found]

"""What papers and statements are called in figures and pages: never by a key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

__all__ = ["PAPERS", "paper_name", "statement_names"]

PAPERS: Mapping[str, str] = {
    "tralgo": "TRAlgo: TRSGD and TRAdam",
    "lrsgd": "LRSGD: LRSGD-R and LRSGD-C",
    "sngm": "SNGM",
    "stochastic_batch_size": "Stochastic batch size",
    "hardt_recht_singer": "Hardt, Recht and Singer",
}
"""The papers by key, in full."""
_SHORT = {w: w.upper() for w in ("sgd", "sngd", "svrg", "saga", "storm", "sam", "fista")} | {
    "adamw": "AdamW", "adagrad": "AdaGrad", "topk": "top-k", "wolfe": "Wolfe",
}  # fmt: skip


def paper_name(key: str) -> str:
    """A paper's short name; what is no paper of ours is called by its key's words.

    >>> paper_name("lrsgd"), paper_name("clipped_sgd")
    ('LRSGD', 'Clipped SGD')
    """
    if key in PAPERS:
        return PAPERS[key].split(":")[0]
    words = [_SHORT.get(word, word) for word in key.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def statement_names(statements: Sequence[tuple[str, str]]) -> list[str]:
    """A name for each ``(key, label)``, with the key's last words where two would be the same.

    >>> statement_names([("sngm.lemma_2", "Lemma 2"), ("lrsgd.remark.smooth", "Remark"),
    ...                  ("lrsgd.remark.convex", "Remark")])
    ['SNGM, Lemma 2', 'LRSGD, Remark (smooth)', 'LRSGD, Remark (convex)']
    """
    plain = [f"{paper_name(key.split('.')[0])}, {label}" for key, label in statements]
    count = Counter(plain)
    return [
        name
        if count[name] == 1 or key.count(".") < 2
        else f"{name} ({key.rsplit('.', 1)[-1].replace('_', ' ')})"
        for name, (key, _) in zip(plain, statements, strict=True)
    ]

"""What a run came to, in sentences that say no more than its intervals against base."""

from collections.abc import Mapping

from src.metrics.names import IDENTITY, PROMPT, SUBJECT
from src.metrics.quantities import Quantities
from src.reporting.texts import Texts


def conclude(
    against_base: Mapping[str, Mapping[str, float]],
    reached: Mapping[str, float],
    quantities: Quantities,
    texts: Texts,
) -> str:
    """Says whether the subject was learned, what became of prompt fidelity, and what else got worse.

    A person is recognised by identity, anything else by likeness.

    Args:
        against_base: ``mean``, ``low`` and ``high`` by metric, as in details.json.
        reached: The run's share of the likeness that the subject itself has through the autoencoder, by metric.
        quantities: What the numbers mean.
        texts: The words.

    Returns:
        Sentences.
    """
    likeness = IDENTITY if IDENTITY in against_base else SUBJECT
    told = [
        _sentence(role, metric, against_base, quantities, texts)
        for role, metric in (("subject", likeness), ("prompt", PROMPT))
    ]
    if likeness in reached:
        told.insert(1, texts("conclude.reached", metric=quantities.label(likeness), share=f"{reached[likeness]:.0%}"))
    worse = [
        f"{quantities.label(metric)} ({against_base[metric]['mean']:+z.3f})"
        for metric in quantities.order(against_base)
        if metric not in (likeness, PROMPT) and _verdict(metric, against_base, quantities) == "worse"
    ]
    if worse:
        told.append(texts("conclude.also_worse", metrics=", ".join(worse)))
    return " ".join(told)


def _verdict(metric: str, against_base: Mapping[str, Mapping[str, float]], quantities: Quantities) -> str:
    return quantities.verdict(metric, against_base[metric]["low"], against_base[metric]["high"])


def _sentence(
    role: str,
    metric: str,
    against_base: Mapping[str, Mapping[str, float]],
    quantities: Quantities,
    texts: Texts,
) -> str:
    if metric not in against_base:
        return texts(f"conclude.{role}.absent", metric=quantities.label(metric))
    found, said = against_base[metric], _verdict(metric, against_base, quantities)
    if said == "unsure":
        size = {name: f"{found[name]:+z.3f}" for name in ("mean", "low", "high")}
    else:  # "rose by" and "fell by" take sizes
        low, high = sorted((abs(found["low"]), abs(found["high"])))
        size = {"mean": f"{abs(found['mean']):z.3f}", "low": f"{low:z.3f}", "high": f"{high:z.3f}"}
    return texts(f"conclude.{role}.{said}", metric=quantities.label(metric), **size)

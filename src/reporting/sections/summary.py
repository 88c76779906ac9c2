"""The head of the page: what came out, what ran, and a line of facts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from src.core.sets import DEV
from src.core.settings import Settings
from src.metrics.names import IDENTITY, PROMPT, SUBJECT
from src.metrics.quantities import Quantities
from src.reporting.inputs import Inputs
from src.reporting.scoring import checkpoint_means
from src.reporting.templating import Section, shorten_path
from src.reporting.texts import Texts

# metrics are stored with six decimals
ROUNDING = 1e-6
# why a checkpoint was selected without the rule
WITHOUT_RULE = ("last", "highest")


@dataclass(frozen=True)
class Summary:
    """The head of the page.

    Attributes:
        conclusion: What came out.
        ran: What ran and why this checkpoint.
        facts: Label and value pairs.
        notices: Warnings for the reader.
    """

    conclusion: str
    ran: str
    facts: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]


def section(inputs: Inputs, params: Settings, texts: Texts) -> Section:
    """Builds the head of the page."""
    return Section({"summary": summarise(inputs, params, texts)})


def summarise(inputs: Inputs, params: Settings, texts: Texts) -> Summary:
    """Builds the head.

    Args:
        inputs: The tables.
        params: What was run.
        texts: The words.

    Returns:
        The sentences, the facts and the notices.
    """
    method, generated, margin = method_name(params.method), params.validation_args, params.evaluate.select_clip_t_margin
    subject = {"model": params.model.name, "class_name": params.subject.class_name, "token": params.subject.token}
    what, trained = texts("summary.judged", **subject), {}
    if inputs.loss is not None:
        last = int(inputs.loss["step"].max())
        what = texts("summary.what", method=method, steps=params.train.steps, lr=f"{params.lr:g}", **subject)
        if last < params.train.steps:
            what += texts("summary.stopped", last=last)
        trained = {"method": method, "lr": f"{params.lr:g}", "steps": f"{last} × {params.train.batch_size}"}
    label = inputs.quantities.label
    names = {"subject": label(SUBJECT), "prompt": label(PROMPT), "margin": f"{margin:g}"}
    reason = selection_reason(inputs, margin)
    why = texts(f"summary.{reason}", checkpoint=inputs.run_variant, **names)
    known = f"notice.{params.model.name}"
    sides = inputs.split["split"].value_counts().to_dict()
    lines = {
        "model": f"{params.model.name} ({shorten_path(params.model.id)})",
        "subject": f"{params.subject.token} · {params.subject.class_name}",
        **trained,
        "selected": inputs.run_variant,
        "sampling": texts(
            "fact.sampling_value", steps=generated.num_inference_steps, guidance=f"{generated.guidance_scale:g}"
        ),
        "photos": texts("fact.photos_value", train=sides.get("train", 0), val=sides.get("val", 0)),
        "seed": str(params.seed),
    }
    return Summary(
        conclusion=conclude(
            inputs.metrics.get("against_base", {}), inputs.metrics.get("reached", {}), inputs.quantities, texts
        ),
        ran=what + why,
        facts=tuple((texts(f"fact.{name}"), value) for name, value in lines.items()),
        notices=(*_missed_bar(inputs, margin, texts), *([texts(known)] if known in texts else [])),
    )


def method_name(method: Mapping[str, Any]) -> str:
    """Names a method as its paper does, with its rank where it has one.

    Args:
        method: The configuration group.

    Returns:
        For example ``LoRA, rank 16``; of several methods all.
    """
    if "methods" in method:
        return " + ".join(method_name(part) for part in method["methods"])
    kind = str(method["_target_"]).rsplit(".", 1)[-1].removesuffix("Method")
    if "use_dora" in method:
        kind = "DoRA" if method["use_dora"] else "rsLoRA" if method["use_rslora"] else "LoRA"
    if kind == "OwnWeights":
        layers = method["target_modules"]
        return "DreamBooth" if layers is None else f"own weights of {', '.join(layers)}"
    names = {"loha": "LoHa", "lokr": "LoKr", "TextualInversion": "Textual Inversion"}
    if "tuner" in method:
        kind = names.get(method["tuner"], str(method["tuner"]).upper())
    rank = method.get("rank", method.get("options", {}).get("r"))
    return names.get(kind, kind) + ("" if rank is None else f", rank {rank}")


def _missed_bar(inputs: Inputs, margin: float, texts: Texts) -> list[str]:
    """Says that no checkpoint keeps its prompts as the rule wants, where evaluate found so."""
    if not inputs.meta.get("bar_missed"):
        return []
    means = checkpoint_means(inputs, DEV)
    chosen, base = (means[name][PROMPT] for name in (inputs.run_variant, "base"))
    figures = {
        "value": f"{chosen:z.3f}",
        "base": f"{base:z.3f}",
        "prompt": inputs.quantities.label(PROMPT),
        "margin": f"{margin:g}",
    }
    return [texts("notice.bar_missed", checkpoint=inputs.run_variant, **figures)]


def selection_reason(inputs: Inputs, margin: float) -> str:
    """Says why the selected checkpoint was selected, and only what the figures bear out.

    Args:
        inputs: The tables.
        margin: How far below base the clip_t of a selected checkpoint may lie.

    Returns:
        ``only``, ``rule``, ``none_within``, what evaluate says where a metric that the rule needs was not chosen
        (``last``, ``highest``), or ``other``.
    """
    if len(inputs.metrics["checkpoints"]) == 1:
        return "only"
    means = checkpoint_means(inputs, DEV)
    if any(not {PROMPT, SUBJECT} <= set(scores) for scores in means.values()):
        said = str(inputs.meta["selection"]["reason"])
        return said if said in WITHOUT_RULE else "other"
    floor = means.pop("base")[PROMPT] - margin - ROUNDING
    within = {name: scores for name, scores in means.items() if scores[PROMPT] >= floor}
    if not within:
        return "none_within"
    best = max(scores[SUBJECT] for scores in within.values())
    is_best = inputs.run_variant in within and within[inputs.run_variant][SUBJECT] >= best - ROUNDING
    return "rule" if is_best else "other"


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

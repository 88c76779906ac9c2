"""The head of the page: what came out, what ran, and a line of facts."""

from collections.abc import Mapping
from dataclasses import dataclass

from src.metrics.names import IDENTITY, PROMPT, SUBJECT
from src.metrics.quantities import Quantities
from src.reporting.inputs import Inputs
from src.reporting.scoring import development_means
from src.reporting.templating import Section, shorten_path
from src.reporting.texts import Texts

# metrics are stored with six decimals
ROUNDING = 1e-6
# why a checkpoint was selected without the rule
WITHOUT_RULE = ("last", "highest")


@dataclass(frozen=True)
class RunFacts:
    """What was run, as configured.

    Attributes:
        title: The page's title.
        model_name: For example ``sd15``; some bring a notice about what their numbers mean.
        model_id: The hub id or folder of the base model.
        token: The rare token.
        class_name: The class noun.
        method: For example ``LoRA``.
        lr: The learning rate.
        rank: The adapter's rank.
        seed: The seed of everything.
        steps: Training steps.
        batch_size: Images per step.
        sampling_steps: Denoising steps of each drawn image.
        guidance_scale: Classifier-free guidance of each drawn image.
        clip_t_margin: How far below base the clip_t of a selected checkpoint may lie.
        margins: Differences of the primary metrics that do not matter.
    """

    title: str
    model_name: str
    model_id: str
    token: str
    class_name: str
    method: str
    lr: float
    rank: int
    seed: int
    steps: int
    batch_size: int
    sampling_steps: int
    guidance_scale: float
    clip_t_margin: float
    margins: Mapping[str, float]


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


def section(inputs: Inputs, facts: RunFacts, texts: Texts) -> Section:
    """Builds the head of the page."""
    return Section({"summary": summarise(inputs, facts, texts)})


def summarise(inputs: Inputs, facts: RunFacts, texts: Texts) -> Summary:
    """Builds the head.

    Args:
        inputs: The tables.
        facts: What was run.
        texts: The words.

    Returns:
        The sentences, the facts and the notices.
    """
    what = texts(
        "summary.what",
        method=facts.method,
        rank=facts.rank,
        model=facts.model_name,
        class_name=facts.class_name,
        token=facts.token,
        steps=facts.steps,
        lr=f"{facts.lr:g}",
    )
    last = int(inputs.loss["step"].max())
    if last < facts.steps:
        what += texts("summary.stopped", last=last)
    label = inputs.quantities.label
    names = {"subject": label(SUBJECT), "prompt": label(PROMPT), "margin": f"{facts.clip_t_margin:g}"}
    reason = selection_reason(inputs, facts.clip_t_margin)
    why = texts(f"summary.{reason}", checkpoint=inputs.run_variant, **names)
    known = f"notice.{facts.model_name}"
    sides = inputs.split["split"].value_counts().to_dict()
    lines = {
        "model": f"{facts.model_name} ({shorten_path(facts.model_id)})",
        "subject": f"{facts.token} · {facts.class_name}",
        "method": facts.method,
        "lr": f"{facts.lr:g}",
        "rank": str(facts.rank),
        "steps": f"{last} × {facts.batch_size}",
        "selected": inputs.run_variant,
        "sampling": texts("fact.sampling_value", steps=facts.sampling_steps, guidance=f"{facts.guidance_scale:g}"),
        "photos": texts("fact.photos_value", train=sides.get("train", 0), val=sides.get("val", 0)),
        "seed": str(facts.seed),
    }
    return Summary(
        conclusion=conclude(
            inputs.metrics.get("against_base", {}), inputs.metrics.get("reached", {}), inputs.quantities, texts
        ),
        ran=what + why,
        facts=tuple((texts(f"fact.{name}"), value) for name, value in lines.items()),
        notices=(*_missed_bar(inputs, facts, texts), *([texts(known)] if known in texts else [])),
    )


def _missed_bar(inputs: Inputs, facts: RunFacts, texts: Texts) -> list[str]:
    """Says that no checkpoint keeps its prompts as the rule wants, where evaluate found so."""
    if not inputs.meta.get("bar_missed"):
        return []
    means = development_means(inputs)
    chosen, base = (means[name][PROMPT] for name in (inputs.run_variant, "base"))
    figures = {
        "value": f"{chosen:z.3f}",
        "base": f"{base:z.3f}",
        "prompt": inputs.quantities.label(PROMPT),
        "margin": f"{facts.clip_t_margin:g}",
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
    means = development_means(inputs)
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

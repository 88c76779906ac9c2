"""Simulates how often a comparison of two checkpoints reaches its verdict: prompts, images of each, margins.

`python -m benchmarks.bench_power` takes the spreads below; `A B`, two runs as in `python -m src.commands.compare`,
generated with two images of a prompt or more, measures theirs and takes the margins of A.
"""

import argparse
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from src.commands.compare import read_run
from src.comparison import statistics
from src.comparison.runs import EvaluatedRun
from src.comparison.statistics import DETECTABLE, Comparison, Verdict, adjust, compare_scores, verdict_of
from src.comparison.verdict import margins_of
from src.core.errors import MetricError
from src.core.sets import TEST
from src.metrics import intervals
from src.metrics.names import PROMPT, SUBJECT

# standard deviations of paired differences: of a prompt's true mean, of an image within its prompt; measured on the
# embedded default, 24 prompts of two images: step 200 against base, and against step 100
SPREADS = {
    "a run against its base": {SUBJECT: (0.079, 0.118), PROMPT: (0.053, 0.081)},
    "two checkpoints of one training": {SUBJECT: (0.0, 0.116), PROMPT: (0.022, 0.044)},
}
# the same number of images in each of the first three
DESIGNS = ((48, 1), (24, 2), (12, 4), (48, 2))
MARGINS = ({SUBJECT: 0.02, PROMPT: 0.02}, {SUBJECT: 0.02, PROMPT: 0.04})
GAINS = (0.0, 0.08)
# fewer generates than a comparison takes: a verdict changes in less than one of a hundred
DRAWS = 1_000


def variance_components(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Splits the spread of paired differences by analysis of variance.

    Args:
        differences: (P, K), K >= 2.

    Returns:
        The standard deviations of a prompt's true mean and of an image within its prompt.

    Raises:
        MetricError: There is one image of a prompt: its spread cannot be told from that of prompts.
    """
    if differences.shape[1] < 2:
        raise MetricError("expected two images of a prompt or more: validation_args.num_images_per_prompt=2")
    within = float(differences.var(axis=1, ddof=1).mean())
    between = float(differences.mean(1).var(ddof=1)) - within / differences.shape[1]
    return math.sqrt(max(between, 0.0)), math.sqrt(within)


def largest_spread(margin: float, prompts: int) -> float:
    """Says how far paired differences of a metric that does not change may spread for a verdict in four of five cases.

    Args:
        margin: The difference that does not matter.
        prompts: Of one image each.

    Returns:
        The standard deviation whose interval stays above minus the margin so often: the quantiles are DETECTABLE's.
    """
    return margin * math.sqrt(prompts) / DETECTABLE


def measure(a: EvaluatedRun, b: EvaluatedRun) -> dict[str, tuple[float, float]]:
    """Returns `variance_components` of both metrics between the chosen checkpoints of two runs."""
    found = {}
    for metric in (SUBJECT, PROMPT):
        grids = []
        for run in (a, b):
            rows = run.scores[(run.scores["set"] == TEST) & (run.scores["metric"] == metric)]
            rows = rows[(rows["variant"] == run.meta["selected"]) & (rows["references"] != "train")]
            grids.append(rows.pivot(index="prompt_id", columns="seed", values="value"))
        found[metric] = variance_components((grids[1] - grids[0]).dropna().to_numpy(dtype=np.float64))
    return found


def simulate(
    spread: Mapping[str, tuple[float, float]], design: tuple[int, int], gain: float, repeats: int
) -> list[dict[str, Comparison]]:
    """Generates comparisons in which the second run has gained in likeness and in nothing else.

    Args:
        spread: See SPREADS.
        design: Prompts, and images of each.
        gain: In likeness.
        repeats: How many.

    Returns:
        Both metrics of each.
    """
    random = np.random.default_rng(0)
    generated = []
    for repeat in range(repeats):
        pair = {}
        for metric, (between, within) in spread.items():
            grid = random.normal(0, between, (design[0], 1)) + random.normal(0, within, design)
            found = compare_scores(grid + (gain if metric == SUBJECT else 0.0), repeat)
            assert found is not None
            pair[metric] = found
        generated.append(pair)
    return generated


def table(
    spread: Mapping[str, tuple[float, float]], margins: Sequence[Mapping[str, float]], repeats: int
) -> list[list[str]]:
    """Returns a row for each design and gain: how often the verdict is BETTER with each margin, and half widths."""
    rows = []
    for design in DESIGNS:
        for gain in GAINS:
            generated = simulate(spread, design, gain, repeats)
            widths = {m: np.mean([(p[m].interval.high - p[m].interval.low) / 2 for p in generated]) for m in spread}
            shares = [
                sum(verdict_of(pair, of, adjust(pair, 1)) is Verdict.BETTER for pair in generated) / repeats
                for of in margins
            ]
            shown = [f"{design[0]} x {design[1]}", f"{gain:g}", *(f"{width:.3f}" for width in widths.values())]
            rows.append([*shown, *(f"{share:.0%}" for share in shares)])
    return rows


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="two, to measure the spread with")
    parser.add_argument("--repeats", type=int, default=300)
    wanted = parser.parse_args()
    for module in (intervals, statistics):
        vars(module)["DRAWS"] = DRAWS
    spreads, margins = SPREADS, MARGINS
    if wanted.runs:
        a, b = (read_run(name) for name in wanted.runs)
        spreads, margins = {f"{a.name} and {b.name}": measure(a, b)}, (margins_of(a),)
    for name, spread in spreads.items():
        print(f"\n{name}:")
        for metric, (between, within) in spread.items():
            print(f"{metric}: sd {between:.3f} between prompts, {within:.3f} between images of a prompt")
        heads = ["prompts x images", "true gain", *(f"half width {metric}" for metric in spread)]
        heads += [f"BETTER at {PROMPT} ±{of[PROMPT]:g}" for of in margins]
        for row in (heads, ["---"] * len(heads), *table(spread, margins, wanted.repeats)):
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()

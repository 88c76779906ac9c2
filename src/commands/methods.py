"""Compares methods over training seeds, each at a learning rate that was chosen for it:
`python -m src.commands.methods [SETTING ...] --seeds 5 [-S KEY=VALUE ...]`.

A setting is a method, or one with overrides of its own in quotes: `lora "lora prior.weight=1 prior.form=prediction"`;
without any it is every method of configs/method. `-S` holds for all. Each run is a DVC experiment in a temporary copy,
with the same photos held out and the same noise for its pictures. The rate is looked for with a training seed of its
own, on the dev prompts, by the rule for checkpoints: a third, the same and three times the configured one, and further
where the best one lies at the edge; a setting that names its rate keeps it. The same command goes on after a kill; with
`--minutes` no run begins later, and what is there is told. Prints Markdown and writes a page.
"""

import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from src.commands.compare import read_run
from src.commands.method_cost import measure_apart
from src.commands.seeds import check_alike, fixed_seeds, read_seeds
from src.commands.trials import Trial, finished_experiments, run_experiment, run_trials
from src.commands.usage import command_line
from src.comparison.rates import Tried, choose_rate, next_rates
from src.comparison.selection import SelectionRule
from src.comparison.study import Contestant
from src.core import layout
from src.core.app import INTERRUPTED
from src.core.building import build
from src.core.config import load_config, load_settings, quote_overrides, to_dict
from src.core.config_errors import one_line
from src.core.digest import CONFIGS
from src.core.errors import ConfigError, NonFiniteError
from src.core.lock_file import check_lock
from src.metrics.names import KEPT, PROMPT, SUBJECT
from src.reporting.comparison.methods import describe_study, write_between, write_study
from src.reporting.comparison.study import Cost, Rate, Study
from src.reporting.texts import load_texts
from src.stages.training_checks import check_settings

KIND = "methods"
IMAGES_KEPT = "validation_args.num_unrelated_images"
# of the trainings that a rate is chosen by; none of the compared ones has it
RATE_SEED = 1000
DEFAULT_PAGE = layout.METRICS / "methods.html"


@dataclass(frozen=True)
class Setting:
    """What is compared.

    Attributes:
        name: What tables call it: a person's own words.
        overrides: Of the configuration, those for all included.
        own: Those of this setting alone.
        params: What all compose to.
    """

    name: str
    overrides: tuple[str, ...]
    own: tuple[str, ...]
    params: dict[str, Any]

    @property
    def rate_key(self) -> str:
        """The learning rate that matters: the method's own where it has one, as that of new vectors."""
        return "method.lr" if "lr" in self.params["method"] else "lr"

    @property
    def rate(self) -> float:
        """Its value."""
        return float(self.params["method"]["lr"] if self.rate_key == "method.lr" else self.params["lr"])

    @property
    def has_own_rate(self) -> bool:
        """Whether a person chose the rate of this setting, so that none is looked for."""
        return any(key_of(word) == self.rate_key for word in self.own)

    def at(self, rate: float) -> "Setting":
        """Returns the same with another rate."""
        return replace(self, overrides=(*self.overrides, f"{self.rate_key}={rate!r}"))

    def trial(self, seed: int) -> Trial:
        """Returns its training with a seed."""
        return Trial.of(KIND, (*self.overrides, *fixed_seeds(self.params), f"seed={seed}"))


def key_of(word: str) -> str:
    """Returns what an override sets."""
    return word.lstrip("+~").partition("=")[0]


def read_settings(words: Sequence[str], shared: Sequence[str]) -> list[Setting]:
    """Reads what is to be compared.

    Args:
        words: Settings as a person gives them; none for every method.
        shared: Overrides for all.

    Returns:
        Two settings or more, with the unrelated prompts generated and measured for all.

    Raises:
        ConfigError: One cannot be used, is there twice, sets seed, method or a base model of its own, or would be
            measured in another way; or there is one alone.
    """
    names = list(words) or sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml"))
    settings = [_read_setting(name, shared) for name in names]
    composed = [json.dumps(setting.params, sort_keys=True) for setting in settings]
    if len(names) < 2 or len(set(composed)) < len(names):
        raise ConfigError(f"expected two different settings or more, found {', '.join(names)}")
    check_alike([setting.params for setting in settings])
    if others := [one.name for one in settings if one.params["model"]["id"] != settings[0].params["model"]["id"]]:
        raise ConfigError(f"{others[0]}: has another base model than {settings[0].name}; methods are compared on one")
    return settings


def _read_setting(name: str, shared: Sequence[str]) -> Setting:
    try:
        method, *own = shlex.split(name)
    except ValueError as error:
        raise ConfigError(f"{name!r}: expected a method, then overrides: {error}") from error
    if wrong := [word for word in (*shared, *own) if key_of(word) in ("seed", "method")]:
        raise ConfigError(f"{wrong[0]}: seeds are what --seeds is for, and a method stands first in its setting")
    chosen = quote_overrides([f"method={method}", *shared, *own])
    metrics = to_dict(load_config(chosen))["inference_metrics"]
    if missing := [metric for metric in (SUBJECT, PROMPT) if metric not in metrics]:
        raise ConfigError(f"inference_metrics: methods are compared by {SUBJECT} and {PROMPT}, add {missing[0]}")
    measures = [f"inference_metrics=[{','.join(dict.fromkeys([*metrics, KEPT]))}]"]
    if not any(key_of(word) == IMAGES_KEPT for word in chosen):
        measures.append(f"{IMAGES_KEPT}=1")
    overrides = (*chosen, *measures)
    setting = Setting(name, overrides, tuple(own), to_dict(load_config(overrides)))
    if not setting.rate > 0:
        raise ConfigError(f"{name}: {setting.rate_key}={setting.rate:g}, expected a rate above 0")
    return setting


def check_trainable(settings: Sequence[Setting]) -> None:
    """Refuses what would end a training of a setting after those of others.

    Args:
        settings: What is compared.

    Raises:
        ConfigError: A method cannot train this base model, for example in half precision.
        MissingModelError: The base model is not on this machine.
        ModelMismatchError: It is of another architecture.
    """
    for setting in settings:
        params = load_settings(setting.overrides)
        check_settings(params, build(params.method, "method"))


def train_and_measure(trial: Trial) -> int:
    """Runs a trial without a report of its own, which nobody would read; returns DVC's exit status."""
    return run_experiment(trial, "evaluate")


def find_rate(setting: Setting, late: Callable[[], bool]) -> tuple[float | None, list[Tried]]:
    """Looks for a setting's learning rate.

    Args:
        setting: The setting.
        late: Whether no further training may begin.

    Returns:
        The rate, None where the time was up or no training of it came to an end; and what was tried, by rate.

    Raises:
        MetricError: A training failed otherwise than by numbers that became NaN or infinite.
    """
    if setting.has_own_rate:
        return setting.rate, []
    rule = SelectionRule.of(setting.params["evaluate"]["select_clip_t_margin"], setting.params["evaluate"]["margins"])
    tried: dict[float, Tried] = {}
    while rates := next_rates(setting.rate, tried, rule):
        for rate in rates:
            trial = setting.at(rate).trial(RATE_SEED)
            try:
                if not run_trials(KIND, [trial], finished_experiments, train_and_measure, late):
                    return None, [tried[key] for key in sorted(tried)]
            except NonFiniteError as error:  # a rate that is too high
                print(f"{KIND}: {setting.name} with {setting.rate_key}={rate:g}: {error}", file=sys.stderr)
                tried[rate] = Tried.failed(rate)
            else:
                tried[rate] = Tried.of(rate, read_run(trial.name))
    found = [tried[key] for key in sorted(tried)]
    return (choose_rate(tried, rule) if any(one.dev for one in found) else None), found


def run_study(settings: Sequence[Setting], seeds: Sequence[int], late: Callable[[], bool], costs: bool) -> Study:
    """Looks for the rates, then trains every setting with each seed in turn.

    Args:
        settings: What is compared.
        seeds: Of the trainings.
        late: Whether no further training may begin.
        costs: Whether a step is timed.

    Returns:
        What is there; a setting with fewer than two runs is named as left out.

    Raises:
        ConfigError: A seed is that of the search.
        MetricError: A training failed otherwise than by numbers that became NaN or infinite.
    """
    if RATE_SEED in seeds:
        raise ConfigError(f"--seeds: {RATE_SEED} is the seed that rates are chosen with")
    found = {setting.name: find_rate(setting, late) for setting in settings}
    chosen = {
        setting.name: setting if setting.has_own_rate else setting.at(rate)
        for setting in settings
        if (rate := found[setting.name][0]) is not None
    }
    trials = {name: [setting.trial(seed) for seed in seeds] for name, setting in chosen.items()}
    for of_seed in zip(*trials.values(), strict=True):
        for trial in of_seed:
            try:
                run_trials(KIND, [trial], finished_experiments, train_and_measure, late)
            except NonFiniteError as error:  # one seed of one setting; its others are told without it
                print(f"{KIND}: {error}", file=sys.stderr)
    there = finished_experiments()
    runs = {name: tuple(read_run(one.name) for one in of if one.name in there) for name, of in trials.items()}
    contestants = [Contestant(name, of) for name, of in runs.items() if len(of) > 1]
    measured: dict[str, Cost] = {}
    for one in contestants if costs else ():
        if (cost := measure_apart(chosen[one.name].overrides)) is not None:
            measured[one.name] = cost
    told = {one.name for one in contestants}
    return Study(
        contestants,
        {name: Rate(setting.rate_key, found[name][0] or 0.0, found[name][1]) for name, setting in chosen.items()},
        {setting.name: found[setting.name][1] for setting in settings if found[setting.name][1]},
        measured,
        tuple(setting.name for setting in settings if setting.name not in told),
    )


@one_line("methods")
def main() -> None:
    """Runs the study and tells what is there.

    Raises:
        SystemExit: A run failed, too little is there to compare, or Ctrl-C was pressed.
    """
    parser = command_line("methods", __doc__)
    parser.add_argument("settings", nargs="*", metavar="SETTING", help="a method, or one with overrides in quotes")
    parser.add_argument("-S", dest="shared", action="append", default=[], metavar="KEY=VALUE", help="for all settings")
    parser.add_argument("--seeds", default="5", help="how many, or a list with commas (default: 5)")
    parser.add_argument("--minutes", type=float, help="begin no run later than this (default: no limit)")
    parser.add_argument("--costs", action="store_true", help="time a training step of each and take its peak memory")
    parser.add_argument("--language", default="en", help="of the page (default: en)")
    parser.add_argument("--out", type=Path, default=DEFAULT_PAGE, help=f"the page (default: {DEFAULT_PAGE})")
    parser.add_argument("--into", type=Path, help="a Markdown file whose part between the marks is replaced")
    wanted = parser.parse_intermixed_args()
    end = None if wanted.minutes is None else time.monotonic() + 60 * wanted.minutes
    try:
        check_lock(Path())
        load_texts(wanted.language)
        if wanted.into is not None:
            write_between(wanted.into, None)
        settings = read_settings(wanted.settings, wanted.shared)
        check_trainable(settings)
        seeds = read_seeds(wanted.seeds, settings[0].params["seed"])
        study = run_study(settings, seeds, lambda: end is not None and time.monotonic() >= end, wanted.costs)
    except KeyboardInterrupt as error:
        print(f"{KIND}: interrupted; the same command goes on", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from error
    told = describe_study(study)
    print(told)
    if wanted.into is not None:
        write_between(wanted.into, told)
    write_study(wanted.out, study, wanted.language)


if __name__ == "__main__":
    main()

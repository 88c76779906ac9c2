"""Folders as evaluate leaves them: scores of 24 test prompts, dev prompts and base, metadata and parameters."""

import json

import numpy as np
import pandas as pd
import yaml

from src.comparison.runs import FILES, parse_run
from tests.metrics.quantities import described

META = {
    "selected": "step-000100",
    "prompt_set_sha256": "p",
    "seeds": [0, 1],
    "references": {"val": {"a.png": "1"}},
    "quantities": described(),
    "metric_models": {"dino": {"sha256": "x"}, "clip_t": {"sha256": "y"}},
}
PARAMS = {
    "lr": 1e-4,
    "subject": {"class_name": "bear"},
    "sampler": {"class_name": "DDIM"},
    "validation_args": {"guidance_scale": 4.0, "batch_size": 8},
    "prior": {"weight": 0.0, "seed": 42},
    "evaluate": {"margins": {"dino": 0.02, "clip_t": 0.005}, "select_clip_t_margin": 0.02},
    "report": {"language": "en"},
}
COLUMNS = ["variant", "prompt_id", "set", "group", "seed", "metric", "references", "value", "reason"]
CHOSEN = "step-000100"


def write_run(folder, effect=0.0, seed=0, meta=(), params=(), dev=(9.0, 9.0), metrics=("dino", "clip_t")):
    """Effect is what dino gains over the same run without; dev are both means on the dev prompts, base's 0.5."""
    random = np.random.default_rng(seed)
    rows = []
    for metric, spread, shift, on_dev in (("dino", 0.05, effect, dev[0]), ("clip_t", 0.004, 0.0, dev[1])):
        for prompt in range(24):
            level = random.normal(0.5, spread)
            for k in range(2):
                value = level + shift + (0.002 * np.sin(prompt + k) if effect else 0)
                rows.append((CHOSEN, f"p{prompt}", "test", "g", k, metric, "val", value, ""))
                rows.append((CHOSEN, f"p{prompt}", "test", "g", k, metric, "train", 9.0, ""))
                rows.append(("base", f"p{prompt}", "test", "g", k, metric, "val", 0.1, ""))
                rows.append((CHOSEN, f"d{prompt}", "dev", "g", k, metric, "val", on_dev, ""))
                rows.append(("base", f"d{prompt}", "dev", "g", k, metric, "val", 0.5, ""))
    table = pd.DataFrame(rows, columns=COLUMNS)
    (folder / "metrics").mkdir(parents=True)
    table[table["metric"].isin(metrics)].to_csv(folder / "metrics/scores.csv", index=False)
    (folder / "metrics/metrics_meta.json").write_text(json.dumps({**META, **dict(meta)}))
    (folder / "params.yaml").write_text(yaml.safe_dump({**PARAMS, **dict(params)}))
    return read_folder(folder)


def read_folder(folder):
    return parse_run(str(folder), {file: (folder / file).read_bytes() for file in FILES})


def write_seeds(folder, name, effects):
    """One configuration, a run for each training seed."""
    for n, effect in enumerate(effects):
        params = {"seed": n, "prior": {"weight": 0.0, "seed": n}, "configs_digest": str(n)}
        write_run(folder / f"{name}{n}", effect=effect, seed=7, params=params)
    return [str(folder / f"{name}{n}") for n in range(len(effects))]


def with_pres(scores, gain):
    """Adds PRES: one prompt of the class alone, eight seeds, for base and the chosen checkpoint."""
    rows = [
        (variant, "class", "class-only", "none", k, "pres", "val", level + 0.01 * (k - 3.5) * level, "")
        for variant, level in (("base", 0.3), (CHOSEN, 0.4 + gain))
        for k in range(8)
    ]
    return pd.concat([scores, pd.DataFrame(rows, columns=COLUMNS)])

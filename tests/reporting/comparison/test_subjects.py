"""The table over subjects says how many a mean counts."""

from src.comparison.subjects import SubjectResult
from src.metrics.quantities import Quantities
from src.reporting.comparison.subjects import describe_subjects
from tests.metrics.quantities import described


def test_a_mean_over_fewer_subjects_says_so():
    both, alone = {"dino": 0.4, "clip_t": 0.6}, {"dino": 0.6}
    results = [
        SubjectResult(name, "dog", means, {"dino": 0.1}) for name, means in zip("abc", (both, both, alone), strict=True)
    ]
    text = describe_subjects(results, Quantities.of({"quantities": described()}), {})
    [row] = [line for line in text.splitlines() if line.startswith("| mean over subjects")]
    assert "0.467 ± 0.287 |" in row  # (0.4 + 0.4 + 0.6) / 3; Student's t of 4.303 times 0.1155 / sqrt(3)
    assert "0.600 ± 0.000, 2 of 3 |" in row

"""What few images and photos allow the measures of copying to say."""

import numpy as np
import pytest

from src.metrics.copying import rank_z
from src.metrics.copying_limits import ENOUGH_PHOTOS, held_out_level, held_out_scores, largest_rank_z
from src.metrics.summary import score_table
from tests.metrics.synthetic import score


@pytest.mark.parametrize(("images", "photos"), [(8, 5), (1, 1), (50, 6), (3, 40)])
def test_largest_rank_z_is_reached_by_samples_that_do_not_overlap(images, photos):
    low, high = np.arange(images, dtype=float), images + np.arange(photos, dtype=float)
    assert rank_z(low, high) == pytest.approx(-largest_rank_z(images, photos))
    assert rank_z(high, low) == pytest.approx(largest_rank_z(photos, images))
    random = np.random.default_rng(0)
    overlapping = [rank_z(random.integers(0, 9, images), random.integers(0, 9, photos)) for _ in range(200)]
    assert np.abs(overlapping).max() <= largest_rank_z(images, photos) + 1e-12


def test_largest_rank_z_of_eight_images_and_five_photos_by_hand():
    # U = 0: (0 - 20) / sqrt(40 * 14 / 12)
    assert largest_rank_z(8, 5) == pytest.approx(2.9277, abs=1e-4)


@pytest.mark.parametrize(
    ("photos", "level"), [(1, 0), (5, 4), (ENOUGH_PHOTOS - 1, 98), (ENOUGH_PHOTOS, 98), (200, 197)]
)
def test_held_out_level_is_the_largest_until_there_are_photos_enough(photos, level):
    likeness = np.random.default_rng(0).permutation(photos)
    assert held_out_level(likeness) == level
    assert (likeness <= level).mean() >= 0.99


def test_held_out_photos_count_as_they_are_only_where_none_went_through_the_autoencoder():
    def table(decoded):
        sides = {"real": (0.5, 0.6), "real (autoencoder)": decoded}
        rows = [
            score(side, f"photo-{n}", value, "nn_train", "none", "none")
            for side, values in sides.items()
            for n, value in enumerate(values)
        ]
        return score_table(rows)

    assert held_out_scores(table((0.7, None)), "nn_train").tolist() == [0.7]
    assert held_out_scores(table((None, None)), "nn_train").tolist() == [0.5, 0.6]
    assert held_out_scores(table(()), "nn_train").tolist() == [0.5, 0.6]

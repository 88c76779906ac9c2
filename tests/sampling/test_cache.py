"""Images are kept while the next ones are generated."""

import time
from threading import Event

import pytest
import torch
from PIL import Image

from src.sampling.cache import SampleCache, png_bytes, put_all
from src.sampling.generator import Job, SamplingSettings
from src.sampling.prompts import Prompt

SETTINGS = SamplingSettings(64, 2, 3, 5.0, "", 4, 0, "DDIMScheduler", {}, "fp32")
JOBS = [Job(Prompt("moon", "test", "g", "a {subject}"), "a toy", seed) for seed in range(40)]


@pytest.fixture
def cache(tmp_path):
    return SampleCache.open(tmp_path, "model", torch.device("cpu"), SETTINGS, "code")


def picture(job):
    return Image.new("RGB", (8, 8), (job.seed, 0, 0))


def test_every_image_is_kept_as_its_bytes(cache):
    put_all(cache, "adapter", ((job, picture(job)) for job in JOBS))
    assert [cache.get("adapter", job) for job in JOBS] == [png_bytes(picture(job)) for job in JOBS]
    assert cache.get("", JOBS[0]) is None


def test_the_next_image_is_generated_while_one_is_written(cache, monkeypatch):
    further = Event()
    monkeypatch.setattr(SampleCache, "put", lambda *_: further.wait(20) or pytest.fail("nothing was generated"))

    def generated():
        yield JOBS[0], picture(JOBS[0])
        further.set()
        yield JOBS[1], picture(JOBS[1])

    put_all(cache, "", generated())


def test_an_image_that_cannot_be_written_ends_the_run(cache, monkeypatch):
    made = []

    def full(_cache, _adapter, job, _image):
        if job.seed == 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(SampleCache, "put", full)

    def generated():
        for job in JOBS:
            made.append(job.seed)
            yield job, picture(job)
            time.sleep(0.05)  # as generating takes longer than writing

    with pytest.raises(OSError, match="No space left"):
        put_all(cache, "", generated())
    assert len(made) < 10, "generating on would be in vain"


def test_what_was_generated_before_an_interruption_is_kept(cache):
    def generated():
        yield JOBS[0], picture(JOBS[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put_all(cache, "", generated())
    assert cache.get("", JOBS[0]) == png_bytes(picture(JOBS[0]))

"""Benchmarks: `python -m benchmarks` prints ratios of two ways to do the same work, both measured in one run."""

"""The machine's load is finite and in range, with and without a GPU."""

import math

import torch

from src.trackers.machine import machine_load


def test_machine_load_is_finite_and_in_range():
    load = machine_load()
    assert {"cpu_percent", "memory_percent", "process_memory_gib"} <= load.keys()
    assert all(math.isfinite(value) and value >= 0 for value in load.values())
    assert load["memory_percent"] <= 100
    assert ("gpu_memory_gib" in load) is torch.cuda.is_available()


def test_machine_load_with_a_gpu_but_no_nvml_reports_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1, 4))
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    load = machine_load()
    assert load["gpu_memory_percent"] == 75
    assert load["gpu_memory_gib"] == 0
    assert "gpu_percent" not in load

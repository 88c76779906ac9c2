"""How busy this machine is, as scalars for the trackers and the training log."""

import psutil

GIB = 1024**3

psutil.cpu_percent()  # the first call has nothing to compare with and returns 0


def machine_load() -> dict[str, float]:
    """Measures the load of processors, memory and, where there is one, the current GPU.

    Returns:
        ``cpu_percent`` (all cores, since the last call), ``memory_percent`` and ``process_memory_gib``; with CUDA
        also ``gpu_memory_gib`` (tensors of this process, now), ``gpu_memory_peak_gib``, ``gpu_memory_percent``
        (everybody's) and, where nvidia-ml-py is installed, ``gpu_percent``.
    """
    import torch

    load = {
        "cpu_percent": psutil.cpu_percent(),
        "memory_percent": psutil.virtual_memory().percent,
        "process_memory_gib": psutil.Process().memory_info().rss / GIB,
    }
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        load["gpu_memory_gib"] = torch.cuda.memory_allocated() / GIB
        load["gpu_memory_peak_gib"] = torch.cuda.max_memory_allocated() / GIB
        load["gpu_memory_percent"] = 100 * (total - free) / total
        load |= _gpu_percent()
    return load


def _gpu_percent() -> dict[str, float]:
    import torch

    try:
        import pynvml
    except ModuleNotFoundError:
        return {}
    try:
        return {"gpu_percent": float(torch.cuda.utilization())}
    except pynvml.NVMLError:  # a MIG slice does not tell
        return {}

"""What the graphics cards do, as NVIDIA's own library tells: where there is none, nothing is said.

https://docs.nvidia.com/deploy/nvml-api/
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

_LIBRARY = "libnvidia-ml.so.1"
_NAME_BYTES = 96
_TEMPERATURE_GPU = 0


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card. Memory is in bytes, use in percent, temperature in °C; None where the card doesn't tell."""

    name: str
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    busy_percent: int | None
    temperature_celsius: int | None


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


def gpus() -> tuple[Gpu, ...]:
    """Ask every card. May take a moment: not for the event loop."""
    library = _library()
    return () if library is None else read_gpus(library)


@cache
def _library() -> Any:
    try:
        library = ctypes.CDLL(_LIBRARY)
        return library if library.nvmlInit_v2() == 0 else None
    except (OSError, AttributeError):
        return None


def read_gpus(library: Any) -> tuple[Gpu, ...]:
    """Ask every card that an initialised `library` knows."""
    count = ctypes.c_uint()
    if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return ()
    found = []
    for index in range(count.value):
        handle = ctypes.c_void_p()
        if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)) == 0:
            found.append(_read(library, handle))
    return tuple(found)


def _read(library: Any, handle: ctypes.c_void_p) -> Gpu:
    name = ctypes.create_string_buffer(_NAME_BYTES)
    memory, use, celsius = _Memory(), _Utilization(), ctypes.c_uint()
    has_name = library.nvmlDeviceGetName(handle, name, ctypes.c_uint(_NAME_BYTES)) == 0
    has_memory = library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == 0
    has_use = library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(use)) == 0
    sensor = ctypes.c_uint(_TEMPERATURE_GPU)
    has_celsius = library.nvmlDeviceGetTemperature(handle, sensor, ctypes.byref(celsius)) == 0
    return Gpu(
        name=name.value.decode("utf-8", "replace") if has_name else "unknown",
        memory_used_bytes=memory.used if has_memory else None,
        memory_total_bytes=memory.total if has_memory else None,
        busy_percent=use.gpu if has_use else None,
        temperature_celsius=celsius.value if has_celsius else None,
    )

"""Graphics cards, asked through a library that answers as NVIDIA's does."""

from typing import Any

from chatvault.daemon.gpu import Gpu, gpus, read_gpus


class Nvml:
    """Two cards; the second tells nothing but its name."""

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:
        handle._obj.value = index.value + 1
        return 0

    def nvmlDeviceGetName(self, handle: Any, name: Any, length: Any) -> int:
        name.value = b"Card %d" % handle.value
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:
        memory._obj.total, memory._obj.used = 8 << 30, 5 << 30
        return 3 * (handle.value - 1)

    def nvmlDeviceGetUtilizationRates(self, handle: Any, use: Any) -> int:
        use._obj.gpu = 73
        return 3 * (handle.value - 1)

    def nvmlDeviceGetTemperature(self, handle: Any, sensor: Any, celsius: Any) -> int:
        celsius._obj.value = 61
        return 3 * (handle.value - 1)


def test_each_card_is_asked_and_silence_is_none() -> None:
    assert read_gpus(Nvml()) == (
        Gpu("Card 1", 5 << 30, 8 << 30, 73, 61),
        Gpu("Card 2", None, None, None, None),
    )


def test_a_machine_without_the_library_has_none() -> None:
    assert isinstance(gpus(), tuple)

import pytest
from shoal.quantity import cpu_units, memory_mib


@pytest.mark.parametrize(
    ("text", "units"),
    [
        *[("256", 256), ("0", 0), ("1 vCPU", 1024), ("1vcpu", 1024), ("2 VCPU", 2048), (".5 vCPU", 512)],
        *[("0.25 vCPU", 256), ("1. vCPU", 1024), ("0.1 vCPU", 102), ("999999999999999999", 10**18 - 1)],
    ],
)
def test_cpu(text: str, units: int) -> None:
    assert cpu_units(text) == units


@pytest.mark.parametrize(
    ("text", "mib"), [("512", 512), ("1 GB", 1024), ("1gb", 1024), ("0.5GB", 512), (".5 GB", 512), ("30 GB", 30720)]
)
def test_memory(text: str, mib: int) -> None:
    assert memory_mib(text) == mib


@pytest.mark.parametrize(
    "text",
    [
        *["", " ", "-1", "+1", "NaN", "1e-9", "1e18", "1Gi ", "1 Gi", "１２", "٣", " 256", "256 ", "256\n", "1,024"],
        *["0x10", "1  vCPU", "vCPU", ". vCPU", "1.5", "1.0000000000001 vCPU", "1" * 19, "9" * 10_000, "inf", "½"],
    ],
)
def test_what_is_not_an_amount(text: str) -> None:
    for parse in (cpu_units, memory_mib):
        with pytest.raises(ValueError, match="not an amount; write"):
            parse(text)


def test_units_are_not_mixed_up() -> None:
    with pytest.raises(ValueError, match="cpu units"):
        cpu_units("1 GB")
    with pytest.raises(ValueError, match="MiB"):
        memory_mib("1 vCPU")

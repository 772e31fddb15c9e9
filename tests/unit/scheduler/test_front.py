import numpy as np
import pytest
from shoal_scheduler.model.ask import Resources
from shoal_scheduler.placement.front import Front


@pytest.mark.parametrize("seed", range(50))
def test_what_fits_somewhere_is_what_a_look_at_each_row_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(0, 12))
    free_cpu, free_memory = (rng.integers(-3, 10, rows).astype(np.int32) for _ in range(2))
    refused = -(rng.random(rows) < 0.3).astype(np.int32)
    front = Front(free_cpu, free_memory, refused)
    for cpu in range(11):
        for memory in range(11):
            fits = (refused == 0) & (free_cpu >= cpu) & (free_memory >= memory)
            assert front.fits(Resources(cpu, memory)) == fits.any()

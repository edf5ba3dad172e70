"""The contract of engines: results have the bits of the engine `serial`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import scoopsci
from scoopsci import Engine
from scoopsci.testing.bits import find_map_bits, mixed_magnitudes
from scoopsci.testing.opening import EngineUnderTest

__all__ = ["SameBitsContract"]


class SameBitsContract(EngineUnderTest):
    """Every result is that of the engine `serial`, to the last bit."""

    @pytest.mark.parametrize("chunk_target_s", [0.001, 0.1, 1.0])
    def test_estimates_have_the_serial_bits(self, engine: Engine, chunk_target_s: float) -> None:
        found = mixed_magnitudes(**self.options(engine, chunk_target_s=chunk_target_s))
        expected = mixed_magnitudes(engine="serial")
        assert found.receipt["result"] == expected.receipt["result"]

    def test_long_dot_products_have_the_bits_of_one_thread(self, engine: Engine) -> None:
        def sum_products(seed: int) -> float:
            rng = np.random.default_rng(seed)
            return float(rng.normal(size=100_000) @ rng.normal(size=100_000))

        with threadpool_limits(1):
            expected = [sum_products(seed) for seed in range(20)]
        assert list(engine.map(sum_products, range(20), timeout=self.patience_s)) == expected

    @pytest.mark.parametrize("chunk_target_s", [0.001, 0.1, 1.0])
    def test_maps_have_the_serial_bits(self, engine: Engine, chunk_target_s: float) -> None:
        found = find_map_bits(20_000, 1_000, **self.options(engine, chunk_target_s=chunk_target_s))
        assert found == find_map_bits(20_000, 1_000, engine="serial")

    def test_nested_calls_run_serially_with_the_same_bits(self, engine: Engine) -> None:
        def nested(name: str) -> tuple[str, float]:
            result = scoopsci.pi(100_000, seed=5, engine=name, n_workers=2)
            return result.engine, result.value

        expected = scoopsci.pi(100_000, seed=5, engine="serial").value
        for name in ("auto", self.name):
            assert engine.submit(nested, name).result(self.patience_s) == ("serial", expected)

    def test_a_map_within_a_task_is_serial(self, engine: Engine) -> None:
        name = self.name  # the class of the tests need not be pickled

        def nest(item: int) -> tuple[str, int]:
            receipts: list[dict[str, Any]] = []
            options: Any = {"engine": name, "receipt": receipts.append}
            total = sum(scoopsci.map(pow, range(10), [item] * 10, **options))
            return receipts[0]["run"]["engine"], total

        found = list(scoopsci.map(nest, range(5), **self.options(engine)))
        assert found == [("serial", sum(a**item for a in range(10))) for item in range(5)]

"""π, integrals and means: the numbers, the arguments, and what is told of doubtful results."""

import json
import math
import re
import socket
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import scoopsci
from scoopsci import Antithetic, DoubtfulEstimateWarning, Estimate, LedgerError, TaskError
from scoopsci.estimation.comoments import CO_MOMENTS
from scoopsci.estimation.intervals import wilson_interval
from scoopsci.estimation.kernels import CIRCLE_STREAM
from scoopsci.estimation.moments import MOMENTS
from scoopsci.estimation.streams import STREAM, block_generator
from scoopsci.reporting.progress import Progress
from scoopsci.reporting.receipts import battery_hash
from tests.ledgers import craft

Floats = NDArray[np.float64]
Rng = np.random.Generator


def uniform(rng: Rng, size: int) -> Floats:
    return rng.random(size)


def uniform_pairs(rng: Rng, size: int) -> Floats:
    return np.asarray(rng.random((size, 2)) + np.array([0.0, 10.0]))


def add_up(x: Floats) -> Floats:
    return np.asarray(x.sum(axis=1))


def estimate(fn: Any = uniform, n_samples: Any = 1_000, **options: Any) -> Estimate:
    return scoopsci.estimate(fn, n_samples, **{"seed": 1, "engine": "serial", **options})


def integrate(
    f: Any = add_up, lower: Any = 0.0, upper: Any = 1.0, n_samples: Any = 1_000, **options: Any
) -> Estimate:
    options = {"seed": 1, "engine": "serial", **options}
    return scoopsci.integrate(f, lower, upper, n_samples, **options)


def find_pi(n_points: Any = 1_000, **options: Any) -> scoopsci.PiEstimate:
    return scoopsci.pi(n_points, **{"seed": 1, "engine": "serial", **options})


def to_bits(found: Estimate) -> list[bytes]:
    numbers = (found.value, found.standard_error, found.half_width, *found.interval)
    return [np.asarray(number).tobytes() for number in numbers]


WORKLOADS: dict[str, Callable[..., Estimate]] = {
    "estimate": estimate,
    "integrate": integrate,
    "pi": find_pi,
}
every_workload = pytest.mark.parametrize("run", WORKLOADS.values(), ids=list(WORKLOADS))


class TestPi:
    @pytest.mark.parametrize(
        ("n_points", "seed", "n_inside"),
        [
            (1, 0, 1),
            (10_000, 0, 7_848),
            (100_000, 1, 78_489),
            (65_537, 42, 51_410),
            (12_582_913, 42, 9_885_432),
            (1_000_000, 7, 785_507),
            (1_000_000, 2**127 + 5, 785_060),
        ],
    )
    def test_pinned(self, n_points: int, seed: int, n_inside: int) -> None:
        found = find_pi(n_points, seed=seed)
        assert found.n_inside == n_inside
        assert found.value == 4 * n_inside / n_points
        assert found.n_samples == n_points
        assert found.n_blocks == -(-n_points // (1 << 22))

    def test_block_size_is_part_of_the_result(self) -> None:
        assert find_pi(100_000, block_size=1_000).n_inside == 78_522
        assert find_pi(100_000, block_size=1 << 16).n_inside == 78_444

    @pytest.mark.parametrize("n_points", [1, 2, 3])
    def test_few_points_have_a_wide_interval(self, n_points: int) -> None:
        found = find_pi(n_points)
        low, high = found.interval
        assert 0.0 <= low <= found.value <= high <= 4.0
        assert high - low > 1.0

    def test_confidence_widens_the_interval(self) -> None:
        widths = [find_pi(confidence=level).half_width for level in (0.5, 0.9, 0.95, 0.999)]
        assert widths == sorted(widths)
        found = find_pi()
        low, high = found.interval
        assert widths[2] == max(found.value - low, high - found.value)
        assert (high - low) / 2 == pytest.approx(1.96 * found.standard_error, rel=0.01)


class TestSameBits:
    @every_workload
    @pytest.mark.parametrize("chunk_target_s", [0.001, 0.1, 1.0])
    def test_result_is_the_same_on_every_engine(
        self, run: Callable[..., Estimate], chunk_target_s: float
    ) -> None:
        options = {"n_points" if run is find_pi else "n_samples": 100_001, "block_size": 999}
        alone = run(**options)
        with ThreadPoolExecutor(3) as pool:
            carried = {"engine": pool, "window": 5, "chunk_target_s": chunk_target_s}
            shared = run(**options, **carried, n_workers=3, timeout=60, retries=1)
        assert to_bits(shared) == to_bits(alone)
        assert (shared.engine, shared.n_workers) == ("ThreadPoolExecutor", 3)
        assert (alone.engine, alone.n_workers) == ("serial", 1)

    @every_workload
    def test_a_fresh_seed_is_recorded_and_repeats(self, run: Callable[..., Estimate]) -> None:
        first, second = run(seed=None), run(seed=None)
        assert first.seed != second.seed
        assert first.receipt["options"]["seed"] == first.seed
        assert to_bits(run(seed=first.seed)) == to_bits(first)

    @every_workload
    def test_block_size_is_part_of_the_result(self, run: Callable[..., Estimate]) -> None:
        assert to_bits(run(block_size=100)) == to_bits(run(block_size=np.int32(100)))
        assert to_bits(run(block_size=100)) != to_bits(run(block_size=103))
        assert to_bits(run(block_size=1_000)) == to_bits(run(block_size=10**30))

    @every_workload
    @pytest.mark.parametrize("seed", [2**64, 2**128 + 1, 10**4_000])
    def test_seeds_of_any_size(self, run: Callable[..., Estimate], seed: int) -> None:
        assert to_bits(run(seed=seed)) != to_bits(run(seed=seed + 1))

    def test_the_last_block_may_be_shorter(self) -> None:
        found = estimate(uniform, 1_050, block_size=500)
        parts = [block_generator(1, block).random(n) for block, n in enumerate([500, 500, 50])]
        assert found.n_blocks == 3
        assert found.value == pytest.approx(np.mean(np.concatenate(parts)), rel=1e-14)

    def test_integral_is_the_mean_over_the_box(self) -> None:
        found = integrate(add_up, [1.0, -2.0], [3.0, 0.5], 700)
        x = np.array([1.0, -2.0]) + np.array([2.0, 2.5]) * block_generator(1, 0).random((700, 2))
        assert found.value == pytest.approx(5.0 * x.sum(axis=1).mean(), rel=1e-14)


class Stopped(Exception):
    """Ends a run from its progress."""


class TestLedger:
    @every_workload
    def test_a_run_that_was_stopped_goes_on_with_the_same_bits(
        self, run: Callable[..., Estimate], tmp_path: Path
    ) -> None:
        def stop(state: Progress) -> None:
            if state.n_done >= 20:
                raise Stopped

        options = {"n_points" if run is find_pi else "n_samples": 100_001, "block_size": 999}
        how: Any = {"ledger": tmp_path / "run.ledger", "chunk_target_s": 1e-9}
        with pytest.raises(Stopped):
            run(**options, **how, progress=stop)
        with ThreadPoolExecutor(3) as pool:
            found = run(**options, **how, engine=pool)
        assert to_bits(found) == to_bits(run(**options))
        n_recalled = found.receipt["run"]["n_recalled_blocks"]
        assert 20 <= n_recalled < found.n_blocks == 101
        assert sum(w["n_blocks"] for w in found.receipt["run"]["workers"]) == 101 - n_recalled

    @every_workload
    def test_another_confidence_needs_no_new_samples(
        self, run: Callable[..., Estimate], tmp_path: Path
    ) -> None:
        first = run(ledger=tmp_path / "run.ledger")
        second = run(ledger=tmp_path / "run.ledger", confidence=0.5)
        assert second.receipt["run"]["n_recalled_blocks"] == second.n_blocks
        assert np.all(second.half_width < first.half_width)
        assert second.value == first.value

    @every_workload
    @pytest.mark.parametrize("name", ["seed", "block_size"])
    def test_another_run_is_refused(
        self, run: Callable[..., Estimate], name: str, tmp_path: Path
    ) -> None:
        run(ledger=tmp_path / "run.ledger", seed=1, block_size=100)
        options = {"seed": 1, "block_size": 100, name: 7}
        told = rf"{name} is {100 if name == 'block_size' else 1} there and 7 here"
        with pytest.raises(LedgerError, match=told):
            run(ledger=tmp_path / "run.ledger", **options)

    def test_another_box_is_refused(self, tmp_path: Path) -> None:
        integrate(add_up, 0.0, [1.0, 2.0], ledger=tmp_path / "run.ledger")
        told = r"upper is \[1\.0, 2\.0\] there and \[1\.0, 3\.0\] here"
        with pytest.raises(LedgerError, match=told):
            integrate(add_up, 0.0, [1.0, 3.0], ledger=tmp_path / "run.ledger")

    def test_another_integrand_is_refused(self, tmp_path: Path) -> None:
        integrate(lambda x: x[:, 0], ledger=tmp_path / "run.ledger")
        with pytest.raises(LedgerError, match="code is"):
            integrate(lambda x: x[:, 0] ** 2, ledger=tmp_path / "run.ledger")


class TestIntegrate:
    @pytest.mark.parametrize(
        ("lower", "upper", "dim", "expected"),
        [
            (0.0, 1.0, None, 0.5),
            (0, 2, 3, 24.0),
            (-1.0, 0.0, 2, -1.0),
            ([-3.0, -2.0], [-1.0, 4.0], None, -12.0),
            ((0.0, 0.0), 2.0, None, 8.0),
            (-1.0, np.array([1.0, 3.0]), 2, 8.0),
            (np.float32(0), np.int8(1), np.int64(4), 2.0),
        ],
    )
    def test_boxes(self, lower: Any, upper: Any, dim: Any, expected: float) -> None:
        found = integrate(add_up, lower, upper, 20_000, dim=dim)
        assert abs(found.value - expected) < 5 * found.standard_error

    def test_several_integrals_at_once(self) -> None:
        found = integrate(lambda x: np.stack([x[:, 0], x[:, 0] ** 2], axis=1), 0, 3, 20_000)
        assert found.value.shape == found.half_width.shape == (2,)
        assert (np.abs(found.value - [4.5, 9.0]) < 5 * found.standard_error).all()

    @pytest.mark.parametrize(
        ("lower", "upper"),
        [
            (1.0, 0.0),
            (1.0, 1.0),
            (math.nan, 1.0),
            (0.0, math.nan),
            (-math.inf, 0.0),
            (0.0, math.inf),
            ([0.0, 2.0], [1.0, 1.0]),
            ([0.0, math.nan], 1.0),
            (-1e308, 1e308),
        ],
    )
    def test_bounds_out_of_order(self, lower: Any, upper: Any) -> None:
        told = rf"(?s)finite.*below.*got.*{re.escape(str(np.atleast_1d(upper).tolist()[-1]))}"
        with pytest.raises(ValueError, match=told):
            integrate(add_up, lower, upper)

    @pytest.mark.parametrize(
        ("lower", "upper", "dim"),
        [
            ([0.0, 0.0], [1.0, 1.0, 1.0], None),
            ([0.0, 0.0], 1.0, 3),
            ([[0.0]], 1.0, None),
            ([], [], None),
            ([], 1.0, None),
        ],
    )
    def test_bounds_of_other_shapes(self, lower: Any, upper: Any, dim: int | None) -> None:
        with pytest.raises(ValueError, match=r"lower and upper must be numbers or of shape"):
            integrate(add_up, lower, upper, dim=dim)

    @pytest.mark.parametrize("bound", ["a", 1j, None, [[1.0], [1.0, 2.0]]])
    def test_bounds_that_are_not_numbers(self, bound: Any) -> None:
        for lower, upper in ((bound, 1.0), (0.0, bound)):
            with pytest.raises((ValueError, TypeError), match=r"lower and upper must be"):
                integrate(add_up, lower, upper)

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.bool_])
    def test_small_types_do_not_overflow_with_the_volume(self, dtype: Any) -> None:
        found = integrate(lambda x: (x[:, 0] > 5e5).astype(dtype), 0.0, 1e6, 20_000, dim=1)
        assert abs(found.value - 5e5) < 5 * found.standard_error


class TestArguments:
    @every_workload
    @pytest.mark.parametrize(
        ("name", "value", "error", "told"),
        [
            ("seed", -1, ValueError, "seed must be at least 0, got -1"),
            ("seed", 1.5, TypeError, r"seed must be an integer, got 1\.5"),
            ("block_size", 0, ValueError, "block_size must be at least 1, got 0"),
            ("block_size", 2.0, TypeError, r"block_size must be an integer, got 2\.0"),
            ("confidence", 95, ValueError, r"confidence must be within \(0, 1\).*0\.95, got 95"),
            ("confidence", math.nan, ValueError, r"confidence must be within \(0, 1\).*got nan"),
            ("n_workers", 0, ValueError, "n_workers must be at least 1, got 0"),
            ("n_workers", 2, ValueError, "'serial' has exactly 1 worker, got n_workers=2"),
            ("hostfile", "hosts", ValueError, "'serial' uses no hosts, got hostfile='hosts'"),
            ("timeout", 0, ValueError, "timeout must be a positive number of seconds, got 0"),
            ("engine", 7, TypeError, "engine must be a name or a .*Executor, got 7"),
            ("engine", "nonesuch", ImportError, "engine must be one of auto.*got 'nonesuch'"),
            ("retries", -1, ValueError, "retries must be at least 0, got -1"),
            ("sede", 1, TypeError, "sede"),
        ],
    )
    def test_wrong_option(
        self,
        run: Callable[..., Estimate],
        name: str,
        value: Any,
        error: type[Exception],
        told: str,
    ) -> None:
        with pytest.raises(error, match=told):
            run(**{name: value})

    @every_workload
    @pytest.mark.parametrize(
        ("value", "error", "told"),
        [
            (0, ValueError, "must be at least 1, got 0"),
            (-5, ValueError, "must be at least 1, got -5"),
            (1e6, TypeError, r"must be an integer, got 1000000\.0"),
            ("10", TypeError, "must be an integer, got '10'"),
        ],
    )
    def test_wrong_count(
        self, run: Callable[..., Estimate], value: Any, error: type[Exception], told: str
    ) -> None:
        name = "n_points" if run is find_pi else "n_samples"
        with pytest.raises(error, match=f"{name} {told}"):
            run(**{name: value})

    def test_scrambles_come_with_qmc(self) -> None:
        with pytest.raises(ValueError, match="come with method='qmc', got n_scrambles=16"):
            integrate(n_scrambles=16)

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ({"n_samples": 1 << 37}, "n_samples must be at most 68,719,476,736 for qmc, got 137"),
            ({"n_samples": None, "half_width": 0.1, "max_samples": 1 << 37}, "max_samples must be"),
            ({"n_samples": None, "half_width": 0.1, "block_size": 1 << 37}, "block_size must be"),
        ],
    )
    def test_scrambles_have_an_end(self, arguments: dict[str, Any], told: str) -> None:
        with pytest.raises(ValueError, match=f"{told}.*"):
            integrate(method="qmc", **arguments)

    @pytest.mark.parametrize("fn", [None, 3, "numpy:exp"])
    def test_function_must_be_callable(self, fn: Any) -> None:
        with pytest.raises(TypeError, match=rf"fn must be callable as fn\(rng, size\), got {fn!r}"):
            estimate(fn)
        with pytest.raises(TypeError, match=rf"f must be callable as f\(x\), got {fn!r}"):
            integrate(fn)


class WithUnit(np.ndarray):
    """An array with something more, which an estimate would lose."""


SAMPLES: dict[str, tuple[Callable[[int], Any], type[Exception], str]] = {
    "a number": (lambda n: 1.0, ValueError, r"\(size,\) or \(size, k\) with size = 7.*\(\)"),
    "too few": (lambda n: np.ones(n - 1), ValueError, r"size = 7, got shape \(6,\)"),
    "too many": (lambda n: np.ones(n + 1), ValueError, r"size = 7, got shape \(8,\)"),
    "transposed": (lambda n: np.ones((2, n)), ValueError, r"got shape \(2, 7\)"),
    "three axes": (lambda n: np.ones((n, 1, 1)), ValueError, r"got shape \(7, 1, 1\)"),
    "no columns": (lambda n: np.ones((n, 0)), ValueError, r"got shape \(7, 0\)"),
    "nothing": (lambda n: None, TypeError, "real numbers, got an array of object"),
    "complex": (lambda n: np.ones(n) * 1j, TypeError, "real numbers, got an array of complex128"),
    "objects": (lambda n: np.array([object()] * n), TypeError, "real numbers.*object"),
    "text": (lambda n: ["a"] * n, TypeError, "real numbers, got an array of <U1"),
    "times": (lambda n: np.zeros(n, "m8[s]"), TypeError, "real numbers.*timedelta64|m8"),
    "masked": (lambda n: np.ma.masked_equal(np.arange(n), 3), TypeError, "must not be masked"),
    "masked in a list": (
        lambda n: [np.ma.masked_equal([0.0, i], 3) for i in range(n)],
        TypeError,
        "must not be masked",
    ),
    "with units": (lambda n: np.ones(n).view(WithUnit), TypeError, "a plain array, got WithUnit"),
    "ragged": (lambda n: [[1.0]] * (n - 1) + [[1.0, 2.0]], ValueError, "inhomogeneous"),
}


def test_masked_corners_are_refused() -> None:
    corners = np.ma.array([0.0, 1.0], mask=[False, True])
    boxes: list[tuple[Any, Any]] = [(corners, 2.0), (-1.0, corners)]
    for lower, upper in boxes:
        with pytest.raises(TypeError, match="lower and upper must not be masked"):
            scoopsci.integrate(lambda x: x[:, 0], lower, upper, 100)


@pytest.mark.parametrize("name", SAMPLES)
def test_invalid_samples_are_refused(name: str) -> None:
    make, error, told = SAMPLES[name]
    runs: list[Callable[[], Estimate]] = [
        lambda: estimate(lambda rng, size: make(size), 7),
        lambda: integrate(lambda x: make(len(x)), n_samples=7),
    ]
    for run in runs:
        with pytest.raises(error, match=told) as caught:
            run()
        assert type(caught.value) is error
        assert re.match(r"block 0 failed on host .*running", str(caught.value.__cause__))


@pytest.mark.parametrize(
    ("first", "last"), [((), (3,)), ((3,), ()), ((1,), (3,)), ((), (1,)), ((2,), (3,))], ids=str
)
def test_blocks_of_different_shapes_do_not_merge(first: Any, last: Any) -> None:
    """By broadcasting, a number would count for every column of another block."""

    def draw(rng: Rng, size: int) -> Floats:
        return rng.random((size, *(first if size == 10 else last)))

    with pytest.raises(ValueError, match="shape"):
        estimate(draw, 15, block_size=10)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: [1.0] * n,
        lambda n: np.ones(n, np.float32),
        lambda n: np.arange(n, dtype=np.uint8) > 300,
        lambda n: np.ones((n, 3), order="F")[:, ::2],
        lambda n: np.ma.MaskedArray(np.ones(n)),
    ],
)
@pytest.mark.filterwarnings("ignore::scoopsci.DoubtfulEstimateWarning")
def test_valid_samples_are_accepted(make: Callable[[int], Any]) -> None:
    found = estimate(lambda rng, size: make(size), 100)
    assert np.asarray(found.value).dtype == np.float64


class TestHits:
    """Samples that are bool have Wilson's interval."""

    @pytest.mark.parametrize("share", [0.0, 1e-3, 0.3, 1.0])
    def test_of_a_mean(self, share: float) -> None:
        found = estimate(lambda rng, size: rng.random(size) < share, 10_000, confidence=0.9)
        n_hits = round(found.value * 10_000)
        assert_equal(found, wilson_interval(n_hits, 10_000, 0.9))
        assert found.notes == ()

    def test_of_each_column(self) -> None:
        found = estimate(lambda rng, size: rng.random((size, 2)) < (0.0, 0.5), 10_000)
        assert_equal(
            found, wilson_interval(np.array([0, round(found.value[1] * 1e4)]), 10_000, 0.95)
        )

    def test_of_an_integral_are_times_the_volume(self) -> None:
        found = integrate(lambda x: x[:, 0] > 2.9, 0.0, 3.0, 10_000, dim=2)
        n_hits = round(found.value / 9.0 * 10_000)
        assert_equal(found, wilson_interval(n_hits, 10_000, 0.95, scale=9.0))
        assert abs(found.value - 0.3) < found.half_width

    def test_by_other_methods_are_numbers(self) -> None:
        def is_inside(x: Floats) -> Any:
            return x[:, 0] > 0.3

        for methods in ({"variance_reduction": [scoopsci.Antithetic()]}, {"method": "qmc"}):
            found = integrate(is_inside, 0.0, 1.0, 1 << 16, **methods)
            low, high = found.interval
            assert found.half_width == pytest.approx((high - low) / 2)
            assert abs(found.value - 0.7) <= found.half_width

    @pytest.mark.parametrize("first", [True, False])
    def test_and_numbers_in_other_blocks_are_a_mean(self, first: bool) -> None:
        def draw(rng: Rng, size: int) -> Any:
            hits = rng.random(size) < 0.5
            return hits if (size == 100) is first else hits.astype(float)

        def integrand(x: Floats) -> Any:
            return 2.0 * draw(np.random.default_rng(1), len(x)) if len(x) == 50 else x[:, 0] < 3.0

        found = estimate(draw, 150, block_size=100)
        numbers = estimate(lambda rng, n: (rng.random(n) < 0.5).astype(float), 150, block_size=100)
        assert to_bits(found) == to_bits(numbers)
        volumes = integrate(integrand, 0.0, 5.0, 150, dim=1, block_size=100)
        assert volumes.half_width == pytest.approx(
            (volumes.interval[1] - volumes.interval[0]) / 2, rel=1e-12
        )
        assert 2.0 < volumes.value < 5.0

    def test_a_ledger_of_the_former_partials_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "run.ledger"
        reduced = partial(integrate, np.square, variance_reduction=[Antithetic()])
        scrambled = partial(integrate, np.square, n_samples=64, method="qmc", block_size=64)
        for run in (estimate, integrate, reduced, scrambled):
            path.unlink(missing_ok=True)
            run(ledger=path)
            craft(path, "identity", lambda row: None if row[0] == "partials" else row)
            now = MOMENTS if run in (estimate, integrate) else CO_MOMENTS
            told = f'partials is not given there and "{now}" here'
            with pytest.raises(LedgerError, match=told):
                run(ledger=path)


def assert_equal(found: Estimate, expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        assert np.array_equal(getattr(found, name), value), name


class TestVectors:
    def test_each_component_has_its_error(self) -> None:
        found = estimate(uniform_pairs, 20_000)
        assert found.value.shape == found.standard_error.shape == found.half_width.shape == (2,)
        assert [end.shape for end in found.interval] == [(2,), (2,)]
        assert (np.abs(found.value - [0.5, 10.5]) < 5 * found.standard_error).all()
        assert re.fullmatch(r"\[.*\] ± \[.*\] \(95 %, all at once\), 20,000 samples", str(found))

    def test_one_column_is_a_vector(self) -> None:
        assert estimate(lambda rng, size: rng.random((size, 1))).value.shape == (1,)


DOUBTFUL: dict[str, tuple[Callable[[Rng, int], Any], int, str]] = {
    "one sample": (uniform, 1, "single sample has no error bar"),
    "no variance": (lambda rng, size: np.ones(size), 100, "variance is zero"),
    "NaN": (lambda rng, size: np.where(np.arange(size) == 3, np.nan, 1.0), 99, "1 of 99 samples"),
    "infinite": (lambda rng, size: 1.0 / np.arange(-1, size - 1).clip(0), 99, "2 of 99 samples"),
    "heavy tail": (lambda rng, size: rng.standard_cauchy(size), 100_000, "tail is heavy"),
    "overflow": (lambda rng, size: 1e308 * rng.random(size), 1_000, "overflow|infinite"),
    "underflow": (lambda rng, size: 1e-200 * rng.random(size), 1_000, "underflow|variance"),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_doubts_are_warnings_and_notes(name: str) -> None:
    draw, n_samples, told = DOUBTFUL[name]

    def draw_quietly(rng: Rng, size: int) -> Any:
        with np.errstate(all="ignore"):
            return draw(rng, size)

    with pytest.warns(DoubtfulEstimateWarning, match=told) as warned:
        found = estimate(draw_quietly, n_samples)
    assert [str(warning.message) for warning in warned] == list(found.notes)
    assert warned[0].filename == __file__
    assert found.receipt["result"]["notes"] == list(found.notes)
    assert str(found).endswith("\n".join(found.notes))
    json.loads(json.dumps(found.receipt, allow_nan=False))


def test_doubts_of_an_integral_point_at_its_caller() -> None:
    with pytest.warns(DoubtfulEstimateWarning, match="zero") as warned:
        scoopsci.integrate(lambda x: np.ones(len(x)), 0.0, 1.0, 100, seed=1, engine="serial")
    assert warned[0].filename == __file__


def test_one_sample_has_no_error() -> None:
    with pytest.warns(DoubtfulEstimateWarning, match="draw at least two"):
        found = estimate(uniform, 1)
    assert math.isnan(found.standard_error)
    assert found.half_width == math.inf
    assert found.interval == (-math.inf, math.inf)
    assert found.receipt["result"]["half_width"] == "inf"


def test_doubts_of_a_vector_are_those_of_any_component() -> None:
    with pytest.warns(DoubtfulEstimateWarning, match="zero"):
        estimate(lambda rng, size: np.stack([rng.random(size), np.ones(size)], axis=1))


@every_workload
def test_no_doubt_without_reason(run: Callable[..., Estimate]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run().notes == ()


@every_workload
def test_receipt_records_the_provenance_of_the_result(run: Callable[..., Estimate]) -> None:
    found = run(block_size=np.int64(300), confidence=np.float64(0.9))
    receipt = found.receipt
    assert json.loads(json.dumps(receipt, allow_nan=False)) == receipt
    options = receipt["options"]
    assert (options["seed"], options["block_size"], options["confidence"]) == (1, 300, 0.9)
    assert options["n_points" if run is find_pi else "n_samples"] == 1_000
    assert receipt["stream"] == (CIRCLE_STREAM if run is find_pi else STREAM)
    assert receipt["code"]
    assert receipt["versions"]["numpy"] == np.__version__
    assert receipt["versions"]["scoopsci"] == scoopsci.__version__
    assert receipt["result"]["value"] == found.value
    assert receipt["result"]["interval"] == list(found.interval)
    assert (receipt["run"]["engine"], receipt["run"]["n_workers"]) == ("serial", 1)
    assert receipt["run"]["n_lost_tasks"] == 0
    (worker,) = receipt["run"]["workers"]
    assert (worker["host"], worker["battery"]) == (socket.gethostname(), battery_hash())
    assert worker["n_blocks"] == found.n_blocks == 4


def test_receipts_of_other_functions_differ() -> None:
    receipts = [estimate(fn).receipt for fn in (uniform, uniform_pairs, uniform)]
    assert receipts[0]["code"] == receipts[2]["code"] != receipts[1]["code"]
    assert re.fullmatch("[0-9a-f]{64}", receipts[0]["code"])


def test_user_error_is_raised() -> None:
    def draw(rng: Rng, size: int) -> Floats:
        if size == 4:
            raise ZeroDivisionError("in the user's function")
        return rng.random(size)

    with pytest.raises(ZeroDivisionError, match=r"in the user's function") as caught:
        estimate(draw, 24, block_size=10)
    failed = caught.value.__cause__
    assert isinstance(failed, TaskError)
    assert failed.block == 2
    assert "in draw" in failed.remote_traceback


def test_run_within_a_sample_is_serial_with_the_same_bits() -> None:
    def draw(rng: Rng, size: int) -> Floats:
        return np.full(size, scoopsci.pi(1_000, seed=5, n_workers=2).value) + rng.random(size)

    within = estimate(draw, 10, block_size=5).value - estimate(uniform, 10, block_size=5).value
    assert within == pytest.approx(find_pi(1_000, seed=5).value, rel=1e-12)

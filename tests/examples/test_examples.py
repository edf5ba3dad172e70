"""The examples: what each finds against closed forms and published values, and its bits."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import kurtosis

import scoopsci
from examples import bootstrap, lists_seeds, options, percolation, pi_seeds, rare_failure
from scoopsci import Engine, Estimate
from tests.conftest import REPOSITORY

#: Standard errors within which a result must lie.
N_ERRORS = 4.0

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def workers() -> Iterator[Engine]:
    with scoopsci.open_engine("processes", n_workers=2) as engine:
        yield engine


def assert_agrees(found: Estimate, reference: float) -> None:
    assert found.standard_error > 0.0
    assert abs(found.value - reference) <= N_ERRORS * found.standard_error


def to_bits(found: Estimate) -> list[bytes]:
    numbers = (found.value, found.standard_error, found.half_width, *found.interval)
    return [np.asarray(number).tobytes() for number in numbers] + [b"%d" % found.n_samples]


SMALL: dict[str, Callable[[str | Engine], list[bytes]]] = {
    "pi_seeds": lambda engine: [
        bit for pi in pi_seeds.main(engine, [(50, 20), (20, 50)]) for bit in to_bits(pi)
    ],
    "lists_seeds": lambda engine: [
        f"{way} {found}".encode() for way, found in lists_seeds.main(engine, 50, 0.0).items()
    ],
    "options": lambda engine: [
        bit for price, _ in options.main(engine, 0.005).values() for bit in to_bits(price)
    ],
    "rare_failure": lambda engine: to_bits(rare_failure.main(engine, 0.05)),
    "percolation": lambda engine: [
        bit for found in percolation.main(engine, 20_000, 1_024, 4) for bit in to_bits(found)
    ],
    "bootstrap": lambda engine: [bootstrap.main(engine, 500).tobytes()],
}


@pytest.mark.parametrize("name", SMALL)
def test_same_bits(name: str, workers: Engine) -> None:
    alone, shared = SMALL[name]("serial"), SMALL[name](workers)
    assert alone
    assert shared == alone


@pytest.mark.parametrize("name", ["rare_failure", "bootstrap"])
def test_prints_the_same_as_a_script(name: str, workers: Engine, capfd: Capture) -> None:
    module: ModuleType = {"rare_failure": rare_failure, "bootstrap": bootstrap}[name]
    module.main(workers)
    program = [sys.executable, "-W", "error", f"examples/{name}.py"]
    ended = subprocess.run(program, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == capfd.readouterr().out


def test_every_example_is_tested() -> None:
    files = {path.stem for path in (REPOSITORY / "examples").glob("*.py")}
    assert files == set(SMALL)


def test_pi_of_the_seeds(workers: Engine, capfd: Capture) -> None:
    found = pi_seeds.main(workers)
    _, *lines = capfd.readouterr().out.splitlines()
    assert len(lines) == len(pi_seeds.RUNS) == 3
    for (n_tasks, n_attempts), pi, line in zip(pi_seeds.RUNS, found, lines, strict=True):
        assert (pi.n_blocks, pi.n_samples) == (n_tasks, n_tasks * n_attempts)
        assert_agrees(pi, math.pi)
        # The variance of a point is 4·π/4·4·(1 - π/4) = π(4 - π).
        expected = math.sqrt(math.pi * (4.0 - math.pi) / pi.n_samples)
        assert pi.standard_error == pytest.approx(expected, rel=0.01)
        shown, error = (float(part) for part in re.findall(r"\d\.\d{5,}", line)[::2])
        assert shown == pytest.approx(4.0 * pi.n_inside / pi.n_samples, abs=1e-6)
        assert error == pytest.approx(100.0 * abs(shown / math.pi - 1.0), abs=1e-4)


def test_a_task_of_pi_is_a_block() -> None:
    pi = pi_seeds.run_tasks(50, 20, "serial")
    assert (pi.n_blocks, pi.n_samples) == (50, 1_000)


def test_lists_of_the_seeds(workers: Engine) -> None:
    sums = lists_seeds.main(workers, sleep_s=1e-4)
    assert list(sums.values()) == [332833500] * 4


HALF_WIDTH = 5e-4
Prices = dict[tuple[str, str], tuple[Estimate, float]]


@pytest.fixture(scope="module")
def prices(workers: Engine) -> Prices:
    return options.main(workers, HALF_WIDTH)


class TestOptions:
    @pytest.mark.parametrize("method", ["mc", "qmc"])
    @pytest.mark.parametrize(
        "name", ["European call", "Asian call, geometric", "Asian call", "down-and-out call"]
    )
    def test_price(self, prices: Prices, name: str, method: str) -> None:
        price, reference = prices[name, method]
        assert 0.0 < price.half_width <= HALF_WIDTH
        assert_agrees(price, reference)

    def test_methods_pay(self, prices: Prices) -> None:
        by_mc = {name: price for (name, method), (price, _) in prices.items() if method == "mc"}
        assert by_mc["European call"].variance_reduction["antithetic variates"] > 1.2
        assert by_mc["Asian call"].variance_reduction["control variates"] > 50.0
        assert by_mc["down-and-out call"].variance_reduction["control variates"] > 5.0
        assert by_mc["Asian call"].n_samples < by_mc["European call"].n_samples / 50
        for name in by_mc:
            price, _ = prices[name, "qmc"]
            assert price.variance_reduction["scrambled Sobol' points"] > 2.0

    def test_asian_call_to_a_tenth_of_that(self, workers: Engine) -> None:
        control = scoopsci.ControlVariates(options.geometric_asian, options.price_geometric_asian())
        price = scoopsci.integrate(
            options.asian, 0, 1, dim=options.N_STEPS, variance_reduction=[control],
            half_width=5e-5, seed=1, engine=workers,
        )  # fmt: skip
        assert price.half_width <= 5e-5
        assert_agrees(price, 0.2464156905)

    def test_closed_forms(self) -> None:
        deviation = options.VOLATILITY * math.sqrt(options.YEARS)

        def paid(z: float) -> float:
            price = options.SPOT * math.exp(options.DRIFT * options.YEARS + deviation * z)
            density = math.exp(-(z**2) / 2.0) / math.sqrt(2.0 * math.pi)
            return float(options.call(np.array(price))) * density

        kink = (math.log(options.STRIKE / options.SPOT) - options.DRIFT) / deviation
        assert options.price_european() == pytest.approx(quad(paid, kink, 12.0)[0], rel=1e-9)
        # The mean of both ends has a quarter of the variance; that over all times, a third.
        for n_steps, share in ((1, 1.0 / 4.0), (10**6, 1.0 / 3.0)):
            moments = math.log(2.0) + options.DRIFT / 2.0, share * options.VOLATILITY**2
            expected = options.price_lognormal(*moments)
            assert options.price_geometric_asian(n_steps) == pytest.approx(expected, rel=1e-9)
            assert expected < options.ASIAN_PRICE
        assert 0.0 < options.price_down_and_out() < options.price_european()


@pytest.fixture(scope="module")
def found(workers: Engine) -> Estimate:
    return rare_failure.main(workers)


class TestRareFailure:
    def test_closed_form(self, found: Estimate) -> None:
        assert pytest.approx(4.75, rel=1e-12) == rare_failure.BETA
        assert rare_failure.probability() == pytest.approx(1.01708e-6, rel=1e-5)
        assert_agrees(found, float(ndtr(-4.75)))

    def test_half_width_is_reached(self, found: Estimate) -> None:
        assert 0.0 < found.half_width <= 0.01 * found.value

    def test_factor(self, found: Estimate) -> None:
        factor = found.variance_reduction["importance sampling"]
        assert rare_failure.reduction() > 1e5
        assert factor == pytest.approx(rare_failure.reduction(), rel=0.03)


def conducts(occupied: NDArray[np.bool_]) -> bool:
    """Tell whether a lattice spans, by a walk from its top."""
    side = len(occupied)
    reached = {(0, column) for column in range(side) if occupied[0, column]}
    waiting = list(reached)
    while waiting:
        row, column = waiting.pop()
        for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            site = row + down, column + right
            inside = min(site) >= 0 and max(site) < side
            if inside and occupied[site] and site not in reached:
                reached.add(site)
                waiting.append(site)
    return any(row == side - 1 for row, _ in reached)


class TestPercolation:
    def test_spanning(self) -> None:
        occupied = np.random.default_rng(1).random((300, 9, 9)) < 0.6
        found = percolation.span(occupied)
        assert 50 < found.sum() < 250
        assert found.tolist() == [conducts(lattice) for lattice in occupied]

    @pytest.mark.parametrize("p", [0.0, 0.3, 0.592746, 1.0])
    def test_count_of_small_lattices(self, p: float) -> None:
        assert percolation.count_spanning(1, p) == pytest.approx(p, abs=1e-12)
        # Two columns, each conducting with p².
        assert percolation.count_spanning(2, p) == pytest.approx(2 * p**2 - p**4, abs=1e-12)
        walked = sum(
            p ** sum(sites) * (1.0 - p) ** (9 - sum(sites))
            for sites in product((0, 1), repeat=9)
            if conducts(np.array(sites, dtype=bool).reshape(3, 3))
        )
        assert percolation.count_spanning(3, p) == pytest.approx(walked, abs=1e-12)

    def test_both_sizes_of_the_same_lattices(self, workers: Engine) -> None:
        _, large = percolation.main(workers, 1_000, 50_000, side=2)
        for p, found, error in zip(
            percolation.BRACKET, large.value, large.standard_error, strict=True
        ):
            counted = 2.0 * percolation.count_spanning(4, p) - percolation.count_spanning(2, p)
            assert 0.0 < error < 0.005
            assert abs(found - counted) <= N_ERRORS * error

    def test_threshold(self, workers: Engine) -> None:
        small, large = percolation.main(workers)
        assert_agrees(small, percolation.count_spanning(4, percolation.P_CRITICAL))
        threshold, error = percolation.find_threshold(large)
        assert 0.0 < error < 0.001
        assert abs(threshold - 0.592746) <= N_ERRORS * error
        assert percolation.BRACKET[0] < threshold < percolation.BRACKET[1]


#: Of the correlation, over all resamples; counted by `enumerate_resamples`.
EXACT_ERROR = 0.1335597618


def enumerate_resamples() -> tuple[int, float]:
    """Return how many resamples there are, and the exact standard error of the correlation."""
    x, y = bootstrap.SCHOOLS - bootstrap.SCHOOLS.mean(axis=1, keepdims=True)
    n = len(x)
    terms = np.stack([x, y, x * x, y * y, x * y])
    halves = [_count_ways(terms[:, :7], n), _count_ways(terms[:, 7:], n)]
    n_resamples, moments = 0, np.zeros(3)
    for k in range(n + 1):
        (weights, sums), (other_weights, other_sums) = halves[0][k], halves[1][n - k]
        for weight, (sx, sy, sxx, syy, sxy) in zip(weights, sums.T, strict=True):
            sx, sy, sxx, syy, sxy = other_sums + np.array([[sx], [sy], [sxx], [syy], [sxy]])
            spread = (sxx - sx * sx / n) * (syy - sy * sy / n)
            r = (sxy - sx * sy / n) / np.sqrt(np.where(spread > 1e-9, spread, np.inf))
            p = weight * other_weights * (math.factorial(n) / float(n) ** n)
            moments += p.sum(), p @ r, p @ (r * r)
            n_resamples += len(r)
    assert moments[0] == pytest.approx(1.0, abs=1e-12)
    return n_resamples, math.sqrt(moments[2] - moments[1] ** 2)


def _count_ways(
    terms: NDArray[np.float64], most: int
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return for each number of draws the multiplicities' weights, and the sums of the terms."""
    ways = [(np.ones(1), np.zeros((len(terms), 1)))]
    ways += [(np.empty(0), np.empty((len(terms), 0)))] * most
    for term in terms.T[:, :, None]:
        ways = [
            (
                np.concatenate([ways[k - m][0] / math.factorial(m) for m in range(k + 1)]),
                np.concatenate([ways[k - m][1] + m * term for m in range(k + 1)], axis=1),
            )
            for k in range(most + 1)
        ]
    return ways


class TestBootstrap:
    def test_correlation(self) -> None:
        x, y = bootstrap.SCHOOLS
        assert bootstrap.correlate(bootstrap.SCHOOLS) == pytest.approx(np.corrcoef(x, y)[0, 1])
        assert round(bootstrap.correlate(bootstrap.SCHOOLS), 3) == 0.776

    def test_standard_errors(self, workers: Engine) -> None:
        statistics = bootstrap.main(workers)
        n = len(statistics)
        found = statistics.std(axis=0, ddof=1)
        # Of a standard deviation, from the fourth moment.
        errors = found * np.sqrt((kurtosis(statistics, fisher=False) - 1.0) / (4.0 * n))
        assert (errors < 0.01 * found).all()
        assert abs(found[0] - EXACT_ERROR) <= N_ERRORS * errors[0]
        # The published value has its own error, of 3200 resamples, and is rounded.
        published = errors[0] * math.sqrt(1.0 + n / 3200.0)
        assert abs(found[0] - 0.132) <= N_ERRORS * published + 0.0005
        assert abs(found[1] - bootstrap.exact_error_of_mean()) <= N_ERRORS * errors[1]
        assert bootstrap.exact_error_of_mean() == pytest.approx(10.425, abs=5e-4)

    @pytest.mark.slow
    def test_all_resamples(self) -> None:
        n_resamples, error = enumerate_resamples()
        assert n_resamples == math.comb(29, 14) == 77_558_760
        assert error == pytest.approx(EXACT_ERROR, abs=1e-9)

"""Methods of variance reduction: the formulas, alone and together, and what is refused."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri

import scoopsci
from scoopsci import (
    Antithetic,
    ControlVariates,
    DoubtfulEstimateWarning,
    Estimate,
    ImportanceSampling,
)
from scoopsci.estimation.comoments import CoMoments
from scoopsci.estimation.estimators import ReducedMean
from scoopsci.estimation.integrand import Integrand
from scoopsci.estimation.streams import block_generator

Floats = NDArray[np.float64]
N = 20_000


def exp_sum(x: Floats) -> Floats:
    return np.asarray(np.exp(x.sum(axis=1)))


EXACT = (math.e - 1.0) ** 2


def integrate(f: Callable[[Floats], Any] = exp_sum, n: int = N, **options: Any) -> Estimate:
    options = {"dim": 2, "seed": 1, "engine": "serial", "block_size": 1_000, **options}
    lower, upper = options.pop("lower", 0.0), options.pop("upper", 1.0)
    return scoopsci.integrate(f, lower, upper, n, **options)


def points(n: int = N, dim: int = 2) -> Floats:
    blocks = [block_generator(1, block).random((1_000, dim)) for block in range(n // 1_000)]
    return np.concatenate(blocks)


class TestAntithetic:
    def test_it_is_the_mean_over_pairs(self) -> None:
        found = integrate(variance_reduction=[Antithetic()])
        u = points()
        pairs = (exp_sum(u) + exp_sum(1.0 - u)) / 2.0
        assert found.value == pytest.approx(pairs.mean(), rel=1e-13)
        assert found.standard_error == pytest.approx(pairs.std(ddof=1) / math.sqrt(N), rel=1e-9)
        single = (exp_sum(u).var(ddof=1) + exp_sum(1.0 - u).var(ddof=1)) / 2.0
        (factor,) = found.variance_reduction.values()
        assert factor == pytest.approx(single / (2.0 * pairs.var(ddof=1)), rel=1e-9)
        assert list(found.variance_reduction) == ["antithetic variates"]

    def test_a_linear_integrand_is_exact(self) -> None:
        with pytest.warns(scoopsci.DoubtfulEstimateWarning, match="all|equal|variance"):
            found = integrate(lambda x: 3.0 * x[:, 0] - 4.0, variance_reduction=[Antithetic()])
        assert found.value == pytest.approx(-2.5, abs=1e-12)
        assert found.half_width < 1e-12

    def test_the_box_is_mirrored_at_its_centre(self) -> None:
        found = integrate(
            lambda x: x[:, 0] ** 3 * x[:, 1], variance_reduction=[Antithetic()],
            lower=[1.0, -2.0], upper=[3.0, 5.0],
        )  # fmt: skip
        assert abs(found.value - 20.0 * 10.5) < 4 * found.standard_error


class TestControlVariates:
    def test_it_is_the_regression_estimator(self) -> None:
        found = integrate(variance_reduction=[ControlVariates(lambda x: x, [0.5, 0.5])])
        u = points()
        y = exp_sum(u)
        design = np.column_stack([np.ones(N), u - 0.5])
        beta, (residual,), *_ = np.linalg.lstsq(design, y, rcond=None)
        variance = residual / (N - 3) * np.linalg.inv(design.T @ design)[0, 0]
        assert found.value == pytest.approx(beta[0], rel=1e-12)
        assert found.standard_error == pytest.approx(math.sqrt(variance), rel=1e-9)
        factor = found.variance_reduction["control variates"]
        assert factor == pytest.approx(y.var(ddof=1) / (residual / (N - 3)), rel=1e-9)
        assert factor > 10.0

    def test_a_control_equal_to_the_integrand_leaves_no_error(self) -> None:
        with pytest.warns(DoubtfulEstimateWarning, match="error is zero although"):
            found = integrate(variance_reduction=[ControlVariates(exp_sum, EXACT)])
        assert found.value == pytest.approx(EXACT, rel=1e-12)
        assert found.half_width < 1e-6

    @pytest.mark.parametrize(
        "h", [lambda x: np.ones(len(x)), lambda x: x[:, [0, 0]], lambda x: 1e-9 * x[:, :1]]
    )
    def test_constant_and_repeated_controls_do_no_harm(self, h: Callable[[Floats], Any]) -> None:
        known = h(np.full((1, 2), 0.5)).ravel()
        found = integrate(variance_reduction=[ControlVariates(h, known)])
        assert abs(found.value - EXACT) < 4 * found.standard_error
        assert 0.99 < found.variance_reduction["control variates"] < 3.0

    def test_a_useless_control_gains_nothing(self) -> None:
        odd = ControlVariates(lambda x: np.sin(2e4 * np.pi * x[:, 0]), 0.0)
        found = integrate(variance_reduction=[odd])
        assert found.variance_reduction["control variates"] == pytest.approx(1.0, abs=0.01)


def normal_density(x: Floats, mean: float = 0.0) -> Floats:
    return np.asarray(np.exp(-np.square(x[:, 0] - mean) / 2.0) / math.sqrt(2.0 * math.pi))


class TestImportanceSampling:
    def test_over_a_box(self) -> None:
        """With a density proportional to the integrand every sample is the integral."""
        scale = 1.0 - math.exp(-5.0)
        method = ImportanceSampling(
            lambda u: -np.log1p(-scale * u) / 5.0,
            lambda x: 5.0 * np.exp(-5.0 * x[:, 0]) / scale,
        )
        found = integrate(
            lambda x: np.exp(-5.0 * x[:, 0]) * (1.0 + x[:, 0]), dim=1, variance_reduction=[method]
        )
        exact = (1.0 - math.exp(-5.0)) / 5.0 + (1.0 - 6.0 * math.exp(-5.0)) / 25.0
        assert abs(found.value - exact) < 4 * found.standard_error
        plain = integrate(lambda x: np.exp(-5.0 * x[:, 0]) * (1.0 + x[:, 0]), dim=1)
        gain = (plain.standard_error / found.standard_error) ** 2
        assert found.variance_reduction["importance sampling"] == pytest.approx(gain, rel=0.1)
        assert gain > 20.0

    def test_a_tail_of_a_target(self) -> None:
        method = ImportanceSampling(
            lambda u: ndtri(u) + 4.75, lambda x: normal_density(x, 4.75), normal_density
        )
        found = integrate(
            lambda x: x[:, 0] > 4.75, dim=1, lower=-np.inf, upper=np.inf,
            variance_reduction=[method],
        )  # fmt: skip
        exact = 0.5 * math.erfc(4.75 / math.sqrt(2.0))
        assert abs(found.value - exact) < 4 * found.standard_error
        assert found.half_width < 0.04 * exact
        plain_variance = exact * (1.0 - exact)
        gain = plain_variance / (N * found.standard_error**2)
        assert found.variance_reduction["importance sampling"] == pytest.approx(gain, rel=0.1)

    def test_a_factor_lost_to_rounding_is_not_reported(self) -> None:
        method = ImportanceSampling(lambda u: u, lambda x: np.ones(len(x)))
        found = integrate(lambda x: 1e8 + x[:, 0], variance_reduction=[method])
        assert math.isnan(found.variance_reduction["importance sampling"])

    @pytest.mark.parametrize(
        ("method", "told"),
        [
            (
                ImportanceSampling(lambda u: u, lambda x: x[:, 0] - 0.5),
                "density.* must be positive",
            ),
            (ImportanceSampling(lambda u: 2.0 * u, lambda x: x[:, 0]), "must be points of the box"),
            (ImportanceSampling(lambda u: u[:, 0], lambda x: x[:, 0]), "must be points of the box"),
            (ImportanceSampling(lambda u: u, lambda x: 1.0), r"density\(x\) must be of shape"),
        ],
    )
    def test_wrong_functions(self, method: ImportanceSampling, told: str) -> None:
        with pytest.raises((ValueError, TypeError), match=told):
            integrate(variance_reduction=[method])


class TestTogether:
    @pytest.mark.parametrize("method", ["mc", "qmc"])
    def test_all_of_them(self, method: Any) -> None:
        slope = ImportanceSampling(  # a density of 1/2 + x on each axis
            lambda u: (np.sqrt(1.0 + 8.0 * u) - 1.0) / 2.0, lambda x: np.prod(0.5 + x, axis=1)
        )
        methods = [ControlVariates(lambda x: x, [0.5, 0.5]), Antithetic(), slope]
        found = integrate(variance_reduction=methods, method=method, block_size=1_024, n=1 << 15)
        assert abs(found.value - EXACT) < 4 * found.standard_error
        names = ["importance sampling", "antithetic variates", "control variates"]
        names += ["scrambled Sobol' points"] * (method == "qmc")
        assert list(found.variance_reduction) == names
        evaluations = 2 * found.n_samples
        plain = integrate(n=evaluations)
        gain = (plain.standard_error / found.standard_error) ** 2
        told = math.prod(found.variance_reduction.values())
        assert told == pytest.approx(gain, rel=0.2)

    def test_the_order_of_the_list_does_not_matter(self) -> None:
        control = ControlVariates(lambda x: x, [0.5, 0.5])
        one = integrate(variance_reduction=[control, Antithetic()])
        two = integrate(variance_reduction=[Antithetic(), control])
        assert (one.value, one.half_width) == (two.value, two.half_width)

    def test_vectors(self) -> None:
        def both(x: Floats) -> Any:
            return np.stack([exp_sum(x), x[:, 0] ** 2], axis=1)

        methods = [ControlVariates(lambda x: x, [0.5, 0.5]), Antithetic()]
        found = integrate(both, variance_reduction=methods)
        alone = integrate(lambda x: both(x)[:, 1], variance_reduction=methods)
        assert found.value.shape == (2,)
        assert found.value[1] == pytest.approx(alone.value, rel=1e-12)
        assert found.standard_error[1] == pytest.approx(alone.standard_error, rel=1e-9)
        assert (np.abs(found.value - [EXACT, 1.0 / 3.0]) < 5 * found.standard_error).all()

    def test_the_text_names_each_factor(self) -> None:
        text = str(integrate(variance_reduction=[Antithetic()]))
        assert "\nvariance reduced by antithetic variates: " in text


class TestArguments:
    @pytest.mark.parametrize(
        ("options", "error", "told"),
        [
            ({"variance_reduction": [3]}, TypeError, "must hold Antithetic, .*; got 3"),
            ({"variance_reduction": [Antithetic] * 2}, TypeError, "must hold Antithetic"),
            ({"variance_reduction": [Antithetic()] * 2}, ValueError, "once, got two of antithetic"),
            ({"method": "sobol"}, ValueError, "method must be 'mc' or 'qmc', got 'sobol'"),
            ({"lower": -np.inf}, ValueError, "an infinite box needs"),
            ({"variance_reduction": Antithetic()}, TypeError, r"a list, such as \[Antithetic"),
            ({"lower": 2.0}, ValueError, "each lower bound below"),
        ],
    )
    def test_wrong_options(
        self, options: dict[str, Any], error: type[Exception], told: str
    ) -> None:
        with pytest.raises(error, match=told):
            integrate(**options)

    @pytest.mark.parametrize(
        "method",
        [Antithetic(), ControlVariates(exp_sum, 0.5), ImportanceSampling(exp_sum, exp_sum)],
        ids=lambda method: method.name,
    )
    def test_methods_are_immutable(self, method: Any) -> None:
        for name in ("h", "transform", "more"):
            with pytest.raises((AttributeError, TypeError)):
                setattr(method, name, abs)
        assert method == type(method)(*(getattr(method, name) for name in method.__slots__))

    def test_wrong_fields(self) -> None:
        with pytest.raises(TypeError, match=r"h must be callable as h\(x\), got 3"):
            ControlVariates(3, 0.0)  # type: ignore[arg-type]
        for integrals in ([np.inf], [[0.5, 0.5]]):
            with pytest.raises(ValueError, match="integrals must be finite, one for each column"):
                ControlVariates(exp_sum, integrals)
        with pytest.raises(TypeError, match=r"density must be callable, got 1\.0"):
            ImportanceSampling(exp_sum, 1.0)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"target must be callable as target\(x\), got 1\.0"):
            ImportanceSampling(exp_sum, exp_sum, 1.0)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("h", "told"),
        [
            (lambda x: x, r"a column for each of the 1 integrals, got shape \(1000, 2\)"),
            (lambda x: x[:3, 0], r"h\(x\) must be of shape \(1000,\)"),
            (lambda x: x[:, 0] * 1j, r"h\(x\) must be real numbers"),
            (lambda x: np.ma.masked_less(x[:, 0], 0.5), r"h\(x\) must not be masked"),
        ],
    )
    def test_wrong_controls(self, h: Callable[[Floats], Any], told: str) -> None:
        with pytest.raises((ValueError, TypeError), match=told):
            integrate(variance_reduction=[ControlVariates(h, 0.5)])

    @pytest.mark.filterwarnings("ignore::scoopsci.DoubtfulEstimateWarning")
    def test_infinite_values_raise_doubts(self) -> None:
        found = integrate(
            lambda x: np.where(x[:, 0] < 0.01, np.inf, 1.0),
            variance_reduction=[ControlVariates(lambda x: x, [0.5, 0.5])],
        )
        assert "infinite or NaN" in found.notes[0]
        assert math.isnan(found.value)


class TestCoMoments:
    @pytest.mark.parametrize("n_parts", [1, 2, 7])
    @pytest.mark.parametrize("n_controls", [0, 1, 2, 3])
    def test_merged_parts_are_the_whole(self, n_parts: int, n_controls: int) -> None:
        columns = np.random.default_rng(2).normal(size=(700, 3)) @ np.arange(9.0).reshape(3, 3)
        parts = [CoMoments.of(part, n_controls) for part in np.split(columns, n_parts)]
        whole = parts[0]
        for part in parts[1:]:
            whole = whole.merge(part)
        expected = np.cov(columns, rowvar=False) * (len(columns) - 1)
        assert whole.products.shape == (n_controls, 3)
        assert whole.products == pytest.approx(expected[:n_controls], rel=1e-10)
        square = whole.products[:, :n_controls]
        assert np.diag(square) == pytest.approx(whole.moments.m2[:n_controls], rel=1e-12)
        assert (square == square.T).all()

    def test_different_columns_do_not_merge(self) -> None:
        with pytest.raises(ValueError, match="one shape"):
            CoMoments.of(np.ones((2, 2)), 1).merge(CoMoments.of(np.ones((2, 3)), 1))


class TestManyOutputs:
    def test_partials_grow_with_the_number_of_outputs(self) -> None:
        """Not with its square, which 300 outputs would make 100 times as large."""

        def size_of(k: int) -> int:
            methods: list[Any] = [ControlVariates(lambda x: x, [0.5, 0.5]), Antithetic()]
            scales = np.linspace(0.1, 3.0, k)
            integrand = Integrand.of(lambda x: x[:, :1] * scales, 0.0, 1.0, 2, methods)
            (partial,) = ReducedMean(integrand, 1)(0, iter([100]))
            return len(pickle.dumps(partial))

        assert size_of(300) < 100 * size_of(3)

    def test_antithetic_takes_a_few_times_plain(self) -> None:
        """The ratio is that of the best of several passes, alternately: of one run."""
        scales = np.linspace(0.1, 3.0, 300)
        taken: dict[int, list[float]] = {0: [], 1: []}
        for _ in range(5):
            for n_methods in taken:
                methods = [Antithetic()] * n_methods
                start_s = time.process_time()
                _ = integrate(
                    lambda x: np.exp(-x[:, :1] * scales), 1 << 16, block_size=1 << 10,
                    variance_reduction=methods,
                )  # fmt: skip
                taken[n_methods].append(time.process_time() - start_s)
        ratio = min(taken[1]) / min(taken[0])
        print(f"antithetic variates of 300 outputs take {ratio:.2f} times plain")
        assert ratio < 3.0

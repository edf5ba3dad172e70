"""Functions compiled by numba: in a fused loop, on the points that others get, compiled once."""

from __future__ import annotations

import fcntl
import importlib
import json
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import scoopsci
from scoopsci.estimation import compiled
from scoopsci.estimation.compiled import compile_once, find_numba
from scoopsci.estimation.fused import FusedPoints, fuse_points, fuse_sampler
from tests.conftest import REPOSITORY


@numba.njit
def square(value: Any) -> Any:
    return value * value


@numba.njit
def at_point(x: Any) -> float:
    total = 0.0
    for i in range(len(x)):
        total += square(x[i]) / (i + 1)
    return math.sqrt(total)


@numba.njit
def product(x: Any) -> Any:
    return x[0] * x[1]


@numba.njit
def at_points(x: Any) -> Any:
    return np.sqrt((x**2).sum(axis=1))


def by_numpy(x: Any) -> Any:
    total = np.zeros(len(x))
    for i in range(x.shape[1]):
        total += x[:, i] * x[:, i] / (i + 1)
    return np.sqrt(total)


@numba.njit
def draw_one(rng: Any) -> Any:
    return rng.random() - rng.random()


@numba.njit
def draw_many(rng: Any, size: int) -> Any:
    return rng.normal(0.0, 1.0, size)


BOX = np.array([0.0, -1.0, 2.0]), np.array([1.0, 3.0, 2.5])


def integrate(f: Any, **options: Any) -> scoopsci.Estimate:
    options = {"seed": 1, "engine": "serial", **options}
    return scoopsci.integrate(f, *BOX, 50_000, **options)


class TestIntegrand:
    def test_the_bits_equal_those_of_the_uncompiled_function(self) -> None:
        fused, plain = integrate(at_point), integrate(by_numpy)
        assert (fused.value, fused.half_width) == (plain.value, plain.half_width)

    @pytest.mark.parametrize("f", [at_point, pytest.param(at_points, marks=pytest.mark.slow)])
    def test_every_engine_gives_the_same_bits(self, f: Any) -> None:
        alone, shared = integrate(f), integrate(f, engine="processes", n_workers=2)
        assert (shared.value, shared.half_width) == (alone.value, alone.half_width)

    @pytest.mark.parametrize(
        ("f", "is_fused"),
        [(at_point, True), (product, True), (at_points, False), (by_numpy, False)],
    )
    def test_functions_of_one_point_are_fused(self, f: Any, is_fused: bool) -> None:
        assert isinstance(fuse_points(f, *BOX), FusedPoints) is is_fused

    def test_a_product_of_coordinates(self) -> None:
        """It takes an array of points for one point, and gives another number of values."""
        found = scoopsci.integrate(product, 0.0, 1.0, 50_000, dim=2, seed=1, engine="serial")
        assert abs(found.value - 0.25) < 4 * found.standard_error

    def test_hosts_are_compared_by_numerics_of_numba(self) -> None:
        (worker,) = integrate(at_point).receipt["run"]["workers"]
        (other,) = integrate(by_numpy).receipt["run"]["workers"]
        assert worker["battery"].split() == [other["battery"], compiled.battery_of_numba()]

    def test_options_of_the_compiler_are_kept_and_part_of_the_run(self, tmp_path: Path) -> None:
        fast = numba.njit(fastmath=True)(at_point.py_func)
        narrow = numba.njit(locals={"total": numba.float32})(at_point.py_func)
        parts = [fuse_points(f, *BOX) for f in (at_point, fast, narrow)]
        assert all(parts)
        assert len({part.code for part in parts if part is not None}) == 3
        x = np.random.default_rng(1).random((100, 3))
        for f, part in ((at_point, parts[0]), (narrow, parts[2])):
            assert part is not None
            assert part(x).tolist() == [f(point) for point in x]
        ledger = tmp_path / "run.ledger"
        integrate(at_point, ledger=ledger)
        with pytest.raises(scoopsci.LedgerError, match="another run"):
            integrate(fast, ledger=ledger)

    def test_error_of_a_host_without_numba_names_the_extra(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fused = fuse_points(at_point, *BOX)
        assert fused is not None
        monkeypatch.setattr("scoopsci.estimation.fused.find_numba", lambda: None)
        monkeypatch.setattr("scoopsci.estimation.fused._loops", {})
        with pytest.raises(ImportError, match=r"needs numba on every host.*scoopsci\[fast\]"):
            fused(np.zeros((10, 3)))

    def test_options_for_speed_do_not_change_the_points(self) -> None:
        @numba.njit(fastmath=True)
        def first(x: Any) -> Any:
            return x[1]

        fused = integrate(first)
        plain = integrate(lambda x: x[:, 1])
        assert (fused.value, fused.half_width) == (plain.value, plain.half_width)

    @pytest.mark.parametrize("options", [{"method": "qmc"}, {"variance_reduction": "antithetic"}])
    def test_one_point_at_a_time_also_by_other_methods(self, options: dict[str, Any]) -> None:
        if "variance_reduction" in options:
            options = {"variance_reduction": [scoopsci.Antithetic()]}
        found = [
            scoopsci.integrate(f, *BOX, 1 << 16, seed=1, engine="serial", **options)
            for f in (at_point, by_numpy)
        ]
        assert (found[0].value, found[0].half_width) == (found[1].value, found[1].half_width)
        (worker,) = found[0].receipt["run"]["workers"]
        assert compiled.battery_of_numba() in worker["battery"]

    def test_a_function_of_one_signature_is_not_fused(self) -> None:
        narrow = numba.njit("float32(float64[:])")(at_point.py_func)
        with pytest.raises(TypeError, match="leave the signature out"):
            integrate(narrow)

    def test_functions_that_do_not_return_a_number_are_refused(self) -> None:
        @numba.njit
        def name(x: Any) -> Any:
            return "text"

        with pytest.raises(TypeError, match="one point x of shape"):
            integrate(name)

    def test_a_helper_of_an_installed_package_is_part_of_the_code(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its code is compiled into the loop, and kept on disk with it."""
        package = tmp_path / "site-packages"
        package.mkdir()
        monkeypatch.syspath_prepend(package)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        found = []
        for factor in (1, 100):
            text = f"import numba\n\n@numba.njit\ndef grow(x):\n    return {factor} * x\n"
            (package / f"helper_{factor}.py").write_text(text)
            helper = importlib.import_module(f"helper_{factor}")
            helper.grow.py_func.__module__ = helper.__name__ = "helper"
            program = {"grow": helper.grow, "numba": numba, "__name__": "users_program"}
            exec("@numba.njit\ndef f(x):\n    return grow(x[0])\n", program)
            found.append(fuse_points(program["f"], *BOX))
        assert found[0] is not None
        assert found[1] is not None
        assert found[0].code != found[1].code


@numba.njit
def is_inside(x: Any) -> Any:
    return x[0] < 0.001


@numba.njit
def is_hit(rng: Any) -> Any:
    return rng.random() < 0.001


class TestHits:
    """Functions that return bool have Wilson's interval, as if they were not compiled."""

    def test_of_points(self) -> None:
        fused, plain = integrate(is_inside), integrate(lambda x: x[:, 0] < 0.001)
        assert (fused.value, fused.interval) == (plain.value, plain.interval)

    @pytest.mark.parametrize("engine", ["serial", "processes"])
    def test_of_samples(self, engine: str) -> None:
        fused, plain = (
            scoopsci.estimate(fn, 20_000, seed=1, engine=engine)
            for fn in (is_hit, lambda rng, size: rng.random(size) < 0.001)
        )
        assert (fused.value, fused.interval) == (plain.value, plain.interval)


class TestSampler:
    def test_samples_are_drawn_one_by_one(self) -> None:
        found = scoopsci.estimate(draw_one, 20_000, seed=1, engine="serial", block_size=1_000)
        again = scoopsci.estimate(
            lambda rng, size: -np.diff(rng.random((size, 2)), axis=1)[:, 0],
            20_000, seed=1, engine="serial", block_size=1_000,
        )  # fmt: skip
        assert found.value == again.value
        shared = scoopsci.estimate(
            draw_one, 20_000, seed=1, engine="processes", n_workers=2, block_size=1_000
        )
        assert shared.value == found.value

    def test_a_function_of_two_arguments_draws_an_array(self) -> None:
        assert fuse_sampler(draw_many) is None
        found = scoopsci.estimate(draw_many, 20_000, seed=1, engine="serial")
        assert abs(found.value) < 4 * found.standard_error

    def test_functions_that_do_not_return_a_number_are_refused(self) -> None:
        @numba.njit
        def draw_text(rng: Any) -> Any:
            return "text"

        with pytest.raises(TypeError, match=r"must be fn\(rng\) and return one number"):
            scoopsci.estimate(draw_text, 100, seed=1, engine="serial")

    def test_other_callables_are_not_fused(self) -> None:
        assert fuse_sampler(lambda rng: 1.0) is None
        assert fuse_sampler(np.random.Generator.random) is None


PROGRAM = """
import json, sys, time
import numba
import scoopsci.estimation.compiled as compiled
from scoopsci.estimation.kernels import compile_counter

started = []
compile_of_numba = numba.core.compiler.compile_extra
def compile_and_count(*args, **kwargs):
    started.append(1)
    return compile_of_numba(*args, **kwargs)
numba.core.compiler.compile_extra = compile_and_count
count = compile_counter()
print(json.dumps({"n_compiled": len(started), "n_inside": count((1, 2), 0, 10_000)}))
"""


def run_programs(folder: Path, n: int, **variables: str) -> list[dict[str, int]]:
    env = {**os.environ, "XDG_CACHE_HOME": str(folder), "PYTHONPATH": str(REPOSITORY), **variables}
    started = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], env=env, stdout=subprocess.PIPE)
        for _ in range(n)
    ]
    return [json.loads(process.communicate(timeout=100)[0]) for process in started]


class TestCompiledOnce:
    def test_processes_that_start_together_compile_once(self, tmp_path: Path) -> None:
        told = run_programs(tmp_path, 3)
        assert sum(each["n_compiled"] > 0 for each in told) == 1
        assert len({each["n_inside"] for each in told}) == 1
        assert run_programs(tmp_path, 1)[0]["n_compiled"] == 0

    def test_the_cache_belongs_to_the_user(self, tmp_path: Path) -> None:
        run_programs(tmp_path, 1)
        folder = tmp_path / "scoopsci" / "numba"
        assert folder.stat().st_mode & 0o077 == 0

    def test_a_cache_that_others_may_write_is_not_used(self, tmp_path: Path) -> None:
        folder = tmp_path / "scoopsci" / "numba"
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        (told,) = run_programs(tmp_path, 1)
        assert told["n_compiled"] > 0
        assert list(folder.iterdir()) == []

    def test_a_cache_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        (told,) = run_programs(tmp_path / "file", 1)
        assert told["n_compiled"] > 0

    def test_a_damaged_cache(self, tmp_path: Path) -> None:
        expected = run_programs(tmp_path, 1)[0]["n_inside"]
        for file in (tmp_path / "scoopsci" / "numba").iterdir():
            file.write_bytes(file.read_bytes()[:100])
        assert run_programs(tmp_path, 1)[0]["n_inside"] == expected

    def test_waiting_for_a_held_lock_is_bounded(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(compiled, "PATIENCE_S", 0.2)
        path = tmp_path / "lock"
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with compiled._locked(path):
                pass

    def test_no_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(path: Path) -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "expanduser", fail)
        assert compile_once(at_points_of, "float64(float64)")(3.0) == 9.0

    def test_a_cache_that_others_could_move_is_not_used(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        shared = tmp_path / "shared"
        shared.mkdir()
        shared.chmod(0o777)
        monkeypatch.setenv("XDG_CACHE_HOME", str(shared))
        assert compiled._make_folder() is None

    def test_other_stamps_compile_anew(self, monkeypatch: Any, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        for stamp in ("one", "two", "one"):
            assert compile_once(at_points_of, "float64(float64)", stamp)(2.0) == 4.0
        names = [file.name for file in (tmp_path / "scoopsci" / "numba").glob("*.nbi")]
        assert len(names) == 2


def at_points_of(x: float) -> float:
    return x * x


class TestNumba:
    def test_missing_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert find_numba.__wrapped__() is None

    def test_a_broken_numba_is_a_warning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(name: str) -> None:
            raise ImportError("Numba needs another NumPy")

        monkeypatch.setattr("importlib.import_module", fail)
        with pytest.warns(RuntimeWarning, match=r"another NumPy.*scoopsci\[fast\]"):
            assert find_numba.__wrapped__() is None

    def test_found_without_a_warning(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert find_numba() is numba

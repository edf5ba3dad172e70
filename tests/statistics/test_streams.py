"""Streams: the published generator, all of them distinct, and independent side by side."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from scoopsci.estimation import kernels
from scoopsci.estimation.kernels import N_LANES, N_MIXING, derive_key, seed_lanes
from scoopsci.estimation.streams import block_generator

Interleave = Callable[[int, int, int], NDArray[np.float64]]

MASK_32, MASK_64, MASK_128 = ((1 << bits) - 1 for bits in (32, 64, 128))
PCG_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
CHEAP_MULTIPLIER = 0xDA942042E4DD58B5


class SeedHash:
    """O'Neill's seed_seq_fe of a 128-bit pool, as NumPy's SeedSequence documents it."""

    def __init__(self, words: list[int]) -> None:
        self.constant, self.multiplier = 0x43B0D7E5, 0x931E8875
        self.pool = [self.hash(words[i] if i < len(words) else 0) for i in range(4)]
        for source in range(4):
            for target in range(4):
                if source != target:
                    self.mix(target, self.pool[source])
        for word in words[4:]:
            for target in range(4):
                self.mix(target, word)

    def hash(self, value: int) -> int:
        value ^= self.constant
        self.constant = self.constant * self.multiplier & MASK_32
        value = value * self.constant & MASK_32
        return value ^ value >> 16

    def mix(self, target: int, word: int) -> None:
        mixed = 0xCA01F9DD * self.pool[target] - 0x4973F715 * self.hash(word) & MASK_32
        self.pool[target] = mixed ^ mixed >> 16

    def generate(self, n_words: int) -> list[int]:
        self.constant, self.multiplier = 0x8B51F9DD, 0x58F38DED
        return [self.hash(self.pool[i % 4]) for i in range(n_words)]


def to_words(number: int) -> list[int]:
    words = [number & MASK_32]
    while number := number >> 32:
        words.append(number & MASK_32)
    return words


def hash_seed(seed: int, block: int) -> SeedHash:
    words = to_words(seed)
    return SeedHash([*words, *[0] * (4 - len(words)), *to_words(block)])


def compute_stream(seeds: SeedHash, n_outputs: int) -> list[int]:
    """Return the outputs of PCG64DXSM, by the formulas of its author in Python's integers."""
    low_first = seeds.generate(8)
    s = [low_first[2 * i] | low_first[2 * i + 1] << 32 for i in range(4)]
    increment = (s[2] << 65 | s[3] << 1 | 1) & MASK_128
    state = (increment + (s[0] << 64 | s[1])) * PCG_MULTIPLIER + increment & MASK_128
    outputs = []
    for _ in range(n_outputs):
        high, low = state >> 64, state & MASK_64 | 1
        high ^= high >> 32
        high = high * CHEAP_MULTIPLIER & MASK_64
        high ^= high >> 48
        outputs.append(high * low & MASK_64)
        state = state * CHEAP_MULTIPLIER + increment & MASK_128
    return outputs


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([3735928559, 195939070, 229505742, 305419896],
         [3914649087, 576849849, 3593928901, 2229911004]),
        ([2766103236, 2883057919, 4029656435, 862374500],
         [296367413, 4262059219, 13109864, 3283683422]),
    ],
)  # fmt: skip
def test_seed_hash_gives_the_published_values(words: list[int], expected: list[int]) -> None:
    """The values of https://gist.github.com/imneme/540829265469e673d045."""
    assert SeedHash(words).generate(4) == expected
    assert np.random.SeedSequence(words).generate_state(4).tolist() == expected


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0xDEADBEAF, [0xDF1DDCF1E22521FE, 0xC71B2F9C706CF151, 0x6922A8CC24AD96B2]),
        (0, [0xD97E4A147F788A70, 0x8DFA7BCE56E3A253, 0x13556ED9F53D3C10]),
    ],
)
def test_generator_gives_the_published_values(seed: int, expected: list[int]) -> None:
    """The first values of NumPy's pcg64dxsm-testset-1.csv and -2.csv."""
    assert compute_stream(SeedHash(to_words(seed)), 3) == expected
    assert np.random.PCG64DXSM(seed).random_raw(3).tolist() == expected


@pytest.mark.parametrize("seed", [0, 7, 2**32, 2**127 + 5, 2**200 + 1])
@pytest.mark.parametrize("block", [0, 1, 12_345, 2**32 - 1, 2**32, 2**64 + 1])
def test_block_has_the_stream_of_the_formulas(seed: int, block: int) -> None:
    raw = block_generator(seed, block).bit_generator.random_raw(20).tolist()
    assert raw == compute_stream(hash_seed(seed, block), 20)


@pytest.mark.parametrize(
    ("seed", "block", "raw", "uniform"),
    [
        (0, 0, 0x27667AA3123FEC64, 0.15390745621903046),
        (7, 3, 0x19BFF60D769C98D0, 0.10058534458822732),
    ],
)
def test_pinned_values(seed: int, block: int, raw: int, uniform: float) -> None:
    assert block_generator(seed, block).bit_generator.random_raw() == raw
    assert block_generator(seed, block).random() == uniform == (raw >> 11) / 2**53


@pytest.mark.parametrize("n_streams", [100_000, pytest.param(10**6, marks=[pytest.mark.slow])])
def test_states_are_distinct(n_streams: int) -> None:
    states, increments = set[int](), set[int]()
    for block in range(n_streams):
        state = block_generator(0, block).bit_generator.state["state"]
        states.add(state["state"])
        increments.add(state["inc"])
    assert len(states) == len(increments) == n_streams


def mix(seed: int, lanes: NDArray[np.int64]) -> kernels._Lanes:
    """Return generators of the points of π, by the number of their lane, once they are mixed."""
    states = np.empty((3, len(lanes)), np.uint64)
    states[:2] = np.array(derive_key(seed), np.uint64)[:, None]
    states[2] = lanes
    step = kernels._Lanes(states)
    for _ in range(N_MIXING):
        step.draw()
    return step


@pytest.mark.parametrize("seed", [0, 2**127])
@pytest.mark.parametrize("stride", [1, N_LANES], ids=["lanes", "blocks"])
def test_states_of_a_million_lanes_and_blocks_are_distinct(seed: int, stride: int) -> None:
    step = mix(seed, stride * np.arange(10**6))
    words = np.stack([step._a, step._b, step._c], axis=1)
    assert len(np.unique(words, axis=0)) == 10**6


def test_lanes_mixed_here_are_those_of_the_kernel() -> None:
    ours, theirs = (
        mix(5, np.arange(N_LANES) + 3 * N_LANES),
        kernels._Lanes(seed_lanes(derive_key(5), 3)),
    )
    for _ in range(N_MIXING):
        theirs.draw()
    assert ours.draw().tolist() == theirs.draw().tolist()


@pytest.mark.parametrize("bits", [4, 5, 6])
def test_two_points_of_an_output_are_hardly_correlated(bits: int) -> None:
    """Of all outputs of 4 * bits bits, as those of 64 are used: it falls as 2^-bits does."""
    outputs = np.arange(1 << 4 * bits, dtype=np.int64)
    x_high, x_low, y_high, y_low = (
        outputs >> bits * place & (1 << bits) - 1 for place in (3, 2, 1, 0)
    )

    def is_inside(*quarters: NDArray[np.int64]) -> NDArray[np.bool_]:
        halves = (quarters[0] << bits | quarters[1], quarters[2] << bits | quarters[3])
        x, y = ((half ^ 1 << 2 * bits - 1) - (1 << 2 * bits - 1) for half in halves)
        return np.asarray(x * x + y * y < 1 << 2 * (2 * bits - 1))

    first = is_inside(x_high, x_low, y_high, y_low)
    second = is_inside(x_low, x_high, y_low, y_high)
    share = first.mean()
    assert share == second.mean()
    correlation = ((first & second).mean() - share**2) / (share - share**2)
    assert -0.3 / 2**bits < correlation < 0.0


def test_two_points_of_the_kernel_s_outputs_are_uncorrelated() -> None:
    lanes, n_steps, n_both, n_one = mix(3, np.arange(N_LANES)), 8_000, 0, 0
    for _ in range(n_steps):
        first, second = (outside.astype(bool) for outside in lanes.find_outside())
        n_both += int((first & second).sum())
        n_one += int(first.sum()) + int(second.sum())
    n_pairs = n_steps * N_LANES
    share = n_one / (2 * n_pairs)
    z = (n_both / n_pairs - share**2) / (share - share**2) * np.sqrt(n_pairs)
    assert abs(z) < 4.0


def interleave_blocks(seed: int, n_blocks: int, n_each: int) -> NDArray[np.float64]:
    """Return the first uniform of every block, then the second of every block, and so on."""
    columns = [block_generator(seed, block).random(n_each) for block in range(n_blocks)]
    return np.stack(columns, axis=1).ravel()


def interleave_lanes(seed: int, n_lanes: int, n_each: int) -> NDArray[np.float64]:
    """Return the same of neighbouring lanes."""
    step = mix(seed, np.arange(n_lanes))
    return np.concatenate([(step.draw() >> np.uint64(11)) / 2**53 for _ in range(n_each)])


def interleave_first_lanes(seed: int, n_blocks: int, n_each: int) -> NDArray[np.float64]:
    """Return the same of the first lanes of neighbouring blocks, by the other half of the bits."""
    step = mix(seed, N_LANES * np.arange(n_blocks))
    return np.concatenate([(step.draw() & np.uint64(0xFFFFFFFF)) / 2**32 for _ in range(n_each)])


INTERLEAVED = [interleave_blocks, interleave_lanes, interleave_first_lanes]


@pytest.mark.parametrize("interleave", INTERLEAVED, ids=lambda fn: fn.__name__)
@pytest.mark.parametrize("seed", [0, 1, 2**127])
@pytest.mark.parametrize(("n_blocks", "n_each"), [(1_000, 100), (10_000, 10), (100, 1_000)])
class TestInterleavedBlocks:
    """100,000 uniforms taken from the blocks in turn look like those of one stream."""

    def test_uniform(self, interleave: Interleave, seed: int, n_blocks: int, n_each: int) -> None:
        uniforms = interleave(seed, n_blocks, n_each)
        counts = np.bincount((uniforms * 256).astype(int), minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-3
        assert stats.kstest(uniforms, "uniform").pvalue > 1e-3

    def test_pairs_are_uniform(
        self, interleave: Interleave, seed: int, n_blocks: int, n_each: int
    ) -> None:
        cells = (interleave(seed, n_blocks, n_each) * 16).astype(int)
        counts = np.bincount(16 * cells[::2] + cells[1::2], minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-3

    def test_uncorrelated(
        self, interleave: Interleave, seed: int, n_blocks: int, n_each: int
    ) -> None:
        centred = interleave(seed, n_blocks, n_each) - 0.5
        for lag in (1, 2, 3, 7, n_blocks - 1, n_blocks, n_blocks + 1):
            products = centred[:-lag] * centred[lag:]
            z = products.mean() * 12 * np.sqrt(len(products))
            assert abs(z) < 4.5, f"correlation at lag {lag}"

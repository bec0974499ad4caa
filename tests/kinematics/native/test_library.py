"""The compiled library: built once into a cache that is ours, absent without a compiler, its numbers PyTorch's."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import which

import numpy as np
import pytest
import torch

from alpamayo_toy import ActionSpace, UnicycleRollout, trajectory_to_actions
from alpamayo_toy.kinematics.native import library as built
from alpamayo_toy.kinematics.native import pairs, squash
from alpamayo_toy.kinematics.native import rollout as native
from alpamayo_toy.metrics.pairs import mean_distances

compiled = pytest.mark.skipif(which("cc") is None, reason="there is no C compiler here")
QUICKLY = ("-std=c11", "-O0", "-fPIC")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the library of this test is kept; the real one serves again afterwards."""
    monkeypatch.delenv("ALPAMAYO_TOY_NATIVE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(built, "FLAGS", QUICKLY)
    built.library.cache_clear()
    yield tmp_path / "alpamayo_toy"
    built.library.cache_clear()


def kept(cache: Path) -> Path:
    (file,) = cache.iterdir()
    return file


@compiled
def test_it_is_built_once_and_built_again_where_it_is_spoilt(cache: Path) -> None:
    assert built.library() is not None
    first = kept(cache).stat().st_mtime_ns
    built.library.cache_clear()
    assert built.library() is not None
    assert kept(cache).stat().st_mtime_ns == first
    file = kept(cache)
    half = file.read_bytes()[: file.stat().st_size // 2]
    file.unlink()  # what is written on while it is loaded would crash this process
    file.write_bytes(half)
    assert not built._sound(file)
    built.library.cache_clear()
    assert built.library() is not None
    assert built._sound(file)


@compiled
def test_nothing_is_loaded_that_others_can_write(cache: Path) -> None:
    assert built.library() is not None
    assert built._sound(kept(cache))
    for place in (cache, kept(cache)):
        mode = place.stat().st_mode
        place.chmod(mode | 0o020)
        assert not built._sound(kept(cache))
        place.chmod(mode)


@compiled
def test_a_cache_that_cannot_be_written_costs_the_build_alone(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert built.library() is not None
    assert cache.is_file()


@compiled
def test_several_may_build_at_once(cache: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert None not in list(pool.map(lambda _: built.library.__wrapped__(), range(3)))
    assert built._sound(kept(cache))


@pytest.mark.parametrize("absent", [{"PATH": ""}, {"ALPAMAYO_TOY_NATIVE": "0"}, {"CC": "no-such-compiler"}])
def test_without_it_pytorch_serves(absent: dict[str, str], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in absent.items():
        monkeypatch.setenv(name, value)
    assert built.library() is None
    actions = torch.zeros(3, 4, 2)
    assert not built.serves(actions, actions[:, 0, 0])
    assert UnicycleRollout()(actions, torch.ones(3))[:, -1, 0].tolist() == pytest.approx([0.4] * 3)
    assert not cache.exists()


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_a_compiler_that_fails_is_named(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o700)
    monkeypatch.setenv("CC", str(broken))
    with pytest.warns(UserWarning, match="broken does not compile the rollout .*: it runs in PyTorch"):
        assert built.library() is None


def test_both_sides_keep_yaw_and_speed_as_often() -> None:
    assert f"#define TILE {native.TILE} " in Path(native.__file__).with_suffix(".c").read_text()


def sines_are_right(dtype: torch.dtype) -> None:
    """One step of the trapezoid from standstill to 1 m/s at a yaw: x, y = cos, sin dt / 2. And none is above 1."""
    yaw = torch.cat([torch.linspace(-1e6, 1e6, 20001), torch.linspace(-10, 10, 20001)]).to(dtype)
    yaw = torch.cat([yaw, torch.arange(-8, 9).to(dtype) * (np.pi / 4)])
    actions = torch.stack([torch.ones_like(yaw), 2 * yaw], -1).unsqueeze(1)
    out, _ = native.rollout(actions, torch.zeros_like(yaw), 1.0, clamp=False, steps=slice(None), keep=False)
    assert torch.equal(out[:, 0, 2], yaw)
    unit = torch.finfo(dtype).eps
    for found, exact in ((out[:, 0, 0], np.cos), (out[:, 0, 1], np.sin)):
        right = exact(yaw.numpy().astype(np.longdouble))
        assert np.abs(2 * found.numpy().astype(np.longdouble) - right).max() < 2 * unit
    far = torch.tensor([3e7, 1e10, 1e15], dtype=dtype)
    actions = torch.stack([torch.ones_like(far), 2 * far], -1).unsqueeze(1)
    out, _ = native.rollout(actions, torch.zeros_like(far), 1.0, clamp=False, steps=slice(None), keep=False)
    assert out[:, 0, :2].norm(dim=-1).tolist() == pytest.approx([0.5] * 3, rel=4 * unit)


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sines_are_within_two_units_in_the_last_place(dtype: torch.dtype) -> None:
    sines_are_right(dtype)


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_are_on_any_processor_of_the_kind(cache: Path, dtype: torch.dtype) -> None:
    """Without -march=native, and so without the fused operations of newer ones."""
    assert built.library() is not None
    assert len(list(cache.iterdir())) == 1
    sines_are_right(dtype)


@compiled
def test_threads_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "SHARE", 64)
    monkeypatch.setattr(squash, "SHARE", 64)
    draw = torch.Generator().manual_seed(0)
    actions = (torch.randn(3 * native.SHARE + 5, 7, 2, generator=draw)).requires_grad_()
    v0 = torch.rand(len(actions), generator=draw).requires_grad_()
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        squashed = ActionSpace().squash(actions, torch.stack([v0.detach(), v0.detach() + 1], -1))
        out = UnicycleRollout()(squashed, v0)
        apart = mean_distances(out.unsqueeze(1), out.unsqueeze(1) + 1)
        back = trajectory_to_actions(out[..., :2], out[..., 2], v0)
        loss = out.square().sum() + apart.sum() + back.square().sum()
        found.append((squashed, out, apart, back, *torch.autograd.grad(loss, (actions, v0))))
    torch.set_num_threads(1)
    assert all(torch.equal(one, three) for one, three in zip(*found, strict=True))


@compiled
def test_what_the_library_does_not_know_is_left_to_pytorch() -> None:
    class Marked(torch.Tensor):
        pass

    plain = torch.zeros(2, 3, 2)
    assert built.serves(plain, plain[:, 0, 0])
    assert not built.serves(plain.as_subclass(Marked), plain[:, 0, 0])
    assert not built.serves(plain.to("meta"), plain[:, 0, 0])
    assert not built.serves(plain[:0], plain[:0, 0, 0])
    negative = torch._neg_view(torch.ones(2, 3, 2))
    assert UnicycleRollout()(negative, torch.ones(2))[0, 0, 3] == pytest.approx(0.9)


@compiled
def test_another_processor_gets_a_library_of_its_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that two machines share: what one of them compiled for itself may crash the other."""
    assert built.library() is not None
    monkeypatch.setattr(built, "_processor", lambda: "another")
    built.library.cache_clear()
    assert built.library() is not None
    assert len(list(cache.iterdir())) == 2

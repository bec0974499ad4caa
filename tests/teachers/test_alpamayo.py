"""The adapter of NVIDIA's models speaks the language of their released packages, and says in one line what is wrong."""

import ast
import inspect
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from places import Command
from stand_in import CLIPS, Hub, Machine

from alpamayo_toy import load_labels
from alpamayo_toy.commands import labels as labels_command
from alpamayo_toy.errors import UserError
from alpamayo_toy.teachers import alpamayo
from alpamayo_toy.teachers.alpamayo import PACKAGES, AlpamayoModel, Origin, default_attention, package_of
from alpamayo_toy.teachers.generate import by_model

WEIGHTS = {
    "alpamayo_r1": "nvidia/Alpamayo-R1-10B",
    "alpamayo1_5": "nvidia/Alpamayo-1.5-10B",
    "alpamayo2_super": "nvidia/Alpamayo2-Super",
}


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_spoken_to_as_its_example_does(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine().installed(monkeypatch)
    model = AlpamayoModel(WEIGHTS[package])
    made = by_model(model, package, CLIPS, 3, 0, tmp_path / "set", (1, 1))
    assert made is not None
    labels = load_labels(tmp_path / "set")
    assert labels.teacher.shape == (4, 3, 64, 4)
    assert labels.history is not None
    assert labels.ground_truth is not None
    assert (labels.ground_truth[:, :, 3] - 8).abs().max() < 1e-2
    assert labels.text is not None
    assert "text 2 of 3" in str(labels.text[3])
    assert len(set(labels.teacher[..., -1, 0].flatten().tolist())) == 12, "every sample is its own"
    assert machine.read == CLIPS
    assert machine.opened == [{"revision": None, "cache_dir": None, "local_dir": None}], "one interface for all clips"
    assert machine.moved == ["cuda"] * 4
    ((weights, options),) = machine.loaded
    assert weights == WEIGHTS[package]
    placed = {"device_map": "cuda"} if package == "alpamayo2_super" else {}
    asked_for = {"dtype": torch.bfloat16, "attn_implementation": "sdpa", **placed}
    assert options == {"cache_dir": None, "local_files_only": False, "revision": "main", **asked_for}
    how = {"max_generation_length": 256, "return_extra": True}
    how = {"diffusion_kwargs": {"inference_step": 10}} if package == "alpamayo2_super" else how
    assert machine.sampled == [(3, {**how, "top_p": 0.98, "temperature": 0.6})] * 4
    assert machine.cast == [("cuda", torch.bfloat16)] * 4


@pytest.mark.parametrize("package", PACKAGES)
def test_what_does_not_fit_is_asked_for_in_halves(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alpamayo_toy.teachers.asking import Asker

    machine = Machine(fits=2).installed(monkeypatch)
    model = AlpamayoModel(WEIGHTS[package])
    (labels,) = Asker(model, package, 6, 0).labels(CLIPS[:1])
    assert not isinstance(labels, UserError)
    assert labels.teacher.shape == (1, 6, 64, 4)
    assert [count for count, _ in machine.sampled] == [6, 3, 2, 2, 2]
    assert machine.read == CLIPS[:1], "a clip is read once, whatever its pieces"
    assert len(set(labels.teacher[0, :, -1, 0].tolist())) == 6, "no piece repeats another"


def test_the_seed_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine().installed(monkeypatch)
    model = AlpamayoModel(WEIGHTS["alpamayo_r1"])
    first, again, other = (model.predict(*CLIPS[0], 2, seed)["pred_xyz"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_where_from_is_said_to_all_that_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine().installed(monkeypatch)
    origin = Origin(revision="v1", data_revision="abc", cache=tmp_path, offline=True)
    AlpamayoModel(WEIGHTS["alpamayo1_5"], attention="eager", origin=origin)
    ((_, options),) = machine.loaded
    assert options["revision"] == "v1"
    assert options["cache_dir"] == str(tmp_path)
    assert options["local_files_only"]
    assert options["attn_implementation"] == "eager"
    assert machine.opened == [{"revision": "abc", "cache_dir": str(tmp_path), "local_dir": None}]
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert os.environ["HF_HUB_CACHE"] == str(tmp_path)
    with pytest.raises(UserError, match="--offline needs --data-revision: a folder's name under"):
        Origin(offline=True)


def test_attention_is_pytorchs_own_where_flash_attn_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpamayo, "find_spec", lambda name: None)
    assert default_attention() == "sdpa"
    monkeypatch.setattr(alpamayo, "find_spec", lambda name: name)
    assert default_attention() == "flash_attention_2"


@pytest.mark.parametrize(
    ("weights", "package"),
    [
        ("nvidia/Alpamayo-R1-10B", "alpamayo_r1"),
        ("me/ALPAMAYO_R1-lora", "alpamayo_r1"),
        ("alpamayor1", "alpamayo_r1"),
        ("nvidia/Alpamayo-1.5-10B", "alpamayo1_5"),
        ("/ckpts/alpamayo1_5/run-7", "alpamayo1_5"),
        ("ALPAMAYO-1-5", "alpamayo1_5"),
        ("nvidia/Alpamayo2-Super", "alpamayo2_super"),
        ("nvidia/alpamayo-2-super-32B", "alpamayo2_super"),
        ("alpamayo2_super", "alpamayo2_super"),
    ],
)
def test_the_name_of_the_weights_says_whose_code_it_needs(weights: str, package: str) -> None:
    assert package_of(weights) == package


@pytest.mark.parametrize(
    "weights", ["gpt", "me/driver", "alpamayo-20k-steps", "alpamayo-15b", "alpamayo1_5-to-r1/alpamayo-r1"]
)
def test_a_name_that_says_too_little_needs_a_package(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"give --package alpamayo_r1\|alpamayo1_5\|alpamayo2_super"):
        AlpamayoModel(weights)
    machine = Machine().installed(monkeypatch)
    AlpamayoModel(weights, "alpamayo1_5")
    assert machine.loaded[0][0] == weights


def test_weights_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine().installed(monkeypatch)
    folder = tmp_path / "Alpamayo-R1-mine"
    with pytest.raises(UserError, match="there is no such folder"):
        AlpamayoModel(str(folder))
    folder.mkdir()
    with pytest.raises(UserError, match=r"holds no config\.json; name the folder that save_pretrained"):
        AlpamayoModel(str(folder))
    (folder / "config.json").write_text("{}")
    AlpamayoModel(str(folder))
    assert machine.loaded[0][0] == str(folder)


GATED = type("GatedRepoError", (Hub,), {})
MISSING = type("RepositoryNotFoundError", (Hub,), {})
AWAY = type("LocalEntryNotFoundError", (OSError,), {})


@pytest.mark.parametrize(
    ("failures", "line"),
    [
        ({"loaded": GATED(403)}, "--model nvidia/Alpamayo-R1-10B cannot be loaded: .* accept its terms on the hub"),
        ({"loaded": MISSING(401)}, "cannot be loaded: .* neither a folder here nor a name on the hub"),
        ({"loaded": AWAY("no file")}, "cannot be loaded: .* not in the cache; name the right --cache and revision"),
        ({"loaded": torch.OutOfMemoryError("CUDA out of memory.")}, "memory is too small for it"),
        ({"loaded": RuntimeError("size mismatch\nfor x")}, "cannot be loaded: RuntimeError: size mismatch for x"),
        ({"opened": GATED(401)}, "PhysicalAI-Autonomous-Vehicles cannot be opened: .* accept its terms"),
        ({"read": Hub(404)}, "clip a at t0 5100000 us: Hub: 404 Client Error .* the hub has no such name"),
        ({"sampled": torch.OutOfMemoryError("CUDA out of memory.\nNo.")}, "OutOfMemoryError: CUDA out of memory. No.;"),
    ],
)
def test_what_goes_wrong_is_one_line(
    failures: dict[str, Exception],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Machine(**failures).installed(monkeypatch)
    (tmp_path / "clips.txt").write_text("a\n")
    told = ["--teacher", "alpamayo", "--clip-list", str(tmp_path / "clips.txt")]
    assert labels_command.main(["generate", str(tmp_path / "out"), *told, "--samples", "1"]) == 2
    *before, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: ")
    assert re.search(line, last), last
    assert all(said.startswith("left out: ") for said in before)


def test_all_options_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(fits=2).installed(monkeypatch)
    (tmp_path / "clips.txt").write_text("a 5100000\nb 6000000\n")
    words = ["--clip-list", str(tmp_path / "clips.txt"), "--model", "me/mine", "--package", "alpamayo2_super"]
    words += ["--attention", "eager", "--revision", "v1", "--data-revision", "abc", "--cache", str(tmp_path / "hub")]
    words += ["--offline", "--at-once", "2", "--retry", "1", "--stop-after", "3", "--samples", "3"]
    assert labels_command.main(["generate", str(tmp_path / "out"), "--teacher", "alpamayo", *words]) == 0
    assert "2 clips of 3 samples" in capsys.readouterr().out
    (source,) = json.loads((tmp_path / "out" / "labels.json").read_text())["sources"]
    assert source["name"] == "me/mine@v1"
    ((weights, options),) = machine.loaded
    assert (weights, options["revision"], options["attn_implementation"]) == ("me/mine", "v1", "eager")
    assert [count for count, _ in machine.sampled] == [2, 1, 2, 1]
    assert machine.read == [("a", 5_100_000), ("b", 6_000_000)]


def test_what_failed_is_said_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(missing="b").installed(monkeypatch)
    (tmp_path / "clips.txt").write_text("a 5100000\nb 6000000\nc 7000000\n")
    words = ["generate", str(tmp_path / "out"), "--teacher", "alpamayo", "--clip-list", str(tmp_path / "clips.txt")]
    for _ in range(2):
        assert labels_command.main(words) == 0
        said = capsys.readouterr()
        assert said.err.splitlines() == ["left out: nvidia/Alpamayo-R1-10B: clip b at t0 6000000 us: KeyError: 'b'"]
        assert said.out.splitlines()[1:] == [
            "dropped        1  failed: the model failed at it, as said above; the same command asks for it again"
        ]
    assert [clip for clip, _ in machine.read] == ["a", "c"], "the second run asks for b alone"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--model", "./nowhere"], "--model ./nowhere: there is no such folder"),
        (["--model", "here"], "--model here holds no config.json"),
        (["--model", "me/mine"], "give --package alpamayo_r1|alpamayo1_5|alpamayo2_super"),
        (["--offline"], "--offline needs --data-revision"),
        (
            ["--model", "alpamayo2-super"],
            "needs NVIDIA's package alpamayo2_super and physical_ai_av: ModuleNotFoundError: No",
        ),
    ],
)
def test_mistakes_on_the_command_line(words: list[str], line: str, tmp_path: Path, command: Command) -> None:
    (tmp_path / "clips.txt").write_text("a\n")
    (tmp_path / "here").mkdir()
    result = command("labels", "generate", "out", "--teacher", "alpamayo", "--clip-list", "clips.txt", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert line in result.stderr
    assert not (tmp_path / "out").exists()


REAL = os.environ.get("ALPAMAYO_SOURCES", "")
SHARED_BY_TWO = ("helper.create_message", "helper.get_processor", "helper.to_device")
LOADER = "load_physical_aiavdataset.load_physical_aiavdataset"
ROLLOUT = "sample_trajectories_from_data_with_vlm_rollout"
CALLED = {
    "alpamayo_r1": (*SHARED_BY_TWO, LOADER, f"models.alpamayo_r1.AlpamayoR1.{ROLLOUT}"),
    "alpamayo1_5": (*SHARED_BY_TWO, LOADER, f"models.alpamayo1_5.Alpamayo1_5.{ROLLOUT}"),
    "alpamayo2_super": (
        "helper.prepare_model_inputs",
        "helper.to_device",
        LOADER,
        "input_profiles.select_task_input",
        "models.alpamayo2_super.Alpamayo2Super.sample_trajectories_from_data",
    ),
    "physical_ai_av": ("dataset.PhysicalAIAVDatasetInterface.__init__",),
}
"""All that is called of NVIDIA's packages, but for what they take from transformers."""
NONE = inspect.Parameter.empty


def parameters(source: str, name: str) -> dict[str, tuple[str, Any]]:
    """Kind and default of each parameter of a function or method in a source, which is not run."""
    body: list[ast.stmt] = ast.parse(source).body
    *classes, function = name.split(".")
    for kind in classes:
        (body,) = (node.body for node in body if isinstance(node, ast.ClassDef) and node.name == kind)
    (found,) = (node.args for node in body if isinstance(node, ast.FunctionDef) and node.name == function)
    positional = [("POSITIONAL_OR_KEYWORD", argument.arg) for argument in (*found.posonlyargs, *found.args)]
    defaults = [NONE] * (len(positional) - len(found.defaults)) + list(map(value, found.defaults))
    known = {name: (kind, default) for (kind, name), default in zip(positional, defaults, strict=True)}
    for argument, default in zip(found.kwonlyargs, found.kw_defaults, strict=True):
        known[argument.arg] = ("KEYWORD_ONLY", NONE if default is None else value(default))
    for rest, kind in ((found.vararg, "VAR_POSITIONAL"), (found.kwarg, "VAR_KEYWORD")):
        if rest is not None:
            known[rest.arg] = (kind, NONE)
    return known


def value(node: ast.expr) -> Any:
    """A default, its text where it is no plain value."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def differences(stand_in: Any, real: dict[str, tuple[str, Any]]) -> list[str]:
    """Why a call that fits the stand-in would not fit the real function, or mean something else there."""
    mine = {p.name: (p.kind.name, p.default) for p in inspect.signature(stand_in).parameters.values()}
    found = [f"{name}: {mine[name]}, really {real.get(name)}" for name in mine if real.get(name) != mine[name]]
    needed = [name for name, (kind, default) in real.items() if default is NONE and "VAR" not in kind]
    found += [f"{name} is needed" for name in needed if name not in mine]
    order = [name for name in real if name in mine and real[name][0] == "POSITIONAL_OR_KEYWORD"]
    return found + ([] if order == list(real)[: len(order)] else ["what stands in between is left out"])


@pytest.mark.parametrize(("package", "name"), [(package, name) for package in CALLED for name in CALLED[package]])
def test_the_stand_ins_have_the_real_signatures(package: str, name: str) -> None:
    if not REAL:
        pytest.skip("ALPAMAYO_SOURCES names no folder with NVIDIA's sources")
    modules, file = Machine().modules, f"{package}/{name.split('.')[0]}.py"
    where = next(key for key in sorted(modules, reverse=True) if f"{package}.{name}".startswith(f"{key}."))
    qualified = f"{package}.{name}".removeprefix(f"{where}.")
    if package == "physical_ai_av":
        qualified = name.removeprefix("dataset.")
        where = package
    elif name.startswith("models."):
        file = f"{package}/models/{name.split('.')[1]}.py"
    sources = sorted(Path(REAL).rglob(file))
    if not sources:
        pytest.skip(f"ALPAMAYO_SOURCES holds no {file}")
    stand_in: Any = modules[where]
    for part in qualified.split("."):
        stand_in = getattr(stand_in, part)
    for source in sources:
        assert differences(stand_in, parameters(source.read_text(), qualified)) == [], source


def test_another_signature_is_found() -> None:
    def ours(a: int, b: int = 2) -> None: ...

    def against(source: str) -> list[str]:
        return differences(ours, parameters(source, "K.f" if source.startswith("class") else "f"))

    assert against("def f(a, b=2): ...") == []
    assert against("class K:\n    def f(a, b=2, c=None, *, d=3, **more): ...") == []
    assert against("def f(a, b=3): ...") == ["b: ('POSITIONAL_OR_KEYWORD', 2), really ('POSITIONAL_OR_KEYWORD', 3)"]
    assert against("def f(a, *, b=2): ...")[0].startswith("b: ")
    assert against("def f(a, c, b=2): ...") == ["c is needed", "what stands in between is left out"]
    assert against("def f(a, c=1, b=2): ...") == ["what stands in between is left out"]
    assert against("def f(b=2): ...")[0].startswith("a: ")

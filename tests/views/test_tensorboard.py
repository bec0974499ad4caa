"""The real TensorBoard page in a real browser shows the curves of a run."""

import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from composed import train_config

from alpamayo_toy.training.loop import fit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
QUIET += " --disable-component-update --disable-sync --window-size=1500,1300 --virtual-time-budget=20000"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    """The address of a TensorBoard that shows one short run, called LEFT."""
    fit(train_config("trainer=smoke", "teacher.scenes=64", "teacher.val_scenes=8"), tmp_path / "outputs" / "LEFT")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--logdir", str(tmp_path / "outputs"), "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "tensorboard.main", *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        tags = b""
        while b"ADE/validation" not in tags or b"loss/position" not in tags:  # it reads the run's files at its leisure
            assert server.poll() is None
            with suppress(OSError):
                tags = urllib.request.urlopen(address + "data/plugin/timeseries/tags", timeout=60).read()
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_shows_the_curves(page: str, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    expected = ["loss/position[m]", "ADE/validation[m]", "RunSmoothedValueStepRelativeLEFT"]
    text = ""
    for attempt in range(10):  # a busy machine's page may be dumped before its scripts are done, however long it had
        profile = f"--user-data-dir={tmp_path / f'profile-{attempt}'}"
        address = page + "?tagFilter=loss%2Fposition%7CADE%2Fvalidation#timeseries"
        command = [CHROMIUM, *QUIET.split(), profile, "--dump-dom", address]
        try:
            dumped = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
        except subprocess.TimeoutExpired:
            continue
        text = re.sub(r"<(script|style).*?</\1>|<[^>]+>|\s+", "", dumped, flags=re.DOTALL)
        if all(word in text for word in expected):
            break
    for word in expected:
        assert word in text

"""The real TensorBoard page in a real browser shows the curves of a run."""

import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
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
        for _ in range(120):
            try:
                if b"LEFT" in urllib.request.urlopen(address + "data/runs", timeout=5).read():
                    break
            except OSError:
                assert server.poll() is None
            time.sleep(0.5)
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
    for attempt in range(6):  # the page is asked for before its scripts are done on a busy machine
        profile = f"--user-data-dir={tmp_path / f'profile-{attempt}'}"
        address = page + "?tagFilter=loss%2Fposition%7CADE%2Fvalidation#timeseries"
        command = [CHROMIUM, *QUIET.split(), profile, "--dump-dom", address]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        text = re.sub(r"<(script|style).*?</\1>|<[^>]+>|\s+", "", result.stdout, flags=re.DOTALL)
        if all(word in text for word in expected):
            break
    for word in expected:
        assert word in text

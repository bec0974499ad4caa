"""A first train and eval, so that every process forked from here starts where a second one would.

What the first does alone: code is loaded lazily, parsers and kernels build their tables.
"""

import contextlib
import gc
import io
import tempfile
from pathlib import Path

import torch
from composed import composed, train_config

from alpamayo_toy.evaluation.checkpoint import evaluate_checkpoint
from alpamayo_toy.evaluation.config import EvalConfig
from alpamayo_toy.training.loop import fit

torch.set_num_threads(1)  # threads that have begun do not live on in what is forked
with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    run = Path(folder, "run")
    fit(train_config("trainer=smoke", "trainer.steps=2", "teacher.scenes=16", "teacher.val_scenes=2"), run)
    evaluate_checkpoint(composed("eval", EvalConfig, f"checkpoint={run}"), Path(folder, "eval"))
gc.freeze()  # what is there by now stays: no child's collector need look at it

"""What TensorBoard shows: scalars, histograms, pictures, the config, and hyperparameters with final metrics."""

from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams


class Logger:
    """Writes the event file of one run's folder; a continued run passes its step, and later points are dropped."""

    def __init__(self, folder: Path, first_step: int = 0, suffix: str = "") -> None:
        purge_step = first_step + 1 if first_step > 0 else None  # what stands at the step itself was said
        self.writer = SummaryWriter(str(folder), purge_step=purge_step, filename_suffix=suffix)

    def scalars(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def histogram(self, name: str, values: Tensor, step: int) -> None:
        self.writer.add_histogram(name, values, step)

    def picture(self, name: str, png: Path, step: int) -> None:
        """A PNG file as it is: what one sees there is the file in the run's folder."""
        image = Summary.Image(encoded_image_string=png.read_bytes())
        self._events().add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)

    def text(self, name: str, content: str) -> None:
        """Preformatted text."""
        indented = "\n".join("    " + line for line in content.splitlines())
        self.writer.add_text(name, indented)

    def hparams(self, options: dict[str, Any], metrics: dict[str, float], step: int) -> None:
        """Options and final metrics, in this run itself, for TensorBoard's comparison of runs."""
        plain = {name: v if isinstance(v, bool | int | float | str) else str(v) for name, v in options.items()}
        for part in hparams(plain, metrics):
            self._events().add_summary(part)
        self.scalars(metrics, step)

    def close(self) -> None:
        self.writer.close()

    def _events(self) -> Any:
        return self.writer._get_file_writer()

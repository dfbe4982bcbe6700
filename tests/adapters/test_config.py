"""What a configuration cannot be is refused when it is made, before any work: one line that names the option."""

from pathlib import Path

import pytest

from projects.adapters.config import Config, RunConfig
from projects.adapters.ner import NerConfig
from shared.errors import UserError

NAN = float("nan")
INF = float("inf")
REFUSED = [
    (Config, {"bottleneck": 0}, "--bottleneck 0: must be at least 1"),
    (Config, {"bottleneck": 10**9}, "--bottleneck 1000000000: must be at most 16384"),
    (Config, {"weight_decay": -0.1}, "--weight_decay -0.1: must be at least 0"),
    (Config, {"warmup": NAN}, "--warmup nan: must be in [0, 1)"),
    (Config, {"lr": INF}, "--lr inf: must be a positive number"),
    (RunConfig, {"epochs": 0}, "--epochs 0: must be at least 1"),
    (NerConfig, {"out": Path("x"), "level": 0}, "--level 0: the levels are 1, 2, 3"),
]


@pytest.mark.parametrize(("config", "settings", "said"), REFUSED)
def test_a_value_out_of_its_bounds_is_refused(config, settings, said):
    with pytest.raises(UserError) as refused:
        config(**settings)
    assert str(refused.value) == said

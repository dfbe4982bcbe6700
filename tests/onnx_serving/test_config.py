"""What a configuration cannot be is refused when it is made, before any work: one line that names the option."""

import pytest

from projects.onnx_serving.benchmarks.benchmark import BenchConfig
from projects.onnx_serving.config import Config
from shared.errors import UserError

NAN = float("nan")
REFUSED = [
    (Config, {"window": 513}, "--window 513: must be at most 512"),
    (Config, {"window": 60}, "--window 60: must be at least twice --overlap 28 plus 32"),
    (Config, {"weight_decay": NAN}, "--weight_decay nan: must be at least 0"),
    (Config, {"warmup": 1.5}, "--warmup 1.5: must be in [0, 1]"),
    (BenchConfig, {"threads": -1}, "--threads -1: must be at least 0"),
]


@pytest.mark.parametrize(("config", "settings", "said"), REFUSED)
def test_a_value_out_of_its_bounds_is_refused(config, settings, said):
    with pytest.raises(UserError) as refused:
        config(**settings)
    assert str(refused.value) == said

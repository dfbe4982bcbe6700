"""What a configuration cannot be is refused when it is made, before any work: one line that names the option."""

import pytest

from projects.rag_agent.config import Config
from projects.rag_agent.retriever.crash import CrashConfig
from shared.errors import UserError

NAN = float("nan")
INF = float("inf")
REFUSED = [
    (Config, {"weight": NAN}, "--weight nan: must be in [0, 1]"),
    (Config, {"constant": INF}, "--constant inf: must be a positive number"),
    (CrashConfig, {"rounds": 0}, "--rounds 0: must be at least 1"),
]


@pytest.mark.parametrize(("config", "settings", "said"), REFUSED)
def test_a_value_out_of_its_bounds_is_refused(config, settings, said):
    with pytest.raises(UserError) as refused:
        config(**settings)
    assert str(refused.value) == said

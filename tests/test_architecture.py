"""The rules that hold the monorepo together, each as a function that lists what breaks it.

Every rule takes the root of a tree, so that a test can show it a tree that breaks it: a rule that was never seen red
guards nothing.
"""

import ast
import graphlib
import importlib.metadata
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.course.needed import pinned

ROOT = Path(__file__).resolve().parents[1]

NEEDED = ("README.md", "README.es.md", "project.toml", "study.py", "exercises.md", "exercises.toml")
NEEDED += ("config.py", "__init__.py", "results")
# What is around a project's core; its files are named so, or lie in a folder that is. Its own __main__.py, the way in,
# counts too; that of a server is part of what the server's brief asks for.
MACHINERY = {"study", "studies", "experiments", "tables", "provenance", "benchmark", "notebook", "exercises", "plots"}
MACHINERY |= {"figures", "demo", "assembly"}
MOST_MACHINERY = 500
MOST_TO_READ = 6500
LONGEST_README = 110
ALLOWED_TO_HIDE = {"evaluate", "tables"}  # a brief's name; run as a module, it hides nothing


def sources(root: Path) -> Iterator[Path]:
    for top in ("shared", "projects"):
        yield from sorted((root / top).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(absolute module name, level) of every import; the level counts the dots of a relative one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level


def projects(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("projects/*/__main__.py"))


def declared(project: Path) -> dict[str, Any]:
    """What a project.toml says; nothing if it is missing, which `missing` tells."""
    path = project / "project.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def imported_across(root: Path) -> list[str]:
    """A project that imports another, or shared code that imports a project."""
    broken = []
    for path in sources(root):
        parts = path.relative_to(root).parts
        own = f"projects.{parts[1]}" if parts[0] == "projects" and len(parts) > 2 else None
        for name, _ in imports(path):
            if name.startswith("projects.") and ".".join(name.split(".")[:2]) != own:
                broken.append(f"{path.relative_to(root)} imports {name}")
    return broken


INTEGRITY, COURSE = ("fingerprint", "originality"), ("course", "lab")


def part_of(path: str) -> int:
    """Part of shared/: 0 is what a student reads to learn, 1 the tools of integrity, 2 the course and its lab."""
    folder = path.split("/")[1] if path.count("/") > 1 else ""
    return 1 if folder in INTEGRITY else 2 if folder in COURSE else 0


def from_a_later_part(root: Path) -> list[str]:
    """A module of shared/ to learn from, or a tool of integrity, that needs the course or its lab."""
    broken = []
    for path in sorted((root / "shared").rglob("*.py")):
        own = str(path.relative_to(root))
        late = [name for name, _ in imports(path) if name.split(".")[:2] in (["shared", "course"], ["shared", "lab"])]
        broken += [f"{own} imports {name}" for name in late if part_of(own) < 2]
    return broken


def circles(root: Path) -> list[str]:
    """Modules of shared/ that need one another, in functions or at the top."""
    paths = {".".join(path.relative_to(root).with_suffix("").parts): path for path in (root / "shared").rglob("*.py")}
    graph = {}
    for module, path in paths.items():
        named = [
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)
        ]
        wanted = {f"{node.module}.{alias.name}" for node in named for alias in node.names}
        graph[module] = (wanted | {str(node.module) for node in named}) & paths.keys()
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [" needs ".join(reversed(error.args[1]))]
    return []


def too_much_to_read(root: Path) -> list[str]:
    """More lines in the part of shared/ that a student reads than one can."""
    sizes = [_lines(path) for path in (root / "shared").rglob("*.py") if part_of(str(path.relative_to(root))) == 0]
    return [f"shared: {sum(sizes)} lines to learn from, of at most {MOST_TO_READ}"] if sum(sizes) > MOST_TO_READ else []


def long_readmes(root: Path) -> list[str]:
    """A project's README that is longer than a screen."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in root.glob("projects/*/README*.md")}
    long = [path for path in sorted(lengths) if lengths[path] > LONGEST_README]
    return [f"{path.relative_to(root)}: {lengths[path]} lines, of at most {LONGEST_README}" for path in long]


def not_said_in_spanish(root: Path) -> list[str]:
    """A project whose README.es.md is missing, or has other tables, commands or fewer headings than its README."""
    broken = []
    for project in projects(root):
        english, spanish = project / "README.md", project / "README.es.md"
        if english.is_file():
            same = spanish.is_file() and _frame(english) == _frame(spanish)
            broken += [] if same else [f"projects/{project.name}/README.es.md"]
    return broken


def _frame(readme: Path) -> tuple[list[str], list[str], int]:
    """What a README and its translation share: tables from results/, commands without remarks, number of headings."""
    lines = readme.read_text(encoding="utf-8").splitlines()
    tables = [line for line in lines if line.startswith("<!-- begin")]
    commands = [line.split("#")[0].strip() for line in lines if line.startswith("    ")]
    return tables, commands, sum(line.startswith("#") for line in lines)


def relative_or_by_path(root: Path) -> list[str]:
    """A relative import, or an edit of sys.path."""
    broken = [f"{p.relative_to(root)}: relative import" for p in sources(root) if any(lvl for _, lvl in imports(p))]
    for path in sources(root):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path":
                broken.append(f"{path.relative_to(root)}: sys.path")
    return broken


def without_init(root: Path) -> list[str]:
    """A folder with sources and without __init__.py."""
    folders = {path.parent for path in sources(root)}
    return [str(f.relative_to(root)) for f in sorted(folders) if not (f / "__init__.py").exists()]


def hiding(root: Path) -> list[str]:
    """A file beside a script whose name hides a module of the standard library or of a dependency."""
    taken = set(sys.stdlib_module_names) | set(importlib.metadata.packages_distributions())
    taken -= {"projects", "shared", "tests"}
    broken = []
    for path in sources(root):
        names = {path.stem} | ({path.parent.name} if path.name == "__init__.py" else set())
        names -= ALLOWED_TO_HIDE | {"__init__", "__main__"}
        broken += [f"{path.relative_to(root)} hides {name}" for name in sorted(names & taken)]
    return broken


def missing(root: Path) -> list[str]:
    """What a discovered project lacks."""
    broken = []
    for project in projects(root):
        for name in (*NEEDED, *declared(project).get("brief", ["brief"])):
            if not (project / name).exists():
                broken.append(f"projects/{project.name}/{name}")
        if not list((root / "tests" / project.name).glob("test_*.py")):
            broken.append(f"tests/{project.name}/test_*.py")
    return broken


def unknown_packages(root: Path) -> list[str]:
    """A package of models or corpora that a project names and set-up does not know."""
    known = pinned(root)
    broken = []
    for project in projects(root):
        wanted = [*declared(project).get("packages", []), *declared(project).get("bench_packages", [])]
        broken += [f"projects/{project.name}/project.toml: {name}" for name in wanted if name not in known]
    return broken


def machinery(root: Path) -> list[str]:
    """A project whose machinery is larger than its limit: results are declared, not written (shared/study.py)."""
    broken = []
    for project in projects(root):
        named = {Path(name) for name in (*declared(project).get("brief", []), "analysis/plots.py")}
        files = {
            path.relative_to(project) for path in (*project.rglob("*.py"), *project.glob("exercises.toml"))
        } - named
        around = [path for path in files if MACHINERY & {path.stem, path.parent.name}] + [Path("__main__.py")]
        lines = sum(_lines(project / path) for path in around)
        limit = declared(project).get("machinery", MOST_MACHINERY)
        if lines > limit:
            broken.append(f"projects/{project.name}: {lines} lines of machinery, of at most {limit}")
    return broken


def _lines(path: Path) -> int:
    """Lines of a source; the prose of a notebook is none."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return sum(path.name != "notebook.py" or not line.startswith("#") for line in lines)


def too_long_main(root: Path) -> list[str]:
    """A __main__.py that is more than a way in."""
    lengths = {p: len((p / "__main__.py").read_text(encoding="utf-8").splitlines()) for p in projects(root)}
    return [f"projects/{p.name}/__main__.py: {lines} lines" for p, lines in lengths.items() if lines > 45]


def without_extra(root: Path) -> list[str]:
    """A project that `make` cannot install: no extra, or one with an underscore, which not every pip knows."""
    declared = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wanted = {project.name.replace("_", "-") for project in projects(root)}
    return [*sorted(wanted - declared.keys()), *(name for name in declared if "_" in name)]


def heavy(root: Path) -> list[str]:
    """A project's results/ over 2 MB, or a weight file anywhere."""
    broken = []
    for folder in root.glob("projects/*/results"):
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if size > 2_000_000:
            broken.append(f"{folder.relative_to(root)}: {size / 1e6:.1f} MB")
    for top in ("shared", "projects", "tests"):
        for suffix in ("safetensors", "gguf", "onnx", "bin", "pt", "pkl", "mp4"):
            broken += [str(p.relative_to(root)) for p in (root / top).rglob(f"*.{suffix}")]
    return broken


def unsafe_loading(root: Path) -> list[str]:
    """Pickle, a shell, eval: nothing that is read from outside may run."""
    banned = {"pickle", "joblib", "dill", "marshal", "shelve"}
    broken = []
    for path in sources(root):
        broken += [f"{path.relative_to(root)} imports {n}" for n, _ in imports(path) if n.split(".")[0] in banned]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            shell = any(k.arg == "shell" and ast.unparse(k.value) == "True" for k in node.keywords)
            if called in {"eval", "exec", "os.system", "torch.load", "torch.save"} or shell:
                broken.append(f"{path.relative_to(root)}:{node.lineno} calls {called}")
    return broken


RULES = (
    imported_across,
    from_a_later_part,
    circles,
    too_much_to_read,
    long_readmes,
    not_said_in_spanish,
    relative_or_by_path,
    without_init,
    hiding,
    missing,
    unknown_packages,
    machinery,
    too_long_main,
    heavy,
    unsafe_loading,
    without_extra,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps_the_rule(rule):
    assert rule(ROOT) == []


EXTRAS = "[project.optional-dependencies]\n"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("rule", "files", "found"),
    [
        (imported_across, {"projects/a/x.py": "import projects.b.y"}, "projects/a/x.py imports projects.b.y"),
        (imported_across, {"shared/x.py": "from projects.a import y"}, "shared/x.py imports projects.a"),
        (from_a_later_part, {"shared/x.py": "import shared.lab.y"}, "shared/x.py imports shared.lab.y"),
        (
            from_a_later_part,
            {"shared/lab/x.py": "import shared.course.y", "shared/fingerprint/x.py": "import shared.course.y"},
            "shared/fingerprint/x.py imports shared.course.y",
        ),
        (
            circles,
            {"shared/x.py": "def f():\n    from shared.y import z", "shared/y.py": "from shared import x"},
            "shared.y needs shared.x needs shared.y",
        ),
        (
            too_much_to_read,
            {"shared/x.py": "\n" * 6000, "shared/web/x.py": "\n" * 501, "shared/lab/x.py": "\n"},
            "shared: 6501 lines to learn from, of at most 6500",
        ),
        (long_readmes, {"projects/a/README.es.md": "\n" * 111}, "projects/a/README.es.md: 111 lines, of at most 110"),
        (
            not_said_in_spanish,
            {
                "projects/a/__main__.py": "",
                "projects/a/README.md": "# A\n    make run-a  # runs\n<!-- begin x -->\n",
                "projects/a/README.es.md": "# A\n    make run-b  # corre\n<!-- begin x -->\n",
            },
            "projects/a/README.es.md",
        ),
        (relative_or_by_path, {"shared/x.py": "from . import y"}, "shared/x.py: relative import"),
        (relative_or_by_path, {"shared/x.py": "import sys\nsys.path.append('.')"}, "shared/x.py: sys.path"),
        (without_init, {"projects/a/models/x.py": ""}, "projects/a/models"),
        (hiding, {"projects/a/random.py": ""}, "projects/a/random.py hides random"),
        (hiding, {"projects/a/torch/__init__.py": ""}, "projects/a/torch/__init__.py hides torch"),
        (missing, {"projects/a/__main__.py": "", "projects/a/project.toml": 'brief=["x.py"]'}, "projects/a/x.py"),
        (missing, {"projects/a/__main__.py": "", "projects/a/project.toml": ""}, "projects/a/brief"),
        (
            unknown_packages,
            {
                "shared/assets/packages.txt": "# b\nc==1  # 3 MB\n",
                "projects/a/__main__.py": "",
                "projects/a/project.toml": 'packages=["c"]\nbench_packages=["b"]',
            },
            "projects/a/project.toml: b",
        ),
        (
            machinery,
            {
                "projects/a/__main__.py": "\n" * 7,
                "projects/a/server/__main__.py": "\n" * 99,
                "projects/a/study.py": "\n" * 250,
                "projects/a/studies/x.py": "\n" * 248,
                "projects/a/notebook.py": "# prose\n" * 99 + "x = 1\n" * 3,
                "projects/a/project.toml": 'brief=["benchmark.py"]',
                "projects/a/benchmark.py": "\n" * 99,
                "projects/a/analysis/plots.py": "\n" * 99,
                "projects/a/train.py": "\n" * 99,
                "projects/a/exercises.toml": "\n" * 9,
            },
            "projects/a: 517 lines of machinery, of at most 500",
        ),
        (missing, {"projects/lora/__main__.py": ""}, "tests/lora/test_*.py"),
        (too_long_main, {"projects/a/__main__.py": "\n" * 46}, "projects/a/__main__.py: 46 lines"),
        (heavy, {"projects/a/results/x.csv": "x" * 2_000_001}, "projects/a/results: 2.0 MB"),
        (heavy, {"projects/a/results/x.safetensors": ""}, "projects/a/results/x.safetensors"),
        (unsafe_loading, {"shared/x.py": "import pickle"}, "shared/x.py imports pickle"),
        (unsafe_loading, {"shared/x.py": "run('ls', shell=True)"}, "shared/x.py:1 calls run"),
        (unsafe_loading, {"shared/x.py": "torch.load('x')"}, "shared/x.py:1 calls torch.load"),
        (without_extra, {"projects/a_b/__main__.py": "", "pyproject.toml": f"{EXTRAS}a_b = []"}, "a-b"),
        (without_extra, {"projects/ab/__main__.py": "", "pyproject.toml": f"{EXTRAS}ab = []\na_c = []"}, "a_c"),
    ],
)
def test_the_rule_sees_what_breaks_it(rule, files, found, tmp_path):
    write(tmp_path, files)
    assert found in rule(tmp_path)


def test_importing_every_module_prints_nothing_and_does_nothing():
    """In a process of its own, in an empty folder, without network: no output, no file, no thread left to wait for."""
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in sources(ROOT) if p.name != "__main__.py"]
    names = [name.removesuffix(".__init__") for name in names]
    code = "import importlib\nfor name in " + repr(names) + ": importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

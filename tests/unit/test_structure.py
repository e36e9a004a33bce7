"""The shape of the package, read from its syntax trees: who may name what, how large things are, what is written."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "literatim"
MODULES = sorted(SOURCE.rglob("*.py"))

MOST_LINES_OF_FILE = 350
MOST_LINES_OF_FUNCTION = 80
MOST_PARAMETERS = 9
LONGEST_SUMMARY = 110

BACKENDS = ("cuda", "npu", "mps", "xpu", "backends")
NETWORK = {"socket", "ssl", "urllib", "urllib3", "http", "ftplib", "requests", "httpx", "aiohttp"}
NETWORK |= {"huggingface_hub", "modelscope"}
GLOBAL_STATE = {
    "torch.manual_seed",
    "torch.seed",
    "torch.set_default_device",
    "torch.set_default_dtype",
    "torch.set_grad_enabled",
    "torch.set_num_interop_threads",
    "torch.set_num_threads",
    "torch.use_deterministic_algorithms",
    "np.random.seed",
    "numpy.random.seed",
    "random.seed",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Finder = Callable[[ast.Module], Iterator[tuple[int, str]]]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def _found(finder: Finder, allowed: tuple[str, ...] = ()) -> list[str]:
    """What `finder` says of all modules but the allowed ones, as `file:line what`."""
    modules = [path for path in MODULES if not _name(path).startswith(allowed)]
    return [f"{_name(path)}:{line} {what}" for path in modules for line, what in finder(_tree(path))]


def _dotted(node: ast.AST) -> str:
    """`a.b.c` of an attribute chain; empty when it does not start with a name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        start = _dotted(node.value)
        return f"{start}.{node.attr}" if start else ""
    return ""


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every imported name in full; relative imports keep their dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{start}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _dotted(node.func).split(".")[-1] in {"import_module", "__import__"}:
            literals = [item.value for item in node.args if isinstance(item, ast.Constant)]
            yield from ((node.lineno, name) for name in literals if isinstance(name, str))


def _functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _public(tree: ast.Module | ast.ClassDef, owner: str = "") -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Public functions, classes and, within public classes, methods."""
    for node in tree.body:
        if isinstance(node, (*Function.__args__, ast.ClassDef)) and not node.name.startswith("_"):
            yield owner + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node, f"{node.name}.")


def _backend_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    named = tuple(f"torch.{backend}" for backend in BACKENDS)
    for line, name in _imports(tree):
        if name.split(".")[0] == "torch_npu" or name.startswith(named):
            yield line, f"imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _dotted(node) in named:
            yield node.lineno, _dotted(node)
        elif isinstance(node, ast.Call) and _dotted(node.func) == "getattr" and len(node.args) > 1:
            attribute = node.args[1]
            if isinstance(attribute, ast.Constant) and attribute.value in BACKENDS:
                yield node.lineno, f"getattr of {attribute.value}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in BACKENDS:
            yield node.lineno, f".{node.func.attr}()"


def _network_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for line, name in _imports(tree):
        if name.split(".")[0] in NETWORK and not name.startswith("urllib.parse"):
            yield line, f"imports {name}"


def _is_program(tree: ast.Module) -> bool:
    """Whether the module is also a command of its own: `python -m literatim...`."""
    tests = [node.test for node in tree.body if isinstance(node, ast.If)]
    return any(isinstance(test, ast.Compare) and _dotted(test.left) == "__name__" for test in tests)


def _prints(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Output of a module that is no program; print() nowhere, since a program has click or sys.stdout."""
    program = _is_program(tree)
    for node in ast.walk(tree):
        called = _dotted(node.func) if isinstance(node, ast.Call) else ""
        if called == "print" or (called in {"click.echo", "sys.stdout.write"} and not program):
            yield node.lineno, called


def _global_state(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _dotted(node) in GLOBAL_STATE:
            yield node.lineno, _dotted(node)


def _bare_excepts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Handlers that catch everything, and those that do nothing at all."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and (node.type is None or _dotted(node.type) == "BaseException"):
            yield node.lineno, "catches everything"


def _long_functions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in _functions(tree):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > MOST_LINES_OF_FUNCTION:
            yield node.lineno, f"{node.name} has {lines} lines"


def _many_parameters(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in _functions(tree):
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        own = [item for item in every if item.arg not in {"self", "cls"}]
        if len(own) > MOST_PARAMETERS:
            yield node.lineno, f"{node.name} has {len(own)} parameters"


def _unwritten(tree: ast.Module) -> Iterator[tuple[int, str]]:
    if tree.body and not ast.get_docstring(tree):
        yield 1, "the module has no docstring"
    for name, node in _public(tree):
        summary = (ast.get_docstring(node) or "").split("\n")[0]
        if not summary:
            yield node.lineno, f"{name} has no docstring"
        elif len(summary) > LONGEST_SUMMARY:
            yield node.lineno, f"{name}: the docstring's first line has {len(summary)} characters"


def _old_annotations(tree: ast.Module) -> Iterator[tuple[int, str]]:
    if any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in tree.body):
        wanted = any(name == "__future__.annotations" for _, name in _imports(tree))
        if not wanted:
            yield 1, "no `from __future__ import annotations`"


def test_only_device_names_a_backend() -> None:
    assert _found(_backend_names, ("device/",)) == []


def test_only_the_hub_uses_the_network() -> None:
    assert _found(_network_imports, ("hub/",)) == []


def test_only_the_command_line_prints() -> None:
    assert _found(_prints, ("cli/",)) == []


def test_only_training_benchmarks_and_the_self_test_change_global_state() -> None:
    assert _found(_global_state, ("train/", "bench/", "verify/planted/")) == []


def test_no_handler_catches_everything() -> None:
    assert _found(_bare_excepts) == []


def test_functions_are_short() -> None:
    assert _found(_long_functions) == []


def test_functions_take_few_parameters() -> None:
    assert _found(_many_parameters) == []


def test_files_are_short() -> None:
    lengths = {_name(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_FILE} == {}


def test_all_that_is_public_has_a_docstring() -> None:
    assert _found(_unwritten) == []


def test_annotations_are_not_evaluated() -> None:
    assert _found(_old_annotations) == []


@pytest.mark.parametrize(
    ("finder", "code", "lines"),
    [
        (_backend_names, "import torch_npu", [1]),
        (_backend_names, "from torch import cuda\nimport torch.mps", [1, 2]),
        (_backend_names, "x = torch.cuda.is_available()", [1]),
        (_backend_names, "torch.backends.mkldnn.enabled = False", [1]),
        (_backend_names, "a.cuda()\ngetattr(torch, 'npu')", [1, 2]),
        (_backend_names, "torch.device('cpu')\nx = options.cuda", []),
        (_network_imports, "import urllib.request\nfrom http.server import X", [1, 2]),
        (_network_imports, "def f():\n    from huggingface_hub import X", [2]),
        (_network_imports, "import_module('modelscope')", [1]),
        (_network_imports, "from urllib.parse import urlsplit\nimport httpxyz", []),
        (_prints, "print(1)\nself.print(1)\nsys.stdout.write('')", [1, 3]),
        (_prints, "sys.stdout.write('')\nprint(1)\nif __name__ == '__main__':\n    main()", [2]),
        (_global_state, "torch.manual_seed(0)\ntorch.Generator().manual_seed(0)", [1]),
        (_bare_excepts, "try:\n    f()\nexcept:\n    g()", [3]),
        (_bare_excepts, "try:\n    f()\nexcept OSError:\n    g()", []),
        (_long_functions, "def f():\n" + "    x\n" * 79, []),
        (_long_functions, "def f():\n" + "    x\n" * 80, [1]),
        (_many_parameters, "def f(self, a, b, c, d, e, *, f, g, h, i): ...", []),
        (_many_parameters, "def f(a, b, c, d, e, /, f, g, h, i, j): ...", [1]),
        (_unwritten, "x = 1", [1]),
        (_unwritten, "'''M.'''\ndef f(): ...\ndef _g(): ...", [2]),
        (_unwritten, "'''M.'''\nclass A:\n    '''A.'''\n    def f(self): ...\n    def __len__(self): ...", [4]),
        (_unwritten, "'''M.'''\ndef f():\n    '''" + "x" * 111 + "'''", [2]),
        (_old_annotations, "import os", [1]),
        (_old_annotations, "from __future__ import annotations\nimport os", []),
    ],
)
def test_the_rules_see_what_they_forbid(finder: Finder, code: str, lines: list[int]) -> None:
    assert [line for line, _ in finder(ast.parse(code))] == lines


def _drawn_files() -> list[str]:
    """The paths (or patterns) in the file tree of CONTRIBUTING.md, folders joined to what is below them."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    block = re.search(r"```text\n(src/literatim/\n.*?)```", page, re.DOTALL)
    assert block is not None, "CONTRIBUTING.md has no file tree"
    folders: list[str] = []
    files: list[str] = []
    for line in block[1].splitlines()[1:]:
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        folders[depth:] = [name] if name.endswith("/") else []
        if not name.endswith("/"):
            files.append("".join(folders) + name)
            assert len(line.split()) > 1, f"CONTRIBUTING.md does not say what {files[-1]} is for"
    return files


def test_contributing_names_every_file() -> None:
    drawn = _drawn_files()
    made = ("__pycache__", ".so")
    files = [path for path in SOURCE.rglob("*") if path.is_file()]
    there = [_name(path) for path in files if path.parent.name not in made and path.suffix not in made]
    assert sorted(file for file in there if not any(fnmatch(file, pattern) for pattern in drawn)) == []
    assert [pattern for pattern in drawn if not any(fnmatch(file, pattern) for file in there)] == []
    assert sorted({name for name in drawn if drawn.count(name) > 1}) == []

"""The pages of the reference: one for every module of the package, and one that leads to them.

Nothing is imported for it: names and first lines are read from the source; Sphinx fetches the rest.
"""

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def parsed(path):
    """Returns the syntax tree of a module; nothing is imported."""
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def modules():
    """Returns the paths of all public modules of the package by dotted name, in alphabetical order."""
    found = {}
    for path in (ROOT / "kgpc").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            found[".".join(parts)] = path
    return dict(sorted(found.items()))


def exported(tree):
    """Returns where the names that a package exports are defined, as pairs (module, name); modules are left out.

    Args:
        tree: `ast.Module` of an `__init__.py`.
    """
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module.startswith("kgpc")]
    pairs = [(node.module, alias.name) for node in imports for alias in node.names]
    return [(module, name) for module, name in pairs if f"{module}.{name}" not in modules()]


def summary(tree):
    """Returns the first paragraph of the docstring of a module, class or function in one line."""
    return " ".join((ast.get_docstring(tree) or "").partition("\n\n")[0].split())


def list_table(rows):
    """Returns a table of two columns in reStructuredText."""
    lines = "".join(f"   * - {left}\n     - {right}\n" for left, right in rows)
    return f".. list-table::\n   :widths: 30 70\n\n{lines}\n"


def page(name, path):
    """Returns the page of a module in reStructuredText; a package lists what it exports, with links."""
    tree = parsed(path)
    text = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n   :members:\n   :ignore-module-all:\n\n"
    rows = []
    for module, exported_name in exported(tree) if path.name == "__init__.py" else []:
        found = [node for node in parsed(modules()[module]).body if getattr(node, "name", None) == exported_name]
        rows.append((f":py:obj:`{exported_name} <{module}.{exported_name}>`", summary(found[0]) if found else ""))
    return text + (f"What `{name}` offers directly:\n\n{list_table(rows)}" if rows else "")


def index():
    """Returns the page that lists all modules with the first line of their docstrings."""
    package = {name: path for name, path in modules().items() if name != "kgpc"}
    text = page("kgpc", modules()["kgpc"]).replace("kgpc\n====\n", "Reference\n=========\n", 1)
    text += f"Modules:\n\n{list_table((f':doc:`{name}`', summary(parsed(path))) for name, path in package.items())}"
    names = "".join(f"   {name.removeprefix('kgpc.')} <{name}>\n" for name in package)
    return f"{text}.. toctree::\n   :hidden:\n\n{names}"


def write(folder):
    """Writes the pages of the reference into a new folder."""
    folder.mkdir()
    for name, path in modules().items():
        if name != "kgpc":
            (folder / f"{name}.rst").write_text(page(name, path), encoding="utf-8")
    (folder / "index.rst").write_text(index(), encoding="utf-8")

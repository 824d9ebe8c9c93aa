"""The pages of the reference: one for every module of the package, and one that leads to them.

Nothing is imported for it: names and first lines are read from the source; Sphinx fetches the rest.
"""

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What readers do with the package: heading, a line of code, and where more about it stands. The lines run one after the
# other, as a test does.
TASKS = (
    (
        "Build",
        "model = kgpc.applications.kMobileNet(**small, scheme=kgpc.D6(16))",
        "kgpc.applications kgpc.grouping kgpc.blocks kgpc.conversion",
    ),
    ("Count", "print(kgpc.flops.trainable_parameters(model), kgpc.flops.macs(model))", "kgpc.flops"),
    (
        "Train",
        "result = kgpc.training.fit(model, data, kgpc.training.QUICK.replace(epochs=1, train_images=640))",
        "kgpc.training kgpc.datasets",
    ),
    ("Look", "maps = kgpc.cam.grad_cam(model, images[:8])", "kgpc.cam"),
    ("Deploy", 'file = kgpc.deploy.export(model, "clothes.tflite", images=images)', "kgpc.deploy"),
)
BEFORE_TASKS = """import kgpc

data = kgpc.datasets.fashion_mnist_sample()
images = kgpc.training.prepare(data.x_test[:100], kgpc.training.QUICK)
small = {"input_shape": (32, 32, 3), "classes": 10, "skip_stride_cnt": 0}  # images of 32x32 pixels
"""
# Modules that readers of the notebooks call, in the order in which they may need them. All others are internals.
FOR_READERS = """
    kgpc.grouping kgpc.blocks kgpc.applications kgpc.conversion kgpc.layers kgpc.flops kgpc.datasets kgpc.training
    kgpc.weights kgpc.released kgpc.inspection kgpc.cam kgpc.deploy kgpc.paper kgpc.comparison kgpc.seeds
    kgpc.timing kgpc.plots kgpc.figures kgpc.exercises kgpc.cai kgpc.keras2_models
""".split()
# What stands first on the page of a module, whose other members follow in the order of the source.
FIRST = {"kgpc.grouping": ("D6", "D6v3", "Grouped", "GroupedV3", "Scheme", "Plan")}


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


def inside(package):
    """Returns the names of the modules directly inside a package, in alphabetical order."""
    return [name for name in modules() if name.rpartition(".")[0] == package]


def internals():
    """Returns the names of the modules of the package that few readers call."""
    return [name for name in inside("kgpc") if name not in FOR_READERS]


def exported(tree):
    """Returns where the names that a package exports are defined, as pairs (module, name); modules are left out.

    Args:
        tree: `ast.Module` of an `__init__.py`.
    """
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module.startswith("kgpc")]
    pairs = [(node.module, alias.name) for node in imports for alias in node.names]
    return [(module, name) for module, name in pairs if f"{module}.{name}" not in modules()]


def public(tree):
    """Returns the public classes and functions of a module: nodes by name, in the order of the source."""
    nodes = (node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef))
    return {node.name: node for node in nodes if not node.name.startswith("_")}


def summary(tree):
    """Returns the first paragraph of the docstring of a module, class or function in one line."""
    return " ".join((ast.get_docstring(tree) or "").partition("\n\n")[0].split())


def heading(text, line="="):
    """Returns a heading in reStructuredText."""
    return f"{text}\n{line * len(text)}\n\n"


def list_table(rows):
    """Returns a table of two columns in reStructuredText."""
    lines = "".join(f"   * - {left}\n     - {right}\n" for left, right in rows)
    return f".. list-table::\n   :widths: 30 70\n\n{lines}\n"


def module_table(names):
    """Returns a table of modules with the first lines of their docstrings."""
    return list_table((f":doc:`{name}`", summary(parsed(modules()[name]))) for name in names)


def contents(names):
    """Returns what puts pages into the contents of the site, below the page that has it."""
    lines = "".join(f"   {name.rpartition('.')[2]} <{name}>\n" for name in names)
    return f".. toctree::\n   :hidden:\n\n{lines}\n" if names else ""


def members(name, tree):
    """Returns the directives that document what a module has; what `FIRST` names comes first."""
    if name not in FIRST:
        return f".. automodule:: {name}\n   :members:\n   :ignore-module-all:\n\n"
    text = f".. automodule:: {name}\n   :no-members:\n\n"
    nodes = public(tree)
    for member in dict.fromkeys([*FIRST[name], *nodes]):
        kind, option = ("class", "   :members:\n") if isinstance(nodes[member], ast.ClassDef) else ("function", "")
        text += f".. auto{kind}:: {name}.{member}\n{option}\n"
    return text


def offers(name, tree):
    """Returns a table of what a package exports, with links to where it is documented."""
    rows = []
    for module, exported_name in exported(tree):
        found = [node for node in parsed(modules()[module]).body if getattr(node, "name", None) == exported_name]
        rows.append((f":py:obj:`{exported_name} <{module}.{exported_name}>`", summary(found[0]) if found else ""))
    return f"What `{name}` offers directly:\n\n{list_table(rows)}" if rows else ""


def page(name, path):
    """Returns the page of a module in reStructuredText; a package lists what it exports and its modules, with links."""
    tree = parsed(path)
    text = heading(name) + members(name, tree)
    if path.name != "__init__.py":
        return text
    within = inside(name)
    listed = f"Its modules:\n\n{module_table(within)}" if within else ""
    return text + offers(name, tree) + listed + contents(within)


def block(code):
    """Returns Python code as a block."""
    return f".. code-block:: python\n\n{''.join(f'   {line}'.rstrip() + chr(10) for line in code.splitlines())}\n"


def tasks():
    """Returns the part of the first page that says what one does with the package, a line of code each."""
    text = "Everything that can be imported from kgpc. Below are five things to do with it, a line of code each, then "
    text += f"all its `modules`_. Before the five lines, run these:\n\n{block(BEFORE_TASKS)}"
    for title, line, where in TASKS:
        links = ", ".join(f":doc:`{name}`" for name in where.split())
        text += f"{heading(title, '-')}{block(line)}More: {links}.\n\n"
    return text


def index():
    """Returns the first page: what one does with the package, then its modules."""
    tree = parsed(modules()["kgpc"])
    text = f"{heading('Reference')}{tasks()}{heading('Modules', '-')}{module_table(FOR_READERS)}"
    text += f"What these are made of, and few readers call: :doc:`internals`.\n\n{heading('kgpc', '-')}"
    text += f"{members('kgpc', tree)}{offers('kgpc', tree)}"
    return f"{text}{contents(FOR_READERS)}.. toctree::\n   :hidden:\n\n   Internals <internals>\n"


def internals_page():
    """Returns the page that lists the modules that few readers call."""
    said = "Modules that the others are made of. They may change without a word in the changelog."
    return f"{heading('Internals')}{said}\n\n{module_table(internals())}{contents(internals())}"


def write(folder):
    """Writes the pages of the reference into a new folder."""
    folder.mkdir()
    pages = {name: page(name, path) for name, path in modules().items() if name != "kgpc"}
    for name, text in (pages | {"index": index(), "internals": internals_page()}).items():
        (folder / f"{name}.rst").write_text(text, encoding="utf-8")

"""`python -m kgpc convert`: the options, and what they are turned into.

What it needs of the package it imports itself: `kgpc/__main__.py` reads this file without waiting for TensorFlow.
"""

import argparse
import re

from . import files, option_names

# Arguments of `kgpc.convert`, and what stands for them here.
_OPTIONS = {
    name: f"--{name.replace('_', '-')}" for name in ("scheme", "layers", "min_channels", "activation", "budget")
}
_OPTIONS["model"] = "MODEL.keras"
# Texts are looked up here, and nothing in them is evaluated.
_SCHEMES = ("D6", "D6v3", "D6WithoutL", "D6WithoutInterleaving", "Grouped", "GroupedV3")
_SCHEME = re.compile(rf"({'|'.join(_SCHEMES)})\(([0-9]{{1,9}})\)")
_EXAMPLES = """examples:
  what it would do, and why some layers stay:
    python -m kgpc convert model.keras --scheme "D6(16)" --report
  all pointwise convolutions, with 16 channels per group:
    python -m kgpc convert model.keras --scheme "D6(16)" --output grouped.keras
  the large ones, but not those of block 1, with swish in place of ReLU6:
    python -m kgpc convert model.keras --scheme "D6v3(32)" --matching "block[2-9]" --min-channels 64 \\
        --activation relu6=swish --output grouped.keras
  channels per group of each layer such that a quarter of the parameters is left:
    python -m kgpc convert model.keras --scheme auto --budget 0.25 --output grouped.keras
"""


def add(commands):
    """Adds the command to the subparsers of the command line."""
    command = commands.add_parser(
        "convert",
        help="group the pointwise convolutions of a model",
        description="Make the grouped twin of the model in a .keras file: pointwise convolutions become the "
        "sub-networks of a scheme, untrained; all else keeps its weights. Nothing in the file is executed: for a model "
        "with functions or classes of your own, call kgpc.convert in Python.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("model", metavar="MODEL.keras", help="a functional or Sequential model")
    command.add_argument(
        "--scheme",
        required=True,
        metavar="SCHEME",
        help=f'such as "D6(16)"; kinds: {", ".join(_SCHEMES)}; or auto, or a kind alone, with --budget',
    )
    command.add_argument("--output", metavar="OUT.keras", help="where the converted model goes")
    command.add_argument("--report", action="store_true", help="print what becomes of each layer; needs no --output")
    command.add_argument("--csv", metavar="FILE", help="also write that report, a CSV file")
    command.add_argument("--layers", nargs="+", metavar="NAME", help="names or paths of the layers to replace")
    command.add_argument("--matching", metavar="REGEX", help="replace layers in whose path this is found")
    command.add_argument(
        "--min-channels", type=int, default=1, metavar="N", help="leave layers with fewer channels alone"
    )
    command.add_argument("--classifier", action="store_true", help="replace classifiers too")
    command.add_argument(
        "--activation",
        nargs="+",
        metavar="NAME",
        help="an activation for all layers replaced that have one, such as swish; or pairs such as relu6=swish",
    )
    command.add_argument(
        "--budget",
        metavar="N",
        help="with auto: parameters that the converted model may have, such as 250000 or, as a share, 0.25",
    )
    command.set_defaults(function=convert)


def convert(options):
    """Converts, or reports; 0."""
    if options.output is None and not (options.report or options.csv):
        raise files.FileError("--output is missing: the file for the converted model. (--report alone writes none.)")
    output, table_file = (_target(name, getattr(options, name)) for name in ("output", "csv"))
    if output is not None and output.suffix != ".keras":
        raise files.FileError(
            f'--output must end with ".keras", the format in which it is written, not {output.name!r}.'
        )
    for name, path in (("--output", output), ("--csv", table_file)):
        option_names.check_other_file(name, path, options.model)
    if output is not None and output == table_file:
        raise files.FileError(f"--csv must be another file than --output, {str(output)!r}.")
    arguments = _arguments(options)

    from . import conversion, model_files

    model = model_files.load(options.model, "MODEL.keras")
    try:
        converted = conversion.plan(model, **arguments)
        table = converted.table
        if options.report:
            print(_as_text(table))
        if output is not None:
            converted.check()
    except (TypeError, ValueError) as error:
        raise files.FileError(option_names.as_options(error, _OPTIONS)) from error
    if output is not None:
        model_files.save(output, converted.model)
    if table_file is not None:
        written = table.assign(made=[" ".join(names) for names in table["made"]])
        files.write(table_file, written.to_csv(index=False, lineterminator="\n"))
    print(_summary(table, len(converted.subnetworks)))
    return 0


def _target(name, value):
    """The path of a file to write, refused before the work."""
    if value is None:
        return None
    try:
        path = files.path_argument(f"--{name}", value)
    except ValueError as error:
        raise files.FileError(error) from error
    files.check_target(f"--{name}", path)
    return path


def _arguments(options):
    """The arguments of `kgpc.convert` that the options stand for."""
    selected = list(options.layers or [])
    if options.matching is not None:
        try:
            selected.append(re.compile(options.matching))
        except re.error as error:
            raise files.FileError(
                f"--matching must be a regular expression: {error}. Received: {options.matching!r}."
            ) from error
    return {
        "scheme": _scheme(options.scheme),
        "layers": selected or None,
        "min_channels": options.min_channels,
        "classifier": options.classifier,
        "activation": _activation(options.activation),
        "budget": _budget(options.budget),
    }


def _scheme(text):
    """The scheme that a text names."""
    text = text.strip()
    match = _SCHEME.fullmatch(text)
    if text == "auto":
        return text
    if match is None and text not in _SCHEMES:
        raise files.FileError(
            f'--scheme must be such as "D6(16)", of the kinds {", ".join(_SCHEMES)}, or auto. Received: {text!r}.'
        )
    from . import grouping

    if match is None:
        return getattr(grouping, text)
    try:
        return getattr(grouping, match[1])(int(match[2]))
    except ValueError as error:
        raise files.FileError(f"--scheme: {error}") from error


def _activation(values):
    """One activation, or a dict of them."""
    if values is None:
        return None
    pairs = [value.partition("=") for value in values]
    if all(equals for _, equals, _ in pairs):
        return {name: other for name, _, other in pairs}
    if len(values) > 1 or pairs[0][1]:
        raise files.FileError(
            f"--activation must be one name, or pairs such as relu6=swish. Received: {' '.join(values)!r}."
        )
    return values[0]


def _budget(text):
    """A number of parameters (int), or a share of them (float)."""
    if text is None:
        return None
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError as error:
        raise files.FileError(f"--budget must be a number, such as 250000 or 0.25. Received: {text!r}.") from error


def _as_text(table):
    """The report without what only programs read."""
    shown = table.drop(columns=["made", "share_before", "share_after", "macs_before", "macs_after"])
    return shown.astype(object).where(shown.notna(), "").to_string(index=False)


def _summary(table, count):
    """One line: how many layers are replaced, and what becomes of parameters and multiply-adds."""
    parts = []
    for name, column in (("parameters", "parameters"), ("multiply-adds", "macs")):
        before, after = (table[f"{column}_{when}"] for when in ("before", "after"))
        if before.notna().all() and before.sum():
            parts.append(f"{name} {before.sum():,} -> {after.sum():,} ({after.sum() / before.sum():.1%})")
    return f"{count} layers replaced: {'; '.join(parts)}"

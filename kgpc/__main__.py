"""Command line of kgpc: `python -m kgpc --help`.

Each command is a function that takes the parsed options and returns the exit code. What it needs of the package it
imports itself, so that executing notebooks, which `start.py` does by running this file, need not wait for TensorFlow.
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path


def _notebook_runner():
    """The module `kgpc.notebooks`; where this file is run as a script, without importing the package around it."""
    if __package__:
        from kgpc import notebooks

        return notebooks
    specification = importlib.util.spec_from_file_location("notebooks", Path(__file__).with_name("notebooks.py"))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


notebooks = _notebook_runner()


def parser():
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m kgpc", description="Tools around kgpc.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_notebooks(commands)
    _add_table(commands)
    return parser


def _add_notebooks(commands):
    command = commands.add_parser(
        "notebooks",
        help="execute the notebooks of a clone",
        description="Execute the notebooks of a clone into another folder, and print the comparison table.",
    )
    command.add_argument("names", nargs="*", metavar="NOTEBOOK", help="such as 01_theory; default: all of them")
    command.add_argument(
        "--profile",
        choices=notebooks.PROFILES,
        default=notebooks.DEFAULT_PROFILE,
        help="quick (default): data that comes along, minutes; paper: the real data and recipe, for a GPU",
    )
    command.add_argument("--folder", type=Path, default=Path("notebooks"), help="where they lie (default: notebooks)")
    command.add_argument("--output", type=Path, default=Path("results"), help="where they go (default: results)")
    command.add_argument(
        "--update",
        action="store_true",
        help="execute them in place instead: bring pairs together and store the outputs of the quick profile",
    )
    command.set_defaults(function=execute_notebooks)


def execute_notebooks(options):
    """Executes notebooks into another folder, or updates them in place."""
    if options.update and options.profile != notebooks.DEFAULT_PROFILE:
        parser().error("--update stores the outputs of the quick profile: leave out --profile")
    suffixes = (".ipynb", ".py") if options.update else (".ipynb",)
    paths = notebooks.find_notebooks(options.folder.absolute(), options.names, suffixes)
    output = options.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    os.environ["KGPC_RESULTS"] = str(output)
    try:
        if options.update:
            notebooks.update(paths)
        else:
            notebooks.run(paths, options.profile, output)
    except ModuleNotFoundError as error:
        raise notebooks.UserError(f'{error}. The notebooks need: pip install "kgpc[notebooks]"') from error
    return 0


def _add_table(commands):
    command = commands.add_parser(
        "table",
        help="compare the published parameters and flops with ours",
        description="Count every published model and print the counts beside the published ones; 1 if a row differs.",
    )
    command.add_argument("--output", type=Path, metavar="PAGE", help="write a Markdown page instead of printing")
    command.set_defaults(function=compare_counts)


def compare_counts(options):
    """Prints the published counts beside ours, or writes them as a Markdown page; 1 if a row differs."""
    from kgpc import paper

    comparison = paper.compare_counts()
    if options.output is None:
        print(paper.as_text(comparison).to_string(index=False))
    else:
        unfinished = options.output.with_name(options.output.name + ".new")
        unfinished.write_text(paper.counts_page(comparison), encoding="utf-8", newline="\n")
        os.replace(unfinished, options.output)
    print(paper.summary(comparison))
    return 0 if comparison["parameters_equal"].all() and comparison["flops_equal"].dropna().all() else 1


def main(arguments=None):
    """Runs the command line.

    Args:
        arguments: list of str, or None for those of the process.

    Returns:
        int, exit code: 0, 1 if a notebook failed, a count differs or something is amiss, 130 if interrupted.
    """
    options = parser().parse_args(arguments)
    try:
        return options.function(options)
    except (OSError, notebooks.UserError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

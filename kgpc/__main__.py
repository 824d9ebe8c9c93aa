"""Command line of kgpc: `python -m kgpc --help`.

Each command is a function that takes the parsed options and returns the exit code. What it needs of the package it
imports itself, so that executing notebooks, which `start.py` does by running this file, need not wait for TensorFlow.
"""

import argparse
import importlib
import os
import sys
import types
from pathlib import Path


def _module(name):
    """A module of kgpc; where this file is run as a script, without importing the package around it."""
    if __package__:
        return importlib.import_module(f"{__package__}.{name}")
    package = types.ModuleType("kgpc_without_imports")
    package.__path__ = [str(Path(__file__).parent)]
    sys.modules.setdefault(package.__name__, package)
    return importlib.import_module(f"{package.__name__}.{name}")


convert_command, files, notebooks = _module("convert_command"), _module("files"), _module("notebooks")
export_command, handout_command = _module("export_command"), _module("handout_command")


def parser():
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m kgpc", description="Tools around kgpc.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_notebooks(commands)
    _add_table(commands)
    _add_rerun(commands)
    _add_compare(commands)
    _add_measure_released(commands)
    _add_papers_notebooks(commands)
    convert_command.add(commands)
    export_command.add(commands, export)
    handout_command.add(commands)
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
    command.add_argument("--folder", default="notebooks", help="where they lie (default: notebooks)")
    command.add_argument("--output", default="results", help="where they go (default: results)")
    command.add_argument(
        "--jobs",
        type=_at_least_one,
        metavar="N",
        help="how many run at a time (default: 2 in the quick profile on a processor, else 1); those that measure time "
        "always run alone",
    )
    command.add_argument(
        "--update",
        action="store_true",
        help="execute them in place instead: bring pairs together and store the outputs of the quick profile",
    )
    command.set_defaults(function=execute_notebooks)


def _at_least_one(text):
    """The value of an option that is a number of things."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def _minutes(text):
    """The value of an option that is a number of minutes."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number of minutes above 0, not {text!r}")
    return value


def execute_notebooks(options):
    """Executes notebooks into another folder, or updates them in place."""
    if options.update and options.profile != notebooks.DEFAULT_PROFILE:
        parser().error("--update stores the outputs of the quick profile: leave out --profile")
    if options.update and options.jobs is not None:
        parser().error("--update executes one notebook after the other: leave out --jobs")
    suffixes = (".ipynb", ".py") if options.update else (".ipynb",)
    folder, output = (_path(f"--{name}", getattr(options, name)).absolute() for name in ("folder", "output"))
    paths = notebooks.find_notebooks(folder, options.names, suffixes)
    files.make_folder("--output", output)
    if not options.update and output.samefile(folder):
        raise notebooks.UserError(
            "--output must be another folder than that of the notebooks, which would be overwritten. "
            "(--update stores outputs in place.)"
        )
    os.environ["KGPC_RESULTS"] = str(output)
    try:
        if options.update:
            notebooks.update(paths)
        else:
            notebooks.run(paths, options.profile, output, options.jobs)
    except ModuleNotFoundError as error:
        raise notebooks.UserError(f'{error}. The notebooks need: pip install "kgpc[notebooks]"') from error
    return 0


def _path(option, value):
    """The path that an option has."""
    try:
        return files.path_argument(option, value)
    except ValueError as error:
        raise notebooks.UserError(error) from error


def _target(option, value):
    """The path of a file that an option asks to write, None without one; refused before the work."""
    if value is None:
        return None
    path = _path(option, value)
    files.check_target(option, path)
    return path


def _add_table(commands):
    command = commands.add_parser(
        "table",
        help="compare the published parameters and flops with ours",
        description="Count every published model and print the counts beside the published ones; 1 if a row differs.",
    )
    command.add_argument("--output", metavar="PAGE", help="write a Markdown page instead of printing")
    command.set_defaults(function=compare_counts)


def compare_counts(options):
    """Prints the published counts beside ours, or writes them as a Markdown page; 1 if a row differs."""
    page = _target("--output", options.output)
    from kgpc import paper

    comparison = paper.compare_counts()
    if page is None:
        print(paper.as_text(comparison).to_string(index=False))
    else:
        files.write(page, paper.counts_page(comparison))
    print(paper.summary(comparison))
    return 0 if comparison["parameters_equal"].all() and comparison["flops_equal"].dropna().all() else 1


def _add_rerun(commands):
    command = commands.add_parser(
        "rerun",
        help="train rows of the published tables again",
        description="Train and test rows of the published tables, each in a folder of its own. The same command again "
        "skips what is complete and resumes what is not; several processes can share the work on a folder.",
        epilog="A run is selected if it fits all of --rows, --models, --schemes and --datasets that are given.",
    )
    command.add_argument(
        "--profile",
        choices=("quick", "paper", "experiment"),
        default="quick",
        help="quick (default): four variants of each family on small images, minutes each; paper: data and recipe as "
        'published, for a GPU; experiment: the experiment "Does it hold?", which takes days or weeks of one core',
    )
    command.add_argument("--output", metavar="FOLDER", help="where the results go; with --ray also a URL for fsspec")
    command.add_argument("--rows", nargs="+", metavar="LABEL", help="such as JP35B14; or: all")
    command.add_argument("--models", nargs="+", metavar="MODEL", help='such as kMobileNet, or "kMobileNet 16ch"')
    command.add_argument("--schemes", nargs="+", metavar="SCHEME", help='such as "D6(16)", 16ch or none')
    command.add_argument("--datasets", nargs="+", metavar="DATASET", help="such as CIFAR-10")
    command.add_argument(
        "--seeds", nargs="+", type=int, metavar="SEED", help="default: 1 2 3; paper: the published one"
    )
    command.add_argument(
        "--stages", nargs="+", metavar="STAGE", help="of the experiment, such as core; default: all in their order"
    )
    command.add_argument(
        "--images",
        metavar="FOLDER",
        help="for the experiment: where train/CLASS/ and test/CLASS/ have the JPEG copies of CIFAR-10",
    )
    command.add_argument(
        "--minutes",
        type=_minutes,
        metavar="M",
        help="for the experiment on a GPU that is there for so long: the longest trainings that fit, all at a time",
    )
    command.add_argument("--epochs", type=int, metavar="N", help="other than the profile's")
    command.add_argument("--train-images", type=int, metavar="N", help="other than the profile's")
    command.add_argument("--ray", metavar="ADDRESS", help="train on a Ray cluster; local: start one here")
    command.add_argument("--cpus", type=float, metavar="N", help="processors for each run, with --ray (default: 1)")
    command.add_argument("--gpus", type=float, metavar="N", help="GPUs for each run, with --ray (default: 0)")
    command.add_argument("--list", action="store_true", help="show what would be trained, and train nothing")
    command.set_defaults(function=rerun)


def rerun(options):
    """Trains what is selected, or lists it; 1 if a run failed."""
    from kgpc import paper
    from kgpc.paper.rerunning import check_options

    filters = {name: getattr(options, name) for name in ("rows", "models", "schemes", "datasets")}
    if options.profile == "paper" and not options.list and not any(filters.values()):
        raise notebooks.UserError("--profile paper needs a selection, such as --rows JP35B14, or --rows all.")
    if filters["rows"] == ["all"]:
        filters["rows"] = None
    changes = {
        name: getattr(options, name) for name in ("epochs", "train_images") if getattr(options, name) is not None
    }
    selection = {"profile": options.profile, **filters, "seeds": options.seeds, **changes}
    special = {name: getattr(options, name) for name in ("stages", "images", "ray", "cpus", "gpus")}
    if options.minutes is not None:
        return _rerun_on_gpu(options, {**filters, **changes, "seeds": options.seeds, "ray": options.ray})
    try:
        check_options(**selection, **special)
        if options.profile == "experiment" and options.list:
            print(paper.experiment.listing(options.stages).to_string(index=False))
            return 0
        if options.list:
            print(paper.listing(paper.runs(**selection)).to_string(index=False))
            return 0
        if options.output is None:
            raise notebooks.UserError("--output is missing: the folder for the results.")
        outcomes = paper.rerun(options.output, **selection, **special)
    except (ModuleNotFoundError, TypeError, ValueError) as error:
        raise notebooks.UserError(error) from error
    counts = outcomes["outcome"].value_counts()
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 1 if "failed" in counts else 0


def _rerun_on_gpu(options, other):
    """Trains what of the experiment fits the minutes that a GPU is there."""
    given = [name for name, value in {**other, "stages": options.stages}.items() if value is not None]
    needed = (options.output, options.images)
    if options.profile != "experiment" or given or None in needed or options.list:
        raise notebooks.UserError(
            "--minutes goes with --profile experiment, --output and --images, and with nothing else."
        )
    from kgpc.paper import gpu_experiment

    try:
        table = gpu_experiment.perform(
            _path("--output", options.output), _path("--images", options.images), options.minutes
        )
    except RuntimeError as error:
        raise notebooks.UserError(error) from error
    print(table[["name", "test_accuracy", "validation_loss", "training_seconds"]].to_string(index=False))
    return 0


def _add_compare(commands):
    command = commands.add_parser(
        "compare",
        help="compare published results with those of a rerun",
        description="Print the results of a rerun beside the published ones, with the seeds and the difference; for "
        "the profile quick also the variants of each family against each other.",
    )
    command.add_argument("folder", metavar="FOLDER", help="what --output of rerun was")
    command.add_argument("--save", metavar="FILE", help="also write the results of all runs, a CSV file")
    command.set_defaults(function=compare)


def compare(options):
    """Prints published against rerun, and variants against each other."""
    save = _target("--save", options.save)
    from kgpc import paper
    from kgpc.paper.run_table import read_results

    try:
        results, left_out = read_results(options.folder, argument="FOLDER")
    except (ModuleNotFoundError, ValueError) as error:  # a URL without what reads it
        raise notebooks.UserError(error) from error
    for reason in left_out:
        print(reason, file=sys.stderr)
    if results.empty:
        raise notebooks.UserError(f"There is no complete run in {options.folder}.")
    print(paper.compare(results).to_string(index=False, float_format="{:.2f}".format))
    if (results["profile"] == "quick").any():
        print()
        print(paper.compare_variants(results).to_string(index=False, float_format="{:.2f}".format))
    if save:
        files.write(save, results.to_csv(index=False, lineterminator="\n"))
    return 0


def _add_measure_released(commands):
    command = commands.add_parser(
        "measure-released",
        help="measure the test accuracy of the authors' released weights",
        description="Measure the test accuracy of the released weights, each network on all test images. The same "
        "command again goes on where it was stopped.",
    )
    command.add_argument("--output", metavar="FOLDER", required=True, help="where the predictions so far are kept")
    command.add_argument("--dataset", default="CIFAR-10", help="what they were trained on (default: CIFAR-10)")
    command.add_argument(
        "--images",
        metavar="FOLDER",
        help="where train/CLASS/ and test/CLASS/ have the JPEG copies of CIFAR-10; default: the data set, fetched",
    )
    command.add_argument("--weights", metavar="FOLDER", help="where released files lie; default: they are fetched")
    command.add_argument("--rows", nargs="+", metavar="LABEL", help="such as JP35B14; default: all of the data set")
    command.add_argument(
        "--activations",
        choices=("published", "swish"),
        default="published",
        help="swish: kMobileNet as the authors' later code builds it by default, to see what that does",
    )
    command.add_argument("--save", metavar="FILE", help="add the results to this CSV file")
    command.set_defaults(function=measure_released)


def measure_released(options):
    """Measures released weights and prints the results; 1 if there is none."""
    save = _target("--save", options.save)
    from kgpc.paper import released_accuracy

    try:
        table = released_accuracy.measure(
            options.output,
            dataset=options.dataset,
            images=options.images,
            weights=options.weights,
            labels=options.rows,
            activations=options.activations,
        )
    except (TypeError, ValueError) as error:
        raise notebooks.UserError(error) from error
    shown = ["label", "model", "scheme", "activations", "data", "test_images", "accuracy_pct", "published_pct"]
    print(table[shown].to_string(index=False))
    if save and len(table):
        released_accuracy.save(table, save)
    return 0 if len(table) else 1


def _add_papers_notebooks(commands):
    command = commands.add_parser(
        "papers-notebooks",
        help="list the authors' own notebooks with the published rows that come from them",
        description="List the notebooks of the papers: which published rows come from each, and what it takes to run "
        'it. The page "Run the papers\' notebooks" of the documentation says what to change in them.',
    )
    command.add_argument("--markdown", action="store_true", help="print the table as the page has it")
    command.set_defaults(function=list_papers_notebooks)


def list_papers_notebooks(options):
    """Prints the table of the authors' notebooks."""
    from kgpc.paper import papers_notebooks

    table = papers_notebooks.authors_notebooks()
    if options.markdown:
        print(papers_notebooks.as_markdown(table), end="")
    else:
        print(papers_notebooks.as_text(table).to_string(index=False))
    return 0


def export(options):
    """Writes a model as a file for another runtime."""
    return export_command.run(options, _path, notebooks.UserError)


def main(arguments=None):
    """Runs the command line.

    Args:
        arguments: list of str, or None for those of the process.

    Returns:
        int, exit code: 0, 1 if a notebook or a run failed, a count differs or something is amiss, 130 if interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that a terminal cannot show is no reason to stop
    options = parser().parse_args(arguments)
    try:
        code = options.function(options)
        if sys.stdout is not None:
            sys.stdout.flush()  # not later, when an error has no name
        return code
    except (OSError, notebooks.UserError, files.FileError) as error:
        _forget_output()
        print(f"\n{_in_words(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130


def _in_words(error):
    """An error as a line for people: of one of the system, what it concerns and what is wrong, without its number."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
    return f"{' -> '.join(names)}: {error.strerror}." if names else error.strerror


def _forget_output():
    """Where nobody reads the output any more, or its disk is full, keeps Python from failing once more at its end."""
    try:
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Sets kgpc up in the folder .venv and runs its notebooks or its tests there.

Nothing but the standard library is used, and nothing but grammar that every Python since 2.7 can read: a Python that is
too old must get as far as the message that says so.
"""

from __future__ import print_function

import argparse
import ast
import binascii
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time

SUPPORTED = ((3, 11), (3, 12), (3, 13))
ROOT = os.path.dirname(os.path.abspath(__file__))
# Any of these missing means that an environment named by --here was not made for kgpc.
MODULES = (
    "cv2", "furo", "h5py", "ipykernel", "jupytext", "keras", "matplotlib", "myst_nb", "nbclient", "nbval", "pandas",
    "playwright", "tensorflow", "tensorflow_datasets",
)  # fmt: skip

HINT = "The folder .venv beside start.py needs about 3 GB on a disk that can be written; --here makes none"

COMMANDS = """\
commands:
  (none)                   execute the notebooks in their quick profile and print the comparison table
  run [NOTEBOOK ...] [--profile paper] [--output FOLDER] [--jobs N] [--update]
                           the same for some notebooks, with the real data, or into another folder than results;
                           N of them at a time; --update stores their outputs in the repository
  test [PYTEST OPTION ...] run the tests, for example: test tests/test_flops.py -x
  test --slow              run the tests that take minutes
  lab [JUPYTER OPTION ...] open the notebooks in JupyterLab
  site [FOLDER]            build the web site of notebooks and reference, in the folder build/site if no other is named
"""


class SetupError(Exception):
    """The environment cannot be made; the message says why and what to do."""


def version_error(version):
    """Returns what is wrong with this version of Python, or None.

    Args:
        version: tuple that begins with the major and minor version, such as `sys.version_info`.
    """
    if tuple(version[:2]) in SUPPORTED:
        return None
    example = "py -3.13 start.py" if os.name == "nt" else "python3.13 start.py"
    return (
        "kgpc needs Python 3.11, 3.12 or 3.13 (TensorFlow supports no other); this is Python %d.%d.\n"
        "Install one of them and use it by its name, for example: %s"
    ) % (version[0], version[1], example)


def python_of(folder, windows=(os.name == "nt")):
    """Returns the path of the interpreter of the virtual environment in `folder`."""
    return os.path.join(folder, "Scripts", "python.exe") if windows else os.path.join(folder, "bin", "python")


# Settings that say where packages come from and how to get there. All others of pip would change what is installed
# (PIP_CONSTRAINT, PIP_PRE, PIP_NO_DEPS ...) or where (PIP_TARGET, PIP_PREFIX, PIP_PYTHON ...).
PIP_SETTINGS = (
    "CACHE_DIR", "CERT", "CLIENT_CERT", "DEFAULT_TIMEOUT", "DISABLE_PIP_VERSION_CHECK", "EXTRA_INDEX_URL",
    "FIND_LINKS", "INDEX_URL", "KEYRING_PROVIDER", "NO_CACHE_DIR", "NO_INDEX", "NO_INPUT", "PROXY", "RESUME_RETRIES",
    "RETRIES", "TIMEOUT", "TRUSTED_HOST",
)  # fmt: skip
# Settings of Python about characters, speed and noise. Others bring in code (PYTHONPATH, PYTHONSTARTUP, which kernels
# run), take checks away (PYTHONOPTIMIZE), or mix their messages into what is read here (PYTHONVERBOSE).
PYTHON_SETTINGS = (
    "PYTHONCOERCECLOCALE", "PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER", "PYTHONHASHSEED", "PYTHONIOENCODING",
    "PYTHONLEGACYWINDOWSFSENCODING", "PYTHONLEGACYWINDOWSSTDIO", "PYTHONPYCACHEPREFIX", "PYTHONUNBUFFERED",
    "PYTHONUTF8",
)  # fmt: skip
# Of other programs, what would change results: how Keras and TensorFlow compute, where kernels, their start-up code and
# the settings of figures come from, what pytest does. Devices, threads, data folders and log levels stay as they are.
UNWANTED = (
    "DIST_EXTRA_CONFIG", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH", "JUPYTER_DATA_DIR", "JUPYTER_PATH",
    "JUPYTER_PREFER_ENV_PATH", "KERAS_BACKEND", "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED",
    "MATPLOTLIBRC", "MPLBACKEND", "PYTEST_ADDOPTS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_PLUGINS",
    "SETUPTOOLS_USE_DISTUTILS", "TF2_BEHAVIOR", "TF_USE_LEGACY_KERAS", "__PYVENV_LAUNCHER__",
)  # fmt: skip


def is_unwanted(name):
    """Returns whether a variable of the environment would change what is installed or computed, or where."""
    upper = name.upper()  # Windows knows no case
    if upper.startswith("PIP_"):
        return upper != "PIP_CONFIG_FILE" and upper[len("PIP_") :] not in PIP_SETTINGS
    if upper.startswith("PYTHON"):
        return upper not in PYTHON_SETTINGS
    return upper in UNWANTED


def clean_environ():
    """Returns the process environment without what would change what is installed or computed, or where."""
    environ = {name: value for name, value in os.environ.items() if not is_unwanted(name)}
    environ["PIP_USER"] = "0"  # `pip install --user`, where it is configured, fails in a virtual environment
    environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    environ["KERAS_BACKEND"] = "tensorflow"  # what is installed; keras.json may name another
    environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's start-up messages bury ours
    # As kgpc.tensorflow_settings does, but before a notebook or test imports Keras.
    environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
    if platform.machine().lower() in ("x86_64", "amd64"):
        environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    return environ


def pip_environ(python):
    """Returns the environment for pip: of its configuration files, too, only what says where packages come from.

    Args:
        python: path of an interpreter that has pip.
    """
    environ = clean_environ()
    listing = "import runpy, sys; sys.argv = ['pip', 'config', 'list']; runpy.run_module('pip', run_name='__main__')"
    code, output = evaluate(python, listing)
    if code == 0:
        environ.update(settings_of_files(output, environ))
    environ["PIP_CONFIG_FILE"] = os.devnull  # which makes pip read no configuration file
    return environ


def settings_of_files(listing, environ):
    """Returns the variables that stand for the wanted settings in pip's configuration files.

    Args:
        listing: what `pip config list` prints: lines such as `global.index-url='https://host/simple'`.
        environ: dict, the variables there are, which count more.
    """
    found = {}
    for section in ("global", "install"):  # the second one counts more
        for line in listing.splitlines():
            key, equals, text = line.partition("=")
            before, dot, name = key.partition(".")
            name = name.upper().replace("-", "_")
            if before == section and equals and dot and name in PIP_SETTINGS and "PIP_" + name not in environ:
                try:
                    found["PIP_" + name] = str(ast.literal_eval(text))
                except (SyntaxError, ValueError):
                    continue
    return found


def call(command):
    """Runs `command` in the repository's folder, with our input and output, and returns its exit code."""
    sys.stdout.flush()
    process = subprocess.Popen(command, cwd=ROOT, env=clean_environ())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            pass  # Control-C reaches the command too, which may want to ask or to tidy up


def evaluate(python, code):
    """Runs a line of code silently and returns (exit code, stripped output with errors)."""
    process = subprocess.run(
        [python, "-c", code], cwd=ROOT, env=clean_environ(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return process.returncode, process.stdout.decode("utf-8", "replace").replace("\r\n", "\n").strip()


def create_file(path):
    """Makes a file where nothing is, never through a link that somebody left there, and returns its descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.open(path, flags, 0o666)


class Environment:
    """The virtual environment that holds kgpc and all that its notebooks and tests need.

    A state file in the folder says that the folder is ours and, once everything is installed, for which
    pyproject.toml, Python and location. An interrupted set-up leaves it empty, and the next one goes on from there.

    Args:
        folder: path of the environment.
    """

    def __init__(self, folder):
        self.folder = folder
        self.python = python_of(folder)
        self.state_file = os.path.join(folder, "kgpc-setup.txt")
        self.log_file = os.path.join(folder, "kgpc-setup.log")

    def wanted_state(self):
        """Returns a line that changes whenever the environment must be set up again."""
        with open(os.path.join(ROOT, "pyproject.toml"), "rb") as stream:
            # Line ends differ between checkouts on different systems, and mean nothing.
            digest = hashlib.sha256(stream.read().replace(b"\r\n", b"\n")).hexdigest()
        return "Python %d.%d, pyproject.toml %s, %s" % (sys.version_info[0], sys.version_info[1], digest, ROOT)

    def state(self):
        """Returns what the state file says, or None where there is none."""
        if not os.path.isfile(self.state_file):  # nor a pipe, for whose other end reading would wait
            return None
        with open(self.state_file, "rb") as stream:
            return stream.read().decode("utf-8", "surrogateescape").strip()

    def write_state(self, state):
        """Writes the state file, whole or not at all."""
        unfinished = "%s.%s" % (self.state_file, binascii.hexlify(os.urandom(8)).decode("ascii"))
        try:
            with open(create_file(unfinished), "wb") as stream:
                stream.write((state + "\n").encode("utf-8", "surrogateescape"))
            os.replace(unfinished, self.state_file)
        except BaseException:
            if os.path.lexists(unfinished):
                os.unlink(unfinished)
            raise

    def has_working_pip(self):
        """Returns whether the environment's interpreter runs, is of our version, and has pip."""
        if not os.path.exists(self.python):
            return False
        try:
            found = evaluate(self.python, "import pip, sys; print(*sys.version_info[:2])")
        except OSError:  # the system does not run it
            return False
        return found == (0, "%d %d" % tuple(sys.version_info[:2]))

    def set_up(self):
        """Makes the environment, or completes or renews it; returns at once where there is nothing to do.

        Raises:
            SetupError: where it cannot be made.
        """
        state = self.state()
        if state == self.wanted_state() and self.has_working_pip():
            return
        if state is None and os.path.lexists(self.folder):
            raise SetupError(
                "%s exists and was not made by start.py, so it is left alone.\nMove it away, or activate it "
                "and use it as it is: python start.py --here" % self.folder
            )
        started = time.time()
        if state is None:
            print("Setting up a Python environment in %s (once; about 3 GB)." % self.folder)
        else:
            print("Bringing the Python environment in %s up to date." % self.folder)
        if state is None or not self.has_working_pip():
            self.create()
        self.write_state("")
        self.pip("installing packages", "install", "--editable", ".[cai,datasets,deploy,notebooks,site,test]")
        self.choose_opencv()
        self.write_state(self.wanted_state())
        print("The environment is ready (%d s)." % (time.time() - started))

    def create(self):
        """Makes an empty virtual environment with pip, in place of what a broken or older one left."""
        from importlib.util import find_spec

        # Debian packs these apart from Python, which then fails half-way.
        if find_spec("venv") is None or find_spec("ensurepip") is None:
            raise SetupError(
                "This Python (%s) cannot make virtual environments.\n"
                "On Debian and Ubuntu that is a package of its own: sudo apt install python%d.%d-venv"
                % ((sys.executable,) + tuple(sys.version_info[:2]))
            )
        if os.path.isdir(self.folder):
            shutil.rmtree(self.folder)
        os.mkdir(self.folder)
        self.write_state("")
        self.run_logged("creating the environment", [sys.executable, "-m", "venv", self.folder])

    def pip(self, what, *arguments):
        """Runs pip in the environment; `what` tells the user what for."""
        self.run_logged(what, [self.python, "-m", "pip"] + list(arguments))

    def choose_opencv(self):
        """Takes the OpenCV build without windows where the one with windows cannot be loaded."""
        code, output = evaluate(self.python, "import cv2")
        if code == 0:
            return
        version = evaluate(self.python, "import importlib.metadata as m; print(m.version('opencv-python'))")[1]
        print("  opencv-python cannot be loaded on this machine:")
        print("    " + output.splitlines()[-1])
        print("  so opencv-python-headless %s, the same without windows on the screen, takes its place." % version)
        self.pip("removing opencv-python", "uninstall", "--yes", "opencv-python")
        # Both packages own the folder cv2: an installed headless one has just lost its files.
        headless = "opencv-python-headless==" + version
        self.pip("installing " + headless, "install", "--no-deps", "--force-reinstall", headless)
        code, output = evaluate(self.python, "import cv2")
        if code != 0:
            raise SetupError("OpenCV cannot be loaded:\n" + output)

    def run_logged(self, what, command):
        """Runs a command of the set-up: its output goes to the log file, its running time to the screen.

        Raises:
            SetupError: where the command fails, with the end of its output.
        """
        started = time.time()
        on_terminal = sys.stdout.isatty()
        if not on_terminal:
            print("  %s ..." % what)
            sys.stdout.flush()
        environ = pip_environ(command[0]) if command[1:3] == ["-m", "pip"] else clean_environ()
        if os.path.lexists(self.log_file):
            os.unlink(self.log_file)
        with open(create_file(self.log_file), "wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT)
            try:
                while process.poll() is None:
                    if on_terminal:
                        print("\r  %s ... %d s" % (what, time.time() - started), end="")
                        sys.stdout.flush()
                    time.sleep(0.2)
            except KeyboardInterrupt:
                process.terminate()
                process.wait()
                raise
            finally:
                if on_terminal:
                    print()
        if process.returncode != 0:
            with open(self.log_file, encoding="utf-8", errors="replace") as log:
                tail = log.read().strip().splitlines()[-15:]
            free = shutil.disk_usage(self.folder).free // 10**6
            if free < 100:  # then the output may be lost as well
                tail.append("The disk is full: %d MB are free for %s. (%s)" % (free, self.folder, HINT))
            raise SetupError(
                "This failed: %s\n\n%s\n\nAll of its output: %s\nRun the same command again to go on from here."
                % (" ".join(command), "\n".join(tail), self.log_file)
            )


def current_python():
    """Returns the interpreter that runs this script, after checking that it has what the notebooks and tests need.

    Raises:
        SetupError: naming what is missing.
    """
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    missing = [name for name in MODULES if find_spec(name) is None]
    try:
        version("kgpc")
    except PackageNotFoundError:
        missing.append("kgpc")  # find_spec would find it in any case: this script lies beside it
    if missing:
        raise SetupError(
            "--here uses %s as it is, which lacks: %s.\n"
            'Install them: python -m pip install --editable ".[cai,datasets,deploy,notebooks,site,test]"\n'
            "(in an environment made from environment.yml: python -m pip install --no-deps --editable .)"
            % (sys.executable, ", ".join(missing))
        )
    return sys.executable


def parse(arguments):
    """Returns the options, and the arguments that belong to the program that is run."""
    parser = argparse.ArgumentParser(
        prog="start.py",
        allow_abbrev=False,
        description="Sets kgpc up in the folder .venv, if that is missing, and runs its notebooks or its tests there.",
        epilog=COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=["run", "test", "lab", "site"], help="see below")
    parser.add_argument("--slow", action="store_true", help="with test: run the tests that take minutes instead")
    parser.add_argument(
        "--here", action="store_true", help="use the Python that runs this as it is, set up nothing (conda, uv, ...)"
    )
    options, rest = parser.parse_known_args(arguments)
    if options.slow and options.command != "test":
        parser.error("--slow belongs to the command test")
    if rest and options.command is None:
        parser.error("unrecognized arguments: %s" % " ".join(rest))
    return options, rest


def command_for(python, options, rest):
    """Returns the command line that does what the options ask for."""
    if options.command == "test":
        # All tests: in two processes, because much of the time only one processor core is busy. A file or a notebook
        # stays in one of them. Whoever asks for something particular gets the plain output of one process.
        everything = [] if options.slow or rest else ["-n", "2", "--dist", "loadfile"]
        return [python, "-m", "pytest"] + (["-m", "slow"] if options.slow else []) + everything + rest
    if options.command == "lab":
        return [python, "-m", "jupyterlab", "--notebook-dir=."] + rest
    if options.command == "site":
        return [python, os.path.join("docs", "build_site.py")] + rest
    # `-m kgpc` would do, but imports TensorFlow first: seconds, and its messages. -P keeps modules beside the file out.
    return [python, "-P", os.path.join("kgpc", "__main__.py"), "notebooks"] + rest


def main(arguments=None):
    """Runs the command line and returns the exit code."""
    problem = version_error(sys.version_info)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a folder's name may have letters that a terminal has not
    options, rest = parse(arguments)
    dropped = sorted(name for name in os.environ if is_unwanted(name))
    if dropped:
        print("Set aside, because it changes results or places: %s." % ", ".join(dropped), file=sys.stderr)
    try:
        if options.here:
            python = current_python()
        else:
            environment = Environment(os.path.join(ROOT, ".venv"))
            environment.set_up()
            python = environment.python
        return call(command_for(python, options, rest))
    except SetupError as error:
        print("\n%s" % error, file=sys.stderr)
        return 2
    except OSError as error:
        forget_output()
        print("\nThis cannot be written or run: %s. (%s)" % (error, HINT), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.", file=sys.stderr)
        return 130


def forget_output():
    """Where the standard output cannot be written, keeps Python from failing once more at its end."""
    try:
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())

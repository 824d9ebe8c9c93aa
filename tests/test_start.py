"""start.py: versions of Python, set-up from nothing, interrupted and repeated, and the command line."""

import ast
import errno
import subprocess
import sys

import pytest

import start


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """Nothing is set that start.py sets aside: other tests, and the programs they use, set variables too."""
    for name in [name for name in start.os.environ if start.is_unwanted(name)]:
        monkeypatch.delenv(name)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder, with a space in its name, that start.py takes for the repository."""
    folder = tmp_path / "my clone"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(start, "ROOT", str(folder))
    return folder


class Recorded(start.Environment):
    """An environment that notes the commands of its set-up instead of running them.

    `broken` is the name of a step that fails, `opencv` how many times `import cv2` fails, `pip` whether pip works.
    """

    def __init__(self, folder, monkeypatch, broken=None, opencv=0):
        super().__init__(str(folder))
        self.commands = []
        self.broken = broken
        self.opencv = opencv
        self.version = f"{sys.version_info[0]} {sys.version_info[1]}"
        monkeypatch.setattr(start, "evaluate", self.evaluate)

    def run_logged(self, what, command):
        self.commands.append(command)
        if "venv" in command:
            python = start.python_of(self.folder)
            subprocess.run([sys.executable, "-c", "import os, sys; os.makedirs(sys.argv[1])", python], check=True)
        if self.broken is not None and self.broken in command:
            raise start.SetupError("broken")

    def evaluate(self, python, code):
        if "import pip" in code:
            return 0, self.version
        if "import cv2" in code and self.opencv:
            self.opencv -= 1
            return 1, "Traceback\nImportError: libGL.so.1: cannot open shared object file: No such file or directory"
        return 0, "4.12.0.88" if "opencv-python" in code else ""

    def steps(self):
        return ["create" if "venv" in command else command[3] for command in self.commands]


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 7), (3, 13)])
def test_supported_versions_of_python(version):
    assert start.version_error(version) is None


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 4, 0), (3, 10, 13), (3, 14, 0), (4, 0, 0)])
def test_other_versions_of_python_are_refused(version):
    message = start.version_error(version)
    assert "3.11, 3.12 or 3.13" in message
    assert f"Python {version[0]}.{version[1]}." in message


def test_the_version_is_refused_before_anything_else(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 14, 0, "final", 0))
    monkeypatch.setattr(start, "parse", None)
    assert start.main(["test"]) == 2
    assert "this is Python 3.14" in capsys.readouterr().err


def test_every_python_since_2_7_can_read_the_script(root):
    source = (root / "start.py").read_text(encoding="ascii")
    newer = (
        ast.AnnAssign, ast.AsyncFunctionDef, ast.JoinedStr, ast.Match, ast.NamedExpr, ast.Nonlocal, ast.Starred,
        ast.TryStar, ast.YieldFrom,
    )  # fmt: skip
    for node in ast.walk(ast.parse(source, feature_version=(3, 7))):
        assert not isinstance(node, newer), f"line {node.lineno}"
        if isinstance(node, ast.Raise):
            assert node.cause is None, f"line {node.lineno}"
        if isinstance(node, ast.arguments):
            assert not (node.kwonlyargs or node.posonlyargs or any(argument.annotation for argument in node.args))
        if isinstance(node, ast.FunctionDef):
            assert node.returns is None, f"line {node.lineno}"
    assert "from __future__ import print_function" in source


def test_set_up_from_nothing_and_again(project, monkeypatch):
    first = Recorded(project / ".venv", monkeypatch)
    first.set_up()
    assert first.steps() == ["create", "install"]
    assert first.commands[1][0] == start.python_of(str(project / ".venv"))

    second = Recorded(project / ".venv", monkeypatch)
    second.set_up()
    assert second.steps() == []


def test_set_up_is_repeated_when_pyproject_changes(project, monkeypatch):
    Recorded(project / ".venv", monkeypatch).set_up()
    (project / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    again = Recorded(project / ".venv", monkeypatch)
    again.set_up()
    assert again.steps() == ["install"]


def test_line_ends_do_not_matter(project, monkeypatch):
    environment = Recorded(project / ".venv", monkeypatch)
    state = environment.wanted_state()
    (project / "pyproject.toml").write_bytes(b"[project]\r\n")
    assert environment.wanted_state() == state


def test_set_up_is_repeated_in_another_place(project, monkeypatch, tmp_path):
    Recorded(project / ".venv", monkeypatch).set_up()
    moved = tmp_path / "moved"
    project.rename(moved)
    monkeypatch.setattr(start, "ROOT", str(moved))
    again = Recorded(moved / ".venv", monkeypatch)
    again.set_up()
    assert again.steps() == ["install"]


def test_an_environment_of_another_python_is_made_anew(project, monkeypatch):
    Recorded(project / ".venv", monkeypatch).set_up()
    (project / ".venv" / "leftover").touch()
    again = Recorded(project / ".venv", monkeypatch)
    again.version = "3 1"
    again.set_up()
    assert again.steps() == ["create", "install"]
    assert not (project / ".venv" / "leftover").exists()


@pytest.mark.parametrize("broken, steps", [("venv", ["create", "install"]), ("install", ["install"])])
def test_a_set_up_that_failed_goes_on(project, monkeypatch, broken, steps):
    with pytest.raises(start.SetupError):
        Recorded(project / ".venv", monkeypatch, broken=broken).set_up()
    again = Recorded(project / ".venv", monkeypatch)
    if broken == "venv":
        again.version = ""
    again.set_up()
    assert again.steps() == steps
    assert again.state() == again.wanted_state()


def test_an_environment_of_somebody_else_is_left_alone(project, monkeypatch):
    (project / ".venv").mkdir()
    (project / ".venv" / "theirs").touch()
    environment = Recorded(project / ".venv", monkeypatch)
    with pytest.raises(start.SetupError, match="was not made by start.py"):
        environment.set_up()
    assert environment.commands == []
    assert [path.name for path in (project / ".venv").iterdir()] == ["theirs"]


def test_a_python_that_cannot_make_environments_is_named(project, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(start.SetupError, match=f"apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv"):
        Recorded(project / ".venv", monkeypatch).set_up()
    assert not (project / ".venv").exists()


def test_opencv_without_windows_takes_over_where_the_other_cannot_be_loaded(project, monkeypatch, capsys):
    environment = Recorded(project / ".venv", monkeypatch, opencv=1)
    environment.set_up()
    assert environment.steps() == ["create", "install", "uninstall", "install"]
    assert environment.commands[-1][-1] == "opencv-python-headless==4.12.0.88"
    printed = capsys.readouterr().out
    assert "libGL.so.1: cannot open" in printed and "opencv-python-headless 4.12.0.88" in printed


def test_opencv_that_cannot_be_loaded_at_all_is_an_error(project, monkeypatch):
    environment = Recorded(project / ".venv", monkeypatch, opencv=2)
    with pytest.raises(start.SetupError, match="libGL"):
        environment.set_up()
    assert environment.state() == ""


def test_a_failing_command_shows_the_end_of_its_output(project):
    environment = start.Environment(str(project))
    command = [sys.executable, "-c", "print('no such package'); raise SystemExit(3)"]
    with pytest.raises(start.SetupError, match="no such package"):
        environment.run_logged("installing", command)


def test_an_environment_is_really_made(project):
    environment = start.Environment(str(project / ".venv"))
    assert not environment.has_working_pip()
    environment.create()
    assert environment.has_working_pip()
    assert environment.state() == ""


def test_the_interpreter_of_an_environment():
    assert start.python_of("folder", windows=True).endswith("python.exe")
    assert "Scripts" in start.python_of("folder", windows=True)
    assert "bin" in start.python_of("folder", windows=False)


def test_settings_that_mix_environments_are_dropped(monkeypatch):
    for name in ("PYTHONPATH", "PYTHONHOME", "MPLBACKEND"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("PIP_USER", "1")
    environ = start.clean_environ()
    assert not {"PYTHONPATH", "PYTHONHOME", "MPLBACKEND"} & set(environ)
    assert environ["PIP_USER"] == "0"
    assert environ["TF_CPU_ALLOCATOR_USE_BFC"] == "1"


DROPPED = """
    PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_REQUIRE_VIRTUALENV PIP_DRY_RUN PIP_NO_DEPS PIP_CONSTRAINT
    PIP_BUILD_CONSTRAINT PIP_PRE PIP_NO_BINARY PIP_ONLY_BINARY PIP_PLATFORM PIP_SRC PIP_LOG PIP_REPORT PIP_ISOLATED
    PIP_IGNORE_INSTALLED PIP_FORCE_REINSTALL PIP_UPGRADE PIP_REQUIREMENT PIP_EDITABLE PIP_NO_BUILD_ISOLATION PIP_QUIET
    PYTHONSTARTUP PYTHONPATH PYTHONHOME PYTHONOPTIMIZE PYTHONINSPECT PYTHONVERBOSE PYTHONWARNINGS PYTHONUSERBASE
    PYTHONPROFILEIMPORTTIME PYTHONSAFEPATH PYTHONPLATLIBDIR PYTHONEXECUTABLE PYTHONBREAKPOINT PYTHONDEVMODE
    IPYTHONDIR JUPYTER_PATH JUPYTER_CONFIG_DIR JUPYTER_DATA_DIR KERAS_MAX_EPOCHS MATPLOTLIBRC MPLBACKEND PYTEST_ADDOPTS
    TF_USE_LEGACY_KERAS TF2_BEHAVIOR
""".split()
KEPT = """
    PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_NO_INDEX PIP_TRUSTED_HOST PIP_CERT PIP_CLIENT_CERT PIP_PROXY
    PIP_CACHE_DIR PIP_DEFAULT_TIMEOUT PIP_TIMEOUT PIP_RETRIES PIP_KEYRING_PROVIDER HTTPS_PROXY https_proxy NO_PROXY
    SSL_CERT_FILE REQUESTS_CA_BUNDLE PYTHONIOENCODING PYTHONUTF8 PYTHONUNBUFFERED PYTHONHASHSEED PYTHONPYCACHEPREFIX
    KERAS_HOME TFDS_DATA_DIR MPLCONFIGDIR CUDA_VISIBLE_DEVICES TF_NUM_INTRAOP_THREADS TF_CPP_MIN_LOG_LEVEL
    TF_ENABLE_ONEDNN_OPTS XLA_FLAGS KGPC_RESULTS JUPYTER_TOKEN JUPYTER_RUNTIME_DIR HOME PATH TMPDIR LD_LIBRARY_PATH
""".split()


def test_what_changes_results_or_places_is_dropped_and_where_packages_come_from_is_kept(monkeypatch):
    for name in DROPPED + KEPT:
        monkeypatch.setenv(name, "1")
    environ = start.clean_environ()
    assert not set(DROPPED) & set(environ)
    assert {name: environ.get(name) for name in KEPT} == dict.fromkeys(KEPT, "1")
    assert (environ["PIP_USER"], environ["KERAS_BACKEND"]) == ("0", "tensorflow")


def test_what_was_set_aside_is_said_in_a_line(monkeypatch, capsys):
    monkeypatch.setattr(start, "current_python", lambda: sys.executable)
    monkeypatch.setattr(start, "command_for", lambda python, options, rest: [python, "-c", ""])
    assert start.main(["--here", "test"]) == 0 and capsys.readouterr().err == ""
    monkeypatch.setenv("PIP_TARGET", "elsewhere")
    monkeypatch.setenv("PYTHONSTARTUP", "elsewhere")
    assert start.main(["--here", "test"]) == 0
    assert capsys.readouterr().err == "Set aside, because it changes results or places: PIP_TARGET, PYTHONSTARTUP.\n"


CONFIGURATION = """\
[global]
index-url = https://index.example/simple
extra-index-url =
    https://one.example/simple
    https://two.example/simple
target = elsewhere
constraint = constraints.txt
[install]
no-deps = true
user = true
timeout = 7
"""


def test_of_the_configuration_files_of_pip_only_where_packages_come_from_is_kept(project, monkeypatch, tmp_path):
    """Pip itself reads the file, and then says what it has of it and of the variables."""
    (tmp_path / "pip.conf").write_text(CONFIGURATION)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    environ = start.pip_environ(sys.executable)
    assert environ["PIP_INDEX_URL"] == "https://index.example/simple"
    assert environ["PIP_EXTRA_INDEX_URL"].split() == ["https://one.example/simple", "https://two.example/simple"]
    assert environ["PIP_TIMEOUT"] == "7" and environ["PIP_CONFIG_FILE"] == start.os.devnull
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, env=environ, capture_output=True, text=True).stdout
    assert "target" not in listed and "constraint" not in listed and "no-deps" not in listed
    assert "user='0'" in listed and "index-url='https://index.example/simple'" in listed
    monkeypatch.setenv("PIP_INDEX_URL", "https://mine.example/simple")  # a variable counts more than a file
    assert start.pip_environ(sys.executable)["PIP_INDEX_URL"] == "https://mine.example/simple"


def test_only_pip_gets_the_environment_of_pip(project, monkeypatch):
    monkeypatch.setattr(start, "pip_environ", lambda python: dict(start.clean_environ(), FOR_PIP="yes"))
    environment = start.Environment(str(project))
    environment.run_logged("asking", [sys.executable, "-c", "import os; print('FOR_PIP' in os.environ)"])
    assert (project / "kgpc-setup.log").read_text().strip() == "False"
    environment.python = sys.executable
    environment.pip("asking", "--version")
    assert (project / "kgpc-setup.log").read_text().startswith("pip ")


# Disks, terminals and places that are unusual


def no_access(number):
    def fail(*_, **__):
        raise OSError(number, start.os.strerror(number), "somewhere")

    return fail


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("what", ["mkdir", "open", "replace"])
def test_a_disk_that_cannot_be_written_is_one_line(project, monkeypatch, capsys, number, what):
    monkeypatch.setattr(start.os, what, no_access(number))
    assert start.main(["test"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"This cannot be written or run: [Errno {number}] {start.os.strerror(number)}")
    assert "--here" in line


def test_a_complete_environment_on_a_disk_that_cannot_be_written_is_used(project, monkeypatch):
    Recorded(project / ".venv", monkeypatch).set_up()
    for what in ("mkdir", "open", "replace", "unlink"):
        monkeypatch.setattr(start.os, what, no_access(errno.EROFS))
    again = Recorded(project / ".venv", monkeypatch)
    again.set_up()
    assert again.steps() == []


def test_a_step_that_fails_on_a_full_disk_says_so(project, monkeypatch):
    usage = start.shutil.disk_usage(str(project))
    monkeypatch.setattr(start.shutil, "disk_usage", lambda path: usage._replace(free=3_000_000))
    with pytest.raises(start.SetupError, match="The disk is full: 3 MB are free"):
        start.Environment(str(project)).run_logged("x", [sys.executable, "-c", "raise SystemExit(1)"])


@pytest.mark.skipif(not hasattr(start.os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("kind", ["file", "pipe", "folder with a pipe", "dead link"])
def test_something_else_in_the_place_of_the_environment_is_left_alone_at_once(project, capsys, kind):
    place = project / ".venv"
    if kind == "file":
        place.write_text("theirs")
    elif kind == "pipe":
        start.os.mkfifo(place)
    elif kind == "dead link":
        place.symlink_to("nowhere")
    else:
        place.mkdir()
        start.os.mkfifo(place / "kgpc-setup.txt")
    assert start.main(["test"]) == 2
    assert "was not made by start.py, so it is left alone" in capsys.readouterr().err
    assert start.os.path.lexists(str(place))


def test_planted_links_get_nothing(project, monkeypatch, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    environment = start.Environment(str(project))
    for name in ("kgpc-setup.log", "kgpc-setup.txt", "kgpc-setup.txt.new"):
        (project / name).symlink_to(victim)
    environment.write_state("done")
    environment.run_logged("asking", [sys.executable, "-c", "print(1)"])
    assert victim.read_text() == "theirs" and environment.state() == "done"
    assert (project / "kgpc-setup.log").read_text().strip() == "1"


def test_a_state_that_is_no_text_means_that_the_set_up_is_done_again(project, monkeypatch):
    Recorded(project / ".venv", monkeypatch).set_up()
    (project / ".venv" / "kgpc-setup.txt").write_bytes(b"\xff\xfe\0")
    again = Recorded(project / ".venv", monkeypatch)
    again.set_up()
    assert again.steps() == ["install"] and again.state() == again.wanted_state()


@pytest.mark.skipif(start.os.name == "nt", reason="Windows has names in Unicode only")
@pytest.mark.parametrize("name", ["\u00fcbung", "u\u0308bung", "\udcfcbung"])
@pytest.mark.parametrize(
    "settings", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_folder_with_an_umlaut_is_shown_on_any_terminal(tmp_path, root, name, settings):
    folder = tmp_path / name
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has names in Unicode only")
    (folder / "start.py").write_bytes((root / "start.py").read_bytes())
    (folder / "pyproject.toml").touch()
    (folder / ".venv").mkdir()
    command = [sys.executable, str(folder / "start.py"), "test"]
    done = subprocess.run(command, capture_output=True, env={**start.os.environ, **settings})
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    assert b"bung" in done.stderr and b"was not made by start.py" in done.stderr
    (folder / ".venv").rmdir()
    environment = start.Environment(str(folder))
    environment.write_state(str(folder))
    assert environment.state() == str(folder)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], ["notebooks"]),
        (["run", "01_theory", "--profile", "paper"], ["notebooks", "01_theory", "--profile", "paper"]),
        (["test"], ["-m", "pytest", "-n", "2", "--dist", "loadfile"]),
        (["test", "--slow"], ["-m", "pytest", "-m", "slow"]),
        (["test", "tests/test_flops.py", "-k", "name"], ["-m", "pytest", "tests/test_flops.py", "-k", "name"]),
        (["lab", "--no-browser"], ["-m", "jupyterlab", "--notebook-dir=.", "--no-browser"]),
    ],
)
def test_command_lines(arguments, expected):
    command = start.command_for("python", *start.parse(arguments))
    assert command[0] == "python"
    assert command[-len(expected) :] == expected


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["--slow"], ["run", "--slow"]])
def test_command_lines_that_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as exit_code:
        start.main(arguments)
    assert exit_code.value.code == 2
    assert "usage: start.py" in capsys.readouterr().err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as exit_code:
        start.main(["--help"])
    assert exit_code.value.code == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("run", "test --slow", "lab", "site", "--here"))


def test_here_names_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(start, "MODULES", ("no_such_module", "keras"))
    assert start.main(["--here", "test"]) == 2
    error = capsys.readouterr().err
    assert "lacks: no_such_module" in error and "keras," not in error


def test_the_exit_code_is_that_of_the_command(monkeypatch):
    monkeypatch.setattr(start, "current_python", lambda: sys.executable)
    monkeypatch.setattr(start, "command_for", lambda python, options, rest: [python, "-c", "raise SystemExit(7)"])
    assert start.main(["--here", "test"]) == 7

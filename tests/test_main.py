"""`python -m kgpc notebooks`: executing notebooks, storing their outputs, and what goes wrong."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from kgpc import __main__ as command_line
from kgpc import notebooks

HEADER = """\
# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A lesson

# %% tags=["parameters"]
PROFILE = "quick"

"""
WRITES_TABLE = """\
# %%
import os, pathlib

folder = pathlib.Path(os.environ["KGPC_RESULTS"])
_ = (folder / "comparison.csv").write_text(f"model,parameters,profile\\nMobileNet,3217226,{PROFILE}\\n")
"""
NOISY = """\
# %%
import sys

print("useful")
print("library message", file=sys.stderr)

# %%
import ipywidgets

ipywidgets.IntSlider()

# %% tags=["raises-exception"]
raise ValueError("shown on purpose")
"""


@pytest.fixture(autouse=True, scope="module")
def messages_of_absl_go_past_pytest():
    """Jupytext sets up logging anew, which closes the streams of all handlers: that of absl may be pytest's."""
    if "absl.logging" in sys.modules:
        sys.modules["absl.logging"].get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The working directory: a folder, with a space in its name, that has an empty folder `notebooks`."""
    (tmp_path / "my clone" / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "my clone")
    monkeypatch.setenv("KGPC_RESULTS", "")  # so that what the command line sets is undone
    return tmp_path / "my clone"


def add_pair(clone, name, cells):
    """Writes a script, and the notebook that belongs to it without outputs."""
    import jupytext

    script = clone / "notebooks" / f"{name}.py"
    script.write_text(HEADER + cells)
    nbformat.write(jupytext.read(script), script.with_suffix(".ipynb"))
    return script.with_suffix(".ipynb")


def outputs_of(path):
    return [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]


def test_notebooks_are_executed_into_another_folder_and_the_table_is_printed(clone, capsys):
    stored = add_pair(clone, "00_table", WRITES_TABLE)
    before = stored.read_bytes()
    assert command_line.main(["notebooks"]) == 0
    printed = capsys.readouterr().out
    assert "00_table    2/2 cells" in printed and "\n1 notebook in 0:" in printed
    assert "    model parameters profile\nMobileNet    3217226   quick" in printed
    assert str(clone / "results") in printed
    executed = nbformat.read(clone / "results" / "00_table.ipynb", as_version=4)
    assert [cell.execution_count for cell in executed.cells if cell.cell_type == "code"] == [1, 2]
    assert stored.read_bytes() == before


def test_the_profile_is_set_after_the_parameters_cell(clone, capsys):
    add_pair(clone, "00_table", WRITES_TABLE)
    assert command_line.main(["notebooks", "--profile", "paper", "--output", "elsewhere"]) == 0
    assert "MobileNet    3217226   paper" in capsys.readouterr().out
    assert (clone / "elsewhere" / "00_table.ipynb").is_file()


def test_a_table_of_an_earlier_run_is_not_shown(clone, capsys):
    add_pair(clone, "00_no_table", "# %%\n1 + 1\n")
    (clone / "results").mkdir()
    (clone / "results" / "comparison.csv").write_text("model\nold\n")
    assert command_line.main(["notebooks"]) == 0
    assert "old" not in capsys.readouterr().out


def test_a_failing_cell_is_shown_and_what_was_executed_is_kept(clone, capsys):
    add_pair(clone, "00_fails", '# %%\nprint("before")\n\n# %%\nraise KeyError("groups")\n')
    add_pair(clone, "01_never", WRITES_TABLE)
    assert command_line.main(["notebooks", "--jobs", "1"]) == 1
    captured = capsys.readouterr()
    assert "KeyError: 'groups'\nin this cell of 00_fails:" in captured.err
    assert "01_never" not in captured.out
    assert any(output.get("text") == "before\n" for output in outputs_of(clone / "results" / "00_fails.ipynb"))


MEETS = """\
# %%
import time
from pathlib import Path

Path("{own}").touch()
for _ in range(600):
    if Path("{other}").exists():
        break
    time.sleep(0.1)
else:
    raise TimeoutError("the other notebook did not come")
"""
ALONE = """\
# %% tags=["measures-time"]
from pathlib import Path

open("alone", "x").close()
seen = sorted(path.name for path in Path(".").glob("at_work*"))
print(seen)
Path("alone").unlink()
"""
AT_WORK = """\
# %%
import time
from pathlib import Path

Path("at_work_{own}").touch()
assert not Path("alone").exists()
time.sleep(1)
Path("at_work_{own}").unlink()
"""


def test_two_notebooks_run_at_a_time(clone, capsys):
    """Each waits for the other, so one after the other fails."""
    add_pair(clone, "00_one", MEETS.format(own="one", other="two"))
    add_pair(clone, "01_two", MEETS.format(own="two", other="one"))
    assert command_line.main(["notebooks", "--jobs", "2"]) == 0
    printed = capsys.readouterr().out
    assert "\n2 notebooks in 0:" in printed
    assert ", up to 2 at a time, so seconds in them say little. (--jobs 1: one after the other.)\n" in printed


def test_a_notebook_that_measures_time_runs_alone_after_the_others(clone, capsys):
    add_pair(clone, "00_alone", ALONE)
    add_pair(clone, "01_alone", ALONE)
    for name in "234":
        add_pair(clone, f"0{name}_work", AT_WORK.format(own=name))
    assert command_line.main(["notebooks", "--jobs", "3"]) == 0
    printed = capsys.readouterr().out
    assert ", but in those that ran alone: 00_alone, 01_alone. (" in printed
    begun = [line.split()[0] for line in printed.splitlines() if "  0/" in line]
    assert begun == ["02_work", "03_work", "04_work", "00_alone", "01_alone"]
    for name in ("00_alone", "01_alone"):
        assert [output.text for output in outputs_of(clone / "results" / f"{name}.ipynb")] == ["[]\n"]


def test_a_failing_cell_ends_what_runs_beside_it(clone, capsys):
    add_pair(clone, "00_fails", MEETS.format(own="one", other="two") + "\n# %%\nraise KeyError('groups')\n")
    add_pair(clone, "01_sleeps", "# %%\nprint('kept')\n\n" + MEETS.format(own="two", other="never"))
    assert command_line.main(["notebooks", "--jobs", "2"]) == 1
    captured = capsys.readouterr()
    assert "KeyError: 'groups'\nin this cell of 00_fails:" in captured.err and "01_sleeps" not in captured.err
    assert [output.text for output in outputs_of(clone / "results" / "01_sleeps.ipynb")] == ["kept\n"]


def test_notebooks_share_a_processor_but_not_a_gpu(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert notebooks.default_jobs("quick") == 2 and notebooks.default_jobs("paper") == 1
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert notebooks.default_jobs("quick") == 1
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert notebooks.default_jobs("quick") == 1


def test_a_dead_kernel_is_an_error(clone, capsys):
    cell = "import os\nimport time\n\nos.write(2, b'lost my groups\\n')\ntime.sleep(1)\nos._exit(1)\n"
    add_pair(clone, "00_dies", f"# %%\n{cell}")
    assert command_line.main(["notebooks"]) == 1
    assert "The kernel of 00_dies died (out of memory?).\nlost my groups" in capsys.readouterr().err


def test_what_a_library_prints_past_python_does_not_disturb_the_progress(clone, capfd):
    add_pair(clone, "00_chats", "# %%\nimport os\nimport time\n\nos.write(2, b'chatter\\n')\ntime.sleep(1)\n")
    assert command_line.main(["notebooks"]) == 0
    captured = capfd.readouterr()
    assert "chatter" not in captured.out + captured.err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that stands for Control-C here")
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("moment", ["starting", "working"])
def test_an_interruption_ends_without_a_traceback(clone, moment, jobs):
    cell = "import time\nfrom pathlib import Path\n\nPath('working').touch()\ntime.sleep(600)\n"
    add_pair(clone, "00_sleeps", f"# %%\n{cell}")
    add_pair(clone, "01_sleeps", f"# %%\n{cell}")
    # Whoever runs the tests in the background has told their processes to ignore the signal.
    code = (
        "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"sys.argv[1:] = ['notebooks', '--jobs', '{jobs}'];"
        f"runpy.run_path({command_line.__file__!r}, run_name='__main__')"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("00_sleeps    0/2 cells")
    while moment == "working" and not (clone / "notebooks" / "working").exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert error.strip() == "Interrupted."


def test_update_makes_the_pair_and_stores_what_is_the_same_everywhere(clone):
    stored = add_pair(clone, "00_noisy", NOISY)
    stored.unlink()  # a new lesson begins as a script
    assert command_line.main(["notebooks", "--update"]) == 0
    outputs = outputs_of(stored)
    assert [output.output_type for output in outputs] == ["stream", "error"]
    assert outputs[0].text == "useful\n"
    assert outputs[1].traceback == ["ValueError: shown on purpose"]
    metadata = nbformat.read(stored, as_version=4).metadata
    assert metadata.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert metadata.language_info == {"name": "python"}
    assert "widgets" not in metadata

    first, script = stored.read_bytes(), stored.with_suffix(".py").read_bytes()
    assert command_line.main(["notebooks", "--update", "00_noisy"]) == 0
    assert stored.read_bytes() == first
    assert stored.with_suffix(".py").read_bytes() == script


def test_update_takes_the_newer_file_of_a_pair(clone):
    stored = add_pair(clone, "00_table", WRITES_TABLE)
    script = stored.with_suffix(".py")
    script.write_text(script.read_text() + '\n# %%\nprint("added")\n')
    os.utime(stored, (1, 1))
    assert command_line.main(["notebooks", "--update"]) == 0
    assert [output.text for output in outputs_of(stored)] == ["added\n"]


def test_update_stores_nothing_when_a_cell_fails(clone, capsys):
    stored = add_pair(clone, "00_fails", "# %%\nraise KeyError('groups')\n")
    assert command_line.main(["notebooks", "--update"]) == 1
    assert "KeyError" in capsys.readouterr().err
    assert outputs_of(stored) == []


def test_update_refuses_outputs_that_name_a_folder_of_this_computer(clone, capsys):
    stored = add_pair(clone, "00_path", '# %%\nimport os\n\nprint(os.path.join(os.getcwd(), "x"))\n')
    assert command_line.main(["notebooks", "--update"]) == 1
    assert "An output of 00_path names" in capsys.readouterr().err
    assert outputs_of(stored) == []


@pytest.mark.parametrize("kind", ["stream", "result", "error"])
def test_local_paths_are_found_in_every_kind_of_output(kind):
    text = f"see {Path.home()}{os.sep}file"
    output = {
        "stream": new_output("stream", text=text),
        "result": new_output("execute_result", {"text/html": f"<p>{text}</p>"}),
        "error": new_output("error", ename="OSError", evalue=text),
    }[kind]
    notebook = new_notebook(cells=[new_code_cell("open('file')", outputs=[output])])
    with pytest.raises(notebooks.UserError, match="names"):
        notebooks.refuse_local_paths(notebook, "00_path")


def test_a_script_without_pairing_is_refused(clone, capsys):
    (clone / "notebooks" / "00_script.py").write_text("# %%\n1 + 1\n")
    assert command_line.main(["notebooks", "--update"]) == 1
    assert "00_script.py has no pair" in capsys.readouterr().err


def test_no_notebooks_is_an_error(clone, capsys):
    assert command_line.main(["notebooks"]) == 1
    assert "No notebooks in" in capsys.readouterr().err


def test_an_unknown_notebook_is_an_error_that_names_the_known_ones(clone, capsys):
    add_pair(clone, "00_table", WRITES_TABLE)
    assert command_line.main(["notebooks", "00_tabel"]) == 1
    assert "No notebook named 00_tabel" in (error := capsys.readouterr().err) and "There are: 00_table." in error


def test_a_profile_cannot_be_set_without_a_parameters_cell(clone, capsys):
    add_pair(clone, "00_table", WRITES_TABLE)
    path = clone / "notebooks" / "00_table.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 + 1")]), path)
    assert command_line.main(["notebooks", "--profile", "paper"]) == 1
    assert "no cell tagged 'parameters'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["notebooks", "--profile", "slow"],
        ["notebooks", "--jobs", "0"],
        ["notebooks", "--update", "--profile", "paper"],
        ["notebooks", "--update", "--jobs", "2"],
    ],
)
def test_command_lines_that_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as exit_code:
        command_line.main(arguments)
    assert exit_code.value.code == 2
    assert "usage: python -m kgpc" in capsys.readouterr().err


CONFLICT = '{\n "cells": [],\n<<<<<<< HEAD\n "nbformat": 4\n=======\n "nbformat": 3\n>>>>>>> other\n}\n'


@pytest.mark.parametrize("update", [[], ["--update"]])
@pytest.mark.parametrize(
    "content, message",
    [
        (CONFLICT, "has conflict markers of a merge (<<<<<<<)"),
        ("", "is damaged, or no notebook"),
        ("{}", "is damaged, or no notebook"),
        ('{"cells": [], "metadata": {}, "nbformt": 4, "nbformat_minor": 5}', "it is no notebook of format 4"),
        ('{"worksheets": [], "metadata": {}, "nbformat": 3, "nbformat_minor": 0}', "it is no notebook of format 4"),
        ("[1, 2]", "is damaged, or no notebook"),
        ("[" * 100_000, "is damaged, or no notebook"),
        ('{"cells": 3, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "is damaged, or no notebook"),
        ('{"cells": [{}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "is damaged, or no notebook"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_damaged_notebook_is_named_with_what_to_do(clone, capsys, content, message, update):
    stored = add_pair(clone, "00_table", WRITES_TABLE)
    script = stored.with_suffix(".py").read_bytes()
    stored.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert command_line.main(["notebooks", *update]) == 1
    error = capsys.readouterr().err.strip()
    assert str(stored) in error and message in error and len(error.splitlines()) == 1
    assert "git checkout -- 00_table.ipynb" in error and error.count("is damaged") <= 1
    assert stored.with_suffix(".py").read_bytes() == script  # the other one of the pair is left alone


def test_a_script_with_conflict_markers_is_named_before_the_pair_is_brought_together(clone, capsys):
    stored = add_pair(clone, "00_table", WRITES_TABLE)
    script, before = stored.with_suffix(".py"), stored.read_bytes()
    script.write_text(script.read_text() + "<<<<<<< HEAD\n1\n=======\n2\n>>>>>>> other\n")
    assert command_line.main(["notebooks", "--update"]) == 1
    assert f"The script {script} has conflict markers" in capsys.readouterr().err
    assert stored.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("update", [[], ["--update"]])
def test_a_pipe_in_the_place_of_a_notebook_is_refused_at_once(clone, capsys, update):
    os.mkfifo(clone / "notebooks" / "00_table.ipynb")
    assert command_line.main(["notebooks", *update]) == 1
    error = capsys.readouterr().err
    assert "00_table.ipynb must be a file, and is a named pipe" in error and "damaged" not in error


def test_any_change_of_a_notebook_gives_one_that_can_be_run_or_is_named(tmp_path):
    """A fuzz test of what a user can hand over: bytes of a notebook, changed at random."""
    generator = random.Random(15)
    path = tmp_path / "00_table.ipynb"
    cells = [new_code_cell("1 + 1", metadata={"tags": ["parameters"]}, outputs=[new_output("stream", text="x")])]
    nbformat.write(new_notebook(cells=cells), path)
    good, read = path.read_bytes(), 0
    for _ in range(150):
        content = bytearray(good)
        at = generator.randrange(len(content))
        content[at : at + generator.randint(0, 9)] = generator.choice([b"", b"3", b"[]", b"null", b'"', b"\xff"])
        path.write_bytes(bytes(content))
        try:
            notebook = notebooks.read_notebook(path)
            notebooks.set_profile(notebook, "paper")
        except notebooks.UserError as error:
            assert str(path) in str(error) or "no cell tagged" in str(error)
        else:
            nbformat.validate(notebook)
            notebooks.normalise(notebook)
            read += 1
    assert 0 < read < 150


def test_a_damaged_table_is_named(clone, capsys):
    add_pair(clone, "00_table", "# %%\nimport os, pathlib\n\n"
             'pathlib.Path(os.environ["KGPC_RESULTS"], "comparison.csv").write_bytes(b"\\xff\\xfe")\n')  # fmt: skip
    assert command_line.main(["notebooks"]) == 1
    assert "comparison.csv" in (error := capsys.readouterr().err) and "not UTF-8" in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("output", ["", "memory://x", "~nobody-has-this-name/x"])
@pytest.mark.parametrize("option", ["--output", "--folder"])
def test_a_folder_that_is_none_is_refused(clone, capsys, option, output):
    add_pair(clone, "00_table", WRITES_TABLE)
    assert command_line.main(["notebooks", option, output]) == 1
    error = capsys.readouterr().err.strip()
    assert f"`{option}` must be a path" in error and len(error.splitlines()) == 1
    assert [path.name for path in clone.iterdir()] == ["notebooks"]


def test_the_notebooks_are_not_overwritten_by_what_is_executed(clone, capsys):
    stored = add_pair(clone, "00_table", WRITES_TABLE)
    before = stored.read_bytes()
    assert command_line.main(["notebooks", "--output", "./notebooks"]) == 1
    assert "--output must be another folder than that of the notebooks" in capsys.readouterr().err
    assert stored.read_bytes() == before


def test_a_name_is_found_however_its_umlaut_is_written(tmp_path):
    (tmp_path / "01_u\u0308bung.ipynb").touch()
    (path,) = notebooks.find_notebooks(tmp_path, ["01_\u00fcbung"])
    assert path.name == "01_u\u0308bung"


def test_a_name_with_a_dot_keeps_all_of_it(clone, capsys):
    add_pair(clone, "00_v1.5", WRITES_TABLE)
    assert command_line.main(["notebooks", "00_v1.5"]) == 1  # `.5` is taken for a suffix of the name, as documented
    capsys.readouterr()
    assert command_line.main(["notebooks"]) == 0
    assert (clone / "results" / "00_v1.5.ipynb").is_file()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["table", "--output", ""], "`--output` must be a path"),
        (["table", "--output", "nowhere/page.md"], "`--output` must be a file in a folder that exists"),
        (["table", "--output", "notebooks"], "must be a file, and is a folder"),
        (["compare", ".", "--save", ""], "`--save` must be a path"),
        (["compare", ".", "--save", "nowhere/table.csv"], "`--save` must be a file in a folder that exists"),
        (["compare", ".", "--save", "s3://bucket/table.csv"], "`--save` must be a path of this computer"),
        (["compare", ".", "--save", os.devnull], "must be a file, and is a device"),
        (["compare", ""], "`FOLDER` must be a path"),
        (["compare", "no-such-kind://x"], "a URL that fsspec knows"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(clone, capsys, monkeypatch, arguments, message):
    if os.devnull in arguments and os.name == "nt":
        pytest.skip("this system has no files for devices")
    monkeypatch.setattr("kgpc.paper.compare_counts", None)
    assert command_line.main(arguments) == 1
    error = capsys.readouterr().err.strip()
    assert message in error and len(error.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_an_output_that_is_full_is_one_line(clone):
    with open("/dev/full", "w") as full:
        command = [sys.executable, command_line.__file__, "notebooks", "--help"]
        assert b"Traceback" not in subprocess.run(command, stdout=full, stderr=subprocess.PIPE).stderr
    code = (
        "import importlib.util, sys;"
        "specification = importlib.util.spec_from_file_location('command_line', sys.argv[1]);"
        "module = importlib.util.module_from_spec(specification); specification.loader.exec_module(module);"
        "module.compare_counts = lambda options: print('x') or 0; sys.exit(module.main(['table']))"
    )
    command = [sys.executable, "-c", code, command_line.__file__]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.strip() == "No space left on device"


@pytest.mark.parametrize(
    "settings", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_terminal_without_umlauts_shows_them_in_another_way(clone, settings):
    command = [sys.executable, command_line.__file__, "notebooks", "--folder", "übung", "00_ü"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **settings})
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert done.stderr.startswith(b"\nNo notebooks in ") and b"bung. Run this in a clone" in done.stderr


def test_the_notebooks_extra_is_named_where_it_is_missing(clone, monkeypatch, capsys):
    add_pair(clone, "00_table", WRITES_TABLE)
    monkeypatch.setitem(sys.modules, "nbclient", None)
    assert command_line.main(["notebooks"]) == 1
    assert 'pip install "kgpc[notebooks]"' in capsys.readouterr().err

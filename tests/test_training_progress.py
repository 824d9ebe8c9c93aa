"""The line of progress, in a file, in a terminal and in a notebook."""

import sys
import types

from kgpc import training


def train(progress, runs=1, steps=3, done=0):
    for _ in range(runs):
        progress.begin(steps, done)
        for _ in range(steps - done):
            progress.advance("loss 0.5")
        progress.end()
    return progress


def test_in_a_file_a_training_is_one_line(capsys):
    train(training.Progress("net", runs=2), runs=2)
    assert capsys.readouterr().out == "net: step 3 of 6, loss 0.5, 0 s\nnet: step 6 of 6, loss 0.5, 0 s\n"


def test_in_a_terminal_one_line_is_drawn_again(monkeypatch):
    written = []
    terminal = types.SimpleNamespace(isatty=lambda: True, write=written.append, flush=lambda: None)
    monkeypatch.setattr(sys, "stdout", terminal)
    train(training.Progress("net"))
    text = "".join(written)
    assert text.count("\n") == 1 and text.endswith("\n")
    assert text.startswith("\rnet: step 0 of 3") and "\rnet: step 3 of 3, loss 0.5, 0 s" in text


def test_in_a_notebook_one_output_is_replaced(monkeypatch):
    import IPython

    shown = []
    handle = types.SimpleNamespace(update=lambda progress: shown.append(repr(progress)))
    monkeypatch.setattr(IPython, "get_ipython", lambda: types.SimpleNamespace(kernel=object()))
    monkeypatch.setattr("IPython.display.display", lambda progress, display_id: shown.append(repr(progress)) or handle)
    progress = train(training.Progress("net <k>"), done=1)
    assert shown[0] == "net <k>: step 0 of 3, 0 s" and shown[-1] == "net <k>: step 3 of 3, loss 0.5, 0 s"
    page = progress._repr_html_()
    assert '<progress value="3" max="3"' in page and "net &lt;k&gt;: step 3 of 3" in page


def test_the_time_that_is_left_counts_the_steps_of_this_run():
    progress = training.Progress()
    progress._started, progress._drawn = 0.0, 30.0
    progress.total, progress.done, progress._skipped = 100, 70, 60
    assert repr(progress) == "step 70 of 100, 30 s, about 1 min 30 s left"
    progress._drawn = 4000.0
    assert repr(progress) == "step 70 of 100, 1 h 6 min, about 3 h 20 min left"

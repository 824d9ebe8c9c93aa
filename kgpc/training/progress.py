"""One line that says how far a training is: redrawn in a terminal and in a notebook, rarely repeated in a log file."""

import html
import shutil
import sys
import time

from kgpc.arguments import integer, text

_SECONDS_BETWEEN = 0.5  # between two drawings
_SECONDS_BETWEEN_LINES = 60.0  # where a line cannot be redrawn


def _in_notebook():
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


class Progress:
    """Shows one line for one or several trainings: steps, loss, and the newest validation accuracy.

    For example `kMobileNet: step 30 of 200, epoch 2 of 8, loss 0.81, validation 71.2% after epoch 1, 12 s`.

    In a notebook the line is an output that is replaced; what is stored at the end is the last state, as text and with
    a bar. In a terminal the line is redrawn. Elsewhere (a file) a line is written once a minute at most, and at the
    end.

    Args:
        title: str, what the line begins with; may be changed at any time (attribute `title`).
        runs: int >= 1, number of trainings that will share the line.

    Raises:
        TypeError, ValueError: if an argument is something else.

    Example:

        progress = training.Progress(runs=len(models))
        for progress.title, model in models.items():
            training.fit(model, data, recipe, progress=progress)
    """

    def __init__(self, title="", runs=1):
        self.title, self.runs = text("title", title), integer("runs", runs, 1)
        self.done, self.total, self.note = 0, 0, ""
        self._skipped, self._finished_runs = 0, 0
        self._started = self._drawn = None
        self._kind, self._handle, self._width = None, None, 0

    def begin(self, steps, done=0):
        """Starts a training of `steps` steps, of which `done` were done before; `fit` calls it.

        Args:
            steps: int >= 0.
            done: int in [0, `steps`].

        Raises:
            TypeError, ValueError: if an argument is something else.
        """
        steps = integer("steps", steps, 0)
        done = integer("done", done, 0, steps)
        if self._started is None:
            self._started = time.perf_counter()
            self._drawn = self._started - _SECONDS_BETWEEN
            self.total = self.runs * steps
            if _in_notebook():
                from IPython.display import display

                self._kind, self._handle = "notebook", display(self, display_id=True)
            else:
                self._kind = "terminal" if sys.stdout.isatty() else "file"
        else:
            self.total = max(self.total, self.done + steps)
        self.done += done
        self._skipped += done
        self.note = ""
        self._draw_if_due()

    def advance(self, note=""):
        """Counts a step of a training that was begun; `note`, a str, says more about it."""
        self._check_begun()
        self.note = text("note", note)
        self.done += 1
        self._draw_if_due()

    def say(self, note):
        """Says something about a training that was begun, without counting a step: `note` is a str."""
        self._check_begun()
        self.note = text("note", note)
        self._draw_if_due()

    def end(self):
        """Ends a training that was begun; the last of `runs` ends the line."""
        self._check_begun()
        self._finished_runs += 1
        last = self._finished_runs >= self.runs
        self._draw(last=last)

    def _check_begun(self):
        if self._started is None:
            raise RuntimeError("`begin` must be called first.")

    def _draw_if_due(self):
        wait = _SECONDS_BETWEEN_LINES if self._kind == "file" else _SECONDS_BETWEEN
        if time.perf_counter() - self._drawn >= wait:
            self._draw()

    def _draw(self, last=False):
        self._drawn = time.perf_counter()
        if self._kind == "notebook":
            self._handle.update(self)
        elif self._kind == "terminal":
            line = repr(self)[: shutil.get_terminal_size().columns - 1]
            print("\r" + line.ljust(self._width), end="\n" if last else "", flush=True)
            self._width = len(line)
        elif self._kind == "file" and (last or self.done > self._skipped):
            print(repr(self), flush=True)

    def __repr__(self):
        seconds = 0 if self._started is None else max(0.0, self._drawn - self._started)
        parts = [f"step {self.done:,} of {self.total:,}", *filter(None, [self.note]), _duration(seconds)]
        new = self.done - self._skipped
        if self.done < self.total and new and seconds > 5:
            parts.append(f"about {_duration(seconds / new * (self.total - self.done))} left")
        return (f"{self.title}: " if self.title else "") + ", ".join(parts)

    def _repr_html_(self):
        style = "width: 16em; vertical-align: middle"
        bar = f'<progress value="{self.done}" max="{max(self.total, 1)}" style="{style}"></progress>'
        return f"{bar} {html.escape(repr(self))}"

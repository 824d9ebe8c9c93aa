"""Tables: a DataFrame with a caption, and numbers that can be read."""

import html
import numbers

import numpy as np
import pandas as pd

from kgpc.arguments import received, shown
from kgpc.plots import arguments


def _is_missing(value):
    return pd.api.types.is_scalar(value) and pd.isna(value)


class CaptionedTable:
    """A DataFrame with a caption, as `table` returns it; a notebook shows it as a formatted table.

    Attributes:
        frame: `pandas.DataFrame`, the values themselves.
        caption: str.
        notes: tuple of str, lines below the table.
    """

    def __init__(self, frame, caption, formats, notes=()):
        self.frame = frame
        self.caption = caption
        self.notes = tuple(notes)
        self._formats = formats

    def _cells(self):
        """The frame with the index as columns, unless that only counts rows, and every value as text."""
        frame = self.frame if isinstance(self.frame.index, pd.RangeIndex) else self.frame.reset_index()
        return pd.DataFrame({name: [self._text(name, value) for value in frame[name]] for name in frame.columns})

    def _text(self, column, value):
        if _is_missing(value):
            return ""
        if column in self._formats:
            return format(value, self._formats[column])
        if isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_)):
            return f"{value:,}"
        return str(value)

    def _is_number(self, column):
        return column in self.frame.columns and pd.api.types.is_numeric_dtype(self.frame[column])

    def __repr__(self):
        return "\n".join([self.caption, self._cells().to_string(index=False), *self.notes])

    def to_html(self):
        """Returns the formatted table as an HTML `table` element."""
        cells = self._cells()
        align = {name: "right" if self._is_number(name) else "left" for name in cells.columns}

        def row(tag, texts):
            inside = "".join(
                f'<{tag} style="text-align: {align[name]}">{html.escape(str(text))}</{tag}>'
                for name, text in zip(cells.columns, texts, strict=True)
            )
            return f"<tr>{inside}</tr>"

        style = "caption-side: top; text-align: left; white-space: nowrap; padding: 4px 0"
        caption = f'<caption style="{style}">{html.escape(self.caption)}</caption>'
        body = "\n".join(row("td", texts) for texts in cells.itertuples(index=False))
        head = f"<thead>{row('th', cells.columns)}</thead>"
        return f"<table>\n{caption}\n{head}\n<tbody>\n{body}\n</tbody>\n{self._foot(len(cells.columns))}</table>"

    def _foot(self, columns):
        """The notes as rows that reach over all columns."""
        if not self.notes:
            return ""
        style = "text-align: left; font-size: smaller"
        cells = [f'<tr><td colspan="{columns}" style="{style}">{html.escape(note)}</td></tr>' for note in self.notes]
        return "<tfoot>" + "\n".join(cells) + "</tfoot>\n"

    _repr_html_ = to_html  # what notebooks ask for


def _checked_format(name, specification, value):
    """Checks that a value can be written as the table will write it."""
    try:
        if not _is_missing(value):
            format(value, specification)
    except (TypeError, ValueError):
        raise ValueError(
            f"`formats` must hold format specifications for what the columns hold. "
            f"Received: {name!r}: {shown(specification)} for {shown(value)} ({type(value).__name__})."
        ) from None


def table(frame, caption, formats=None, notes=()):
    """Gives a DataFrame a caption and readable numbers.

    Integers get thousands separators, missing values are left empty; the index is shown unless it only counts the rows.

    Args:
        frame: `pandas.DataFrame`.
        caption: str, not empty, says what the table shows and, where a column name does not, the unit.
        formats: dict or None, format specification (as for `format`) of columns, for example `{"share": ".1%"}`.
        notes: list or tuple of str, footnotes below the table, as `kgpc.paper.footnotes` returns them.

    Returns:
        `CaptionedTable`; as the last expression of a cell it is shown.

    Raises:
        TypeError: if `frame` is not a DataFrame, `formats` not a dict, or `notes` no list or tuple of str.
        ValueError: if `caption` is empty or no str, two columns have the same name, `formats` names a column that is
            not there, or a value of it cannot be written so.
    """
    if not isinstance(caption, str) or not caption.strip():
        raise ValueError(f"`caption` must say what the table shows. Received: caption={shown(caption)}.")
    arguments.distinct_columns("frame", frame)
    if formats is not None and not isinstance(formats, dict):
        raise TypeError(f"`formats` must be a dict from columns to texts, or None. {received('formats', formats)}")
    formats = dict(formats or {})
    unknown = [name for name in formats if name not in frame.columns]
    if unknown:
        raise ValueError(f"`formats` must name columns of the table: {list(frame.columns)}. Received: {unknown}.")
    for name, specification in formats.items():
        for value in frame[name]:
            _checked_format(name, specification, value)
    if not isinstance(notes, list | tuple) or not all(isinstance(note, str) for note in notes):
        raise TypeError(f"`notes` must be a list or tuple of str. {received('notes', notes)}")
    return CaptionedTable(frame, caption, formats, notes)

"""What a reader asks to be replaced: by name, regular expression or function, with one scheme or several."""

import difflib
import re

from kgpc.arguments import received, shown
from kgpc.grouping import Scheme, check_scheme


class Selector:
    """Layers that an argument selects.

    Args:
        argument: str, name of the argument, for messages.
        value: None for all layers; the name of a layer or its path ("backbone/conv_pw_1"); a compiled regular
            expression, which is searched in the path; a function of a layer that returns a bool; or a list of these.

    Raises:
        TypeError: if `value` is anything else.
        ValueError: if a list or a name is empty.
    """

    def __init__(self, argument, value):
        self.argument = argument
        self.everything = value is None
        several = isinstance(value, (list, tuple, set, frozenset))
        self.parts = [] if value is None else list(value) if several else [value]
        for part in self.parts:
            if not isinstance(part, (str, re.Pattern)) and not callable(part):
                raise TypeError(
                    f"`{argument}` must be names of layers, compiled regular expressions, functions of a layer, or a "
                    f"list of them. {received(argument, part)}"
                )
            if isinstance(part, re.Pattern) and not isinstance(part.pattern, str):
                raise TypeError(f"`{argument}` must have regular expressions of str. {received(argument, part)}")
        if not self.everything and (not self.parts or "" in self.parts):
            raise ValueError(f"`{argument}` must not be empty. Received: {argument}={shown(value)}.")

    def selects(self, path, layer):
        """Whether a layer is selected."""
        return self.everything or any(self._fits(part, path, layer) for part in self.parts)

    def names(self, path, layer):
        """Whether a layer is selected by its own name or path, not as one of many."""
        return any(part in (path, layer.name) for part in self.parts if isinstance(part, str))

    def _fits(self, part, path, layer):
        if isinstance(part, str):
            return part in (path, layer.name)
        if isinstance(part, re.Pattern):
            return part.search(path) is not None
        answer = part(layer)
        if not isinstance(answer, bool):
            raise TypeError(f"`{self.argument}` must be a function that returns a bool. {received('result', answer)}")
        return answer

    def check(self, layers):
        """Raises where a name or a regular expression fits no layer.

        Args:
            layers: dict from paths to layers.
        """
        for part in self.parts:
            if callable(part) or any(self._fits(part, path, layer) for path, layer in layers.items()):
                continue
            if isinstance(part, re.Pattern):
                raise ValueError(
                    f"`{self.argument}` must fit the path of a layer. Received: the regular expression "
                    f"{part.pattern!r}, which fits none."
                )
            close = difflib.get_close_matches(part, list(layers), 3, 0.5)
            hint = f" Perhaps: {', '.join(close)}." if close else ""
            raise ValueError(
                f"`{self.argument}` must be the name or the path of a layer. Received: {part!r}, which is none.{hint}"
            )


class Schemes:
    """The scheme of each layer.

    Args:
        value: a `kgpc.grouping.Scheme`; or a dict from names, paths or compiled regular expressions to schemes or None,
            of which the first that fits a layer counts.

    Raises:
        TypeError: if a key of the dict is anything else.
        ValueError: if it is neither, or the dict is empty.
    """

    def __init__(self, value):
        if isinstance(value, dict):
            if not value:
                raise ValueError("`scheme` must hold at least one entry. Received: scheme={}.")
            self._schemes = [(Selector("scheme", key), check_scheme(scheme)) for key, scheme in value.items()]
            if any(
                selector.everything or callable(key) for (selector, _), key in zip(self._schemes, value, strict=True)
            ):
                raise TypeError(
                    "`scheme` must be a dict from names of layers or compiled regular expressions to schemes. "
                    f"Received: scheme={shown(value)}."
                )
        elif isinstance(value, Scheme):
            self._schemes = [(Selector("scheme", None), value)]
        else:
            raise ValueError(
                '`scheme` must be a scheme such as kgpc.D6(16), a dict from layers to schemes, or "auto" with a '
                f"`budget`. Received: scheme={shown(value)}."
            )

    def assign(self, units, total):
        """The scheme of each unit.

        Args:
            units: list of `kgpc.conversion.units.Unit`.
            total: int, parameters of the network; not asked for here.

        Returns:
            Dict from units to schemes, or None where one stays ordinary or no scheme is given for it.
        """
        return {
            unit: next((scheme for part, scheme in self._schemes if part.selects(unit.path, unit.layer)), None)
            for unit in units
        }

    def names(self, path, layer):
        """Whether a layer is given a scheme by its own name or path."""
        return any(selector.names(path, layer) for selector, _ in self._schemes)

    def check(self, layers):
        """Raises where a key fits no layer; see `Selector.check`."""
        for selector, _ in self._schemes:
            selector.check(layers)

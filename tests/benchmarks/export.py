"""Measures exported files: how grouped convolutions are best written, and what each format costs.

    python tests/benchmarks/export.py                    everything (two processor cores: about ten minutes)
    python tests/benchmarks/export.py formulations --rounds 50
    python tests/benchmarks/export.py table --again      the rows that are there already, too

The tables go to data/benchmarks/export-formulations.csv, export-table.csv, export-profile.csv (where the time of an
ONNX file goes) and export-parts.csv (that of a LiteRT file), and into docs/to-a-phone.md. A row that is there is not
measured again without --again; exported files and trained networks stay in the folder --work and are used again. Files
are measured in turns, one thread each; `cpu_ms` is what the processor worked, which other programs hardly change,
`median_ms` what the clock says, which they do. Networks at 224 pixels have random weights: their time and size are
those of trained ones. The small networks for the accuracy are trained here, on the sample of Fashion-MNIST that comes
along, for a minute: they are demonstrations.
"""

import argparse
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Before Keras, so that TensorFlow gets its settings.
import kgpc  # isort: split

import cv2
import export_parts
import keras
import numpy as np
import pandas as pd

from kgpc import applications, datasets, deploy, files, training
from kgpc.deploy import formulation, runtimes

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "to-a-phone.md"
DATA = pathlib.Path(__file__).resolve().parents[2] / "data" / "benchmarks"
SIZE = 224
FULL = {"weights": None, "classes": 10, "input_shape": (SIZE, SIZE, 3)}
# The ordinary network of a pair and the grouped one, by name.
PAIRS = (
    {
        "MobileNet": lambda: keras.applications.MobileNet(**FULL),
        "kMobileNet 16ch": lambda: applications.kMobileNet(scheme=kgpc.D6(16), **FULL),
    },
    {
        "EfficientNetB0": lambda: keras.applications.EfficientNetB0(**FULL),
        "kEffNet-B0 16ch": lambda: applications.kEfficientNetB0(scheme=kgpc.D6(16), **FULL),
    },
)
# What `kgpc.convert` makes of the ordinary network, whose pointwise convolutions keep their ReLU6.
CONVERTED = {
    "MobileNet, converted": lambda: kgpc.convert(keras.applications.MobileNet(**FULL), kgpc.D6(16)),
}
WITH_CONVERTED = ({**PAIRS[0], **CONVERTED}, PAIRS[1])
# The trained pair: half as wide, for images of 32 pixels.
SMALL = {"alpha": 0.5}
TRAINED = {"MobileNet 0.5, 32 px": None, "kMobileNet 0.5 16ch, 32 px": kgpc.D6(16)}
RECIPE = training.QUICK.replace(epochs=6, batch_size=32, validation_fraction=0.1, seed=1)
# Files of the table: format, precision, whether folded.
KINDS_OF_FILES = (
    ("litert", "float32", False),
    ("litert", "float32", True),
    ("litert", "float16", True),
    ("litert", "dynamic", True),
    ("litert", "int8", True),
    ("onnx", "float32", False),
    ("onnx", "float32", True),
)
# Ways to write grouped convolutions and interleavings: each one, with the best of the other. In 8 bits it is the
# interleaving alone that is asked about.
WAYS = {
    (format, precision): [
        *((grouped, best[1]) for grouped in formulation.GROUPED if precision != "int8" or grouped == best[0]),
        *((best[0], each) for each in formulation.INTERLEAVING if each != best[1]),
    ]
    for format, precision in (("litert", "float32"), ("litert", "int8"), ("onnx", "float32"))
    for best in (formulation.BEST[format],)
}


def with_values(model):
    """A model whose normalizations do something, as those of a trained one."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(
                [generator.uniform(0.8, 1.2, weight.shape) + (weight.name in ("beta", "moving_mean")) * -1
                 for weight in layer.weights]
            )  # fmt: skip
    return model


def photographs():
    """Real images: the photographs that come along and their mirror images, (12, 224, 224, 3), from 0 to 1."""
    images = [cv2.resize(each.pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for each in datasets.photographs()]
    return np.stack(images + [image[:, ::-1] for image in images]).astype("float32") / 255


def scaled(name, images):
    """Images as a network takes them: Keras' EfficientNet takes pixels from 0 to 255."""
    return images * 255 if name == "EfficientNetB0" else images


def trained(scheme, work):
    """A small network, trained on the sample of Fashion-MNIST, or as it was stored."""
    path = work / f"{'ordinary' if scheme is None else 'grouped'}-seed{RECIPE.seed}.keras"
    if path.exists():
        return keras.models.load_model(path)
    model = training.build(applications.kMobileNet, RECIPE, weights=None, classes=10, scheme=scheme, **SMALL)
    training.fit(model, datasets.fashion_mnist_sample(), RECIPE, progress=False)
    model.save(path)
    return model


def exported(make, path, **options):
    """What `deploy.export` says of a file; from the card beside it where the file is there."""
    card = path.with_name(path.name + ".json")
    if not (path.exists() and card.exists()):
        deploy.export(make(), path, **options)
    return files.read_json(card)["verified"]


def of_network(name, make, images, labels, work):
    """The files of the table for one network: name of the file -> path, and what was verified."""
    models, found = [], {}

    def model():
        if not models:
            models.append(make())
        return models[0]

    for format, precision, folded in KINDS_OF_FILES:
        stem = f"{name} {precision}{'' if folded else ' unfolded'}".replace(" ", "-").replace(",", "")
        path = work / (stem + runtimes.SUFFIXES[format])
        # Networks with random weights have no classes to agree on.
        limits = {"agreement": 0, "accuracy_loss": 1} if labels is None else {}
        verified = exported(
            model,
            path,
            precision=precision,
            folding=folded,
            images=images[0],
            labels=labels,
            representative=images[1],
            **limits,
        )
        found[format, precision, folded] = path, verified
    return found


def table(options, done):
    """Yields rows of the table: both networks of a pair in turns, a format at a time."""
    real = photographs()
    for pair in PAIRS:
        made = {
            name: (lambda make=make: with_values(make()), (scaled(name, real),) * 2, None)
            for name, make in pair.items()
        }
        yield from measured_pair(made, SIZE, options, done)
    data = datasets.fashion_mnist_sample()
    test, learned = (training.prepare(images, RECIPE) for images in (data.x_test, data.x_train[:200]))
    made = {
        name: (lambda scheme=scheme: trained(scheme, options.work), (test, learned), data.y_test)
        for name, scheme in TRAINED.items()
    }
    yield from measured_pair(made, RECIPE.image_size, options, done)


def measured_pair(made, size, options, done):
    """Yields rows for one pair of networks; `made` has for each how to make it, its images and its labels."""
    names = list(made)
    if options.only and not any(part in each for part in options.only for each in names):
        return
    if all((name, *kind) in done for name in names for kind in KINDS_OF_FILES):
        return
    found = {name: of_network(name, *made[name], options.work) for name in names}
    keras.backend.clear_session()
    for kind in KINDS_OF_FILES:
        times = deploy.measure({name: found[name][kind][0] for name in names}, options.rounds).set_index("file")
        for name in names:
            verified = found[name][kind][1]
            yield {
                "network": name,
                "image_size": size,
                "trained": made[name][2] is not None,
                **dict(zip(("format", "precision", "folded"), kind, strict=True)),
                **times.loc[name].to_dict(),
                "bytes_ratio": times.loc[name, "bytes"] / times.loc[names[0], "bytes"],
                "cpu_ratio": times.loc[name, "cpu_ms"] / times.loc[names[0], "cpu_ms"],
                "rounds": options.rounds,
                **{key: verified[key] for key in ("images", "agreement", "largest_difference")},
                **{key: np.nan if verified[key] is None else verified[key] for key in ("keras_accuracy", "accuracy")},
            }


def formulations(options, done):
    """Yields rows of ways to write a grouped network, in turns with its ordinary twin."""
    real = photographs()[:2]
    for pair in PAIRS:
        (ordinary, make_ordinary), (name, make) = pair.items()
        if options.only and name not in options.only:
            continue
        for (format, precision), ways in WAYS.items():
            if all((name, format, precision, *way) in done for way in ways):
                continue
            paths, cases = {}, [(ordinary, make_ordinary, (None, None)), *((str(way), make, way) for way in ways)]
            for label, network, way in cases:
                stem = ordinary if label == ordinary else f"{name}-{'-'.join(way)}"
                stem = f"formulation-{stem}{'-int8' if precision == 'int8' else ''}".replace(" ", "-")
                path = options.work / (stem + runtimes.SUFFIXES[format])
                images = scaled(label, real)
                exported(
                    lambda network=network: with_values(network()),
                    path,
                    precision=precision,
                    images=images,
                    representative=images,
                    agreement=0,
                    grouped=way[0],
                    interleaving=way[1],
                )
                paths[label] = path
            times = deploy.measure(paths, options.rounds, memory=False).set_index("file")
            for way in ways:
                row = times.loc[str(way)].to_dict()
                del row["peak_bytes"]
                yield {
                    "network": name,
                    "format": format,
                    "precision": precision,
                    "grouped": way[0],
                    "interleaving": way[1],
                    **row,
                    "bytes_ratio": row["bytes"] / times.loc[ordinary, "bytes"],
                    "cpu_ratio": row["cpu_ms"] / times.loc[ordinary, "cpu_ms"],
                    "rounds": options.rounds,
                }
        keras.backend.clear_session()


def profile(options, done):
    """Yields where the time of an ONNX file goes, by ONNX Runtime's profiler."""
    real = photographs()
    for pair in WITH_CONVERTED:
        for name, make in pair.items():
            if (name,) in done or options.only and not any(part in name for part in options.only):
                continue
            path = options.work / (f"{name}-float32".replace(" ", "-").replace(",", "") + runtimes.SUFFIXES["onnx"])
            images = scaled(name, real)
            exported(lambda make=make: with_values(make()), path, images=images)
            runtime, times = export_parts.of_profile(path, images[:1], options.rounds)
            yield {"network": name, "runtime": runtime, **times, "rounds": options.rounds}


def parts(options, done):
    """Yields where the time of a LiteRT file goes, by files of one layer each: all networks of a pair in turns."""
    for pair in WITH_CONVERTED:
        for precision in ("float32", "int8"):
            if options.only and not any(part in name for part in options.only for name in pair):
                continue
            if all((name, precision) in done for name in pair):
                continue
            found = export_parts.of_layers(pair, precision, options.rounds)
            for name, times in found.items():
                row = {"network": name, "precision": precision, "runtime": runtimes.name_of("litert"), **times}
                yield {**row, "rounds": options.rounds}


KEYS = {
    "profile": ["network"],
    "parts": ["network", "precision"],
    "formulations": ["network", "format", "precision", "grouped", "interleaving"],
    "table": ["network", "format", "precision", "folded"],
}


def stored(path, rows, keys):
    """Writes rows to a table, in place of those with the same keys; whole or not at all."""
    fresh = pd.DataFrame(rows)
    for column in fresh.select_dtypes("float"):
        fresh[column] = fresh[column].map(lambda value: float(f"{value:.4g}"))  # more is noise
    before = pd.read_csv(path) if path.exists() else fresh.iloc[:0]
    together = pd.concat([each for each in (before, fresh) if len(each)])
    together = together.drop_duplicates(keys, keep="last")
    files.write(path, together.to_csv(index=False, lineterminator="\n"))


def _markdown(frame):
    """A table of texts as Markdown, numbers to the right."""
    numbers = [frame[name].str.match(r"[\d,.e-]+%?( \(|$)|$").all() for name in frame]
    rules = ["---:" if is_number else "---" for is_number in numbers]
    lines = [list(frame.columns), rules, *frame.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def table_as_text(frame):
    """The table as the page shows it."""

    def text(row):
        clock = f"{row.median_ms:.3g} ({row.lower_quartile_ms:.3g}\u2013{row.upper_quartile_ms:.3g})"
        accuracy = f"{100 * row.accuracy:.1f}% ({100 * row.keras_accuracy:.1f}%)" if row.trained else ""
        return {
            "network": row.network,
            "file": f"{row.format} {row.precision}{'' if row.folded else ' unfolded'}",
            "kB": f"{row.bytes / 1000:,.0f}",
            "kB, of ordinary": f"{row.bytes_ratio:.2f}",
            "memory, kB": f"{row.peak_bytes / 1000:,.0f}",
            "CPU ms": f"{row.cpu_ms:.3g}",
            "CPU, of ordinary": f"{row.cpu_ratio:.2f}",
            "clock ms": clock,
            "same class": f"{100 * row.agreement:.1f}%",
            "difference": f"{row.largest_difference:.1g}",
            "accuracy (Keras)": accuracy,
        }

    return pd.DataFrame([text(row) for row in frame.itertuples()])


def formulations_as_text(frame):
    """The ways to write a network as the page shows them."""

    def text(row):
        return {
            "network": row.network,
            "runtime": row.runtime,
            "precision": row.precision,
            "grouped": row.grouped,
            "interleaving": row.interleaving,
            "CPU ms": f"{row.cpu_ms:.3g}",
            "of ordinary": f"{row.cpu_ratio:.2f}",
            "kB": f"{row.bytes / 1000:,.0f}",
            "kB, of ordinary": f"{row.bytes_ratio:.2f}",
        }

    ordered = frame.sort_values(
        ["network", "format", "precision", "cpu_ratio"], kind="stable", ascending=[False, True, True, True]
    )
    return pd.DataFrame([text(row) for row in ordered.itertuples()])


def parts_as_text(frame):
    """Where the time goes as the page shows it: milliseconds of each part, and what is left without pointwise ones."""
    rows, names = [], [name for name in export_parts.PARTS if frame[name].any()]
    for _, row in frame.iterrows():
        alike = frame[frame["precision"] == row["precision"]] if "precision" in frame else frame
        ordinary = next(iter(next(pair for pair in WITH_CONVERTED if row["network"] in pair)))
        whole, of_ordinary = (each.get("whole", each[names].sum()) for each in (row, _row_of(alike, ordinary)))
        rows.append(
            {
                "network": row["network"],
                **({"precision": row["precision"]} if "precision" in frame else {}),
                **{name: f"{row[name]:.2f}" for name in names},
                **({"sum": f"{row[names].sum():.2f}"} if "whole" in frame else {}),
                "whole": f"{whole:.2f}",
                "of ordinary": f"{whole / of_ordinary:.2f}",
                "floor": f"{(whole - row['pointwise convolutions']) / of_ordinary:.2f}",
            }
        )
    return pd.DataFrame(rows)


def _row_of(frame, network):
    return frame[frame["network"] == network].iloc[0]


def with_tables(page, folder=DATA):
    """The text of the page with the tables that the folder has in their places."""
    for name, as_text in (
        ("export-table", table_as_text),
        ("export-formulations", formulations_as_text),
        ("export-profile", parts_as_text),
        ("export-parts", parts_as_text),
    ):
        if (folder / f"{name}.csv").exists():
            begin = f"<!-- begin: {name} -->\n"
            before, _, after = page.partition(begin)
            after = after[after.index("<!-- end -->") :]
            page = f"{before}{begin}\n{_markdown(as_text(pd.read_csv(folder / f'{name}.csv')))}\n\n{after}"
    return page


MEASURES = {"formulations": formulations, "table": table, "profile": profile, "parts": parts}


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help=f"what to measure, of {', '.join(MEASURES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=30, help="timed predictions of each file (default 30)")
    parser.add_argument("--only", nargs="+", help="networks whose name contains one of these")
    parser.add_argument("--again", action="store_true", help="measure what is in the tables already, too")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("results/benchmarks/export"))
    parser.add_argument(
        "--output", type=pathlib.Path, default=DATA, help="folder of the tables (default data/benchmarks)"
    )
    options = parser.parse_args(arguments)
    if set(options.kinds) - set(MEASURES) or options.rounds < 1:
        parser.error(f"kinds must be of {', '.join(MEASURES)}, and rounds at least 1")
    options.work.mkdir(parents=True, exist_ok=True)
    for kind in options.kinds or MEASURES:
        path, keys = options.output / f"export-{kind}.csv", KEYS[kind]
        done = (
            set()
            if options.again or not path.exists()
            else set(pd.read_csv(path)[keys].itertuples(index=False, name=None))
        )
        for row in MEASURES[kind](options, done):
            stored(path, [row], keys)
            print(*(f"{value:.4g}" if isinstance(value, float) else value for value in row.values()), flush=True)
    if options.output == DATA:
        files.write(PAGE, with_tables(PAGE.read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())

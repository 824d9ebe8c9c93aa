"""The whole course of a run, in the calls' own order and as the authors' notebooks make them, on tiny data."""

import pathlib
import sys
import types

import keras
import numpy as np
import PIL.Image
import pytest

import kgpc.cai

ARRAYS = """
import cai.layers
import cai.datasets
import cai.models
import numpy as np
import os
from tensorflow import keras
from tensorflow.keras import mixed_precision

batch_size = 8
epochs = 2
verbose = True
kTypes = [cai.layers.D6v3_2ch()]
base_name = "JP30I10-keffnet-CIFAR10-"

x_train, y_train, x_test, y_test = cai.datasets.load_dataset(
    cifar10, verbose=verbose, lab=False, bipolar=False, base_model_name=base_name)

def cyclical_adv_lrscheduler25(epoch):
    base, local_epoch = 0.001, epoch % 25
    return base * (1 + 0.5 * local_epoch) if local_epoch < 7 else (base * 4) * 0.85 ** (local_epoch - 7)

train_datagen = cai.util.create_image_generator(
    validation_split=0.1, rotation_range=20, width_shift_range=0.3, height_shift_range=0.3, channel_shift_range=0.0)
cpus_num = max([int(os.cpu_count()), 8])

for kType in kTypes:
    basefilename = base_name + str(kType)
    best_result_file_name = basefilename + "-best_result.hdf5"
    model = cai.densenet.ksimple_densenet([32, 32, 3], blocks=1, growth_rate=12, bottleneck=48,
        compression=0.5, l2_decay=0, kTypeTransition=kType, kTypeBlock=kType, num_classes=10, dropout_rate=0.0,
        activation=keras.activations.swish, has_interleave_at_transition=True)
    optimizer = mixed_precision.LossScaleOptimizer(keras.optimizers.RMSprop())
    model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    save_best = keras.callbacks.ModelCheckpoint(
        filepath=best_result_file_name, save_weights_only=False, verbose=verbose, save_best_only=True,
        monitor="val_accuracy", mode="max")
    train_flow = train_datagen.flow(
        x_train, y_train, batch_size=batch_size, shuffle=True, seed=12, subset="training")
    validation_flow = train_datagen.flow(
        x_train, y_train, batch_size=batch_size, shuffle=True, seed=12, subset="validation")
    history = model.fit(
        x=train_flow, epochs=epochs, batch_size=batch_size, validation_data=validation_flow,
        callbacks=[save_best, keras.callbacks.LearningRateScheduler(cyclical_adv_lrscheduler25)],
        workers=cpus_num, max_queue_size=128)
    print("Testing Best Model: ", best_result_file_name)
    model = cai.models.load_kereas_model(best_result_file_name)
    evaluated = model.evaluate(
        x=x_test, y=y_test, batch_size=batch_size, use_multiprocessing=False, workers=cpus_num)
    for metric, name in zip(evaluated, ["loss", "acc"]):
        print(name, metric)
    cai.datasets.test_flips_on_saved_model(
        x_test, y_test, best_result_file_name, has_flip_x=True, has_flip_y=True, has_bw=True, center_crop=0.15)
"""

FOLDERS = """
import cai.layers
import cai.mobilenet
import numpy as np
import os
from tensorflow import keras

num_classes = 12
target_size_x = target_size_y = 32
x_train, y_train, x_test, y_test = cai.datasets.load_dataset(cifar100, lab=False, bipolar=False)
if not os.path.isdir("img"):
    cai.datasets.save_dataset_as_png(
        cai.datasets.fix_bad_tfkeras_channel_order(x_train) * 255, y_train, dest_folder_name="img/train")
    cai.datasets.save_dataset_as_png(
        cai.datasets.fix_bad_tfkeras_channel_order(x_test) * 255, y_test, dest_folder_name="img/test")
train_datagen = cai.util.create_image_generator(
    validation_split=0.1, rotation_range=20, width_shift_range=0.3, height_shift_range=0.3, channel_shift_range=0.0,
    rescale=1. / 255)
test_datagen = cai.util.create_image_generator_no_augmentation(rescale=1. / 255)
train_flow = train_datagen.flow_from_directory(
    directory="img/train", subset="training", target_size=(target_size_x, target_size_y), color_mode="rgb",
    batch_size=16, class_mode="categorical", shuffle=True, seed=12)
validation_flow = train_datagen.flow_from_directory(
    directory="img/train", subset="validation", target_size=(target_size_x, target_size_y), color_mode="rgb",
    batch_size=16, class_mode="categorical", shuffle=True, seed=12)
test_flow = test_datagen.flow_from_directory(
    directory="img/test", target_size=(target_size_x, target_size_y), color_mode="rgb", batch_size=16,
    class_mode="categorical", shuffle=False, seed=12)

kType = cai.layers.D6_16ch()
model = cai.mobilenet.kMobileNet(
    include_top=True, weights=None, input_shape=(None, None, 3), pooling=None, classes=num_classes, kType=kType,
    alpha=0.25)
model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.RMSprop(), metrics=["accuracy"])
best_result_file_name = "JP35B14-mobilenet-" + str(kType) + "-best_result.hdf5"
save_best = keras.callbacks.ModelCheckpoint(
    filepath=best_result_file_name, save_weights_only=False, verbose=True, save_best_only=True, monitor="val_loss",
    mode="min", period=1)
history = model.fit(
    train_flow, epochs=1, validation_data=validation_flow, callbacks=[save_best], workers=2, max_queue_size=10)
model = cai.models.load_kereas_model(best_result_file_name)
evaluated = model.evaluate(test_flow, workers=2, use_multiprocessing=False, max_queue_size=10)
"""

BRANCHES = """
import cai
from tensorflow import keras

cai.datasets.download_zip_and_extract("https://example.invalid/plants.zip", "plants.zip", "plants", True)
cai.datasets.extract_subset_every("plants", "plants-validation", 10)
train_x, val_x, test_x, train_y, val_y, test_y, class_weight, classes = cai.datasets.load_images_from_folders(
    seed=7, root_dir="plants", lab=True, verbose=True, bipolar=False, base_model_name="plant_leaf", training_size=0.65,
    validation_size=0.15, test_size=0.2, target_size=(80, 80), has_training=True, has_validation=True,
    has_testing=True, smart_resize=True)
for l_ratio, two_paths in ((-1, False), (0.2, True)):
    model = cai.models.compiled_two_path_inception_v3(
        input_shape=(80, 80, 3), classes=len(classes), two_paths_partial_first_block=0, two_paths_first_block=two_paths,
        two_paths_second_block=False, deep_two_paths=False, deep_two_paths_compression=0.6,
        deep_two_paths_bottleneck_compression=0.6, l_ratio=l_ratio, ab_ratio=1 - l_ratio, max_mix_idx=0,
        max_mix_deep_two_paths_idx=-1, model_name="two_path_inception_v3")
    name = "JP27B13-" + str(l_ratio) + "-best_result.hdf5"
    save_best = keras.callbacks.ModelCheckpoint(filepath=name, verbose=1, save_best_only=True, monitor="val_accuracy")
    generator = cai.util.create_image_generator(vertical_flip=True, rotation_range=90)
    history = model.fit(
        generator.flow(train_x, train_y, batch_size=8, shuffle=True), epochs=1, validation_data=(val_x, val_y),
        callbacks=[save_best, keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 * 0.99 ** epoch)],
        class_weight=class_weight, workers=1, max_queue_size=8)
    model = keras.models.load_model(name, custom_objects={"CopyChannels": cai.layers.CopyChannels})
    evaluated = model.evaluate(test_x, test_y, batch_size=8, workers=1, use_multiprocessing=False)
"""


def random_data(classes, count, size=32):
    """A stand-in for a data set of Keras, whose classes can be told apart by their brightness."""
    draw = np.random.default_rng(0)

    def part(number):
        labels = np.arange(number) % classes
        images = draw.integers(0, 60, (number, size, size, 3)) + (labels * 190 // classes)[:, None, None, None]
        return images.astype("uint8"), labels[:, None]

    return types.SimpleNamespace(load_data=lambda: (part(count), part(count // 2)))


@pytest.fixture
def older_packages(tmp_path, monkeypatch):
    """The old names, in a folder of its own; gone afterwards."""
    monkeypatch.chdir(tmp_path)
    kgpc.cai.install()
    yield tmp_path
    kgpc.cai.uninstall()


def run(cells, **names):
    exec(compile(cells, "notebook", "exec"), names)
    return names


def test_a_cifar_run_on_arrays(older_packages, capsys):
    names = run(ARRAYS, cifar10=random_data(10, 80))
    assert [path.name for path in older_packages.iterdir()] == ["JP30I10-keffnet-CIFAR10-46-best_result.hdf5"]
    assert len(names["history"].history["val_accuracy"]) == 2
    assert np.isfinite(names["evaluated"]).all()
    assert capsys.readouterr().out.count("weighted avg") == 12


def test_a_cifar_run_on_folders(older_packages):
    names = run(FOLDERS, cifar100=random_data(12, 240))
    assert names["train_flow"].class_indices["class_10"] == 2
    assert (names["train_flow"].n, names["validation_flow"].n, names["test_flow"].n) == (216, 24, 120)
    assert np.isfinite(names["evaluated"]).all()
    # Written, read and scaled, the images are the original ones.
    x_test, y_test = names["x_test"], names["y_test"]
    images, labels = names["test_flow"][0]
    for image, label, name in zip(images, labels, names["test_flow"].filenames, strict=False):
        number = int(pathlib.Path(name).stem.removeprefix("img_"))
        np.testing.assert_allclose(image, x_test[number], atol=1e-6)
        assert list(names["test_flow"].class_indices)[label.argmax()] == f"class_{y_test[number].argmax()}"


def test_a_run_with_two_branches(older_packages):
    draw = np.random.default_rng(1)
    for kind in ("leaf a", "leaf b", "leaf c"):
        (older_packages / "plants" / kind).mkdir(parents=True)
        for number in range(20):
            size = draw.integers(60, 100, 2)
            pixels = draw.integers(0, 256, (*size, 3)).astype("uint8")
            PIL.Image.fromarray(pixels).save(older_packages / "plants" / kind / f"{number}.jpg")
    with pytest.warns(UserWarning, match="not the published ones"):
        names = run(BRANCHES)
    assert names["classes"] == ["leaf a", "leaf b", "leaf c"]
    assert [len(names[part]) for part in ("train_x", "val_x", "test_x")] == [33, 9, 12]  # of 18 each
    assert np.isfinite(names["evaluated"]).all()


def test_nothing_of_it_is_left_afterwards():
    own = "fit" in vars(keras.Model)
    before = (keras.Model.fit, keras.callbacks.ModelCheckpoint.__init__, set(sys.modules))
    kgpc.cai.install()
    kgpc.cai.install()
    assert sys.modules["cai.util"] is kgpc.cai.util
    kgpc.cai.uninstall()
    kgpc.cai.uninstall()
    assert (keras.Model.fit, keras.callbacks.ModelCheckpoint.__init__) == before[:2]
    assert set(sys.modules) == before[2]
    assert ("fit" in vars(keras.Model)) == own

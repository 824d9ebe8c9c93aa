"""The data folder is found in a checkout and in an installed package, and in no other place."""

import pytest

from kgpc import resources


def make_package(root, installed=(), beside=()):
    """Lays out a package folder under `root`, with data files inside it (a wheel) and beside it (a checkout)."""
    package = root / "kgpc"
    package.mkdir()
    for folder, names in ((package / "_data", installed), (root / "data", beside)):
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(folder.relative_to(root)), encoding="utf-8")
    return package


@pytest.fixture
def use_package(monkeypatch):
    def use(package):
        monkeypatch.setattr(resources, "_package_folder", lambda: package)

    return use


def test_the_shipped_tables_are_found():
    assert resources.data_path("published/published_results.csv").is_file()


def test_a_checkout_reads_the_folder_beside_the_package(tmp_path, use_package):
    use_package(make_package(tmp_path, beside=["published/a.csv"]))
    assert resources.data_path("published/a.csv") == tmp_path / "data" / "published" / "a.csv"


def test_a_wheel_reads_the_folder_inside_the_package(tmp_path, use_package):
    use_package(make_package(tmp_path, installed=["a.csv"], beside=["a.csv"]))
    assert resources.data_path("a.csv").read_text(encoding="utf-8").replace("\\", "/") == "kgpc/_data"


def test_a_wheel_ignores_an_unrelated_folder_beside_the_package(tmp_path, use_package):
    use_package(make_package(tmp_path, installed=["a.csv"], beside=["b.csv"]))
    with pytest.raises(FileNotFoundError, match=r"'b\.csv'"):
        resources.data_path("b.csv")


def test_a_missing_file_is_named_with_both_places(tmp_path, use_package):
    package = make_package(tmp_path)
    use_package(package)
    with pytest.raises(FileNotFoundError) as error:
        resources.data_path("published/nothing.csv")
    message = str(error.value)
    assert "'published/nothing.csv'" in message
    assert str(tmp_path / "data" / "published" / "nothing.csv") in message
    assert str(package / "_data" / "published" / "nothing.csv") in message


def test_a_folder_is_not_a_data_file():
    with pytest.raises(FileNotFoundError, match="'published'"):
        resources.data_path("published")


@pytest.mark.parametrize(
    "name", ["", ".", "/etc/hosts", "../README.md", "published/../../README.md", "..\\README.md", "C:/a.csv"]
)
def test_a_path_out_of_the_folder_is_refused(name):
    with pytest.raises(ValueError, match="`name` must be a relative path"):
        resources.data_path(name)


@pytest.mark.parametrize("name", [None, 3, b"a.csv"])
def test_a_name_that_is_no_str_is_refused(name):
    with pytest.raises(TypeError, match="`name` must be a str"):
        resources.data_path(name)

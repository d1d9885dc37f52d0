"""import_features.py and export_features.py: every layout gives the same rows in the order of the list, or one line."""
import csv
import json

import numpy as np
import pytest
import torch

from fewshot_wsi.commands import export_features, import_features
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import load_features
from fewshot_wsi.foundation.lists import read_list
from fewshot_wsi.foundation.provenance import read_provenance

h5py, zarr, pa = pytest.importorskip("h5py"), pytest.importorskip("zarr"), pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

DIM, PLACES = 6, [(512 * i, 256 * (i % 3)) for i in range(10)]
SLIDES = ("a", "b")


def rows(slide, dtype=np.float32):
    """(10, 6) features of a slide, of no unit length."""
    return np.random.default_rng(SLIDES.index(slide)).uniform(-3, 3, (len(PLACES), DIM)).astype(dtype)


def h5(path, arrays, attributes=None, **of_arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes or {})
        for name, values in arrays.items():
            file[name] = values
            file[name].attrs.update(of_arrays.get(name, {}))
    return path


def trident(folder, dtype=np.float32, batch=False):
    for slide in SLIDES:
        values = rows(slide, dtype)
        h5(folder / "in" / f"{slide}.h5", {"features": values[None] if batch else values, "coords": np.array(PLACES)},
           features={"encoder": "uni_v1", "name": slide}, coords={"patch_size_level0": 512, "name": slide})
    return folder / "in", ()


def stamp(folder):
    for slide in SLIDES:
        h5(folder / "in" / f"{slide}.h5", {"feats": rows(slide, np.float16), "coords": np.array(PLACES) * 0.2527},
           {"unit": "um", "tile_size_um": 256.0, "extractor": "uni"})
    return folder / "in", ("--mpp", "0.2527")


def one_h5(folder):
    """One file for all, a group a slide."""
    path = folder / "all.h5"
    with h5py.File(path, "w") as file:
        for slide in SLIDES:
            file[f"{slide}/features"], file[f"{slide}/coords"] = rows(slide), np.array(PLACES)
    return path, ()


def together():
    """(features, slides, coordinates) of all rows, backwards."""
    values = np.concatenate([rows(slide) for slide in SLIDES])[::-1]
    return values, np.repeat(SLIDES, len(PLACES))[::-1], np.array(PLACES * 2)[::-1]


def npz(folder):
    values, slides, places = together()
    np.savez_compressed(folder / "all.npz", features=values, slides=slides, coords=places)
    return folder / "all.npz", ()


def pt(folder):
    for slide in SLIDES:
        (folder / "in").mkdir(exist_ok=True)
        whole = torch.from_numpy(np.concatenate([np.zeros_like(rows(slide)), rows(slide)]))
        torch.save({"features": whole[len(PLACES):], "coords": torch.tensor(PLACES)}, folder / "in" / f"{slide}.pt")
    return folder / "in", ()


def zarr_store(folder):
    values, slides, places = together()
    group = zarr.open_group(folder / "all.zarr", mode="w")
    group.create_array("features", data=values, chunks=(4, DIM))
    group.create_array("coords", data=places)
    group.create_array("slides", data=slides.astype("U8"))
    return folder / "all.zarr", ()


def parquet_lists(folder):
    values, slides, places = together()
    parquet.write_table(pa.table({"slide_id": slides, "x": places[:, 0], "y": places[:, 1],
                                  "embedding": list(values)}), folder / "all.parquet")
    return folder / "all.parquet", ()


def table_rows():
    values, slides, places = together()
    return [(slide, *place, *row) for slide, place, row in zip(slides, places, values.astype(str), strict=True)]


def csv_columns(folder):
    with open(folder / "all.csv", "w", newline="") as stream:
        lines = csv.writer(stream, delimiter=";")
        lines.writerow(["slide", "x", "y", *(f"feature_{i}" for i in range(DIM))])
        lines.writerows(table_rows())
    return folder / "all.csv", ()


LAYOUTS = {"trident": trident, "trident float16 with batch axis": lambda f: trident(f, np.float16, True),
           "stamp": stamp, "one h5": one_h5, "npz": npz, "pt, a view": pt, "zarr": zarr_store,
           "parquet": parquet_lists, "csv": csv_columns}


def wanted(seed=3):
    """[(slide, x, y, label)] in an order of its own."""
    tiles = [(slide, x, y, ("tumour", "stroma")[(x // 512) % 2]) for slide in SLIDES for x, y in PLACES]
    return [tiles[i] for i in np.random.default_rng(seed).permutation(len(tiles))]


def write_labels(path, tiles, header="slide,x,y,label"):
    path.write_text("\n".join([header, *(",".join(map(str, tile)) for tile in tiles)]) + "\n")
    return path


def imported(folder, source, *more, tiles=None):
    labels = write_labels(folder / "labels.csv", tiles or wanted())
    import_features.main([str(source), "--list", str(labels), "--output", str(folder / "f/X.npy"), *more])
    return load_features(folder / "f/X.npy")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scale", ["unit", "raw"])
def test_every_layout_gives_the_rows_that_the_list_asks_for_in_its_order(tmp_path, layout, scale):
    source, more = LAYOUTS[layout](tmp_path)
    found = imported(tmp_path, source, "--normalize", scale, *more)
    expected = np.stack([rows(slide)[PLACES.index((x, y))] for slide, x, y, _ in wanted()])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True) if scale == "unit" else 1
    half = "float16" in layout or layout == "stamp"
    np.testing.assert_allclose(found, expected, rtol=2e-3 if half else 1e-6, atol=1e-3 if half else 1e-7)
    listed, made = read_list(tmp_path / "f/X_labeled.txt"), read_provenance(tmp_path / "f/X.npy")
    assert listed.names[0] == "{}/{}_{}".format(*wanted()[0]) and made["normalize"] == scale
    assert [("stroma", "tumour")[label] for label in listed.labels] == [label for *_, label in wanted()]
    assert made["dtype"] == ("float16" if half else "float32")


def test_missing_left_over_and_repeated_rows_are_counted_and_named(tmp_path, capsys):
    source, _ = trident(tmp_path)
    with pytest.raises(UserError, match=r"1 of 21 tiles have no features: c/7_7; .*--allow_missing"):
        imported(tmp_path, source, tiles=[*wanted(), ("c", 7, 7, "stroma")])
    assert not (tmp_path / "f/X.npy").exists()
    found = imported(tmp_path, source, "--allow_missing", tiles=[*wanted()[:12], ("c", 7, 7, "stroma")])
    said = capsys.readouterr().err
    assert len(found) == 12 and "8 rows are not on" in said and "1 of 13 tiles have no features" in said
    with pytest.raises(UserError, match="line 3: 'a/0_0' stands in line 2 already"):
        imported(tmp_path, source, "--overwrite", tiles=[("a", 0, 0, "stroma")] * 2)
    twice = {"features": np.stack([rows("a")[0], rows("a")[1]]), "coords": np.array([PLACES[0]] * 2)}
    with pytest.raises(UserError, match="a/0_0 is there twice, with other features"):
        imported(tmp_path, h5(tmp_path / "a.h5", twice), "--overwrite", tiles=[("a", 0, 0, "stroma")])
    assert len(load_features(tmp_path / "f/X.npy")) == 12  # the earlier file stays whole


def test_names_match_and_order_is_never_guessed(tmp_path):
    names = [f"tiles/{i}.png" for i in range(10)]
    labels = tmp_path / "L.txt"
    labels.write_text("".join(f"{name} {i % 2}\n" for i, name in enumerate(names)))
    order = np.random.default_rng(1).permutation(10)
    np.savez(tmp_path / "named.npz", features=rows("a")[order], names=np.array(names)[order])
    torch.save(torch.from_numpy(rows("a")), tmp_path / "bare.pt")

    def run(source, *more):
        import_features.main([str(tmp_path / source), "--list", str(labels), "--output", str(tmp_path / "X.npy"),
                              "--normalize", "raw", "--overwrite", *more])
        return load_features(tmp_path / "X.npy")
    np.testing.assert_array_equal(run("named.npz"), rows("a"))
    with pytest.raises(UserError, match="neither names nor coordinates.*--match order"):
        run("bare.pt")
    np.testing.assert_array_equal(run("bare.pt", "--match", "order"), rows("a"))
    with pytest.raises(UserError, match="its rows have names; leave --match out"):
        run("named.npz", "--match", "order")


def external(path):
    h5(path.with_name("other.h5"), {"features": rows("a")})
    with h5py.File(path, "w") as file:
        file["features"], file["coords"] = h5py.ExternalLink("other.h5", "features"), np.array(PLACES)


def through_a_link(path):
    h5(path.with_name("other.h5"), {"features": rows("a")})
    with h5py.File(path, "w") as file:
        file["more"], file["features"] = h5py.ExternalLink("other.h5", "/"), h5py.SoftLink("/more/features")


def huge(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("features", (2**32, 2**32), "f4", chunks=(1, 1024))


def partial(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("features", (40, DIM), "f4", chunks=(10, DIM))[:10] = rows("a")


def no_filter(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=rows("a"), chunks=(10, DIM), compression=32015, allow_unknown_filter=True)


def parts_missing(path):
    zarr.open_group(path, mode="w").create_array("features", shape=(40, DIM), dtype="f4", chunks=(10, DIM))


def arrays(**given):
    return lambda path: h5(path, {"features": rows("a"), "coords": np.array(PLACES), **given})


REFUSED = {
    "link.h5": (external, "features is a link into another file, other.h5"),
    "soft.h5": (through_a_link, "is a link .* and is not followed"),
    "huge.h5": (huge, "declares 73,786,976,294,838,206,464 bytes, but 0 are stored"),
    "part.h5": (partial, "declares 40 × 6 values, but only a part was ever written"),
    "filter.h5": (no_filter, "compressed with the filter .*not installed here"),
    "text.h5": (lambda path: path.write_text("no"), "not a readable HDF5 file"),
    "nan.h5": (arrays(features=np.full((10, DIM), np.nan, "f4")), "row 0 holds NaN"),
    "short.h5": (arrays(coords=np.array(PLACES[:9])), "10 rows of features, but 9 of coords"),
    "levels.h5": (arrays(features=np.ones((10, DIM), "u1")), r"features are floats \(N, D\), but these are uint8"),
    "feats.h5": (lambda path: h5(path, {"feats": rows("a"), "coords": np.array(PLACES)}), "--unit px or --unit um"),
    "parts.zarr": (parts_missing, "4 of its 4 parts are not there"),
    "object.npz": (lambda path: np.savez(path, features=np.array([{}], object)), "not a readable .npz"),
    "code.pt": (lambda path: torch.save(print, path), r"not a PyTorch file of plain tensors \(it holds \S*print, "),
    "stretched.pt": (lambda path: torch.save(torch.zeros(1, 4).expand(2**40, 4), path), "larger than what is stored"),
    "words.parquet": (lambda path: parquet.write_table(pa.table({"a": ["x"]}), path), "which columns are the features"),
    "short.parquet": (lambda path: path.write_bytes(b"PAR1"), "not a readable Parquet file"),
    "a.txt": (lambda path: path.write_text("x"), "not a kind of feature file that is known"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line_and_nothing_is_written(tmp_path, name):
    make, why = REFUSED[name]
    make(tmp_path / name)
    with pytest.raises(UserError, match=why) as caught:
        imported(tmp_path, tmp_path / name, "--slide", "a", "--allow_missing")
    assert "\n" not in str(caught.value) and name in str(caught.value)
    assert not list((tmp_path / "f").glob("*.npy"))


def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    source, _ = trident(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(UserError, match="needs h5py; install it with: pip install h5py"):
        imported(tmp_path, source)


@pytest.mark.parametrize("kind", ["h5", "zarr", "parquet"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_what_is_exported_is_imported_again_bit_for_bit(tmp_path, kind, dtype):
    source, _ = trident(tmp_path, dtype)
    imported(tmp_path, source)
    export_features.main([str(tmp_path / "f/X.npy"), "--to", kind])
    import_features.main([str(tmp_path / f"f/X.{kind}"), "--list", str(tmp_path / "f/X_labeled.txt"), "--normalize",
                          "raw", "--output", str(tmp_path / "g/X.npy")])
    first, again = (np.load(tmp_path / folder / "X.npy") for folder in "fg")
    assert first.dtype == again.dtype == dtype and np.array_equal(first, again)
    with pytest.raises(UserError, match="there already; --overwrite"):
        export_features.main([str(tmp_path / "f/X.npy"), "--to", kind])
    if kind == "h5":
        with h5py.File(tmp_path / "f/X.h5") as file:
            assert file.attrs["normalize"] == "unit" and file["names"].asstr()[0] == "{}/{}_{}".format(*wanted()[0])


@pytest.fixture
def samples(request):
    from tests.conftest import _material
    return _material("formats") / "features"


def test_samples_of_each_tool_hold_the_features_of_the_table_that_they_were_made_from(samples, tmp_path):
    """Row i of the h5 files is row i of the table; the list names the same tiles in another order, by coordinates."""
    made = np.load(samples / "mobilenetv1_LC25000_1231x1024_f16.npy").astype(np.float32)[:60]
    with h5py.File(samples / "made_trident.h5") as file:
        place = {tuple(xy): i for i, xy in enumerate(file["coords"][:].tolist())}
    with open(samples / "made_list.csv") as stream:
        order = [place[int(row["x"]), int(row["y"])] for row in csv.DictReader(stream)]
    for name, more in (("made_trident.h5", ()), ("made_clam.h5", ("--slide", "slide1")),
                       ("made_stamp.h5", ("--slide", "slide1", "--mpp", "0.25"))):
        import_features.main([str(samples / name), "--list", str(samples / "made_list.csv"), "--normalize", "raw",
                              "--output", str(tmp_path / f"{name}.npy"), *more])
        np.testing.assert_allclose(load_features(tmp_path / f"{name}.npy"), made[order], rtol=1e-3, atol=1e-3)
    (tmp_path / "one.csv").write_text("path,label\ngigapath_prov_normal_000_1.png,normal\n")
    import_features.main([str(samples / "gigapath_prov_normal_000_1.pt"), "--list", str(tmp_path / "one.csv"),
                          "--output", str(tmp_path / "g.npy")])
    assert load_features(tmp_path / "g.npy").shape == (1, 1536)
    for name, why in (("made_trident_empty.h5", "no file has a row"), ("made_clam.pt", "holds no coordinates")):
        with pytest.raises(UserError, match=why):
            import_features.main([str(samples / name), "--list", str(samples / "made_list.csv"), "--output",
                                  str(tmp_path / "no.npy")])
    assert json.loads((tmp_path / "made_stamp.h5.json").read_text())["encoder"] == "mobilenetv1"

"""The base dictionary: what it measures, its files, and dictionaries that are degenerate or damaged."""
import json

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

import lowshot.dictionary
import lowshot.large_base
from fewshot_wsi.foundation.errors import UserError
from lowshot.dictionary import bank_files, build_dictionary, cholesky_factor, load_dictionary, save_dictionary


def features(n=120, dim=10, seed=0):
    rng = np.random.default_rng(seed)
    centres = 3 * rng.standard_normal((4, dim))
    return (centres[rng.integers(4, size=n)] + rng.standard_normal((n, dim))).astype(np.float32)


def build(x=None, **options):
    return build_dictionary(features() if x is None else x,
                            **dict(num_prototypes=4, num_shift_vectors=50) | options)


def test_prototypes_and_covariances_are_those_of_the_clusters():
    x, d = features(), build()
    nearest = ((x[:, None] / np.linalg.norm(x, axis=1)[:, None, None]
                - d.prototypes / np.linalg.norm(d.prototypes, axis=1)[:, None])**2).sum(2).argmin(1)
    assert sorted(np.bincount(nearest)) == sorted(d.how["counts"])  # well separated: k-means finds the blobs
    for k in range(4):
        np.testing.assert_allclose(d.prototypes[k], x[nearest == k].astype(float).mean(0), rtol=1e-12)
        np.testing.assert_allclose(d.covariances[k], np.cov(x[nearest == k].astype(float).T), rtol=1e-9)


def test_shifts_have_the_covariance_of_their_cluster():
    d = build(num_shift_vectors=20000)
    for k in range(4):
        np.testing.assert_allclose(np.cov(d.shifts(k).T), d.covariances[k], atol=0.08 * np.trace(d.covariances[k]) / 10)
        assert np.abs(d.shifts(k).mean(0)).max() < 0.05


def test_shifts_depend_on_seed_and_cluster_alone():
    one, other = build(seed=3), build(seed=3)
    np.testing.assert_array_equal(one.shifts(2), other.shifts(2))   # without drawing 0 and 1 first
    assert not np.allclose(one.shifts(2), build(seed=4).shifts(2))


def test_clusters_do_not_depend_on_the_number_of_threads():
    x = features(3000, 32)
    with threadpool_limits(1):
        one = build(x, num_prototypes=16)
    with threadpool_limits(2):
        two = build(x, num_prototypes=16)
    assert one.identity == two.identity


def test_identity_changes_with_whatever_latent_augmentation_uses():
    same, *others = (build(), build(), build(seed=1), build(num_shift_vectors=51), build(features(seed=1)))[1:]
    assert same.identity == build().identity
    assert len({same.identity, *(d.identity for d in others)}) == 4


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_a_factor_exists_at_any_scale_and_rank(scale):
    thin = scale * np.random.default_rng(0).standard_normal((3, 8))
    factor = cholesky_factor(thin.T @ thin)                         # rank 3 of 8
    np.testing.assert_allclose(factor @ factor.T, thin.T @ thin, atol=1e-8 * scale**2)
    np.testing.assert_array_equal(cholesky_factor(np.zeros((3, 3))), np.zeros((3, 3)))


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_empty_clusters_go_to_the_end_and_repeat_the_first():
    x = np.repeat(np.eye(3, 6, dtype=np.float32), 5, axis=0)        # three different features, five prototypes
    d = build(x, num_prototypes=5)
    assert d.how["counts"] == [5, 5, 5, 0, 0]
    assert np.isfinite(d.prototypes).all() and np.isfinite(d.covariances).all()
    np.testing.assert_array_equal(d.prototypes[3:], d.prototypes[[0, 0]])


def test_a_cluster_of_one_tile_has_no_shift():
    x = np.concatenate([features(40), [[50, *[0] * 9]]]).astype(np.float32)
    d = build(x, num_prototypes=8)
    assert 1 in d.how["counts"]
    single = d.how["counts"].index(1)
    np.testing.assert_array_equal(d.shifts(single), np.zeros((50, 10)))


def test_fewer_tiles_than_prototypes_are_refused():
    with pytest.raises(UserError, match="3 base tiles are too few for 4 prototypes; lower --num_prototypes"):
        build(features(3))


def test_features_that_are_not_finite_are_refused():
    x = features()
    x[7, 3] = np.nan
    with pytest.raises(UserError, match="not finite"):
        build(x)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    d = build()
    save_dictionary(tmp_path, "NCT", d)
    back = load_dictionary(tmp_path, "NCT", 4, dim=10)
    assert back.identity == d.identity and back.how == d.how
    for k in range(4):
        np.testing.assert_array_equal(back.shifts(k), d.shifts(k))


def test_the_shift_bank_is_a_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("lowshot.dictionary.SHIFT_FILE_LIMIT", 0)
    d = build()
    save_dictionary(tmp_path, "NCT", d)
    assert not bank_files(tmp_path, "NCT", 4)["SHIFT"].exists()
    np.testing.assert_array_equal(load_dictionary(tmp_path, "NCT", 4).shifts(3), d.shifts(3))


def test_the_authors_three_files_load_with_a_notice(tmp_path, capsys):
    d = build()
    save_dictionary(tmp_path, "NCT", d)
    files = bank_files(tmp_path, "NCT", 4)
    files["json"].unlink()
    bank = 2 * np.load(files["SHIFT"])[:, :20]
    np.save(files["SHIFT"], bank)
    theirs = load_dictionary(tmp_path, "NCT", 4)
    assert "no description beside it" in capsys.readouterr().err
    assert theirs.num_shift_vectors == 20 and theirs.identity != d.identity
    np.testing.assert_array_equal(theirs.shifts(1), bank[1])


def _rewrite(files, kind, change):
    np.save(files[kind], change(np.array(np.load(files[kind]))))


def _poison(array):
    array.flat[5] = np.nan
    return array


@pytest.mark.parametrize("damage, words", [
    (lambda f: f["COV"].unlink(), "COV_BANK_4.npy: no such file of the dictionary"),
    (lambda f: _rewrite(f, "PROTO", lambda a: a[:3]), "has the shape .3, 10."),
    (lambda f: _rewrite(f, "COV", lambda a: a[:, :, :5]), "expected floats 4 × 10 × 10"),
    (lambda f: _rewrite(f, "SHIFT", lambda a: a[:, :, :9]), "expected floats 4 × any × 10"),
    (lambda f: _rewrite(f, "PROTO", _poison), "not finite"),
    (lambda f: _rewrite(f, "PROTO", lambda a: a.astype(int)), "of int64"),
    (lambda f: _rewrite(f, "PROTO", lambda a: 2 * a), "does not describe the files beside it"),
    (lambda f: _rewrite(f, "SHIFT", lambda a: 2 * a), "not the shifts of the dictionary"),
    (lambda f: f["COV"].write_bytes(f["COV"].read_bytes()[:900]), "not a readable array"),
    (lambda f: f["json"].write_text("{"), "not a readable description"),
])
def test_a_damaged_dictionary_is_refused(tmp_path, damage, words):
    save_dictionary(tmp_path, "NCT", build())
    damage(bank_files(tmp_path, "NCT", 4))
    with pytest.raises(UserError, match=words):
        load_dictionary(tmp_path, "NCT", 4, dim=10)


def test_features_of_another_width_are_refused(tmp_path):
    save_dictionary(tmp_path, "NCT", build())
    with pytest.raises(UserError, match="expected floats 4 × 12"):
        load_dictionary(tmp_path, "NCT", 4, dim=12)


@pytest.fixture
def protocol(tmp_path):
    """A protocol file whose base set has 60 features in three classes."""
    folder = tmp_path / "work" / "extracted_feats"
    (folder / "m").mkdir(parents=True)
    np.save(folder / "m" / "base.npy", features(60))
    np.save(folder / "base_labels.npy", np.arange(60) % 3)
    path = tmp_path / "p.py"
    path.write_text(f"""
name = 'small'
workdir = {str(tmp_path / 'work')!r}
classes = dict(three=('a', 'b', 'c'))
sets = dict(base=dict(list='l', root='.', classes='three', config='c.py'))
models = dict(m=dict(encoder='random', novel=(1,)))
dictionary = dict(set='base', prefix='NCT', num_prototypes=4, num_shift_vectors=30)
tasks = dict()
""")
    return path


def test_the_command_builds_keeps_and_refuses(run, protocol, tmp_path):
    command = ("wsi_workdir/dict_construction.py", "--protocol", protocol, "--model", "m")
    files = bank_files(tmp_path / "work" / "dict" / "m", "NCT", 4)
    first = run(*command, "--num_proto", 4)
    assert first.returncode == 0 and "4 prototypes of 40 features" in first.stdout, first.stderr
    facts = json.loads(files["json"].read_text())
    assert facts["how"]["novel"] == [1] and facts["num_shift_vectors"] == 30
    stamp = files["PROTO"].stat().st_mtime_ns
    assert "kept" in run(*command).stdout and files["PROTO"].stat().st_mtime_ns == stamp
    other = run(*command, "--seed", "2")
    assert other.returncode == 2 and "made with other seed; build again with --overwrite" in other.stderr
    elsewhere = run(*command, "--novel_class", "2", "--dict_pth", tmp_path / "my dicts")  # not its own
    assert str(tmp_path / "my dicts/m/wo_2") in elsewhere.stdout and files["PROTO"].stat().st_mtime_ns == stamp
    files["COV"].unlink()                                           # as if stopped half-way
    again = run(*command)
    assert again.returncode == 0 and "made again now" in again.stderr and files["COV"].exists()
    files["json"].unlink()
    assert "user-provided" in run(*command).stderr
    assert run(*command, "--overwrite").returncode == 0


def as_published(x, clusters):
    """(prototypes, covariances) of k-means on all of x at unit length, the definition."""
    with threadpool_limits(1):
        assigned = KMeans(clusters, n_init=1, max_iter=20, random_state=66).fit_predict(normalize(x))
        members = [x[assigned == k].astype(np.float64) for k in range(clusters)]
        centred = [one - one.mean(axis=0) for one in members]
        return (np.array([one.mean(axis=0) for one in members]),
                np.array([one.T @ one / (len(one) - 1) for one in centred]))


def test_bases_up_to_the_stated_size_are_clustered_whole_to_the_bit(tmp_path):
    x = features(4000, 24)
    np.save(tmp_path / "x.npy", x)
    made = build(np.load(tmp_path / "x.npy", mmap_mode="r"))
    prototypes, covariances = as_published(x, 4)
    np.testing.assert_array_equal(made.prototypes, prototypes)
    np.testing.assert_array_equal(made.covariances, covariances)
    assert "kmeans_rows" not in made.how and made.identity == build(x).identity


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("excluded", [False, True])
def test_a_large_base_has_the_moments_of_all_its_features(tmp_path, monkeypatch, caplog, dtype, excluded):
    """Above SAMPLE_ROWS k-means sees a sample, here of well-separated blobs, but means and covariances see all rows."""
    x = (features(5000, 10) + 40).astype(dtype)  # far from the origin: sums of squares alone would cancel
    np.save(tmp_path / "x.npy", x)
    rows = np.arange(5000) % 5 != 0 if excluded else None
    monkeypatch.setattr(lowshot.dictionary, "SAMPLE_ROWS", 1000)
    monkeypatch.setattr(lowshot.large_base, "BLOCK_BYTES", 8 * 10 * 700)  # 700 rows a block
    with caplog.at_level("INFO"):
        made = build(np.load(tmp_path / "x.npy", mmap_mode="r"), rows=rows)
    kept = x if rows is None else x[rows]
    assert made.how["kmeans_rows"] == 1000 and f"1,000 of {len(kept):,} features" in caplog.text
    assert sum(made.how["counts"]) == len(kept)
    total = np.average(made.prototypes, axis=0, weights=made.how["counts"])
    np.testing.assert_allclose(total, kept.astype(np.float64).mean(axis=0), rtol=1e-9)
    unit, centres = normalize(kept.astype(np.float32)), normalize(made.prototypes)
    nearest = (unit @ centres.T).argmax(axis=1)
    for k in np.flatnonzero(np.bincount(nearest, minlength=4) == made.how["counts"]):
        members = kept[nearest == k].astype(np.float64)
        np.testing.assert_allclose(made.covariances[k], np.cov(members.T), rtol=1e-6, atol=1e-9)
    assert made.identity == build(x, rows=rows).identity  # in memory or mapped


def test_a_large_base_that_is_not_finite_is_refused(monkeypatch):
    monkeypatch.setattr(lowshot.dictionary, "SAMPLE_ROWS", 100)
    x = features(500, 10)
    x[499, 3] = np.inf
    with pytest.raises(UserError, match="not finite"):
        build(x)

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

import nibabel_data.viewer as v
from nibabel_data.errors import ViewerError
from nibabel_data.viewer import layers, multires, server, serving
from nibabel_data.viewer.arrays import wrap
from nibabel_data.viewer.guard import Guard
from nibabel_data.viewer.mesh import MeshMaker
from nibabel_data.viewer.multires import EMPTY, encode_multires, multires_info
from nibabel_data.viewer.simplify import area_vectors, volume
from nibabel_data.viewer.volume import Volume

DracoPy = pytest.importorskip("DracoPy")

TOP = 65535


class Node(NamedTuple):
    position: Any  # (3,)
    size: int  # bytes
    points: Any  # (n, 3), integers within the fragment
    triangles: Any


class Read(NamedTuple):
    shape: Any
    origin: Any
    scales: Any
    levels: list[list[Node]]

    def surface(self, number: int) -> tuple[Any, Any]:
        """Return a level: vertices in steps of the fragments, each once, and triangles."""
        grid = [TOP * node.position + node.points[node.triangles] for node in self.levels[number]]
        corners = np.concatenate(grid).reshape(-1, 3)
        vertices, inverse = np.unique(corners, axis=0, return_inverse=True)
        return vertices, inverse.reshape(-1, 3).astype("i4")

    def placed(self, number: int) -> tuple[Any, Any]:
        vertices, triangles = self.surface(number)
        return self.origin + vertices / TOP * self.shape * 2**number, triangles


def read(made: multires.Multires) -> Read:
    """Read a mesh by the words of the format, with Draco's own decoder."""
    floats, words = np.frombuffer(made.manifest, "<f4"), np.frombuffer(made.manifest, "<u4")
    count = int(words[6])
    scales = floats[7 : 7 + count]
    assert (floats[7 + count : 7 + 4 * count] == 0).all()
    numbers = words[7 + 4 * count : 7 + 5 * count]
    place, at = 7 + 5 * count, 0
    levels = []
    for many in map(int, numbers):
        table = words[place : place + 4 * many].reshape(4, many).astype(int)
        place += 4 * many
        nodes = []
        for x, y, z, size in table.T:
            points, triangles = np.empty((0, 3), int), np.empty((0, 3), int)
            if size:
                mesh = DracoPy.decode(made.data[at : at + size])
                points, triangles = np.asarray(mesh.points), np.asarray(mesh.faces).astype(int)
                assert np.array_equal(points, points.astype(int))
                points = points.astype(int)
                assert points.min() >= 0
                assert points.max() <= TOP
            nodes.append(Node(np.array((x, y, z)), int(size), points, triangles))
            at += int(size)
        levels.append(nodes)
    assert place == len(words)
    assert at == len(made.data)
    return Read(floats[:3].astype(float), floats[3:6].astype(float), scales, levels)


def assert_closed(triangles: Any) -> None:
    begin = np.concatenate([triangles[:, k] for k in range(3)]).astype(np.int64)
    end = np.concatenate([triangles[:, (k + 1) % 3] for k in range(3)]).astype(np.int64)
    assert np.array_equal(np.sort(begin << 32 | end), np.sort(end << 32 | begin))


def sponge(size: int = 90) -> Any:
    """Return voxels of a surface of many handles, cut by a ball."""
    x, y, z = np.ogrid[:size, :size, :size]
    turn = 2 * np.pi / 36
    inside = np.sin(turn * x) * np.cos(turn * y) + np.sin(turn * y) * np.cos(turn * z)
    inside = inside + np.sin(turn * z) * np.cos(turn * x) > 0.1
    middle = size / 2
    return inside & ((x - middle) ** 2 + (y - middle) ** 2 + (z - middle) ** 2 < (middle - 4) ** 2)


@pytest.fixture(scope="module")
def surface() -> Any:
    maker = MeshMaker(Volume(wrap(sponge()), kind="segmentation"), error=0)
    return maker.exact(1)


@pytest.fixture(autouse=True)
def small_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multires, "_FRAGMENT", 2000)


@pytest.fixture
def made(surface: Any) -> Read:
    return read(encode_multires(*surface))


def test_each_level_is_closed_and_encloses_the_same(surface: Any, made: Read) -> None:
    assert len(made.levels) >= 3
    exact = volume(*surface)
    for number, tolerance in enumerate([1e-4, 0.03, 0.1, 0.2][: len(made.levels)]):
        vertices, triangles = made.placed(number)
        assert_closed(triangles)
        assert volume(vertices, triangles) == pytest.approx(exact, rel=tolerance)
        assert (vertices >= surface[0].min(axis=0) - 1e-3).all()
        assert (vertices <= surface[0].max(axis=0) + 1e-3).all()


def test_the_finest_level_is_the_surface_itself(surface: Any, made: Read) -> None:
    vertices, triangles = made.placed(0)
    step = made.shape.max() / TOP
    # All old corners are still there; the new ones are on old triangles, which adds no area.
    far = [np.abs(vertices - corner).max(axis=1).min() for corner in surface[0][::97]]
    assert max(far) <= step
    area = np.linalg.norm(area_vectors(vertices, triangles), axis=1).sum()
    old = np.linalg.norm(area_vectors(*surface), axis=1).sum()
    assert area == pytest.approx(old, rel=1e-3)


def test_further_levels_have_fewer_triangles_and_larger_scales(made: Read) -> None:
    counts = [sum(len(node.triangles) for node in level) for level in made.levels]
    assert all(after < 0.8 * before for before, after in pairwise(counts))
    assert np.array_equal(made.scales, made.scales[0] * 2.0 ** np.arange(len(counts)))
    assert made.scales[0] > 0


def test_no_triangle_crosses_a_face_of_an_octant(made: Read) -> None:
    half = (TOP + 1) // 2
    for level in made.levels[1:]:
        for node in level:
            corners = node.points[node.triangles]
            below, above = (corners < half).any(axis=1), (corners > half).any(axis=1)
            assert not (below & above).any()


def test_fragments_are_in_z_order_and_each_has_its_parent(made: Read) -> None:
    for number, level in enumerate(made.levels):
        codes = [
            int("".join(f"{int(n):016b}"[bit] for bit in range(16) for n in node.position[::-1]), 2)
            for node in level
        ]
        assert codes == sorted(set(codes))
        if number + 1 < len(made.levels):
            parents = {tuple(node.position) for node in made.levels[number + 1]}
            assert {tuple(node.position >> 1) for node in level} <= parents


def test_where_a_parent_is_seen_an_octant_says_that_it_is_empty(made: Read) -> None:
    half = (TOP + 1) // 2
    for number, level in enumerate(made.levels[1:]):
        children = {tuple(node.position) for node in made.levels[number]}
        for node in level:
            inside = node.points[node.triangles].mean(axis=1) > half
            for octant in np.unique(inside, axis=0):
                assert tuple(2 * node.position + octant) in children


def test_no_fragment_is_large(made: Read) -> None:
    assert max(len(node.triangles) for node in made.levels[0]) < 2 * 2000
    assert len(made.levels[0]) > 8


def test_a_small_object_is_one_fragment() -> None:
    voxel = np.pad(np.ones((2, 3, 4), bool), 1)
    maker = MeshMaker(Volume(wrap(voxel), kind="segmentation"))
    found = read(maker.multires(1))
    assert [len(level) for level in found.levels] == [1]


def test_they_are_where_those_of_one_resolution_are() -> None:
    array = np.zeros((30, 40, 50), "i2")
    array[5:20, 9:33, 4:48] = -3
    source = wrap(array, units="mm", scales=(3, 0.5, 2))
    maker = MeshMaker(Volume(source, kind="segmentation", offset=(7, 8, 9)))
    one = maker.mesh(-3)
    count = int(np.frombuffer(one, "<u4", 1)[0])
    want = np.frombuffer(one, "<f4", 3 * count, 4).reshape(-1, 3) * 1e9
    found = read(maker.multires(-3))
    vertices, triangles = found.placed(0)
    assert len(vertices) == len(want)
    step = found.shape.max() / TOP
    far = np.abs(vertices[:, None] - want[None]).max(axis=2)
    assert far.min(axis=0).max() <= step
    assert far.min(axis=1).max() <= step
    assert volume(vertices, triangles) > 0  # they face outward


def test_coordinates_are_in_the_unit_that_was_asked_for(surface: Any, made: Read) -> None:
    unit = np.array([2.0, 3.0, 5.0])
    found = read(encode_multires(*surface, unit=unit))
    vertices, triangles = made.placed(0)
    others, same = found.placed(0)
    np.testing.assert_allclose(others, vertices * unit, rtol=1e-6)
    assert np.array_equal(triangles, same)
    assert found.scales[0] == pytest.approx(5 * made.scales[0])


def test_the_same_bytes_each_time(surface: Any) -> None:
    assert encode_multires(*surface) == encode_multires(surface[0].copy(), surface[1].copy())


def test_nothing_is_a_fragment_of_no_bytes() -> None:
    assert encode_multires(np.empty((0, 3)), np.empty((0, 3), int)) == EMPTY
    assert EMPTY.data == b""
    assert [[node.size for node in level] for level in read(EMPTY).levels] == [[0]]
    maker = MeshMaker(Volume(wrap(sponge()), kind="segmentation"))
    assert maker.multires(7) is None
    assert maker.multires(0) is None


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_cutting_keeps_areas_and_leaves_no_triangle_in_two_cubes(seed: int, depth: int) -> None:
    random = np.random.default_rng(seed)
    vertices = random.random((20, 3)) * 2**depth
    vertices[::3] = np.round(vertices[::3])  # some on planes
    triangles = np.array([random.permutation(20)[:3] for _ in range(15)])
    cut, pieces = multires._cut(vertices, triangles, depth)
    corners = cut[pieces]
    assert (np.ceil(corners.max(axis=1)) - np.floor(corners.min(axis=1)) <= 1).all()
    area = np.linalg.norm(area_vectors(cut, pieces), axis=1).sum()
    assert area == pytest.approx(np.linalg.norm(area_vectors(vertices, triangles), axis=1).sum())
    total = area_vectors(cut, pieces).sum(axis=0)
    np.testing.assert_allclose(total, area_vectors(vertices, triangles).sum(axis=0), atol=1e-9)


def test_what_is_no_longer_wanted_is_not_made(surface: Any) -> None:
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 5

    with pytest.raises(ViewerError, match="no longer wanted"):
        encode_multires(*surface, cancelled=cancelled)
    assert len(asked) == 6


def test_they_are_kept_while_there_is_room() -> None:
    volume_ = Volume(wrap(sponge()), kind="segmentation")
    maker = MeshMaker(volume_)
    assert maker.known(1) is None
    first = maker.multires(1)
    assert maker.known(1) is first
    assert maker._bytes >= len(first.data)
    volume_.refresh()
    assert maker.known(1) is None
    assert maker._bytes == 0
    assert maker.multires(1) == first
    small = MeshMaker(volume_, cache_bytes=len(first.data) // 2)
    assert small.multires(1) == first
    assert small.known(1) is None


def test_the_offset_is_in_the_info() -> None:
    assert multires_info((1, 2, 3))["transform"] == [1, 0, 0, 1.0, 0, 1, 0, 2.0, 0, 0, 1, 3.0]


def test_without_dracopy_it_is_said_what_to_install(
    surface: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    with pytest.raises(ViewerError, match=r"pip install 'nibabel-data\[view\]'"):
        encode_multires(*surface)


# Layers, and what the server answers


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch) -> Iterator[v.Viewer]:
    monkeypatch.setattr(layers, "_LARGE", 1000)
    with v.Viewer() as viewer:
        viewer.add(
            sponge().astype("u2"), name="s", kind="segmentation", voxel_size=2, units="mm",
            offset=(1, 2, 3),
        )  # fmt: skip
        yield viewer
    v.stop()


@pytest.fixture
def page() -> TestClient:
    app = server.make_app(serving.registry(), Guard())
    return TestClient(app, base_url="http://127.0.0.1:8000")


def _folder(viewer: v.Viewer) -> str:
    _, several = viewer.state["layers"][0]["source"]
    url: str = several["url"]
    assert url.startswith(f"precomputed://{server.HERE}/")
    return url.removeprefix(f"precomputed://{server.HERE}")


def test_a_large_volume_has_meshes_of_several_resolutions_and_no_others(viewer: v.Viewer) -> None:
    voxels, several = viewer.state["layers"][0]["source"]
    assert voxels["subsources"] == {"meshes": False}
    assert several["transform"]["outputDimensions"]["x"] == [1e-9, "m"]


def test_changed_contents_have_another_address(viewer: v.Viewer, page: TestClient) -> None:
    layer = viewer._layers["s"]
    before = _folder(viewer)
    assert layer.volume is not None
    layer.volume.source.original[:] = 2
    layer.volume.refresh()
    viewer.change(lambda state: layers.renew(state, layer))
    after = _folder(viewer)
    assert (before.rpartition("/")[2], after.rpartition("/")[2]) == ("0", "1")
    assert page.get(f"{after}/1.index").content == EMPTY.manifest
    assert page.get(f"{after}/2.index").content != EMPTY.manifest


def test_the_address_is_renewed_also_if_a_page_has_made_it_a_text(viewer: v.Viewer) -> None:
    layer = viewer._layers["s"]
    assert layer.volume is not None
    layer.volume.refresh()
    url = layers.multires_url(layer.sources[0].key, 0)
    state: Any = {"layers": [{"name": "s", "source": ["python://x", url]}, {"name": "t"}]}
    layers.renew(state, layer)
    assert state["layers"][0]["source"] == ["python://x", url.removesuffix("0") + "1"]


def test_a_page_that_goes_ends_the_work(viewer: v.Viewer) -> None:
    begun = threading.Event()

    class Slow:
        shape, dtype = (4000, 64, 64), np.dtype("u1")
        reads = 0

        def __getitem__(self, index: Any) -> Any:
            begun.set()
            self.reads += 1
            time.sleep(0.2)
            return np.ones(self.shape, self.dtype)[index]

    array = Slow()
    viewer.add(array, name="slow", kind="segmentation")
    _, several = viewer.state["layers"][1]["source"]
    url = several["url"].removeprefix(f"precomputed://{server.HERE}")
    host = viewer.url.split("/")[2]
    begun.clear()
    with socket.create_connection(host.split(":")) as connection:
        connection.sendall(f"GET {url}/1.index HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert begun.wait(10)
    time.sleep(4)
    assert array.reads < 9  # which the table alone takes


def test_a_small_one_has_one_mesh_of_each(viewer: v.Viewer) -> None:
    viewer.add(np.ones((4, 5, 6), "u4"), name="small")
    (voxels,) = viewer.state["layers"][1]["source"]
    assert "subsources" not in voxels


def test_without_dracopy_a_large_one_as_well(
    viewer: v.Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    assert not multires.is_available()
    viewer.add(sponge(), name="large", kind="segmentation")
    (voxels,) = viewer.state["layers"][1]["source"]
    assert "subsources" not in voxels


def test_the_server_sends_info_manifest_and_parts(viewer: v.Viewer, page: TestClient) -> None:
    folder = _folder(viewer)
    info = page.get(f"{folder}/info").json()
    assert info["@type"] == "neuroglancer_multilod_draco"
    assert info["transform"][3::4] == [2e6, 4e6, 6e6]
    manifest = page.get(f"{folder}/1.index").content
    whole = page.get(f"{folder}/1")
    assert whole.headers["cache-control"] == "no-store"
    found = read(multires.Multires(manifest, whole.content))
    assert len(found.levels) > 1
    first = found.levels[0][0].size
    part = page.get(f"{folder}/1", headers={"range": f"bytes={first}-{first + 9}"})
    assert part.status_code == 206
    assert part.content == whole.content[first : first + 10]
    assert part.headers["content-range"] == f"bytes {first}-{first + 9}/{len(whole.content)}"


@pytest.mark.parametrize("asked", ["bytes=5-4", "bytes=99999999-99999999"])
def test_a_part_that_is_not_there_is_refused(
    viewer: v.Viewer, page: TestClient, asked: str
) -> None:
    answer = page.get(f"{_folder(viewer)}/1", headers={"range": asked})
    assert answer.status_code == 416


@pytest.mark.parametrize("name", ["one", "1.idx", "-1", "1.index.index", "9" * 21, "%20"])
def test_other_names_are_not_there(viewer: v.Viewer, page: TestClient, name: str) -> None:
    assert page.get(f"{_folder(viewer)}/{name}").status_code == 404


def test_of_a_segment_that_is_not_there_nothing_is_sent(viewer: v.Viewer, page: TestClient) -> None:
    assert page.get(f"{_folder(viewer)}/77.index").content == EMPTY.manifest


def test_an_array_that_cannot_be_read_is_an_error_once_and_nothing_to_the_page(
    viewer: v.Viewer, page: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        shape, dtype = (64, 64, 64), np.dtype("u1")

        ready = True

        def __getitem__(self, index: Any) -> Any:
            if not self.ready:
                raise OSError("gone")
            return np.ones(self.shape, self.dtype)[index]

    array = Broken()
    viewer.add(array, name="broken", kind="segmentation")
    array.ready = False
    _, several = viewer.state["layers"][1]["source"]
    url = several["url"].removeprefix(f"precomputed://{server.HERE}")
    with caplog.at_level(logging.ERROR):
        assert page.get(f"{url}/1.index").content == EMPTY.manifest
        assert page.get(f"{url}/2.index").content == EMPTY.manifest
    assert len([r for r in caplog.records if "gone" in r.getMessage()]) == 1

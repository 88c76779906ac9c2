from dataclasses import replace

import numpy as np
import pytest
import torch

from src.tabletop.geometry import FAR, first_hit, normals, place
from src.tabletop.toys import CLASSES, Kind, Part

TAPERS = (0.0, 0.5, 1.0, 1.5)
SHAPES = [(Kind.ELLIPSOID, 1.0), (Kind.BOX, 1.0), *((Kind.FRUSTUM, taper) for taper in TAPERS)]


def solid(kind, taper=1.0, centre=(0.0, 0.0, 0.0), half=(1.0, 1.0, 1.0), turn=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0)):
    return place([Part(kind, "body", centre, half, turn, taper)], torch.tensor([scale]))


def shoot(solids, origin, direction):
    distance, _ = first_hit(solids, torch.tensor([[origin]]), torch.tensor([[direction]]))
    return float(distance)


def normal_at(solids, *points):
    zeros = torch.zeros(len(points), dtype=torch.int64)
    return normals(solids, zeros, zeros, torch.tensor(points))


def depth_inside(kind, taper, local):
    """How deep points lie in a solid's own frame, float64; positive inside, 0 on the surface."""
    radius = np.hypot(local[..., 0], local[..., 1])
    if kind is Kind.ELLIPSOID:
        return 1 - np.linalg.norm(local, axis=-1)
    if kind is Kind.BOX:
        return 1 - np.abs(local).max(-1)
    wall = (1 + taper) / 2 + (taper - 1) / 2 * local[..., 2]
    return np.minimum(wall - radius, 1 - np.abs(local[..., 2]))


def random_rays(count, seed):
    rng = np.random.default_rng(seed)
    start = rng.normal(size=(count, 3))
    start = 6 * start / np.linalg.norm(start, axis=1, keepdims=True)
    aim = rng.uniform(-1.2, 1.2, (count, 3))
    direction = aim - start
    return start, direction / np.linalg.norm(direction, axis=1, keepdims=True)


PLACING = {"centre": (0.3, -0.2, 0.1), "half": (0.9, 0.6, 1.3), "turn": (35.0, -20.0, 70.0), "scale": (1.1, 0.9, 1.05)}


def posed(kind, taper):
    """A solid in general position, and the map from the world into its frame, float64."""
    solids = solid(kind, taper, **PLACING)
    matrix, centre = solids.to_local[0, 0].double().numpy(), solids.centre[0, 0].double().numpy()
    return solids, lambda points: (points - centre) @ matrix.T


@pytest.mark.parametrize(("kind", "taper"), SHAPES)
def test_first_hit_agrees_with_walking_along_the_ray(kind, taper):
    solids, to_local = posed(kind, taper)
    start, direction = random_rays(400, 1)
    found = first_hit(solids, torch.tensor(start)[None].float(), torch.tensor(direction)[None].float())[0][0].numpy()
    steps = np.linspace(3, 9, 6001)
    depth = depth_inside(kind, taper, to_local(start[:, None] + steps[:, None] * direction[:, None]))
    deepest, first = depth.max(1), (depth > 0).argmax(1)
    hit, miss = deepest > 0.01, deepest < -0.01
    assert hit.sum() > 80
    assert miss.sum() > 80
    assert (found[miss] == FAR).all()
    assert np.abs(found[hit] - steps[first[hit]]).max() < 2.1e-3


@pytest.mark.parametrize(("kind", "taper"), SHAPES)
def test_normals_are_the_gradient_of_depth_and_face_the_ray(kind, taper):
    solids, to_local = posed(kind, taper)
    start, direction = random_rays(400, 2)
    found = first_hit(solids, torch.tensor(start)[None].float(), torch.tensor(direction)[None].float())[0][0]
    hit = (found < FAR).numpy()
    points = start[hit] + found.double().numpy()[hit, None] * direction[hit]
    zeros = torch.zeros(int(hit.sum()), dtype=torch.int64)
    surface = normals(solids, zeros, zeros, torch.tensor(points).float()).double().numpy()
    assert np.allclose(np.linalg.norm(surface, axis=1), 1, atol=1e-5)
    assert (np.einsum("nk,nk->n", surface, direction[hit]) < 1e-3).all()
    step = 1e-6
    slopes = [
        depth_inside(kind, taper, to_local(points + step * axis))
        - depth_inside(kind, taper, to_local(points - step * axis))
        for axis in np.eye(3)
    ]
    outward = -np.stack(slopes, 1) / (2 * step)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    # the few points beside an edge have two normals
    assert (np.einsum("nk,nk->n", surface, outward) > 1 - 1e-3).mean() > 0.97


def test_first_hit_of_a_sphere_is_the_closed_form():
    solids = solid(Kind.ELLIPSOID, centre=(0.0, 0.0, 2.0), half=(0.5, 0.5, 0.5))
    for aside in (0.0, 0.2, 0.49):
        assert shoot(solids, [-4.0, aside, 2.0], [1.0, 0.0, 0.0]) == pytest.approx(
            4 - (0.25 - aside**2) ** 0.5, abs=1e-4
        )
    assert torch.allclose(normal_at(solids, [0.3, 0.0, 2.4]), torch.tensor([[0.6, 0.0, 0.8]]), atol=1e-5)


def test_first_hit_counts_in_lengths_of_the_direction():
    solids = solid(Kind.ELLIPSOID)
    assert shoot(solids, [-5.0, 0.0, 0.0], [2.0, 0.0, 0.0]) == pytest.approx(2.0, abs=1e-5)


def test_first_hit_of_an_ellipsoid_stretches_with_the_toy():
    solids = solid(Kind.ELLIPSOID, centre=(1.0, 0.0, 0.0), half=(0.5, 1.0, 1.0), scale=(2.0, 1.0, 1.0))
    assert shoot(solids, [-5.0, 0.0, 0.0], [1.0, 0.0, 0.0]) == pytest.approx(6.0, abs=1e-4)
    # normal of x^2/a^2 + y^2/b^2 = 1 with a = b = 1 about the moved centre (2, 0, 0)
    assert torch.allclose(normal_at(solids, [1.4, 0.8, 0.0]), torch.tensor([[-0.6, 0.8, 0.0]]), atol=1e-5)


def test_first_hit_of_a_box_is_its_nearest_face():
    solids = solid(Kind.BOX, half=(1.0, 2.0, 3.0))
    for axis, half in enumerate((1.0, 2.0, 3.0)):
        for sign in (-1.0, 1.0):
            away = [0.3, 0.3, 0.3]
            away[axis] = 5 * sign
            heading = [0.0, 0.0, 0.0]
            heading[axis] = -sign
            assert shoot(solids, away, heading) == pytest.approx(5 - half, abs=1e-5)
            point = [0.3, 0.3, 0.3]
            point[axis] = half * sign
            assert torch.equal(normal_at(solids, point), -torch.tensor([heading]))


def test_first_hit_of_a_cone_and_a_cylinder_is_the_closed_form():
    cone, cylinder, bowl = (solid(Kind.FRUSTUM, taper) for taper in (0.0, 1.0, 1.5))
    for z in (-0.9, 0.0, 0.9):
        assert shoot(cone, [-4.0, 0.0, z], [1.0, 0.0, 0.0]) == pytest.approx(4 - (1 - z) / 2, abs=1e-4)
        assert shoot(cylinder, [-4.0, 0.0, z], [1.0, 0.0, 0.0]) == pytest.approx(3, abs=1e-4)
        assert shoot(bowl, [-4.0, 0.0, z], [1.0, 0.0, 0.0]) == pytest.approx(4 - (1.25 + z / 4), abs=1e-4)
    slant = torch.tensor([[2.0, 0.0, 1.0]]) / 5**0.5
    assert torch.allclose(normal_at(cone, [0.5, 0.0, 0.0]), slant, atol=1e-5)
    assert torch.allclose(normal_at(cylinder, [0.0, -1.0, 0.0]), torch.tensor([[0.0, -1.0, 0.0]]), atol=1e-5)


def test_first_hit_along_a_frustum_axis_is_its_lid():
    frustum = solid(Kind.FRUSTUM, 0.5)
    assert shoot(frustum, [0.2, 0.0, 5.0], [0.0, 0.0, -1.0]) == pytest.approx(4, abs=1e-5)
    assert shoot(frustum, [0.2, 0.0, -5.0], [0.0, 0.0, 1.0]) == pytest.approx(4, abs=1e-5)
    # past the lid of radius 0.5 the ray falls on the wall, at z where the radius is 0.7
    assert shoot(frustum, [0.7, 0.0, 5.0], [0.0, 0.0, -1.0]) == pytest.approx(5 - 0.2, abs=1e-4)
    assert torch.equal(normal_at(frustum, [0.2, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    assert torch.equal(normal_at(frustum, [0.2, 0.0, -1.0]), torch.tensor([[0.0, 0.0, -1.0]]))


def test_first_hit_of_a_cone_ignores_its_mirror_image_beyond_the_tip():
    cone = solid(Kind.FRUSTUM, 0.0)
    assert shoot(cone, [-4.0, 0.0, 1.6], [1.0, 0.0, 0.0]) == FAR


@pytest.mark.parametrize(("kind", "taper"), SHAPES)
def test_first_hit_finds_nothing_behind_the_ray(kind, taper):
    solids = solid(kind, taper)
    assert shoot(solids, [-4.0, 0.1, 0.1], [1.0, 0.0, 0.0]) < FAR
    assert shoot(solids, [4.0, 0.1, 0.1], [1.0, 0.0, 0.0]) == FAR


def test_first_hit_from_inside_is_nothing_or_a_frustum_wall():
    for kind in (Kind.ELLIPSOID, Kind.BOX):
        assert shoot(solid(kind), [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]) == FAR
    assert shoot(solid(Kind.FRUSTUM), [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("kind", "taper"), SHAPES)
def test_first_hit_misses_just_outside_and_hits_just_inside(kind, taper):
    solids = solid(kind, taper)
    reach = (1 + taper) / 2 if kind is Kind.FRUSTUM else 1.0
    assert shoot(solids, [-4.0, reach + 1e-3, 0.0], [1.0, 0.0, 0.0]) == FAR
    assert shoot(solids, [-4.0, reach - 1e-3, 0.0], [1.0, 0.0, 0.0]) < FAR


@pytest.mark.parametrize(("kind", "taper"), SHAPES)
def test_first_hit_leaves_a_surface_without_hitting_it_again(kind, taper):
    solids, _ = posed(kind, taper)
    start, direction = random_rays(300, 3)
    origin, heading = torch.tensor(start)[None].float(), torch.tensor(direction)[None].float()
    found = first_hit(solids, origin, heading)[0]
    hit = found[0] < FAR
    points = (origin + heading * found[..., None])[:, hit]
    zeros = torch.zeros(int(hit.sum()), dtype=torch.int64)
    surface = normals(solids, zeros, zeros, points[0])[None]
    assert (first_hit(solids, points + 2e-3 * surface, surface)[0] == FAR).all()


def test_first_hit_names_the_nearer_part():
    parts = [
        Part(Kind.ELLIPSOID, "body", (0, 0, 0), (1, 1, 1)),
        Part(Kind.BOX, "accent", (0.8, 0, 0), (0.5, 0.5, 0.5)),
        Part(Kind.FRUSTUM, "dark", (0, 0, 1.5), (0.3, 0.3, 1.0)),
    ]
    solids = place(parts, torch.ones(1, 3))
    origin = torch.tensor([[[-5.0, 0, 0], [5.0, 0, 0], [0, 0, 6.0], [0, 9.0, 0]]])
    heading = torch.tensor([[[1.0, 0, 0], [-1.0, 0, 0], [0, 0, -1.0], [0, 0, 1.0]]])
    distance, owner = first_hit(solids, origin, heading)
    assert owner[0, :3].tolist() == [0, 1, 2]
    assert distance[0].tolist() == pytest.approx([4.0, 3.7, 3.5, FAR], abs=1e-4)


def test_place_turns_about_x_then_y_then_z():
    # x: the long axis z falls to -y; z: -y goes to x
    solids = solid(Kind.BOX, half=(0.1, 0.1, 2.0), turn=(90.0, 0.0, 90.0))
    assert shoot(solids, [-5.0, 0.0, 0.0], [1.0, 0.0, 0.0]) == pytest.approx(3, abs=1e-4)
    # the tip of a cone shows which way round: z falls to -y about x, then to x about z
    cone = solid(Kind.FRUSTUM, 0.0, turn=(90.0, 0.0, 90.0))
    assert shoot(cone, [0.9, 0.0, 5.0], [0.0, 0.0, -1.0]) == pytest.approx(4.95, abs=1e-3)


def test_place_stretches_the_toy_along_its_own_axes():
    # half extents 1 and 0.5 along x and y, turned by 90 degrees: 0.5 and 1, of which x doubles
    solids = solid(Kind.BOX, half=(1.0, 0.5, 1.0), turn=(0.0, 0.0, 90.0), scale=(2.0, 1.0, 1.0))
    assert shoot(solids, [-5.0, 0.0, 0.0], [1.0, 0.0, 0.0]) == pytest.approx(4, abs=1e-4)
    assert shoot(solids, [0.0, -5.0, 0.0], [0.0, 1.0, 0.0]) == pytest.approx(4, abs=1e-4)


def test_first_hit_of_many_scenes_is_that_of_each():
    part = Part(Kind.FRUSTUM, "body", (0, 0, 0.4), (0.5, 0.4, 0.4), (20.0, 10.0, 5.0), 0.6)
    scales = torch.tensor([[1.0, 1.0, 1.0], [0.9, 1.1, 1.0], [1.1, 0.9, 0.88]])
    start, direction = (torch.tensor(rays).float() for rays in random_rays(50, 4))
    together = first_hit(place([part], scales), start[None].expand(3, -1, -1), direction[None])[0]
    for index in range(3):
        alone = first_hit(place([part], scales[index : index + 1]), start[None], direction[None])[0]
        assert torch.allclose(together[index], alone[0], atol=1e-4)
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_balls_around_parts_leave_no_hit_out(name):
    solids = place(CLASSES[name], torch.tensor([[1.0, 1.2, 0.9], [0.7, 0.8, 1.1]]))
    random = torch.Generator().manual_seed(0)
    origin = torch.randn(2, 4000, 3, generator=random) * 2
    aim = torch.rand(2, 4000, 3, generator=random) - torch.tensor([0.5, 0.5, 0.0])
    direction = torch.nn.functional.normalize(aim - origin, dim=-1)
    found = first_hit(solids, origin, direction)
    everything = first_hit(replace(solids, reach=torch.full_like(solids.reach, 1e3)), origin, direction)
    assert (found[0] < FAR).any()
    for some, every in zip(found, everything, strict=True):
        assert torch.equal(some, every)

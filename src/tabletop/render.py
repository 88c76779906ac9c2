"""Renders scenes by ray tracing: one light with a shadow, ambient light from above, a little gloss.

Symbols: B scenes, R rays of a scene.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from src.tabletop.backgrounds import background_colour
from src.tabletop.geometry import FAR, Solids, first_hit, normals, place
from src.tabletop.marks import marked
from src.tabletop.scene import Scene
from src.tabletop.toys import CLASSES, FIXED, Part, Point

HALF_VIEW = math.tan(math.radians(15.0))
AIM_HEIGHT = 0.45
AMBIENT = 0.42
GLOSS, SHININESS = 0.10, 24.0
GAMMA = 2.2
# toy heights behind the toy after which a texture is its mean colour
FADE = 3.5
# fewer at a time cost more calls, more leave the processor's cache
RAYS_AT_ONCE = 65536


def render(
    scenes: Sequence[Scene],
    width: int,
    height: int,
    oversampling: int,
    catalogue: Mapping[str, Sequence[Part]] = CLASSES,
    at_once: int = 1,
) -> Tensor:
    """Renders pictures on torch's default device; the same scenes give the same bytes on one machine.

    Args:
        scenes: What to render.
        width: Pixels.
        height: Pixels.
        oversampling: Rays per pixel side, averaged; 2 or more smooths edges.
        catalogue: The parts of every class.
        at_once: Scenes of one class on one ground that are rendered together. With 1 their bytes do not depend on how
            scenes are grouped; a GPU wants some.

    Returns:
        (B, height, width, 3), uint8.
    """
    pictures = torch.empty(len(scenes), height, width, 3, dtype=torch.uint8)
    rows_at_once = max(1, at_once * RAYS_AT_ONCE // (width * oversampling**2))
    for name, indices in _groups(scenes, at_once):
        together = [scenes[index] for index in indices]
        for top in range(0, height, rows_at_once):
            rows = range(top, min(top + rows_at_once, height))
            rendered = _render(together, catalogue[name], width, height, rows, oversampling)
            pictures[indices, rows.start : rows.stop] = rendered
    return pictures


def cover(
    scenes: Sequence[Scene], side: int, catalogue: Mapping[str, Sequence[Part]] = CLASSES, at_once: int = 1
) -> Tensor:
    """Says where the toys are.

    Args:
        scenes: What is looked at.
        side: Pixels of a square picture.
        catalogue: The parts of every class.
        at_once: See `render`.

    Returns:
        (B, side, side), uint8: 1 where a pixel's centre shows the toy, else 0.
    """
    masks = torch.empty(len(scenes), side, side, dtype=torch.uint8)
    for name, indices in _groups(scenes, at_once):
        together = [scenes[index] for index in indices]
        eye, directions = _rays(together, side, side, range(side), 1)
        _, toy_distance, _, floor_distance = _look(together, catalogue[name], eye, directions)
        masks[indices] = (toy_distance < floor_distance).view(-1, side, side).to(torch.uint8)
    return masks


def _groups(scenes: Sequence[Scene], at_once: int) -> Iterator[tuple[str, list[int]]]:
    """Yields class and indices of scenes that have the class and the ground in common, `at_once` or fewer."""
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, scene in enumerate(scenes):
        alike[scene.toy.name, scene.background].append(index)
    for (name, _), indices in sorted(alike.items()):
        for first in range(0, len(indices), at_once):
            yield name, indices[first : first + at_once]


def _look(
    scenes: Sequence[Scene], parts: Sequence[Part], eye: Tensor, directions: Tensor
) -> tuple[Solids, Tensor, Tensor, Tensor]:
    solids = place(parts, torch.tensor([scene.toy.scale for scene in scenes]))
    toy_distance, part = first_hit(solids, eye[:, None], directions)
    floor_distance = torch.where(directions[..., 2] < -1e-6, -eye[:, None, 2] / directions[..., 2], FAR)
    return solids, toy_distance, part, floor_distance


def _render(
    scenes: Sequence[Scene], parts: Sequence[Part], width: int, height: int, rows: range, oversampling: int
) -> Tensor:
    eye, directions = _rays(scenes, width, height, rows, oversampling)
    solids, toy_distance, part, floor_distance = _look(scenes, parts, eye, directions)
    on_toy = toy_distance < floor_distance
    distance = torch.minimum(toy_distance, floor_distance).clamp(max=60.0)
    points = eye[:, None] + directions * distance[..., None]

    surface = torch.zeros_like(points)
    surface[..., 2] = 1.0
    scene_of, ray_of = on_toy.nonzero(as_tuple=True)
    surface[scene_of, ray_of] = normals(solids, scene_of, part[scene_of, ray_of], points[scene_of, ray_of])

    colour = _floor(scenes, points, distance)
    paint = torch.stack([_paint(scene, parts) for scene in scenes])
    colour[scene_of, ray_of] = paint[scene_of, part[scene_of, ray_of]]
    _mark(colour, parts, solids, part.masked_fill(~on_toy, -1), points)

    light = torch.stack([_light_direction(scene) for scene in scenes])
    facing = torch.einsum("brk,bk->br", surface, light).clamp(min=0)
    blocked, _ = first_hit(solids, points + surface * 2e-3, light[:, None])
    lit = facing * (blocked == FAR)
    warmth = torch.tensor([[1 + 0.08 * s.warmth, 1.0, 1 - 0.12 * s.warmth] for s in scenes])
    exposure = torch.tensor([s.exposure for s in scenes])
    halfway = torch.nn.functional.normalize(light[:, None] - directions, dim=-1)
    shine = GLOSS * lit * on_toy * (surface * halfway).sum(-1).clamp(min=0) ** SHININESS
    ambient = AMBIENT * (0.75 + 0.25 * surface[..., 2])
    radiance = colour**GAMMA * (ambient + 0.85 * lit)[..., None] + shine[..., None]
    picture = (radiance * (warmth * exposure[:, None])[:, None]).clamp(0, 1)
    fine = picture.reshape(len(scenes), len(rows), oversampling, width, oversampling, 3).mean((2, 4))
    return (fine ** (1 / GAMMA) * 255).round().to(torch.uint8)


def _rays(scenes: Sequence[Scene], width: int, height: int, rows: range, oversampling: int) -> tuple[Tensor, Tensor]:
    columns = (torch.arange(width * oversampling) + 0.5) / (width * oversampling) * 2 - 1
    lines = torch.arange(rows.start * oversampling, rows.stop * oversampling)
    down = ((lines + 0.5) / (height * oversampling) * 2 - 1) * height / width
    eyes, directions = [], []
    for scene in scenes:
        azimuth, elevation = math.radians(scene.azimuth), math.radians(scene.elevation)
        back = torch.tensor(
            [math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), math.sin(elevation)]
        )
        right = torch.tensor([-math.sin(azimuth), math.cos(azimuth), 0.0])
        up = torch.linalg.cross(back, right)
        eyes.append(torch.tensor([0.0, 0.0, AIM_HEIGHT]) + back * scene.distance)
        aside, above = scene.aside
        across = ((columns - aside) * HALF_VIEW)[None, :, None] * right
        upward = ((-down - above) * HALF_VIEW)[:, None, None] * up
        directions.append(torch.nn.functional.normalize(across + upward - back, dim=-1).reshape(-1, 3))
    return torch.stack(eyes), torch.stack(directions)


def _light_direction(scene: Scene) -> Tensor:
    azimuth = math.radians(scene.azimuth + scene.light_azimuth)
    elevation = math.radians(scene.light_elevation)
    return torch.tensor(
        [math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), math.sin(elevation)]
    )


def _floor(scenes: Sequence[Scene], points: Tensor, distance: Tensor) -> Tensor:
    colours = []
    for scene, place_, far in zip(scenes, points, distance, strict=True):
        turn = math.radians(scene.background_turn)
        x = place_[:, 0] * math.cos(turn) + place_[:, 1] * math.sin(turn) + scene.background_phase
        y = place_[:, 1] * math.cos(turn) - place_[:, 0] * math.sin(turn) + 2 * scene.background_phase
        fade = ((far - scene.distance) / FADE).clamp(0, 1)
        colours.append(background_colour(scene.background, x, y, fade, torch.tensor(scene.background_phase)))
    return torch.stack(colours)


def _paint(scene: Scene, parts: Sequence[Part]) -> Tensor:
    roles = {**FIXED, "body": scene.toy.body, "accent": scene.toy.accent}
    return torch.tensor([_own_colour(part.role) or roles[part.role] for part in parts])


def _own_colour(role: str) -> Point | None:
    if not role.startswith("#"):
        return None
    return int(role[1:3], 16) / 255, int(role[3:5], 16) / 255, int(role[5:7], 16) / 255


def _mark(colour: Tensor, parts: Sequence[Part], solids: Solids, part: Tensor, points: Tensor) -> None:
    """Paints the marks of parts over their colours, in place; `part` is -1 where no toy is seen."""
    for index, one in enumerate(parts):
        if one.marks is None:
            continue
        scene_of, ray_of = (part == index).nonzero(as_tuple=True)
        apart = points[scene_of, ray_of] - solids.centre[scene_of, index]
        own = torch.einsum("nij,nj->ni", solids.to_local[scene_of, index], apart)
        here = marked(one.marks, own)
        colour[scene_of[here], ray_of[here]] = torch.tensor(one.marks.colour)

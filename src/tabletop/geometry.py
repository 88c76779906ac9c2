"""Rays against toys: which part is hit first, and the surface's normal there.

Symbols: B scenes, R rays, P parts. In a part's own frame its solid has half extent 1 (see `toys.Kind`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from src.tabletop.toys import Kind, Part

FAR = 1e9
NEAR = 1e-4
# no rounding may put a part outside its ball
SLACK = 1e-2

# x, y and z of rays, each (B, R)
Triple = Sequence[Tensor]


@dataclass(frozen=True)
class Solids:
    """The parts of B toys of one class.

    Attributes:
        kinds: Of the P parts.
        tapers: Of the P parts.
        to_local: World directions to the part's own, (B, P, 3, 3).
        centre: (B, P, 3).
        reach: Radius of a ball around the centre that holds the part, (B, P).
    """

    kinds: tuple[Kind, ...]
    tapers: tuple[float, ...]
    to_local: Tensor
    centre: Tensor
    reach: Tensor


def place(parts: Sequence[Part], scale: Tensor) -> Solids:
    """Puts a toy into the world, once for each scale.

    Args:
        parts: P parts of the toy.
        scale: Of the toy's x, y and z, (B, 3).

    Returns:
        The solids.
    """
    centres = torch.tensor([part.centre for part in parts], dtype=torch.float32)
    halves = torch.tensor([part.half for part in parts], dtype=torch.float32)
    turns = torch.stack([_rotation(part.turn) for part in parts])
    frames = scale[:, None, :, None] * turns * halves[:, None, :]  # columns: the part's axes in the world
    kinds, tapers = tuple(part.kind for part in parts), tuple(part.taper for part in parts)
    widest = torch.tensor([max(1.0, taper) for taper in tapers])
    corner = frames.square().sum((2, 3)).sqrt() * widest
    return Solids(kinds, tapers, torch.linalg.inv(frames), centres * scale[:, None], corner + SLACK)


def _rotation(turn: tuple[float, float, float]) -> Tensor:
    result = torch.eye(3)
    for axis, degrees in enumerate(turn):
        sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
        step = torch.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        step[first, first] = step[second, second] = cosine
        step[first, second], step[second, first] = -sine, sine
        result = step @ result
    return result


def first_hit(solids: Solids, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Finds where rays first enter a toy.

    Meant for rays that start outside: from inside an ellipsoid or a box nothing is hit, from inside a frustum its wall.

    Args:
        solids: P parts in B scenes.
        origin: (B, R or 1, 3).
        direction: (B, R or 1, 3); origin and direction broadcast to R rays.

    Returns:
        Ray parameters (B, R), FAR where nothing is hit, and the parts' numbers (B, R), int64.
    """
    shape = torch.broadcast_shapes(origin.shape[:2], direction.shape[:2])
    nearest, owner = torch.full(shape, FAR), torch.zeros(shape, dtype=torch.int64)
    meets = _meets_ball(solids, origin, direction).any(0)
    for index, kind in enumerate(solids.kinds):
        near = meets[:, index].nonzero()[:, 0]
        from_, towards = (rays if rays.shape[1] == 1 else rays[:, near] for rays in (origin, direction))
        matrix = solids.to_local[:, index].transpose(1, 2)
        start = ((from_ - solids.centre[:, None, index]) @ matrix).unbind(-1)
        heading = (towards @ matrix).unbind(-1)
        distance = _enter(kind, solids.tapers[index], start, heading)
        closer = distance < nearest[:, near]
        nearest[:, near] = torch.where(closer, distance, nearest[:, near])
        owner[:, near] = torch.where(closer, index, owner[:, near])
    return nearest, owner


def _meets_ball(solids: Solids, origin: Tensor, direction: Tensor) -> Tensor:
    """Says which rays meet the balls around the parts, (B, R, P): few do, and a ball costs less than its part."""
    centres, ones = solids.centre.transpose(1, 2), torch.ones(3, 1)  # a product is faster than a sum over three
    along = direction @ centres - (origin * direction) @ ones
    apart = origin.square() @ ones - 2 * (origin @ centres) + centres.square().sum(1, keepdim=True)
    outside = apart - solids.reach[:, None] ** 2
    met: Tensor = (along * along >= (direction.square() @ ones) * outside) & ((along > 0) | (outside < 0))
    return met


def _enter(kind: Kind, taper: float, start: Triple, heading: Triple) -> Tensor:
    if kind is Kind.ELLIPSOID:
        return _enter_sphere(start, heading)
    if kind is Kind.BOX:
        return _enter_box(start, heading)
    return _enter_frustum(taper, start, heading)


def _enter_sphere(start: Triple, heading: Triple) -> Tensor:
    (px, py, pz), (dx, dy, dz) = start, heading
    a = dx * dx + dy * dy + dz * dz
    half_b = px * dx + py * dy + pz * dz
    c = px * px + py * py + pz * pz - 1
    inside = half_b * half_b - a * c
    distance = (-half_b - inside.clamp(min=0).sqrt()) / a
    return torch.where((inside > 0) & (distance > NEAR), distance, FAR)


def _enter_box(start: Triple, heading: Triple) -> Tensor:
    lows, highs = [], []
    for p, d in zip(start, heading, strict=True):
        step = 1 / torch.where(d.abs() < 1e-9, 1e-9, d)
        middle, reach = -p * step, step.abs()
        lows.append(middle - reach)
        highs.append(middle + reach)
    entry, leave = reduce(torch.maximum, lows), reduce(torch.minimum, highs)
    return torch.where((entry < leave) & (entry > NEAR), entry, FAR)


def _enter_frustum(taper: float, start: Triple, heading: Triple) -> Tensor:
    (px, py, pz), (dx, dy, dz) = start, heading
    middle, slope = (1 + taper) / 2, (taper - 1) / 2  # radius = middle + slope * z
    radius, widening = middle + slope * pz, slope * dz
    a = dx * dx + dy * dy - widening * widening
    a = torch.where(a.abs() < 1e-9, 1e-9, a)
    half_b = px * dx + py * dy - radius * widening
    c = px * px + py * py - radius * radius
    inside = half_b * half_b - a * c
    root = inside.clamp(min=0).sqrt()
    best = torch.full_like(inside, FAR)
    for side in (-1.0, 1.0):
        distance = (-half_b + side * root) / a
        valid = (inside > 0) & (distance > NEAR) & ((pz + distance * dz).abs() <= 1)
        best = torch.where(valid, torch.minimum(best, distance), best)
    step = 1 / torch.where(dz.abs() < 1e-9, 1e-9, dz)
    for side in (-1.0, 1.0):
        distance = (side - pz) * step
        x, y = px + distance * dx, py + distance * dy
        limit = middle + slope * side
        valid = (x * x + y * y <= limit * limit) & (distance > NEAR)
        best = torch.where(valid, torch.minimum(best, distance), best)
    return best


def normals(solids: Solids, scene: Tensor, part: Tensor, points: Tensor) -> Tensor:
    """Computes outward unit normals at points on toys.

    Args:
        solids: P parts in B scenes.
        scene: Which scene each of N points belongs to, (N,), int64.
        part: Which part, (N,), int64.
        points: World coordinates, (N, 3).

    Returns:
        (N, 3).
    """
    matrix = solids.to_local[scene, part]
    local = torch.einsum("nij,nj->ni", matrix, points - solids.centre[scene, part])
    kinds = torch.tensor([kind.value for kind in solids.kinds])[part]
    slope = torch.tensor([(taper - 1) / 2 for taper in solids.tapers])[part]
    size = local.abs()
    on_face = torch.nn.functional.one_hot(size.argmax(1), 3) * local.sign()
    radius = local[:, :2].norm(dim=1)
    wall = torch.cat([local[:, :2], (-slope * radius)[:, None]], 1)
    cap = torch.zeros_like(local)
    cap[:, 2] = local[:, 2].sign()
    side = torch.where((size[:, 2] > 1 - 1e-3)[:, None], cap, wall)
    chosen = torch.where((kinds == Kind.ELLIPSOID.value)[:, None], local, side)
    chosen = torch.where((kinds == Kind.BOX.value)[:, None], on_face, chosen)
    world = torch.einsum("nij,ni->nj", matrix, chosen)
    return torch.nn.functional.normalize(world, dim=1)

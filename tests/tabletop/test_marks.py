import torch

from src.tabletop.marks import LETTERS, Marks, Pattern, marked
from src.tabletop.render import render
from src.tabletop.scene import Scene, Toy
from src.tabletop.toys import Kind, Part

FRONT = (1.0, 0.0, 0.0)
RED = (1.0, 0.0, 0.0)


def on_front(*places):
    return torch.tensor([[0.9, y, z] for y, z in places])


def marks(pattern, size=0.5, phase=0.0, towards=FRONT):
    return Marks(pattern, RED, towards, size, phase)


def test_stripes_cross_their_direction_with_their_period():
    points = torch.zeros(8, 3)
    points[:, 2] = torch.arange(8) / 4 + 0.05
    upward = marks(Pattern.STRIPES, size=0.5, towards=(0.0, 0.0, 1.0))
    assert marked(upward, points).tolist() == [True, False] * 4
    points[:, :2] = torch.randn(8, 2)
    assert marked(upward, points).tolist() == [True, False] * 4, "other directions do not matter"


def test_checker_changes_from_cell_to_cell_along_every_axis():
    corner = torch.full((1, 3), 0.1)
    first = marked(marks(Pattern.CHECKER), corner)
    for axis in range(3):
        next_ = corner.clone()
        next_[0, axis] += 0.5
        assert marked(marks(Pattern.CHECKER), next_) != first


def test_what_lies_on_one_side_is_not_on_the_other():
    for pattern in (Pattern.PATCH, Pattern.RINGS, Pattern.STAR, Pattern.LETTER):
        points = torch.cartesian_prod(torch.tensor([0.9]), *[torch.linspace(-1, 1, 41)] * 2)
        here = marked(marks(pattern, phase=1.0), points)
        assert 0.01 < float(here.float().mean()) < 0.6, pattern
        assert not marked(marks(pattern, phase=1.0), -points).any(), pattern


def test_patch_has_its_radius_and_star_its_tips():
    assert marked(marks(Pattern.PATCH), on_front((0, 0.45), (0, 0.55), (0.34, 0.34))).tolist() == [True, False, True]
    turns = torch.linspace(0, 2 * torch.pi, 361)[:-1]
    ring = torch.stack([torch.full_like(turns, 0.9), 0.4 * turns.cos(), 0.4 * turns.sin()], 1)
    inside = marked(marks(Pattern.STAR), ring)
    assert int((inside != inside.roll(1)).sum()) == 10, "five tips cross a circle ten times"


def test_every_letter_has_a_shape_of_its_own():
    points = torch.cartesian_prod(torch.tensor([0.9]), *[torch.linspace(-0.5, 0.5, 32)] * 2)
    rendered = {
        tuple(marked(marks(Pattern.LETTER, phase=(i + 0.5) / 1e4), points).tolist()) for i in range(len(LETTERS))
    }
    assert len(rendered) == len(LETTERS)


def test_renders_show_marks_in_their_colour_and_nothing_else_changes():
    toy = Toy("block", "red", (0.0, 0.0, 1.0), (0.0, 0.0, 1.0), (1.0, 1.0, 1.0))
    scene = Scene(toy, "snow", 0.0, 20.0, 3.0, (0.0, 0.0), 0.0, 50.0, 0.0, 1.0, 0.0, 0.0)
    plain = Part(Kind.BOX, "#0000ff", (0.0, 0.0, 0.4), (0.4, 0.4, 0.4))
    patched = Part(Kind.BOX, "#0000ff", (0.0, 0.0, 0.4), (0.4, 0.4, 0.4), marks=marks(Pattern.PATCH))
    without, with_marks = (render([scene], 32, 32, 1, {"block": [part]})[0].int() for part in (plain, patched))
    changed = (without != with_marks).any(-1)
    assert 10 < int(changed.sum()) < 200
    red, _, blue = with_marks[changed].unbind(-1)
    assert bool((red > blue + 50).all())

"""An offline stand-in for CIFAR-10: small pictures of its ten classes, drawn with Pillow.

No picture here is from CIFAR-10, and none is a photograph. They have CIFAR-10's classes, shape and value range, so
that a lesson can go on where the real images cannot be had. An accuracy reached on them says nothing about CIFAR-10.

How a picture is made: a background that several classes share, then the subject in its own frame of coordinates
(size, place, tilt and mirroring are all in the frame), then something in front of it, then light and noise.
"""

import functools
import math
import random

import numpy as np
from PIL import Image, ImageColor, ImageDraw

VERSION = 1  # of the pictures: caches of other versions are drawn anew
_SIZE = 32
_OVERSAMPLING = 2  # drawn this much larger and averaged, which smooths the edges
_BLOCK = 50  # pictures that get light and noise at once; more would not fit the processor's cache
_HALF = _SIZE * _OVERSAMPLING / 2
_CIRCLE = [(math.cos(math.tau * k / 12), math.sin(math.tau * k / 12)) for k in range(12)]


def _palette(names):
    return [ImageColor.getrgb(name) for name in names.split()]


_HULL = _palette("white whitesmoke silver gray firebrick")
_PAINT = _HULL + _palette("white dimgray #222222 red darkorange gold seagreen steelblue navy")
_FAWN = _palette("#5a3d28 #7b5534 #96693f #b58a5a #cfae82")
_FUR = _FAWN + _palette("#1c1a18 #3b2a20 #e6d8c0 #f2eee6 #8a8580 #5c5a58")
_SKIN = _palette("#3f6b2a #5b8c35 #86b13c #6b6a3a #7a5c3a #4a4632 #a3622e #93a35c")
_BELLY = _palette("#d8d0a0 #c8d890 #e8e0c8")
_BEAK = _palette("orange goldenrod #333333")
_EYES = _palette("#6a8a2a #b08a2a #33261a #2a2420")
_CLOUD = _palette("#d7dfe6 #eef1f4 #9aa5b0")
_SKY = _CLOUD + _palette("#8fb8e0 #6f9fd6 #b9d3ea #e8c9a4 #4f7fc0")
_SEA = _palette("#2f5f8a #3f7fa8 #58879b #6d8790 #2a4a60 #7fa6b0")
_GRASS = _palette("#5f8a3a #7fa04a #46702f #a8a05a #8a7a4a #c2b280 #dfe3e6 #6b8f52")
_LEAVES = _palette("#3f5f30 #4c6e3a #5f7f42 #7b6a45 #5a4a34 #8a8f55 #38482c")
_STONE = _palette("#8a8a8a #6f7074 #a09c94 #55565a #b5ada0 #7b7468")
_WALL = _palette("#d8cdb8 #b8a48a #9fb0b8 #c78f7a #e6e2da #8a6f55 #6a7f8a #b04a42 #7a8a6a #4a4650")
_DARK, _PALE, _LAMP = (28, 28, 30), (238, 238, 234), (250, 245, 210)


def _shade(colour, factor):
    return tuple(int(channel * factor) for channel in colour)


def _inner_frame(frame, x, y, width, height, degrees):
    """A frame inside another: centre (x, y), half width, half height, turned. Each frame maps points to pixels."""
    xx, xy, x0, yx, yy, y0 = frame
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    a, b, c, d = width * cosine, -height * sine, width * sine, height * cosine
    ((new_x0, new_y0),) = _pixels(frame, [(x, y)])
    return xx * a + xy * c, xx * b + xy * d, new_x0, yx * a + yy * c, yx * b + yy * d, new_y0


def _pixels(frame, points):
    xx, xy, x0, yx, yy, y0 = frame
    return [(xx * x + xy * y + x0, yx * x + yy * y + y0) for x, y in points]


class _Sketch:
    """A picture in the making. Coordinates run from -1 to 1, x rightwards, y downwards, in the frame set by `place`."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.between, self.pick = self.random.uniform, self.random.choice
        self.picture = Image.new("RGB", (_SIZE * _OVERSAMPLING, _SIZE * _OVERSAMPLING))
        self.pen = ImageDraw.Draw(self.picture)
        self.horizon, self.flying = 0.0, False
        self.place()

    def chance(self, probability):
        return self.random.random() < probability

    def colour(self, palette):
        """A colour of the palette, a little lighter or darker, warmer or cooler."""
        red, green, blue = self.pick(palette)
        light, warmth = self.between(0.82, 1.12), self.between(0.94, 1.06)
        return min(255, int(red * light * warmth)), min(255, int(green * light)), min(255, int(blue * light / warmth))

    def place(self, x=0.0, y=0.0, width=1.0, height=1.0, degrees=0.0):
        """Set the frame of the shapes to come; a negative width mirrors them."""
        self.frame = _inner_frame((_HALF, 0, _HALF, 0, _HALF, _HALF), x, y, width, height, degrees)
        self.unit = _HALF * math.sqrt(abs(width * height))

    def polygon(self, colour, *points):
        self.pen.polygon(_pixels(self.frame, points), colour)

    def box(self, colour, left, top, right, bottom):
        self.polygon(colour, (left, top), (right, top), (right, bottom), (left, bottom))

    def ellipse(self, colour, x, y, width, height, degrees=0.0):
        self.pen.polygon(_pixels(_inner_frame(self.frame, x, y, width, height, degrees), _CIRCLE), colour)

    def ball(self, colour, x, y, width, height, degrees=0.0):
        """An ellipse that is darker below, so that it looks round."""
        self.ellipse(_shade(colour, 0.75), x, y, width, height, degrees)
        self.ellipse(colour, x, y - 0.15 * height, 0.9 * width, 0.8 * height, degrees)

    def line(self, colour, thickness, *points):
        self.pen.line(_pixels(self.frame, points), colour, max(1, round(thickness * self.unit)), joint="curve")

    def scatter(self, count, palette, top, bottom, width, height):
        """Ellipses here and there: clouds, leaves and stones, or, if thin, waves and blades of grass."""
        for _ in range(count):
            x, y, size = self.between(-1, 1), self.between(top, bottom), self.between(0.5, 1)
            self.ellipse(self.colour(palette), x, y, width * size, height * size)

    def boxes(self, count, palette, low, high, width, height):
        """Boxes here and there: houses, trunks, furniture. Their lower edge lies between `low` and `high`."""
        for _ in range(count):
            x, y, size = self.between(-1.1, 1), self.between(low, high), self.between(0.3, 1)
            self.box(self.colour(palette), x, y - height * size, x + width * self.between(0.3, 1), y)


# Backgrounds. Several classes share each of them, so that none gives the class away.


def _ground(sketch, above, below):
    sketch.horizon = sketch.between(-0.4, 0.45)
    sketch.box(sketch.colour(above), -1, -1, 1, sketch.horizon)
    sketch.box(sketch.colour(below), -1, sketch.horizon, 1, 1)
    return sketch.horizon


def _sky(sketch):
    sketch.box(sketch.colour(_SKY), -1, -1, 1, 1)
    sketch.scatter(sketch.pick([0, 2, 4]), _CLOUD, -1, 1, 0.7, 0.3)
    sketch.scatter(sketch.pick([0, 0, 6]), _LEAVES + _STONE, 0.95, 1.1, 0.5, 0.3)
    sketch.flying = True


def _road(sketch):
    y = _ground(sketch, _SKY + _LEAVES, _STONE)
    sketch.boxes(sketch.pick([0, 2, 4]), _WALL + _LEAVES, y, y, 0.7, 0.8)
    sketch.line(sketch.colour(_STONE + _GRASS), 0.08, (-1, y), (1, y))
    sketch.line(sketch.pick([_PALE, _DARK]), 0.04, (-1, sketch.between(y, 1)), (1, sketch.between(y, 1)))


def _water(sketch):
    y = _ground(sketch, _SKY, _SEA)
    sketch.scatter(sketch.pick([0, 4]), _LEAVES + _STONE, y - 0.05, y, 0.6, 0.1)
    sketch.scatter(12, _SEA + _SKY, y + 0.1, 1, 0.25, 0.03)


def _shore(sketch):
    _water(sketch)
    sketch.horizon = sketch.between(0.3, 0.6)
    sketch.box(sketch.colour(_STONE + _GRASS), -1, sketch.horizon, 1, 1)


def _meadow(sketch):
    y = _ground(sketch, _SKY + _LEAVES, _GRASS)
    sketch.scatter(sketch.pick([0, 5]), _LEAVES, y - 0.1, y, 0.5, 0.25)
    sketch.scatter(12, _GRASS, y + 0.1, 1, 0.04, 0.2)


def _wood(sketch):
    sketch.box(sketch.colour(_LEAVES), -1, -1, 1, 1)
    sketch.scatter(8, _LEAVES, -1, 1, 0.5, 0.5)
    sketch.boxes(sketch.pick([0, 1, 3]), _LEAVES + _FUR, 0.2, 1, 0.25, 2.5)
    sketch.scatter(8, _LEAVES + _GRASS, 0.2, 1, 0.04, 0.25)


def _room(sketch):
    y = _ground(sketch, _WALL, _WALL)
    sketch.boxes(sketch.pick([0, 2, 3]), _WALL + _PAINT, -0.2, 1, 0.9, 0.9)
    sketch.line(sketch.colour(_WALL), 0.06, (-1, y), (1, y))


# Subjects. All look to the right.


def _airplane(sketch):
    paint, trim, lean = sketch.colour(_PAINT), sketch.colour(_PAINT), sketch.between(0, 0.5)
    dark = _shade(paint, 0.7)
    if sketch.flying and sketch.chance(0.5):  # from above
        for side in (-1, 1):
            sketch.polygon(dark, (0.3, 0), (0.25 - lean, side * 0.9), (0.05 - lean, side * 0.9), (-0.15, 0))
            sketch.polygon(dark, (-0.7, 0), (-0.9, side * 0.35), (-1, side * 0.35), (-0.9, 0))
        sketch.ball(paint, 0, 0, 1, 0.13)
        return
    sketch.polygon(trim, (-0.95, -0.55), (-0.75, -0.55), (-0.5, 0), (-0.9, 0))
    sketch.polygon(dark, (0.15, 0), (0.05 - lean, -0.4), (-0.1 - lean, -0.4), (-0.15, 0))
    sketch.ball(paint, 0, 0, 0.98, sketch.between(0.1, 0.17))
    sketch.polygon(trim, (0.2, 0.02), (-0.1 - lean, 0.5), (-0.3 - lean, 0.5), (-0.2, 0.02))
    sketch.line(_DARK, 0.05, (-0.5, -0.04), (0.75, -0.04))
    if not sketch.flying:
        sketch.line(_DARK, 0.04, (0.98, -0.35), (0.98, 0.35))
        for x in (-0.15, 0.6):
            sketch.line(_DARK, 0.05, (x, 0.1), (x, 0.5))


def _wheels(sketch, y, *places):
    radius = sketch.between(0.16, 0.21)
    for x in places:
        sketch.ellipse(_DARK, x, y, radius, radius)
        sketch.ellipse((150, 150, 155), x, y, 0.45 * radius, 0.45 * radius)


def _oncoming(sketch, paint, roof, slope):
    """A car or a lorry from the front: tyres, body, windscreen, bumper, grille and lights."""
    for x in (-0.6, 0.35):
        sketch.box(_DARK, x, 0.3, x + 0.25, 0.65)
    sketch.polygon(paint, (-0.7, 0), (slope - 0.7, roof), (0.7 - slope, roof), (0.7, 0), (0.7, 0.45), (-0.7, 0.45))
    corner = (0.58 - slope, roof + 0.1)
    sketch.polygon(sketch.colour(_SEA), (-0.58, -0.05), (-corner[0], corner[1]), corner, (0.58, -0.05))
    sketch.box(_shade(paint, 0.75), -0.7, 0.3, 0.7, 0.48)
    sketch.box(_DARK, -0.3, 0.12, 0.3, 0.26)
    for x in (-0.52, 0.52):
        sketch.ellipse(_LAMP, x, 0.15, 0.12, 0.09)


def _automobile(sketch):
    paint, roof = sketch.colour(_PAINT), sketch.between(-0.55, -0.4)
    if sketch.chance(0.35):
        return _oncoming(sketch, paint, roof, sketch.between(0.1, 0.25))
    back, front = sketch.between(-0.9, -0.3), sketch.between(0.15, 0.35)
    sketch.polygon(paint, (back - 0.05, -0.1), (back + 0.15, roof), (front - 0.1, roof), (front + 0.25, -0.1))
    sketch.polygon(sketch.colour(_SEA), (back + 0.07, -0.1), (back + 0.2, roof + 0.07), (front - 0.12, roof + 0.07),
                   (front + 0.15, -0.1))
    sketch.line(paint, 0.07, ((back + front) / 2, roof), ((back + front) / 2, 0))
    sketch.polygon(paint, (-0.95, -0.1), (front + 0.25, -0.1), (0.9, 0.02), (0.97, 0.3), (-0.95, 0.3))
    sketch.box(_shade(paint, 0.7), -0.95, 0.18, 0.97, 0.32)
    _wheels(sketch, 0.32, -0.58, 0.58)


def _truck(sketch):
    paint, load = sketch.colour(_PAINT), sketch.colour(_PAINT)
    top, cab = sketch.between(-0.75, -0.35), sketch.between(-0.5, -0.25)
    if sketch.chance(0.3):
        sketch.box(load, -0.75, top - 0.2, 0.75, 0.3)
        return _oncoming(sketch, paint, top, 0.04)
    if sketch.chance(0.2):
        sketch.ball(load, -0.32, -0.1, 0.66, 0.32)
    else:
        sketch.box(load, -0.98, top, 0.35, 0.25)
    sketch.polygon(paint, (0.4, cab), (0.72, cab), (0.88, 0), (0.97, 0.05), (0.97, 0.35), (0.4, 0.35))
    sketch.polygon(sketch.colour(_SEA), (0.55, cab + 0.07), (0.7, cab + 0.07), (0.82, 0), (0.55, 0))
    sketch.box(_DARK, -0.95, 0.22, 0.95, 0.34)
    _wheels(sketch, 0.38, -0.75, -0.4, 0.68)


def _ship(sketch):
    hull, cabin, x, width, y = sketch.colour(_PAINT), sketch.colour(_HULL), sketch.between(-0.5, 0.1), 0.5, 0.2
    kind = sketch.pick(["sails", "containers", "decks", "decks"])
    sketch.line(_DARK, 0.05, (0, -1 if kind == "sails" else -0.5), (0, 0.3))
    if kind == "sails":
        sketch.polygon(sketch.colour(_PAINT), (-0.05, -0.95), (-0.65, 0.1), (-0.05, 0.1))
        sketch.polygon(sketch.colour(_PAINT), (0.05, -0.95), (0.6, 0.1), (0.05, 0.1))
    elif kind == "containers":
        sketch.box(cabin, -0.85, -0.5, -0.5, 0.2)
        for left in (-0.4, -0.1, 0.2, 0.5):
            sketch.box(sketch.colour(_PAINT), left, sketch.between(-0.3, 0.05), left + 0.28, 0.2)
    else:
        for _ in range(sketch.pick([1, 2, 3])):
            sketch.box(cabin, x - width, y - 0.22, x + width, y)
            sketch.line(_DARK, 0.04, (x - 0.9 * width, y - 0.12), (x + 0.9 * width, y - 0.12))
            width, y = 0.75 * width, y - 0.2
        sketch.box(sketch.colour(_PAINT), x - 0.12, y - 0.3, x + 0.08, y)
    sketch.polygon(hull, (-0.95, 0.15), (0.98, sketch.between(-0.05, 0.15)), (0.75, 0.5), (-0.85, 0.5))
    sketch.polygon(_shade(hull, 0.6), (-0.9, 0.38), (0.83, 0.38), (0.75, 0.5), (-0.85, 0.5))
    sketch.line(_PALE, 0.06, (-1, 0.5), (0.9, 0.5))


def _bird(sketch):
    coat, beak, neck = sketch.colour(_FUR + _PAINT), sketch.colour(_BEAK), sketch.between(0.05, 0.45)
    if sketch.flying and sketch.chance(0.7):
        x, y, lift = 0.5, -0.08, sketch.between(0.5, 0.95) * sketch.pick([-1, -1, 1])
        sketch.polygon(_shade(coat, 0.6), (0.3, 0), (0.5, lift * 0.6), (0.35, lift), (0, 0))
        sketch.ball(coat, 0, 0, 0.5, 0.18)
        sketch.polygon(coat, (-0.35, 0), (-0.9, -0.14), (-0.85, 0.12))
        sketch.polygon(_shade(coat, 0.8), (0.25, -0.02), (0.05, lift * 0.6), (-0.55, lift), (-0.3, 0.02))
    else:
        x, y, tilt = 0.4, -0.3 - neck, sketch.between(-50, 10)
        if sketch.flying:
            sketch.line(sketch.colour(_LEAVES), 0.1, (-1.2, 0.85), (1.2, 0.65))
        for foot in (-0.08, 0.1):
            sketch.line(beak, 0.05, (foot, 0.2), (foot + 0.04, 0.75))
        sketch.line(coat, 0.2, (0.25, 0), (x, y))
        sketch.ellipse(_shade(coat, 0.7), -0.35, -tilt / 90, 0.55, 0.09, tilt)
        sketch.ball(coat, 0, 0.02, 0.5, 0.32, tilt)
        sketch.ellipse(sketch.colour(_FUR + _PAINT), -0.1, 0.05, 0.36, 0.16, tilt)
    sketch.polygon(beak, (x, y - 0.09), (x + sketch.between(0.35, 0.5), y + 0.03), (x, y + 0.1))
    sketch.ball(coat, x, y, 0.2, 0.2)
    sketch.ellipse(_DARK, x + 0.06, y - 0.05, 0.05, 0.05)


def _frog(sketch):
    skin, belly = sketch.colour(_SKIN), sketch.colour(_BELLY)
    dark = _shade(skin, 0.7)
    if sketch.chance(0.5):  # from the front
        for side in (-1, 1):
            sketch.ball(dark, side * 0.65, 0.35, 0.3, 0.38)
            sketch.line(skin, 0.15, (side * 0.4, 0.3), (side * 0.5, 0.75), (side * 0.7, 0.8))
            for colour, radius in ((skin, 0.2), (belly, 0.12), (_DARK, 0.08)):
                sketch.ellipse(colour, side * 0.38, -0.4, radius, radius)
        sketch.ball(skin, 0, 0.15, 0.65, 0.5)
        sketch.ellipse(belly, 0, 0.4, 0.4, 0.3)
        sketch.line(_DARK, 0.04, (-0.5, 0), (0, 0.14), (0.5, 0))
        return
    sketch.line(dark, 0.13, (-0.5, 0.3), (-0.1, 0.6), (-0.7, 0.65))
    sketch.ball(skin, -0.05, 0.1, 0.7, 0.36, sketch.between(-40, -10))
    sketch.ball(skin, 0.5, -0.2, 0.36, 0.25)
    sketch.ellipse(belly, 0.45, 0.02, 0.3, 0.1, -15)
    sketch.ball(dark, -0.4, 0.3, 0.36, 0.22, -25)
    sketch.line(skin, 0.11, (0.3, 0.2), (0.4, 0.6), (0.6, 0.65))
    sketch.ball(skin, 0.5, -0.45, 0.15, 0.15)
    sketch.ellipse(_DARK, 0.53, -0.46, 0.08, 0.08)


def _standing(sketch, coat, depth, leg, feet, stride):
    """Trunk and legs of an animal: half its depth, thickness of a leg, height of the feet, length of a step."""
    for x, light in ((-0.38, 0.6), (0.36, 0.6), (-0.5, 0.9), (0.46, 0.9)):
        knee, foot = x + sketch.between(-stride, stride), x + sketch.between(-stride, stride)
        sketch.line(_shade(coat, light), leg, (x, 0.05), (knee, 0.1 + feet / 2), (foot, feet))
    sketch.ball(coat, 0, 0, 0.62, depth)
    if sketch.chance(0.3):
        patch = sketch.colour(_FUR)
        for _ in range(3):
            sketch.ellipse(patch, sketch.between(-0.3, 0.3), sketch.between(-0.1, 0.1), 0.14, 0.1)


def _deer(sketch):
    coat, x, y = sketch.colour(_FAWN), sketch.between(0.55, 0.72), sketch.between(-0.65, -0.4)
    dark = _shade(coat, 0.7)
    sketch.ellipse(_PALE, -0.58, -0.08, 0.13, 0.16)
    _standing(sketch, coat, 0.24, 0.07, 0.95, 0.1)
    sketch.line(coat, 0.17, (0.4, -0.05), (x, y))
    antlers = sketch.chance(0.6)
    for lean in (-0.25, 0.1):
        sketch.ellipse(dark, x + lean - 0.05, y - 0.12, 0.17, 0.07, 30)
        if antlers:
            sketch.line(dark, 0.05, (x, y - 0.05), (x + lean, y - 0.3), (x + lean + 0.05, y - 0.6))
            sketch.line(dark, 0.04, (x + lean, y - 0.3), (x + lean + 0.2, y - 0.5))
    sketch.ball(coat, x + 0.1, y, 0.22, 0.12, 25)
    sketch.ellipse(_DARK, x + 0.28, y + 0.08, 0.05, 0.05)


def _horse(sketch):
    coat, x, y = sketch.colour(_FUR), sketch.between(0.6, 0.8), sketch.between(-0.7, -0.3)
    mane = sketch.pick([_shade(coat, 0.5), sketch.colour(_FUR)])
    sketch.line(mane, 0.14, (-0.55, -0.15), (-0.8, 0), (-0.85, sketch.between(0.2, 0.6)))
    _standing(sketch, coat, 0.3, 0.12, 0.95, sketch.between(0.05, 0.3))
    sketch.polygon(coat, (0.1, -0.15), (0.55, 0.15), (x + 0.1, y + 0.05), (x - 0.12, y - 0.12))
    sketch.line(mane, 0.11, (0.15, -0.25), (x - 0.15, y - 0.08))
    sketch.polygon(coat, (x - 0.05, y - 0.28), (x + 0.05, y - 0.1), (x - 0.1, y - 0.1))
    sketch.ball(coat, x + 0.12, y + 0.05, 0.28, 0.13, 35)
    sketch.ellipse(_DARK, x + 0.07, y - 0.03, 0.04, 0.04)


def _face(sketch, coat, muzzle):
    """A cat or a dog that looks at us, without its ears."""
    eye = sketch.colour(_EYES)
    sketch.ball(_shade(coat, 0.9), 0, 0.95, 0.72, 0.62)
    sketch.ball(coat, 0, 0, 0.62, 0.56)
    sketch.ellipse(sketch.pick([coat, sketch.colour(_FUR)]), 0, 0.25, 0.28, muzzle)
    for x in (-0.27, 0.27):
        sketch.ellipse(eye, x, -0.08, 0.12, 0.11)
        sketch.ellipse(_DARK, x, -0.08, 0.06, 0.1)
    sketch.polygon(_DARK, (-0.12, 0.12), (0.12, 0.12), (0, 0.26))
    sketch.line(_DARK, 0.03, (0, 0.25), (0, 0.4))


def _pet(sketch, coat, feet, tail):
    """The body of a cat or a dog, sitting or standing, its tail raised by `tail`; returns the place of the head."""
    standing = sketch.chance(0.5)
    rump = 0 if standing else 0.7
    sketch.line(coat, 0.11, (-0.4, rump), (-0.75, rump + 0.08), (sketch.between(-0.95, -0.7), rump - tail))
    if standing:
        _standing(sketch, coat, 0.28, 0.13, feet, 0.1)
        sketch.line(coat, 0.25, (0.45, -0.05), (0.62, -0.3))
        return 0.65, -0.33
    sketch.polygon(coat, (0, -0.3), (0.35, -0.2), (0.38, 0.3), (-0.2, 0.85), (-0.6, 0.8), (-0.5, 0.3))
    sketch.line(_shade(coat, 0.75), 0.13, (0.2, 0.1), (0.2, 0.85))
    sketch.line(coat, 0.14, (0.3, 0.1), (0.32, 0.85))
    sketch.ball(_shade(coat, 0.9), -0.22, 0.6, 0.3, 0.27)
    return 0.15, -0.35


def _cat(sketch):
    coat = sketch.colour(_FUR)
    dark = _shade(coat, 0.8)
    if sketch.chance(0.45):
        for side in (-1, 1):
            sketch.polygon(dark, (side * 0.58, 0), (side * 0.6, -0.85), (side * 0.1, -0.45))
            sketch.polygon((200, 150, 145), (side * 0.5, -0.3), (side * 0.53, -0.68), (side * 0.28, -0.45))
        _face(sketch, coat, 0.18)
        for side, y in ((-1, 0.13), (-1, 0.27), (-1, 0.41), (1, 0.13), (1, 0.27), (1, 0.41)):
            sketch.line(_PALE, 0.02, (side * 0.75, y), (side * 0.2, 0.28))
        return
    x, y = _pet(sketch, coat, 0.7, sketch.between(0.3, 0.8))
    for left in (x - 0.25, x + 0.05):
        sketch.polygon(dark, (left, y - 0.1), (left + 0.1, y - 0.45), (left + 0.22, y - 0.1))
    sketch.ball(coat, x, y, 0.27, 0.24)
    sketch.ellipse(sketch.colour(_FUR), x + 0.15, y + 0.08, 0.11, 0.08)
    sketch.ellipse(_DARK, x + 0.1, y - 0.03, 0.05, 0.05)


def _dog(sketch):
    coat = sketch.colour(_FUR)
    dark = _shade(coat, 0.65)
    if sketch.chance(0.45):
        _face(sketch, coat, sketch.between(0.25, 0.36))
        for side in (-1, 1):
            sketch.ellipse(dark, side * 0.6, sketch.between(-0.1, 0.2), 0.17, 0.42, -side * 12)
        sketch.ellipse((215, 110, 115), 0, 0.55, 0.11, sketch.pick([0, 0.18]))
        return
    x, y = _pet(sketch, coat, 0.78, sketch.between(-0.1, 0.5))
    sketch.ball(coat, x, y, 0.25, 0.22)
    sketch.ellipse(sketch.colour(_FUR), x + 0.28, y + 0.07, 0.2, 0.11, 8)
    sketch.ellipse(_DARK, x + 0.45, y + 0.04, 0.06, 0.06)
    sketch.ellipse(dark, x - 0.14, y + sketch.between(-0.2, 0.12), 0.1, 0.24, 15)
    sketch.ellipse(_DARK, x + 0.1, y - 0.06, 0.05, 0.05)


# In CIFAR-10's order: the subject, how far below its centre it touches the ground, and its backgrounds, each equally
# likely, so that a background named twice is seen twice as often.
_CLASSES = (
    (_airplane, 0.5, (_sky, _sky, _sky, _road, _road, _water, _water, _meadow)),
    (_automobile, 0.5, (_road, _road, _road, _road, _meadow, _room, _wood, _shore)),
    (_bird, 0.75, (_sky, _sky, _wood, _meadow, _meadow, _water, _water, _shore)),
    (_cat, 0.8, (_room, _room, _room, _room, _meadow, _meadow, _road, _wood)),
    (_deer, 0.95, (_meadow, _meadow, _meadow, _wood, _wood, _wood, _shore, _road)),
    (_dog, 0.8, (_room, _room, _room, _meadow, _meadow, _road, _shore, _wood)),
    (_frog, 0.8, (_meadow, _meadow, _wood, _wood, _water, _water, _room, _shore)),
    (_horse, 0.95, (_meadow, _meadow, _meadow, _meadow, _wood, _wood, _shore, _road)),
    (_ship, 0.5, (_water, _water, _water, _water, _water, _water, _water, _shore)),
    (_truck, 0.55, (_road, _road, _road, _road, _meadow, _meadow, _room, _shore)),
)


def _foreground(sketch):
    """In a third of the pictures something stands before the subject: grass, a post, or leaves at the side."""
    kind = sketch.random.random()
    sketch.place()
    if kind < 0.15:
        sketch.scatter(12, _GRASS + _LEAVES, 0.8, 1.1, 0.04, 0.3)
    elif kind < 0.25:
        sketch.boxes(1, _STONE + _LEAVES, 1, 1, 0.15, 9)
    elif kind < 0.35:
        sketch.place(x=sketch.pick([-0.85, 0.85]), width=0.3)
        sketch.scatter(5, _LEAVES, -1, 1, 0.8, 0.15)


def _draw(label, seed):
    """One picture, uint8 of shape (32, 32, 3), before light and noise."""
    subject, foot, backgrounds = _CLASSES[label]
    sketch = _Sketch(seed)
    sketch.pick(backgrounds)(sketch)
    sketch.flying = sketch.flying or (subject in (_airplane, _bird) and sketch.chance(0.4))
    size, tilt, y = sketch.between(0.8, 1), 25, sketch.between(-0.2, 0.2)
    if not sketch.flying:
        tilt, y = 7, sketch.between(max(0.6, sketch.horizon + 0.1), 0.95) - foot * size
    width = size * sketch.between(0.8, 1.05) * sketch.pick([-1, 1])
    sketch.place(sketch.between(-0.15, 0.15), y, width, size, sketch.between(-tilt, tilt))
    subject(sketch)
    _foreground(sketch)
    return np.asarray(sketch.picture.reduce(_OVERSAMPLING))


@functools.cache
def _stretch(coarse):
    """The matrix that interpolates `coarse` values linearly to the picture's width."""
    places = np.linspace(0, coarse - 1, _SIZE)[:, None]
    return np.maximum(0, 1 - np.abs(places - np.arange(coarse))).astype(np.float32)


def _light_and_noise(drawings, generator):
    """Brightness, a colour cast, uneven light, blotches and grain, all drawn anew for every picture."""

    def normal(*shape):
        return generator.standard_normal((len(drawings), *shape), dtype=np.float32)

    def smooth(coarse):
        return (_stretch(coarse) @ normal(coarse, coarse) @ _stretch(coarse).T)[..., None]

    light = 1 + 0.13 * normal(1, 1, 1) + 0.04 * normal(1, 1, 3) + 0.12 * smooth(3)
    grain = 5 + np.clip(normal(1, 1, 1), -1.5, 1.5)
    pictures = drawings * np.maximum(light, 0.3) + 6 * smooth(9) + grain * normal(_SIZE, _SIZE, 3)
    return np.clip(pictures, 0, 255).astype(np.uint8)


def _check_whole_number(name, value, smallest):
    if not isinstance(value, int | np.integer) or value < smallest:
        raise ValueError(f"draw_cifar10_like: {name} must be a whole number from {smallest} upwards, found {value!r}.")


def draw_cifar10_like(n, seed):
    """Draw the offline stand-in for CIFAR-10. These are not CIFAR-10's images: say so wherever they are shown.

    Backgrounds, colours and outlines overlap between classes on purpose, most between neighbours such as cat and dog,
    so that a network has something to learn and something to get wrong.

    Args:
        n: number of images, at least 1.
        seed: whole number from 0 upwards. The same `n` and `seed` give the same bytes (for the same versions of
            Pillow and NumPy on the same kind of processor); another seed gives other pictures.

    Returns:
        `(images, labels)`: images as uint8 of shape (n, 32, 32, 3), RGB, 0 to 255; labels as int32 of shape (n,), 0 to
        9 in CIFAR-10's order of classes, shuffled; no class occurs more than once oftener than another.

    Raises:
        ValueError: if `n` or `seed` is not such a number.

    Source: drawn by this module; only the classes and the format follow Krizhevsky 2009, "Learning Multiple Layers of
    Features from Tiny Images".
    """
    _check_whole_number("n", n, 1)
    _check_whole_number("seed", seed, 0)
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n, dtype=np.int32) % len(_CLASSES))
    seeds = generator.integers(2**63, size=n)
    images = np.empty((n, _SIZE, _SIZE, 3), np.uint8)
    for start in range(0, n, _BLOCK):
        block = slice(start, start + _BLOCK)
        drawings = [_draw(*pair) for pair in zip(labels[block].tolist(), seeds[block].tolist(), strict=True)]
        images[block] = _light_and_noise(np.stack(drawings), generator)
    return images, labels

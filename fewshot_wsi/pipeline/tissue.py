"""Drawings that look like H&E-stained tissue: nuclei, fibres, glands, fat, mucin, in two stains.

A tile is drawn as two maps of stain concentration, haematoxylin (nuclei, blue) and eosin (cytoplasm and matrix,
pink); the Beer-Lambert law turns them into colour, I = 255 * exp(-(H h + E e)), with the stains' absorption h, e per
channel. What distinguishes tissues is arrangement, not stain: all take up both stains alike, the stain of a slide
varies as it does between laboratories, and most tiles hold some of a second tissue. Lengths are in pixels, so a larger
tile shows more tissue.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage
from scipy.spatial import cKDTree

# absorption per channel (red, green, blue) of unit concentration; Ruifrok & Johnston, 2001
HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.07, 0.99, 0.11])
_MARGIN = 12  # drawn beyond the tile's edge and cut off, so that nothing stops at the edge


@dataclass(frozen=True)
class Tissue:
    """What one kind of tissue is made of."""
    matrix: float = 1.0         # cytoplasm and fibres between the nuclei: 1 = full, 0 = glass
    eosin: float = 0.45         # concentration of eosin in the matrix; these three are alike in all tissues
    haze: float = 0.11          # concentration of haematoxylin in the matrix
    dark: float = 1.0           # concentration of haematoxylin in a nucleus
    fibres: float = 0.0         # contrast of the fibres, 0 = none
    length: float = 8.0         # of the fibres' correlation along their direction
    waviness: float = 0.0       # how much the fibres wave, in pixels
    nuclei: float = 0.0         # number per 1000 square pixels
    radius: float = 2.2         # of a nucleus
    spread: float = 0.15        # standard deviation of log radius (pleomorphism)
    elongation: float = 1.2     # length by width of a nucleus; long ones lie along the fibres
    fragments: float = 0.0      # broken nuclei per 1000 square pixels
    glands: float = 0.0         # number per 1000 square pixels
    gland_radius: float = 10.0
    lining: float = 5.0         # thickness of a gland's epithelium
    ragged: float = 0.05        # irregularity of a gland's outline
    rows: float = 1.0           # layers of nuclei in the lining
    pearls: bool = False        # whorls of eosin in place of a lumen
    bubbles: float = 0.0        # radius of fat vacuoles or air spaces, 0 = none
    wall: float = 1.0           # thickness between bubbles
    filled: float = 0.0         # secretion or fluid in lumens and bubbles: 0 = clear, 1 = as dense as the matrix
    mucin: float = 0.0          # pale blue strands in place of the matrix


@dataclass(frozen=True)
class Stain:
    """How one slide was stained: absorption of the two stains, (3,) each, and the strength of each."""
    haematoxylin: np.ndarray
    eosin: np.ndarray
    strength: tuple = (1.0, 1.0)


def draw_stain(rng, spread=1.0):
    """A stain near the textbook's, as laboratories differ; spread scales how far it may lie from it."""
    shift = 0.10 * spread * rng.standard_normal((2, 3))
    strength = np.exp(0.42 * spread * rng.standard_normal(2))
    return Stain(np.clip(HAEMATOXYLIN + shift[0], 0.02, None), np.clip(EOSIN + shift[1], 0.02, None), tuple(strength))


def draw_tile(rng, parts, size, stain):
    """One tile. parts: [(Tissue, share)], shares add up to 1. Returns (size, size, 3) uint8, RGB."""
    side = size + 2 * _MARGIN
    shares = np.cumsum([share for _, share in parts])[:-1]
    regions = np.zeros((side, side), int)
    if len(parts) > 1:  # borders run along the level lines of a smooth random field
        field = _noise(rng, side, side / 4, side / 4)
        regions = np.digitize(field, np.quantile(field[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN], shares))
    maps = np.array([_stain_maps(rng, tissue, side) for tissue, _ in parts])  # (parts, 2, side, side)
    maps = np.take_along_axis(maps, regions[None, None], axis=0)[0, :, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    density = (stain.strength[0] * maps[0, ..., None] * stain.haematoxylin
               + stain.strength[1] * maps[1, ..., None] * stain.eosin)
    density = ndimage.gaussian_filter(density, (0.6, 0.6, 0)) + 0.015 * rng.standard_normal(density.shape)
    light = 250 * np.exp(-density)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def _stain_maps(rng, tissue, side):
    """(2, side, side): concentrations of haematoxylin and eosin."""
    angle = rng.uniform(0, np.pi)
    fibres = _fibres(rng, tissue, side, angle)
    patches = _noise(rng, side, 6, 6)
    blue = tissue.matrix * tissue.haze * (1 + 0.3 * patches)
    pink = tissue.matrix * tissue.eosin * np.clip(1 + tissue.fibres * fibres + 0.12 * patches, 0, None)
    room = np.ones((side, side))  # where loose nuclei may lie
    if tissue.mucin:
        strands = np.abs(_noise(rng, side, 7, 7)) < 0.35
        blue, pink = blue + tissue.mucin * (0.4 + strands), pink * (0.5 + 0.5 * strands)
    if tissue.bubbles:
        walls = _walls(rng, tissue, side)
        blue, pink, room = blue * walls, pink * walls, room * (walls > (1 + tissue.filled) / 2)
    nuclei = [_scatter(rng, tissue, side, angle)]
    if tissue.glands:
        nuclei.append(_glands(rng, tissue, blue, pink, room))
    nuclei[0] = nuclei[0][room[nuclei[0][:, 1].astype(int), nuclei[0][:, 0].astype(int)] > 0.5]
    stamp = _stamp(rng, np.concatenate(nuclei), side, tissue.dark)
    return np.maximum(blue, stamp), pink * (1 - 0.6 * np.clip(stamp, 0, 1))


def _noise(rng, side, across, along, angle=0.0):
    """(side, side) Gaussian random field of unit variance, correlated over `along` in direction `angle`."""
    v, u = np.meshgrid(fft.fftfreq(side), fft.rfftfreq(side), indexing="ij")
    parallel, normal = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    window = np.exp(-2 * np.pi**2 * ((along * parallel)**2 + (across * normal)**2) / 2)
    window[0, 0] = 0
    field = fft.irfft2(fft.rfft2(rng.standard_normal((side, side))) * window, s=(side, side))
    return field / (field.std() + 1e-12)


def _fibres(rng, tissue, side, angle):
    if not tissue.fibres:
        return np.zeros((side, side))
    field = _noise(rng, side, 1.0, tissue.length, angle)
    if tissue.waviness:
        rows, columns = np.mgrid[:side, :side].astype(float)
        offset = tissue.waviness * _noise(rng, side, 8, 8)
        field = ndimage.map_coordinates(field, (rows + np.cos(angle) * offset, columns - np.sin(angle) * offset),
                                        order=1, mode="wrap")
    return field


def _walls(rng, tissue, side):
    """(side, side) in [0, 1]: near 1 between bubbles (cells of a Voronoi diagram), near 0 inside clear ones."""
    pitch = 1.9 * tissue.bubbles
    grid = np.arange(-pitch, side + pitch, pitch)
    seeds = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    seeds = seeds + rng.uniform(-0.42, 0.42, seeds.shape) * pitch
    nearest = cKDTree(seeds).query(np.indices((side, side)).transpose(1, 2, 0), k=2)[0]
    edge = (nearest[..., 1] - nearest[..., 0]) / 2
    clear = max(0.02, tissue.filled)
    return clear + (1 - clear) / (1 + np.exp(2.5 * (edge - tissue.wall)))


def _scatter(rng, tissue, side, angle):
    """(n, 5) of x, y, half length, half width, angle: loose nuclei and fragments."""
    area = side**2 / 1000
    whole, broken = rng.poisson(tissue.nuclei * area), rng.poisson(tissue.fragments * area)
    turn = 0.25 if tissue.elongation > 1.8 else np.pi
    directions = angle + turn * rng.standard_normal(whole + broken)
    radii = np.r_[tissue.radius * np.exp(tissue.spread * rng.standard_normal(whole)),
                  0.7 * np.exp(0.5 * rng.standard_normal(broken))]
    stretch = np.sqrt(np.r_[np.clip(tissue.elongation * np.exp(0.15 * rng.standard_normal(whole)), 1, None),
                            np.ones(broken)])
    places = rng.uniform(0, side - 1, (whole + broken, 2))
    return np.column_stack([places, radii * stretch, radii / stretch, directions])


def _glands(rng, tissue, blue, pink, room):
    """Draw glands into the three maps, in place; returns the nuclei of their linings, (n, 5)."""
    side = len(blue)
    nuclei = []
    for centre in _apart(rng, rng.poisson(tissue.glands * side**2 / 1000) + 1, side, 1.7 * tissue.gland_radius):
        outline = _outline(rng, tissue)
        reach = int(2 * tissue.gland_radius)
        window = tuple(slice(max(0, int(c) - reach), min(side, int(c) + reach)) for c in centre[::-1])
        _fill_gland(tissue, centre, outline, window, blue[window], pink[window], room[window])
        nuclei.append(_lining_nuclei(rng, tissue, centre, outline, side))
    return np.concatenate(nuclei)


def _outline(rng, tissue):
    """Function from direction (radians, any shape) to a gland's radius there."""
    radius = tissue.gland_radius * np.exp(0.2 * rng.standard_normal())
    order = np.arange(2, 6)
    waves = tissue.ragged * rng.standard_normal(4) / np.sqrt(order)
    phases = rng.uniform(0, 2 * np.pi, 4)
    return lambda turn: radius * (1 + np.cos(np.multiply.outer(turn, order) + phases) @ waves)


def _fill_gland(tissue, centre, outline, window, blue, pink, room):
    rows, columns = np.ogrid[window]
    dx, dy = columns - centre[0], rows - centre[1]
    depth = outline(np.arctan2(dy, dx)) - np.hypot(dx, dy)  # > 0 inside the gland
    lining, lumen = depth > 0, depth > tissue.lining
    room[lining] = 0
    pink[lining], blue[lining] = 0.75 * tissue.eosin + 0.1, tissue.haze + 0.06
    if tissue.pearls:
        pink[lumen] = tissue.eosin * (1.3 + 0.4 * np.sin(1.6 * depth[lumen]))
    else:
        pink[lumen] = 0.04 + tissue.filled * tissue.eosin
        blue[lumen] = 0.03 + tissue.filled * tissue.haze


def _apart(rng, count, side, distance):
    """Up to `count` random points of the square that lie at least `distance` from each other."""
    kept = []
    for point in rng.uniform(0, side, (6 * count, 2)):
        if len(kept) < count and all(np.hypot(*(point - other)) > distance for other in kept):
            kept.append(point)
    return kept


def _lining_nuclei(rng, tissue, centre, outline, side):
    count = max(3, int(tissue.rows * 2 * np.pi * outline(0.0) / (2.4 * tissue.radius)))
    turns = 2 * np.pi * (np.arange(count) + 0.35 * rng.standard_normal(count)) / count * tissue.rows
    depths = tissue.radius + 0.4 + rng.uniform(0, 1, count) * max(0.0, tissue.lining - 2 * tissue.radius) * (
        0.25 if tissue.rows <= 1 else 1.0)
    reach = outline(turns) - depths
    places = np.column_stack([centre[0] + reach * np.cos(turns), centre[1] + reach * np.sin(turns)])
    radii = 0.9 * tissue.radius * np.exp(tissue.spread * rng.standard_normal(count))
    stretch = np.sqrt(np.clip(tissue.elongation, 1.1, 1.8))
    lined = np.column_stack([places, radii * stretch, radii / stretch, turns])
    return lined[((places >= 0) & (places <= side - 1)).all(axis=1)]


def _stamp(rng, nuclei, side, dark):
    """(side, side): haematoxylin of ellipses (n, 5) with a soft edge, a darker rim and uneven chromatin."""
    canvas = np.zeros((side + 2 * _MARGIN, side + 2 * _MARGIN))
    if len(nuclei):
        reach = min(_MARGIN, int(np.ceil(nuclei[:, 2].max())) + 1)
        step = np.arange(-reach, reach + 1)
        corner = np.floor(nuclei[:, :2]).astype(int)
        rows, columns = (corner[:, axis, None, None] + grid for axis, grid in ((1, step[:, None]), (0, step)))
        dx, dy = columns - nuclei[:, 0, None, None], rows - nuclei[:, 1, None, None]
        cos, sin = np.cos(nuclei[:, 4])[:, None, None], np.sin(nuclei[:, 4])[:, None, None]
        half_width = nuclei[:, 3, None, None]
        level = np.hypot((dx * cos + dy * sin) / nuclei[:, 2, None, None], (dy * cos - dx * sin) / half_width)
        cover = np.clip((1 - level) * half_width + 0.5, 0, 1)
        shade = dark * np.exp(0.2 * rng.standard_normal(len(nuclei)))[:, None, None] * (0.75 + 0.25 * level)
        np.maximum.at(canvas, (rows + _MARGIN, columns + _MARGIN), cover * shade)
    chromatin = np.clip(1 + 0.18 * _noise(rng, side, 0.8, 0.8), 0, None)
    return canvas[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] * chromatin

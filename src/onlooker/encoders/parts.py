"""Part-level alignment: a block of the vector for each region of the person, on the picture's and on the text's side.

A single global vector learns a bag of words: "red coat, black skirt" and "black coat, red skirt" come out nearly the
same. Blocks that see one region each keep a colour with its garment, and since they are columns of the one vector,
retrieval stays one dot product. (Idea: multi-level alignment for text-based person search; the segmentation as a guide
of the pooling is in the spirit of Kalayeh et al., "Human Semantic Parsing for Person Re-identification", CVPR 2018.)
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from onlooker.encoders.config import REGION_SEGMENTS, SEGMENTS, PartsConfig
from onlooker.encoders.image_towers import MIDDLE_WIDTH

CONTEXT_WIDTH = COLOUR_WIDTH = 64
LAST_WIDTH = 1280
CELL_WIDTH = MIDDLE_WIDTH + CONTEXT_WIDTH + COLOUR_WIDTH
ANCHORS = tuple((red, green, blue) for red in (0.1, 0.5, 0.9) for green in (0.1, 0.5, 0.9) for blue in (0.1, 0.5, 0.9))
"""Colours (RGB, 0 to 1) that a region's pixels are counted by at the start: a grid through the whole space."""
ANCHOR_SHARPNESS = 20.0
"""How sharply a pixel belongs to the nearest anchor: of two at 0.2 and 0.4 from it, to the nearer by 0.92."""
COLOUR_BLOCK = 4
"""The colours of a cell of 16x16 pixels are looked at in blocks of 4x4: enough for stripes, too coarse for noise."""
BLOCKS_A_CELL = 16 // COLOUR_BLOCK
HIDDEN_WIDTH = 128
REACH = (0.5, 0.4, 0.2, 0.1, 0.05)
"""Shares at the start of a word itself and of the first to fourth word before it."""
BANDS: dict[str, tuple[float, float]] = {
    "head": (0.0, 0.2),
    "upper": (0.15, 0.55),
    "lower": (0.5, 0.9),
    "feet": (0.85, 1.0),
    "carried": (0.2, 0.8),
}
"""From where to where each region reaches in a crop of a standing person, as shares of its height."""


class RegionHeads(nn.Module):
    """A head of its own for each region, and for texts a gate: how much this one says of the region.

    Pictures have none: a block that knows nothing yet is a nuisance to the whole vector, and a gate that could close on
    it closes within a few dozen steps and never lets it learn.

    Args:
        regions: How many.
        width: Channels of a region's features.
        config: Gives the width of a block and its length at the start.
        gated: Whether the length depends on the features.
    """

    def __init__(self, regions: int, width: int, config: PartsConfig, *, gated: bool) -> None:
        super().__init__()
        self.gated = gated
        self.hidden = nn.Parameter(torch.randn(regions, width, HIDDEN_WIDTH) * width**-0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(regions, HIDDEN_WIDTH))
        self.out = nn.Parameter(torch.randn(regions, HIDDEN_WIDTH, config.dimension) * HIDDEN_WIDTH**-0.5)
        if gated:
            self.gate = nn.Parameter(torch.zeros(regions, HIDDEN_WIDTH))
            self.gate_bias = nn.Parameter(torch.zeros(regions))
        self.log_length = nn.Parameter(torch.full((regions,), math.log((2 if gated else 1) * config.weight)))
        self.dropout = nn.Dropout(0.1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Project.

        Args:
            features: Float [n, regions, width].

        Returns:
            Unit blocks, float [n, regions, dimension], and their lengths, float [n, regions].
        """
        hidden = functional.gelu(torch.einsum("nrw,rwh->nrh", features, self.hidden) + self.hidden_bias)
        blocks = torch.einsum("nrh,rhd->nrd", self.dropout(hidden), self.out)
        lengths = self.log_length.exp().expand(features.shape[0], -1)
        if self.gated:
            lengths = lengths * torch.sigmoid((hidden * self.gate).sum(dim=2) + self.gate_bias)
        return functional.normalize(blocks, dim=2), lengths


class ImageParts(nn.Module):
    """The regions of a picture: cells of a grid with their colours, which segment each is, and a block per region.

    Args:
        config: What regions there are and how they are found.
        rows: Rows of the grid: the picture's height over 16.
    """

    weights: Tensor
    bands: Tensor

    def __init__(self, config: PartsConfig, rows: int) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.context = nn.Conv2d(LAST_WIDTH, CONTEXT_WIDTH, 1)
        self.colours = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(32, 48, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(48, COLOUR_WIDTH, 3, stride=2, padding=1),
        )
        # What is seen, counted by colour, stands beside what the convolutions make of it: a colour's name is then one
        # linear step away. softmax over -|pixel - anchor|^2, whose part that all anchors share is left out.
        self.anchors = nn.Conv2d(3, len(ANCHORS), 1)
        anchors = torch.tensor(ANCHORS) * 2 - 1
        assert self.anchors.bias is not None
        with torch.no_grad():
            self.anchors.weight.copy_(anchors[:, :, None, None] * ANCHOR_SHARPNESS / 2)
            self.anchors.bias.copy_(-anchors.square().sum(dim=1) * ANCHOR_SHARPNESS / 4)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in (MIDDLE_WIDTH, CONTEXT_WIDTH, COLOUR_WIDTH))
        self.segmentation = nn.Sequential(
            nn.Conv2d(CELL_WIDTH, 64, 1), nn.GELU(), nn.Conv2d(64, len(SEGMENTS), 3, padding=1)
        )
        names = SEGMENTS
        weights = torch.zeros(len(config.regions), len(SEGMENTS))
        middles = (torch.arange(rows) + 0.5) / rows
        bands = torch.zeros(len(config.regions), rows)
        for number, region in enumerate(config.regions):
            for segment in REGION_SEGMENTS[region]:
                weights[number, names.index(segment)] = 1.0
            low, high = BANDS[region]
            bands[number] = ((middles >= low) & (middles <= high)).float()
            if not bands[number].any():
                bands[number, round((low + high) / 2 * (rows - 1))] = 1.0
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("bands", bands, persistent=False)
        self.register_buffer("heights", middles, persistent=False)
        # Two numbers beside the cells' features: how much of the picture the region takes, and how high it is.
        self.heads = RegionHeads(len(config.regions), CELL_WIDTH + len(ANCHORS) + 2, config, gated=False)

    heights: Tensor

    def forward(self, pixels: Tensor, middle: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pool by region.

        Args:
            pixels: Normalised float [n, 3, height, width].
            middle: Float [n, 112, height/16, width/16].
            last: Float [n, 1280, height/32, width/32].

        Returns:
            Unit blocks [n, regions, dimension], their lengths [n, regions], and the segmentation's logits
            [n, segments, height/16, width/16].
        """
        rows, columns = middle.shape[-2:]
        context = functional.interpolate(self.context(last), size=(rows, columns), mode="nearest")
        blocks = functional.avg_pool2d(pixels, COLOUR_BLOCK, stride=COLOUR_BLOCK)
        cells = torch.cat([middle, context, self.colours(blocks)], dim=1)
        logits = self.segmentation(cells)
        if self.pooling == "segments":
            where = torch.einsum("rs,nshw->nrhw", self.weights, logits.softmax(dim=1))
        else:
            where = self.bands[None, :, :, None].expand(cells.shape[0], -1, -1, columns)
        area = where.mean(dim=(2, 3))
        share = where / (where.sum(dim=(2, 3), keepdim=True) + 1e-4)
        side = BLOCKS_A_CELL
        counted = functional.avg_pool2d(self.anchors(blocks).softmax(dim=1), side, stride=side)
        pooled = torch.einsum("nrhw,nchw->nrc", share, cells)
        widths = [MIDDLE_WIDTH, CONTEXT_WIDTH, COLOUR_WIDTH]
        colours = torch.einsum("nrhw,nchw->nrc", share, counted) * len(ANCHORS) ** 0.5
        height = torch.einsum("nrhw,h->nr", share, self.heights)
        normed = [norm(part) for norm, part in zip(self.norms, torch.split(pooled, widths, dim=2), strict=True)]
        features = torch.cat([*normed, colours, area[..., None], height[..., None]], dim=2)
        unit, lengths = self.heads(features)
        return unit, lengths, logits


class TextParts(nn.Module):
    """The regions of a text: where its words speak of each.

    One linear layer scores the words for each region (``onlooker.training.wording`` says where it starts). What a word
    gets is shared with the words before it, where English has the colour of a garment.

    Args:
        config: What regions there are.
        hidden: Channels of a token's state.
    """

    def __init__(self, config: PartsConfig, hidden: int) -> None:
        super().__init__()
        self.layer = config.text_layer
        self.scores = nn.Linear(hidden, len(config.regions))
        self.reach = nn.Parameter(torch.tensor(REACH).repeat(len(config.regions), 1))
        self.heads = RegionHeads(len(config.regions), hidden, config, gated=True)

    def forward(self, states: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool by region.

        Args:
            states: Float [n, tokens, hidden].
            attention_mask: Integer [n, tokens].

        Returns:
            Unit blocks [n, regions, dimension], and their lengths [n, regions].
        """
        scores = self.scores(states).masked_fill(attention_mask[:, :, None] == 0, -1e4)
        shares = scores.softmax(dim=1).transpose(1, 2)
        ahead = functional.pad(shares, (0, len(REACH) - 1))
        tokens = shares.shape[2]
        shares = sum(
            (ahead[:, :, step : step + tokens] * self.reach[:, step, None] for step in range(1, len(REACH))),
            shares * self.reach[:, 0, None],
        )
        pooled = torch.einsum("nrt,nth->nrh", shares, states)
        unit: Tensor
        unit, lengths = self.heads(pooled)
        return unit, lengths

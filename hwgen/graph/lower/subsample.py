"""Pixels that a stride steps over are dropped before anything is kept of them."""

from dataclasses import replace

import numpy as np

from hwgen.graph.ir import fresh
from hwgen.graph.network import QuantizedTensor, Site
from hwgen.graph.types import FeatureMap


def subsampled(sites: list[Site], names: set[str]) -> list[Site]:
    """``sites`` with each convolution of one pixel that strides cut in two: what takes the pixels, and a convolution
    without stride. A queue in front of it then holds only what is needed. ``names`` of streams are taken."""
    return [part for site in sites for part in (_parts(site, names) if _steps_over(site) else (site,))]


def _steps_over(site: Site) -> bool:
    settings = site.attributes
    alone = site.op == "Conv" and settings["kernel"] == (1, 1) and not any(settings["pads"])
    return alone and settings["strides"] != (1, 1) and site.varying == site.inputs


def _parts(site: Site, names: set[str]) -> tuple[Site, Site]:
    source, strides = site.input, site.attributes["strides"]
    map_ = source.map
    places = np.arange(map_.elements).reshape(map_.shape)[:: strides[0], :: strides[1]]
    rows, columns, channels = places.shape
    size = FeatureMap(rows, columns, channels, map_.type)
    pixels = QuantizedTensor(fresh(f"{source.name}_pixels", names), size, source.quantization)
    settings = {"places": places, "fill": 0}
    take = Site(f"{site.name}_pixels", "Rearrange", (source,), pixels, settings, source.quantization.type.ends)
    return take, replace(site, inputs=(pixels,), attributes={**site.attributes, "strides": (1, 1)})

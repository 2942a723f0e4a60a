"""One small synthetic world, from a seed, seen by several sensors: what demos, quick starts and offline tests draw on.

>>> from zoo import samples
>>> scene = samples.scene("sentinel2", seed=0, size=512)
>>> samples.write(scene, "scene.tif")
>>> pixels, labels = samples.chips(seed=0, sensor="sentinel1", n=64, size=64)
"""

from zoo.samples.catalogue import VIEWS, View, chips, scene
from zoo.samples.cover import COVER_NODATA, COVERS
from zoo.samples.scenes import Scene, write
from zoo.samples.world import Frame, Place, World, build_world

__all__ = [
    "COVERS", "COVER_NODATA", "VIEWS", "Frame", "Place", "Scene", "View", "World", "build_world", "chips", "scene", "write",
]  # fmt: skip

"""How a training face is varied: position, light, occlusion, and what distance and a camera do to it.

All take and give `(side, side)` uint8 grey.
"""

from __future__ import annotations

import io

import av
import cv2
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from models.training.recipe import Augment, Degrade

__all__ = ["augment", "clean_and_degraded", "degrade", "h264", "jpeg"]

Grey = NDArray[np.uint8]
Rng = np.random.Generator


def augment(image: Grey, rng: Rng, how: Augment) -> Grey:
    """Draw one variation."""
    image = _warp(image, rng, how)
    if rng.random() < how.degrade.share:
        image = degrade(image, rng, how.degrade)
    image = _relight(image, rng, how)
    if rng.random() < how.jitter:
        image = _noisy(image, rng, rng.uniform(1, 6))
    return _occlude(image, rng) if rng.random() < how.occlude else image


def clean_and_degraded(image: Grey, rng: Rng, how: Augment) -> tuple[Grey, Grey]:
    """Draw one variation, and what distance and a camera make of it."""
    clean = augment(image, rng, replace(how, degrade=replace(how.degrade, share=0.0)))
    return clean, degrade(clean, rng, how.degrade)


def degrade(image: Grey, rng: Rng, how: Degrade) -> Grey:
    """Blur, shrink by area, add noise, compress, and enlarge again."""
    side = image.shape[0]
    small = int(np.exp(rng.uniform(np.log(how.smallest), np.log(how.largest + 1))))
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.5))
    image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    if rng.random() < how.noise:
        image = _noisy(image, rng, rng.uniform(1, 8))
    codec = rng.random()
    if codec < how.jpeg:
        image = jpeg(image, int(rng.integers(30, 96)))
    elif codec < how.jpeg + how.h264:
        image = h264(image, int(rng.integers(23, 39)))
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)


def jpeg(image: Grey, quality: int) -> Grey:
    """Encode and decode at the given JPEG quality."""
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)


def h264(image: Grey, factor: int) -> Grey:
    """Encode and decode as a key frame of H.264 at the given constant rate factor (23 is x264's default)."""
    height, width = image.shape
    even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    file = io.BytesIO()
    with av.open(file, "w", format="h264") as container:
        options = {"crf": str(factor), "preset": "ultrafast", "tune": "zerolatency"}
        stream = container.add_stream("libx264", rate=10, options=options)
        stream.height, stream.width = even.shape
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        frame = av.VideoFrame.from_ndarray(even, format="gray")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    file.seek(0)
    with av.open(file, format="h264") as container:
        decoded = next(container.decode(video=0)).to_ndarray(format="gray")
    return np.ascontiguousarray(decoded[:height, :width])


def _warp(image: Grey, rng: Rng, how: Augment) -> Grey:
    side = image.shape[0]
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
    turn = rng.uniform(-how.rotate, how.rotate)
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), turn, rng.uniform(*how.scale))
    matrix[:, 2] += rng.uniform(-how.shift, how.shift, 2) * side
    return cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _relight(image: Grey, rng: Rng, how: Augment) -> Grey:
    light = image.astype(np.float32)
    mean = light.mean()
    light = (light - mean) * rng.uniform(*how.contrast) + mean * rng.uniform(*how.brightness)
    if rng.random() < how.gamma:
        light = 255 * (np.clip(light, 0, 255) / 255) ** rng.uniform(0.6, 1.6)
    return np.clip(light, 0, 255).astype(np.uint8)


def _noisy(image: Grey, rng: Rng, deviation: float) -> Grey:
    return np.clip(image + rng.normal(0, deviation, image.shape), 0, 255).astype(np.uint8)


def _occlude(image: Grey, rng: Rng) -> Grey:
    side = image.shape[0]
    height, width = rng.integers(side // 8, side // 3, 2)
    top, left = rng.integers(0, side - height), rng.integers(0, side - width)
    image = image.copy()
    image[top : top + height, left : left + width] = rng.integers(0, 256)
    return image

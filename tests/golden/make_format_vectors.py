#!/usr/bin/env python3
"""Writes format_vectors.bin: blocks of every format and what the `gguf` package dequantises them to.

    pip install gguf==0.19.0
    python3 make_format_vectors.py [--blocks N] [--seed S] [--out FILE]

The file is a chain of records, all numbers little-endian: u32 ggml type id, u32 number of blocks, the blocks, then
the f32 values. Every byte of a block is random but the f16 scales, which stay finite and begin with the edge cases.
"""

import argparse
import pathlib
import struct

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# Offsets of the f16 scales in a block; plain floats are blocks of one value.
FORMATS = {
    "F32": [], "F16": [], "BF16": [],
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
    "IQ1_S": [0], "IQ1_M": [], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0],
    "TQ1_0": [52], "TQ2_0": [64],
}

# Zeros, subnormals, the smallest normals, ones and the largest values, of both signs.
EDGES_F16 = np.array([0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x8400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF])
EDGES_F32 = np.array([0, 1 << 31, 1, 0x007FFFFF, 0x00800000, 0x807FFFFF, 0x3F800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000])
EDGES_E8M0 = np.array([0, 1, 2, 3, 126, 127, 128, 253, 254, 255])


def blocks(name: str, count: int, rng: np.random.Generator) -> np.ndarray:
    size = GGML_QUANT_SIZES[GGMLQuantizationType[name]][1]
    out = rng.integers(0, 256, (count, size), dtype=np.uint8)
    if name == "F32":
        bits = finite(rng.integers(0, 1 << 32, count, dtype=np.uint32), 0x7F800000)
        return with_edges(bits, EDGES_F32, 0).astype("<u4").view(np.uint8).reshape(count, 4)
    if name == "BF16":
        bits = finite(rng.integers(0, 1 << 16, count, dtype=np.uint16), 0x7F80)
        return with_edges(bits, EDGES_F32 >> 16, 0).astype("<u2").view(np.uint8).reshape(count, 2)
    if name == "MXFP4":
        out[:, 0] = with_edges(out[:, 0], EDGES_E8M0, 0)
    if name == "IQ1_M":
        # The scale is in the high nibbles of the last four u16.
        bits = with_edges(finite(rng.integers(0, 1 << 16, count, dtype=np.uint16), 0x7C00), EDGES_F16, 0)
        for nibble, at in enumerate(range(49, 57, 2)):
            out[:, at] = out[:, at] & 15 | (bits >> 4 * nibble & 15) << 4
    for i, at in enumerate([0] if name == "F16" else FORMATS[name]):
        bits = finite(rng.integers(0, 1 << 16, count, dtype=np.uint16), 0x7C00)
        # The second scale of a block meets the edge cases in another order.
        out[:, at : at + 2] = with_edges(bits, EDGES_F16, 5 * i).astype("<u2").view(np.uint8).reshape(count, 2)
    return out


def finite(bits: np.ndarray, exponent: int) -> np.ndarray:
    return np.where(bits & exponent == exponent, bits & ~np.array(exponent, bits.dtype), bits)


def with_edges(bits: np.ndarray, edges: np.ndarray, rotate: int) -> np.ndarray:
    edges = np.roll(edges, rotate)[: len(bits)]
    return np.concatenate([edges.astype(bits.dtype), bits[len(edges) :]])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=28)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("format_vectors.bin"))
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    with args.out.open("wb") as out:
        for name in FORMATS:
            qtype = GGMLQuantizationType[name]
            data = blocks(name, args.blocks, rng)
            values = dequantize(data, qtype).astype("<f4", copy=False)
            out.write(struct.pack("<II", int(qtype), args.blocks) + data.tobytes() + values.tobytes())


if __name__ == "__main__":
    main()

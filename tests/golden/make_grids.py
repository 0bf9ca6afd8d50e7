#!/usr/bin/env python3
"""Prints the grids of the IQ formats as the Rust tables of kernels/cpu/src/format/grids.rs.

    pip install gguf==0.19.0
    python3 make_grids.py

A grid is a list of points whose coordinates are a few steps, in ascending order of the number that the steps' indices
are the digits of, the first coordinate lowest. So the set of points is the whole grid: one bit for each number.
"""

import numpy as np
from gguf import quants


def bits(name: str) -> np.ndarray:
    quant = getattr(quants, name)
    quant.init_grid()
    points = quant.grid.reshape(quant.grid_shape).astype(int)
    base = len(quant.grid_map)
    digits = np.vectorize(list(quant.grid_map).index)(points)
    numbers = (digits * base ** np.arange(digits.shape[1])).sum(axis=1)
    assert (np.diff(numbers) > 0).all(), name
    out = np.zeros(-(-(base ** digits.shape[1]) // 64) * 64, dtype=np.uint8)
    out[numbers] = 1
    return np.packbits(out, bitorder="little").view("<u8")


def main() -> None:
    for name in ["IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"]:
        words = [f"0x{word:016x}," for word in bits(name)]
        print(f"const {name}: [u64; {len(words)}] = [")
        for i in range(0, len(words), 5):
            print("    " + " ".join(words[i : i + 5]))
        print("];\n")


if __name__ == "__main__":
    main()

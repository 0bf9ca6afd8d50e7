#!/usr/bin/env python3
"""Rewrite a GGUF with every weight dequantised to F32: what the blocks say, without a kernel's rounding.

    pip install gguf numpy
    make_f32.py IN.gguf OUT.gguf

Metadata is copied, except the file type and the quantisation version. A tensor at a time is in memory.
"""
import sys
import numpy as np
import gguf
from gguf import GGMLQuantizationType as T, GGUFValueType as V


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    reader = gguf.GGUFReader(sys.argv[1])
    fields = reader.fields
    writer = gguf.GGUFWriter(sys.argv[2], fields["general.architecture"].contents())
    for key, field in fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type", "general.quantization_version"):
            continue
        if field.types[0] == V.ARRAY:
            values = field.contents()
            if len(values):
                writer.add_key_value(key, values, V.ARRAY, sub_type=field.types[-1])
        else:
            writer.add_key_value(key, field.contents(), field.types[0])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for t in reader.tensors:
        writer.add_tensor_info(t.name, [int(n) for n in reversed(t.shape)], np.dtype(np.float32), int(t.n_elements) * 4)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for t in reader.tensors:
        raw = t.data if t.tensor_type in (T.F32, T.F16) else t.data.view(np.uint8)
        writer.write_tensor_data(np.ascontiguousarray(gguf.quants.dequantize(raw, t.tensor_type), dtype=np.float32).reshape([int(n) for n in reversed(t.shape)]))
    writer.close()


if __name__ == "__main__":
    main()

"""Runs a model once with ONNX Runtime, natively: MODEL REQUEST HEADER_LENGTH RESPONSE.

Request and response are messages of the Open Inference Protocol in their binary form, so that no number is rounded on its way.
Prints the runtime's version and the length of the response's header. Ends with status 3 where there is no ONNX Runtime.
"""
import json
import struct
import sys

try:
    import numpy as np
    import onnxruntime as ort
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(3)

TYPES = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "FP16": "float16", "FP32": "float32", "FP64": "float64",
}
NAMES = {kind: name for name, kind in TYPES.items()}


def read_texts(data):
    texts, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        texts.append(data[at + 4:at + 4 + length].decode())
        at += 4 + length
    return np.array(texts, dtype=object)


def write_texts(array):
    texts = [str(text).encode() for text in array.ravel()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def main(model, request, header_length, response):
    with open(request, "rb") as file:
        message = file.read()
    feeds, at = {}, int(header_length)
    for one in json.loads(message[:at])["inputs"]:
        end = at + one["parameters"]["binary_data_size"]
        data, at = message[at:end], end
        text = one["datatype"] == "BYTES"
        array = read_texts(data) if text else np.frombuffer(data, dtype=TYPES[one["datatype"]])
        feeds[one["name"]] = array.reshape(one["shape"])
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs, parts = [], []
    for name, value in zip(names, session.run(names, feeds)):
        array = np.ascontiguousarray(value)
        text = array.dtype == object
        part = write_texts(array) if text else array.tobytes()
        outputs.append({
            "name": name,
            "shape": list(np.shape(value)),
            "datatype": "BYTES" if text else NAMES[array.dtype.name],
            "parameters": {"binary_data_size": len(part)},
        })
        parts.append(part)
    header = json.dumps({"model_name": "native", "outputs": outputs}).encode()
    with open(response, "wb") as file:
        file.write(header)
        file.writelines(parts)
    print(ort.__version__, len(header))


main(*sys.argv[1:])

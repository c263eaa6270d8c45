"""Makes the models of this folder, the same byte for byte each time (README.md has the packages).

    /usr/bin/python3 examples/models/make.py

All but `wine`, which is trained (wine/train.py). Weights are short formulas or a hand's work, so that a test can do the same arithmetic.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

HERE = Path(__file__).resolve().parent

FLOAT, INT64, STRING, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL
value = helper.make_tensor_value_info
node = helper.make_node


def constant(name, numbers, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(numbers, dtype), name)


def formula(*shape, plus=0):
    """Weights from -0.5 to 0.5 that look like nothing in particular: ((37 i + 11 j + plus) mod 17 - 8) / 16."""
    i, j = np.indices(shape)
    return ((37 * i + 11 * j + plus) % 17 - 8) / 16


def write(name, graph):
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)]
    model = helper.make_model(graph, producer_name="foretell", ir_version=8, opset_imports=opsets)
    checker.check_model(model)
    file = HERE / name / "1" / "model.onnx"
    file.parent.mkdir(parents=True, exist_ok=True)
    save(model, file)
    print(f"{file.relative_to(HERE)}: {file.stat().st_size} bytes")


def embedding():
    """Token vectors through one layer, and their mean over the tokens that the mask does not leave out."""
    nodes = [
        node("Gather", ["vectors", "input_ids"], ["tokens"]),
        node("MatMul", ["tokens", "weights"], ["mixed"]),
        node("Tanh", ["mixed"], ["last_hidden_state"]),
        node("Cast", ["attention_mask"], ["mask"], to=FLOAT),
        node("Unsqueeze", ["mask", "last"], ["weight"]),
        node("Mul", ["last_hidden_state", "weight"], ["counted"]),
        node("ReduceSum", ["counted", "second"], ["sum"], keepdims=0),
        node("ReduceSum", ["weight", "second"], ["count"], keepdims=0),
        node("Clip", ["count", "one"], ["divisor"]),
        node("Div", ["sum", "divisor"], ["embedding"]),
    ]
    constants = [
        constant("vectors", 4 * formula(32, 8)),
        constant("weights", formula(8, 8, plus=5)),
        constant("one", 1),
        constant("second", [1], np.int64),
        constant("last", [2], np.int64),
    ]
    inputs = [value(name, INT64, ["batch", "sequence"]) for name in ("input_ids", "attention_mask")]
    outputs = [value("last_hidden_state", FLOAT, ["batch", "sequence", 8]), value("embedding", FLOAT, ["batch", 8])]
    write("embedding", helper.make_graph(nodes, "embedding", inputs, outputs, constants))


def rent():
    """Invented: 9 a square metre, 40 a room, 5 a floor, something for the district, 150 for furniture."""
    nodes = [
        node("MatMul", ["numbers", "weights"], ["base"]),
        node(
            "LabelEncoder",
            ["district"],
            ["location"],
            domain="ai.onnx.ml",
            keys_strings=["harbour", "hills", "old town"],
            values_floats=[120.0, 80.0, 200.0],
            default_float=0.0,
        ),
        node("Cast", ["furnished"], ["has_furniture"], to=FLOAT),
        node("Mul", ["has_furniture", "furniture"], ["extra"]),
        node("Unsqueeze", ["extra", "last"], ["extra_column"]),
        node("Sum", ["base", "location", "extra_column"], ["column"]),
        node("Squeeze", ["column", "last"], ["rent"]),
        node("Mul", ["column", "margins"], ["range"]),
        node("GreaterOrEqual", ["column", "limits"], ["reached"]),
        node("Cast", ["reached"], ["steps"], to=INT64),
        node("ReduceSum", ["steps", "last"], ["band"], keepdims=0),
    ]
    constants = [
        constant("weights", [[9], [40], [5]]),
        constant("furniture", 150),
        constant("margins", [0.875, 1.125]),
        constant("limits", [700, 1200]),
        constant("last", [1], np.int64),
    ]
    inputs = [
        value("numbers", FLOAT, ["batch", 3]),
        value("district", STRING, ["batch", 1]),
        value("furnished", BOOL, ["batch"]),
    ]
    outputs = [value("rent", FLOAT, ["batch"]), value("range", FLOAT, ["batch", 2]), value("band", INT64, ["batch"])]
    write("rent", helper.make_graph(nodes, "rent", inputs, outputs, constants))


def voice():
    """The inputs and outputs of Silero VAD, around an LSTM of 8 cells that hears frames of a millisecond."""
    nodes = [
        node("Div", ["sr", "thousand"], ["frame"]),
        node("Unsqueeze", ["frame", "first"], ["frame_length"]),
        node("Concat", ["same_and_rest", "frame_length"], ["framed"], axis=0),
        node("Reshape", ["input", "framed"], ["frames"]),
        node("Abs", ["frames"], ["loudness"]),
        node("ReduceMean", ["loudness"], ["mean"], axes=[2]),
        node("ReduceMax", ["loudness"], ["peak"], axes=[2]),
        node("ReduceL2", ["frames"], ["norm"], axes=[2]),
        node("Concat", ["mean", "peak", "norm"], ["heard"], axis=2),
        node("Transpose", ["heard"], ["steps"], perm=[1, 0, 2]),
        node("Split", ["state"], ["hidden", "cell"], axis=0),
        node("LSTM", ["steps", "W", "R", "B", "", "hidden", "cell"], ["", "hiddenN", "cellN"], hidden_size=8),
        node("Concat", ["hiddenN", "cellN"], ["stateN"], axis=0),
        node("Squeeze", ["hiddenN", "first"], ["summary"]),
        node("MatMul", ["summary", "weights"], ["score"]),
        node("Sigmoid", ["score"], ["output"]),
    ]
    constants = [
        constant("W", [2 * formula(32, 3)]),
        constant("R", [formula(32, 8, plus=3)]),
        constant("B", formula(1, 64)),
        constant("weights", 4 * formula(8, 1)),
        constant("thousand", 1000, np.int64),
        constant("first", [0], np.int64),
        constant("same_and_rest", [0, -1], np.int64),
    ]
    inputs = [
        value("input", FLOAT, ["batch", "samples"]),
        value("state", FLOAT, [2, "batch", 8]),
        value("sr", INT64, []),
    ]
    outputs = [value("output", FLOAT, ["batch", 1]), value("stateN", FLOAT, [2, "batch", 8])]
    write("voice", helper.make_graph(nodes, "voice", inputs, outputs, constants))


def colours():
    """Undoes the usual normalisation by a convolution, and takes the channel that is brightest on average."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    nodes = [
        node("Conv", ["pixel_values", "kernel", "bias"], ["pixels"]),
        node("GlobalAveragePool", ["pixels"], ["average"]),
        node("Flatten", ["average"], ["logits"]),
        node("Softmax", ["logits"], ["probabilities"]),
        node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
    ]
    constants = [constant("kernel", np.diag(5 * std).reshape(3, 3, 1, 1)), constant("bias", 5 * mean)]
    outputs = [value("label", INT64, ["batch"]), value("probabilities", FLOAT, ["batch", 3])]
    write("colours", helper.make_graph(nodes, "colours", [value("pixel_values", FLOAT, ["batch", 3, 16, 16])], outputs, constants))


def spots():
    """Windows of 8 by 8 pixels, every fourth pixel; those that are bright, without those that overlap a brighter one."""
    corners = [(y, x) for y in range(0, 25, 4) for x in range(0, 25, 4)]
    nodes = [
        node("AveragePool", ["images"], ["brightness"], kernel_shape=[8, 8], strides=[4, 4]),
        node("Reshape", ["brightness", "one_class"], ["candidates"]),
        node("Reshape", ["brightness", "flat"], ["all_scores"]),
        node("NonMaxSuppression", ["windows", "candidates", "most", "overlap", "threshold"], ["selected"]),
        node("Gather", ["selected", "third"], ["window"], axis=1),
        node("Gather", ["all_boxes", "window"], ["boxes"]),
        node("Gather", ["all_scores", "window"], ["scores"]),
    ]
    boxes = [[y, x, y + 8, x + 8] for y, x in corners]
    constants = [
        constant("windows", [boxes]),
        constant("all_boxes", boxes),
        constant("one_class", [1, 1, -1], np.int64),
        constant("flat", [-1], np.int64),
        constant("most", [10], np.int64),
        constant("overlap", [0.1]),
        constant("threshold", [0.6]),
        constant("third", 2, np.int64),
    ]
    outputs = [value("boxes", FLOAT, ["num_boxes", 4]), value("scores", FLOAT, ["num_boxes"])]
    write("spots", helper.make_graph(nodes, "spots", [value("images", FLOAT, [1, 1, 32, 32])], outputs, constants))


for make in (embedding, rent, voice, colours, spots):
    make()

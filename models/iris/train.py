"""Trains the `iris` model: the species of an iris flower from four measurements, by logistic regression.

    python3 models/iris/train.py
"""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

SEED = 7
HERE = Path(__file__).resolve().parent


def fit(features, labels):
    """The weights and biases of softmax(features @ weights + biases), for measurements in centimetres."""
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(random_state=SEED).fit(scaler.transform(features), labels)
    # (x - mean) / scale @ coef + intercept, as one product.
    weights = model.coef_.T / scaler.scale_[:, None]
    return weights, model.intercept_ - scaler.mean_ @ weights


def graph(weights, biases):
    values = lambda name, type, *dims: helper.make_tensor_value_info(name, type, ["batch", *dims])
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Gemm", ["features", "weights", "biases"], ["logits"]),
                helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
                helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
            ],
            "iris",
            [values("features", TensorProto.FLOAT, 4)],
            [values("label", TensorProto.INT64), values("probabilities", TensorProto.FLOAT, 3)],
            initializer=[
                numpy_helper.from_array(weights.astype(np.float32), "weights"),
                numpy_helper.from_array(biases.astype(np.float32), "biases"),
            ],
            doc_string="The species of an iris flower: logistic regression.",
        ),
        producer_name="foretell",
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 15)],
    )


def main():
    iris = load_iris()
    train, held_out, train_labels, held_out_labels = train_test_split(
        iris.data, iris.target, test_size=0.3, stratify=iris.target, random_state=SEED
    )
    model = graph(*fit(train, train_labels))
    checker.check_model(model)
    save(model, HERE / "1" / "model.onnx")
    print(f"iris: trained on {len(train)} flowers")

    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"inputs": held_out.tolist(), "labels": held_out_labels.tolist()}, file)
        file.flush()
        subprocess.run(["node", HERE.parent / "evaluate.mjs", HERE.name, file.name], check=True)


main()

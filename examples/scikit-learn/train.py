"""Trains a scikit-learn pipeline on columns of several types, and writes it where Foretell serves it.

    python3 examples/scikit-learn/train.py models

Converted with onnx.helper, one node for each step, so that every column is a plain value: skl2onnx gives each column the shape
[None, 1], a list of one. Tried with Debian 12's python3-sklearn, python3-pandas and python3-onnx. Prints, as JSON, customers and
what scikit-learn itself predicts for them.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas
from onnx import TensorProto, checker, helper, numpy_helper, save
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

NUMBERS = ["monthlyFee", "monthsSinceStart"]
PLANS = ["basic", "family", "premium"]


def customers(count, seed):
    """Invented: who pays much and came lately leaves more often, least of all families."""
    random = np.random.default_rng(seed)
    table = pandas.DataFrame({
        "monthlyFee": random.uniform(5, 60, count).round(2),
        "monthsSinceStart": random.integers(1, 72, count).astype(float),
        "plan": random.choice(PLANS, count),
    })  # fmt: skip
    risk = 0.05 * table.monthlyFee - 0.04 * table.monthsSinceStart - 1.5 * (table.plan == "family")
    return table, random.uniform(size=count) < 1 / (1 + np.exp(-risk))


table, left = customers(500, seed=7)
columns = ColumnTransformer([
    ("numbers", StandardScaler(), NUMBERS),
    ("plan", OneHotEncoder(categories=[PLANS], handle_unknown="ignore"), ["plan"]),
])  # fmt: skip
pipeline = make_pipeline(columns, LogisticRegression()).fit(table, left)
scaler, regression = pipeline[0].named_transformers_["numbers"], pipeline[-1]


def constant(name, values, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


nodes = [
    # Each column [batch] becomes [batch, 1].
    *[helper.make_node("Unsqueeze", [name, "last"], [f"{name}_column"]) for name in [*NUMBERS, "plan"]],
    helper.make_node("Concat", [f"{name}_column" for name in NUMBERS], ["numbers"], axis=1),
    helper.make_node("Sub", ["numbers", "mean"], ["centred"]),
    helper.make_node("Div", ["centred", "scale"], ["scaled"]),
    # An unknown plan is all zeros, as with handle_unknown="ignore".
    helper.make_node("OneHotEncoder", ["plan_column"], ["plans"], domain="ai.onnx.ml", cats_strings=PLANS, zeros=1),
    helper.make_node("Flatten", ["plans"], ["plan_flags"], axis=1),
    helper.make_node("Concat", ["scaled", "plan_flags"], ["features"], axis=1),
    helper.make_node("Gemm", ["features", "weights", "bias"], ["score"], transB=1),
    helper.make_node("Sigmoid", ["score"], ["probability"]),
    helper.make_node("Squeeze", ["probability", "last"], ["leaves"]),
]
constants = [
    constant("last", [1], np.int64),
    constant("mean", scaler.mean_),
    constant("scale", scaler.scale_),
    constant("weights", regression.coef_),
    constant("bias", regression.intercept_),
]
# "batch" may have any size: tasks can share a run.
inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"]) for name in NUMBERS]
inputs.append(helper.make_tensor_value_info("plan", TensorProto.STRING, ["batch"]))
outputs = [helper.make_tensor_value_info("leaves", TensorProto.FLOAT, ["batch"])]
graph = helper.make_graph(nodes, "churn", inputs, outputs, constants)
opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)]
model = helper.make_model(graph, producer_name="foretell-example", ir_version=8, opset_imports=opsets)
checker.check_model(model)

home = Path(sys.argv[1]) / "churn"
(home / "1").mkdir(parents=True, exist_ok=True)
save(model, str(home / "1" / "model.onnx"))
manifest = {
    "description": "How likely a customer is to leave.",
    "example": {"monthlyFee": 29.9, "monthsSinceStart": 12, "plan": "basic"},
}
(home / "model.json").write_text(json.dumps(manifest, indent=2) + "\n")

tried, _ = customers(20, seed=8)
leaves = pipeline.predict_proba(tried)[:, 1].tolist()
rows = [{"input": row, "prediction": {"leaves": p}} for row, p in zip(tried.to_dict("records"), leaves)]
print(json.dumps(rows))

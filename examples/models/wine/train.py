"""Trains the `wine` model: which of three cultivars a wine is of, by a random forest, as skl2onnx exports one.

    /usr/bin/python3 examples/models/wine/train.py

Version 1 is what it exports by default, version 2 with options={'zipmap': False}. Converted here by hand: skl2onnx is not needed.
"""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, ValueInfoProto, checker, helper, save
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

SEED = 7
HERE = Path(__file__).resolve().parent
# What scikit-learn says of wines that the forest has not seen: tests/api/kinds-of-model.test.ts compares. `npm run fix` formats it.
HELD_OUT = HERE.parents[2] / "tests" / "support" / "held-out-wines.json"

FLOAT, STRING = TensorProto.FLOAT, TensorProto.STRING
value = helper.make_tensor_value_info
node = helper.make_node


def write(graph, version):
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)]
    model = helper.make_model(graph, producer_name="foretell", ir_version=8, opset_imports=opsets)
    checker.check_model(model)
    file = HERE / str(version) / "model.onnx"
    file.parent.mkdir(exist_ok=True)
    save(model, file)
    print(f"{file.relative_to(HERE.parent)}: {file.stat().st_size} bytes")


def forest_node(forest, probabilities):
    """What skl2onnx makes of a random forest: leaves vote with their share of each class."""
    nodes, votes = [], []
    for tree_id, tree in enumerate(estimator.tree_ for estimator in forest.estimators_):
        for i in range(tree.node_count):
            is_leaf = tree.children_left[i] < 0
            # Features are FP32: a threshold between two of them becomes the lower one.
            threshold = np.float32(tree.threshold[i])
            if threshold > tree.threshold[i]:
                threshold = np.nextafter(threshold, np.float32(-np.inf))
            nodes.append({
                "treeids": tree_id,
                "nodeids": i,
                "modes": "LEAF" if is_leaf else "BRANCH_LEQ",
                "featureids": 0 if is_leaf else int(tree.feature[i]),
                "values": 0.0 if is_leaf else float(threshold),
                "truenodeids": 0 if is_leaf else int(tree.children_left[i]),
                "falsenodeids": 0 if is_leaf else int(tree.children_right[i]),
            })  # fmt: skip
            if is_leaf:
                shares = tree.value[i][0] / tree.value[i][0].sum() / len(forest.estimators_)
                votes += [
                    {"treeids": tree_id, "nodeids": i, "ids": label, "weights": float(share)}
                    for label, share in enumerate(shares)
                    if share > 0
                ]
    attributes = {f"nodes_{key}": [each[key] for each in nodes] for key in nodes[0]}
    attributes |= {f"class_{key}": [each[key] for each in votes] for key in votes[0]}
    return node(
        "TreeEnsembleClassifier",
        ["X"],
        ["label", probabilities],
        domain="ai.onnx.ml",
        classlabels_strings=list(forest.classes_),
        post_transform="NONE",
        **attributes,
    )


def main():
    data = load_wine()
    names = np.array([str(name) for name in data.target_names])
    features, held_out, labels, held_out_labels = train_test_split(
        data.data.astype(np.float32), names[data.target], test_size=0.3, stratify=data.target, random_state=SEED
    )
    forest = RandomForestClassifier(n_estimators=20, max_depth=4, random_state=SEED).fit(features, labels)
    right = forest.score(held_out, held_out_labels)
    print(f"wine: trained on {len(features)}, right on {right:.2%} of {len(held_out)} held out")

    inputs = [value("X", FLOAT, [None, 13])]
    label = value("label", STRING, [None])
    # Version 1 as skl2onnx exports a classifier unless told otherwise: a list of maps from class to probability.
    output_label = value("output_label", STRING, [None])
    output_probability = ValueInfoProto(name="output_probability")
    probability_map = output_probability.type.sequence_type.elem_type.map_type
    probability_map.key_type = STRING
    probability_map.value_type.tensor_type.elem_type = FLOAT
    classes = list(forest.classes_)
    zip_map = [
        node("Identity", ["label"], ["output_label"]),
        node("ZipMap", ["scores"], ["output_probability"], domain="ai.onnx.ml", classlabels_strings=classes),
    ]
    outputs = [output_label, output_probability]
    write(helper.make_graph([forest_node(forest, "scores"), *zip_map], "wine", inputs, outputs), 1)
    # Version 2 as with options={'zipmap': False}.
    outputs = [label, value("probabilities", FLOAT, [None, 3])]
    write(helper.make_graph([forest_node(forest, "probabilities")], "wine", inputs, outputs), 2)

    said = zip(held_out.tolist(), forest.predict(held_out), forest.predict_proba(held_out))
    rows = [
        {"features": [round(x, 4) for x in row], "label": label, "probabilities": [round(p, 6) for p in shares]}
        for row, label, shares in list(said)[::3]
    ]
    HELD_OUT.write_text("[\n" + ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n]\n")


main()

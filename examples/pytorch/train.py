"""Trains a small PyTorch model, exports it with a batch of any size, and writes it where Foretell serves it.

    python3 examples/pytorch/train.py models

Tried with PyTorch 1.13 (Debian 12's python3-torch). Prints, as JSON, points and what PyTorch itself predicts for them.
"""

import json
import math
import sys
from pathlib import Path

import torch

torch.manual_seed(7)


def moons(count):
    """Two half-circles that interlock: points, and which of the two each is on."""
    angle = math.pi * torch.rand(count)
    side = torch.arange(count) % 2
    x = torch.where(side == 0, torch.cos(angle), 1 - torch.cos(angle))
    y = torch.where(side == 0, torch.sin(angle), 0.5 - torch.sin(angle))
    return torch.stack([x, y], 1) + 0.1 * torch.randn(count, 2), side


class Classifier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))

    def forward(self, points):
        return self.layers(points)


class WithProbabilities(torch.nn.Module):
    """What clients want instead of logits belongs into the exported graph."""

    def __init__(self, classifier):
        super().__init__()
        self.classifier = classifier

    def forward(self, points):
        return torch.softmax(self.classifier(points), dim=1)


points, sides = moons(400)
classifier = Classifier()
optimizer = torch.optim.Adam(classifier.parameters(), lr=0.02)
for _ in range(300):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(classifier(points), sides).backward()
    optimizer.step()

model = WithProbabilities(classifier).eval()
home = Path(sys.argv[1]) / "moons"
(home / "1").mkdir(parents=True, exist_ok=True)
torch.onnx.export(
    model,
    torch.zeros(1, 2),  # An example input: its datatype and shape become the model's.
    str(home / "1" / "model.onnx"),
    input_names=["point"],
    output_names=["probabilities"],
    # Dimension 0 may have any size. Without this line the model takes one row at a time, and tasks share no run.
    dynamic_axes={"point": {0: "batch"}, "probabilities": {0: "batch"}},
)
manifest = {
    "description": "Which of two interlocking half-circles a point is on.",
    "inputs": {"point": {"fields": ["x", "y"]}},
    "outputs": {"probabilities": {"fields": ["upper", "lower"]}},
}
(home / "model.json").write_text(json.dumps(manifest, indent=2) + "\n")

tried, _ = moons(20)
with torch.no_grad():
    predicted = model(tried).tolist()
rows = [
    {"input": {"x": x, "y": y}, "prediction": {"upper": upper, "lower": lower}}
    for (x, y), (upper, lower) in zip(tried.tolist(), predicted)
]
print(json.dumps(rows))

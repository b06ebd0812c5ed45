"""Any of several labels: targets are 0 or 1 for each, float32 of shape (samples, labels)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from hpo.tasks.task import Task, counting

if TYPE_CHECKING:
    from hpo.tasks.task import Array

THRESHOLD = 0.5


class MultiLabel(Task):
    """Any of several labels; outputs are the probability of each, (samples, labels).

    A label is predicted from a probability of 0.5 on. Accuracy is the share of all labels of all samples that
    are right; precision, recall, F1, ROC AUC and average precision are means over the labels, the last two
    over those that some samples have and others do not.
    """

    name = "multi-label"
    objective = "val_accuracy"
    shown = ("val_accuracy", "f1", "val_loss", "train_seconds")
    epoch: ClassVar = {"accuracy": "BinaryAccuracy"}
    final = ("precision", "recall", "f1", "roc_auc", "average_precision", "log_loss", "brier")
    figures = ("roc", "precision_recall")
    targets = "0 or 1 for each label"
    activation = "sigmoid"
    loss = "binary_crossentropy"

    def units(self, names: int) -> int:
        """One for each label."""
        return names

    def strata(self, y: Array) -> None:
        """None: a sample has many classes."""

    def _measured(self, y: Array, outputs: Array, weight: Array | None) -> dict[str, float]:
        import numpy as np
        from sklearn import metrics

        truth, shares = y.astype(np.int64), outputs.astype(np.float64)
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            truth, shares >= THRESHOLD, average="macro", zero_division=0.0, sample_weight=weight
        )
        certain = np.clip(np.where(truth == 1, shares, 1 - shares), 1e-7, 1.0)
        found = {
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "log_loss": np.average(-np.log(certain).mean(axis=1), weights=weight),
            "brier": np.average(np.square(shares - truth).mean(axis=1), weights=weight),
        }
        if not self.undefined(y, y.shape[1], weight):
            mixed = _mixed(counting(y, weight))
            ranked = truth[:, mixed], shares[:, mixed]
            found["roc_auc"] = metrics.roc_auc_score(*ranked, average="macro", sample_weight=weight)
            found["average_precision"] = metrics.average_precision_score(*ranked, sample_weight=weight)
        return {name: float(value) for name, value in found.items()}

    def undefined(self, y: Array, names: int, weight: Array | None = None) -> dict[str, str]:
        """What depends on the order by probability, if no label tells two samples apart."""
        need = "a label that some samples have and others do not"
        has_one = _mixed(counting(y, weight)).any()
        return {} if has_one else dict.fromkeys(("roc_auc", "average_precision"), need)

    def _compared(self, y: Array, outputs: Array, weight: Array | None) -> dict[str, float]:
        import numpy as np

        right = ((outputs >= THRESHOLD) == (y > THRESHOLD)).mean(axis=1)
        return {"accuracy": float(np.average(right, weights=weight))}

    def detections(self, y: Array, outputs: Array, names: Sequence[str]) -> dict[str, tuple[Array, Array]]:
        """Each label."""
        return {name: (y[:, index] == 1, outputs[:, index]) for index, name in enumerate(names)}

    def described(self, outputs: Array, names: Sequence[str]) -> dict[str, Array]:
        """The labels that are predicted, and the probability of each."""
        import numpy as np

        chosen = [
            ", ".join(name for name, share in zip(names, row, strict=True) if share >= THRESHOLD)
            for row in outputs
        ]
        by_label = {f"probabilities.{name}": outputs[:, index] for index, name in enumerate(names)}
        return {"labels": np.array(chosen, dtype=object), **by_label}


def _mixed(y: Array) -> Array:
    """Whether some samples have a label and others do not, (labels,)."""
    import numpy as np

    is_there = y > THRESHOLD
    return np.asarray(is_there.any(axis=0) & ~is_there.all(axis=0))

"""One class of several, or of two: targets are class indices, int64 of shape (samples,)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from hpo.tasks.task import Task, counting

if TYPE_CHECKING:
    from hpo.tasks.task import Array


class MultiClass(Task):
    """One class of several; outputs are their probabilities, (samples, classes).

    Precision, recall and F1 are macro averages over the classes that occur: one that is no target and is not
    predicted says nothing of the model, and as a 0 in the mean it would make a perfect one look poor. One
    that is never predicted has precision 0. ROC AUC and average precision are means over the classes, each
    against the others, and are there if every class occurs. Brier (1950): the squared distance to what came
    true, from 0 to 2, of two classes half of it.

    >>> import numpy as np
    >>> two = MultiClass().measured(np.array([0, 1]), np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]))
    >>> two["precision"], two["recall"], two["f1"], "roc_auc" in two
    (1.0, 1.0, 1.0, False)
    """

    name = "multi-class"
    objective = "val_accuracy"
    shown: ClassVar[tuple[str, ...]] = ("val_accuracy", "val_loss", "train_seconds")
    epoch: ClassVar = {"accuracy": "SparseCategoricalAccuracy"}
    final = (
        "precision",
        "recall",
        "f1",
        "balanced_accuracy",
        "roc_auc",
        "average_precision",
        "log_loss",
        "brier",
    )
    figures = ("confusion", "roc", "precision_recall")
    targets = "class indices"
    activation = "softmax"
    loss = "sparse_categorical_crossentropy"

    def takes_loss(self, name: str) -> bool:
        """The one of class indices: any other would take an index for a quantity."""
        return name == self.loss

    def units(self, names: int) -> int:
        """One for each class."""
        return names

    def strata(self, y: Array) -> Array:
        """The classes themselves."""
        return y

    def _measured(self, y: Array, outputs: Array, weight: Array | None) -> dict[str, float]:
        import numpy as np
        from sklearn import metrics

        shares = self.probabilities(outputs)
        predicted, classes = shares.argmax(axis=1), list(range(shares.shape[1]))
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            y, predicted, average="macro", zero_division=0.0, sample_weight=weight
        )
        # float64 rows of float32 probabilities sum to 1 but for 1e-7, at which scikit-learn warns.
        exact = shares.astype(np.float64)
        exact /= exact.sum(axis=1, keepdims=True)
        found = {
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "balanced_accuracy": _balanced(y, predicted, weight),
            "log_loss": metrics.log_loss(y, exact, labels=classes, sample_weight=weight),
            "brier": metrics.brier_score_loss(y, exact, labels=classes, sample_weight=weight),
        }
        if not self.undefined(y, len(classes), weight):
            found |= self._ranked(y, exact, weight)
        return {name: float(value) for name, value in found.items()}

    def undefined(self, y: Array, names: int, weight: Array | None = None) -> dict[str, str]:
        """What depends on the order by probability, unless every class occurs."""
        import numpy as np

        has_all = len(np.unique(counting(y, weight))) == names
        return {} if has_all else dict.fromkeys(("roc_auc", "average_precision"), "a sample of every class")

    def _ranked(self, y: Array, shares: Array, weight: Array | None) -> dict[str, float]:
        """What depends on the order of the samples by probability alone."""
        import numpy as np
        from sklearn import metrics

        truth = np.eye(shares.shape[1])[y]
        return {
            "roc_auc": metrics.roc_auc_score(truth, shares, average="macro", sample_weight=weight),
            "average_precision": metrics.average_precision_score(truth, shares, sample_weight=weight),
        }

    def _compared(self, y: Array, outputs: Array, weight: Array | None) -> dict[str, float]:
        import numpy as np

        is_right = self.probabilities(outputs).argmax(axis=1) == y
        return {"accuracy": float(np.average(is_right, weights=weight))}

    def confusion(self, y: Array, outputs: Array) -> Array:
        """Counts, (classes, classes)."""
        from sklearn.metrics import confusion_matrix

        shares = self.probabilities(outputs)
        counts: Array = confusion_matrix(y, shares.argmax(axis=1), labels=range(shares.shape[1]))
        return counts

    def probabilities(self, outputs: Array) -> Array:
        """The outputs."""
        return outputs

    def detections(self, y: Array, outputs: Array, names: Sequence[str]) -> dict[str, tuple[Array, Array]]:
        """Each class against the others."""
        shares = self.probabilities(outputs)
        return {name: (y == index, shares[:, index]) for index, name in enumerate(names)}

    def described(self, outputs: Array, names: Sequence[str]) -> dict[str, Array]:
        """The most probable class, its probability, and all probabilities by class."""
        import numpy as np

        shares = self.probabilities(outputs)
        best = shares.argmax(axis=1)
        by_class = {f"probabilities.{name}": shares[:, index] for index, name in enumerate(names)}
        return {"class": np.array(names, dtype=object)[best], "probability": shares.max(axis=1), **by_class}


class Binary(MultiClass):
    """One class of two; the output is the probability of the second one, (samples, 1).

    Precision, recall and F1 are of both classes, as of several; ROC AUC and average precision of the second.
    """

    name = "binary"
    shown = ("val_accuracy", "roc_auc", "val_loss", "train_seconds")
    epoch: ClassVar = {"accuracy": "BinaryAccuracy"}
    targets = "0 and 1"
    activation = "sigmoid"
    loss = "binary_crossentropy"

    def takes_loss(self, name: str) -> bool:
        """Any but those of several classes."""
        return "categorical" not in name

    def units(self, names: int) -> int:
        """One for both classes."""
        return 1

    def probabilities(self, outputs: Array) -> Array:
        """Of both classes."""
        import numpy as np

        return np.hstack([1 - outputs, outputs])

    def detections(self, y: Array, outputs: Array, names: Sequence[str]) -> dict[str, tuple[Array, Array]]:
        """The second class: of the first the same is true, the other way round."""
        return {names[1]: (y == 1, outputs[:, 0])}

    def _ranked(self, y: Array, shares: Array, weight: Array | None) -> dict[str, float]:
        from sklearn import metrics

        return {
            "roc_auc": metrics.roc_auc_score(y, shares[:, 1], sample_weight=weight),
            "average_precision": metrics.average_precision_score(y, shares[:, 1], sample_weight=weight),
        }


def _balanced(y: Array, predicted: Array, weight: Array | None) -> float:
    """The mean over the classes that are targets of the share that is found."""
    import numpy as np

    counts = np.ones(len(y)) if weight is None else weight
    total = np.bincount(y, counts)
    found = np.bincount(y, counts * (predicted == y), minlength=len(total))
    return float(np.mean(found[total > 0] / total[total > 0]))

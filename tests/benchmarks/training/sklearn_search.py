"""scikit-learn's side of `digits`: `RandomizedSearchCV(MLPClassifier)` on the same samples, by two processes.

Of the set's 1,797 samples 360 are a test part that is not used, as in hpo; of the others a stratified fifth
validates. Every fit has 50 epochs of Adam and never stops early.
"""

from __future__ import annotations

import os
import sys
import warnings

# With this seed the first 40 draws are mixed as hpo's are: all 12 keys, 14 with batch 16, 18 of the largest
# network where hpo's have 15. So both train as many steps, of networks about as large.
DRAWS = 20


def main() -> None:
    """Search so many configurations, and say the best one's accuracy."""
    # For the two processes, too: each fit ends at its 50 epochs, and would warn that it has not converged.
    os.environ["PYTHONWARNINGS"] = "ignore"
    warnings.simplefilter("ignore")
    from scipy.stats import loguniform
    from sklearn.datasets import load_digits
    from sklearn.model_selection import RandomizedSearchCV, StratifiedShuffleSplit, train_test_split
    from sklearn.neural_network import MLPClassifier

    space = {
        "hidden_layer_sizes": [(64,), (128,), (128, 64)],
        "batch_size": [16, 32],
        "activation": ["relu", "tanh"],
        "learning_rate_init": loguniform(1e-4, 1e-1),
        "alpha": loguniform(1e-6, 1e-2),
    }
    x, y = load_digits(return_X_y=True)
    x, _, y, _ = train_test_split(x / 16, y, test_size=360, stratify=y, random_state=0)
    search = RandomizedSearchCV(
        MLPClassifier(solver="adam", max_iter=50, n_iter_no_change=50, tol=0.0, random_state=0),
        space,
        n_iter=int(sys.argv[1]),
        cv=StratifiedShuffleSplit(n_splits=1, test_size=0.2, random_state=0),
        n_jobs=2,
        refit=False,
        random_state=DRAWS,
    )
    search.fit(x, y)
    print(search.best_score_)


if __name__ == "__main__":
    main()

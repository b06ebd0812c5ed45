"""One claimed trial: train its replicates in lockstep, report each epoch, prune, measure the final model."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
from optuna.trial import TrialState

from hpo.data import Dataset, flat, is_nested, mapped
from hpo.errors import ModelError
from hpo.models.families import Network
from hpo.models.file import model_bytes
from hpo.models.named import check_named
from hpo.models.table import family_of
from hpo.pictures import PICTURES, confusion_svg, curves_svg
from hpo.search import REPEAT_ATTRIBUTE, seeds_of
from hpo.spec import Hyperparameters, StudySpec
from hpo.training.choice import AUTO, by_work
from hpo.training.labels import check_lookups
from hpo.training.runs import Run
from hpo.training.samples import Samples
from hpo.trials.attachments import MODEL_FILE, VALIDATION_FILE, Validated, shown_places, validation_file
from hpo.trials.card import card_of
from hpo.trials.checkpoints import Checkpoints
from hpo.trials.constraints import Kept, kept_by
from hpo.trials.final_metrics import mean_metrics, not_finite, of_test, part_of
from hpo.trials.lockstep import Lockstep, ReplicateRun, loop_of_checkpoint
from hpo.trials.objectives import Standing, size_of, undefined
from hpo.trials.outcome import Outcome, StoppedError
from hpo.trials.own_callbacks import RunCallbacks, RunOf
from hpo.trials.planned_steps import planned_steps
from hpo.trials.progress import PruningCallback, TrialProgress, early_stopping, scalars
from hpo.trials.record import COMPILED_ATTRIBUTE
from hpo.trials.study_data import StudyData, on_device

logger = logging.getLogger(__name__)

# XLA keeps what it has compiled (about 20 MiB a program) for the life of the process, and finds it again. So
# forgetting a network frees its state and graphs, and costs their tracing, 0.3 s, if its key comes back.
KEPT_BYTES = 512 * 1024**2
GRAPH_BYTES = 12 * 1024**2


class TrialRunner:
    """Trains the trials of one study on its data, keeping compiled networks from trial to trial.

    With a `test` set the final models are evaluated on it too. `folder` is where callbacks of a person's own
    may write, in a folder for each trial.
    """

    def __init__(
        self,
        spec: StudySpec,
        dataset: Dataset,
        *,
        test: Dataset | None = None,
        folder: Path | None = None,
    ) -> None:
        self.spec, self.dataset = spec, dataset
        self._test_set, self._test = test, None if test is None else on_device(test)
        self.data = StudyData(spec, dataset)
        self._own_callbacks = RunCallbacks(spec, folder)
        self._family = family_of(spec.model, self.data.signature)
        # After the files of the study, which may register them.
        check_named(spec.compile)
        self._networks: OrderedDict[Hashable, Network] = OrderedDict()
        self._begun: set[Hashable] = set()

    def __call__(
        self,
        trial: optuna.trial.Trial,
        hyperparameters: Hyperparameters,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        checkpoints: Checkpoints | None = None,
        timeout: Callable[[], float | None] | None = None,
    ) -> Outcome:
        """Train a trial to its end, from its last checkpoint if it has one.

        `timeout()` is how many seconds the trial may train, asked after each epoch; by default the
        specification's `trial_timeout`.

        Raises:
            StoppedError: `should_stop()` was true before an epoch; a checkpoint has been saved.
        """
        self._own_callbacks.begin()
        with self._own_callbacks.telling():
            return self._trained(
                trial, hyperparameters, should_stop=should_stop, checkpoints=checkpoints, timeout=timeout
            )

    def _trained(
        self,
        trial: optuna.trial.Trial,
        hyperparameters: Hyperparameters,
        *,
        should_stop: Callable[[], bool],
        checkpoints: Checkpoints | None,
        timeout: Callable[[], float | None] | None,
    ) -> Outcome:
        saved = None if checkpoints is None else checkpoints.load()
        loop = self.loop_of(hyperparameters) if saved is None else loop_of_checkpoint(saved)
        self._note_program(trial, hyperparameters, loop)
        kept = kept_by(self.spec, trial, hyperparameters, self._network(hyperparameters, loop).trainer.model)
        if kept.broken:
            return Outcome(TrialState.PRUNED, reason=kept.broken, constraints=kept.violations)
        training = self._begin(trial, hyperparameters, loop)
        if saved is not None and not training.restore(saved, number=trial.number):
            # A part of it may have been taken over.
            training = self._begin(trial, hyperparameters, self.loop_of(hyperparameters))
        elif saved is not None:
            self._own_callbacks.say_what_begins_anew(trial.number)
        progress, replicates = training.progress, training.replicates
        while not training.finished:
            stopping = should_stop()
            if checkpoints is not None and (stopping or checkpoints.due):
                training.save(checkpoints, number=trial.number)
            if stopping:
                raise StoppedError
            training.advance()
            if not training.finished:
                training.check_time(timeout() if timeout is not None else self.spec.trial_timeout)
            if progress.ended:
                training.stop()
        if not progress.ended:
            training.go_back()
            progress.failure = self._measure(replicates, self._network_of(replicates[0]))
        metrics = mean_metrics(self.spec, replicates, progress.best_epoch)
        metrics["compile_seconds"] = training.clock.compile_seconds
        keepsakes = partial(self._keepsakes, trial, hyperparameters, replicates)
        model = replicates[0].run.model
        metrics |= size_of(self.spec, model)
        kept = kept_by(self.spec, trial, hyperparameters, model, None if progress.ended else metrics)
        return self._outcome(training, metrics, keepsakes, kept)

    def _note_program(self, trial: optuna.trial.Trial, hyperparameters: Hyperparameters, loop: str) -> None:
        family_key = self._family.key(self.data.settled(hyperparameters))
        if (key := (family_key, hyperparameters.batch_size, loop)) not in self._begun:
            self._begun.add(key)
            trial.set_user_attr(COMPILED_ATTRIBUTE, True)

    def make_room(self) -> None:
        """Forget every network, and give what that frees back to the machine."""
        self._networks.clear()
        gc.collect()
        # The allocator keeps what is freed in small pieces: 90 MiB of 24 networks, 86 given back.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)

    def loop_of(self, hyperparameters: Hyperparameters) -> str:
        """The loop that trains a trial: the specification's, or the one that its planned work pays for."""
        if self.spec.loop != AUTO:
            return self.spec.loop
        samples = len(self.data.splits[0][0])
        steps = planned_steps(self.spec, hyperparameters, samples=samples)
        return by_work(steps, self._family.layers(self.data.settled(hyperparameters)))

    def train(
        self,
        hyperparameters: Hyperparameters,
        loop: str,
        *,
        number: int = 0,
        seed: int | None = None,
        epochs: int | None = None,
    ) -> ReplicateRun:
        """Train the first replicate of trial `number` by a loop and measure it, with no trial to report to.

        `seed` is that of the replicate, by default the first of the specification; `epochs` is after which to
        end, by default after the last.
        With as many threads on the same kind of machine the weights are those that the trial had, bit for
        bit; the run's model holds them.
        """
        network = self._network(hyperparameters, loop)
        self._own_callbacks.begin()
        with self._own_callbacks.telling():
            # All replicates are made: they share the strengths, which the last one sets.
            first, *_ = self._replicates(network, hyperparameters, self._pairs(seed), number=number)
            while not first.run.finished and first.run.epoch != epochs:
                first.curve.append(scalars(first.run.advance()))
        self._measure([first], network)
        return first

    def _begin(self, trial: optuna.trial.Trial, hyperparameters: Hyperparameters, loop: str) -> Lockstep:
        network, attributes = self._network(hyperparameters, loop), trial.user_attrs
        pairs = self._pairs(attributes.get("seed"), repeat=attributes.get(REPEAT_ATTRIBUTE, 0))
        objective = self.spec.objective
        standing = Standing(self.spec, trial)
        progress = TrialProgress(
            *(trial, objective, self.spec.reported),
            replicates=len(pairs),
            epochs=hyperparameters.epochs,
            standing=standing,
        )
        replicates = self._replicates(network, hyperparameters, pairs, progress=progress, number=trial.number)
        standing.runs = [replicate.run for replicate in replicates]
        return Lockstep(
            hyperparameters,
            replicates,
            progress,
            network.trainer,
            keeps_best=objective.at == "best",
        )

    def _outcome(
        self,
        training: Lockstep,
        metrics: dict[str, float],
        keepsakes: Callable[[], dict[str, bytes]],
        kept: Kept,
    ) -> Outcome:
        progress, ended = training.progress, partial(Outcome, metrics=metrics, loop=training.loop)
        ended = partial(ended, replicates=training.replicates, constraints=kept.violations)
        if progress.failure is not None:
            return ended(TrialState.FAIL, reason=progress.failure)
        if progress.pruned:
            return ended(TrialState.PRUNED, reason=f"after epoch {len(progress.reported)}")
        # Of the best epoch too, whose weights were measured.
        if (metric := undefined(self.spec, metrics)) is not None:
            # A part without a class has no ROC AUC, one of a single sample no R2.
            reason = f"{metric} is not defined for the validation samples of every fold"
            return ended(TrialState.FAIL, reason=reason)
        value, *further = (metrics[objective.metric] for objective in self.spec.judged_by)
        # Of a trial that breaks a constraint, and so never is the best, nothing is kept.
        told: Any = {"reason": kept.broken} if kept.broken else {"keepsakes": keepsakes}
        return ended(TrialState.COMPLETE, value, further=further, **told)

    def _keepsakes(
        self, trial: optuna.trial.Trial, hyperparameters: Hyperparameters, replicates: list[ReplicateRun]
    ) -> dict[str, bytes]:
        """Pictures of a trial, what it made of its validation samples, and its first replicate's model."""
        first, arm = replicates[0], trial.user_attrs.get("arm")
        title = f"{self.spec.name} #{trial.number}"
        if arm is not None:
            title += f", arm {arm}, seed {first.seed}"
        found = {"curves.svg": curves_svg([r.curve for r in replicates], title)}
        counts = [r.confusion for r in replicates if r.confusion is not None]
        title = f"{title}: validation samples"
        if counts and (confusion := confusion_svg(np.sum(counts, axis=0), self.dataset.names, title)):
            found["confusion.svg"] = confusion
        files = dict[str, bytes]()
        if self.dataset.task.has_one_output:
            validated = self._validated(replicates)
            for name in filter(PICTURES.__contains__, self.dataset.task.figures):
                found[f"{name}.svg"] = PICTURES[name](validated.y, validated.outputs, validated.names, title)
            files[VALIDATION_FILE] = validation_file(validated)
        card = card_of(self.spec, self.dataset, trial.number, arm, hyperparameters, first)
        try:
            files[MODEL_FILE] = model_bytes(self.stock_model(first, hyperparameters), card)
        except ModelError as error:
            # What else there is of the trial is kept.
            logger.warning("%s #%d keeps no model: %s", self.spec.name, trial.number, error)
        return {name: text.encode() for name, text in found.items()} | files

    def _validated(self, replicates: list[ReplicateRun]) -> Validated:
        rows = [r.validation_rows for r in replicates if r.validation_rows is not None]
        outputs = [r.validation_outputs for r in replicates if r.validation_outputs is not None]
        sizes, whole = list(map(len, rows)), np.concatenate(rows)
        return Validated(
            y=self.dataset.y[whole],
            outputs=np.concatenate(outputs),
            seed=np.repeat([r.seed for r in replicates], sizes),
            fold=np.repeat([-1 if r.fold is None else r.fold for r in replicates], sizes),
            row=whole,
            names=self.dataset.names,
            total=sum(len(self.data.samples(r.fold, 1)) for r in replicates),
            weight=None if self.dataset.weight is None else self.dataset.weight[whole],
        )

    def stock_model(self, replicate: ReplicateRun, hyperparameters: Hyperparameters) -> keras.Model:
        """A model of nothing of hpo's own with a run's present weights."""
        network = self._network_of(replicate)
        assert replicate.run.model is network.trainer.model
        return network.exported(hyperparameters, by_column=bool(self.dataset.columns))

    def _network_of(self, replicate: ReplicateRun) -> Network:
        """The one that a run is trained on, whose loop may be another by now than the one asked for."""
        trainer = replicate.run.trainer
        return next(network for network in self._networks.values() if network.trainer is trainer)

    def _network(self, hyperparameters: Hyperparameters, loop: str) -> Network:
        settled = self.data.settled(hyperparameters)
        key = self._family.key(settled), loop
        if key not in self._networks:
            network = self._family.build(settled, loop)
            network.trainer.build(self.data.device)
            if any(kind.startswith("int") for kind in flat(self.dataset.dtype)) or is_nested(self.dataset.y):
                # What is outside of an embedding, or of an output, raises here: a program does not look.
                check_lookups(network.trainer.model, self.data.device)
            self._networks[key] = network
            while len(self._networks) > 1 and self._kept_bytes() > KEPT_BYTES:
                self._networks.popitem(last=False)
        self._networks.move_to_end(key)
        return self._networks[key]

    def _kept_bytes(self) -> int:
        return sum(network.state_bytes + GRAPH_BYTES for network in self._networks.values())

    def _pairs(self, seed: int | None, *, repeat: int = 0) -> list[tuple[int, int | None]]:
        """Seed and fold of each replicate; a comparison's trial comes with its seed."""
        seeds = seeds_of(self.spec.seeds, repeat) if seed is None else [seed]
        folds = range(len(self.data.splits)) if self.spec.data.splits else [None]
        return [(seed, fold) for seed in seeds for fold in folds]

    def _replicates(
        self,
        network: Network,
        hyperparameters: Hyperparameters,
        pairs: list[tuple[int, int | None]],
        *,
        number: int,
        progress: TrialProgress | None = None,
    ) -> list[ReplicateRun]:
        h = hyperparameters
        training = [self.data.training_samples(h, fold) for _, fold in pairs]
        # All states first: they are made in the model that the runs then take turns on.
        states = [
            network.initial_state(
                self.data.settled(h),
                seed=seed,
                steps=h.epochs * h.steps_per_epoch(len(samples)),
                fit=self.data.fit(h, fold),
            )
            for (seed, fold), samples in zip(pairs, training, strict=True)
        ]
        kept = range(len(pairs))
        pruning = [None if progress is None else PruningCallback(progress, index) for index in kept]
        return [
            ReplicateRun(
                seed=seed,
                fold=fold,
                run=Run(
                    network.trainer,
                    samples,
                    validation=self.data.samples(fold, 1),
                    batch_size=h.batch_size,
                    epochs=h.epochs,
                    callbacks=[
                        *([reports.first] if reports else []),
                        *early_stopping(h, self.spec.objective),
                        *self._own_callbacks.of(RunOf(number, seed, fold, h)),
                        *([reports] if reports else []),
                    ],
                    seed=seed,
                    initial_state=state,
                ),
            )
            for (seed, fold), samples, state, reports in zip(pairs, training, states, pruning, strict=True)
        ]

    def _measure(self, replicates: list[ReplicateRun], network: Network) -> str | None:
        """The final metrics of every replicate, by the weights that its training ended with.

        Returns what is not finite, if anything is.
        """
        task, objective = self.dataset.task, self.spec.objective.metric
        for replicate in replicates:
            training, validation = (
                self.data.samples(replicate.fold, 0),
                self.data.samples(replicate.fold, 1),
            )
            y, weight = mapped(lambda y, rows=validation.rows: y[rows], self.dataset.y), self.dataset.weight
            outputs = self._outputs(network, replicate, validation)
            measured = {
                **part_of("val", replicate.run.evaluate(validation)),
                **task.measured(y, outputs, None if weight is None else weight[validation.rows]),
                **part_of("train", replicate.run.evaluate(training)),
            }
            if self._test is not None:
                assert self._test_set is not None
                predicted = self._outputs(network, replicate, self._test)
                replicate.test_outputs = predicted
                of_task = task.measured(self._test_set.y, predicted, self._test_set.weight)
                measured |= of_test(replicate.run.evaluate(self._test), of_task, objective)
            if outputs is not None:
                replicate.confusion = task.confusion(y, outputs)
                places = shown_places(len(y), replicates=len(replicates))
                replicate.validation_rows = validation.rows[places]
                replicate.validation_outputs = outputs[places].astype(np.float32)
            replicate.metrics = {name: value for name, value in measured.items() if math.isfinite(value)}
            broken = (not_finite(measured, judged.metric) for judged in self.spec.judged_by)
            if (name := next(filter(None, broken), None)) is not None:
                return f"{name} is {measured[name]} after epoch {replicate.run.epoch}"
        return None

    def _outputs(self, network: Network, replicate: ReplicateRun, samples: Samples) -> Any:
        """What a run's model makes of samples; None of several outputs, of which nothing is measured."""
        if not self.dataset.task.has_one_output:
            return None
        return network.finished(replicate.run.predict(samples))

"""Hard negatives: do the mixed samples lie near the boundary, among the real ones?

Mixed samples are made as an update of NDCL makes them, by the model at the end of the run, whatever
algorithm trained it. Mixtures of random pairs by the same weights show what the selection adds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.stats import mannwhitneyu
from sklearn.manifold import TSNE
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from imbalance_splits.errors import InputError
from ndcl_domainbed.algorithms.ndcl import NDCL
from ndcl_domainbed.diagnostics.boundary import feature_distances
from ndcl_domainbed.diagnostics.figures import RUN_COLORS, new_figure
from ndcl_domainbed.diagnostics.findings import Findings, Request
from ndcl_domainbed.diagnostics.saved_run import (
    Outputs,
    SavedRun,
    frozen_note,
    join_outputs,
    load_runs,
)
from ndcl_domainbed.diagnostics.statistics import CHANCE, FOLDS, probe_accuracy
from ndcl_domainbed.hard_negatives import fixed_class_budget, hard_negatives, mix
from ndcl_domainbed.training import seeding
from ndcl_domainbed.training.batches import StepBatches, fetch

STEPS_PER_FOLD = 20  # minibatches drawn from each fold: as many draws of the mixing weight
STRONG = 0.2
"""A mixed sample is strongly mixed if all its images but the strongest have at least this share."""

CAPTION = (
    "Left and middle: t-SNE of features and of predictions, which keeps neighborhoods, not "
    "distances; the title has the accuracy ± standard error of a linear probe that tells hard "
    f"negatives from real images, cross-validated over images ({CHANCE} is chance). Right: the "
    "share of samples up to each distance to the boundary. Hard negatives are mixed as NDCL does "
    "in training, by the model at the end of the run; random mixtures of the same batches and "
    "weights show what the selection adds. Mixing weights from Beta(ρ, ρ) are mostly near 0 or 1, "
    "so many mixed samples are close to one real image; the table lists the strongly mixed ones "
    f"separately (share of all images but the strongest at least {STRONG}). Its column "
    "nearer_than_real is the share of pairs in which a mixed sample is nearer to the boundary than "
    "a real image (0.5: no difference)."
)
SPACES = ("feature", "prediction")
KINDS = {
    "real": "real images",
    "random": "random mixtures",
    "hard": "hard negatives",
    "strong hard": "hard negatives, strongly mixed",
    "strong random": "random mixtures, strongly mixed",
}
_PROBED = ("random", "hard", "strong hard")
_LINES = {"real": ("-", "black"), "random": (":", RUN_COLORS[0]), "hard": ("--", RUN_COLORS[1])}
_MAX_LABELS = 20


class Samples(NamedTuple):
    """What a model computes from n samples.

    The labels of ``outputs`` are classes: a mixed sample's is the one that it is a negative for.
    ``folds`` (n,) says which fold of the training images a sample was made from; no image is in
    two. ``shares`` (n,) is the part of all mixed images but the strongest, in [0, 1): of two, the
    weaker one's.
    """

    outputs: Outputs
    folds: np.ndarray
    shares: np.ndarray

    def take(self, rows: np.ndarray) -> Samples:
        """Return the given rows."""
        return Samples(self.outputs.take(rows), self.folds[rows], self.shares[rows])


def diagnose(request: Request) -> Findings:
    """Return where the hard negatives of every run lie."""
    runs = load_runs(request)
    figure = new_figure(15, 4.6 * len(runs) + 0.4)
    axes = figure.subplots(len(runs), 3, squeeze=False)
    tables = []
    for row, (name, run) in enumerate(runs.items()):
        samples = draw_samples(run, request.images, request.seed)
        for kind in ("random", "hard"):
            rows = np.flatnonzero(samples[kind].shares >= STRONG)
            samples[f"strong {kind}"] = samples[kind].take(rows)
        margins = {
            kind: np.asarray(feature_distances(run.modules()[1], seen.features, seen.logits))
            for kind, (seen, *_) in samples.items()
        }
        table = _tabulate(samples, margins).assign(run=name)
        tables.append(table)
        for axis, space in zip(axes[row], SPACES, strict=False):
            colors = _draw_plane(axis, run, samples, space, request.seed)
            names = [f"{space}_probe_accuracy", f"{space}_probe_error"]
            mean, error = table.loc["hard", names].to_numpy(dtype=float)
            probe = "unknown" if np.isnan(mean) else f"{mean:.2f} ± {error:.2f}"
            axis.set_title(f"{name}: {space}s; linear probe {probe} (chance {CHANCE})", fontsize=10)
        _label_colorbar(figure.colorbar(colors, ax=axes[row, 1]), run)
        _draw_margins(axes[row, 2], margins)
        axes[row, 2].set_title(f"{name}: margins in feature space", fontsize=10)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    found = pd.concat(tables, ignore_index=True)
    return Findings(CAPTION + frozen_note(runs), found[["run", *found.columns.drop("run")]], figure)


def draw_samples(run: SavedRun, images: int, seed: int) -> dict[str, Samples]:
    """Return about ``images`` each of "real" images, "hard" negatives and "random" mixtures.

    Minibatches of the run's batch size are drawn, as in training, from at most ``images`` training
    images of each source domain, and mixed with NDCL's hyper-parameters: those of the run, or for
    another algorithm their defaults. The real images come from all domains alike. Raises
    InputError if no minibatch holds two classes.
    """
    read = [_read_images(training, images, seed) for training in run.dataset.train_sets]
    outputs = join_outputs([run.outputs(domain) for domain in read])
    x, y = (torch.cat(column) for column in zip(*(one.tensors for one in read), strict=True))
    sizes = [len(domain) for domain in read]
    domains = np.repeat(np.arange(len(read)), sizes)
    folds = np.concatenate([np.arange(size) % FOLDS for size in sizes])
    generator = torch.Generator().manual_seed(seed)
    per_batch = -(-images // (FOLDS * STEPS_PER_FOLD))
    hard: list[list[Tensor]] = []
    random: list[list[Tensor]] = []
    where: list[int] = []
    for fold in range(FOLDS):
        members = [np.flatnonzero((domains == d) & (folds == fold)) for d in range(len(read))]
        if not all(map(len, members)):
            continue  # a domain of fewer images than folds
        batches = StepBatches(
            [Subset(TensorDataset(x, y), rows.tolist()) for rows in members],
            int(run.hparams["batch_size"]), seed + fold,
            class_balanced=bool(run.hparams.get("class_balanced", False)),
        )  # fmt: skip
        for step in range(STEPS_PER_FOLD):
            drawn = [rows[batches.positions(step, d)] for d, rows in enumerate(members)]
            rows = torch.as_tensor(np.concatenate(drawn))
            made = _make_hard_negatives(run, x[rows], outputs.take(rows), generator)
            kept = torch.randperm(len(made[0]), generator=generator)[:per_batch]
            hard.append([column[kept] for column in made])
            lambdas, mixes_three = hard[-1][2:]
            random.append(_make_random_mixtures(x[rows], y[rows], lambdas, mixes_three, generator))
            where += [fold] * len(kept)
    if not where:
        is_part = any(len(one) > images for one in run.dataset.train_sets)
        raise InputError(
            f"{run.folder}: the training images looked at ({min(sizes)} of the smallest source "
            f"domain, in {FOLDS} folds) make no minibatch of two classes."
            + (" Look at more with --images." if is_part else "")
        )
    share = -(-images // len(read))
    drawn = [np.random.RandomState(seed).permutation(size)[:share] for size in sizes]
    starts = np.cumsum([0, *sizes[:-1]])
    chosen = np.concatenate([first + rows for first, rows in zip(starts, drawn, strict=True)])
    return {
        "real": Samples(outputs.take(chosen), folds[chosen], np.zeros(len(chosen))),
        "random": _compute_outputs(run, random, np.array(where)),
        "hard": _compute_outputs(run, hard, np.array(where)),
    }


def _read_images(training: Subset[Any], images: int, seed: int) -> TensorDataset:
    """Read at most ``images`` training images of a source domain, with training transforms."""
    order = np.random.RandomState(seed).permutation(len(training))[:images]
    subset: Subset[Any] = Subset(training.dataset, np.asarray(training.indices)[order].tolist())
    with seeding.generators_restored():
        x, y = fetch(subset, np.arange(len(order)), [seed + place for place in range(len(order))])
    return TensorDataset(x, y)


def _make_hard_negatives(
    run: SavedRun, x: Tensor, seen: Outputs, generator: torch.Generator
) -> list[Tensor]:
    """Return inputs, classes, λ and "has a third parent" of the hard negatives of an update."""
    settings = run.hparams if isinstance(run.algorithm, NDCL) else {}
    rho, pairing, budget, scale, per_pair = (
        settings.get(name, NDCL.HPARAMS[name].default)
        for name in ("mixup", "pairing", "budget", "budget_scale", "mixup_per_pair")
    )
    made = hard_negatives(
        x, seen.labels, seen.logits.softmax(dim=1), rho, generator, pairing=pairing,
        budget=budget, per_class=fixed_class_budget(int(run.hparams["batch_size"])), scale=scale,
        per_pair=per_pair,
    )  # fmt: skip
    kept = made.classes >= 0
    mixes_three = made.third != made.second
    return [column[kept] for column in (made.inputs, made.classes, made.lambdas, mixes_three)]


def _make_random_mixtures(
    x: Tensor, y: Tensor, lambdas: Tensor, mixes_three: Tensor, generator: torch.Generator
) -> list[Tensor]:
    """Return the same of mixtures of random pairs of a batch, or triples."""
    first, second = torch.randint(len(x), (2, len(lambdas)), generator=generator)
    third = second
    if mixes_three.any():
        drawn = torch.randint(len(x), second.shape, generator=generator)
        third = torch.where(mixes_three, drawn, second)
    return [mix(x, first, second, third, lambdas), y[first], lambdas, mixes_three]


def _compute_outputs(run: SavedRun, mixed: list[list[Tensor]], folds: np.ndarray) -> Samples:
    """Return what the model computes from mixed samples."""
    inputs, classes, first, three = (torch.cat(column) for column in zip(*mixed, strict=True))
    rest = torch.where(three, (1 - first) * torch.maximum(first, 1 - first), 1 - first)
    shares = (1 - torch.maximum(first, rest)).double().numpy()
    return Samples(run.outputs(TensorDataset(inputs, classes)), folds, shares)


def _vectors(samples: Samples, space: str) -> np.ndarray:
    """Return features (n, F) or posteriors (n, K)."""
    return samples.outputs.features.numpy() if space == "feature" else samples.outputs.posteriors()


def _tabulate(samples: dict[str, Samples], margins: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return a row for each kind of sample."""
    rows = {}
    for kind, label in KINDS.items():
        mine, real = margins[kind], margins["real"]
        quartiles = np.percentile(mine, [25, 50, 75]) if mine.size else [np.nan] * 3
        top = np.sort(_vectors(samples[kind], "prediction"), axis=1)
        gaps = top[:, -1] - top[:, -2]
        nearer = mannwhitneyu(real, mine, method="asymptotic").statistic if mine.size else np.nan
        rows[kind] = {
            "samples": label,
            "number": len(mine),
            "margin_quarter": quartiles[0],
            "margin_median": quartiles[1],
            "margin_three_quarters": quartiles[2],
            "nearer_than_real": nearer / max(1, len(mine) * len(real)),
            "probability_gap_median": np.median(gaps) if gaps.size else np.nan,
        }
        for space in SPACES if kind in _PROBED else ():
            both = [_vectors(samples[name], space) for name in ("real", kind)]
            folds = [samples[name].folds for name in ("real", kind)]
            found = probe_accuracy(
                np.concatenate(both), np.repeat([0, 1], [*map(len, folds)]), np.concatenate(folds)
            )
            rows[kind] |= {f"{space}_probe_accuracy": found.mean,
                           f"{space}_probe_error": found.error}  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def tsne_plane(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Return the t-SNE of ``vectors`` (N, F) in the plane, (N, 2)."""
    perplexity = min(30, max(2, (len(vectors) - 1) / 3))
    tsne = TSNE(init="pca", perplexity=perplexity, random_state=seed)
    return np.asarray(tsne.fit_transform(np.asarray(vectors, dtype=np.float32)))


def _draw_plane(
    axis: Any, run: SavedRun, samples: dict[str, Samples], space: str, seed: int
) -> Any:
    """Draw real images by the frequency of their class, and the hard negatives among them."""
    real, hard = (_vectors(samples[kind], space) for kind in ("real", "hard"))
    own, mixed = np.split(tsne_plane(np.concatenate([real, hard]), seed), [len(real)])
    rank = np.argsort(np.argsort(-run.class_counts, kind="stable"))
    colors = rank[samples["real"].outputs.labels.numpy()]
    shown = axis.scatter(*own.T, c=colors, cmap="viridis", s=14, vmin=0, vmax=len(rank) - 1,
                         label="real image (color: its class)")  # fmt: skip
    axis.scatter(*mixed.T, color=RUN_COLORS[1], marker="x", s=14, linewidth=0.9, alpha=0.8,
                 label="hard negative")  # fmt: skip
    axis.set(xticks=[], yticks=[], xlabel="t-SNE, first axis", ylabel="t-SNE, second axis")
    return shown


def _label_colorbar(bar: Any, run: SavedRun) -> None:
    """Label the color bar with classes, most training images first."""
    counts, names = run.class_counts, run.dataset.classes
    order = np.argsort(-counts, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, min(len(order), _MAX_LABELS)).astype(int))
    bar.set_ticks(places, labels=[f"{names[k]} ({counts[k]})" for k in order[places]])
    bar.ax.invert_yaxis()
    bar.set_label("class (training images)")


def _draw_margins(axis: Any, margins: dict[str, np.ndarray]) -> None:
    """Draw the share of the samples up to each margin."""
    for kind, (line, color) in _LINES.items():
        shares = np.arange(1, len(margins[kind]) + 1) / len(margins[kind])
        axis.plot(np.sort(margins[kind]), shares, linestyle=line, color=color, label=KINDS[kind])
    axis.set(ylim=(0, 1), xlabel="margin: distance to the boundary (features' units)")
    axis.set_xlim(left=0)
    axis.set_ylabel("share of the samples up to this margin")
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right", fontsize=8)

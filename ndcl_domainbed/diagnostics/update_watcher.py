"""What ``--diagnostics`` records: what the losses of a run do to each source domain and class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ndcl_domainbed.testbed.algorithms.base import concatenate, domain_indices, to_full_precision
from ndcl_domainbed.training.batches import Batch
from ndcl_domainbed.training.callbacks import UnsuitableAlgorithm

COUNTS = ("samples", "anchors", "batches")
MEANS_OVER = {
    **dict.fromkeys(("grad_logits", "grad_features", "confidence"), "samples"),
    **dict.fromkeys(("amplification", "crowding"), "anchors"),
    **dict.fromkeys(("norm", "distance"), "batches"),
}
"""The figures of a pair of domain and class, and what each is a mean over."""

_SIGNIFICANT_DIGITS = 7


class Passes:
    """The first passes of an update that have a gradient, up to ``samples`` in all.

    Each of ``passes`` has ``inputs`` and ``features``, then ``logits``, ``logit_gradients`` and
    ``feature_gradients`` when they are computed; a gradient is the first that reaches the logits.
    ``other_logits`` says whether the classifier was given anything but the features of these.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.passes: list[dict[str, Tensor]] = []
        self.other_logits = False

    def have(self, name: str) -> bool:
        """Return whether all passes have ``name``."""
        return all(name in one for one in self.passes)

    def join(self, name: str) -> Tensor:
        """Return ``name`` of all passes, (N, ...)."""
        return torch.cat([one[name] for one in self.passes])

    def are_of(self, x: Tensor) -> bool:
        """Return whether the inputs of the passes are ``x``, in order."""
        found = self.join("inputs") if self.passes else x[:0]
        return found.shape == x.shape and torch.equal(found, x)

    @contextmanager
    def capture(self, featurizer: nn.Module, classifier: nn.Module) -> Iterator[None]:
        """Capture the passes of the block. The hooks and the passes are gone at its end."""
        handles = []

        # An algorithm may copy its modules together with their hooks, hence tests for identity.
        def capture_features(module: nn.Module, inputs: tuple[Any, ...], features: Tensor) -> None:
            is_full = sum(len(one["inputs"]) for one in self.passes) >= self.samples
            if module is featurizer and features.requires_grad and not is_full:
                self.passes.append({"inputs": inputs[0].detach(), "features": features})
                capture_gradient(features, self.passes[-1], "feature_gradients")

        def capture_logits(module: nn.Module, inputs: tuple[Any, ...], logits: Tensor) -> None:
            if module is not classifier or not logits.requires_grad:
                return
            new = [one for one in self.passes if "logits" not in one]
            for one in (one for one in new if one["features"] is inputs[0]):
                one["logits"] = logits.detach()
                capture_gradient(logits, one, "logit_gradients")
                return
            self.other_logits = True

        def capture_gradient(output: Tensor, one: dict[str, Tensor], name: str) -> None:
            def capture(gradient: Tensor) -> None:
                if name == "logit_gradients" or "logit_gradients" in one:
                    one.setdefault(name, gradient.detach())

            handles.append(output.register_hook(capture))

        handles.append(featurizer.register_forward_hook(capture_features))
        handles.append(classifier.register_forward_hook(capture_logits))
        try:
            yield
        finally:
            for handle in handles:  # tensors and their hooks refer to each other
                handle.remove()
            self.passes.clear()


class UpdateWatcher:
    """Watches updates and adds up figures for each pair (d, k) of source domain and class.

    Of the samples of a pair:

    - ``grad_logits`` and ``grad_features``, the Euclidean norm of the gradient of the loss at
      their logits and at their features, times the batch size. A loss is a mean over the batch, so
      this is the gradient of a sample's own loss if all samples weigh the same. With several
      backward passes, the first that reaches the logits counts.
    - ``confidence``, the probability of their class.
    - ``amplification``, if the algorithm's ``last_step`` has it (NDCL): the amplification factor
      of anchors with positives and negatives, :func:`ndcl_domainbed.losses.amplification_factor`.
      ``crowding`` is the factor with means in place of its two sums, so it does not depend on how
      many positives and negatives an anchor has.
    - the prototype of each batch, the mean of their predictions: its ``norm``, its ``distance`` to
      the same class in other domains, and its ``instability``, the root mean square distance of
      the prototypes of the batches to their mean (n - 1 for n batches).

    Updates in which no loss reaches the logits, such as a discriminator's, are not counted, nor
    are those in which the network sees other images than the minibatches. Watching changes no
    number of the run. ``state`` is changed in place; a watcher that is given a saved state
    continues its sums.
    """

    def __init__(
        self,
        algorithm: Any,
        sources: Sequence[int],
        num_classes: int,
        device: torch.device,
        state: dict[str, Any],
    ) -> None:
        """Raise UnsuitableAlgorithm if ``algorithm`` has no featurizer and classifier.

        ``sources`` are the indices of the source domains, in the order of the minibatches.
        """
        self.algorithm, self.sources, self.num_classes = algorithm, sources, num_classes
        for name in ("featurizer", "classifier"):
            if not isinstance(getattr(algorithm, name, None), nn.Module):
                raise self._unsuitable()
        self.state = state
        self._is_checked = False
        if not state:
            # Differences between squares of prototypes are too small for float32.
            dtype = torch.float32 if device.type == "mps" else torch.float64
            zeros = torch.zeros(len(sources) * num_classes, dtype=dtype, device=device)
            for name in (*COUNTS, *MEANS_OVER, "squared_norm", "distances"):
                state[name] = zeros.clone()
            state["prototypes"] = zeros[:, None].repeat(1, num_classes)
            state["updates"] = 0

    def _unsuitable(self) -> UnsuitableAlgorithm:
        return UnsuitableAlgorithm(
            f"--diagnostics cannot watch {type(self.algorithm).__name__}: its updates do not pass "
            "the minibatches, as they are, through its featurizer and classifier, as those of ERM "
            "and NDCL do.\nTrain without --diagnostics."
        )

    @contextmanager
    def watch(self, minibatches: Sequence[Batch]) -> Iterator[None]:
        """Watch the update that is made in the block.

        Raises UnsuitableAlgorithm after the first update if it does not pass the minibatches
        through the network.
        """
        x, y = concatenate(minibatches)
        pairs = domain_indices(minibatches) * self.num_classes + y
        passes = Passes(len(y))
        with passes.capture(self.algorithm.featurizer, self.algorithm.classifier):
            yield
            is_batch = passes.are_of(x)
            # A discriminator's update computes no logits at all.
            has_logits = passes.have("logits") or not passes.other_logits
            if not self._is_checked and not (is_batch and has_logits):
                raise self._unsuitable()
            self._is_checked = True
            if is_batch and passes.have("feature_gradients"):
                with torch.no_grad():
                    self._add(passes, y, pairs)

    def _add(self, passes: Passes, y: Tensor, pairs: Tensor) -> None:
        """Add the N samples of an update; ``pairs`` (N,) numbers the pair (d, k) as d K + k."""
        logits, dtype = passes.join("logits"), self.state["samples"].dtype
        predictions = to_full_precision(logits).softmax(dim=1)
        amplification, crowding = self._amplification(predictions, y)
        figures = {
            "confidence": predictions.gather(1, y[:, None])[:, 0],
            "grad_logits": len(y) * passes.join("logit_gradients").flatten(1).norm(dim=1),
            "grad_features": len(y) * passes.join("feature_gradients").flatten(1).norm(dim=1),
            "amplification": amplification,
            "crowding": crowding,
            "anchors": amplification > 0,
        }
        # A product, not index_add_: its result is the same each time on a GPU as well.
        rows = torch.arange(len(self.state["samples"]), device=y.device)
        members = (rows[:, None] == pairs).to(dtype)
        counts = members.sum(dim=1)
        prototypes = members @ predictions.to(dtype) / counts.clamp_min(1)[:, None]
        sums = {
            **{name: members @ values.to(dtype) for name, values in figures.items()},
            "samples": counts,
            "batches": counts > 0,
            "prototypes": prototypes,
            "norm": prototypes.norm(dim=1),
            "squared_norm": prototypes.square().sum(dim=1),
            **self._distances(prototypes, counts > 0),
        }
        for name, values in sums.items():
            self.state[name] += values
        self.state["updates"] += 1

    def _distances(self, prototypes: Tensor, present: Tensor) -> dict[str, Tensor]:
        """Return the mean distance to the class's prototypes in other domains, and if it exists."""
        by_class = prototypes.unflatten(0, (-1, self.num_classes)).transpose(0, 1)  # (K, D, K)
        there = present.view(-1, self.num_classes).T
        itself = torch.eye(there.shape[1], dtype=torch.bool, device=there.device)
        pairs = there[:, :, None] & there[:, None] & ~itself
        total = torch.where(pairs, torch.cdist(by_class, by_class), 0.0).sum(dim=2)
        number = pairs.sum(dim=2)
        mean = total / number.clamp_min(1)
        return {"distance": mean.T.flatten(), "distances": (number > 0).T.flatten()}

    def _amplification(self, predictions: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return amplification factor and crowding, (N,) each; 0 where there is none."""
        step: Any = getattr(self.algorithm, "last_step", None)
        if not hasattr(step, "amplification") or len(step.mixed) == 0:
            return predictions.new_zeros(len(y)), predictions.new_zeros(len(y))
        factor = step.amplification()
        negatives = (y[:, None] == step.mixed_classes).sum(dim=1)
        positives = (y[:, None] == y).sum(dim=1) - 1
        return factor, factor * negatives / positives.clamp_min(1)

    def record(self, step: int) -> dict[str, Any]:
        """Return the line of ``diagnostics.jsonl`` for ``step``, and start new sums.

        ``updates`` counts the updates watched since the last record. ``pairs`` holds lists with
        an entry for each pair that occurred: ``env`` and ``class``; the counts ``samples``,
        ``anchors`` and ``batches``; the means over them of the figures of this class; and
        ``instability``. Undefined values are None.
        """
        occurred = self.state["samples"].nonzero()[:, 0]
        tensors = {name: sums for name, sums in self.state.items() if name != "updates"}
        total = {name: sums[occurred] for name, sums in tensors.items()}
        batches = total["batches"]
        deviations = total["squared_norm"] - total["prototypes"].square().sum(dim=1) / batches
        instability = (deviations.clamp_min(0) / (batches - 1)).sqrt()
        over = {**{name: total[count] for name, count in MEANS_OVER.items()},
                "distance": total["distances"]}  # fmt: skip
        pairs = occurred.tolist()
        line = {
            "step": step,
            "updates": self.state["updates"],
            "pairs": {
                "env": [self.sources[pair // self.num_classes] for pair in pairs],
                "class": [pair % self.num_classes for pair in pairs],
                **{name: total[name].long().tolist() for name in COUNTS},
                **{name: _to_json(total[name] / over[name]) for name in MEANS_OVER},
                "instability": _to_json(torch.where(batches > 1, instability, torch.nan)),
            },
        }
        for sums in tensors.values():
            sums.zero_()
        self.state["updates"] = 0
        return line


def _to_json(values: Tensor) -> list[float | None]:
    """Return plain numbers; NaN, which is undefined, as None."""
    return [float(f"{v:.{_SIGNIFICANT_DIGITS}g}") if v == v else None for v in values.tolist()]

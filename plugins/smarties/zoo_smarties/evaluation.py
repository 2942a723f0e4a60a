"""How the paper judges embeddings: nearest neighbours, linear probe, and its metrics.

All metrics are shares (0..1) of everything at once, not means of batches.

Source: gsumbul/SMARTIES@fc0df04.
"""

# M training samples, B test samples, D width, K classes

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.datasets.sample import IGNORED
from zoo_smarties.network.heads import build_head
from zoo_smarties.objective import MultiLabel, SingleLabel
from zoo_smarties.schedules import multistep

CHUNK = 1024  # test samples whose similarities are held at once


def knn(
    train_MD: Tensor,
    train_label_M: Tensor,
    test_BD: Tensor,
    *,
    num_classes: int,
    neighbours: int = 20,
    temperature: float = 0.07,
) -> Tensor:
    """Class (B) with the largest sum of exp(cosine similarity / temperature) among the nearest neighbours."""
    train_MD = functional.normalize(train_MD, dim=1)
    votes_MK = functional.one_hot(train_label_M.long(), num_classes).to(train_MD.dtype)
    predicted = []
    for part_BD in test_BD.split(CHUNK):
        similarity_BM = functional.normalize(part_BD, dim=1) @ train_MD.T
        nearest = similarity_BM.topk(min(neighbours, len(train_MD)), dim=1)
        weight_BN = (nearest.values / temperature).exp()
        predicted.append((weight_BN[..., None] * votes_MK[nearest.indices]).sum(dim=1).argmax(dim=1))
    return torch.cat(predicted)


def accuracy(predicted_B: Tensor, label_B: Tensor) -> float:
    """Share of samples whose class was predicted."""
    return float((predicted_B == label_B).double().mean())


def micro_average_precision(logits_BK: Tensor, target_BK: Tensor) -> float:
    """Average precision over all samples and classes pooled (scikit-learn's micro average)."""
    from sklearn.metrics import average_precision_score

    scores = logits_BK.sigmoid().flatten().numpy(force=True)
    return float(average_precision_score(target_BK.flatten().numpy(force=True), scores))


def mean_iou(predicted: Tensor, label: Tensor, *, count_ignored: bool = False) -> float:
    """Mean intersection over union of the classes found in labels or predictions, all pixels of all images pooled.

    Args:
        predicted: class ids, of any shape.
        label: class ids of the same shape; -100 = no class.
        count_ignored: the original leaves pixels without a class in, where they make one more class whose IoU is 0.
    """
    truth, answer = label.flatten(), predicted.flatten()
    if not count_ignored:
        known = truth != IGNORED
        truth, answer = truth[known], answer[known]
    classes, places = torch.unique(torch.cat([truth, answer]), return_inverse=True)
    num_classes = len(classes)
    pairs = places[: len(truth)] * num_classes + places[len(truth) :]
    confusion_KK = torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes).double()
    hit_K = confusion_KK.diagonal()
    return float((hit_K / (confusion_KK.sum(0) + confusion_KK.sum(1) - hit_K)).mean())


def fit_probe(
    feature_MD: Tensor,
    label: Tensor,
    *,
    num_classes: int,
    epochs: int = 100,
    batch: int = 1024,
    learning_rate: float = 4e-3,
    generator: torch.Generator,
) -> nn.Module:
    """Train batch norm and a linear layer on features of the frozen encoder.

    Args:
        feature_MD: one row per sample; the authors' probes see no augmentation, so features need computing only once.
        label: classes (M) of integers, or (M, K) of 0 and 1 where several hold at once.
        num_classes: K.
        epochs: the rate falls tenfold at 60 % and 80 % of them.
        batch: samples per step.
        learning_rate: the paper's: 1e-3 per 256 samples, at 1024.
        generator: draws the first weights and the order of samples.

    Returns:
        The probe, in evaluation mode: features (B, D) to logits (B, K).
    """
    probe = build_head("probe", feature_MD.shape[1], num_classes)
    assert isinstance(probe, nn.Sequential)
    nn.init.trunc_normal_(probe[1].weight, std=0.01, generator=generator)
    probe.to(feature_MD.device).train()
    objective = SingleLabel() if label.ndim == 1 else MultiLabel()
    optimiser = torch.optim.AdamW(probe.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    steps_per_epoch = max(1, len(feature_MD) // batch)
    milestones = tuple(int(share * epochs * steps_per_epoch) for share in (0.6, 0.8))
    for step in range(epochs * steps_per_epoch):
        if step % steps_per_epoch == 0:
            order = torch.randperm(len(feature_MD), generator=generator).to(feature_MD.device)
        rows = order[step % steps_per_epoch * batch :][:batch]
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * multistep(step, milestones)
        optimiser.zero_grad()
        term = objective.term(probe(feature_MD[rows]), label[rows])
        (term.total / term.count).backward()
        optimiser.step()
    return probe.eval()

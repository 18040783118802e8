"""What is measured on predictions: accuracy, image distances, segmentation scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "Segmentation", "accuracy", "confusion", "l1", "psnr", "segmentation", "ssim",
]  # fmt: skip


def accuracy(
    correct: Sequence[int],
    sizes: Sequence[int],
    batch_size: int | None = None,
    form: Literal["per_sample", "authors"] = "per_sample",
) -> float:
    """Share of samples predicted rightly, from counts a batch.

    ``per_sample`` is ``sum(correct) / sum(sizes)``. ``authors`` is what the LRSGD authors' code
    reports: each batch's count is divided by the full ``batch_size``, the last short one's too,
    and the quotients are averaged with weights ``sizes``. A perfect network then reads 0.9986 on
    10,000 samples at batch 128.

    Raises
    ------
    ValueError
        If lengths differ, nothing was counted, or ``authors`` lacks ``batch_size``.

    >>> accuracy([3, 1], [4, 2]), accuracy([3, 1], [4, 2], 4, "authors")
    (0.6666666666666666, 0.5833333333333334)
    """
    if len(correct) != len(sizes) or sum(sizes) == 0:
        raise ValueError(f"accuracy: {len(correct)} counts for {len(sizes)} batches")
    if form == "per_sample":
        return sum(correct) / sum(sizes)
    if batch_size is None:
        raise ValueError("accuracy: the authors' form requires batch_size, got none")
    shares = sum(c / batch_size * n for c, n in zip(correct, sizes, strict=True))
    return shares / sum(sizes)


def l1(image: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of each image: ``(n, c, h, w)`` twice to ``(n,)``.

    >>> l1(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 2.0]]]]))
    tensor([1.5000])
    """
    return (image - target).abs().flatten(1).mean(1)


def psnr(image: Tensor, target: Tensor, span: float) -> Tensor:
    """Peak signal-to-noise ratio in decibels, ``10 log10(span^2 / MSE)``; infinite if equal.

    ``span`` is the largest value minus the smallest: 255 for bytes, 2 for images in [-1, 1].
    Shapes: ``(n, c, h, w)`` twice to ``(n,)``.

    >>> psnr(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.1), 1.0)
    tensor([20.])
    """
    error = (image - target).square().flatten(1).mean(1)
    return 10 * torch.log10(span**2 / error)


def ssim(image: Tensor, target: Tensor, span: float) -> Tensor:
    """Structural similarity, averaged over windows and channels; 1 if equal.

    ``(2 m_x m_y + c1) (2 s_xy + c2) / ((m_x^2 + m_y^2 + c1) (s_x^2 + s_y^2 + c2))`` with moments
    under an 11x11 Gaussian window of deviation 1.5 that lies wholly inside the image,
    ``c1 = (0.01 span)^2`` and ``c2 = (0.03 span)^2``.

    Shapes: ``(n, c, h, w)`` twice, sides at least 11, to ``(n,)``.
    Source: Wang et al. (2004), equation (13) and Section III.C.

    Raises
    ------
    ValueError
        If a side is shorter than the window.

    >>> x = torch.rand(2, 3, 16, 16)
    >>> torch.allclose(ssim(x, x, 1.0), torch.ones(2))
    True
    """
    if min(image.shape[-2:]) < 11:
        raise ValueError(f"ssim: sides of at least 11 required, got {tuple(image.shape[-2:])}")
    offsets = torch.arange(-5, 6, dtype=image.dtype, device=image.device)
    weights = torch.exp(-offsets.square() / (2 * 1.5**2))
    weights = weights / weights.sum()

    def smooth(x: Tensor) -> Tensor:
        x = x.reshape(-1, 1, *x.shape[-2:])
        x = F.conv2d(F.conv2d(x, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
        return x.reshape(len(image), -1)

    mean_x, mean_y = smooth(image), smooth(target)
    variance_x = smooth(image * image) - mean_x**2
    variance_y = smooth(target * target) - mean_y**2
    covariance = smooth(image * target) - mean_x * mean_y
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return (above / below).mean(1)


def confusion(
    prediction: Tensor, target: Tensor, num_classes: int, ignore: int | None = None
) -> Tensor:
    """How many pixels of class i were called class j: int64 ``(num_classes, num_classes)``.

    Sums over batches. Pixels whose target is ``ignore`` are left out.

    Raises
    ------
    ValueError
        If shapes differ or a class is out of range.

    >>> confusion(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"confusion: shapes differ, {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    prediction, target = prediction.reshape(-1), target.reshape(-1)
    if ignore is not None:
        kept = target != ignore
        prediction, target = prediction[kept], target[kept]
    both = torch.cat([prediction, target])
    if len(both) and (int(both.min()) < 0 or int(both.max()) >= num_classes):
        raise ValueError(
            f"confusion: classes 0 to {num_classes - 1} required, got {int(both.min())} to "
            f"{int(both.max())}"
        )
    cells = torch.bincount(target * num_classes + prediction, minlength=num_classes**2)
    return cells.view(num_classes, num_classes)


@final
@dataclass(frozen=True)
class Segmentation:
    """Per-pixel accuracy, mean per-class accuracy and mean class IoU, as shares."""

    per_pixel: float
    per_class: float
    class_iou: float


def segmentation(counts: Tensor, absent: Literal["exclude", "zero"] = "exclude") -> Segmentation:
    """Segmentation scores from a confusion matrix.

    With ``n_ij`` pixels of class i called j: ``sum n_ii / sum n_ij``; the mean over classes of
    ``n_ii / sum_j n_ij``; the mean of ``n_ii / (sum_j n_ij + sum_j n_ji - n_ii)``. A class whose
    quotient is 0/0 is left out of its mean, or with ``absent="zero"`` counts as 0, which lowers
    both means wherever a class never occurs.

    Source: Long et al. (2015), Section 5; the FCN-score of Isola et al. (2017).

    Raises
    ------
    ValueError
        If nothing was counted.

    >>> segmentation(torch.tensor([[3, 1], [0, 4]]))
    Segmentation(per_pixel=0.875, per_class=0.875, class_iou=0.775)
    """
    table = counts.double()
    if not table.sum() > 0:
        raise ValueError("segmentation: no pixel was counted")
    right = table.diagonal()
    of_class, called = table.sum(1), table.sum(0)

    def mean(below: Tensor) -> float:
        shares = right / below.clamp(min=1)
        return float(shares.mean() if absent == "zero" else shares[below > 0].mean())

    return Segmentation(
        float(right.sum() / table.sum()), mean(of_class), mean(of_class + called - right)
    )

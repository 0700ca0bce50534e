"""Keras models, channels last, by Keras 3 on torch: DeepSTARR, and what the others of the kind share."""

import os
from typing import Any

import torch
from torch import nn

from published.architecture import Head, published


def keras_on_torch() -> Any:
    """Keras with torch as its backend, which has to be chosen before it is first imported.

    Raises
    ------
    RuntimeError
        If it was imported with another.
    """
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    if keras.backend.backend() != "torch":
        raise RuntimeError(f"keras was imported with the backend {keras.backend.backend()}")
    return keras


def reseed(model: Any) -> nn.Module:
    """Weights from torch's generator, which the caller has seeded (Keras has one of its own); norms alive."""
    for weight in model.weights:
        value = weight.value.data
        if value.dim() > 1:
            # The last axes of a kernel are what comes in and what goes out.
            value.normal_(0, (2 / value[..., 0].numel()) ** 0.5)
        elif weight.name == "moving_variance":
            value.uniform_(0.5, 2)
        else:
            value.normal_(1 if weight.name == "gamma" else 0, 0.3)
    torch.nn.Module.eval(model)
    return model


@published(
    "deepstarr", (249, 4), paper="de Almeida et al. 2022, Nature Genetics 54:613",
    source="DeepSTARR, DeepSTARR_training.ipynb (Keras)", package="keras",
    heads=(Head("developmental", 0, 0), Head("housekeeping", 1, 0)),
)  # fmt: skip
def deepstarr() -> nn.Module:
    """Four convolutions, two dense layers, two heads."""
    keras = keras_on_torch()
    layers = keras.layers
    x = bases = layers.Input((249, 4))
    for filters, width in ((16, 7), (8, 3), (8, 5), (12, 3)):
        x = layers.Conv1D(filters, width, padding="same")(x)
        x = layers.MaxPooling1D(2)(layers.Activation("relu")(layers.BatchNormalization()(x)))
    x = layers.Flatten()(x)
    for units in (16, 16):
        x = layers.Activation("relu")(layers.BatchNormalization()(layers.Dense(units)(x)))
        x = layers.Dropout(0.4)(x)
    return reseed(keras.Model(bases, [layers.Dense(1)(x), layers.Dense(1)(x)]))

"""Turning an ONNX graph into a torch module: normalise the graph, then let onnx2torch convert it.

onnx2torch by itself converts few files of today's exporters. The normalisation folds constants, moves
arguments that are constant tensors into attributes and gives ops with several spellings one; what onnx2torch
lacks, or converts into in-place or data-dependent code, has converters of its own here, in its registry.
"""

from deeplift_cli.models.onnx.late_torchvision import import_onnx2torch

import_onnx2torch()

"""Turning an ONNX file into a torch module.

A file goes one way through this package, as one `graph.Graph`:

1. `weights` and `validity` refuse a file that is damaged, invalid or without bounds.
2. `graph` inlines the functions of the file, and reads its constants as arrays.
3. `preparation` works out what is known before the model runs: `fold` evaluates what is constant, `inference`
   infers shapes, what is registered as written out (branches, loops, sequences) and operators with a
   definition by ONNX (`definitions`) are replaced by other nodes, and `training` takes out what only training
   does.
4. `room` refuses a model of which one batch takes too much memory.
5. `conversion` makes a torch module of each node, as the `registry` says or onnx2torch does (`library`), and
   one module of all.
6. `check` compares what the module gives with onnxruntime.

To add an operator, write one function under the decorator `registry.operator`, in the module of its family
in `operators`; docs/onnx-operators.md shows how. Operators that no model of the tests' zoo and no published
model writes are in `operators.rare`.

onnx2torch by itself converts few files of today's exporters, and converts some operators into code that works
in place or depends on data. onnx2torch is used for the operators that it converts rightly.
"""

from deeplift_cli.models.onnx.late_torchvision import import_onnx2torch

import_onnx2torch()

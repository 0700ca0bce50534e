"""What ONNX's operators compute, by kind; see `deeplift_cli.models.onnx.calls`.

Each function is written with functions of torch that DeepLIFT has rules for, works on any number of rows, and
reads no values that depend on the model's input.
"""

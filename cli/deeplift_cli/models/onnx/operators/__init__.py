"""What operators of ONNX become, a module for each family; see `deeplift_cli.models.onnx.registry`."""

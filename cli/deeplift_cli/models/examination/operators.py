"""The operators that a model file may call: those of torch that work on tensors only."""

# Namespaces of operators that compute tensors from tensors. Operators of torch's other namespaces send values
# to other processes, compile code, or print.
NAMESPACES = {
    *("aten", "prim", "prims", "quantized", "_quantized", "quantized_decomposed"),
    *("mkldnn", "mkldnn_prepacked", "torchvision"),
}
# Operators of these namespaces that read or write files or call other processes. tests/test_models_trust.py
# checks all operators of torch that take text.
REACHING_OUT = {"save", "from_file", "rpc_async", "rpc_sync", "rpc_remote", "PythonOp"}


def reason_against(namespace: str, name: str) -> str:
    """Return why a model file may not call ``namespace::name``; "" if it may."""
    if namespace not in NAMESPACES:
        return f"it calls {namespace}::{name}, which is no operator of torch's own on tensors"
    if name.partition(".")[0] in REACHING_OUT:
        return f"it calls {namespace}::{name}, which reads or writes files or reaches other processes"
    return ""

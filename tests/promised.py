"""What the package promises of summation-to-delta.

The numbers are written out here, so that no test takes the promise from the code that the test is of. In
bfloat16 outputs themselves round by up to 0.4 %, so that only errors as large as what is explained count.
"""

import torch

# Largest error of a pair, relative to what the pair explains.
PROMISED = {torch.bfloat16: 1.0, torch.float32: 1e-4, torch.float64: 1e-9}
